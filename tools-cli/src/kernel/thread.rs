//! The end of a thread, to be waited for.
//!
//! A descriptor of a process (`pidfd_open(2)`) stands for a single thread since Linux 6.9 only. A
//! perf event of a thread hangs up when the thread ends (`perf_event_exit_event`,
//! kernel/events/core.c), on all kernels; one without a buffer always does.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
};

use memmap2::{MmapOptions, MmapRaw};

use super::perf;

const PAGE_BYTES: usize = 4096;

/// A descriptor that can be polled, and hangs up when a thread ends.
#[derive(Debug)]
pub struct Thread {
    event: OwnedFd,
    _buffer: MmapRaw,
}

impl Thread {
    /// Watches the thread from now on.
    ///
    /// # Errors
    ///
    /// Those of `perf_event_open`: ESRCH if it has ended, EACCES without `CAP_PERFMON`.
    pub fn watch(tid: u32) -> io::Result<Self> {
        let event = perf::open_on_task(&perf::dummy(), tid)?;
        // A page for the kernel's state, one for records, of which there are none.
        let buffer = MmapOptions::new().len(2 * PAGE_BYTES).map_raw(&event)?;
        Ok(Self {
            event,
            _buffer: buffer,
        })
    }
}

impl AsRawFd for Thread {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
