//! Where a file's addresses are once it is mapped.

use object::{elf, read::elf::ProgramHeader as _};

use super::image::{ENDIAN, Elf};
use crate::resolve::address::{FileOffset, VirtAddr};

/// Mappings start at multiples of this or of more (x86-64's page, the smallest there is).
const PAGE_BYTES: u64 = 4096;

impl Elf<'_> {
    /// The address of what an executable mapping from `offset` on shows first; nothing if no
    /// executable segment is there. Pages before the segment's first byte count to it.
    #[must_use]
    pub fn address_at(&self, offset: FileOffset) -> Option<VirtAddr> {
        let mut segments = self.segments.iter().filter(|segment| {
            segment.p_type(ENDIAN) == elf::PT_LOAD && segment.p_flags(ENDIAN).contains(elf::PF_X)
        });
        segments.find_map(|segment| {
            let start = segment.p_offset(ENDIAN);
            let end = start.checked_add(segment.p_filesz(ENDIAN))?;
            let first_page = start - start % PAGE_BYTES;
            let base = segment.p_vaddr(ENDIAN).wrapping_sub(start);
            let is_inside = (first_page..end).contains(&offset.0);
            is_inside.then(|| VirtAddr(base.wrapping_add(offset.0)))
        })
    }
}
