//! The PID namespace that the caller counts in.

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
        let namespace = fs::metadata("/proc/self/ns/pid")?;
        let device = namespace.st_dev();
        Ok((namespace.st_ino() != INITIAL_INODE).then(|| Self {
            // `MKDEV` (include/linux/kdev_t.h): 12 bits of major, 20 of minor number.
            device: (u64::from(libc::major(device)) << 20) | u64::from(libc::minor(device)),
            inode: namespace.st_ino(),
        }))
    }
}
