//! funccount's flags.

use std::{io, time::Duration};

use clap::{ArgAction, Parser, ValueEnum};
use probes_common as common;

use super::run::{RunArgs, parse_seconds};
use crate::{
    render::{CountTable, Format, can_be_redrawn},
    tool::{Request, funccount::Options},
};

const EXAMPLES: &str = "\
Examples:
  funccount 'vfs_*'                  kernel functions that begin with vfs_
  funccount -i 1 -d 10 c:malloc      malloc of the C library, each second for ten
  funccount -p 185 'c:*alloc'        in process 185 only
  funccount -r 'c:(read|write)$'     by a regular expression
  funccount 't:syscalls:sys_exit_*'  system calls
  funccount 'u:postgres:query*'      USDT probes of a program
  funccount --by comm t:syscalls:sys_enter_openat
                                     which programs open files
  funccount c:malloc -- ls -l        only in the command, from its first instruction

More, with what they print: probekit help recipes";

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
    /// Break counts down by process, thread, CPU or command name
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// Rows that --by can tell apart, at most
    #[arg(long, value_name = "COUNT", default_value_t = 16_384,
          value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    groups: u32,
    /// Redraw one table on the terminal, with counts per second, each second or -i, until Ctrl-C or
    /// q; in a pipe, the tables follow each other
    #[arg(long, conflicts_with = "json")]
    live: bool,
    /// Print one JSON object per row
    #[arg(long)]
    json: bool,
    /// Tell how probes were attached, and which were skipped; twice: also single events that go wrong
    /// in the kernel, the first few of each kind
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

/// What counts are broken down by.
#[derive(Clone, Copy, ValueEnum)]
enum By {
    Process,
    Thread,
    Cpu,
    Comm,
}

impl From<By> for common::By {
    fn from(by: By) -> Self {
        match by {
            By::Process => Self::Process,
            By::Thread => Self::Thread,
            By::Cpu => Self::Cpu,
            By::Comm => Self::Comm,
        }
    }
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<(Request, Options)> {
        let mut request = self.run.request(self.duration)?;
        if self.live {
            request.interval.get_or_insert(Duration::from_secs(1));
        }
        let options = Options {
            table: CountTable {
                format: if self.json {
                    Format::Json
                } else {
                    Format::Text
                },
                by: self.by.map(By::into),
                timestamp: self.run.timestamp,
                top: self.top.map(|top| top as usize),
            },
            groups: self.groups,
            live: self.live && can_be_redrawn(&io::stdout()),
            show_program: self.debug,
        };
        Ok((request, options))
    }
}
