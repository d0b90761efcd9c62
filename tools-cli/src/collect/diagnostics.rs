//! What our programs in the kernel tell of single events that went wrong.

use std::{
    fmt,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use probes_common::{Loss, NO_PROBE};

/// An event that something went wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What.
    pub loss: Loss,
    /// The number of the probe, if it is known.
    pub probe: Option<u32>,
    /// The thread as our PID namespace numbers it; 0 for one that is not there.
    pub tid: u32,
    /// More about it, as [`Loss`] says.
    pub detail: u64,
}

/// The log of a run's programs.
pub struct Diagnostics {
    logger: EbpfLogger<Lines>,
    lines: Lines,
}

/// Where aya-log puts what it reads.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<Diagnostic>>>);

impl Diagnostics {
    /// Opens the log of the program with the number `program_id`, and of all that share its maps.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us look for it: that takes `CAP_SYS_ADMIN`.
    pub fn open(program_id: u32) -> Result<Self, aya_log::Error> {
        let lines = Lines::default();
        Ok(Self {
            logger: EbpfLogger::init_from_id_with_logger(program_id, lines.clone())?,
            lines,
        })
    }

    /// Takes what was told since the last call.
    pub fn take(&mut self) -> Vec<Diagnostic> {
        self.logger.flush();
        let mut lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut lines)
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics").finish_non_exhaustive()
    }
}

impl AsRawFd for Diagnostics {
    fn as_raw_fd(&self) -> RawFd {
        self.logger.as_raw_fd()
    }
}

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(diagnostic) = parse(&record.args().to_string()) {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(diagnostic);
        }
    }

    fn flush(&self) {}
}

/// Reads the numbers of a line.
fn parse(line: &str) -> Option<Diagnostic> {
    let mut numbers = line.split(' ').map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let loss = *Loss::ALL.get(usize::try_from(next()?).ok()?)?;
    let probe = u32::try_from(next()?).ok()?;
    Some(Diagnostic {
        loss,
        probe: (probe != NO_PROBE).then_some(probe),
        tid: u32::try_from(next()?).ok()?,
        detail: next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_four_numbers() {
        let expected = Diagnostic {
            loss: Loss::Fault,
            probe: Some(3),
            tid: 4711,
            detail: 5,
        };
        assert_eq!(parse("5 3 4711 5"), Some(expected));
        let unknown = parse("1 4294967295 0 0").expect("numbers");
        assert_eq!((unknown.loss, unknown.probe), (Loss::StackTable, None));
        for line in ["", "5 3 4711", "99 3 4711 5", "5 x 4711 5", "5 3 -1 5"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
