//! Closing descriptors that take the kernel long to close.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

/// Closes `descriptors` without waiting for it: a child process is left behind, with nothing open
/// but what we have open too, and ends as soon as we have closed ours. The kernel then does the work
/// in the child's name.
///
/// # Errors
///
/// When there can be no child; the descriptors are closed all the same.
pub fn close_in_background(descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    // SAFETY: the child has one thread, and makes only calls that are allowed after a fork.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                // Whoever waits for the end of our output must not wait for the child.
                for standard in 0..=2 {
                    libc::close(standard);
                }
                libc::setsid();
                libc::close(writer.as_raw_fd());
                let mut byte = 0_u8;
                libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
            _ => (),
        }
    }
    drop(descriptors);
    // The end of the pipe, by which the child knows that it is the last.
    drop(writer);
    Ok(())
}
