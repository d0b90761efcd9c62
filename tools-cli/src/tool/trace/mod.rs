//! trace: a line for each event, with what was asked of it.

mod prepare;
mod report;

use std::{
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use probes_common::{Loss, Settings};

use self::{
    prepare::{Common, Prepared},
    report::Report,
};
use super::{
    Console, Status,
    session::{self, Plan, Request, Session},
    wait::Event,
};
use crate::{
    attach::Bodies,
    collect::{Events, Processes},
    compile::PidNamespace,
    kernel::pid_namespace,
    load::{Body, Functions, MapSizes},
    render::EventTable,
    resolve::{Probe, Resolved},
    spec::TraceSpec,
};

/// How often events are looked for while there are few.
const TICK: Duration = Duration::from_millis(4);

/// Calls that may be under way at a time, where something is saved at their entries.
const CALLS: u32 = 1 << 16;

/// Frames of each part of a stack.
const DEPTH: u32 = 127;

/// What trace is asked for, beside what every tool is.
#[derive(Clone, Debug)]
pub struct Options {
    /// The probes, and what of them.
    pub specs: Vec<TraceSpec>,
    /// How events are written.
    pub table: EventTable,
    /// Bytes of the buffer for events.
    pub buffer_bytes: u32,
    /// The most bytes of a text that are read.
    pub text_bytes: u32,
    /// Whether events of ours are shown too.
    pub with_own: bool,
    /// After how many events to stop.
    pub limit: Option<u64>,
    /// Only messages that contain this.
    pub text: Option<String>,
    /// Whether the kernel's part of the stack is wanted.
    pub kernel_stack: bool,
    /// Whether the program's part is.
    pub user_stack: bool,
    /// Show what is compiled.
    pub show_program: bool,
    /// Compile, and do no more.
    pub dry_run: bool,
    /// Flags that were given and do nothing.
    pub not_needed: Vec<&'static str>,
}

/// Traces until something ends it.
///
/// # Errors
///
/// When nothing could be attached, or the results can't be written.
pub async fn run(
    request: &Request,
    options: &Options,
    console: &mut Console<'_>,
) -> anyhow::Result<Status> {
    tell_not_needed(options, console);
    let resolved = session::resolve(request, console)?;
    let prepared = compile(resolved.probes, options, console)?;
    if options.show_program || options.dry_run {
        show(&prepared, &options.specs, console);
    }
    if options.dry_run {
        return Ok(Status::Done);
    }
    let (bodies, functions) = (&prepared.bodies, &prepared.functions);
    let mut report = Report::new(options, bodies, functions, needs_processes(options)?);
    let plan = options.plan(prepared.bodies, prepared.functions);
    let resolved = Resolved {
        probes: prepared.probes,
        ..resolved
    };
    let mut session = Session::start(request, resolved, plan, console).await?;
    let ended = write(&mut report, &mut session, console).await;
    session.finish(ended, console)
}

fn tell_not_needed(options: &Options, console: &mut Console<'_>) {
    if !options.not_needed.is_empty() {
        let flags = options.not_needed.join(", ");
        console.say(format_args!(
            "note: {flags} not needed: types and symbols are read from the kernel and from programs"
        ));
    }
}

/// Compiles what the probes are to tell.
fn compile(
    probes: Vec<Probe>,
    options: &Options,
    console: &mut Console<'_>,
) -> anyhow::Result<Prepared> {
    let common = Common {
        text_bytes: options.text_bytes,
        pid_namespace: pid_namespace()?,
    };
    let _working = console.progress.working("reading types");
    prepare::prepare(probes, &options.specs, common)
}

/// Writes a header, events until something ends it, and what is only known at the end.
async fn write(
    report: &mut Report<'_>,
    session: &mut Session,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    let mut events = Events::open(session.maps())?;
    session.watch(events.as_fd(), TICK)?;
    report.begin(session, console)?;
    let started = Instant::now();
    let ended = write_events(report, &mut events, session, console).await?;
    if ended != Event::ReaderGone {
        report.end(session.lost(Loss::Event)?, console)?;
    }
    console.detail(format_args!(
        "{} events in {:.1?}",
        report.shown(),
        started.elapsed()
    ));
    Ok(ended)
}

/// Writes events until something ends it.
async fn write_events(
    report: &mut Report<'_>,
    events: &mut Events,
    session: &mut Session,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    loop {
        match session.next(console).await? {
            Event::ReaderGone => return Ok(Event::ReaderGone),
            Event::Records => report.write(events, console)?,
            ended => {
                report.write_rest(events, console)?;
                return Ok(ended);
            }
        }
        if report.is_done() {
            return Ok(Event::Elapsed);
        }
    }
}

impl Options {
    fn plan(&self, bodies: Vec<Body>, functions: Vec<Functions>) -> Plan {
        let saves_at_entry = bodies.iter().any(|body| matches!(body, Body::Entry(_)));
        Plan {
            bodies: Bodies::Each(bodies),
            functions,
            settings: self.settings(),
            sizes: MapSizes {
                stack_bytes: DEPTH * 8,
                events_bytes: self.buffer_bytes,
                calls: if saves_at_entry { CALLS } else { 1 },
                ..MapSizes::default()
            },
            // What is compiled is shown instead, before.
            show_program: false,
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            kernel_stack: self.kernel_stack.into(),
            user_stack: self.user_stack.into(),
            stack_bytes: DEPTH * 8,
            hidden_tgid: if self.with_own { 0 } else { std::process::id() },
            wake_bytes: self.buffer_bytes / 4,
            ..Settings::default()
        }
    }
}

fn pid_namespace() -> anyhow::Result<Option<PidNamespace>> {
    let own = pid_namespace::PidNamespace::current()
        .context("failed to read /proc/self/ns/pid; is /proc mounted?")?;
    Ok(own.map(|own| PidNamespace {
        device: own.device,
        inode: own.inode,
    }))
}

/// The program's part of a stack is located with the help of what processes map.
fn needs_processes(options: &Options) -> anyhow::Result<Option<Processes>> {
    let is_needed = options.user_stack || options.specs.iter().any(TraceSpec::names_user_symbols);
    is_needed.then(session::watch_mappings).transpose()
}

/// Shows the instructions of each function, with the expression that each is for.
fn show(prepared: &Prepared, specs: &[TraceSpec], console: &mut Console<'_>) {
    let mut shown = Vec::new();
    for (probe, body) in prepared.probes.iter().zip(&prepared.bodies) {
        let Body::Trace(number) = *body else {
            continue;
        };
        let (Some(functions), Some(spec)) = (prepared.functions.get(number), specs.get(probe.spec))
        else {
            continue;
        };
        if shown.contains(&number) {
            continue;
        }
        shown.push(number);
        let Some((_, compiled)) = functions.first() else {
            continue;
        };
        console.say(format_args!("{}", spec.text));
        if let Some(entry) = &compiled.entry {
            let listing = entry.function.listing(&spec.text);
            console.say(format_args!("at entry:\n{listing}"));
        }
        if let Some(predicate) = &compiled.predicate {
            console.say(format_args!(
                "predicate:\n{}",
                predicate.listing(&spec.text)
            ));
        }
        console.say(format_args!(
            "values:\n{}",
            compiled.values.listing(&spec.text)
        ));
    }
}
