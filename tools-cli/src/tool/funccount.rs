//! funccount: how often each function, tracepoint or USDT probe is hit.

use anyhow::Context as _;
use chrono::Local;

use super::{
    Console, Status, UNWRITTEN,
    session::{self, Plan, Request, Session},
    wait::Event,
};
use crate::{
    collect::Counts,
    load::Body,
    render::{CountTable, Row},
};

/// What funccount is asked for, beside what every tool is.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the table looks.
    pub table: CountTable,
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
    let resolved = session::resolve(request, console)?;
    let mut session = Session::start(request, resolved, Plan::new(Body::Count), console).await?;
    if options.show_program {
        console.say(session.program_text()?);
    }
    let mut counts = Counts::open(session.maps(), session.probes().len())?;
    console.say(session.title(request));
    let ended = loop {
        let event = session.next().await?;
        if event == Event::ReaderGone {
            break event;
        }
        let rows = session.probes().iter().zip(counts.take()?);
        let rows = rows.map(|(probe, count)| Row {
            name: &probe.name,
            count,
        });
        options
            .table
            .write(console.results, Local::now(), rows.collect())
            .context(UNWRITTEN)?;
        if event != Event::Interval {
            break event;
        }
    };
    session.finish(ended, console)
}
