//! list's flags.

use clap::Parser;

use super::{BadCommandLine, complete};
use crate::{
    render::Format,
    spec::Syntax,
    tool::list::{Query, Request},
};

const EXAMPLES: &str = "\
Examples:
  probekit list 'vfs_*'               kernel functions that begin with vfs_
  probekit list -v 't:sched:*'        tracepoints and their fields
  probekit list '*:*nanosleep*'       kernel functions and tracepoints
  probekit list -v 'struct file'      members of a structure of the kernel, for trace
  probekit list -v c:malloc           a function of the C library, as C declares it
  probekit list 'u:postgres:*'        USDT probes of a program
  probekit list -l postgres           all USDT probes of a program
  probekit list -l c 'mem*'           functions and USDT probes of the C library
  probekit list -p 185                all USDT probes of a process and its libraries
  probekit list -p 185 '*gc*'         functions and USDT probes there";

/// List the probes that there are, as the other tools take them.
///
/// A PATTERN is what the other tools take: kernel functions (vfs_*), functions of a library or
/// program (c:mal*), tracepoints (t:sched:*), USDT probes (u:postgres:*); * in place of a kind means
/// any. `struct NAME` and `union NAME` are types of the kernel. Without a PATTERN it lists USDT probes with -l or -p, and tracepoints else.
#[derive(Parser)]
#[command(name = "list", version, after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to list
    #[arg(value_name = "PATTERN", add = complete::probes())]
    patterns: Vec<String>,
    /// As this process sees it; names without a kind are looked for in all its files
    #[arg(short, long, value_name = "PID", add = complete::pids(), value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
    /// Look for names without a kind in this library or program
    #[arg(short, long, value_name = "LIB|PROGRAM", add = complete::binaries())]
    lib: Option<String>,
    /// PATTERN is a regular expression, anchored at its start
    #[arg(short, long)]
    regexp: bool,
    /// Show parameters, fields and arguments, and what was left out
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Print one JSON object per probe
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn request(&self) -> Result<Request, BadCommandLine> {
        let syntax = if self.regexp {
            Syntax::Regex
        } else {
            Syntax::Glob
        };
        let is_within = self.lib.is_some() || self.pid.is_some();
        let parse = |text: &str, syntax| {
            let query = Query::parse(text, syntax, is_within);
            query.map_err(|error| BadCommandLine(error.to_string()))
        };
        let queries = match self.patterns.as_slice() {
            [] if is_within => vec![Query::all_usdt()],
            [] => vec![parse("t:*:*", Syntax::Glob)?],
            patterns => patterns
                .iter()
                .map(|text| parse(text, syntax))
                .collect::<Result<_, _>>()?,
        };
        Ok(Request {
            queries,
            library: self.lib.clone(),
            pid: self.pid,
            details: self.verbose,
            format: if self.json {
                Format::Json
            } else {
                Format::Text
            },
        })
    }
}
