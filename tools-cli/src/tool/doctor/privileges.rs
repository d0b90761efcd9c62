//! What this process may do.

use super::kernel::setting;
use crate::{
    kernel::{
        capabilities::{self, Capabilities, Capability},
        limits,
        release::Release,
    },
    privilege,
    render::{Check, Grouped},
};

/// What is lost without each.
const CAPABILITIES: [(Capability, &str); 4] = [
    (Capability::Bpf, "everything"),
    (Capability::Perfmon, "everything"),
    (
        Capability::SysAdmin,
        "tracepoints, commands, --follow-forks, uprobes by perf events",
    ),
    (Capability::SysPtrace, "processes of other users"),
];

pub(super) fn checks() -> Vec<Check> {
    let capabilities = Capabilities::current();
    let has = |wanted: &[Capability]| capabilities.missing(wanted).is_none();
    let mut checks = vec![capabilities_check(capabilities)];
    checks.extend(setting("unprivileged_bpf_disabled", |value| {
        (value != 0 && !has(&[Capability::Bpf])).then(|| {
            let found = format!("{value}: programs are for those with CAP_BPF only");
            (found, "run it as root")
        })
    }));
    checks.extend(setting("perf_event_paranoid", |value| {
        (value > 2 && !has(&[Capability::SysAdmin])).then(|| {
            let found = format!("{value}: probes by perf events are for CAP_SYS_ADMIN only");
            (
                found,
                "sysctl kernel.perf_event_paranoid=2, or run it as root",
            )
        })
    }));
    checks.push(locked_memory(has(&[Capability::SysResource])));
    checks.extend(open_files());
    checks
}

fn capabilities_check(capabilities: Capabilities) -> Check {
    const NAME: &str = "capabilities";

    let lost: Vec<String> = CAPABILITIES
        .iter()
        .filter_map(|(capability, lost)| {
            let missing = capabilities.missing(&[*capability])?;
            Some(format!("{missing} ({lost})"))
        })
        .collect();
    let remedy = "run it as root, or with these capabilities";
    if lost.is_empty() && capabilities::are_of_a_namespace_only() {
        return Check::fail(
            NAME,
            "those of root of a user namespace, which the kernel does not ask",
            "run it outside, as root of the system",
        );
    }
    if lost.is_empty() {
        return Check::ok(NAME, "all that are needed");
    }
    let found = format!("lacks {}", lost.join(", "));
    match capabilities.missing(&[Capability::Bpf, Capability::Perfmon]) {
        Some(_) => Check::fail(NAME, found, remedy),
        None => Check::warn(NAME, found, remedy),
    }
}

/// Only old kernels count maps and programs against it.
fn locked_memory(may_raise: bool) -> Check {
    const NAME: &str = "locked memory";
    /// Enough for the maps of a run with all its buffers.
    const ENOUGH_BYTES: u64 = 256 << 20;

    let counts = Release::current().is_ok_and(|release| release < privilege::NO_LOCKED_MEMORY);
    match limits::locked_memory_bytes() {
        _ if !counts => Check::ok(NAME, "not counted by this kernel"),
        _ if may_raise => Check::ok(NAME, "raised as far as it is needed"),
        Ok(bytes) if bytes >= ENOUGH_BYTES => Check::ok(NAME, format!("{} bytes", Grouped(bytes))),
        Ok(bytes) => Check::fail(
            NAME,
            format!(
                "{} bytes, which this kernel counts maps against",
                Grouped(bytes)
            ),
            "ulimit -l unlimited, or CAP_SYS_RESOURCE",
        ),
        Err(error) => Check::warn(NAME, error.to_string(), "ulimit -l unlimited"),
    }
}

fn open_files() -> Option<Check> {
    const NAME: &str = "open files";
    /// As many as one C library has functions, each a probe of two on kernels without multi links.
    const ENOUGH: u64 = 8192;

    // As the tools do.
    limits::raise().ok()?;
    let files = limits::open_files().ok()?;
    Some(if files >= ENOUGH {
        Check::ok(NAME, format!("{}", Grouped(files)))
    } else {
        let found = format!("{}: as many probes, where each takes one", Grouped(files));
        Check::warn(NAME, found, "ulimit -Hn 1048576")
    })
}
