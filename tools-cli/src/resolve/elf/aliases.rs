//! Which of its names a function is shown by.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use super::{debug_file::DebugSymbols, image::Elf, names, symbols::Symbol};
use crate::resolve::address::VirtAddr;

/// The code of a function: where it starts, and its length in bytes.
pub type Extent = (VirtAddr, u64);

impl Elf<'_> {
    /// The name to show for each of these functions, as the symbol table has it: one of those
    /// `asked_for`, or else the plainest. Functions without a symbol are left out.
    #[must_use]
    pub fn best_names<'a>(
        &'a self,
        debug: &'a DebugSymbols,
        functions: &HashSet<Extent>,
        asked_for: &[&str],
    ) -> HashMap<Extent, &'a str> {
        let mut best: HashMap<Extent, Symbol<'a>> = HashMap::new();
        for symbol in self.functions(debug) {
            let extent = (symbol.address, symbol.size);
            // At a resolver's place is the resolver, not what it chooses from.
            if symbol.ifunc || !functions.contains(&extent) {
                continue;
            }
            let known = best.entry(extent).or_insert(symbol);
            if rank(&symbol, asked_for) < rank(known, asked_for) {
                *known = symbol;
            }
        }
        let names = best.into_iter();
        names
            .map(|(extent, symbol)| (extent, symbol.name))
            .collect()
    }
}

/// The name that reports show: demangled, with parameters.
#[must_use]
pub fn shown_name(symbol: &str) -> Cow<'_, str> {
    names::shown(symbol)
}

/// Orders the names of one address, the one to show first.
pub(super) fn rank<'a>(symbol: &Symbol<'a>, asked_for: &[&str]) -> impl Ord + use<'a> {
    let name = symbol.name;
    let is_asked_for = asked_for.iter().any(|asked_for| {
        name == *asked_for || (name.starts_with('_') && names::shown(name) == *asked_for)
    });
    let underscores = name.starts_with('_') && !name.starts_with("_Z") && !name.starts_with("_R");
    // A resolver has a symbol of its own besides the IFUNC (`strlen_ifunc`): it means the
    // resolver only if it is spelled out.
    (
        Reverse(is_asked_for),
        Reverse(symbol.ifunc),
        Reverse(symbol.global),
        underscores,
        name.len(),
        name,
    )
}
