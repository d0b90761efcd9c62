//! `/proc/kallsyms`: the kernel's symbols.

use std::fs;

use super::KernelAddr;

/// A function's symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Where it starts; nothing where `kptr_restrict` hides it.
    pub(crate) address: Option<KernelAddr>,
    /// The module it is in.
    pub(crate) module: Option<&'a str>,
}

/// The functions in the text of `/proc/kallsyms`; other lines, and programs that the kernel lists
/// there because they were compiled at run time, are passed over.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Symbol<'_>> + Clone {
    text.lines().filter_map(parse_line)
}

fn parse_line(line: &str) -> Option<Symbol<'_>> {
    let (address, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    if !matches!(kind, "t" | "T" | "w" | "W") {
        return None;
    }
    let (name, module) = match rest.split_once('\t') {
        Some((name, module)) => (name, Some(module.trim_matches(['[', ']']))),
        None => (rest, None),
    };
    if matches!(
        module,
        Some("bpf" | "__builtin__ftrace" | "__builtin__kprobes")
    ) {
        return None;
    }
    // Padding in front of functions, and checks of their types, are not called.
    if name.starts_with("__pfx_") || name.starts_with("__cfi_") {
        return None;
    }
    let address = u64::from_str_radix(address, 16).ok()?;
    Some(Symbol {
        name,
        address: (address != 0).then_some(KernelAddr(address)),
        module,
    })
}

/// Whether the kernel tells us where its functions are: `kptr_restrict` may hide it from users, or
/// from all.
pub(crate) fn shows_addresses() -> bool {
    let symbols = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut addresses = symbols.lines().filter_map(|line| line.split(' ').next());
    addresses.any(|address| address.bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn functions_are_taken_and_the_rest_is_not() {
        let text = "ffffffff81000000 T vfs_read\nffffffff81000010 D data\n\
            0000000000000000 t hidden\nffffffffc0000000 t ext4_read\t[ext4]\n\
            ffffffffc0100000 t bpf_prog_123\t[bpf]\n\
            ffffffff81000100 t __pfx_vfs_read\nrubbish\n";
        let symbols: Vec<_> = parse(text).collect();
        assert_eq!(symbols.len(), 3);
        assert_eq!(symbols[0].address, Some(KernelAddr(0xffff_ffff_8100_0000)));
        assert_eq!((symbols[1].name, symbols[1].address), ("hidden", None));
        assert_eq!(
            (symbols[2].name, symbols[2].module),
            ("ext4_read", Some("ext4"))
        );
    }

    proptest! {
        #![proptest_config(crate::property::cases(256))]

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-fTt \\[\\]\t\né]{0,80}") {
            let _ = parse(&text).count();
        }
    }
}
