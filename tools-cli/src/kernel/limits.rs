//! Limits of this process that probes run into.

use std::io;

/// Raises the number of open files as far as it goes (a link each on older kernels), and locked
/// memory, against which kernels before 5.11 count maps and programs.
///
/// # Errors
///
/// When the limits can't be read. That they can't be raised is no error: what needs them will
/// fail with its own.
pub fn raise() -> io::Result<()> {
    raise_one(libc::RLIMIT_MEMLOCK, libc::RLIM_INFINITY)?;
    // The largest value that every kernel takes (`sysctl_nr_open`, fs/file.c).
    raise_one(libc::RLIMIT_NOFILE, 1 << 20)
}

/// Bytes of memory that may be locked, as it is now.
///
/// # Errors
///
/// When the limit can't be read.
pub fn locked_memory_bytes() -> io::Result<u64> {
    Ok(current(libc::RLIMIT_MEMLOCK)?.rlim_cur)
}

/// How many files may be open, as it is now.
///
/// # Errors
///
/// When the limit can't be read.
pub fn open_files() -> io::Result<u64> {
    Ok(current(libc::RLIMIT_NOFILE)?.rlim_cur)
}

fn current(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a local.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn raise_one(resource: libc::__rlimit_resource_t, wanted: libc::rlim_t) -> io::Result<()> {
    let limit = current(resource)?;
    let unlimited = libc::rlimit {
        rlim_cur: wanted.max(limit.rlim_cur),
        rlim_max: wanted.max(limit.rlim_max),
    };
    let hard = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: the pointers are to locals.
    unsafe {
        if libc::setrlimit(resource, &raw const unlimited) != 0 {
            libc::setrlimit(resource, &raw const hard);
        }
    }
    Ok(())
}
