//! What every tool does around its own body and report: resolve, load, attach, wait, and tell
//! honestly what was left out or lost.

use std::{
    ffi::OsString,
    io,
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use probes_common::{Loss, Settings};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    Console, Filters, Status, Verbosity,
    attaching::Work,
    command::{Held, Running},
    follow::{self, Following},
    losses,
    wait::{self, Event, StopSignals, Targets, Waiter, has_records},
};
use crate::{
    attach::{self, Attached, Bodies, Skipped},
    collect::{Counts, Diagnostics, Processes},
    kernel::{capabilities::Capability, kprobes, limits, lockdown},
    load::{Body, Functions, Loader, MapName, MapSizes, Maps},
    privilege,
    render::{Escaped, Grouped},
    resolve::{self, Probe, Resolved, Scope},
    spec::{Moment, ProbeSpec},
};

/// Room for what programs tell of events that go wrong: some hundred lines.
const LOG_BYTES: u32 = 1 << 16;

/// Begins to note what processes map.
///
/// # Errors
///
/// When the kernel does not tell, with the name of what is lacking for it.
pub fn watch_mappings() -> anyhow::Result<Processes> {
    Processes::watch().map_err(|error| {
        let lacks = privilege::for_mappings(&error);
        anyhow!("failed to watch what processes map: {error}{lacks}")
    })
}

/// What every tool is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Which probes.
    pub specs: Vec<ProbeSpec>,
    /// Which events of theirs.
    pub filters: Filters,
    /// A command to run and trace; empty for none.
    pub command: Vec<OsString>,
    /// How to attach.
    pub attach: attach::Options,
    /// Time between reports.
    pub interval: Option<Duration>,
    /// Time until the end.
    pub duration: Option<Duration>,
}

/// What a tool's programs are and need, beside the request.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The functions of the object that run at the probes.
    pub bodies: Bodies,
    /// What is generated for them.
    pub functions: Vec<Functions>,
    /// Settings of the tool's own.
    pub settings: Settings,
    /// Room for what it gathers.
    pub sizes: MapSizes,
    /// Show the program of the first probe before a command is let go.
    pub show_program: bool,
}

impl Plan {
    /// A plan without anything of its own.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self {
            bodies: Bodies::All(body),
            functions: Vec::new(),
            settings: Settings::default(),
            sizes: MapSizes::default(),
            show_program: false,
        }
    }
}

/// A run: probes that are live.
pub struct Session {
    bodies: Bodies,
    probes: Vec<Probe>,
    loader: Loader,
    attached: Attached,
    /// What was lost; open from the start, since there may be no descriptor left at the end.
    lost: Counts,
    /// The probes that follow forks, if they are followed.
    following: Option<Following>,
    left_out: Vec<Skipped>,
    waiter: Waiter,
    /// The processes asked for, and the numbers that programs know them by.
    keys: Vec<(u32, u32)>,
    command: Option<Running>,
    /// What our programs tell of single events, if that is wanted.
    diagnostics: Option<AsyncFd<Diagnostics>>,
}

impl Session {
    /// Walks from probes to live ones, then lets the command run if there is one.
    ///
    /// # Errors
    ///
    /// When any stage fails, or a signal asks us to stop.
    pub async fn start(
        request: &Request,
        resolved: Resolved,
        plan: Plan,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Self> {
        let mut signals = StopSignals::catch().context("failed to catch signals")?;
        // Before our limits are raised, since it inherits them.
        let command = Held::start(&request.command)?;
        limits::raise().context("failed to read this process's limits")?;
        let targets = watch(&request.filters, command.as_ref())?;
        let filters = with_command(&request.filters, command.as_ref());
        let (bodies, show_program) = (plan.bodies.clone(), plan.show_program);
        let loader = load(plan, &filters, &resolved, console.verbosity)?;
        let keys = filters.keys()?;
        let following = filters
            .follow_forks
            .then(|| Following::start(&loader))
            .transpose()?;
        let work = Work {
            loader,
            probes: resolved.probes,
            bodies,
            options: request.attach,
        };
        let (work, attached) = work.run(&mut signals, &targets, console).await?;
        if show_program {
            console.say(program_text(&work)?);
        }
        let session = Self {
            diagnostics: diagnostics(&attached, console),
            waiter: Waiter::start(signals, request.interval, request.duration, targets),
            keys,
            lost: Counts::open(work.loader.maps(), 0)?,
            command: command.map(Held::release).transpose()?,
            bodies: work.bodies,
            probes: work.probes,
            loader: work.loader,
            attached,
            following,
            left_out: resolved.left_out,
        };
        session.tell_details(console);
        Ok(session)
    }

    /// The probes, by number.
    #[must_use]
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// How many of them are live.
    #[must_use]
    pub fn live_count(&self) -> usize {
        let live = self.attached.live();
        live.filter(|&index| self.bodies.reports(index)).count()
    }

    /// What is said when the probes are live.
    #[must_use]
    pub fn title(&self, request: &Request) -> String {
        let patterns: Vec<String> = request
            .specs
            .iter()
            .map(|spec| format!("\"{}\"", spec.text))
            .collect();
        format!(
            "Tracing {} functions for {}... Hit Ctrl-C to end.",
            self.live_count(),
            patterns.join(", ")
        )
    }

    /// The maps that the programs write.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        self.loader.maps()
    }

    /// Whether the programs foresee how the kernel walks its part of stacks, once they are told by what.
    #[must_use]
    pub fn foresees_kernel(&self) -> bool {
        self.loader.settings().foresees_kernel != 0 && self.attached.can_foresee_kernel()
    }

    /// Has [`Session::next`] tell when `records`, a ring buffer, has something to be read, and every
    /// `tick`, when it may have.
    ///
    /// # Errors
    ///
    /// When it can't be watched.
    pub fn watch(&mut self, records: BorrowedFd<'_>, tick: Duration) -> anyhow::Result<()> {
        let watched = records
            .try_clone_to_owned()
            .map(|fd| self.waiter.watch(fd, tick));
        watched
            .and_then(|result| result)
            .context("failed to watch the ring buffer")
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub async fn next(&mut self, console: &mut Console<'_>) -> anyhow::Result<Event> {
        loop {
            tokio::select! {
                event = self.waiter.next() => match event.context("failed to wait")? {
                    Event::OneEnded(pid) => self.forget(pid)?,
                    event => return Ok(event),
                },
                told = has_records(self.diagnostics.as_ref()) => {
                    told.context("failed to wait")?;
                    self.tell_diagnostics(console);
                }
            }
        }
    }

    /// Tells what our programs have told since.
    fn tell_diagnostics(&mut self, console: &mut Console<'_>) {
        let told = self.diagnostics.as_mut();
        for diagnostic in told.map(|log| log.get_mut().take()).unwrap_or_default() {
            console.say(losses::one(&diagnostic, &self.probes));
        }
    }

    /// Stops looking at a process that has ended: its number may be given to another.
    fn forget(&self, pid: u32) -> anyhow::Result<()> {
        let keys = self.keys.iter().filter(|(process, _)| *process == pid);
        for &(_, key) in keys {
            let removed = self.maps().remove(MapName::Pids, key);
            removed.context("failed to forget a process that has ended")?;
        }
        Ok(())
    }

    /// Ends the run, however it `ended`: detaches, and tells what was missed or left out.
    ///
    /// # Errors
    ///
    /// The one that ended the run; else, when the losses can't be read, or the command's status can't.
    pub fn finish(
        mut self,
        ended: anyhow::Result<Event>,
        console: &mut Console<'_>,
    ) -> anyhow::Result<Status> {
        self.tell_diagnostics(console);
        let losses = self.losses();
        let status = self.end_command(ended.as_ref().ok());
        self.detach(console);
        if let Ok(losses) = &losses
            && !losses.is_empty()
        {
            console.say(losses.join("; "));
        }
        ended.and(losses)?;
        status
    }

    fn has_returns(&self) -> bool {
        let mut points = self.probes.iter().flat_map(|probe| &probe.points);
        points.any(|point| point.moment() == Moment::Return)
    }

    fn detach(self, console: &mut Console<'_>) {
        console.say("Detaching...");
        let start = Instant::now();
        drop(self.following);
        let working = console.progress.working("detaching");
        let lingering = self.attached.detach();
        drop(working);
        console.detail(format_args!("detached in {:.1?}", start.elapsed()));
        if lingering > 0 {
            console.say(format_args!(
                "note: a child process waits for the kernel to take back {} probes",
                Grouped(lingering as u64)
            ));
        }
    }

    /// How much of one kind was lost so far.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    pub fn lost(&self, loss: Loss) -> anyhow::Result<u64> {
        Ok(self.lost.lost(loss)?)
    }

    /// What was lost, in words; nothing if nothing was.
    fn losses(&self) -> anyhow::Result<Vec<String>> {
        let mut losses = Vec::new();
        let misses = self.attached.misses();
        if misses > 0 {
            losses.push(losses::missed(Grouped(misses), self.has_returns()));
        }
        let forks = self.following.as_ref().map_or(0, Following::missed_forks);
        if forks > 0 {
            losses.push(losses::missed_forks(Grouped(forks)));
        }
        if self.attached.uses_kprobes() && kprobes::are_off() {
            let remedy = kprobes::REMEDY;
            losses.push(format!("kprobes were switched off meanwhile; {remedy}"));
        }
        for loss in Loss::ALL {
            let count = self.lost.lost(loss)?;
            if count > 0 {
                losses.push(losses::total(loss, Grouped(count)));
            }
        }
        let skipped = self.attached.skipped.len() + self.left_out.len();
        if skipped > 0 {
            let points = self.probes.iter().map(|probe| probe.points.len());
            let all = points.sum::<usize>() + self.left_out.len();
            losses.push(format!(
                "skipped {} of {} places: {}, -v lists them",
                Grouped(skipped as u64),
                Grouped(all as u64),
                self.first_skipped()
            ));
        }
        Ok(losses)
    }

    fn first_skipped(&self) -> String {
        let first = self.attached.skipped.iter().chain(&self.left_out).next();
        first.map_or_else(String::new, |skipped| {
            format!("{} ({})", Escaped(&skipped.name), skipped.reason)
        })
    }

    /// The command's status if its end is ours; one that still runs when we stop is asked to end too.
    fn end_command(&mut self, ended: Option<&Event>) -> anyhow::Result<Status> {
        match (&mut self.command, ended) {
            (Some(command), Some(Event::TargetEnded)) => {
                let status = command.status().context("failed to wait for the command")?;
                Ok(Status::Command(status))
            }
            (Some(command), _) => {
                command.terminate();
                Ok(Status::Done)
            }
            (None, _) => Ok(Status::Done),
        }
    }

    fn tell_details(&self, console: &mut Console<'_>) {
        for used in &self.attached.used {
            console.detail(format_args!(
                "attached {} places by {}, {} links, in {:.1?}",
                Grouped(used.points as u64),
                used.way,
                Grouped(used.links as u64),
                used.elapsed
            ));
        }
        for (way, reason) in &self.attached.passed_over {
            console.detail(format_args!("passed over {way}: {reason}"));
        }
        for skipped in self.attached.skipped.iter().chain(&self.left_out) {
            let name = Escaped(&skipped.name);
            console.detail(format_args!("skipped {name}: {}", skipped.reason));
        }
    }
}

/// Finds out what the request's specs stand for, and tells what is to be known about it.
///
/// # Errors
///
/// When one of them stands for nothing, or a process is not there.
pub(super) fn resolve(request: &Request, console: &mut Console<'_>) -> anyhow::Result<Resolved> {
    request.filters.check()?;
    let start = Instant::now();
    let scope = Scope {
        pids: request.filters.pids.clone(),
        only_them: !request.filters.follow_forks,
    };
    let working = console.progress.working("looking for what to probe");
    let resolved = resolve::resolve(&request.specs, &scope)?;
    drop(working);
    for note in &resolved.notes {
        console.say(format_args!("note: {note}"));
    }
    console.detail(format_args!(
        "resolved {} probes in {:.1?}",
        Grouped(resolved.probes.len() as u64),
        start.elapsed()
    ));
    if let ([], Some(first)) = (resolved.probes.as_slice(), resolved.left_out.first()) {
        let name = Escaped(&first.name);
        anyhow::bail!("nothing is left to probe: {name}: {}", first.reason);
    }
    Ok(resolved)
}

/// With a command, only it and what it forks is looked at.
fn with_command(filters: &Filters, command: Option<&Held>) -> Filters {
    let mut filters = filters.clone();
    if let Some(command) = command {
        filters.pids = vec![command.pid()];
        filters.follow_forks = true;
    }
    filters
}

/// Watches the processes whose end is ours, or the thread.
fn watch(filters: &Filters, command: Option<&Held>) -> anyhow::Result<Targets> {
    let (pids, tid) = match (command, filters.tid) {
        (Some(command), _) => (vec![command.pid()], None),
        (None, Some(tid)) => (Vec::new(), Some(tid)),
        (None, None) => (filters.pids.clone(), None),
    };
    Targets::watch(&pids, tid).context("failed to watch the traced processes")
}

/// The log of our programs, if it is wanted; without it, the totals at the end are all that is told.
fn diagnostics(attached: &Attached, console: &mut Console<'_>) -> Option<AsyncFd<Diagnostics>> {
    if console.verbosity < Verbosity::Kernel {
        return None;
    }
    let opened = attached
        .program_id()
        .map_err(anyhow::Error::from)
        .and_then(|id| Ok(Diagnostics::open(id)?))
        .and_then(|log| Ok(wait::register(log, Interest::READABLE)?));
    match opened {
        Ok(log) => Some(log),
        Err(error) => {
            let mut causes = error.chain();
            let refusal = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
            let lacks = refusal.map(|error| privilege::for_one(error, Capability::SysAdmin));
            console.say(format_args!(
                "note: single events that go wrong are not told, only their number at the end: \
                 {error:#}{}",
                lacks.unwrap_or_default()
            ));
            None
        }
    }
}

/// The instructions of the program of the first probe, one a line.
fn program_text(work: &Work) -> anyhow::Result<String> {
    let first = work.bodies.of(0).context("there is no probe")?;
    let text = work.loader.disassemble(first);
    text.context("the program of the first probe was not loaded")
}

fn load(
    plan: Plan,
    filters: &Filters,
    resolved: &Resolved,
    verbosity: Verbosity,
) -> anyhow::Result<Loader> {
    let only_counts = matches!(plan.bodies, Bodies::All(Body::Count));
    if !only_counts && filters.are_below()? {
        anyhow::bail!(
            "the processes asked for are in a PID namespace below this one, where their numbers \
             here can't be told; run it in theirs, or outside of both"
        );
    }
    let mut settings = filters.settings(plan.settings)?;
    if filters.follow_forks {
        follow::set_offsets(&mut settings)?;
    }
    // Asked only where stacks are walked, since it may take a mount.
    let walks_stacks = settings.kernel_stack | settings.user_stack != 0;
    settings.reads_kernel = (walks_stacks && !lockdown::is_confidential()).into();
    // At functions of programs there is no such part.
    let is_in_kernel = resolved.probes.iter().any(Probe::is_in_kernel);
    settings.foresees_kernel =
        settings.reads_kernel & settings.kernel_stack & u32::from(is_in_kernel);
    // The kernel knows which return addresses on a stack its own probes have replaced; we do not.
    settings.walk_ourselves = (!resolved.probes.iter().any(Probe::is_at_user_return)).into();
    let sizes = MapSizes {
        counts: u32::try_from(resolved.probes.len())?,
        pids: u32::try_from(filters.pids.len())?,
        followed: if filters.follow_forks {
            follow::AT_A_TIME
        } else {
            1
        },
        log_bytes: match verbosity {
            Verbosity::Kernel => LOG_BYTES,
            _ => 0,
        },
        ..plan.sizes
    };
    let loader = Loader::new(settings, &sizes, plan.functions)?;
    filters.fill(loader.maps())?;
    Ok(loader)
}
