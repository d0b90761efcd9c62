//! What was checked, and what to do about it.

use std::io::{self, Write};

use anstyle::Style;
use serde::Serialize;

use super::{
    Escaped, Format, json,
    terminal::{BAD, DOUBTFUL, GOOD, styled},
};

/// Something that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    #[serde(rename = "check")]
    pub name: String,
    /// How it is.
    pub status: Verdict,
    /// What was found.
    pub found: String,
    /// What would help.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something is slower, or tells less, than it could.
    Warn,
    /// Something that the tools do can't be done.
    Fail,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    const fn style(self) -> Style {
        match self {
            Self::Ok => GOOD,
            Self::Warn => DOUBTFUL,
            Self::Fail => BAD,
        }
    }
}

impl Check {
    /// One that is as it should be.
    #[must_use]
    pub fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    /// One that could be better.
    #[must_use]
    pub fn warn(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Verdict::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(name, found)
        }
    }

    /// One that fails.
    #[must_use]
    pub fn fail(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status: Verdict::Fail,
            ..Self::warn(name, found, remedy)
        }
    }
}

/// Writes a line for each check with its remedy below it, with or without colours, or an object each.
///
/// # Errors
///
/// When they can't be written.
pub fn write_checks(
    out: &mut dyn Write,
    format: Format,
    in_colour: bool,
    checks: &[Check],
) -> io::Result<()> {
    for check in checks {
        match format {
            Format::Json => json::write_line(out, check)?,
            Format::Text => write_text(out, in_colour, check)?,
        }
    }
    out.flush()
}

fn write_text(out: &mut dyn Write, in_colour: bool, check: &Check) -> io::Result<()> {
    let word = format!("{:<5}", check.status.word());
    if in_colour {
        write!(out, "{}", styled(check.status.style(), word))?;
    } else {
        write!(out, "{word}")?;
    }
    writeln!(
        out,
        " {:<26} {}",
        Escaped(&check.name),
        Escaped(&check.found)
    )?;
    match &check.remedy {
        Some(remedy) => writeln!(out, "{:32} → {}", "", Escaped(remedy)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_below_what_they_are_for() {
        let checks = [
            Check::ok("kernel", "Linux 6.12"),
            Check::warn("libc", "no\x1b", "install it"),
            Check::fail("tracefs", "not mounted", "mount it"),
        ];
        let written = |format, in_colour| {
            let mut out = Vec::new();
            write_checks(&mut out, format, in_colour, &checks).expect("a vector takes all");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            written(Format::Text, false),
            "ok    kernel                     Linux 6.12\n\
             warn  libc                       no\\u{1b}\n                                 → install it\n\
             FAIL  tracefs                    not mounted\n                                 → mount it\n"
        );
        let coloured = written(Format::Text, true);
        assert!(
            coloured.starts_with("\x1b[32mok   \x1b[0m kernel"),
            "{coloured}"
        );
        assert!(
            coloured.contains("\x1b[31mFAIL \x1b[0m tracefs"),
            "{coloured}"
        );
        let last = written(Format::Json, true);
        let last: serde_json::Value =
            serde_json::from_str(last.lines().last().expect("three")).expect("JSON");
        assert_eq!(last["status"], "fail");
        assert_eq!(last["remedy"], "mount it");
    }
}
