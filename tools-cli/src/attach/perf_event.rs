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

use super::{Context, Failure, Link, Outcome, Site, Way, WayError, pace::Pace};
use crate::{
    kernel::{
        blacklist::Blacklist,
        bpf::{self, ProgramKind},
        kprobes,
        perf::{self, Event, Source},
    },
    privilege,
    resolve::{AttachPoint, KernelPoint, UserPoint},
    spec::Moment,
};

/// Failures with no success before, after which the way itself is at fault.
const HOPELESS: usize = 32;

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
        // The event is good, so it is the link that this kernel does not know.
        let link = link.map_err(|error| {
            WayError::Unsupported(format!("no links to perf events before 5.15 ({error})"))
        })?;
        perf::enable(event.as_fd()).map_err(|error| WayError::Unsupported(error.to_string()))?;
        Ok(Link::BpfToEvent { link, event })
    })?;
    outcome.programs.push(program);
    Ok(outcome)
}

pub(super) fn attach_program_each<'a>(
    way: Way,
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let mut programs = Vec::new();
    let mut outcome = attach_each(way, sites, context, &mut |event, site| {
        let kind = program_kind(site.point);
        let program = context.loader.load_for(context.body, kind, site.cookie())?;
        set_and_enable(event.as_fd(), program.as_fd())
            .map_err(|error| WayError::Unsupported(error.to_string()))?;
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

/// Opens an event for each site and gives it to `link`. That an event can't be opened is the
/// site's fault; that it can't be linked is the way's.
fn attach_each<'a>(
    way: Way,
    sites: &[Site<'a>],
    context: &Context<'_>,
    link: &mut dyn FnMut(OwnedFd, Site<'a>) -> Result<Link, WayError>,
) -> Result<Outcome<'a>, WayError> {
    let mut outcome = Outcome::default();
    let Some(first) = sites.first() else {
        return Ok(outcome);
    };
    let source = source(first.point).map_err(|error| WayError::Unsupported(error.to_string()))?;
    let mut pace = Pace::start(context.observer, way, sites.len());
    for site in sites {
        pace.step()?;
        match event(site.point).and_then(|event| source.open(&event)) {
            Ok(event) => outcome.links.push(link(event, *site)?),
            Err(error) => outcome.failed.push(failure(*site, &error)),
        }
        if outcome.links.is_empty() && outcome.failed.len() >= HOPELESS {
            let reason = outcome.failed[0].reason.clone();
            return Err(WayError::Unsupported(reason));
        }
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
