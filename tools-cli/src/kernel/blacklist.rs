//! The functions that the kernel forbids kprobes in, since handling a probe runs through them
//! (`NOKPROBE_SYMBOL` and `noinstr`): `kprobes/blacklist` in debugfs (Linux 3.16).

use std::{collections::HashSet, fs, os::fd::AsRawFd as _, sync::OnceLock};

use super::mount::mount_privately;

/// The list; empty where the kernel does not show it to us.
#[derive(Debug, Default)]
pub struct Blacklist {
    /// Ranges of addresses, ascending and apart.
    ranges: Vec<(u64, u64)>,
    names: HashSet<String>,
}

impl Blacklist {
    /// That of the running kernel, read once, through a mount of our own.
    pub fn of_kernel() -> &'static Self {
        static LIST: OnceLock<Blacklist> = OnceLock::new();
        LIST.get_or_init(|| {
            let Ok(debugfs) = mount_privately(c"debugfs") else {
                return Self::default();
            };
            let path = format!("/proc/self/fd/{}/kprobes/blacklist", debugfs.as_raw_fd());
            Self::parse(&fs::read_to_string(path).unwrap_or_default())
        })
    }

    /// The list in the text of that file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = || text.lines().filter_map(parse_line);
        let mut ranges: Vec<(u64, u64)> = lines()
            .map(|(range, _)| range)
            // With addresses hidden, all of them are 0.
            .filter(|(start, end)| start < end)
            .collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let overlap = next.0 <= before.1;
            if overlap {
                before.1 = before.1.max(next.1);
            }
            overlap
        });
        Self {
            ranges,
            names: lines().map(|(_, name)| name.to_owned()).collect(),
        }
    }

    /// Whether the function `name` at `address` is on it; by the name alone if the kernel hides
    /// addresses.
    #[must_use]
    pub fn forbids(&self, name: &str, address: Option<u64>) -> bool {
        match address {
            Some(address) if !self.ranges.is_empty() => {
                let behind = self.ranges.partition_point(|&(start, _)| start <= address);
                behind
                    .checked_sub(1)
                    .is_some_and(|at| address < self.ranges[at].1)
            }
            _ => self.names.contains(name),
        }
    }
}

/// The range and the name in a line such as `0xffffffff81000000-0xffffffff81000010`, a tab, and
/// `get_kprobe`.
fn parse_line(line: &str) -> Option<((u64, u64), &str)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some(((number(start)?, number(end)?), words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_their_addresses() {
        let list = Blacklist::parse(
            "0x30-0x40\tlast\n0x10-0x20\tfirst\n0x18-0x28\tsecond\nrubbish\n0x50-\tcut\n",
        );
        for (address, expected) in [
            (0x0f, false),
            (0x10, true),
            (0x1f, true),
            (0x27, true),
            (0x28, false),
            (0x30, true),
            (0x40, false),
        ] {
            assert_eq!(list.forbids("", Some(address)), expected, "{address:#x}");
        }
        assert!(!list.forbids("first", Some(0x80)), "another of this name");
        assert!(list.forbids("first", None));
    }

    #[test]
    fn names_do_where_addresses_are_hidden() {
        let list = Blacklist::parse("0x0000000000000000-0x0000000000000000\tget_kprobe\n");
        assert!(list.forbids("get_kprobe", Some(0x80)));
        assert!(!list.forbids("vfs_read", Some(0)));
        assert!(!Blacklist::default().forbids("vfs_read", Some(0x80)));
    }
}
