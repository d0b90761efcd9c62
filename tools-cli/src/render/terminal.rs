//! What a stream can show beyond lines.

use std::{
    env,
    fmt::Display,
    io::{IsTerminal, Stderr, Stdout},
};

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use anstyle::{AnsiColor, Style};

/// Whether what is there can be written over: on a terminal, unless it calls itself dumb.
#[must_use]
pub fn can_be_redrawn(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What has colours: what goes to a terminal that knows them, unless the environment forbids it
/// (`NO_COLOR`, `CLICOLOR`), or asks for them everywhere (`CLICOLOR_FORCE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colours {
    /// Results.
    pub results: bool,
    /// Everything else.
    pub messages: bool,
}

impl Colours {
    /// Those of this process.
    #[must_use]
    pub fn of(results: &Stdout, messages: &Stderr) -> Self {
        Self {
            results: are_wanted(results),
            messages: are_wanted(messages),
        }
    }
}

fn are_wanted<S: RawStream>(stream: &S) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// What stands out as good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What asks for attention.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default().bold();
/// What is bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What is only told.
pub const TOLD: Style = AnsiColor::Cyan.on_default().bold();

/// `text` in that style.
pub fn styled(style: Style, text: impl Display) -> impl Display {
    std::fmt::from_fn(move |f| write!(f, "{style}{text}{style:#}"))
}

/// A message with its first word in colour, if that tells what it is.
#[must_use]
pub fn with_coloured_label(message: &str) -> String {
    let labels = [("error:", BAD), ("note:", TOLD), ("kernel:", DOUBTFUL)];
    for (label, style) in labels {
        if let Some(rest) = message.strip_prefix(label) {
            return format!("{}{rest}", styled(style, label));
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_at_the_start_are_coloured() {
        let red = "\x1b[1m\x1b[31merror:\x1b[0m";
        assert_eq!(
            with_coloured_label("error: note: it failed"),
            format!("{red} note: it failed")
        );
        for plain in ["errors: 3", "missed 3 events", " note: indented"] {
            assert_eq!(with_coloured_label(plain), plain);
        }
    }
}
