//! Every way of attaching, tried for real: a program is loaded, attached, and must count an event.

use std::{fs, hint::black_box, path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, bail};
use probes_common::Settings;

use super::parts;
use crate::{
    attach::{self, Bodies, Way},
    collect::Counts,
    kernel::bpf::ProgramKind,
    load::{Body, Loader, MapSizes},
    render::Check,
    resolve::{self, AttachPoint, FileOffset, Probe, Scope, TargetFile, UserPoint, binary::maps},
    spec::{Moment, ProbeSpec, Syntax},
};

/// What can be probed, and the ways to it.
struct Target {
    name: &'static str,
    ways: &'static [Way],
    probe: fn() -> anyhow::Result<Probe>,
    /// Makes the probe fire.
    hit: fn(),
    /// What helps where no way works.
    remedy: &'static str,
}

const TARGETS: [Target; 3] = [
    Target {
        name: "kernel functions",
        ways: &[
            Way::KprobeMulti,
            Way::Kprobe,
            Way::KprobeSingle,
            Way::Fentry,
        ],
        probe: || resolved("sched_getaffinity"),
        hit: ask_for_affinity,
        remedy: "a kernel built with CONFIG_KPROBE_EVENTS, and for many at once CONFIG_FPROBE",
    },
    Target {
        name: "functions of programs",
        ways: &[Way::UprobeMulti, Way::Uprobe, Way::UprobeSingle],
        probe: own_function,
        hit: probed,
        remedy: "a kernel built with CONFIG_UPROBE_EVENTS",
    },
    Target {
        name: "tracepoints",
        ways: &[Way::Tracepoint, Way::TracepointSingle],
        probe: || resolved("t:sched:sched_switch"),
        hit: || thread::sleep(Duration::from_millis(1)),
        remedy: "a kernel built with CONFIG_BPF_EVENTS",
    },
];

const ANOTHER_KERNEL: &str = "a newer kernel, or one with more options; see above";

pub(super) fn checks() -> Vec<Check> {
    let loader = match load() {
        Ok(loader) => loader,
        Err(error) => {
            let (found, remedy) = parts(&format!("{error:#}"), ANOTHER_KERNEL);
            return vec![Check::fail("programs and maps", found, remedy)];
        }
    };
    let mut checks = vec![Check::ok("programs and maps", "loaded")];
    for target in &TARGETS {
        checks.extend(target.checks(&loader));
    }
    checks
}

/// The maps of all tools, and the programs of those that need no types.
fn load() -> anyhow::Result<Loader> {
    let sizes = MapSizes {
        counts: 1,
        ..MapSizes::default()
    };
    let loader = Loader::new(Settings::default(), &sizes, Vec::new())?;
    for body in [Body::Count, Body::Stack] {
        loader.load_for(body, ProgramKind::Tracepoint, 0)?;
    }
    Ok(loader)
}

impl Target {
    /// Whether there is any way, then each.
    fn checks(&self, loader: &Loader) -> Vec<Check> {
        let results: Vec<_> = match (self.probe)() {
            Ok(probe) => {
                let ways = self.ways.iter();
                ways.map(|&way| (way, self.attach(way, &probe, loader)))
                    .collect()
            }
            Err(error) => {
                let (found, remedy) = parts(&format!("{error:#}"), ANOTHER_KERNEL);
                return vec![Check::fail(self.name, found, remedy)];
            }
        };
        let best = results.iter().find(|(_, result)| result.is_ok());
        let summary = match best {
            Some((way, _)) => Check::ok(self.name, format!("by {way}")),
            None => {
                let mut reasons = results
                    .iter()
                    .filter_map(|(_, result)| result.as_ref().err());
                let privilege = reasons.find(|reason| reason.contains("; it lacks "));
                let remedy = privilege.map_or(self.remedy.to_owned(), |it| parts(it, "").1);
                Check::fail(self.name, "no way of attaching works", remedy)
            }
        };
        let ways = results.into_iter().map(|(way, result)| {
            let name = format!("  {way}");
            match result {
                Ok(()) => Check::ok(name, "attached, and heard of an event"),
                Err(reason) => {
                    let (found, remedy) = parts(&reason, needs(way));
                    Check::warn(name, found, remedy)
                }
            }
        });
        [summary].into_iter().chain(ways).collect()
    }

    fn attach(&self, way: Way, probe: &Probe, loader: &Loader) -> Result<(), String> {
        let attached = attach::attach(
            std::slice::from_ref(probe),
            &Bodies::All(Body::Count),
            loader,
            attach::Options { only: Some(way) },
            &|| false,
        );
        let attached = attached.map_err(|error| match error {
            attach::Error::Nothing { mut reasons, .. } => {
                reasons.pop().map_or_else(String::new, |(_, reason)| reason)
            }
            error => error.to_string(),
        })?;
        let is_heard = self.is_heard(loader).map_err(|error| format!("{error:#}"));
        let _ = attached.detach();
        match is_heard? {
            true => Ok(()),
            false => Err("attached, but nothing was heard of events".to_owned()),
        }
    }

    /// Whether an event is counted. Several are made: a kernel may be busy with another probe.
    fn is_heard(&self, loader: &Loader) -> anyhow::Result<bool> {
        const TIMES: usize = 20;

        let mut counts = Counts::open(loader.maps(), 1)?;
        counts.take()?;
        for _ in 0..TIMES {
            (self.hit)();
            if counts.take()?.iter().any(|&count| count > 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a way needs of a kernel.
const fn needs(way: Way) -> &'static str {
    match way {
        Way::KprobeMulti => "needs Linux 5.18 with CONFIG_FPROBE",
        Way::Kprobe => "needs Linux 5.15 with CONFIG_KPROBE_EVENTS",
        Way::KprobeSingle => "needs CONFIG_KPROBE_EVENTS",
        Way::Fentry => "needs CONFIG_DEBUG_INFO_BTF and CONFIG_DYNAMIC_FTRACE",
        Way::UprobeMulti => "needs Linux 6.6 with CONFIG_UPROBES",
        Way::Uprobe => "needs Linux 5.15 with CONFIG_UPROBE_EVENTS",
        Way::UprobeSingle => "needs CONFIG_UPROBE_EVENTS",
        Way::Tracepoint => "needs Linux 5.15",
        Way::TracepointSingle => "needs CONFIG_BPF_EVENTS",
    }
}

/// The first probe that a spec stands for.
fn resolved(spec: &str) -> anyhow::Result<Probe> {
    let spec = ProbeSpec::parse(spec, Syntax::Glob)?;
    let resolved = resolve::resolve(&[spec], &Scope::default())?;
    let first = resolved.probes.into_iter().next();
    first.context("it stands for no probe")
}

/// A function of this program, which nobody else runs into.
#[inline(never)]
fn probed() {
    black_box(1);
}

fn own_function() -> anyhow::Result<Probe> {
    let address = probed as *const () as u64;
    let text = fs::read("/proc/self/maps").context("failed to read /proc/self/maps")?;
    let mut lines = maps::lines(&text);
    let line = lines.find(|line| (line.mapping.start..line.mapping.end).contains(&address));
    let Some(line) = line else {
        bail!("/proc/self/maps does not have this program");
    };
    let offset = address - line.mapping.start + line.mapping.offset;
    let file = TargetFile {
        // Also where the file has been replaced since.
        path: PathBuf::from("/proc/self/exe"),
        shown: line.path,
        pid: None,
    };
    let point = UserPoint {
        file: Arc::new(file),
        offset: FileOffset(offset),
        semaphore: None,
        moment: Moment::Entry,
        is_function_start: true,
        operands: Vec::new(),
        symbol: "probed".to_owned(),
    };
    Ok(Probe {
        name: point.symbol.clone(),
        spec: 0,
        points: vec![AttachPoint::User(point)],
    })
}

fn ask_for_affinity() {
    // SAFETY: zero is a valid set of CPUs.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local of the size that is given.
    unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut cpus) };
}
