//! kprobe.multi: one link for all functions (Linux 5.18 with `CONFIG_FPROBE`; commit 0dcac2725406).

use std::{ffi::CString, io, os::fd::AsFd as _};

use super::{Context, Link, Outcome, Site, WayError, bisect};
use crate::{
    kernel::bpf::{self, KernelFunctions, ProgramKind},
    resolve::{AttachPoint, KernelPoint},
    spec::Moment,
};

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let program = context.load(ProgramKind::KprobeMulti, sites)?;
    let mut outcome = Outcome::default();
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
