//! No test lasts for ever: the processes of one that lasts too long are killed, so that whatever it
//! waits for ends, and it fails. Else the tests behind it were not run, and nobody was told of it.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write as _},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// Many times what the slowest test takes in an emulated machine, and a third of what all of them
/// together may take there.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a test may take to fail once its processes are gone.
const GRACE: Duration = Duration::from_secs(30);

thread_local! {
    /// Each test has a thread of its own, with whose end its watchdog goes.
    static OURS: Watchdog = Watchdog::start(LONGEST, tell);
}

/// Watches over the test that calls this, from the first call to its end.
///
/// # Panics
///
/// When it has lasted too long.
pub fn watch() {
    let has_bitten = OURS.with(Watchdog::has_bitten);
    // Also where a process is cleaned up because the test has failed already.
    assert!(
        !has_bitten || thread::panicking(),
        "it lasts for more than {LONGEST:?}; its processes were killed"
    );
}

/// Waits until something is so that nobody tells of.
///
/// # Panics
///
/// When the test has lasted too long.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        watch();
        thread::yield_now();
    }
}

/// What kills the processes that a thread has started, and theirs, if it is not dropped in time.
#[derive(Debug)]
pub struct Watchdog {
    has_bitten: Arc<AtomicBool>,
    /// Closed with the watchdog: nothing more is to be watched.
    _is_needed: Sender<Infallible>,
}

impl Watchdog {
    /// Watches over the calling thread for so long, and tells what it does by `tell`.
    #[must_use]
    pub fn start(longest: Duration, tell: fn(&str)) -> Self {
        let (is_needed, needed) = mpsc::channel();
        let has_bitten = Arc::new(AtomicBool::new(false));
        let name = thread::current().name().unwrap_or("a test").to_owned();
        // SAFETY: the call has no arguments.
        let tid = unsafe { libc::gettid() };
        let bites = Arc::clone(&has_bitten);
        thread::spawn(move || {
            if is_needed_after(&needed, longest) {
                bites.store(true, Ordering::Relaxed);
                tell(&format!("{name} lasts for more than {longest:?}"));
                if !kill_until_gone(&needed, tid) {
                    tell(&format!("{name} does not end though its processes do"));
                    process::abort();
                }
            }
        });
        Self {
            has_bitten,
            _is_needed: is_needed,
        }
    }

    /// Whether it has killed anything.
    #[must_use]
    pub fn has_bitten(&self) -> bool {
        self.has_bitten.load(Ordering::Relaxed)
    }
}

fn is_needed_after(needed: &Receiver<Infallible>, time: Duration) -> bool {
    needed.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

/// Kills all that the thread has started, and goes on to start, until it ends; not if it does not:
/// then it waits for something else, and can't be ended alone.
fn kill_until_gone(needed: &Receiver<Infallible>, tid: i32) -> bool {
    let started = Instant::now();
    while started.elapsed() < GRACE {
        for pid in below(&format!("/proc/self/task/{tid}")) {
            // SAFETY: the call takes integers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        if !is_needed_after(needed, Duration::from_millis(100)) {
            return true;
        }
    }
    false
}

/// What a thread has started, and all that that has.
fn below(thread: &str) -> Vec<i32> {
    let children = fs::read_to_string(format!("{thread}/children")).unwrap_or_default();
    let children = children
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok());
    children
        .flat_map(|child: i32| {
            let threads = fs::read_dir(format!("/proc/{child}/task"));
            let threads = threads.into_iter().flatten().flatten();
            let of_threads = threads.flat_map(|thread| below(&thread.path().display().to_string()));
            // Parents first: a shell is not to go on without its child.
            [child].into_iter().chain(of_threads).collect::<Vec<_>>()
        })
        .collect()
}

/// Not by `eprintln`: what the threads of a test write so is lost when the program is aborted.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "watchdog: {text}");
}
