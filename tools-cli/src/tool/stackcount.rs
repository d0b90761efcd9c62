//! stackcount: which stacks lead to a function, tracepoint or USDT probe, and how often.

use std::{
    fs,
    io::{self, Write},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use chrono::Local;
use probes_common::{KERNEL_RULES, Settings};

use super::{
    Console, Progress, Status, UNWRITTEN, Verbosity,
    session::{self, Plan, Request, Session},
    wait::Event,
};
use crate::{
    attach::Bodies,
    collect::{Distinction, Foresight, Location, Processes, Stack, Stacks},
    kernel::lockdown,
    load::{Body, MapSizes},
    render::{CommandName, FlameGraph, NamedFrame, StackRow, StackTable},
    spec::ProbeSpec,
    symbolize::{self, Frame, Symbolizer},
    types::{Btf, TypeSource as _},
};

/// How often what processes map is taken in while no stack is new, so that its buffers never fill.
const TICK: Duration = Duration::from_millis(500);

/// What stackcount is asked for, beside what every tool is.
#[derive(Clone, Debug)]
pub struct Options {
    /// How stacks are written.
    pub table: StackTable,
    /// Whether the kernel's part is wanted.
    pub kernel: bool,
    /// Whether the program's part is wanted.
    pub user: bool,
    /// Whether equal stacks of different processes are different.
    pub by_process: bool,
    /// Whether they are told apart by command names.
    pub by_comm: bool,
    /// Frames of each part, at most.
    pub depth: u32,
    /// Different stacks, at most.
    pub stacks: u32,
    /// Bytes of the buffer that takes new stacks to us.
    pub buffer_bytes: u32,
    /// How frames are named.
    pub names: symbolize::Options,
    /// Where a flame graph is written, if one is wanted.
    pub flame_graph: Option<PathBuf>,
    /// Show the program before starting.
    pub show_program: bool,
}

/// Counts stacks until something ends it.
///
/// # Errors
///
/// When nothing could be attached, or the results can't be written.
pub async fn run(
    request: &Request,
    options: &Options,
    console: &mut Console<'_>,
) -> anyhow::Result<Status> {
    check_depth(options.depth)?;
    // Before anything is live, so that no mapping is missed.
    let processes = options.user.then(session::watch_mappings).transpose()?;
    let resolved = session::resolve(request, console)?.counted_once();
    let plan = options.plan(console);
    let mut session = Session::start(request, resolved, plan, console).await?;
    let ended = count(request, options, processes, &mut session, console).await;
    session.finish(ended, console)
}

/// Counts until something ends it, and draws the graph whatever that is.
async fn count(
    request: &Request,
    options: &Options,
    processes: Option<Processes>,
    session: &mut Session,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    let mut stacks = Stacks::open(session.maps(), processes, options.distinction())?;
    session.watch(stacks.as_fd(), TICK)?;
    let mut foresight = session
        .foresees_kernel()
        .then(|| Foresight::begin(session.maps()))
        .transpose()?;
    let mut report = Report::new(options, request);
    console.say(session.title(request));
    let ended = write(&mut report, &mut stacks, &mut foresight, session, console).await;
    let drawn = report.finish(request, console);
    let ended = ended?;
    drawn?;
    tell_known(foresight.as_ref(), console)?;
    Ok(ended)
}

/// Writes the stacks of each interval until something ends it.
async fn write(
    report: &mut Report<'_>,
    stacks: &mut Stacks,
    foresight: &mut Option<Foresight>,
    session: &mut Session,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    loop {
        let event = session.next(console).await?;
        if let Some(is_told) = foresight.as_mut().and_then(Foresight::news) {
            console.detail(format_args!(
                "stacks of the kernel are walked {}",
                if is_told { "ahead of it" } else { "by it" }
            ));
        }
        match event {
            Event::Records => stacks.drain(),
            Event::ReaderGone => {
                report.take_rest(stacks, console)?;
                return Ok(event);
            }
            _ => {
                report.write(stacks, console.results, &console.progress)?;
                if event != Event::Interval {
                    return Ok(event);
                }
            }
        }
    }
}

/// Tells for those who want details what is foreseen of the kernel's part of stacks.
fn tell_known(foresight: Option<&Foresight>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if let Some(foresight) = foresight
        && console.verbosity >= Verbosity::Details
    {
        let (known, unknown) = foresight.known()?;
        console.detail(format_args!(
            "stacks of the kernel lead through {known} known places, and {unknown} others"
        ));
    }
    Ok(())
}

impl Options {
    fn plan(&self, console: &mut Console<'_>) -> Plan {
        let stack_bytes = self.depth * 8;
        let exec_id_offset = match self.user.then(exec_id_offset).transpose() {
            Ok(offset) => offset.unwrap_or(0),
            Err(error) => {
                console.say(format_args!(
                    "note: stacks of programs that replace each other in a process are told apart by \
                     their addresses alone: {error}"
                ));
                0
            }
        };
        Plan {
            bodies: Bodies::All(Body::Stack),
            functions: Vec::new(),
            settings: Settings {
                kernel_stack: self.kernel.into(),
                user_stack: self.user.into(),
                stack_bytes,
                // Addresses mean nothing without their process.
                by_process: (self.user || self.by_process).into(),
                by_comm: self.by_comm.into(),
                exec_id_offset,
                ..Settings::default()
            },
            sizes: MapSizes {
                stacks: self.stacks,
                stack_bytes,
                rules: if self.kernel { KERNEL_RULES } else { 1 },
                frames_bytes: self.buffer_bytes,
                ..MapSizes::default()
            },
            show_program: self.show_program,
        }
    }

    const fn distinction(&self) -> Distinction {
        Distinction {
            by_process: self.by_process,
            by_address: self.table.verbose,
        }
    }
}

/// Where the kernel counts the programs that a task has run, which only its type information tells.
fn exec_id_offset() -> anyhow::Result<u32> {
    anyhow::ensure!(
        !lockdown::is_confidential(),
        "the kernel is locked down for confidentiality"
    );
    let (structure, member) = ("task_struct", "self_exec_id");
    let offset = Btf::of_kernel()?.offset_of(structure, member)?;
    let offset = offset.with_context(|| {
        format!("the kernel's type information tells no {member} of {structure}")
    })?;
    Ok(u32::try_from(offset)?)
}

/// The kernel walks no deeper than its own limit, whatever it is asked for.
fn check_depth(depth: u32) -> anyhow::Result<()> {
    const LIMIT: &str = "/proc/sys/kernel/perf_event_max_stack";
    let text = fs::read_to_string(LIMIT).with_context(|| format!("failed to read {LIMIT}"))?;
    let limit: u32 = text
        .trim()
        .parse()
        .with_context(|| format!("{LIMIT}: {text:?}"))?;
    anyhow::ensure!(
        depth <= limit,
        "--depth {depth} is more than the kernel walks; raise its limit with: \
         sysctl kernel.perf_event_max_stack={depth}"
    );
    Ok(())
}

/// What is written at each interval and at the end.
struct Report<'a> {
    options: &'a Options,
    symbolizer: Symbolizer,
    flame_graph: FlameGraph,
    /// Stacks of programs that end before the start of their thread, by events; and all.
    cut_short: (u64, u64),
    /// Why functions of programs have no names, if there is a reason.
    unopened: Option<&'static str>,
}

impl<'a> Report<'a> {
    fn new(options: &'a Options, request: &Request) -> Self {
        let names = request.specs.iter().filter_map(ProbeSpec::function_name);
        let names = names.map(str::to_owned).collect();
        Self {
            options,
            symbolizer: Symbolizer::new(options.names).preferring(names),
            flame_graph: FlameGraph::default(),
            cut_short: (0, 0),
            unopened: None,
        }
    }

    /// Has the flame graph, if there is to be one, show what was counted last though nobody reads it.
    fn take_rest(&mut self, stacks: &mut Stacks, console: &Console<'_>) -> anyhow::Result<()> {
        match self.options.flame_graph {
            Some(_) => self.write(stacks, &mut io::sink(), &console.progress),
            None => Ok(()),
        }
    }

    /// Writes the stacks since the last call.
    fn write(
        &mut self,
        stacks: &mut Stacks,
        results: &mut dyn Write,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let (counted, code) = stacks.take()?;
        let frames = counted.iter().flat_map(|(stack, _)| frames(stack));
        let working = progress.working("reading symbols");
        self.symbolizer.find(frames, code);
        drop(working);
        self.unopened = code.unopened();
        let rows: Vec<StackRow<'_>> = counted
            .iter()
            .map(|(stack, count)| row(&self.symbolizer, stack, *count))
            .collect();
        for row in &rows {
            self.cut_short.0 += if is_cut_short(row, self.options.depth) {
                row.count
            } else {
                0
            };
            self.cut_short.1 += row.count;
        }
        if self.options.flame_graph.is_some() {
            let lines = rows.iter().map(|row| self.options.table.folded(row));
            self.flame_graph.extend(lines);
        }
        self.options
            .table
            .write(results, Local::now(), rows)
            .context(UNWRITTEN)
    }

    fn finish(self, request: &Request, console: &mut Console<'_>) -> anyhow::Result<()> {
        if let (cut_short @ 1.., all) = self.cut_short {
            console.say(format_args!(
                "note: {cut_short} of {all} stacks end before the start of their thread: the \
                 kernel follows frame pointers, and that code was compiled without \
                 (-fno-omit-frame-pointer keeps them)"
            ));
        }
        let notes = [self.symbolizer.hidden_kernel(), self.unopened];
        notes.iter().flatten().for_each(|note| console.say(note));
        match &self.options.flame_graph {
            Some(path) => self.draw(path, request, console),
            None => Ok(()),
        }
    }

    fn draw(
        &self,
        path: &Path,
        request: &Request,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        if self.flame_graph.is_empty() {
            console.say(format_args!(
                "note: no stack was counted, so there is no flame graph: {} is not written",
                path.display()
            ));
            return Ok(());
        }
        let specs = request.specs.iter();
        let title: Vec<&str> = specs.map(|spec| spec.text.as_str()).collect();
        self.flame_graph
            .write(path, &title.join(", "))
            .with_context(|| format!("failed to write the flame graph {}", path.display()))
    }
}

/// The frames of a stack, the kernel's before the program's.
fn frames(stack: &Stack) -> impl Iterator<Item = Frame> {
    frames_of(&stack.kernel).chain(frames_of(&stack.user))
}

fn frames_of(part: &[Location]) -> impl Iterator<Item = Frame> {
    part.iter().enumerate().map(|(depth, &location)| Frame {
        location,
        // The innermost one is where the probe is; the others are returned to.
        is_return: depth > 0,
    })
}

fn row<'a>(symbolizer: &'a Symbolizer, stack: &Stack, count: u64) -> StackRow<'a> {
    let mut addresses = stack.addresses.iter().copied();
    let mut name_all = |part: &[Location]| -> Vec<NamedFrame<'a>> {
        let named = frames_of(part).flat_map(|frame| {
            let address = addresses.next();
            let symbols = symbolizer.names(&frame).iter();
            symbols.map(move |symbol| NamedFrame { address, symbol })
        });
        named.collect()
    };
    StackRow {
        pid: stack.pid,
        comm: CommandName(stack.comm),
        kernel: without_our_own(name_all(&stack.kernel)),
        user: name_all(&stack.user),
        count,
    }
}

fn without_our_own(mut frames: Vec<NamedFrame<'_>>) -> Vec<NamedFrame<'_>> {
    let ours = symbolize::count_ours(frames.iter().map(|frame| frame.symbol));
    frames.drain(..ours);
    frames
}

/// Whether the program's part ends before any function that threads start with.
fn is_cut_short(row: &StackRow<'_>, depth: u32) -> bool {
    // A function of a stripped file may be the one.
    let may_be_start = |frame: &NamedFrame<'_>| match &frame.symbol.name {
        Some(name) => is_start(name),
        None => frame.symbol.module.is_some(),
    };
    !row.user.is_empty() && row.user.len() < depth as usize && !row.user.iter().any(may_be_start)
}

/// Whether threads begin with a function of this name: in glibc, musl or Go, or while a program is
/// loaded.
fn is_start(name: &str) -> bool {
    const STARTS: [&str; 11] = [
        "_start",
        "_start_c",
        "_dlstart_c",
        "main",
        "start",
        "start_thread",
        "clone",
        "clone3",
        "runtime.goexit",
        "runtime.mstart",
        "runtime.rt0_go",
    ];

    // glibc's own have underscores, versions and parts; Go's are told apart by their calls.
    let plain = name.trim_start_matches("__");
    let plain = plain.strip_suffix(".abi0").unwrap_or(plain);
    STARTS.contains(&plain) || plain.starts_with("libc_start_") || plain.starts_with("_dl_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_threads_start_with_are_known() {
        for name in [
            "main",
            "_start",
            "__libc_start_main",
            "__libc_start_call_main",
            "clone",
            "__clone3",
            "start_thread",
            "_dl_start_user",
            "runtime.goexit",
            "runtime.goexit.abi0",
        ] {
            assert!(is_start(name), "{name}");
        }
        for name in [
            "main.worker",
            "maintain_cache",
            "restart",
            "cloned",
            "runtime.main",
        ] {
            assert!(!is_start(name), "{name}");
        }
    }

    #[test]
    fn stacks_that_may_be_whole_are_not_said_to_be_cut_short() {
        let frame = |name: Option<&str>, module: Option<&str>| symbolize::Symbol {
            name: name.map(str::to_owned),
            offset: 0,
            module: module.map(str::to_owned),
            is_inlined: false,
        };
        let leaf = || frame(Some("leaf"), Some("/bin/a"));
        let is_cut_short = |outermost| {
            let symbols = [leaf(), outermost];
            let named = |symbol| NamedFrame {
                address: None,
                symbol,
            };
            let row = StackRow {
                pid: 1,
                comm: CommandName([0; 16]),
                kernel: Vec::new(),
                user: symbols.iter().map(named).collect(),
                count: 1,
            };
            is_cut_short(&row, 127)
        };
        assert!(is_cut_short(leaf()));
        // Nothing is mapped there: it is no caller.
        assert!(is_cut_short(frame(None, None)));
        assert!(!is_cut_short(frame(None, Some("/bin/stripped"))));
        assert!(!is_cut_short(frame(Some("main"), Some("/bin/a"))));
    }
}
