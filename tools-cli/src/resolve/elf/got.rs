//! The places in memory where the dynamic loader leaves what an IFUNC's resolver has chosen.

use object::{
    elf::{self, RelocationType},
    read::elf::{FileHeader, Rela as _, SectionHeader, Sym as _},
};

use super::{
    image::{ENDIAN, Elf, Header, Section},
    symbols::name_at,
};
use crate::resolve::address::VirtAddr;

type Rela = <Header as FileHeader>::Rela;
type Sym = <Header as FileHeader>::Sym;

/// A word in which the loader leaves the implementation that a resolver has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrelativeSlot {
    /// The word.
    pub slot: VirtAddr,
    /// The resolver: the address of the IFUNC symbol.
    pub resolver: VirtAddr,
}

/// A relocation of this machine that writes the address of what is called into a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The slot gets what the resolver at the addend returns.
    Irelative,
    /// The slot gets a symbol's address.
    Symbol,
    /// The slot gets the addend, moved to where the file is loaded.
    Relative,
}

fn kind(relocation: RelocationType) -> Option<Kind> {
    if cfg!(target_arch = "x86_64") {
        match relocation {
            elf::R_X86_64_IRELATIVE => Some(Kind::Irelative),
            elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_64 => {
                Some(Kind::Symbol)
            }
            elf::R_X86_64_RELATIVE => Some(Kind::Relative),
            _ => None,
        }
    } else if cfg!(target_arch = "aarch64") {
        match relocation {
            elf::R_AARCH64_IRELATIVE => Some(Kind::Irelative),
            elf::R_AARCH64_GLOB_DAT | elf::R_AARCH64_JUMP_SLOT | elf::R_AARCH64_ABS64 => {
                Some(Kind::Symbol)
            }
            elf::R_AARCH64_RELATIVE => Some(Kind::Relative),
            _ => None,
        }
    } else {
        None
    }
}

impl<'data> Elf<'data> {
    /// The slots of this file that resolvers of this file fill.
    pub fn irelative_slots(&self) -> impl Iterator<Item = IrelativeSlot> + use<'data> {
        self.relocations()
            .filter(|(rela, _)| is(rela, Kind::Irelative))
            .map(|(rela, _)| IrelativeSlot {
                slot: VirtAddr(rela.r_offset(ENDIAN)),
                resolver: VirtAddr(rela.r_addend(ENDIAN).cast_unsigned()),
            })
    }

    /// The slots of this file that get the address of the function `name`, wherever it is defined.
    ///
    /// Until its first call, a slot may hold the address of code in this file that looks it up.
    pub fn got_slots_of(&self, name: &str) -> impl Iterator<Item = VirtAddr> {
        self.relocations()
            .filter(|(rela, _)| is(rela, Kind::Symbol))
            .filter(move |(rela, table)| self.symbol_name(rela, table) == Some(name))
            .map(|(rela, _)| VirtAddr(rela.r_offset(ENDIAN)))
    }

    /// The slots that get the address of something in this file, as far as the file alone says so.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn slot_targets(&self) -> std::collections::HashMap<VirtAddr, VirtAddr> {
        let target = |rela: &Rela, table: &Section| {
            let addend = rela.r_addend(ENDIAN).cast_unsigned();
            match kind(rela.r_type(ENDIAN, false))? {
                Kind::Relative => Some(addend),
                Kind::Symbol => {
                    let symbol = self
                        .symbol(rela, table)
                        .filter(|s| !s.is_undefined(ENDIAN))?;
                    Some(symbol.st_value(ENDIAN).wrapping_add(addend))
                }
                Kind::Irelative => None,
            }
        };
        self.relocations()
            .filter_map(|(rela, table)| {
                let target = target(rela, table)?;
                Some((VirtAddr(rela.r_offset(ENDIAN)), VirtAddr(target)))
            })
            .collect()
    }

    /// The relocations of all tables, each with the section of its symbols.
    fn relocations(&self) -> impl Iterator<Item = (&'data Rela, &'data Section)> + use<'data> {
        let Self { data, sections, .. } = *self;
        // As for notes: tables may overlap.
        let mut budget = data.len();
        sections
            .iter()
            .filter(|section| section.sh_type(ENDIAN) == elf::SHT_RELA)
            .filter_map(move |section| {
                let table: &[Rela] = section.data_as_array(ENDIAN, data).ok()?;
                budget = budget.checked_sub(size_of_val(table))?;
                Some(table.iter().map(move |rela| (rela, section)))
            })
            .flatten()
    }

    fn symbol(&self, rela: &Rela, table: &Section) -> Option<&'data Sym> {
        let section = self.sections.section(table.link(ENDIAN)).ok()?;
        let symbols: &[Sym] = section.data_as_array(ENDIAN, self.data).ok()?;
        symbols.get(usize::try_from(rela.r_sym(ENDIAN, false)).ok()?)
    }

    fn symbol_name(&self, rela: &Rela, table: &Section) -> Option<&'data str> {
        let symbol = self.symbol(rela, table)?;
        let section = self.sections.section(table.link(ENDIAN)).ok()?;
        let strings = self.sections.section(section.link(ENDIAN)).ok()?;
        name_at(self.contents(strings)?, symbol.st_name(ENDIAN))
    }
}

fn is(rela: &Rela, wanted: Kind) -> bool {
    kind(rela.r_type(ENDIAN, false)) == Some(wanted)
}

/// The implementations that a process uses, from the slots that hold them, lowest address first.
///
/// `slots` are those of one module, which is loaded `bias` bytes above its own addresses; `read`
/// gives the word at an address of the process (of `/proc/PID/mem`), and `implementation` says
/// which function of the defining file an address of the process is (its address less that
/// file's bias), or nothing if it is not code of that file.
pub fn implementations_in_use(
    slots: impl IntoIterator<Item = VirtAddr>,
    bias: u64,
    read: impl Fn(u64) -> Option<u64>,
    implementation: impl Fn(u64) -> Option<VirtAddr>,
) -> Vec<VirtAddr> {
    let mut found: Vec<VirtAddr> = slots
        .into_iter()
        .filter_map(|slot| read(slot.0.wrapping_add(bias)))
        .filter_map(implementation)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
