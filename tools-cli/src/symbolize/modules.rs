//! Which kernel module an address is in (`/proc/modules`).

use std::{fs, ops::Range};

/// The modules that are loaded, with their addresses; none where the kernel hides these.
#[derive(Debug, Default)]
pub(crate) struct Modules(pub(crate) Vec<(Range<u64>, String)>);

impl Modules {
    /// Those that are loaded now.
    pub(crate) fn read() -> Self {
        Self::parse(&fs::read_to_string("/proc/modules").unwrap_or_default())
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(parse_line).collect())
    }

    /// The module that `address` is in; nothing for the kernel proper.
    pub(crate) fn find(&self, address: u64) -> Option<String> {
        let mut modules = self.0.iter();
        modules
            .find(|(range, _)| range.contains(&address))
            .map(|(_, name)| name.clone())
    }
}

/// A line such as `virtio_net 65536 0 - Live 0xffffffffc0200000`.
fn parse_line(line: &str) -> Option<(Range<u64>, String)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    let bytes: u64 = words.next()?.parse().ok()?;
    let start = words.find_map(|word| word.strip_prefix("0x"))?;
    let start = u64::from_str_radix(start, 16)
        .ok()
        .filter(|&start| start > 0)?;
    Some((start..start.checked_add(bytes)?, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_module() {
        let modules = Modules::parse(
            "loop 40960 0 - Live 0xffffffffc0100000\next4 900000 1 a,b, Live 0xffffffffc0200000 (E)\n\
             hidden 4096 0 - Live 0x0000000000000000\n",
        );
        assert_eq!(modules.find(0xffff_ffff_c010_9fff).as_deref(), Some("loop"));
        assert_eq!(modules.find(0xffff_ffff_c020_0000).as_deref(), Some("ext4"));
        assert_eq!(modules.find(0xffff_ffff_c010_a000), None);
        assert_eq!(modules.find(0), None);
    }
}
