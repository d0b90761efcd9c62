//! What is being done, told while it takes long: a line that comes and goes.

use std::{
    fmt,
    io::Write,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::render::Grouped;

/// To the start of the line, and nothing from there on.
const ERASE: &str = "\r\x1b[K";
/// How often the line is written anew.
const TICK: Duration = Duration::from_secs(1);

/// Who is told; nobody by default.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    out: Box<dyn Write + Send>,
    work: Option<Work>,
    is_shown: bool,
}

struct Work {
    what: String,
    began: Instant,
    /// How many parts are done, and of how many, where that is known.
    done: Option<(usize, usize)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Work that goes on until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Working(Progress);

impl Progress {
    /// Tells the terminal `out` what goes on for longer than `patience`.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, patience: Duration) -> Self {
        let line = Arc::new(Line {
            state: Mutex::new(State {
                out,
                work: None,
                is_shown: false,
            }),
            changed: Condvar::new(),
        });
        let drawn = Arc::clone(&line);
        // Without it, nothing but the line is missing.
        let _ = thread::Builder::new().spawn(move || drawn.keep_drawing(patience));
        Self(Some(line))
    }

    /// Begins a piece of work; ends the one before.
    pub fn working(&self, what: impl Into<String>) -> Working {
        self.set(Some(Work {
            what: what.into(),
            began: Instant::now(),
            done: None,
        }));
        Working(self.clone())
    }

    /// Tells how much of the work is done, when the line is next written.
    pub fn count(&self, done: usize, all: usize) {
        if let Some(line) = &self.0
            && let Some(work) = &mut line.lock().work
        {
            work.done = Some((done, all));
        }
    }

    /// Takes the line away, so that something can be written there; it comes back by itself.
    pub fn make_way(&self) {
        if let Some(line) = &self.0 {
            line.lock().erase();
        }
    }

    fn set(&self, work: Option<Work>) {
        if let Some(line) = &self.0 {
            let mut state = line.lock();
            state.work = work;
            state.erase();
            line.changed.notify_all();
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_drawing(&self, patience: Duration) {
        let mut state = self.lock();
        loop {
            let elapsed = state.work.as_ref().map(|work| work.began.elapsed());
            state = match elapsed {
                None => {
                    let woken = self.changed.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
                Some(elapsed) => {
                    let rest = patience.saturating_sub(elapsed);
                    if rest.is_zero() {
                        state.draw();
                    }
                    let time = if rest.is_zero() { TICK } else { rest };
                    let woken = self.changed.wait_timeout(state, time);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// That the line can't be written is no reason to stop.
    fn draw(&mut self) {
        if let Some(Work { what, began, done }) = &self.work {
            let seconds = began.elapsed().as_secs();
            let done = done.map_or(String::new(), |(done, all)| {
                format!("{} of {}, ", Grouped(done as u64), Grouped(all as u64))
            });
            let _ = write!(self.out, "{ERASE}{what} ... {done}{seconds} s");
            let _ = self.out.flush();
            self.is_shown = true;
        }
    }

    fn erase(&mut self) {
        if self.is_shown {
            let _ = write!(self.out, "{ERASE}");
            let _ = self.out.flush();
            self.is_shown = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::mpsc::{Receiver, Sender, channel},
    };

    use super::*;

    /// A terminal, of which what is written arrives elsewhere.
    struct Terminal(Sender<String>);

    impl Write for Terminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn terminal(patience: Duration) -> (Progress, Receiver<String>) {
        let (sender, shown) = channel();
        (Progress::new(Box::new(Terminal(sender)), patience), shown)
    }

    /// What is shown up to `end`.
    fn shown_until(shown: &Receiver<String>, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            text += &shown.recv().expect("it is shown");
        }
        text
    }

    #[test]
    fn what_takes_long_is_shown_and_taken_away() {
        let (progress, shown) = terminal(Duration::ZERO);
        let working = progress.working("attaching 3 places");
        let text = shown_until(&shown, " s");
        assert!(
            text.starts_with("\r\x1b[Kattaching 3 places ... "),
            "{text:?}"
        );
        progress.make_way();
        assert_eq!(shown_until(&shown, "\x1b[K"), "\r\x1b[K");
        drop(working);
        // It is not there any more: nothing is to be taken away.
        let next = progress.working("detaching");
        let text = shown_until(&shown, " s");
        assert!(text.ends_with("detaching ... 0 s"), "{text:?}");
        drop(next);
        assert_eq!(shown_until(&shown, "\x1b[K"), "\r\x1b[K");
    }

    #[test]
    fn the_line_tells_how_much_is_done() {
        let (progress, shown) = terminal(Duration::ZERO);
        let _working = progress.working("attaching");
        shown_until(&shown, " s");
        progress.count(1234, 3444);
        let mut text = String::new();
        while !text.contains("\r\x1b[Kattaching ... 1,234 of 3,444, ") {
            text += &shown.recv().expect("it is shown");
        }
    }

    #[test]
    fn what_is_done_soon_is_not_shown() {
        let (progress, shown) = terminal(Duration::from_secs(3600));
        for _ in 0..1000 {
            let _working = progress.working("resolving");
        }
        progress.make_way();
        assert!(shown.try_recv().is_err());
    }

    #[test]
    fn nobody_is_told_by_default() {
        let progress = Progress::default();
        drop(progress.working("resolving"));
        progress.make_way();
    }
}
