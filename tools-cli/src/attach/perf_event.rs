//! Perf events: a kprobe, uprobe or tracepoint each. With a BPF link and its cookie since Linux
//! 5.15 (commit b89fbfbb854c), so that one program serves all; before, with a program for each.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
};

use super::{Context, Failure, Link, Outcome, Site, Unattached, Way, WayError, pace::Pace};
use crate::{
    kernel::{
        blacklist::Blacklist,
        bpf::{self, ProgramKind},
        kprobes,
        perf::{self, Event, Source},
        release::Release,
    },
    privilege,
    resolve::{AttachPoint, KernelPoint, UserPoint},
    spec::Moment,
};

/// Since this release there are links to perf events (commit b89fbfbb854c).
const PERF_EVENT_LINKS: Release = Release {
    major: 5,
    minor: 15,
};

/// What the kernel says of a site's event, or of giving it a program.
fn unattached(site: Site<'_>, error: io::Error) -> Unattached<'_> {
    Unattached::new(error, |error| match error.raw_os_error() {
        // `BPF_TRACE_MAX_PROGS` (kernel/trace/bpf_trace.c).
        Some(libc::E2BIG) => Failure::of_way(
            site,
            "64 programs are attached to it already, and no more can be",
        ),
        _ => failure(site, error),
    })
}

pub(super) fn attach_with_cookies<'a>(
    way: Way,
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let Some(first) = sites.first() else {
        return Ok(Outcome::default());
    };
    let program = context.load(program_kind(first.point), sites)?;
    let mut outcome = attach_each(way, sites, context, &mut |event, site| {
        let link = bpf::link_perf_event(program.as_fd(), event.as_fd(), site.cookie());
        let link = link.map_err(|error| unlinked(site, error))?;
        perf::enable(event.as_fd()).map_err(|error| unattached(site, error))?;
        Ok(Link::BpfToEvent { link, event })
    })?;
    outcome.programs.push(program);
    Ok(outcome)
}

/// Older kernels say no more than EINVAL of what they do not know.
fn unlinked(site: Site<'_>, error: io::Error) -> Unattached<'_> {
    let is_old = Release::current().is_ok_and(|release| release < PERF_EVENT_LINKS);
    match error.raw_os_error() {
        Some(libc::EINVAL) if is_old => Unattached::Way(WayError::Unsupported(format!(
            "no links to perf events before {PERF_EVENT_LINKS} ({error})"
        ))),
        _ => unattached(site, error),
    }
}

pub(super) fn attach_program_each<'a>(
    way: Way,
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let mut programs = Vec::new();
    let mut outcome = attach_each(way, sites, context, &mut |event, site| {
        let kind = program_kind(site.point);
        let program = context.loader.load_for(context.body, kind, site.cookie());
        let program = program.map_err(|error| Unattached::Way(error.into()))?;
        let enabled = set_and_enable(event.as_fd(), program.as_fd());
        enabled.map_err(|error| unattached(site, error))?;
        programs.push(program);
        Ok(Link::Event(event))
    })?;
    outcome.programs = programs;
    Ok(outcome)
}

fn set_and_enable(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    perf::set_program(event, program)?;
    perf::enable(event)
}

/// Opens an event for each site and gives it to `link`.
fn attach_each<'a>(
    way: Way,
    sites: &[Site<'a>],
    context: &Context<'_>,
    link: &mut dyn FnMut(OwnedFd, Site<'a>) -> Result<Link, Unattached<'a>>,
) -> Result<Outcome<'a>, WayError> {
    let mut outcome = Outcome::default();
    let Some(first) = sites.first() else {
        return Ok(outcome);
    };
    let source = source(first.point).map_err(|error| WayError::Unsupported(error.to_string()))?;
    let mut pace = Pace::start(context.observer, way, sites.len());
    for &site in sites {
        pace.step()?;
        let event = event(site.point).and_then(|event| source.open(&event));
        let event = event.map_err(|error| unattached(site, error));
        match event.and_then(|event| link(event, site)) {
            Ok(link) => outcome.links.push(link),
            Err(unattached) => outcome.fail(unattached)?,
        }
        outcome.check_hopeless()?;
    }
    Ok(outcome)
}

/// Why a site's event can't be opened. The kernel says no more than EINVAL where it forbids kprobes
/// (`check_kprobe_address_safe` in kernel/kprobes.c); another way may still be let in.
fn failure<'a>(site: Site<'a>, error: &io::Error) -> Failure<'a> {
    match site.point {
        AttachPoint::Kernel(point)
            if error.raw_os_error() == Some(libc::EINVAL)
                && Blacklist::of_kernel()
                    .forbids(&point.function, point.address.map(|address| address.0)) =>
        {
            Failure::of_way(site, "the kernel's blacklist forbids kprobes in it")
        }
        _ => match privilege::for_perf_events(error) {
            hint if hint.is_empty() => Failure::of_site(site, error),
            hint => Failure::of_way(site, format!("{error}{hint}")),
        },
    }
}

const fn program_kind(point: &AttachPoint) -> ProgramKind {
    match point {
        AttachPoint::Kernel(_) | AttachPoint::User(_) => ProgramKind::Kprobe,
        AttachPoint::Tracepoint(_) => ProgramKind::Tracepoint,
    }
}

fn source(point: &AttachPoint) -> io::Result<Source> {
    match point {
        AttachPoint::Kernel(_) if kprobes::are_off() => {
            let reason = format!("kprobes are switched off; {}", kprobes::REMEDY);
            Err(io::Error::other(reason))
        }
        AttachPoint::Kernel(_) => Source::kprobe(),
        AttachPoint::User(_) => Source::uprobe(),
        AttachPoint::Tracepoint(_) => Ok(Source::tracepoint()),
    }
}

fn event(point: &AttachPoint) -> io::Result<Event> {
    match point {
        AttachPoint::Kernel(point) => kprobe(point),
        AttachPoint::User(point) => uprobe(point),
        AttachPoint::Tracepoint(point) => Ok(Event::Tracepoint(point.id)),
    }
}

/// By address where it is known, since a name may stand for several functions. At a return the
/// kernel wants a function's start, and knows it by either.
fn kprobe(point: &KernelPoint) -> io::Result<Event> {
    let function = match point.address {
        Some(_) => None,
        None => Some(CString::new(point.function.as_str())?),
    };
    Ok(Event::Kprobe {
        function,
        address: point.address.map_or(0, |address| address.0),
        offset: point.offset,
        at_return: point.moment == Moment::Return,
    })
}

fn uprobe(point: &UserPoint) -> io::Result<Event> {
    Ok(Event::Uprobe {
        path: CString::new(point.file.path.as_os_str().as_bytes())?,
        offset: point.offset.0,
        semaphore: point.semaphore.map_or(0, |semaphore| semaphore.0),
        at_return: point.moment == Moment::Return,
        pid: point.file.pid,
    })
}
