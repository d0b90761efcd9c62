//! uprobe.multi: one link for all places in a file (Linux 6.6; commit 89ae89f53d20).

use std::{
    collections::BTreeMap,
    ffi::CString,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::{Arc, Mutex},
};

use super::{
    Context, Failure, Link, Outcome, Site, Unattached, WayError, bisect, doubtful,
    threads::on_threads,
};
use crate::{
    kernel::{
        bpf::{self, ProgramKind, UprobeMulti},
        release::Release,
    },
    resolve::{AttachPoint, TargetFile, UserPoint},
    spec::Moment,
};

/// Before this release the filter by process lets one thread through only (fixed by commit
/// 46ba0e49b642).
const PID_FILTER_WORKS: Release = Release {
    major: 6,
    minor: 10,
};

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let program = context.load(ProgramKind::UprobeMulti, sites)?;
    let may_filter = Release::current().is_ok_and(|release| release >= PID_FILTER_WORKS);
    let mut outcome = Outcome::default();
    for ((file, moment), group) in group(sites) {
        if file.pid.is_some() && !may_filter {
            outcome.failed.extend(group.into_iter().map(|site| {
                Failure::of_way(
                    site,
                    "before Linux 6.10 it sees only one thread of a process",
                )
            }));
            continue;
        }
        let target = Target {
            file,
            path: CString::new(file.path.as_os_str().as_bytes())
                .map_err(|error| WayError::Unsupported(error.to_string()))?,
            moment,
            program: program.as_fd(),
        };
        let (likely, doubtful) = doubtful::split(file, group);
        if !likely.is_empty() {
            let mut link = |sites: &[Site<'a>]| target.link(sites);
            bisect::attach(&likely, context.observer, &mut outcome, &mut link)?;
        }
        target.link_one_by_one(&doubtful, context, &mut outcome)?;
    }
    outcome.programs.push(program);
    Ok(outcome)
}

/// What the links to one file have in common.
struct Target<'a> {
    file: &'a TargetFile,
    path: CString,
    moment: Moment,
    program: BorrowedFd<'a>,
}

impl Target<'_> {
    fn link(&self, sites: &[Site<'_>]) -> io::Result<Link> {
        let points = || sites.iter().filter_map(point);
        let offsets: Vec<u64> = points().map(|point| point.offset.0).collect();
        let semaphores: Vec<u64> = points()
            .map(|point| point.semaphore.map_or(0, |semaphore| semaphore.0))
            .collect();
        let cookies: Vec<u64> = sites.iter().map(|site| site.cookie()).collect();
        let places = UprobeMulti {
            path: &self.path,
            offsets: &offsets,
            semaphores: &semaphores,
            cookies: &cookies,
            at_return: self.moment == Moment::Return,
            pid: self.file.pid,
        };
        bpf::link_uprobe_multi(self.program, &places).map(Link::Bpf)
    }

    /// Links each site for itself, many at a time: a failure is mostly waiting, for the kernel to
    /// be sure that nobody uses what it takes back.
    fn link_one_by_one<'a>(
        &self,
        sites: &[Site<'a>],
        context: &Context<'_>,
        outcome: &mut Outcome<'a>,
    ) -> Result<(), WayError> {
        const AT_A_TIME: usize = 64;

        let todo = Mutex::new(sites.iter().copied().enumerate());
        // The guard must not live while the link is made.
        let next = || todo.lock().ok()?.next();
        let work = || {
            let mut linked = Vec::new();
            while !context.observer.is_interrupted()
                && let Some((number, site)) = next()
            {
                linked.push((number, site, self.link(&[site])));
            }
            linked
        };
        let linked = on_threads(sites.len().min(AT_A_TIME), work).into_iter();
        let mut linked: Vec<_> = linked.flatten().collect();
        linked.sort_by_key(|&(number, ..)| number);
        for (_, site, result) in linked {
            match result {
                Ok(link) => outcome.links.push(link),
                Err(error) => {
                    outcome.fail(Unattached::new(error, |error| {
                        Failure::of_site(site, error)
                    }))?;
                }
            }
        }
        match context.observer.is_interrupted() {
            true => Err(WayError::Interrupted),
            false => Ok(()),
        }
    }
}

/// The sites by file and moment, since a link has one of each.
fn group<'a>(sites: &[Site<'a>]) -> BTreeMap<(&'a Arc<TargetFile>, Moment), Vec<Site<'a>>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for site in sites {
        if let Some(point) = point(site) {
            let key = (&point.file, point.moment);
            groups.entry(key).or_default().push(*site);
        }
    }
    groups
}

fn point<'a>(site: &Site<'a>) -> Option<&'a UserPoint> {
    match site.point {
        AttachPoint::User(point) => Some(point),
        _ => None,
    }
}
