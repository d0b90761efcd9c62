//! Which functions the kernel lets be traced.

use std::collections::HashSet;

use super::{super::Tracefs, kallsyms::Symbol};
/// What a symbol must be in to be offered for a pattern.
#[derive(Debug)]
pub(crate) enum Traceable {
    /// The places that ftrace can patch, ascending (`available_filter_functions_addrs`, Linux 6.5).
    Addresses(Vec<u64>),
    /// The functions that it can patch, by name (`available_filter_functions`).
    Names(HashSet<String>),
    /// No list; everything.
    All,
}

/// How far behind a function's start its ftrace site may be: behind an `endbr64`, or a branch
/// target and pointer authentication on other machines.
const SITE_WITHIN_BYTES: u64 = 16;

impl Traceable {
    /// The best list that the kernel offers; one of addresses is of use only if symbols have some.
    pub(crate) fn read(tracefs: Option<&Tracefs>, by_address: bool) -> Self {
        let read = |file| tracefs.and_then(|tracefs| tracefs.read(file).ok());
        if by_address && let Some(text) = read("available_filter_functions_addrs") {
            return Self::from_addresses(&text);
        }
        if let Some(text) = read("available_filter_functions") {
            return Self::from_names(&text);
        }
        Self::All
    }

    pub(crate) fn from_addresses(text: &str) -> Self {
        let mut addresses: Vec<u64> = text.lines().filter_map(leading_address).collect();
        addresses.sort_unstable();
        Self::Addresses(addresses)
    }

    pub(crate) fn from_names(text: &str) -> Self {
        let names = text.lines().filter_map(|line| line.split(' ').next());
        Self::Names(names.map(str::to_owned).collect())
    }

    /// Whether `symbol` may be probed, as far as can be said.
    pub(crate) fn contains(&self, symbol: &Symbol<'_>) -> bool {
        match (self, symbol.address) {
            (Self::Addresses(sites), Some(address)) => {
                let first = sites.partition_point(|&site| site < address.0);
                sites
                    .get(first)
                    .is_some_and(|site| site - address.0 < SITE_WITHIN_BYTES)
            }
            (Self::Names(names), _) => names.contains(symbol.name),
            (Self::Addresses(_), None) | (Self::All, _) => true,
        }
    }
}

fn leading_address(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split(' ').next()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::KernelAddr, *};

    fn symbol(name: &'static str, address: u64) -> Symbol<'static> {
        Symbol {
            name,
            address: Some(KernelAddr(address)),
            module: None,
        }
    }

    #[test]
    fn a_site_belongs_to_the_function_that_starts_just_before_it() {
        let listed = Traceable::from_addresses("2004 b\n1000 a [mod]\n");
        assert!(listed.contains(&symbol("a", 0x1000)));
        assert!(listed.contains(&symbol("b", 0x2000)));
        assert!(!listed.contains(&symbol("c", 0x2008)));
        assert!(!listed.contains(&symbol("d", 0x1ff0)));
    }

    #[test]
    fn names_are_taken_without_their_module() {
        let listed = Traceable::from_names("vfs_read\next4_read [ext4]\n");
        assert!(listed.contains(&symbol("ext4_read", 1)));
        assert!(!listed.contains(&symbol("vfs_write", 1)));
    }
}
