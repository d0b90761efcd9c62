//! How far a BPF ring buffer has been written and read.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use memmap2::{MmapOptions, MmapRaw};

const PAGE_BYTES: usize = 4096;

/// The positions of a `BPF_MAP_TYPE_RINGBUF` (5.8): the consumer's is in its first page, the
/// producers' in the second (`struct bpf_ringbuf`, kernel/bpf/ringbuf.c).
#[derive(Debug)]
pub struct RingPositions {
    pages: MmapRaw,
}

impl RingPositions {
    /// Maps the positions of the ring buffer `map`.
    ///
    /// # Errors
    ///
    /// When it can't be mapped.
    pub fn map(map: BorrowedFd<'_>) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        let pages = options
            .len(2 * PAGE_BYTES)
            .map_raw_read_only(map.as_raw_fd())?;
        Ok(Self { pages })
    }

    /// Bytes that have been read since the buffer was made.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.load(0)
    }

    /// Bytes that have been reserved since.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.load(PAGE_BYTES)
    }

    fn load(&self, at: usize) -> u64 {
        // SAFETY: a word within the pages, aligned to them; it is only ever read.
        let position = unsafe { AtomicU64::from_ptr(self.pages.as_mut_ptr().add(at).cast()) };
        position.load(Ordering::Acquire)
    }
}
