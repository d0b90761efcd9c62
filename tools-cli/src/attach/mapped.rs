//! Making the kernel look at instructions when it attaches.
//!
//! The kernel checks an instruction when it first puts a breakpoint on it (`prepare_uprobe` in
//! kernel/events/uprobes.c), which is when a process has it mapped. On a file that nobody runs yet,
//! any place can be attached, and those that can't be probed are then silent. So while we attach,
//! we map the code ourselves, and are told. It is never executed here.

use std::{collections::BTreeMap, fs::File, os::fd::AsRawFd as _, path::Path, ptr};

use super::Site;
use crate::resolve::AttachPoint;

const PAGE_BYTES: u64 = 4096;

/// Files that are mapped for as long as this lives.
#[derive(Debug)]
pub(super) struct Mapped {
    /// Held, never looked at.
    _mappings: Vec<Mapping>,
}

impl Mapped {
    /// Maps the code around those of `sites` that are in files and not for one process only. What
    /// can't be mapped is left out: attaching will tell why.
    pub(super) fn new<'a>(sites: impl Iterator<Item = Site<'a>>) -> Self {
        let mut ranges: BTreeMap<&'a Path, (u64, u64)> = BTreeMap::new();
        for site in sites {
            if let AttachPoint::User(point) = site.point
                && point.file.pid.is_none()
            {
                let offset = point.offset.0;
                let range = ranges.entry(&point.file.path).or_insert((offset, offset));
                *range = (range.0.min(offset), range.1.max(offset));
            }
        }
        let mappings = ranges
            .into_iter()
            .filter_map(|(path, (first, last))| Mapping::new(path, first, last));
        Self {
            _mappings: mappings.collect(),
        }
    }
}

#[derive(Debug)]
struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

impl Mapping {
    /// Maps the pages of a file from the byte at `first` to that at `last`, privately, as the
    /// kernel puts breakpoints into private mappings only (`valid_vma`, the same file).
    fn new(path: &Path, first: u64, last: u64) -> Option<Self> {
        let file = File::open(path).ok()?;
        let start = first - first % PAGE_BYTES;
        let bytes = usize::try_from(last - start + 1).ok()?;
        // SAFETY: a new mapping at an address of the kernel's choice. Nothing reads or runs it.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                libc::off_t::try_from(start).ok()?,
            )
        };
        (address != libc::MAP_FAILED).then_some(Self { address, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it.
        unsafe { libc::munmap(self.address, self.bytes) };
    }
}
