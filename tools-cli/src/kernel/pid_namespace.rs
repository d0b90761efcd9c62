//! PID namespaces: the caller's, in which processes are named, and those that they are in.

use std::{fs, io, os::linux::fs::MetadataExt as _};

/// Inode of the initial PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_INODE: u64 = 0xEFFF_FFFC;

/// A namespace as `bpf_get_ns_current_pid_tgid` wants it named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// Device of the namespace file system, as the kernel encodes it internally.
    pub device: u64,
    /// Inode of the namespace.
    pub inode: u64,
}

impl PidNamespace {
    /// The caller's namespace; `None` if it is the initial one.
    ///
    /// # Errors
    ///
    /// When `/proc/self/ns/pid` can't be read.
    pub fn current() -> io::Result<Option<Self>> {
        let own = Self::read("self")?;
        Ok((own.inode != INITIAL_INODE).then_some(own))
    }

    /// The namespace that a task is in: the caller's, or one below it.
    ///
    /// # Errors
    ///
    /// When there is no such task, or we may not look into it.
    pub fn of_task(number: u32) -> io::Result<Self> {
        Self::read(&number.to_string())
    }

    fn read(task: &str) -> io::Result<Self> {
        let namespace = fs::metadata(format!("/proc/{task}/ns/pid"))?;
        let device = namespace.st_dev();
        Ok(Self {
            // `MKDEV` (include/linux/kdev_t.h): 12 bits of major, 20 of minor number.
            device: (u64::from(libc::major(device)) << 20) | u64::from(libc::minor(device)),
            inode: namespace.st_ino(),
        })
    }
}

/// The number of a task in the namespace that it is in (Linux 4.1).
///
/// # Errors
///
/// When there is no such task.
pub fn own_number(task: u32) -> io::Result<u32> {
    let status = fs::read_to_string(format!("/proc/{task}/status"))?;
    innermost(&status).ok_or_else(|| {
        let reason = format!("/proc/{task}/status has no line NSpid");
        io::Error::new(io::ErrorKind::InvalidData, reason)
    })
}

/// The last number of the line `NSpid` in the text of a task's `status`: it has one for each
/// namespace, outermost first.
fn innermost(status: &str) -> Option<u32> {
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_ascii_whitespace().next_back()?.parse().ok()
}

/// Whether `/proc` numbers processes as the caller's namespace does.
///
/// # Errors
///
/// When there is no `/proc`.
pub fn is_proc_ours() -> io::Result<bool> {
    let own = fs::read_link("/proc/self")?;
    Ok(own.to_str() == Some(&*std::process::id().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_number_comes_last() {
        let status = "Name:\tsh\nPid:\t77\nNSpid:\t77\t12\t1\nNSsid:\t0\t0\t0\n";
        assert_eq!(innermost(status), Some(1));
        assert_eq!(innermost("Name:\tsh\nNSpid:\t77\n"), Some(77));
        assert_eq!(innermost("Name:\tsh\n"), None);
    }

    #[test]
    fn this_process_is_in_its_own_namespace() {
        let own = PidNamespace::of_task(std::process::id()).expect("we live");
        let current = PidNamespace::current().expect("/proc is there");
        assert!(current.is_none_or(|current| current == own));
        assert!(is_proc_ours().expect("/proc is there"));
    }
}
