//! Holds programs at the system calls by which they load and attach, where a test can look at them
//! for as long as it likes: such a call takes a moment, which is missed more often than met.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use libc::{seccomp_notif, seccomp_notif_resp, sock_filter, sock_fprog};

use crate::watchdog::wait_until;

/// `BPF_PROG_LOAD`.
const PROG_LOAD: u32 = 5;

/// `BPF_LINK_CREATE`.
const LINK_CREATE: u32 = 28;

/// Before each such call of what its thread has started.
#[derive(Debug)]
pub struct Gate {
    /// Where the kernel tells of calls, and is told what comes of them (seccomp(2)).
    listener: OwnedFd,
}

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub struct Call(u64);

impl Gate {
    /// Runs `test` on a thread of its own, which this can't be undone for.
    ///
    /// # Panics
    ///
    /// When the test does, or the kernel has no such thing.
    pub fn with(test: impl FnOnce(&Self) + Send) {
        let name = thread::current().name().map(ToOwned::to_owned);
        let run = || test(&Self::of_this_thread().expect("the kernel has seccomp"));
        thread::scope(|scope| {
            let builder = thread::Builder::new().name(name.unwrap_or_default());
            let thread = builder.spawn_scoped(scope, run).expect("a thread");
            thread
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic));
        });
    }

    fn of_this_thread() -> io::Result<Self> {
        let mut filter = filter();
        let program = sock_fprog {
            len: u16::try_from(filter.len()).expect("it is short"),
            filter: filter.as_mut_ptr(),
        };
        let (set, flags) = (
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
        );
        // SAFETY: the program is read during the call, and the descriptor is a new one.
        unsafe {
            let fd = libc::syscall(libc::SYS_seccomp, set, flags, &raw const program);
            let fd = i32::try_from(fd).expect("a descriptor");
            match fd {
                ..0 => Err(io::Error::last_os_error()),
                _ => Ok(Self {
                    listener: OwnedFd::from_raw_fd(fd),
                }),
            }
        }
    }

    /// Waits until a program makes such a call. It waits then, until it may go on or is killed.
    ///
    /// # Panics
    ///
    /// When the test has lasted too long.
    #[must_use]
    pub fn next(&self) -> Call {
        // The call itself would wait for ever when the program is gone.
        wait_until(|| self.has_call());
        self.take().expect("it waits")
    }

    /// The call that waits; nothing if its program was killed meanwhile.
    fn take(&self) -> Option<Call> {
        // SAFETY: zeroes are a value of it, and what the kernel wants to be given.
        let mut call: seccomp_notif = unsafe { mem::zeroed() };
        let taken = self.control(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call);
        taken.is_ok().then_some(Call(call.id))
    }

    /// Has the kernel carry out a call, if the program that made it is still there.
    ///
    /// # Panics
    ///
    /// When the kernel does not.
    pub fn pass(&self, call: Call) {
        let mut answer = seccomp_notif_resp {
            id: call.0,
            val: 0,
            error: 0,
            flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).expect("it fits"),
        };
        if let Err(error) = self.control(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
        }
    }

    /// Has the kernel carry out all calls while something is done.
    pub fn open_while<T>(&self, act: impl FnOnce() -> T) -> T {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    if self.has_call() {
                        self.take().into_iter().for_each(|call| self.pass(call));
                    }
                }
            });
            let done = panic::catch_unwind(AssertUnwindSafe(act));
            is_done.store(true, Ordering::Relaxed);
            done.unwrap_or_else(|panic| panic::resume_unwind(panic))
        })
    }

    fn has_call(&self) -> bool {
        const MILLISECONDS: i32 = 10;
        let mut listener = libc::pollfd {
            fd: self.listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry is given.
        unsafe { libc::poll(&raw mut listener, 1, MILLISECONDS) == 1 }
    }

    fn control<T>(&self, request: libc::Ioctl, argument: *mut T) -> io::Result<()> {
        // SAFETY: each request comes with the type that it reads and writes.
        match unsafe { libc::ioctl(self.listener.as_raw_fd(), request, argument) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Tells of what loads programs and attaches them, and lets all else pass.
fn filter() -> [sock_filter; 8] {
    /// Where `struct seccomp_data` has the number of the call, and the lower half of its first
    /// argument (include/uapi/linux/seccomp.h).
    const NUMBER: u32 = 0;
    const COMMAND: u32 = 16;
    let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let skip = |value, if_equal, if_not| {
        let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        instruction(code, value, if_equal, if_not)
    };
    let end = |action| instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0);
    let call = |number: libc::c_long| u32::try_from(number).expect("a small number");
    [
        load(NUMBER),
        skip(call(libc::SYS_perf_event_open), 5, 0),
        skip(call(libc::SYS_bpf), 0, 3),
        load(COMMAND),
        skip(PROG_LOAD, 2, 0),
        skip(LINK_CREATE, 1, 0),
        end(libc::SECCOMP_RET_ALLOW),
        end(libc::SECCOMP_RET_USER_NOTIF),
    ]
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    let code = u16::try_from(code).expect("an opcode");
    sock_filter { code, jt, jf, k }
}
