//! The filters that every tool shares: from the user's words to settings and maps.

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use probes_common::{COMM_BYTES, CommFilter, Settings};

use crate::{
    kernel::{
        capabilities::Capability,
        pid_namespace::{self, PidNamespace},
    },
    load::{MapName, Maps},
    privilege,
};

/// Which events are wanted; all of them by default.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Only these processes, as the caller's PID namespace numbers them.
    pub pids: Vec<u32>,
    /// And their children from now on.
    pub follow_forks: bool,
    /// Only this thread.
    pub tid: Option<u32>,
    /// Only this user, by real user ID.
    pub uid: Option<u32>,
    /// Only tasks in this cgroup (version 2) or below it.
    pub cgroup: Option<PathBuf>,
    /// Only tasks whose command name contains this.
    pub comm: Option<String>,
    /// Only this CPU.
    pub cpu: Option<u32>,
}

/// Why a filter can't be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is longer than any command name.
    #[error("no command name contains {text:?}: they have at most {} bytes", COMM_BYTES - 1)]
    Comm {
        /// The text.
        text: String,
    },
    /// The cgroup is not there, or is none.
    #[error("failed to open the cgroup {}: {error}", path.display())]
    Cgroup {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The kernel does not take it as a cgroup.
    #[error("{} is not a cgroup of version 2: {error}", path.display())]
    NotCgroup {
        /// Its path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The PID namespace can't be found out.
    #[error("failed to read /proc/self/ns/pid: {0}; is /proc mounted?")]
    Namespace(io::Error),
    /// The PID namespace of a task can't be found out.
    #[error(
        "failed to find out the PID namespace of process {pid}: {error}{}",
        privilege::for_one(error, Capability::SysPtrace)
    )]
    NamespaceOf {
        /// The task.
        pid: u32,
        /// The error.
        error: io::Error,
    },
    /// Programs can ask for numbers in one namespace only.
    #[error(
        "the processes asked for are in several PID namespaces, and from inside a PID namespace only \
         those of one can be told apart; run it once for each, or outside"
    )]
    SeveralNamespaces,
    /// `/proc` is of another namespace, so that its numbers are of other processes.
    #[error(
        "/proc shows another PID namespace than the one this runs in, so PIDs are ambiguous; mount \
         it anew: mount -t proc proc /proc"
    )]
    ForeignProc,
    /// A map could not be filled.
    #[error("failed to pass the filter to the kernel: {0}")]
    Map(io::Error),
    /// There is no such process.
    #[error("no process has the PID {pid}")]
    NoProcess {
        /// The PID.
        pid: u32,
    },
    /// It is a thread, and not its process.
    #[error("{pid} is a thread of process {process}; use --tid {pid}, or -p {process}")]
    Thread {
        /// The number.
        pid: u32,
        /// The PID of its process.
        process: u32,
    },
    /// There is no such thread.
    #[error("no thread has the TID {tid}")]
    NoThread {
        /// The TID.
        tid: u32,
    },
}

impl Filters {
    /// Checks what can be checked before anything is loaded.
    ///
    /// # Errors
    ///
    /// When a process or thread is not there, or what should be a process is a thread of one.
    pub fn check(&self) -> Result<(), Error> {
        let names_tasks = !self.pids.is_empty() || self.tid.is_some();
        if names_tasks && !pid_namespace::is_proc_ours().map_err(Error::Namespace)? {
            return Err(Error::ForeignProc);
        }
        let exists = |number: &u32| Path::new("/proc").join(number.to_string()).exists();
        if let Some(&pid) = self.pids.iter().find(|pid| !exists(pid)) {
            return Err(Error::NoProcess { pid });
        }
        for &pid in &self.pids {
            if let Some(process) = process_of(pid).filter(|&process| process != pid) {
                return Err(Error::Thread { pid, process });
            }
        }
        match self.tid.filter(|tid| !exists(tid)) {
            Some(tid) => Err(Error::NoThread { tid }),
            None => Ok(()),
        }
    }

    /// `settings`, with those that make the programs filter.
    ///
    /// # Errors
    ///
    /// When the command name is too long, or the PID namespace can't be found out.
    pub fn settings(&self, settings: Settings) -> Result<Settings, Error> {
        let text = self.comm.as_deref().unwrap_or_default();
        let comm = CommFilter::new(text.as_bytes()).ok_or_else(|| Error::Comm {
            text: text.to_owned(),
        })?;
        let namespace = self.namespace()?;
        let tid = self.tid.map(|tid| number_in(namespace, tid)).transpose()?;
        Ok(Settings {
            pid_namespace_device: namespace.map_or(0, |namespace| namespace.device),
            pid_namespace_inode: namespace.map_or(0, |namespace| namespace.inode),
            comm,
            filter_pids: (!self.pids.is_empty()).into(),
            follow_forks: self.follow_forks.into(),
            filter_cgroup: self.cgroup.is_some().into(),
            tid: tid.unwrap_or(0),
            filter_uid: self.uid.is_some().into(),
            uid: self.uid.unwrap_or(0),
            filter_cpu: self.cpu.is_some().into(),
            cpu: self.cpu.unwrap_or(0),
            ..settings
        })
    }

    /// The namespace in which programs are to ask for the numbers of the current task; `None` for
    /// the initial one, which needs no asking.
    ///
    /// The helper knows the numbers of a task in the namespace that the task is in, and in no other
    /// (`bpf_get_ns_current_pid_tgid`, kernel/bpf/helpers.c). So where the tasks asked for are in a
    /// namespace below the caller's, that one is asked.
    fn namespace(&self) -> Result<Option<PidNamespace>, Error> {
        let Some(own) = PidNamespace::current().map_err(Error::Namespace)? else {
            return Ok(None);
        };
        let mut namespaces = self.pids.iter().chain(&self.tid).map(|&pid| {
            PidNamespace::of_task(pid).map_err(|error| Error::NamespaceOf { pid, error })
        });
        let first = namespaces.next().transpose()?.unwrap_or(own);
        for other in namespaces {
            if other? != first {
                return Err(Error::SeveralNamespaces);
            }
        }
        Ok(Some(first))
    }

    /// Whether the tasks asked for are in a namespace below the caller's, so that programs can't
    /// tell the caller's numbers for them.
    ///
    /// # Errors
    ///
    /// When their namespaces can't be found out.
    pub fn are_below(&self) -> Result<bool, Error> {
        let own = PidNamespace::current().map_err(Error::Namespace)?;
        Ok(self.namespace()? != own)
    }

    /// The processes asked for, each with the number that programs know it by.
    ///
    /// # Errors
    ///
    /// When a process is gone, or may not be looked into.
    pub fn keys(&self) -> Result<Vec<(u32, u32)>, Error> {
        let namespace = self.namespace()?;
        let pids = self.pids.iter();
        pids.map(|&pid| Ok((pid, number_in(namespace, pid)?)))
            .collect()
    }

    /// Fills the maps that the programs look things up in.
    ///
    /// # Errors
    ///
    /// When the cgroup is none, or the kernel takes no more.
    pub fn fill(&self, maps: &Maps) -> Result<(), Error> {
        for (_, key) in self.keys()? {
            maps.update(MapName::Pids, key, &[1]).map_err(Error::Map)?;
        }
        let Some(path) = &self.cgroup else {
            return Ok(());
        };
        let cgroup = File::open(path).map_err(|error| Error::Cgroup {
            path: path.clone(),
            error,
        })?;
        maps.update(MapName::Cgroup, 0, &cgroup.as_raw_fd().to_ne_bytes())
            .map_err(|error| Error::NotCgroup {
                path: path.clone(),
                error,
            })
    }
}

/// The PID of a task's process, if we may read it: `/proc` lists processes only, but has all tasks by
/// their numbers.
fn process_of(task: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{task}/status")).ok()?;
    let tgid = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    tgid.trim().parse().ok()
}

/// The number that programs see for a task, which the caller knows as `task`.
fn number_in(namespace: Option<PidNamespace>, task: u32) -> Result<u32, Error> {
    match namespace {
        None => Ok(task),
        Some(_) => {
            pid_namespace::own_number(task).map_err(|error| Error::NamespaceOf { pid: task, error })
        }
    }
}
