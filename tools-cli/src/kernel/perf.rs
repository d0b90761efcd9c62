//! `perf_event_open(2)` for probes: kprobes, uprobes and tracepoints as events without a buffer,
//! to which a program is attached.

use std::{
    ffi::CString,
    fs, io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::{
    PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF, PERF_FLAG_FD_CLOEXEC, perf_event_attr,
};

use super::bpf::fd_of;

/// Where the kernel tells the numbers of its dynamic event sources (4.17).
const SOURCES: &str = "/sys/bus/event_source/devices";
const PERF_TYPE_TRACEPOINT: u32 = 2;

/// A probe to be opened as a perf event.
#[derive(Clone, Debug)]
pub enum Event {
    /// In a kernel function, by its name or address.
    Kprobe {
        /// The name, unless there are several of it.
        function: Option<CString>,
        /// The address if there is no name, else 0.
        address: u64,
        /// Bytes from there.
        offset: u64,
        /// At return instead.
        at_return: bool,
    },
    /// In a file.
    Uprobe {
        /// The file.
        path: CString,
        /// Bytes from its start.
        offset: u64,
        /// The place of its USDT semaphore, or 0.
        semaphore: u64,
        /// At return instead.
        at_return: bool,
        /// Only in this process.
        pid: Option<u32>,
    },
    /// The tracepoint of this number.
    Tracepoint(u64),
}

/// The kernel's numbers for the sources of probes, read once.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    kind: u32,
    return_bit: u32,
}

impl Source {
    /// The source of kernel probes.
    ///
    /// # Errors
    ///
    /// When the kernel has none (`CONFIG_KPROBE_EVENTS` unset) or sysfs is not mounted.
    pub fn kprobe() -> io::Result<Self> {
        Self::read("kprobe")
    }

    /// The source of user probes.
    ///
    /// # Errors
    ///
    /// When the kernel has none (`CONFIG_UPROBE_EVENTS` unset) or sysfs is not mounted.
    pub fn uprobe() -> io::Result<Self> {
        Self::read("uprobe")
    }

    /// The source of tracepoints, which is always there.
    #[must_use]
    pub const fn tracepoint() -> Self {
        Self {
            kind: PERF_TYPE_TRACEPOINT,
            return_bit: 0,
        }
    }

    fn read(name: &str) -> io::Result<Self> {
        let number = |file: &str, prefix: &str| {
            let path = format!("{SOURCES}/{name}/{file}");
            let text = fs::read_to_string(&path)
                .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
            let digits = text.trim().strip_prefix(prefix).unwrap_or_default();
            digits.parse().map_err(|error| {
                let reason = format!("{path}: expected {prefix:?} and a number: {error}");
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })
        };
        Ok(Self {
            kind: number("type", "")?,
            return_bit: number("format/retprobe", "config:")?,
        })
    }

    /// Opens `event`, not yet enabled.
    ///
    /// # Errors
    ///
    /// Those of `perf_event_open`: ENOENT for an unknown function, EINVAL for a place that can't be
    /// probed, EACCES or EPERM without `CAP_PERFMON`.
    pub fn open(&self, event: &Event) -> io::Result<OwnedFd> {
        let mut attr = attributes(self.kind);
        let mut only_pid = None;
        match event {
            Event::Kprobe {
                function,
                address,
                offset,
                at_return,
            } => {
                attr.config = u64::from(*at_return) << self.return_bit;
                match function {
                    Some(name) => {
                        attr.__bindgen_anon_3.kprobe_func = name.as_ptr() as u64;
                        attr.__bindgen_anon_4.probe_offset = *offset;
                    }
                    None => attr.__bindgen_anon_4.kprobe_addr = address.wrapping_add(*offset),
                }
            }
            Event::Uprobe {
                path,
                offset,
                semaphore,
                at_return,
                pid,
            } => {
                // `PERF_UPROBE_REF_CTR_OFFSET_SHIFT` (kernel/events/core.c): bits 32 to 63.
                attr.config = (semaphore << 32) | u64::from(*at_return) << self.return_bit;
                attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
                attr.__bindgen_anon_4.probe_offset = *offset;
                only_pid = *pid;
            }
            Event::Tracepoint(id) => attr.config = *id,
        }
        perf_event_open(&attr, only_pid)
    }
}

/// The attributes of an event that does not say more than its source.
fn attributes(kind: u32) -> perf_event_attr {
    // SAFETY: zero is a valid value of this struct of integers.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.size = u32::try_from(size_of::<perf_event_attr>()).unwrap_or(0);
    attr.type_ = kind;
    attr
}

/// Those of an event that never happens, for what the kernel tells beside events
/// (`PERF_COUNT_SW_DUMMY`).
pub(super) fn dummy() -> perf_event_attr {
    const PERF_TYPE_SOFTWARE: u32 = 1;
    const PERF_COUNT_SW_DUMMY: u64 = 9;

    let mut attr = attributes(PERF_TYPE_SOFTWARE);
    attr.config = PERF_COUNT_SW_DUMMY;
    attr
}

/// Opens an event for one process, or for all of them. The programs of an event run on every CPU,
/// whichever CPU it was opened for (`trace_call_bpf` in kernel/trace/bpf_trace.c).
fn perf_event_open(attr: &perf_event_attr, pid: Option<u32>) -> io::Result<OwnedFd> {
    match pid {
        Some(pid) => open_on_task(attr, pid),
        None => open(attr, -1, 0),
    }
}

/// Opens an event for one task on all CPUs.
pub(super) fn open_on_task(attr: &perf_event_attr, task: u32) -> io::Result<OwnedFd> {
    open(attr, i64::from(task), -1)
}

/// Opens an event for all processes on one CPU.
pub(super) fn open_on_cpu(attr: &perf_event_attr, cpu: u32) -> io::Result<OwnedFd> {
    open(attr, -1, i64::from(cpu))
}

fn open(attr: &perf_event_attr, pid: i64, cpu: i64) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are filled, and what they point to lives in the caller's event.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            pid,
            cpu,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    fd_of(result)
}

/// The CPUs that run now, by number.
///
/// # Errors
///
/// When sysfs is not mounted.
pub(super) fn online_cpus() -> io::Result<Vec<u32>> {
    const ONLINE: &str = "/sys/devices/system/cpu/online";
    let text = fs::read_to_string(ONLINE)
        .map_err(|error| io::Error::new(error.kind(), format!("{ONLINE}: {error}")))?;
    let ranges = text.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    let ranges: Option<Vec<_>> = ranges.collect();
    let cpus = ranges.map(|ranges| ranges.into_iter().flatten().collect());
    cpus.ok_or_else(|| io::Error::other(format!("{ONLINE} holds no list of CPUs: {text:?}")))
}

/// Attaches a program to an event without a link: the only way before 5.15.
///
/// # Errors
///
/// Those of `PERF_EVENT_IOC_SET_BPF`; E2BIG if 64 programs are attached already.
pub fn set_program(event: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, PERF_EVENT_IOC_SET_BPF, program.as_raw_fd())
}

/// Lets an event fire.
///
/// # Errors
///
/// Those of `PERF_EVENT_IOC_ENABLE`.
pub fn enable(event: BorrowedFd<'_>) -> io::Result<()> {
    ioctl(event, PERF_EVENT_IOC_ENABLE, 0)
}

fn ioctl(event: BorrowedFd<'_>, request: u32, argument: i32) -> io::Result<()> {
    // SAFETY: both requests take an integer.
    match unsafe { libc::ioctl(event.as_raw_fd(), libc::c_ulong::from(request), argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
