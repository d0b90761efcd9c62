//! What a running tool waits for.

use std::{
    future::{pending, poll_fn},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd, FromRawFd as _, OwnedFd},
    ptr,
    task::{self, Poll},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::kernel::thread::Thread;

/// Why a tool stops, or what it is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interval is over.
    Interval,
    /// The ring buffer that is watched has records.
    Records,
    /// The time asked for is over.
    Elapsed,
    /// A signal asks us to stop.
    Signal,
    /// One of the processes that were asked for has ended; others have not.
    OneEnded(u32),
    /// The processes that were asked for have ended.
    TargetEnded,
    /// Nobody reads our results any more.
    ReaderGone,
}

/// The signals that ask a tool to stop.
#[derive(Debug)]
pub struct StopSignals(Vec<Signal>);

impl StopSignals {
    /// Catches them from now on, but for those that whoever started us has ignored: `nohup` is to
    /// outlive the terminal, a script's `funccount … &` the Ctrl-C for what is in front of it.
    ///
    /// # Errors
    ///
    /// When handlers can't be installed.
    pub fn catch() -> io::Result<Self> {
        let mut signals = Vec::new();
        for number in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            if !is_ignored(number)? {
                signals.push(signal(SignalKind::from_raw(number))?);
            }
        }
        Ok(Self(signals))
    }

    /// The next one.
    pub async fn next(&mut self) {
        poll_fn(|context| {
            let mut polled = self.0.iter_mut().map(|signal| signal.poll_recv(context));
            match polled.any(|signal| signal.is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is set, and the pointer is to a local, which is read only if it was filled in.
    unsafe {
        match libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) {
            0 => Ok(action.assume_init().sa_sigaction == libc::SIG_IGN),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// What happens to a terminal that is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenEvent {
    /// Ctrl-Z was pressed: what is on it is to be tidied up before we stop.
    Suspended,
    /// It has another size.
    Resized,
}

/// The signals that a terminal sends to who draws on it.
#[derive(Debug)]
pub struct ScreenSignals {
    suspend: Signal,
    resize: Signal,
}

impl ScreenSignals {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// When handlers can't be installed.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            suspend: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> ScreenEvent {
        tokio::select! {
            _ = self.suspend.recv() => ScreenEvent::Suspended,
            _ = self.resize.recv() => ScreenEvent::Resized,
        }
    }
}

/// Stops this process until somebody lets it go on.
pub fn suspend() {
    // SAFETY: the call takes an integer. It can't fail: the signal is one that there is.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// The processes whose end is ours, and the thread.
#[derive(Debug)]
pub struct Targets {
    processes: Vec<Process>,
    thread: Option<AsyncFd<Thread>>,
}

/// A process by a descriptor, which stands for it even if its number is given to another, and
/// becomes readable at its end (Linux 5.3).
#[derive(Debug)]
struct Process {
    pid: u32,
    descriptor: AsyncFd<OwnedFd>,
    /// Whether its end was told.
    is_told: bool,
}

impl Targets {
    /// Watches these from now on.
    ///
    /// # Errors
    ///
    /// When one can't be watched, or has ended.
    pub fn watch(pids: &[u32], tid: Option<u32>) -> io::Result<Self> {
        let processes = pids.iter().map(|&pid| {
            let descriptor = open_process(pid).map_err(|error| unwatched(error, "process", pid))?;
            Ok(Process {
                pid,
                descriptor: register(descriptor, Interest::READABLE)?,
                is_told: false,
            })
        });
        let thread = tid.map(|tid| {
            let thread = Thread::watch(tid).map_err(|error| unwatched(error, "thread", tid))?;
            register(thread, Interest::READABLE)
        });
        Ok(Self {
            processes: processes.collect::<io::Result<_>>()?,
            thread: thread.transpose()?,
        })
    }

    /// Waits until one has ended whose end was not told yet, and tells it: by its number, or as the
    /// end of all.
    async fn next(&mut self) -> io::Result<Event> {
        let index = tokio::select! {
            biased;
            result = self.thread_ended() => return result.map(|()| Event::TargetEnded),
            result = poll_fn(|context| self.poll_ended(context)) => result?,
        };
        let is_last = self
            .processes
            .iter()
            .enumerate()
            .all(|(other, process)| process.is_told || other == index);
        // The last is told as often as it is asked for.
        if is_last {
            return Ok(Event::TargetEnded);
        }
        let process = &mut self.processes[index];
        process.is_told = true;
        Ok(Event::OneEnded(process.pid))
    }

    fn poll_ended(&self, context: &mut task::Context<'_>) -> Poll<io::Result<usize>> {
        let waiting = self.processes.iter().enumerate();
        for (index, process) in waiting.filter(|(_, process)| !process.is_told) {
            if let Poll::Ready(ready) = process.descriptor.poll_read_ready(context) {
                // Not cleared: a process that has ended stays so.
                return Poll::Ready(ready.map(|mut guard| {
                    guard.retain_ready();
                    index
                }));
            }
        }
        Poll::Pending
    }

    /// Waits until all processes have ended, or the thread has; forever if there are none.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub async fn all_ended(&self) -> io::Result<()> {
        tokio::select! {
            result = self.thread_ended() => result,
            result = self.processes_ended() => result,
        }
    }

    async fn processes_ended(&self) -> io::Result<()> {
        if self.processes.is_empty() {
            return pending().await;
        }
        for process in &self.processes {
            // Not cleared: a process that has ended stays so.
            process.descriptor.readable().await?.retain_ready();
        }
        Ok(())
    }

    async fn thread_ended(&self) -> io::Result<()> {
        let Some(thread) = &self.thread else {
            return pending().await;
        };
        thread.readable().await?.retain_ready();
        Ok(())
    }
}

fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What failed to be watched, which has ended if the kernel says that there is none.
fn unwatched(error: io::Error, what: &str, number: u32) -> io::Error {
    io::Error::other(match error.raw_os_error() {
        Some(libc::ESRCH) => format!("{what} {number} has ended"),
        _ => format!("{what} {number}: {error}"),
    })
}

/// Waits for one event after the other.
#[derive(Debug)]
pub struct Waiter {
    signals: StopSignals,
    interval: Option<Duration>,
    next_interval: Option<Instant>,
    deadline: Option<Instant>,
    targets: Targets,
    reader: Option<AsyncFd<OwnedFd>>,
    records: Option<AsyncFd<OwnedFd>>,
    tick: Option<Duration>,
}

impl Waiter {
    /// Starts the clocks. What is further off than they reach never comes.
    #[must_use]
    pub fn start(
        signals: StopSignals,
        interval: Option<Duration>,
        duration: Option<Duration>,
        targets: Targets,
    ) -> Self {
        let now = Instant::now();
        Self {
            signals,
            interval,
            next_interval: interval.and_then(|interval| now.checked_add(interval)),
            deadline: duration.and_then(|duration| now.checked_add(duration)),
            targets,
            reader: watch_stdout(),
            records: None,
            tick: None,
        }
    }

    /// Watches a ring buffer too, and tells of it every `tick` even if nothing is known to be there.
    ///
    /// # Errors
    ///
    /// When it can't be watched.
    pub fn watch(&mut self, records: OwnedFd, tick: Duration) -> io::Result<()> {
        self.tick = Some(tick);
        self.records = Some(register(records, Interest::READABLE)?);
        Ok(())
    }

    /// The next event. An interval that ends with the whole time is the end, not an interval; several
    /// that have ended since the last call are one.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub async fn next(&mut self) -> io::Result<Event> {
        let is_last =
            matches!((self.next_interval, self.deadline), (Some(next), Some(end)) if next >= end);
        let interval = if is_last { None } else { self.next_interval };
        tokio::select! {
            biased;
            () = self.signals.next() => Ok(Event::Signal),
            () = until(self.deadline) => Ok(Event::Elapsed),
            () = reader_gone(self.reader.as_ref()) => Ok(Event::ReaderGone),
            event = self.targets.next() => event,
            result = has_records(self.records.as_ref()) => result.map(|()| Event::Records),
            () = until(self.tick.map(|tick| Instant::now() + tick)) => Ok(Event::Records),
            () = until(interval) => {
                self.next_interval = match (interval, self.interval) {
                    (Some(last), Some(step)) => end_after(Instant::now(), last, step),
                    _ => None,
                };
                Ok(Event::Interval)
            }
        }
    }
}

/// The first end of an interval after `now`, of those that lie `step` apart from `last` on.
///
/// Those before have been missed: we were stopped, or nobody read what we wrote.
fn end_after(now: Instant, last: Instant, step: Duration) -> Option<Instant> {
    let since = now.duration_since(last).as_nanos();
    let into = since.checked_rem(step.as_nanos())?;
    now.checked_add(step - Duration::from_nanos_u128(into))
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Waits for the descriptor from now on.
///
/// # Errors
///
/// When it can't be waited for.
pub(super) fn register<T: AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: what is registered here gives the same descriptor each time, and keeps it open.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// The kernel tells of records once, when there were none before; whoever is told reads them all.
pub(super) async fn has_records<T: AsRawFd>(records: Option<&AsyncFd<T>>) -> io::Result<()> {
    match records {
        Some(records) => {
            records.readable().await?.clear_ready();
            Ok(())
        }
        None => pending().await,
    }
}

/// Watches for the other end of a pipe on standard output; files have none.
fn watch_stdout() -> Option<AsyncFd<OwnedFd>> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().ok()?;
    is_pipe(&stdout)
        .then(|| register(stdout, Interest::ERROR).ok())
        .flatten()
}

fn is_pipe(fd: &OwnedFd) -> bool {
    std::fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).is_ok_and(|metadata| {
        use std::os::unix::fs::FileTypeExt as _;
        metadata.file_type().is_fifo() || metadata.file_type().is_socket()
    })
}

async fn reader_gone(reader: Option<&AsyncFd<OwnedFd>>) {
    let Some(reader) = reader else {
        return pending().await;
    };
    if reader.ready(Interest::ERROR).await.is_err() {
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_were_missed_are_not_made_up_for() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs_f64(seconds);
        let step = Duration::from_secs(2);
        for (now, next) in [
            (0.0, 2.0),
            (0.5, 2.0),
            (1.75, 2.0),
            (2.0, 4.0),
            (601.0, 602.0),
        ] {
            assert_eq!(
                end_after(after(now), start, step),
                Some(after(next)),
                "{now}"
            );
        }
    }

    #[test]
    fn what_is_further_off_than_clocks_reach_never_comes() {
        let now = Instant::now();
        assert_eq!(end_after(now, now, Duration::MAX), None);
        assert_eq!(end_after(now, now, Duration::ZERO), None);
    }
}
