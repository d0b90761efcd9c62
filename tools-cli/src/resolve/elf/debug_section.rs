//! Sections with DWARF, which distributions compress.

use std::{borrow::Cow, ops::Range};

use object::{
    elf::{self, CompressionHeader64},
    read::{
        CompressedData, CompressionFormat,
        elf::{CompressionHeader, SectionHeader},
    },
};

use super::image::{ENDIAN, Elf, Section};

/// What a section may grow to; the largest programs (browsers) have two gigabytes of them all.
const UNPACKED_UP_TO_BYTES: u64 = 2 << 30;

/// The contents of a section.
#[derive(Debug)]
pub enum DebugSection {
    /// As they are in the file: a part of [`super::Image::data`].
    InFile(Range<usize>),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

impl Default for DebugSection {
    /// Nothing.
    fn default() -> Self {
        Self::InFile(0..0)
    }
}

impl DebugSection {
    /// The contents, given those of the file.
    #[must_use]
    pub fn bytes<'a>(&'a self, file: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InFile(range) => file.get(range.clone()).unwrap_or_default(),
            Self::Unpacked(bytes) => bytes,
        }
    }
}

impl Elf<'_> {
    /// The contents of the debug section `name` (`.debug_info`), unpacked; nothing if it is not in
    /// the file.
    ///
    /// # Errors
    ///
    /// The reason, when it is compressed and damaged, or too large.
    pub fn debug_section(&self, name: &str) -> Result<Option<DebugSection>, String> {
        if let Some(section) = self.section(name) {
            return self
                .unpacked(section)
                .map_err(|reason| format!("{name} {reason}"));
        }
        // How GNU tools compressed before ELF could tell it of a section.
        let old = name.replacen(".debug_", ".zdebug_", 1);
        let Some(data) = self.section(&old).and_then(|found| self.contents(found)) else {
            return Ok(None);
        };
        let head = data
            .strip_prefix(b"ZLIB")
            .and_then(|rest| rest.split_first_chunk());
        let (bytes, data) = head.ok_or_else(|| format!("{old} has no header"))?;
        unpack(CompressedData {
            format: CompressionFormat::Zlib,
            data,
            uncompressed_size: u64::from_be_bytes(*bytes),
        })
        .map(Some)
        .map_err(|reason| format!("{old} {reason}"))
    }

    fn unpacked(&self, section: &Section) -> Result<Option<DebugSection>, &'static str> {
        let Some((start, size)) = section.file_range(ENDIAN) else {
            return Ok(None);
        };
        if !section.sh_flags(ENDIAN).contains(elf::SHF_COMPRESSED) {
            let range = usize::try_from(start).ok().zip(usize::try_from(size).ok());
            let range = range.and_then(|(start, size)| Some(start..start.checked_add(size)?));
            return range
                .filter(|range| range.end <= self.data.len())
                .map(|range| Some(DebugSection::InFile(range)))
                .ok_or("is outside of the file");
        }
        let (header, data) = self
            .contents(section)
            .and_then(|data| {
                let (header, data) = data.split_at_checked(size_of::<Header>())?;
                let (header, _) = object::pod::from_bytes::<Header>(header).ok()?;
                Some((header, data))
            })
            .ok_or("has no header")?;
        let format = match header.ch_type(ENDIAN) {
            elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
            elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
            _ => return Err("is compressed in an unknown way"),
        };
        unpack(CompressedData {
            format,
            data,
            uncompressed_size: header.ch_size(ENDIAN),
        })
        .map(Some)
    }
}

fn unpack(packed: CompressedData<'_>) -> Result<DebugSection, &'static str> {
    // All of it is allocated before the first byte is unpacked.
    let most = (packed.data.len() as u64).saturating_mul(most_for_a_byte(packed.format));
    if packed.uncompressed_size > most.min(UNPACKED_UP_TO_BYTES) {
        return Err("is too large");
    }
    let bytes = packed.decompress().map_err(|_| "can't be unpacked")?;
    Ok(DebugSection::Unpacked(Cow::into_owned(bytes)))
}

/// What a byte can unpack to: deflate repeats 258 bytes with two bits, zstd 128 KiB with four bytes.
fn most_for_a_byte(format: CompressionFormat) -> u64 {
    match format {
        CompressionFormat::Zlib => 4 * 258,
        _ => (128 << 10) / 4,
    }
}

type Header = CompressionHeader64<object::NativeEndian>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_can_not_be_is_refused_before_it_is_allocated() {
        for (format, most) in [
            (CompressionFormat::Zlib, 1032),
            (CompressionFormat::Zstandard, 32768),
        ] {
            let refused = |uncompressed_size| {
                let packed = CompressedData {
                    format,
                    data: &[0; 10],
                    uncompressed_size,
                };
                unpack(packed).expect_err("no compressed data")
            };
            assert_eq!(refused(10 * most), "can't be unpacked");
            assert_eq!(refused(10 * most + 1), "is too large");
        }
    }
}
