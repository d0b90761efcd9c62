//! What resolving ends in: probes, each with the places where it attaches.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    address::{FileOffset, KernelAddr},
    elf::Operand,
};
use crate::spec::Moment;

/// Something that is counted as one and reported as one line.
///
/// Its number in the list of all probes is the attach cookie of all its attach points.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The name that reports show: a function, `category:event`, or a USDT probe.
    pub name: String,
    /// Which of the specs it was found by.
    pub spec: usize,
    /// Where it attaches; a function inlined or defined several times has several.
    pub points: Vec<AttachPoint>,
}

impl Probe {
    /// A probe of the first spec, until it is known of which.
    pub(super) const fn new(name: String, points: Vec<AttachPoint>) -> Self {
        Self {
            name,
            spec: 0,
            points,
        }
    }

    /// Whether the kernel is in its own code when it fires.
    #[must_use]
    pub fn is_in_kernel(&self) -> bool {
        let in_kernel = |point: &AttachPoint| !matches!(point, AttachPoint::User(_));
        self.points.iter().any(in_kernel)
    }

    /// Whether it fires when functions of programs return.
    #[must_use]
    pub fn is_at_user_return(&self) -> bool {
        let at_return = |point: &AttachPoint| matches!(point, AttachPoint::User(point) if point.moment == Moment::Return);
        self.points.iter().any(at_return)
    }
}

/// One place where the kernel can be asked to run a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AttachPoint {
    /// In a kernel function.
    Kernel(KernelPoint),
    /// In a file that processes map and execute.
    User(UserPoint),
    /// At a tracepoint.
    Tracepoint(TracepointPoint),
}

/// A place in a kernel function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KernelPoint {
    /// The function's symbol.
    pub function: String,
    /// The module it is in, if not in the kernel proper.
    pub module: Option<String>,
    /// Where the function starts, if the kernel tells us.
    pub address: Option<KernelAddr>,
    /// Bytes from there.
    pub offset: u64,
    /// At entry or return.
    pub moment: Moment,
}

/// A place in an executable file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserPoint {
    /// The file.
    pub file: Arc<TargetFile>,
    /// The instruction's place in it.
    pub offset: FileOffset,
    /// The place of the USDT semaphore that the kernel must hold up while the probe is attached.
    pub semaphore: Option<FileOffset>,
    /// At entry or return.
    pub moment: Moment,
    /// Whether it is the first instruction of a function, where what is on top of the stack is the
    /// address to return to.
    pub is_function_start: bool,
    /// Where the arguments of a USDT probe are.
    pub operands: Vec<Operand>,
    /// The symbol, for messages.
    pub symbol: String,
}

/// An executable file as the kernel is to open it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetFile {
    /// A path that leads to the file from here and now: the plain path, one through
    /// `/proc/PID/root` for a process in another mount namespace, or `/proc/PID/map_files/…` for a
    /// file that has been deleted or replaced since.
    pub path: PathBuf,
    /// The path as the user or the process knows it, for messages.
    pub shown: PathBuf,
    /// The process it was looked up for, if any: probes are put into this process only.
    pub pid: Option<u32>,
}

/// A tracepoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TracepointPoint {
    /// The subsystem: `sched`, `syscalls`, ….
    pub category: String,
    /// The event: `sched_fork`, ….
    pub event: String,
    /// The kernel's number for it, from the `id` file in tracefs.
    pub id: u64,
}

impl AttachPoint {
    /// Whether it is at an entry or at a return.
    #[must_use]
    pub const fn moment(&self) -> Moment {
        match self {
            Self::Kernel(point) => point.moment,
            Self::User(point) => point.moment,
            Self::Tracepoint(_) => Moment::Entry,
        }
    }

    /// The entry of the function whose return this is.
    #[must_use]
    pub fn at_entry(&self) -> Self {
        let moment = Moment::Entry;
        match self.clone() {
            Self::Kernel(point) => Self::Kernel(KernelPoint { moment, ..point }),
            Self::User(point) => Self::User(UserPoint { moment, ..point }),
            tracepoint @ Self::Tracepoint(_) => tracepoint,
        }
    }
}

impl fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(point) => {
                f.write_str(&point.function)?;
                if point.offset != 0 {
                    write!(f, "+{:#x}", point.offset)?;
                }
                match &point.module {
                    Some(module) => write!(f, " [{module}]"),
                    None => Ok(()),
                }
            }
            Self::User(point) => write!(f, "{}:{}", point.file.shown.display(), point.symbol),
            Self::Tracepoint(point) => write!(f, "{}:{}", point.category, point.event),
        }
    }
}
