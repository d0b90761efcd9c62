//! What processes and the system keep in files: mappings, compiled code's symbols, libraries.

use std::os::unix::ffi::OsStrExt as _;

use crate::{
    resolve::binary::{ld_cache, maps},
    symbolize::perf_map::PerfMap,
};

pub(super) fn maps(bytes: &[u8]) {
    for line in maps::lines(bytes) {
        let mapping = line.mapping;
        let execute = if line.is_executable { 'x' } else { '-' };
        let mut written = format!(
            "{:x}-{:x} r-{execute}p {:x} {:02x}:{:02x} {} ",
            mapping.start, mapping.end, mapping.offset, line.device.0, line.device.1, line.inode
        )
        .into_bytes();
        for &byte in line.path.as_os_str().as_bytes() {
            match byte {
                b'\n' => written.extend(b"\\012"),
                byte => written.push(byte),
            }
        }
        if line.is_deleted {
            written.extend(b" (deleted)");
        }
        let again: Vec<_> = maps::lines(&written).collect();
        assert_eq!(format!("{again:?}"), format!("{:?}", [line]));
    }
}

pub(super) fn perf_map(bytes: &[u8]) {
    // As it is read: what is no text in it is replaced.
    let text = String::from_utf8_lossy(bytes);
    let mut map = PerfMap::default();
    map.add(&text);
    for line in text.lines() {
        let number = line.split(' ').next().unwrap_or_default();
        let number = u64::from_str_radix(number.trim_start_matches("0x"), 16);
        let start = number.unwrap_or_default();
        for address in [start, start.wrapping_sub(1), start.wrapping_add(1)] {
            if let Some((name, offset)) = map.find(address) {
                assert!(offset <= address && text.contains(name), "{line:?}");
            }
        }
    }
}

pub(super) fn ld_cache(bytes: &[u8]) {
    for (name, path) in ld_cache::libraries(bytes) {
        assert!(!name.contains('\0') && !path.as_os_str().as_bytes().contains(&0));
        assert!(name.len().max(path.as_os_str().len()) < bytes.len().min(4096));
    }
}
