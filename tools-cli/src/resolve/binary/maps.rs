//! What a process has mapped: the lines of `/proc/PID/maps`.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// A range of addresses that shows a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// First address.
    pub(crate) start: u64,
    /// First address behind it.
    pub(crate) end: u64,
    /// Bytes from the start of the file to what `start` shows.
    pub(crate) offset: u64,
}

/// A line of the list.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The range.
    pub(crate) mapping: Mapping,
    /// Whether it may be executed.
    pub(crate) is_executable: bool,
    /// Major and minor number of the device that the file is on, as mappings are told with.
    pub(crate) device: (u32, u32),
    /// The file's inode; 0 if it is no file.
    pub(crate) inode: u64,
    /// The file's path as the process knows it, or a name such as `[vdso]`.
    pub(crate) path: PathBuf,
    /// Whether the file has been deleted since.
    pub(crate) is_deleted: bool,
}

/// The lines of the list `text`, in the order of their addresses; those that make no sense are left
/// out.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = Line> {
    text.split(|&byte| byte == b'\n').filter_map(parse)
}

/// Takes apart a line such as `7f00-7f80 r-xp 00001000 fe:00 1234   /usr/lib/libc.so.6`. The path
/// comes last and may hold anything but a line end, which the kernel writes as `\012`.
fn parse(line: &[u8]) -> Option<Line> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut text = || str::from_utf8(fields.next()?).ok();
    let (start, end) = text()?.split_once('-')?;
    let permissions = text()?;
    let offset = text()?;
    let (major, minor) = text()?.split_once(':')?;
    let inode = text()?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    let live = path.strip_suffix(b" (deleted)");
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some(Line {
        mapping: Mapping {
            start: hex(start)?,
            end: hex(end)?,
            offset: hex(offset)?,
        },
        is_executable: permissions.as_bytes().get(2) == Some(&b'x'),
        device: (number(major)?, number(minor)?),
        inode,
        path: unescaped(live.unwrap_or(path)).into(),
        is_deleted: live.is_some(),
    })
}

fn unescaped(path: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, others)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            bytes.push(b'\n');
            rest = after;
        } else {
            bytes.push(first);
            rest = others;
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_all_kinds_are_read() {
        let line = parse(b"7f0000001000-7f0000002000 r-xp 00001000 fe:00 1234                       /usr/lib/li b\\012.so (deleted)").expect("valid");
        assert!(line.is_executable && line.is_deleted);
        assert_eq!(line.path, Path::new("/usr/lib/li b\n.so"));
        assert_eq!((line.device, line.inode), ((0xfe, 0), 1234));
        assert_eq!(
            (line.mapping.start, line.mapping.offset),
            (0x7f00_0000_1000, 0x1000)
        );
        let line = parse(b"7f00-7f10 rw-p 00000000 00:00 0 ").expect("valid");
        assert!(!line.is_executable);
        assert_eq!((line.inode, line.path), (0, PathBuf::new()));
        assert!(parse(b"rubbish").is_none());
    }

    proptest! {
        #![proptest_config(crate::property::cases(256))]

        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&line);
        }
    }
}
