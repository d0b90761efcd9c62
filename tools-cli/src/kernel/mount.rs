//! File systems for this process alone, where the machine has not mounted them.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use super::bpf::fd_of;

/// `FSCONFIG_CMD_CREATE` (include/uapi/linux/mount.h).
const FSCONFIG_CMD_CREATE: u32 = 6;
/// `FSOPEN_CLOEXEC` and `FSMOUNT_CLOEXEC` (the same file).
const CLOEXEC: u32 = 1;

/// Mounts a file system of the type `name` nowhere: it is reached through the descriptor, and is
/// gone when that closes, however the process ends (Linux 5.2).
///
/// # Errors
///
/// ENODEV if the kernel does not have it, EPERM without `CAP_SYS_ADMIN`.
pub fn mount_privately(name: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with NUL; the other arguments are integers and null pointers.
    unsafe {
        let context = checked(libc::syscall(libc::SYS_fsopen, name.as_ptr(), CLOEXEC))?;
        let none = std::ptr::null::<libc::c_void>();
        let result = libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            none,
            none,
            0,
        );
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        checked(libc::syscall(
            libc::SYS_fsmount,
            context.as_raw_fd(),
            CLOEXEC,
            0,
        ))
    }
}

fn checked(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    fd_of(result)
}
