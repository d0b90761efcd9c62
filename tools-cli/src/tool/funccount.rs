//! funccount: how often each function, tracepoint or USDT probe is hit.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Local;

use super::{
    Console, Status, UNWRITTEN,
    keys::{self, Keys},
    session::{self, Plan, Request, Session},
    wait::{self, Event, ScreenEvent, ScreenSignals},
};
use crate::{
    collect::{Counts, Groups},
    load::{Body, Maps},
    render::{CommandName, CountTable, LiveTable, Row, RowGroup, escape_lines},
    resolve::Probe,
};

/// What funccount is asked for, beside what every tool is.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the table looks.
    pub table: CountTable,
    /// Processes, threads, CPUs or command names that are told apart, at most.
    pub groups: u32,
    /// Draw the table over and over, on a terminal.
    pub live: bool,
    /// Show the program before starting.
    pub show_program: bool,
}

/// Counts until something ends it.
///
/// # Errors
///
/// When nothing could be attached, or the results can't be written.
pub async fn run(
    request: &Request,
    options: &Options,
    console: &mut Console<'_>,
) -> anyhow::Result<Status> {
    let resolved = session::resolve(request, console)?.counted_once();
    let mut session = Session::start(request, resolved, options.plan(), console).await?;
    let ended = count(request, options, &mut session, console).await;
    session.finish(ended, console)
}

/// Shows what is counted until something ends it.
async fn count(
    request: &Request,
    options: &Options,
    session: &mut Session,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    let mut counters = options.open(session.maps(), session.probes())?;
    let title = session.title(request);
    console.say(&title);
    if !options.live {
        return write(options, session, &mut counters, console).await;
    }
    // A command has the terminal's keys for itself.
    let keys = request.command.is_empty().then(Keys::listen).flatten();
    let mut table = LiveTable::new(escape_lines(&title), options.table.by);
    let ended = draw_over(&mut table, session, &mut counters, keys, console).await;
    // What was last drawn is gone with the screen.
    let rows = table.rows();
    let written = options.table.write(console.results, Local::now(), rows);
    let ended = ended?;
    written.context(UNWRITTEN)?;
    Ok(ended)
}

/// Writes a table for each interval until something ends it.
async fn write(
    options: &Options,
    session: &mut Session,
    counters: &mut Counters,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    loop {
        let event = session.next(console).await?;
        if event == Event::ReaderGone {
            return Ok(event);
        }
        let rows = counters.take(session.probes())?;
        let table = &options.table;
        let written = table.write(console.results, Local::now(), rows);
        written.context(UNWRITTEN)?;
        if event != Event::Interval {
            return Ok(event);
        }
    }
}

/// Draws the table on a screen of its own until something ends it.
async fn draw_over(
    table: &mut LiveTable,
    session: &mut Session,
    counters: &mut Counters,
    keys: Option<Keys>,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    table.enter(console.results).context(UNWRITTEN)?;
    console.hold();
    let ended = draw(table, session, counters, keys, console).await;
    let left = table.leave(console.results);
    console.release();
    let ended = ended?;
    left.context(UNWRITTEN)?;
    Ok(ended)
}

/// Draws the table at each interval until something ends it.
async fn draw(
    table: &mut LiveTable,
    session: &mut Session,
    counters: &mut Counters,
    keys: Option<Keys>,
    console: &mut Console<'_>,
) -> anyhow::Result<Event> {
    let mut screen = ScreenSignals::catch().context("failed to catch signals")?;
    let mut interval_began = Instant::now();
    let mut interval = Duration::ZERO;
    loop {
        let drawn = table.draw(console.results, interval);
        drawn.context(UNWRITTEN)?;
        let event = tokio::select! {
            event = session.next(console) => event?,
            pressed = keys::quit(keys.as_ref()) => {
                pressed.context("failed to wait for keys")?;
                Event::Signal
            }
            happened = screen.next() => {
                if happened == ScreenEvent::Suspended {
                    suspend(table, keys.as_ref(), console)?;
                }
                continue;
            }
        };
        table.add(&counters.take(session.probes())?);
        if event != Event::Interval {
            return Ok(event);
        }
        interval = interval_began.elapsed();
        interval_began = Instant::now();
    }
}

/// Stops until somebody lets us go on, with the terminal as it was before.
fn suspend(
    table: &LiveTable,
    keys: Option<&Keys>,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    table.leave(console.results).context(UNWRITTEN)?;
    if let Some(keys) = keys {
        keys.restore();
    }
    wait::suspend();
    if let Some(keys) = keys {
        keys.silence();
    }
    table.enter(console.results).context(UNWRITTEN)
}

impl Options {
    fn plan(&self) -> Plan {
        let mut plan = match self.table.by {
            None => Plan::new(Body::Count),
            Some(by) => {
                let mut plan = Plan::new(Body::CountBy);
                plan.settings.by = by as u32;
                plan.sizes.groups = self.groups;
                plan
            }
        };
        plan.show_program = self.show_program;
        plan
    }

    fn open(&self, maps: &Maps, probes: &[Probe]) -> anyhow::Result<Counters> {
        Ok(match self.table.by {
            None => Counters::Whole(Counts::open(maps, probes.len())?),
            Some(_) => Counters::BrokenDown(Groups::open(maps)?),
        })
    }
}

/// What is counted: probes, or probes broken down.
enum Counters {
    Whole(Counts),
    BrokenDown(Groups),
}

impl Counters {
    /// The rows since the last call.
    fn take<'a>(&mut self, probes: &'a [Probe]) -> anyhow::Result<Vec<Row<'a>>> {
        Ok(match self {
            Self::Whole(counts) => {
                let counted = probes.iter().zip(counts.take()?);
                let rows = counted.map(|(probe, count)| Row {
                    name: &probe.name,
                    group: None,
                    count,
                });
                rows.collect()
            }
            Self::BrokenDown(groups) => {
                let taken = groups.take()?;
                let rows = taken.iter().filter_map(|group| {
                    Some(Row {
                        name: &probes.get(group.probe)?.name,
                        group: Some(RowGroup {
                            id: group.id,
                            comm: CommandName(group.comm),
                        }),
                        count: group.count,
                    })
                });
                rows.collect()
            }
        })
    }
}
