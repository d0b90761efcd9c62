//! funccount's flags.

use std::time::Duration;

use clap::Parser;

use super::run::{RunArgs, parse_seconds};
use crate::{
    render::{CountTable, Format},
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
    #[command(flatten)]
    run: RunArgs,
    /// Stop after so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<Duration>,
    /// Show the BPF program before starting
    #[arg(short = 'D', long)]
    debug: bool,
    /// Print only the COUNT highest counts
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print one JSON object per row
    #[arg(long)]
    json: bool,
    /// Tell how probes were attached, and which were skipped
    #[arg(short, long)]
    pub(super) verbose: bool,
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<(Request, Options)> {
        let request = self.run.request(self.duration)?;
        let options = Options {
            table: CountTable {
                format: if self.json {
                    Format::Json
                } else {
                    Format::Text
                },
                timestamp: self.run.timestamp,
                top: self.top.map(|top| top as usize),
            },
            show_program: self.debug,
        };
        Ok((request, options))
    }
}
