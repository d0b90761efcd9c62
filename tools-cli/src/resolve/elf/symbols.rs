//! The function symbols of a file and of what belongs to it, one after the other.

use object::{
    elf,
    read::elf::{SectionHeader, Sym},
};

use super::{
    debug_file::DebugSymbols,
    image::{ENDIAN, Elf, Header},
    names,
};
use crate::resolve::address::VirtAddr;

/// Longer names are passed over; without a limit, many symbols that share one endless name would
/// take time without bound.
const NAME_UP_TO_BYTES: usize = 32 << 10;

/// A function as a symbol table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'data> {
    /// Its name, without a version.
    pub name: &'data str,
    /// Where it starts; an IFUNC's is where its resolver starts.
    pub address: VirtAddr,
    /// Its length in bytes; 0 if the table doesn't say.
    pub size: u64,
    /// Whether other files see it.
    pub global: bool,
    /// Whether the function is chosen at run time by a resolver.
    pub ifunc: bool,
}

impl<'data> Elf<'data> {
    /// All functions that are defined in the file, from all its symbol tables and those of
    /// `debug`; one that is in several tables, or that has several names, comes several times.
    pub fn functions<'a>(
        &self,
        debug: &'a DebugSymbols,
    ) -> impl Iterator<Item = Symbol<'a>> + use<'a, 'data>
    where
        'data: 'a,
    {
        let of_debug = debug
            .elf()
            .into_iter()
            .flat_map(|elf| elf.table(elf::SHT_SYMTAB));
        self.table(elf::SHT_SYMTAB)
            .chain(self.table(elf::SHT_DYNSYM))
            .chain(of_debug)
    }

    /// The address of the one variable of that name; nothing if there are several, as there can be
    /// of those that are local to a file of the source.
    pub(super) fn variable(&self, name: &str, debug: &DebugSymbols) -> Option<VirtAddr> {
        let of_debug = debug.elf();
        let files = [Some(self), of_debug.as_ref()];
        let tables = files.into_iter().flatten().flat_map(|elf| {
            [elf::SHT_SYMTAB, elf::SHT_DYNSYM].map(|kind| elf.raw_table(kind).unwrap_or_default())
        });
        let mut addresses = tables.flat_map(|(symbols, names)| {
            symbols
                .iter()
                .filter(|symbol| {
                    // Those of threads have an offset in place of the address.
                    let is_variable = matches!(symbol.st_type(), elf::STT_OBJECT | elf::STT_NOTYPE);
                    is_variable && !symbol.is_undefined(ENDIAN) && symbol.st_value(ENDIAN) != 0
                })
                .filter(move |symbol| {
                    name_at(names, symbol.st_name(ENDIAN))
                        .is_some_and(|found| names::without_version(found) == name)
                })
                .map(|symbol| symbol.st_value(ENDIAN))
        });
        let first = addresses.next()?;
        addresses
            .all(|other| other == first)
            .then_some(VirtAddr(first))
    }

    /// Whether the file has a table of all its symbols, not just those it exports.
    #[must_use]
    pub fn has_symtab(&self) -> bool {
        self.table(elf::SHT_SYMTAB).next().is_some()
    }

    /// The functions of the first table of this kind; none if it is missing or damaged.
    pub(super) fn table(
        &self,
        kind: elf::SectionType,
    ) -> impl Iterator<Item = Symbol<'data>> + use<'data> {
        let (symbols, names) = self.raw_table(kind).unwrap_or_default();
        symbols
            .iter()
            .filter_map(move |symbol| function(symbol, names))
    }

    fn raw_table(
        &self,
        kind: elf::SectionType,
    ) -> Option<(
        &'data [<Header as object::read::elf::FileHeader>::Sym],
        &'data [u8],
    )> {
        let section = self
            .sections
            .iter()
            .find(|section| section.sh_type(ENDIAN) == kind)?;
        let symbols = section.data_as_array(ENDIAN, self.data).ok()?;
        let strings = self.sections.section(section.link(ENDIAN)).ok()?;
        Some((symbols, self.contents(strings)?))
    }
}

fn function<'data>(
    symbol: &impl Sym<Endian = object::NativeEndian, Word = u64>,
    names: &'data [u8],
) -> Option<Symbol<'data>> {
    let ifunc = match symbol.st_type() {
        elf::STT_FUNC => false,
        elf::STT_GNU_IFUNC => true,
        _ => return None,
    };
    if symbol.is_undefined(ENDIAN) || symbol.st_value(ENDIAN) == 0 {
        return None;
    }
    let name = name_at(names, symbol.st_name(ENDIAN))?;
    Some(Symbol {
        name: names::without_version(name),
        address: VirtAddr(symbol.st_value(ENDIAN)),
        size: symbol.st_size(ENDIAN),
        global: symbol.st_bind() != elf::STB_LOCAL,
        ifunc,
    })
}

/// The name that ends with a zero byte; nothing if it is empty, endless or no text.
pub(super) fn name_at(names: &[u8], offset: u32) -> Option<&str> {
    let rest = names.get(usize::try_from(offset).ok()?..)?;
    let rest = &rest[..rest.len().min(NAME_UP_TO_BYTES)];
    let name = &rest[..rest.iter().position(|&byte| byte == 0)?];
    std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_with_a_zero_byte() {
        let names = b"\0foo\0\xff\0bar";
        assert_eq!(name_at(names, 1), Some("foo"));
        assert_eq!(name_at(names, 2), Some("oo"));
        assert_eq!(name_at(names, 0), None, "empty");
        assert_eq!(name_at(names, 5), None, "no text");
        assert_eq!(name_at(names, 7), None, "endless");
        assert_eq!(name_at(names, 99), None, "outside");
        assert_eq!(name_at(&[b'a'; NAME_UP_TO_BYTES + 1], 0), None, "too long");
    }
}
