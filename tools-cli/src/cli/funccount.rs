//! funccount's flags.

use std::{ffi::OsString, time::Duration};

use clap::Parser;

use super::{BadCommandLine, filters::FilterArgs, parse_seconds};
use crate::{
    attach::{self, Way},
    render::{CountTable, Format},
    spec::{ProbeSpec, Syntax},
    tool::{Request, funccount::Options},
};

const EXAMPLES: &str = "\
Examples:
  funccount 'vfs_*'                  kernel functions that begin with vfs_
  funccount -i 1 -d 10 c:malloc      malloc of the C library, each second for ten
  funccount -p 185 'c:*alloc'        in process 185 only
  funccount -r 'c:(read|write)$'     by a regular expression
  funccount 't:syscalls:sys_enter_*' system calls
  funccount 'u:postgres:query*'      USDT probes of a program
  funccount c:malloc -- ls -l        only in the command, from its first instruction";

/// Count how often functions, tracepoints and USDT probes are hit.
///
/// A PATTERN is a kernel function (vfs_read), a function of a library or program (c:malloc,
/// /usr/bin/node:gc*), a tracepoint (t:sched:sched_fork) or a USDT probe (u:postgres:query__start).
/// Its * stands for any run of characters. r::func and r:lib:func count returns.
#[derive(Parser)]
#[command(name = "funccount", version, after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to count
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,
    #[command(flatten)]
    filters: FilterArgs,
    /// Print, and start again from zero, every so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    interval: Option<Duration>,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<Duration>,
    /// Print the time before each table
    #[arg(short = 'T', long)]
    timestamp: bool,
    /// PATTERN is a regular expression, anchored at its start
    #[arg(short, long)]
    regexp: bool,
    /// Show the BPF program before starting
    #[arg(short = 'D', long)]
    debug: bool,
    /// Print only the COUNT highest counts
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print one JSON object per row
    #[arg(long)]
    json: bool,
    /// Attach in this way only: kprobe.multi, kprobe, kprobe.single, fentry, uprobe.multi, uprobe,
    /// uprobe.single, tracepoint or tracepoint.single
    #[arg(long, value_name = "NAME")]
    attach_with: Option<Way>,
    /// Tell how probes were attached, and which were skipped
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Run this command and count in it and its children only
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<(Request, Options)> {
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
        let request = Request {
            specs,
            filters: self.filters.filters(!self.command.is_empty())?,
            command: self.command.clone(),
            attach: attach::Options {
                only: self.attach_with,
            },
            interval: self.interval,
            duration: self.duration,
        };
        let options = Options {
            table: CountTable {
                format: if self.json {
                    Format::Json
                } else {
                    Format::Text
                },
                timestamp: self.timestamp,
                top: self.top.map(|top| top as usize),
            },
            show_program: self.debug,
        };
        Ok((request, options))
    }
}
