//! From a [`ProbeSpec`] to the [`Probe`]s that it names on this system.
//!
//! Each kind of target has its own module; all of them end in the same [`AttachPoint`]s.

mod address;
pub(crate) mod binary;
pub mod elf;
mod found;
pub(crate) mod kernel;
mod probe;
mod tracefs;
mod usdt;
mod user;

use std::{collections::HashSet, io, path::PathBuf};

use self::found::Found;
pub use self::{
    address::{FileOffset, KernelAddr, VirtAddr},
    binary::Error as BinaryError,
    elf::ElfError,
    probe::{AttachPoint, KernelPoint, Probe, TargetFile, TracepointPoint, UserPoint},
    tracefs::Tracefs,
};
use crate::{
    attach::Skipped,
    kernel::capabilities::Capability,
    privilege,
    spec::{Pattern, ProbeSpec, Target},
    suggest::{did_you_mean, nearest},
};

/// Where user probes are looked for.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// In these processes; in the system at large if there are none.
    pub pids: Vec<u32>,
    /// Whether they are put into these processes only, not into others that map the same files.
    pub only_them: bool,
}

impl Scope {
    /// One round for each process, or one for the system.
    fn rounds(&self) -> Vec<Option<u32>> {
        match self.pids.as_slice() {
            [] => vec![None],
            pids => pids.iter().copied().map(Some).collect(),
        }
    }

    /// `file` with the process that its probes are put into.
    fn confine(&self, file: TargetFile) -> TargetFile {
        TargetFile {
            pid: file.pid.filter(|_| self.only_them),
            ..file
        }
    }
}

/// What a list of specs stands for.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The probes; each spec has an attach point once.
    pub probes: Vec<Probe>,
    /// What matched and is not probed, and why.
    pub left_out: Vec<Skipped>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Why a spec stands for nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary can't be found.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The binary can't be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The kernel's symbols can't be read.
    #[error("failed to read the kernel's symbols in /proc/kallsyms: {0}")]
    Kallsyms(io::Error),
    /// tracefs can't be read.
    #[error("failed to read tracefs: {0}{hint}", hint = tracefs_hint(.0))]
    Tracefs(io::Error),
    /// The description of a tracepoint's record can't be understood.
    #[error(transparent)]
    Format(#[from] crate::types::Error),
    /// The kernel has no tracefs for anybody.
    #[error(
        "the kernel is locked down for confidentiality, which forbids tracepoints, and following \
         forks by them; functions and USDT probes can be counted"
    )]
    LockedDown,
    /// No kernel function is meant.
    #[error("no kernel function matches `{pattern}`{hint}")]
    NoKernelFunction {
        /// The pattern.
        pattern: String,
        /// Names like it.
        hint: String,
    },
    /// No tracepoint is meant.
    #[error("no tracepoint matches `{pattern}`{hint}")]
    NoTracepoint {
        /// The pattern.
        pattern: String,
        /// Names like it.
        hint: String,
    },
    /// A tracepoint's record lacks a field.
    #[error("the tracepoint {event} has no field `{field}` on this kernel")]
    NoField {
        /// The tracepoint.
        event: String,
        /// The field.
        field: String,
    },
    /// No function of a file is meant.
    #[error("no function of {file} matches `{pattern}`{hint}")]
    NoFunction {
        /// The file.
        file: String,
        /// The pattern.
        pattern: String,
        /// Names like it, or why there are none.
        hint: String,
    },
    /// No USDT probe is meant.
    #[error("no USDT probe of {place} matches `{pattern}`{hint}")]
    NoUsdt {
        /// Where it was looked for.
        place: String,
        /// The pattern.
        pattern: String,
        /// Names like it.
        hint: String,
    },
    /// A return probe would crash the program.
    #[error(
        "{file} is a Go program: Go moves its stacks, and a return probe, which leaves an address \
         of the kernel's on them, would crash it; probe the entry instead"
    )]
    GoReturn {
        /// The file.
        file: String,
    },
    /// A probe there would break the program.
    #[error(
        "{function}+{offset:#x} is not the start of an instruction; a probe there would break the program"
    )]
    NotAnInstruction {
        /// The function.
        function: String,
        /// Bytes from its start.
        offset: u64,
    },
}

impl Error {
    /// Whether everything could be read and nothing matches; if so, the end of the message that
    /// names what is like it.
    #[must_use]
    pub fn unmatched(&self) -> Option<&str> {
        match self {
            Self::NoKernelFunction { hint, .. }
            | Self::NoTracepoint { hint, .. }
            | Self::NoFunction { hint, .. }
            | Self::NoUsdt { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

/// The paths of all files that a process has mapped to execute, as it knows them.
///
/// # Errors
///
/// When there is no such process, or it can't be looked into.
pub fn files_of(pid: u32) -> Result<Vec<PathBuf>, Error> {
    let files = binary::mapped_files(pid)?;
    Ok(files.into_iter().map(|file| file.target.shown).collect())
}

impl Resolved {
    /// What is counted: places that several specs mean are left to the first.
    #[must_use]
    pub fn counted_once(self) -> Self {
        Self {
            probes: without_repeats(self.probes.into_iter()),
            ..self
        }
    }
}

/// Leaves each place to the first probe that has it, and out those that have none then.
fn without_repeats(probes: impl Iterator<Item = Probe>) -> Vec<Probe> {
    let mut seen = HashSet::new();
    let probes = probes.map(|mut probe| {
        probe.points.retain(|point| seen.insert(point.clone()));
        probe
    });
    probes.filter(|probe| !probe.points.is_empty()).collect()
}

fn tracefs_hint(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENODEV) => "; this kernel is built without tracing".to_owned(),
        _ => privilege::for_one(error, Capability::SysAdmin),
    }
}

/// Looks up what `specs` stand for.
///
/// # Errors
///
/// When one of them stands for nothing, or what is needed to tell can't be read.
pub fn resolve(specs: &[ProbeSpec], scope: &Scope) -> Result<Resolved, Error> {
    let mut resolved = Resolved::default();
    for (number, spec) in specs.iter().enumerate() {
        let found = match &spec.target {
            Target::KernelFunction(function) => kernel::find(function)?,
            Target::UserFunction { binary, function } => user::find(binary, function, scope)?,
            Target::Tracepoint(pattern) => tracepoints(pattern)?,
            Target::Usdt {
                binary,
                provider,
                probe,
            } => usdt::find(binary, provider.as_ref(), probe, scope)?,
        };
        let probes = found.probes.into_iter();
        let probes = probes.map(|probe| Probe {
            spec: number,
            ..probe
        });
        resolved.probes.extend(without_repeats(probes));
        resolved.left_out.extend(found.left_out);
        resolved.notes.extend(found.notes);
    }
    Ok(resolved)
}

fn tracepoints(pattern: &Pattern) -> Result<Found, Error> {
    let points = Tracefs::open()?.tracepoints(pattern)?;
    let probes = points.into_iter().map(|point| {
        let name = format!("{}:{}", point.category, point.event);
        Probe::new(name, vec![AttachPoint::Tracepoint(point)])
    });
    Ok(Found {
        probes: probes.collect(),
        ..Found::default()
    })
}

/// The end of an error about an unknown name: what it may have meant to be.
fn suggest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const AT_MOST: usize = 3;
    match nearest(wanted, known.into_iter(), AT_MOST) {
        names if names.is_empty() => String::new(),
        names => format!("; {}", did_you_mean(&names)),
    }
}
