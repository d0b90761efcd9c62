//! The tools, each the way from a request to a report.

mod attaching;
mod command;
pub mod doctor;
mod filters;
mod follow;
pub mod funccount;
pub mod install;
mod keys;
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
    /// Whether messages are shown on a terminal, where results may be drawn over them.
    pub shows_messages: bool,
    /// Messages that are kept until nothing is drawn any more; nothing if they need not be.
    pub held: Option<Vec<String>>,
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
        match &mut self.held {
            Some(lines) => lines.push(line),
            None => self.write_message(&line),
        }
    }

    fn write_message(&mut self, line: &str) {
        let _ = writeln!(self.messages, "{line}");
    }

    /// Keeps what would be written across what is drawn on the terminal, and be gone with it.
    pub fn hold(&mut self) {
        self.held = self.shows_messages.then(Vec::new);
    }

    /// Writes what was kept, and from now on all at once.
    pub fn release(&mut self) {
        for line in self.held.take().unwrap_or_default() {
            self.write_message(&line);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of a line that is said while something is drawn, and what is written in the end.
    fn said_while_drawing(shows_messages: bool) -> (Option<Vec<String>>, String) {
        let mut messages = Vec::new();
        let mut console = Console {
            results: &mut io::sink(),
            messages: &mut messages,
            colours: Colours::default(),
            verbosity: Verbosity::Usual,
            progress: Progress::default(),
            shows_messages,
            held: None,
        };
        console.hold();
        console.say("during");
        let held = console.held.clone();
        console.release();
        console.say("after");
        (held, String::from_utf8(messages).expect("text"))
    }

    #[test]
    fn messages_wait_for_the_end_of_what_is_drawn_on_their_terminal() {
        let written = "during\nafter\n".to_owned();
        let held = Some(vec!["during".to_owned()]);
        assert_eq!(said_while_drawing(true), (held, written.clone()));
        assert_eq!(said_while_drawing(false), (None, written));
    }
}
