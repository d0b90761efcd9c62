//! The kernel: its release, options, types, what it keeps to itself.

use std::fs;

use super::parts;
use crate::{
    kernel::{config::Config, lockdown, release::Release},
    render::{Check, Grouped},
    resolve::{Tracefs, kernel::kallsyms},
    types::Btf,
};

/// Since this release, programs can send events through a ring buffer (commit 457f44363a88).
const RING_BUFFER: Release = Release { major: 5, minor: 8 };

/// Options that are of use, without `CONFIG_`: since when they are there, and what for.
const OPTIONS: [(&str, Release, &str); 14] = {
    const ALWAYS: Release = RING_BUFFER;
    const fn since(major: u32, minor: u32) -> Release {
        Release { major, minor }
    }
    [
        ("BPF_SYSCALL", ALWAYS, "everything"),
        ("BPF_EVENTS", ALWAYS, "everything"),
        ("PERF_EVENTS", ALWAYS, "everything"),
        ("BPF_JIT", ALWAYS, "speed"),
        ("KALLSYMS", ALWAYS, "names of kernel functions"),
        ("KPROBES", ALWAYS, "kernel functions"),
        ("KPROBE_EVENTS", ALWAYS, "kernel functions"),
        ("FPROBE", since(5, 18), "many kernel functions at once"),
        ("DYNAMIC_FTRACE", ALWAYS, "patterns of kernel functions"),
        ("UPROBE_EVENTS", ALWAYS, "functions of programs"),
        ("FTRACE_SYSCALLS", ALWAYS, "tracepoints of system calls"),
        ("DEBUG_INFO_BTF", ALWAYS, "trace's names and types"),
        (
            "DEBUG_INFO_BTF_MODULES",
            since(5, 11),
            "the same in modules",
        ),
        ("CGROUPS", ALWAYS, "--cgroup"),
    ]
};

pub(super) fn checks() -> Vec<Check> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut checks = vec![
        kernel(release),
        options(release),
        types(),
        lockdown(),
        tracefs(),
    ];
    checks.extend(settings());
    checks
}

fn kernel(release: &str) -> Check {
    let found = format!("Linux {release}");
    match Release::current() {
        Ok(current) if current < RING_BUFFER => {
            let remedy = format!("the tools need Linux {RING_BUFFER}; it is tested from 5.10 on");
            Check::fail("kernel", found, remedy)
        }
        Ok(_) => Check::ok("kernel", found),
        Err(error) => Check::fail("kernel", error.to_string(), "mount /proc"),
    }
}

fn options(release: &str) -> Check {
    const NAME: &str = "kernel options";

    let Some(config) = Config::of_kernel(release) else {
        let found = "unknown: neither in /proc/config.gz nor in /boot";
        return Check::warn(NAME, found, "none needed: what matters is tried below");
    };
    let current = Release::current().unwrap_or(RING_BUFFER);
    let known = OPTIONS.iter().filter(|(_, since, _)| *since <= current);
    let (set, missing): (Vec<_>, Vec<_>) = known.partition(|(option, ..)| config.has(option));
    let path = config.path.display();
    if missing.is_empty() {
        return Check::ok(NAME, format!("all {} are set in {path}", set.len()));
    }
    let reasons = missing
        .iter()
        .map(|(option, _, purpose)| format!("{option} ({purpose})"));
    let options = missing
        .iter()
        .map(|(option, ..)| format!("CONFIG_{option}"));
    Check::warn(
        NAME,
        format!("{path} lacks {}", reasons.collect::<Vec<_>>().join(", ")),
        format!(
            "a kernel built with {}",
            options.collect::<Vec<_>>().join(", ")
        ),
    )
}

fn types() -> Check {
    match Btf::of_kernel() {
        Ok(types) => {
            let count = types.functions().count() as u64;
            Check::ok(
                "kernel types (BTF)",
                format!("{} functions", Grouped(count)),
            )
        }
        Err(error) => Check::warn(
            "kernel types (BTF)",
            error.to_string(),
            "a kernel built with CONFIG_DEBUG_INFO_BTF; without, trace knows arg1 to arg6 only",
        ),
    }
}

fn lockdown() -> Check {
    match lockdown::level().as_deref() {
        Some("confidentiality") => Check::fail(
            "lockdown",
            "confidentiality: no tracepoints, no following of forks",
            "start the kernel with lockdown=integrity or without it",
        ),
        Some(level) => Check::ok("lockdown", level),
        None => Check::ok("lockdown", "not in this kernel, or not to be seen"),
    }
}

fn tracefs() -> Check {
    let read = || {
        let tracefs = Tracefs::open().map_err(|error| error.to_string())?;
        let events = tracefs.read("available_events");
        let events = events.map_err(|error| crate::resolve::Error::Tracefs(error).to_string())?;
        Ok::<_, String>((tracefs, events.lines().count() as u64))
    };
    match read() {
        Ok((tracefs, count)) => {
            let place = match tracefs.is_private() {
                true => "mounted for each run".to_owned(),
                false => format!("at {}", tracefs.root().display()),
            };
            Check::ok("tracefs", format!("{place}, {} events", Grouped(count)))
        }
        Err(error) => {
            let (found, remedy) = parts(
                &error,
                "mount it: mount -t tracefs tracefs /sys/kernel/tracing",
            );
            Check::fail("tracefs", found, remedy)
        }
    }
}

/// Those below `/proc/sys/kernel` that make a difference.
fn settings() -> Vec<Check> {
    [
        setting("kptr_restrict", |value| match kallsyms::shows_addresses() {
            true => None,
            false => Some((
                format!("{value}: addresses of kernel functions are hidden"),
                "run it as root, with sysctl kernel.kptr_restrict=1; else stacks of the kernel have no names",
            )),
        }),
        setting("perf_event_max_stack", |value| {
            (value < 127).then(|| (
                format!("{value}: stacks of the kernel end there"),
                "sysctl kernel.perf_event_max_stack=127",
            ))
        }),
        setting("ftrace_enabled", |value| {
            (value == 0).then(|| (
                format!("{value}: kprobe.multi and fentry are never hit, or can't attach"),
                "sysctl kernel.ftrace_enabled=1",
            ))
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A setting, and what is wrong with its value, if anything.
pub(super) fn setting(
    name: &str,
    wrong: impl FnOnce(i64) -> Option<(String, &'static str)>,
) -> Option<Check> {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    let value = text.trim().parse().ok()?;
    Some(match wrong(value) {
        None => Check::ok(name, value.to_string()),
        Some((found, remedy)) => Check::warn(name, found, remedy),
    })
}
