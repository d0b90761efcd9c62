//! kprobe.multi: one link for all functions (Linux 5.18 with `CONFIG_FPROBE`; commit 0dcac2725406).

use std::{ffi::CString, io, ops::Range, os::fd::AsFd as _};

use super::{Context, Failure, Link, Outcome, Site, WayError, bisect};
use crate::{
    kernel::{
        bpf::{self, KernelFunctions, ProgramKind},
        release::Release,
    },
    load,
    resolve::{AttachPoint, KernelPoint},
    spec::Moment,
};

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let program = context.load(ProgramKind::KprobeMulti, sites)?;
    let mut outcome = Outcome::default();
    let (sites, blind) = split_blind(sites, context)?;
    outcome.failed.extend(blind);
    for moment in [Moment::Entry, Moment::Return] {
        for by_address in [true, false] {
            let group: Vec<_> = sites
                .iter()
                .filter(|site| {
                    point(site).is_some_and(|point| {
                        point.moment == moment && point.address.is_some() == by_address
                    })
                })
                .copied()
                .collect();
            if group.is_empty() {
                continue;
            }
            bisect::attach(&group, context.observer, &mut outcome, &mut |sites| {
                let cookies: Vec<u64> = sites.iter().map(|site| site.cookie()).collect();
                let at_return = moment == Moment::Return;
                with_functions(sites, by_address, |functions| {
                    bpf::link_kprobe_multi(program.as_fd(), functions, &cookies, at_return)
                        .map(Link::Bpf)
                })
            })?;
        }
    }
    outcome.programs.push(program);
    Ok(outcome)
}

/// The releases whose fprobes know too little of the registers: since they are made of the function
/// graph tracer (commit 4346ba160409), until these are saved again (commit 8bc11700e0d2, and those of
/// its time for walks of the stack). At a return they do not have the stack pointer, by which a return
/// finds what was saved at its entry; and stacks lack the function itself.
const BLIND: Range<Release> = Release {
    major: 6,
    minor: 14,
}..Release { major: 7, minor: 0 };

/// Those of `sites` that this way can serve, and those that it can't.
fn split_blind<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<(Vec<Site<'a>>, Vec<Failure<'a>>), WayError> {
    let release = Release::current().map_err(load::Error::Release)?;
    let reason = |site: &Site<'_>| {
        let is_return = site.point.moment() == Moment::Return;
        if !BLIND.contains(&release) {
            None
        } else if context.loader.settings().kernel_stack != 0 {
            Some("from Linux 6.14 to 6.19 its stacks lack the function itself")
        } else if context.reads_entry && is_return {
            Some("from Linux 6.14 to 6.19 it can't tell which call has returned")
        } else {
            None
        }
    };
    let (mut seen, mut blind) = (Vec::new(), Vec::new());
    for &site in sites {
        match reason(&site) {
            Some(reason) => blind.push(Failure::of_way(site, reason)),
            None => seen.push(site),
        }
    }
    Ok((seen, blind))
}

/// Names the functions by address where all have one: names need not be unique.
fn with_functions<T>(
    sites: &[Site<'_>],
    by_address: bool,
    link: impl FnOnce(KernelFunctions<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let points = sites.iter().filter_map(point);
    if by_address {
        let addresses: Vec<u64> = points
            .filter_map(|point| point.address.map(|address| address.0))
            .collect();
        link(KernelFunctions::Addresses(&addresses))
    } else {
        let names = points
            .map(|point| CString::new(point.function.as_str()))
            .collect::<Result<Vec<_>, _>>()?;
        link(KernelFunctions::Names(&names))
    }
}

fn point<'a>(site: &Site<'a>) -> Option<&'a KernelPoint> {
    match site.point {
        AttachPoint::Kernel(point) => Some(point),
        _ => None,
    }
}
