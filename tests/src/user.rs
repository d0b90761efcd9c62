//! Running the tools as a user who is not root, with a few capabilities or none; or as a root who
//! may not do all.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    fixtures,
    process::{Worker, probekit},
};

/// `CAP_SYS_ADMIN` (include/uapi/linux/capability.h).
pub const CAP_SYS_ADMIN: u32 = 21;
/// `CAP_SYS_RESOURCE`.
const CAP_SYS_RESOURCE: u32 = 24;
/// `CAP_PERFMON`.
pub const CAP_PERFMON: u32 = 38;
/// `CAP_BPF`.
pub const CAP_BPF: u32 = 39;

/// Nobody's number on any system.
const USER: libc::uid_t = 12_345;

/// A user with a copy of the tool and of a program, in a folder that everybody can read.
#[derive(Debug)]
pub struct User {
    folder: TempDir,
}

impl User {
    /// Makes the copies.
    ///
    /// # Panics
    ///
    /// When there is no room for them.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("ours");
        let user = Self { folder };
        user.copy(&probekit(), "probekit");
        user.copy(&fixtures::path("calls"), "calls");
        user
    }

    fn copy(&self, from: &Path, name: &str) {
        let to = self.folder.path().join(name);
        fs::copy(from, &to).expect("copied");
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("ours");
    }

    /// The program to be traced.
    #[must_use]
    pub fn calls(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    /// The tool with `arguments`, to be run by the user with `capabilities`.
    #[must_use]
    pub fn probekit(&self, capabilities: &[u32], arguments: &[&str]) -> Command {
        self.probekit_within(libc::RLIM_INFINITY, capabilities, arguments)
    }

    /// The same, with so many bytes of memory that may be locked.
    #[must_use]
    pub fn probekit_within(
        &self,
        locked_bytes: libc::rlim_t,
        capabilities: &[u32],
        arguments: &[&str],
    ) -> Command {
        let mut command = Command::new(self.folder.path().join("probekit"));
        command.args(arguments);
        become_user(&mut command, locked_bytes, capabilities);
        command
    }

    /// funccount with `arguments`, to be run by the user with `capabilities`.
    #[must_use]
    pub fn funccount(&self, capabilities: &[u32], arguments: &[&str]) -> Command {
        self.funccount_within(libc::RLIM_INFINITY, capabilities, arguments)
    }

    /// The same, with so many bytes of memory that may be locked.
    #[must_use]
    pub fn funccount_within(
        &self,
        locked_bytes: libc::rlim_t,
        capabilities: &[u32],
        arguments: &[&str],
    ) -> Command {
        let mut all = vec!["funccount"];
        all.extend(arguments);
        self.probekit_within(locked_bytes, capabilities, &all)
    }

    /// The program to be traced with `arguments`, to be run by the user without capabilities.
    #[must_use]
    pub fn worker(&self, arguments: &[&str]) -> Worker {
        let mut command = Command::new(self.calls());
        command.arg("--wait").args(arguments);
        become_user(&mut command, 0, &[]);
        Worker::start(command)
    }
}

impl Default for User {
    fn default() -> Self {
        Self::new()
    }
}

/// Has the child give up root and keep `capabilities` through `execve`.
fn become_user(command: &mut Command, locked_bytes: libc::rlim_t, capabilities: &[u32]) {
    let capabilities = capabilities.to_vec();
    // SAFETY: the closure makes system calls only, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            limit_locked_memory(locked_bytes);
            keep_only(&capabilities)
        })
    };
}

/// That a limit can't be raised is no error: containers may be forbidden to, and only old kernels
/// count maps and programs.
fn limit_locked_memory(bytes: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: the pointer is to a local.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// `struct __user_cap_header_struct` and `struct __user_cap_data_struct`, of which there are two for
/// the lower and the upper half (include/uapi/linux/capability.h).
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn keep_only(capabilities: &[u32]) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION: u32 = 0x2008_0522;

    let mut halves = [Half::default(); 2];
    for &capability in capabilities {
        let half = &mut halves[capability as usize / 32];
        let bit = 1 << (capability % 32);
        half.effective |= bit;
        half.permitted |= bit;
        half.inheritable |= bit;
    }
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    // SAFETY: the pointers are to locals of the layout that the call takes; the rest are integers.
    unsafe {
        succeeded(libc::prctl(libc::PR_SET_KEEPCAPS, 1))?;
        succeeded(libc::setgroups(0, std::ptr::null()))?;
        succeeded(libc::setresgid(USER, USER, USER))?;
        succeeded(libc::setresuid(USER, USER, USER))?;
        let result = libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr());
        succeeded(i32::try_from(result).unwrap_or(-1))?;
        for &capability in capabilities {
            let raise = libc::PR_CAP_AMBIENT_RAISE;
            succeeded(libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0))?;
        }
    }
    Ok(())
}

/// Has the child be a root who may have so many files open and can't raise that, as in a container.
pub fn limit_open_files(command: &mut Command, files: libc::rlim_t) {
    let limit = |most| libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: the closure makes system calls only, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            // Older kernels count maps and programs against it, which is not what is asked here. Where
            // that is refused, so is what the next line takes away.
            let memory = limit(libc::RLIM_INFINITY);
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const memory);
            succeeded(libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_RESOURCE))?;
            let files = limit(files);
            succeeded(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files))
        })
    };
}

/// Has the child be a root without tracefs and without the right to mount it, as in a container.
///
/// # Panics
///
/// When `/proc` is not mounted.
pub fn without_tracefs(command: &mut Command) {
    hide_tracefs(command, || {
        // SAFETY: the call takes integers.
        succeeded(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_ADMIN) })
    });
}

/// Has the child see a kernel that was built without tracefs: it knows no such file system.
///
/// # Panics
///
/// When `/proc` is not mounted.
pub fn built_without_tracefs(command: &mut Command) {
    hide_tracefs(command, refuse_file_systems);
}

/// Has the child see no tracefs, and then do something more about it.
fn hide_tracefs(command: &mut Command, then: impl Fn() -> io::Result<()> + Send + Sync + 'static) {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc is there");
    let fields = mounts.lines().map(|line| line.split(' '));
    let places: Vec<CString> = fields
        .filter_map(|mut fields| Some((fields.nth(1)?, fields.next()?)))
        .filter(|(_, kind)| *kind == "tracefs")
        .filter_map(|(place, _)| CString::new(place).ok())
        .collect();
    // SAFETY: the closures make system calls only, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            succeeded(libc::unshare(libc::CLONE_NEWNS))?;
            let (none, private) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
            let root = c"/".as_ptr();
            succeeded(libc::mount(none, root, none, private, std::ptr::null()))?;
            for place in &places {
                succeeded(libc::umount2(place.as_ptr(), libc::MNT_DETACH))?;
            }
            then()
        })
    };
}

/// Has the kernel answer `fsopen` as if it had no file system of the name.
fn refuse_file_systems() -> io::Result<()> {
    /// Where `struct seccomp_data` has the number of the system call.
    const NUMBER: u32 = 0;

    let step = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, NUMBER),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            libc::SYS_fsopen as u32,
        ),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENODEV as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the pointer is to a local, which has the pointer to another and its length.
    succeeded(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) })
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
