//! fentry and fexit: a trampoline per function, where kprobes are missing or it is asked for
//! (Linux 5.5 with BTF; commit fec56f5890d9). Functions of modules since 5.11 (commit 290248a5b7d8).

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::Arc,
};

use super::{Context, Failure, Link, Outcome, Site, Unattached, Way, WayError, pace::Pace};
use crate::{
    kernel::{
        bpf::{self, ProgramKind, TypedFunction},
        capabilities::Capability,
        module_types,
    },
    privilege,
    resolve::{AttachPoint, KernelPoint},
    spec::Moment,
    types::Btf,
};

const AMBIGUOUS: &str =
    "its name stands for several functions, which type information can't tell apart";

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let mut types = Types::open()?;
    let ambiguous = ambiguous(sites);
    let mut outcome = Outcome::default();
    let mut pace = Pace::start(context.observer, Way::Fentry, sites.len());
    for site in sites {
        pace.step()?;
        let attached = match ambiguous.contains(&site.point) {
            true => Err(Unattached::Site(Failure::of_way(*site, AMBIGUOUS))),
            false => attach_one(&mut types, *site, context),
        };
        match attached {
            Ok((program, link)) => {
                outcome.programs.push(program);
                outcome.links.push(link);
            }
            Err(unattached) => outcome.fail(unattached)?,
        }
        outcome.check_hopeless()?;
    }
    Ok(outcome)
}

/// The functions among `sites` that share their name with another. Types know functions by their
/// names, so that two programs would go to one of them, and each call would count twice.
fn ambiguous<'a>(sites: &[Site<'a>]) -> HashSet<&'a AttachPoint> {
    let mut points: HashMap<_, HashSet<_>> = HashMap::new();
    for site in sites {
        if let AttachPoint::Kernel(point) = site.point {
            let name = (&point.function, &point.module, point.moment);
            points.entry(name).or_default().insert(site.point);
        }
    }
    let shared = points.into_values().filter(|points| points.len() > 1);
    shared.flatten().collect()
}

fn attach_one<'a>(
    types: &mut Types,
    site: Site<'a>,
    context: &Context<'_>,
) -> Result<(OwnedFd, Link), Unattached<'a>> {
    let failed = |reason: String| Unattached::Site(Failure::of_way(site, reason));
    let AttachPoint::Kernel(point) = site.point else {
        return Err(failed("it is not a kernel function".to_owned()));
    };
    let function = types.function(point).map_err(failed)?;
    let kind = match point.moment {
        Moment::Entry => ProgramKind::Fentry(function),
        Moment::Return => ProgramKind::Fexit(function),
    };
    let program = context
        .loader
        .load_for(context.body, kind, site.cookie())
        .map_err(|error| match error.into() {
            end @ WayError::NoDescriptors(_) => Unattached::Way(end),
            error => failed(error.to_string()),
        })?;
    let link = bpf::link_tracing(program.as_fd());
    let link = link.map_err(|error| {
        Unattached::new(error, |error| Failure::of_way(site, error.to_string()))
    })?;
    Ok((program, Link::Bpf(link)))
}

/// The type information of the kernel, and of its modules as far as they were asked for.
struct Types {
    kernel: Arc<Btf>,
    /// Or why there is none.
    modules: HashMap<String, Result<ModuleTypes, String>>,
}

/// That of a module: to look up numbers in, and the kernel's own copy.
struct ModuleTypes {
    types: Btf,
    descriptor: OwnedFd,
}

impl Types {
    fn open() -> Result<Self, WayError> {
        let kernel = Btf::of_kernel().map_err(|error| {
            WayError::Unsupported(format!(
                "failed to read the kernel's type information: {error}"
            ))
        })?;
        Ok(Self {
            kernel: Arc::new(kernel),
            modules: HashMap::new(),
        })
    }

    fn function(&mut self, point: &KernelPoint) -> Result<TypedFunction, String> {
        let missing = || "the kernel's type information does not have it".to_owned();
        let name = &point.function;
        let Some(module) = &point.module else {
            return Ok(TypedFunction {
                id: self.kernel.function_id(name).ok_or_else(missing)?,
                module_types: None,
            });
        };
        let module = self.module(module)?;
        Ok(TypedFunction {
            id: module.types.function_id(name).ok_or_else(missing)?,
            module_types: Some(module.descriptor.as_raw_fd()),
        })
    }

    fn module(&mut self, name: &str) -> Result<&ModuleTypes, String> {
        let module = match self.modules.entry(name.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(ModuleTypes::open(name, &self.kernel)),
        };
        module.as_ref().map_err(Clone::clone)
    }
}

impl ModuleTypes {
    fn open(name: &str, kernel: &Arc<Btf>) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display, hint: &str| {
            format!(
                "failed to read the type information of the module {name} (Linux 5.11 and \
                 CONFIG_DEBUG_INFO_BTF_MODULES): {error}{hint}"
            )
        };
        let types = Btf::of_module(name, Arc::clone(kernel)).map_err(|error| failed(&error, ""))?;
        let descriptor = module_types::open(name)
            .map_err(|error| failed(&error, &privilege::for_one(&error, Capability::SysAdmin)))?;
        Ok(Self { types, descriptor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::KernelAddr;

    #[test]
    fn functions_that_share_a_name_are_told_from_those_that_do_not() {
        let point = |function: &str, module: Option<&str>, address| {
            AttachPoint::Kernel(KernelPoint {
                function: function.to_owned(),
                module: module.map(str::to_owned),
                address: Some(KernelAddr(address)),
                offset: 0,
                moment: Moment::Entry,
            })
        };
        let points = [
            point("twin", None, 0x10),
            point("twin", None, 0x20),
            point("twin", Some("loop"), 0x30),
            point("only", None, 0x40),
        ];
        let sites: Vec<_> = (0..)
            .zip(&points)
            .map(|(index, point)| Site { point, index })
            .collect();
        let ambiguous = ambiguous(&sites);
        let shared = points.each_ref().map(|point| ambiguous.contains(point));
        assert_eq!(shared, [true, true, false, false]);
    }
}
