//! stackcount's flags.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

use super::{
    BadCommandLine,
    run::{RunArgs, parse_seconds},
};
use crate::{
    render::{StackFormat, StackTable},
    symbolize,
    tool::{Request, stackcount::Options},
};

const EXAMPLES: &str = "\
Examples:
  stackcount vfs_read                who calls vfs_read, kernel and program
  stackcount c:malloc -- ls          where a command allocates
  stackcount -p 185 c:write          writes of process 185
  stackcount -U -P t:syscalls:sys_enter_openat
                                     who opens files, for each process
  stackcount -i 1 -D 10 'tcp_send*'  each second for ten
  stackcount -f c:malloc -- make     folded lines, for flamegraph.pl
  stackcount --flamegraph out.svg c:malloc -- make

More, with what they print: probekit help recipes";

/// Count the stacks that lead to functions, tracepoints and USDT probes.
///
/// A PATTERN is a kernel function (vfs_read), a function of a library or program (c:malloc,
/// /usr/bin/node:gc*), a tracepoint (t:sched:sched_fork) or a USDT probe (u:postgres:query__start).
/// Its * stands for any run of characters. r::func and r:lib:func count at returns.
#[derive(Parser)]
#[command(name = "stackcount", version, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Stop after so many seconds
    #[arg(short = 'D', long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<std::time::Duration>,
    /// Show the BPF program before starting
    #[arg(long)]
    debug: bool,
    /// Show how far into each function its frame is
    #[arg(short = 's', long)]
    offset: bool,
    /// Count for each process on its own (implied by -p)
    #[arg(short = 'P', long)]
    perpid: bool,
    /// The kernel's part of stacks only
    #[arg(short = 'K', long, conflicts_with = "user_stacks_only")]
    kernel_stacks_only: bool,
    /// The program's part of stacks only
    #[arg(short = 'U', long)]
    user_stacks_only: bool,
    /// Show addresses and modules, and tell how probes were attached; twice: also single events that
    /// go wrong in the kernel, the first few of each kind
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// A line between the kernel's part and the program's
    #[arg(short, long)]
    delimited: bool,
    /// One line per stack, root first, as flamegraph.pl and inferno read it
    #[arg(short, long, conflicts_with = "json")]
    folded: bool,
    /// Print one JSON object per stack
    #[arg(long)]
    json: bool,
    /// Draw a flame graph into this file at the end
    #[arg(long, value_name = "FILE.svg")]
    flamegraph: Option<PathBuf>,
    /// Show inlined functions as frames of their own (reads DWARF, which can take a while)
    #[arg(long)]
    inlined: bool,
    /// Show C++ and Rust names as the symbol table has them
    #[arg(long)]
    no_demangle: bool,
    /// Frames of each part, at most
    #[arg(long, value_name = "FRAMES", default_value_t = 127,
          value_parser = clap::value_parser!(u32).range(2..=1024))]
    depth: u32,
    /// Different stacks that are counted, at most
    #[arg(long, value_name = "COUNT", default_value_t = 131_072,
          value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    stacks: u32,
    /// Size of the buffer for stacks that are seen first, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 16_384, value_parser = parse_kib)]
    buffer: u32,
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<(Request, Options)> {
        if self.run.timestamp && self.folded {
            let reason = "-T and -f exclude each other: a time is no stack";
            return Err(BadCommandLine(reason.to_owned()).into());
        }
        let request = self.run.request(self.duration)?;
        let filters = &request.filters;
        let by_process = self.perpid || !filters.pids.is_empty();
        let is_only_one = filters.pids.len() == 1 && !filters.follow_forks;
        let table = StackTable {
            format: match (self.folded, self.json) {
                (true, _) => StackFormat::Folded,
                (_, true) => StackFormat::Json,
                _ => StackFormat::Text,
            },
            timestamp: self.run.timestamp,
            offsets: self.offset,
            verbose: self.verbose > 0,
            delimited: self.delimited && !self.kernel_stacks_only && !self.user_stacks_only,
            processes: by_process && !is_only_one,
        };
        let options = Options {
            table,
            kernel: !self.user_stacks_only,
            user: !self.kernel_stacks_only,
            by_process,
            by_comm: by_process || self.folded || self.flamegraph.is_some(),
            depth: self.depth,
            stacks: self.stacks,
            buffer_bytes: self.buffer << 10,
            names: symbolize::Options {
                demangle: !self.no_demangle,
                inlined: self.inlined,
            },
            flame_graph: self.flamegraph.clone(),
            show_program: self.debug,
        };
        Ok((request, options))
    }
}

/// Ring buffers have a power of two of pages.
fn parse_kib(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib @ 4..=1_048_576) if kib.is_power_of_two() => Ok(kib),
        _ => Err("expected a power of two from 4 to 1048576".to_owned()),
    }
}
