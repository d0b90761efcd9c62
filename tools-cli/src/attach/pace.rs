//! Attaching one place after the other, which for many places takes a while: the user is told how
//! long, and may stop it at any place.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{Way, WayError};
use crate::render::Grouped;

/// What attaching asks its caller, and tells it, meanwhile; from several threads.
///
/// A closure that says whether to stop is one that is told nothing.
pub trait Observer: Sync {
    /// Whether to stop.
    fn is_interrupted(&self) -> bool;

    /// Hears, once for each way that is used, that it will take a while.
    fn hear(&self, _slow: Slow) {}

    /// Hears, at each place, how many of all are done.
    fn count(&self, _done: usize, _all: usize) {}
}

impl<F: Fn() -> bool + Sync> Observer for F {
    fn is_interrupted(&self) -> bool {
        self()
    }
}

/// Many places that are attached one by one.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// How.
    pub way: Way,
    /// How many.
    pub places: usize,
    /// How long it takes, by the pace of the first few.
    pub estimate: Duration,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = Grouped(self.places as u64);
        let seconds = self.estimate.as_secs();
        write!(f, "attaching {places} places one by one ({}), ", self.way)?;
        match seconds {
            0..120 => write!(f, "about {seconds} s")?,
            _ => write!(f, "about {} min", (seconds + 30) / 60)?,
        }
        f.write_str("; Ctrl-C stops it")
    }
}

/// The walk through places that are attached by one way, one after the other.
pub(super) struct Pace<'a> {
    observer: &'a dyn Observer,
    way: Way,
    places: usize,
    done: usize,
    start: Instant,
}

impl<'a> Pace<'a> {
    pub(super) fn start(observer: &'a dyn Observer, way: Way, places: usize) -> Self {
        Self {
            observer,
            way,
            places,
            done: 0,
            start: Instant::now(),
        }
    }

    /// Before each place: whether to go on.
    pub(super) fn step(&mut self) -> Result<(), WayError> {
        /// As many as show the pace.
        const FIRST_FEW: usize = 32;
        /// Who waits longer wants to know why.
        const PATIENCE: Duration = Duration::from_secs(2);

        if self.observer.is_interrupted() {
            return Err(WayError::Interrupted);
        }
        if self.done == FIRST_FEW {
            let slow = self.estimate(self.start.elapsed());
            if slow.estimate > PATIENCE {
                self.observer.hear(slow);
            }
        }
        self.observer.count(self.done, self.places);
        self.done += 1;
        Ok(())
    }

    /// How long all places take if those done so far took `elapsed`.
    fn estimate(&self, elapsed: Duration) -> Slow {
        let places = u32::try_from(self.places).unwrap_or(u32::MAX);
        let done = u32::try_from(self.done).unwrap_or(u32::MAX).max(1);
        Slow {
            way: self.way,
            places: self.places,
            estimate: (elapsed / done).saturating_mul(places),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_estimate_follows_the_first_few() {
        let mut pace = Pace::start(&|| false, Way::Kprobe, 38_084);
        for _ in 0..32 {
            pace.step().expect("not interrupted");
        }
        for (milliseconds, expected) in [(32, "about 38 s"), (320, "about 6 min")] {
            let slow = pace.estimate(Duration::from_millis(milliseconds));
            assert_eq!(
                slow.to_string(),
                format!("attaching 38,084 places one by one (kprobe), {expected}; Ctrl-C stops it")
            );
        }
    }

    #[test]
    fn what_is_done_is_counted() {
        struct Counted(Mutex<Vec<(usize, usize)>>);
        impl Observer for Counted {
            fn is_interrupted(&self) -> bool {
                false
            }
            fn count(&self, done: usize, all: usize) {
                self.0.lock().expect("no panic").push((done, all));
            }
        }
        let counted = Counted(Mutex::default());
        let mut pace = Pace::start(&counted, Way::Kprobe, 2);
        for _ in 0..2 {
            pace.step().expect("not interrupted");
        }
        assert_eq!(counted.0.into_inner().expect("no panic"), [(0, 2), (1, 2)]);
    }

    #[test]
    fn an_interrupt_is_heard_before_each_place() {
        let mut pace = Pace::start(&|| true, Way::Kprobe, 2);
        assert!(matches!(pace.step(), Err(WayError::Interrupted)));
    }
}
