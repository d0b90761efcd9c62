//! The tools, each the way from a request to a report.

mod command;
pub mod doctor;
mod filters;
mod follow;
pub mod funccount;
pub mod install;
pub mod list;
mod losses;
mod progress;
mod session;
pub mod stackcount;
pub mod trace;
mod wait;

use std::io::{self, Write};

pub use self::{filters::Filters, progress::Progress, session::Request};
use crate::render::{Colours, escape_lines, with_coloured_label};

/// Where a tool writes.
pub struct Console<'a> {
    /// Results, and nothing else.
    pub results: &'a mut dyn Write,
    /// Everything else.
    pub messages: &'a mut dyn Write,
    /// Which of both has colours.
    pub colours: Colours,
    /// How much is told.
    pub verbosity: Verbosity,
    /// Who is told what takes long.
    pub progress: Progress,
}

/// How much is told beside results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// What has to be known.
    Usual,
    /// How it is done, too.
    Details,
    /// And single events that go wrong in the kernel.
    Kernel,
}

impl Console<'_> {
    /// Writes a line of what is not a result, safe for a terminal. That it can't be written is no
    /// reason to stop.
    pub fn say(&mut self, line: impl std::fmt::Display) {
        self.progress.make_way();
        let line = escape_lines(&line.to_string());
        let line = match self.colours.messages {
            true => with_coloured_label(&line),
            false => line,
        };
        let _ = writeln!(self.messages, "{line}");
    }

    /// Writes a line for those who want details.
    pub fn detail(&mut self, line: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Details {
            self.say(line);
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should.
    Done,
    /// With the command that was traced, and its exit status.
    Command(u8),
    /// With the finding that something does not work.
    Unfit,
}

/// What is said before the reason why results can't be written.
const UNWRITTEN: &str = "failed to write the results";

/// Whether an error only says that the reader of our results has gone.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
