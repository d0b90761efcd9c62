//! list: every probe that a spec could name.

mod complete;
mod detail;
mod listed;
mod query;
mod structure;

use std::collections::HashSet;

use anyhow::{Context as _, bail};

pub use self::{complete::complete, query::Query};
use self::{detail::Details, listed::WithPoints};
use super::{Console, Status, UNWRITTEN, Verbosity};
use crate::{
    attach::Skipped,
    render::{Escaped, Format, Grouped, ListedProbe, write_probes},
    resolve::{self, Scope},
    spec::ProbeSpec,
};

/// What list is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be listed.
    pub queries: Vec<Query>,
    /// The library or program that names without a kind are looked for in.
    pub library: Option<String>,
    /// The process in which, or in whose files, they are looked for.
    pub pid: Option<u32>,
    /// Tell what the probes tell.
    pub details: bool,
    /// How they are written.
    pub format: Format,
}

/// What was found.
#[derive(Default)]
struct Found {
    probes: Vec<WithPoints>,
    left_out: Vec<Skipped>,
    notes: Vec<String>,
}

/// Lists the probes that the request means. A query that means none does not hide what the others
/// mean, as with `ls`.
///
/// # Errors
///
/// When a query means none, or the results can't be written.
pub fn run(request: &Request, console: &mut Console<'_>) -> anyhow::Result<Status> {
    let files = files(request)?;
    let scope = Scope {
        pids: request.pid.into_iter().collect(),
        only_them: true,
    };
    let working = console.progress.working("looking for what can be probed");
    let mut found = Found::default();
    let adding = request.queries.iter();
    let mut errors: Vec<anyhow::Error> = adding
        .filter_map(|query| found.add(query, &files, &scope).err())
        .collect();
    drop(working);
    let mut seen = HashSet::new();
    found
        .probes
        .retain(|(probe, _)| seen.insert(probe.spec.clone()));
    if let ([], [], Some(first)) = (&*found.probes, &*errors, found.left_out.first()) {
        let name = Escaped(&first.name);
        bail!("nothing is left to list: {name}: {}", first.reason);
    }
    let working = console.progress.working("reading what it takes");
    let probes = with_details(found.probes, request.details, &mut found.notes);
    drop(working);
    write_probes(console.results, request.format, &probes).context(UNWRITTEN)?;
    for note in &found.notes {
        console.say(format_args!("note: {note}"));
    }
    tell_left_out(&found.left_out, console);
    let Some(last) = errors.pop() else {
        return Ok(Status::Done);
    };
    for error in errors {
        console.say(format_args!("error: {error:#}"));
    }
    Err(last)
}

/// The files that names without a kind are looked for in.
fn files(request: &Request) -> anyhow::Result<Vec<String>> {
    match (&request.library, request.pid) {
        (Some(library), _) => Ok(vec![library.clone()]),
        (None, Some(pid)) => {
            let files = resolve::files_of(pid)?;
            Ok(files
                .iter()
                .filter_map(|file| file.to_str().map(str::to_owned))
                .collect())
        }
        (None, None) => Ok(Vec::new()),
    }
}

impl Found {
    fn add(&mut self, query: &Query, files: &[String], scope: &Scope) -> anyhow::Result<()> {
        if let Query::Structures(structures) = query {
            let found = structures.find()?.into_iter();
            self.probes.extend(found.map(|listed| (listed, Vec::new())));
            return Ok(());
        }
        let mut errors = Vec::new();
        let mut is_found = false;
        for spec in query.specs(files) {
            match self.resolve(spec, scope) {
                Ok(()) if matches!(query, Query::First(_)) => return Ok(()),
                Ok(()) => is_found = true,
                Err(error) => errors.push(error),
            }
        }
        if is_found {
            return Ok(());
        }
        // Of several that found nothing, the one that knows a better name.
        let knows_better =
            |error: &resolve::Error| error.unmatched().is_some_and(|hint| hint.contains('`'));
        let best = errors.iter().position(knows_better).unwrap_or(0);
        if errors.is_empty() {
            bail!("the process has no file mapped that could have probes");
        }
        Err(errors.swap_remove(best).into())
    }

    fn resolve(&mut self, spec: ProbeSpec, scope: &Scope) -> Result<(), resolve::Error> {
        let resolved = resolve::resolve(std::slice::from_ref(&spec), scope)?;
        let probes = resolved.probes.into_iter();
        self.probes
            .extend(probes.flat_map(|probe| listed::listed(&spec, probe)));
        self.left_out.extend(resolved.left_out);
        self.notes.extend(resolved.notes);
        Ok(())
    }
}

fn with_details(
    probes: Vec<WithPoints>,
    is_wanted: bool,
    notes: &mut Vec<String>,
) -> Vec<ListedProbe> {
    let mut details = Details::default();
    let probes = probes.into_iter().map(|(probe, points)| ListedProbe {
        detail: is_wanted.then(|| details.of(&probe, &points)).flatten(),
        ..probe
    });
    let probes = probes.collect();
    notes.append(&mut details.notes);
    probes
}

/// What the patterns would mean if it could be probed, or if that did no harm.
fn tell_left_out(left_out: &[Skipped], console: &mut Console<'_>) {
    let Some(first) = left_out.first() else {
        return;
    };
    if console.verbosity >= Verbosity::Details {
        for skipped in left_out {
            let name = Escaped(&skipped.name);
            console.detail(format_args!("left out {name}: {}", skipped.reason));
        }
        return;
    }
    console.say(format_args!(
        "left out {} places that match: {} ({}), -v lists them",
        Grouped(left_out.len() as u64),
        Escaped(&first.name),
        first.reason
    ));
}
