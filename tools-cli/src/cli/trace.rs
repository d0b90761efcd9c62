//! trace's flags.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Parser};

use super::{
    BadCommandLine, complete,
    filters::{HEADING, ProcessArgs},
    run::parse_seconds,
};
use crate::{
    attach::{self, Way},
    compile,
    render::{EventTable, TimeColumn},
    spec::TraceSpec,
    tool::{Filters, Request, trace::Options},
};

const EXAMPLES: &str = "\
Examples:
  trace do_sys_openat2                         a line for each call
  trace 'do_sys_openat2 \"%s\", arg2@user'      with the file's name
  trace 'c:open (arg2 == 42) \"%s %d\", arg1, arg2'
  trace 'r:c:malloc (retval) \"allocated = %lx\", retval'
  trace 'r:c:read \"%d of %d in %u ns\", retval, $entry(arg3), $latency'
  trace 't:sched:sched_process_exec \"%s\", args->filename'
  trace 'u:postgres:query__start \"%s\", arg1'  queries of a PostgreSQL
  trace -U c:malloc -- ls                      with stacks, in a command only

More, with what they print: probekit help recipes";

/// Trace functions, tracepoints and USDT probes: a line for each event, with what was asked of it.
///
/// A PROBE is a function, tracepoint or USDT probe, then optionally what it takes in brackets right
/// behind it (struct sock *sk), a condition in brackets (arg3 > 20000), and a format with values
/// ("read %d bytes", arg3) as printf takes them.
#[derive(Parser)]
#[command(name = "trace", version, after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to trace, and what to show of it
    #[arg(required = true, value_name = "PROBE", add = complete::probes())]
    probes: Vec<String>,
    /// Size of the buffer for events, in pages of 4 KiB; a power of two
    #[arg(short, long, value_name = "PAGES", default_value_t = 4096, value_parser = parse_pages)]
    buffer_pages: u32,
    #[command(flatten)]
    processes: ProcessArgs,
    /// Only this thread
    #[arg(help_heading = HEADING, short = 'L', long, value_name = "TID", conflicts_with = "pid",
          value_parser = clap::value_parser!(u32).range(1..))]
    tid: Option<u32>,
    /// Only this user, by number
    #[arg(help_heading = HEADING, long, value_name = "UID")]
    uid: Option<u32>,
    /// Show what is compiled: instructions, and the expression that each is for; twice: also single
    /// events that go wrong in the kernel, such as a read of memory that is not there, the first few
    /// of each kind
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Compile, show what is compiled, and do no more
    #[arg(long)]
    dry_run: bool,
    /// Bytes of a string that are read, with the final NUL
    #[arg(short = 'Z', long, value_name = "BYTES", default_value_t = compile::Options::DEFAULT_TEXT_BYTES,
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    string_size: u32,
    /// Show events of this tool itself too
    #[arg(short = 'S', long)]
    include_self: bool,
    /// Stop after so many events
    #[arg(short = 'M', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max_events: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    duration: Option<Duration>,
    /// Show the time, in seconds since the start; goes before -T
    #[arg(short, long)]
    timestamp: bool,
    /// Show the time in seconds since 1970; goes before -t
    #[arg(short, long)]
    unix_timestamp: bool,
    /// Show the time of day
    #[arg(short = 'T', long)]
    time: bool,
    /// Show the CPU
    #[arg(short = 'C', long)]
    print_cpu: bool,
    /// Only tasks in this cgroup (version 2) and below it
    #[arg(help_heading = HEADING, short = 'c', long, value_name = "PATH")]
    cgroup_path: Option<PathBuf>,
    /// Only tasks whose command name contains this
    #[arg(help_heading = HEADING, short, long, value_name = "NAME")]
    name: Option<String>,
    /// Only this CPU
    #[arg(help_heading = HEADING, long, value_name = "CPU")]
    cpu: Option<u32>,
    /// Only messages that contain this
    #[arg(help_heading = HEADING, short = 'f', long, value_name = "TEXT")]
    msg_filter: Option<String>,
    /// Show the kernel's part of the stack of each event
    #[arg(short = 'K', long)]
    kernel_stack: bool,
    /// Show the program's part of the stack of each event
    #[arg(short = 'U', long)]
    user_stack: bool,
    /// Show addresses in stacks
    #[arg(short, long)]
    address: bool,
    /// Count equal events, and show how often each was seen when there were as many as -M says
    #[arg(short = 'A', long, requires = "max_events",
          conflicts_with_all = ["timestamp", "unix_timestamp", "time", "print_cpu"])]
    aggregate: bool,
    /// Not needed: types come from the kernel and from programs themselves
    #[arg(short = 'I', long, value_name = "HEADER")]
    include: Vec<String>,
    /// Not needed: STRCMP compares bytes, whether they are text or not
    #[arg(short = 'B', long)]
    bin_cmp: bool,
    /// Not needed: symbols are looked for in the files that are mapped
    #[arg(short = 's', long, value_name = "FILES")]
    sym_file_list: Option<String>,
    /// Print one JSON object per event
    #[arg(long)]
    json: bool,
    /// Attach in this way only
    #[arg(long, value_name = "NAME", add = complete::ways())]
    attach_with: Option<Way>,
    /// Run this command and trace in it and its children only
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<(Request, Options)> {
        let specs = self
            .probes
            .iter()
            .map(|text| TraceSpec::parse(text))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|mistakes| BadCommandLine(mistakes.to_string()))?;
        let request = Request {
            specs: specs.iter().map(|spec| spec.probe.clone()).collect(),
            filters: Filters {
                tid: self.tid,
                uid: self.uid,
                cgroup: self.cgroup_path.clone(),
                comm: self.name.clone(),
                cpu: self.cpu,
                ..self.processes.filters(!self.command.is_empty())?
            },
            command: self.command.clone(),
            attach: attach::Options {
                only: self.attach_with,
            },
            interval: None,
            duration: self.duration,
        };
        let options = Options {
            specs,
            table: self.table(),
            buffer_bytes: self.buffer_pages << 12,
            text_bytes: self.string_size,
            with_own: self.include_self,
            limit: self.max_events,
            text: self.msg_filter.clone(),
            kernel_stack: self.kernel_stack,
            user_stack: self.user_stack,
            show_program: self.verbose > 0,
            dry_run: self.dry_run,
            not_needed: self.not_needed(),
        };
        Ok((request, options))
    }

    /// The flags of bcc's that were given and do nothing here.
    fn not_needed(&self) -> Vec<&'static str> {
        let given = [
            (!self.include.is_empty(), "-I"),
            (self.bin_cmp, "-B"),
            (self.sym_file_list.is_some(), "-s"),
        ];
        let given = given.into_iter().filter(|(is_given, _)| *is_given);
        given.map(|(_, flag)| flag).collect()
    }

    fn table(&self) -> EventTable {
        let time = match (self.timestamp, self.unix_timestamp, self.time) {
            (_, true, _) => Some(TimeColumn::Unix),
            (true, ..) => Some(TimeColumn::SinceStart),
            (.., true) => Some(TimeColumn::Local),
            _ => None,
        };
        EventTable {
            time,
            cpu: self.print_cpu,
            addresses: self.address,
            json: self.json,
            aggregated: self.aggregate,
        }
    }
}

/// Ring buffers have a power of two of pages.
fn parse_pages(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(pages @ 1..=262_144) if pages.is_power_of_two() => Ok(pages),
        _ => Err("expected a power of two from 1 to 262144".to_owned()),
    }
}
