//! fentry and fexit: a trampoline per function, where kprobes are missing or it is asked for
//! (Linux 5.5 with BTF; commit fec56f5890d9).

use std::os::fd::AsFd as _;

use aya_obj::btf::{Btf, BtfKind};

use super::{Context, Failure, Link, Outcome, Site, Way, WayError, pace::Pace};
use crate::{
    kernel::bpf::{self, ProgramKind},
    load,
    resolve::AttachPoint,
    spec::Moment,
};

/// Failures with no success before, after which the way itself is at fault.
const HOPELESS: usize = 32;

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let btf = Btf::from_sys_fs().map_err(|error| {
        WayError::Unsupported(format!(
            "failed to read the kernel's type information: {error}"
        ))
    })?;
    let mut outcome = Outcome::default();
    let mut pace = Pace::start(context.observer, Way::Fentry, sites.len());
    for site in sites {
        pace.step()?;
        match attach_one(&btf, site, context) {
            Ok((program, link)) => {
                outcome.programs.push(program);
                outcome.links.push(link);
            }
            Err(reason) => outcome.failed.push(Failure::of_way(*site, reason)),
        }
        if outcome.links.is_empty() && outcome.failed.len() >= HOPELESS {
            let reason = outcome.failed[0].reason.clone();
            return Err(WayError::Unsupported(reason));
        }
    }
    Ok(outcome)
}

fn attach_one(
    btf: &Btf,
    site: &Site<'_>,
    context: &Context<'_>,
) -> Result<(std::os::fd::OwnedFd, Link), String> {
    let AttachPoint::Kernel(point) = site.point else {
        return Err("it is not a kernel function".to_owned());
    };
    if let Some(module) = &point.module {
        return Err(format!(
            "it is in the module {module}, where fentry is not supported yet"
        ));
    }
    let id = btf
        .id_by_type_name_kind(&point.function, BtfKind::Func)
        .map_err(|_| "the kernel's type information does not have it".to_owned())?;
    let kind = match point.moment {
        Moment::Entry => ProgramKind::Fentry(id),
        Moment::Return => ProgramKind::Fexit(id),
    };
    let program = context
        .loader
        .load_for(context.body, kind, site.cookie())
        .map_err(|error: load::Error| error.to_string())?;
    let link = bpf::link_tracing(program.as_fd()).map_err(|error| error.to_string())?;
    Ok((program, Link::Bpf(link)))
}
