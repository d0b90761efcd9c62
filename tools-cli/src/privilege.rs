//! The end of an error that stands for missing privileges: which ones, or what else it may be.

use std::io;

use crate::kernel::{
    capabilities::{self, Capabilities, Capability, is_root},
    release::Release,
};

/// Since this release, maps and programs do not count as locked memory (commit 97306be45fbe).
pub const NO_LOCKED_MEMORY: Release = Release {
    major: 5,
    minor: 11,
};

/// For maps and programs.
#[must_use]
pub fn for_bpf(error: &io::Error) -> String {
    if !is_refusal(error) {
        return String::new();
    }
    let capabilities = Capabilities::current();
    if let Some(missing) = capabilities.missing(&[Capability::Bpf, Capability::Perfmon]) {
        return lacks(&missing);
    }
    let counts_locked_memory = Release::current().is_ok_and(|release| release < NO_LOCKED_MEMORY);
    if counts_locked_memory && capabilities.missing(&[Capability::SysResource]).is_some() {
        return "; raise the limit of locked memory (ulimit -l), which this kernel counts it \
                against, or run it with CAP_SYS_RESOURCE"
            .to_owned();
    }
    forbidden_to_all()
}

/// For perf events that are probes.
#[must_use]
pub fn for_perf_events(error: &io::Error) -> String {
    if !is_refusal(error) {
        return String::new();
    }
    let capabilities = Capabilities::current();
    if let Some(missing) = capabilities.missing(&[Capability::Perfmon]) {
        return lacks(&missing);
    }
    match capabilities.missing(&[Capability::SysAdmin]) {
        // Uprobes: since 6.16, and stable releases of its time (commit ba677dbe77af). A limit above 2
        // is Debian's, Ubuntu's and Android's.
        Some(missing) => format!(
            "; it lacks {missing}, which this kernel wants for probes by perf events (uprobes, or \
             all of them where perf_event_paranoid is above 2)"
        ),
        None => forbidden_to_all(),
    }
}

/// For perf events that tell what processes map, which only a tool that loads programs asks for.
#[must_use]
pub fn for_mappings(error: &io::Error) -> String {
    let wanted = [Capability::Bpf, Capability::Perfmon];
    match Capabilities::current().missing(&wanted) {
        Some(missing) if is_refusal(error) => lacks(&missing),
        _ => for_perf_events(error),
    }
}

/// For what needs one capability.
#[must_use]
pub fn for_one(error: &io::Error, capability: Capability) -> String {
    if !is_refusal(error) {
        return String::new();
    }
    match Capabilities::current().missing(&[capability]) {
        Some(missing) => lacks(&missing),
        None => forbidden_to_all(),
    }
}

fn forbidden_to_all() -> String {
    match capabilities::are_of_a_namespace_only() {
        true => {
            "; this is root of a user namespace, and the kernel wants the system's: run it outside"
        }
        false => "; the kernel forbids it even to root: it may be locked down, or built without it",
    }
    .to_owned()
}

fn lacks(missing: &str) -> String {
    match is_root() {
        true => format!(
            "; it lacks {missing}, which this root was not given: start its container with it"
        ),
        false => format!("; it lacks {missing}: run it as root"),
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}
