//! fentry and fexit: a trampoline per function, where kprobes are missing or it is asked for
//! (Linux 5.5 with BTF; commit fec56f5890d9). Functions of modules since 5.11 (commit 290248a5b7d8).

use std::{
    collections::{HashMap, hash_map::Entry},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::Arc,
};

use super::{Context, Failure, Link, Outcome, Site, Way, WayError, pace::Pace};
use crate::{
    kernel::{
        bpf::{self, ProgramKind, TypedFunction},
        capabilities::Capability,
        module_types,
    },
    load, privilege,
    resolve::{AttachPoint, KernelPoint},
    spec::Moment,
    types::Btf,
};

/// Failures with no success before, after which the way itself is at fault.
const HOPELESS: usize = 32;

pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    context: &Context<'_>,
) -> Result<Outcome<'a>, WayError> {
    let mut types = Types::open()?;
    let mut outcome = Outcome::default();
    let mut pace = Pace::start(context.observer, Way::Fentry, sites.len());
    for site in sites {
        pace.step()?;
        match attach_one(&mut types, site, context) {
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
    types: &mut Types,
    site: &Site<'_>,
    context: &Context<'_>,
) -> Result<(OwnedFd, Link), String> {
    let AttachPoint::Kernel(point) = site.point else {
        return Err("it is not a kernel function".to_owned());
    };
    let function = types.function(point)?;
    let kind = match point.moment {
        Moment::Entry => ProgramKind::Fentry(function),
        Moment::Return => ProgramKind::Fexit(function),
    };
    let program = context
        .loader
        .load_for(context.body, kind, site.cookie())
        .map_err(|error: load::Error| error.to_string())?;
    let link = bpf::link_tracing(program.as_fd()).map_err(|error| error.to_string())?;
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
