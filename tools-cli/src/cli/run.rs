//! Flags of the tools that count: what, where, how long, how.

use std::{ffi::OsString, time::Duration};

use super::{BadCommandLine, complete, filters::FilterArgs};
use crate::{
    attach::{self, Way},
    spec::{ProbeSpec, Syntax},
    tool::Request,
};

#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// What to count
    #[arg(required = true, value_name = "PATTERN", add = complete::probes())]
    patterns: Vec<String>,
    #[command(flatten)]
    filters: FilterArgs,
    /// Print, and start again from zero, every so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    interval: Option<Duration>,
    /// Print the time before each table
    #[arg(short = 'T', long)]
    pub(super) timestamp: bool,
    /// PATTERN is a regular expression, anchored at its start
    #[arg(short, long)]
    regexp: bool,
    /// Attach in this way only: kprobe.multi, kprobe, kprobe.single, fentry, uprobe.multi, uprobe,
    /// uprobe.single, tracepoint or tracepoint.single
    #[arg(long, value_name = "NAME", add = complete::ways())]
    attach_with: Option<Way>,
    /// Run this command and count in it and its children only
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RunArgs {
    pub(super) fn request(&self, duration: Option<Duration>) -> anyhow::Result<Request> {
        let syntax = if self.regexp {
            Syntax::Regex
        } else {
            Syntax::Glob
        };
        let specs = self
            .patterns
            .iter()
            .map(|text| ProbeSpec::parse(text, syntax))
            .collect::<Result<_, _>>()
            .map_err(|error| BadCommandLine(error.to_string()))?;
        Ok(Request {
            specs,
            filters: self.filters.filters(!self.command.is_empty())?,
            command: self.command.clone(),
            attach: attach::Options {
                only: self.attach_with,
            },
            interval: self.interval,
            duration,
        })
    }
}

/// Seconds, with or without a fraction; more than none, and as many as clocks can go on.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    /// A hundred years.
    const LONGEST: Duration = Duration::from_secs(3_155_760_000);

    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected seconds, as 5 or 0.5".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => Err("expected more than 0 seconds, and at most a hundred years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_as_many_as_clocks_can_go_on() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds("1e9"), Ok(Duration::from_secs(1_000_000_000)));
        for refused in ["0", "-1", "1e-10", "1e10", "1e19", "1e30", "inf", "nan"] {
            let reason = parse_seconds(refused).expect_err(refused);
            assert!(
                reason.starts_with("expected more than 0"),
                "{refused}: {reason}"
            );
        }
        assert!(parse_seconds("soon").is_err());
    }
}
