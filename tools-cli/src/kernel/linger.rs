//! Closing descriptors that take the kernel long to close.

use std::{
    ffi::c_uint,
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

/// Closes `descriptors` without waiting for it: a child process is left behind, with nothing else open,
/// and ends as soon as we have closed ours. The kernel then does the work in the child's name.
///
/// # Errors
///
/// When there can be no child; the descriptors are closed all the same.
pub fn close_in_background(descriptors: Vec<OwnedFd>) -> io::Result<()> {
    // Until here, since with the end of this pipe the child knows that it is the last.
    let _child = hold(&descriptors)?;
    drop(descriptors);
    Ok(())
}

/// Has a child process hold `descriptors` until what is given is dropped.
fn hold(descriptors: &[OwnedFd]) -> io::Result<PipeWriter> {
    let (ours_is_gone, ours) = io::pipe()?;
    let others = all_but(descriptors, &ours_is_gone);
    // SAFETY: the child has one thread, and makes only calls that are allowed after a fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => wait_and_exit(&ours_is_gone, ours.as_raw_fd(), &others),
        _ => Ok(ours),
    }
}

/// All descriptors that there can be, in ranges, but for those that the child is to have.
fn all_but(descriptors: &[OwnedFd], pipe: &PipeReader) -> Vec<(c_uint, c_uint)> {
    let kept = descriptors.iter().map(OwnedFd::as_raw_fd);
    let mut kept: Vec<c_uint> = kept
        .chain([pipe.as_raw_fd()])
        .map(i32::cast_unsigned)
        .collect();
    kept.sort_unstable();
    let firsts = [0].into_iter().chain(kept.iter().map(|fd| fd + 1));
    let lasts = kept
        .iter()
        .map(|fd| fd.checked_sub(1))
        .chain([Some(c_uint::MAX)]);
    let ranges = firsts
        .zip(lasts)
        .filter_map(|(first, last)| Some((first, last?)));
    ranges.filter(|(first, last)| first <= last).collect()
}

/// The child. What else is open is closed, since whoever waits for the end of our output, or of what we
/// have inherited, must not wait for the child.
fn wait_and_exit(ours_is_gone: &PipeReader, ours: RawFd, others: &[(c_uint, c_uint)]) -> ! {
    // SAFETY: nothing of what is closed is used any more, and the pointer is to a local.
    unsafe {
        libc::setsid();
        // These even where a sandbox does not know the call below.
        for closed in [0, 1, 2, ours] {
            libc::close(closed);
        }
        for &(first, last) in others {
            // Linux 5.9; glibc has had a function for it later.
            libc::syscall(libc::SYS_close_range, first, last, 0);
        }
        let mut byte = 0_u8;
        libc::read(ours_is_gone.as_raw_fd(), (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Whether all that write to a pipe are gone, now or soon.
    fn ends(pipe: &PipeReader) -> bool {
        const LONG_MS: i32 = 20_000;

        let mut poll = libc::pollfd {
            fd: pipe.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the pointer is to one local.
        let result = unsafe { libc::poll(&raw mut poll, 1, LONG_MS) };
        result == 1 && poll.revents & libc::POLLHUP != 0
    }

    #[test]
    fn a_child_holds_what_it_was_given_and_nothing_else() {
        let (mut given_end, given) = io::pipe().expect("a pipe");
        let (output_end, output) = io::pipe().expect("a pipe");
        let given = [OwnedFd::from(given)];
        let child = hold(&given).expect("a child");
        drop((given, output));
        assert!(
            ends(&output_end),
            "whoever reads our output waits for the child"
        );
        let flags = libc::O_NONBLOCK;
        // SAFETY: the call takes integers.
        unsafe { libc::fcntl(given_end.as_raw_fd(), libc::F_SETFL, flags) };
        let held = given_end.read(&mut [0]).expect_err("the child holds it");
        assert_eq!(held.kind(), io::ErrorKind::WouldBlock);
        drop(child);
        assert!(ends(&given_end), "the child has not ended");
    }

    #[test]
    fn ranges_leave_out_what_is_kept() {
        let (pipe, writer) = io::pipe().expect("a pipe");
        let kept = [OwnedFd::from(writer)];
        let mut fds = [pipe.as_raw_fd(), kept[0].as_raw_fd()].map(i32::cast_unsigned);
        fds.sort_unstable();
        let ranges = all_but(&kept, &pipe);
        let is_closed = |fd| {
            ranges
                .iter()
                .any(|&(first, last)| (first..=last).contains(&fd))
        };
        assert!(fds.iter().all(|&fd| !is_closed(fd)), "{ranges:?}");
        let others = [0, 1, 2, fds[0] - 1, fds[1] + 1, c_uint::MAX];
        assert!(others.iter().all(|&fd| is_closed(fd)), "{ranges:?}");
    }
}
