//! The linker's cache of libraries, `/etc/ld.so.cache` (the format is glibc's, in
//! sysdeps/generic/dl-cache.h; unchanged since 2.2).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_HEADER_BYTES: usize = 16;
const OLD_ENTRY_BYTES: usize = 12;
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;

/// No path is longer (`PATH_MAX`, with its NUL). Without a limit, a cache whose entries all point to
/// one endless string, as a container may have it, takes minutes.
const STRING_UP_TO_BYTES: usize = 4096;

/// `FLAG_ELF_LIBC6` with the flag of this machine.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0x0303;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0x0a03;

/// The libraries for this machine in the bytes of a cache: name and path. What is damaged is
/// passed over.
pub(crate) fn libraries(cache: &[u8]) -> impl Iterator<Item = (&str, &Path)> {
    let table = new_table(cache).unwrap_or_default();
    let count = number(table, NEW_MAGIC.len()).unwrap_or(0) as usize;
    let entries = table.get(HEADER_BYTES..).unwrap_or_default();
    entries
        .chunks_exact(ENTRY_BYTES)
        .take(count)
        .filter(|entry| number(entry, 0) == Some(NATIVE))
        .filter_map(move |entry| {
            let name = string(table, number(entry, 4)?)?;
            let path = string(table, number(entry, 8)?)?;
            Some((
                str::from_utf8(name).ok()?,
                Path::new(OsStr::from_bytes(path)),
            ))
        })
}

/// The table in the new format: alone, or behind one in the old format.
fn new_table(cache: &[u8]) -> Option<&[u8]> {
    let start = if cache.starts_with(OLD_MAGIC) {
        let count = number(cache, OLD_MAGIC.len())? as usize;
        let end = count
            .checked_mul(OLD_ENTRY_BYTES)?
            .checked_add(OLD_HEADER_BYTES)?;
        end.checked_next_multiple_of(8)?
    } else {
        0
    };
    let table = cache.get(start..)?;
    table.starts_with(NEW_MAGIC).then_some(table)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// The string that starts `offset` bytes into the table, without its NUL.
fn string(table: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = table.get(offset as usize..)?;
    let rest = rest.get(..STRING_UP_TO_BYTES).unwrap_or(rest);
    rest.get(..rest.iter().position(|&byte| byte == 0)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cache(libraries: &[(u32, &str, &str)]) -> Vec<u8> {
        let strings_at = HEADER_BYTES + ENTRY_BYTES * libraries.len();
        let mut strings = Vec::new();
        let mut entries = Vec::new();
        let mut add = |text: &str| {
            let at = strings_at + strings.len();
            strings.extend(text.bytes());
            strings.push(0);
            u32::try_from(at).expect("small").to_le_bytes()
        };
        for (flags, name, path) in libraries {
            entries.extend(flags.to_le_bytes());
            entries.extend(add(name));
            entries.extend(add(path));
            entries.extend([0; 12]);
        }
        let mut cache = NEW_MAGIC.to_vec();
        cache.extend(u32::try_from(libraries.len()).expect("few").to_le_bytes());
        cache.resize(HEADER_BYTES, 0);
        cache.extend(entries);
        cache.extend(strings);
        cache
    }

    #[test]
    fn native_libraries_are_read_from_both_formats() {
        let new = cache(&[
            (NATIVE, "libc.so.6", "/lib/libc.so.6"),
            (0x0003, "libc.so.6", "/lib32/libc.so.6"),
        ]);
        let expected = [("libc.so.6", Path::new("/lib/libc.so.6"))];
        assert_eq!(libraries(&new).collect::<Vec<_>>(), expected);
        let mut both = OLD_MAGIC.to_vec();
        both.extend(1_u32.to_le_bytes());
        both.extend([0; OLD_ENTRY_BYTES + 4]);
        both.extend(&new);
        assert_eq!(libraries(&both).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn endless_strings_are_passed_over() {
        let path = "x".repeat(STRING_UP_TO_BYTES);
        let bytes = cache(&[(NATIVE, "a", &path[1..]), (NATIVE, "b", &path)]);
        let names: Vec<&str> = libraries(&bytes).map(|(name, _)| name).collect();
        assert_eq!(names, ["a"]);
        let cut_off = cache(&[(NATIVE, "a", "b")]);
        assert_eq!(libraries(&cut_off[..cut_off.len() - 1]).count(), 0);
    }

    proptest! {
        #![proptest_config(crate::property::cases(256))]

        #[test]
        fn damage_never_makes_it_panic(at in 0..200_usize, byte: u8, cut in 0..200_usize) {
            let mut bytes = cache(&[(NATIVE, "libc.so.6", "/lib/libc.so.6")]);
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            let _ = libraries(&bytes).count();
        }
    }
}
