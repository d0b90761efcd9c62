//! Units of DWARF and the entries in them: where they are, and how they refer to each other.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use gimli::{
    AttributeValue, DebuggingInformationEntry, NativeEndian, SectionId, UnitOffset, UnitType,
    constants as dw,
};

use crate::{resolve::elf::DebugSection, types::TypeId};

pub(super) type Slice<'a> = gimli::EndianSlice<'a, NativeEndian>;
pub(super) type Unit<'a> = gimli::Unit<Slice<'a>>;
pub(super) type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
pub(super) type Value<'a> = AttributeValue<Slice<'a>>;
pub(super) type Sections = gimli::DwarfSections<DebugSection>;

/// What is wrong with a description.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// As gimli finds it.
    #[error("{0}")]
    Format(#[from] gimli::Error),
    /// A type that is made of itself.
    #[error("it goes round in a circle")]
    Circle,
    /// A reference to where nothing is.
    #[error("a reference leads out of it")]
    Reference,
    /// More members than there can be.
    #[error("an entry has too many parts")]
    TooMany,
}

pub(super) type Result<T> = std::result::Result<T, Damage>;

/// How many typedefs, qualifiers and origins are followed until they are taken for a circle.
pub(super) const STEPS_UP_TO: usize = 64;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the units.
    pub unit: usize,
    /// Where in it.
    pub offset: UnitOffset,
}

/// Where a unit is.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Whether in `.debug_types`, which DWARF 4 has apart from `.debug_info`.
    in_types: bool,
    start: usize,
    end: usize,
}

/// Where all units are.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Ordered by section and place.
    units: Vec<Span>,
    /// The types that are referred to by a signature.
    signatures: HashMap<u64, Place>,
}

impl Index {
    /// Goes through the headers of all units.
    pub fn new(dwarf: &gimli::Dwarf<Slice<'_>>) -> Result<Self> {
        let mut index = Self::default();
        let mut damage = None;
        let mut units = dwarf.units();
        // Behind a header that can't be read no other is found, but those before it are good.
        while let Some(header) = units.next().unwrap_or_else(|error| {
            damage = Some(error);
            None
        }) {
            index.add(&header);
        }
        let mut units = dwarf.type_units();
        while let Ok(Some(header)) = units.next() {
            index.add(&header);
        }
        match damage {
            Some(damage) if index.units.is_empty() => Err(damage.into()),
            _ => Ok(index),
        }
    }

    fn add(&mut self, header: &gimli::UnitHeader<Slice<'_>>) {
        let in_types = header.section() == SectionId::DebugTypes;
        let start = header.offset().0;
        if let UnitType::Type {
            type_signature,
            type_offset,
        } = header.type_()
        {
            let place = Place {
                unit: self.units.len(),
                offset: type_offset,
            };
            self.signatures.insert(type_signature.0, place);
        }
        self.units.push(Span {
            in_types,
            start,
            end: start.saturating_add(header.length_including_self()),
        });
    }

    /// How many units there are.
    pub fn count(&self) -> usize {
        self.units.len()
    }

    fn find(&self, in_types: bool, offset: usize) -> Option<Place> {
        let after = self
            .units
            .partition_point(|span| (span.in_types, span.start) <= (in_types, offset));
        let unit = after.checked_sub(1)?;
        let span = self.units.get(unit)?;
        (span.in_types == in_types && offset < span.end).then(|| Place {
            unit,
            offset: UnitOffset(offset - span.start),
        })
    }
}

/// What the number of a type is made of: the place of its entry and, for an array of several
/// dimensions, how many of them are gone already. No entry is at 0, so 0 is `void`.
const TYPES_BIT: u64 = 1 << 63;
const DIMENSION_SHIFT: u32 = 48;
const OFFSET_MASK: u64 = (1 << DIMENSION_SHIFT) - 1;

/// The most dimensions that an array may have.
pub(super) const DIMENSIONS_UP_TO: usize = STEPS_UP_TO;

pub(super) const VOID: TypeId = TypeId(0);

/// DWARF while it is read.
pub(super) struct Reader<'a> {
    pub dwarf: gimli::Dwarf<Slice<'a>>,
    pub index: &'a Index,
    /// Most questions are about one unit.
    latest: RefCell<Option<(usize, Rc<Unit<'a>>)>>,
}

impl<'a> Reader<'a> {
    pub fn new(sections: &'a Sections, file: &'a [u8], index: &'a Index) -> Self {
        Self {
            dwarf: borrow(sections, file),
            index,
            latest: RefCell::new(None),
        }
    }

    /// A unit with what is needed to read its entries.
    pub fn unit(&self, number: usize) -> Result<Rc<Unit<'a>>> {
        if let Some((latest, unit)) = &*self.latest.borrow()
            && *latest == number
        {
            return Ok(Rc::clone(unit));
        }
        let unit = Rc::new(self.read_unit(number)?);
        *self.latest.borrow_mut() = Some((number, Rc::clone(&unit)));
        Ok(unit)
    }

    fn read_unit(&self, number: usize) -> Result<Unit<'a>> {
        let span = self.index.units.get(number);
        let span = span.ok_or(Damage::Reference)?;
        let header = if span.in_types {
            // Read as if the section began there, or all units before it would have to be.
            let section = *gimli::Section::reader(&self.dwarf.debug_types);
            let rest = section.slice().get(span.start..).unwrap_or_default();
            let header = gimli::DebugTypes::new(rest, NativeEndian).units().next()?;
            header.ok_or(Damage::Reference)?
        } else {
            self.dwarf.unit_header(gimli::DebugInfoOffset(span.start))?
        };
        let abbreviations = Arc::new(header.abbreviations(&self.dwarf.debug_abbrev)?);
        let encoding = header.encoding();
        let kind = self.dwarf.file_type;
        // gimli's own constructor would go on to read the table of lines.
        let mut unit = Unit {
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(
                encoding, kind,
            ),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
            line_program: None,
            dwo_id: None,
            abbreviations,
            header,
        };
        let root = unit.entry(unit.header.root_offset())?;
        let mut low_pc = None;
        for attribute in root.attrs() {
            match attribute.value() {
                AttributeValue::DebugStrOffsetsBase(base) => unit.str_offsets_base = base,
                AttributeValue::DebugAddrBase(base) => unit.addr_base = base,
                AttributeValue::DebugRngListsBase(base) => unit.rnglists_base = base,
                value if attribute.name() == dw::DW_AT_low_pc => low_pc = Some(value),
                _ => {}
            }
        }
        if let Some(value) = low_pc {
            unit.low_pc = self.dwarf.attr_address(&unit, value)?.unwrap_or(0);
        }
        Ok(unit)
    }

    /// The entry at a place, with its unit.
    pub fn entry(&self, place: Place) -> Result<(Rc<Unit<'a>>, Entry<'a>)> {
        let unit = self.unit(place.unit)?;
        let entry = unit.entry(place.offset)?;
        Ok((unit, entry))
    }

    /// The number of the type at a place.
    pub fn id(&self, place: Place, dimension: usize) -> TypeId {
        let Some(span) = self.index.units.get(place.unit) else {
            return VOID;
        };
        let section = if span.in_types { TYPES_BIT } else { 0 };
        let offset = (span.start + place.offset.0) as u64 & OFFSET_MASK;
        TypeId(section | ((dimension as u64) << DIMENSION_SHIFT) | offset)
    }

    /// The place and the dimension that a number stands for; nothing for `void`.
    pub fn place(&self, id: TypeId) -> Result<Option<(Place, usize)>> {
        if id == VOID {
            return Ok(None);
        }
        let offset = (id.0 & OFFSET_MASK) as usize;
        let dimension = ((id.0 & !TYPES_BIT) >> DIMENSION_SHIFT) as usize;
        self.index
            .find(id.0 & TYPES_BIT != 0, offset)
            .map(|place| Some((place, dimension)))
            .ok_or(Damage::Reference)
    }

    /// The entry that an attribute of another one in `unit` refers to; nothing if that is in a file
    /// of its own, as `dwz` makes them.
    pub fn target(&self, unit: usize, value: Value<'a>) -> Result<Option<Place>> {
        match value {
            AttributeValue::UnitRef(offset) => Ok(Some(Place { unit, offset })),
            AttributeValue::DebugInfoRef(offset) => self
                .index
                .find(false, offset.0)
                .map(Some)
                .ok_or(Damage::Reference),
            AttributeValue::DebugTypesRef(signature) => {
                Ok(self.index.signatures.get(&signature.0).copied())
            }
            _ => Ok(None),
        }
    }

    /// The entry that an attribute of this one refers to.
    pub fn follow(
        &self,
        unit: usize,
        entry: &Entry<'a>,
        attribute: gimli::DwAt,
    ) -> Result<Option<Place>> {
        match entry.attr_value(attribute) {
            Some(value) => self.target(unit, value),
            None => Ok(None),
        }
    }

    /// The name of an entry, if it has one.
    pub fn name(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Option<String>> {
        let Some(value) = entry.attr_value(dw::DW_AT_name) else {
            return Ok(None);
        };
        // What dwz has moved into another file is as good as nameless.
        if matches!(value, AttributeValue::DebugStrRefSup(_)) {
            return Ok(None);
        }
        let name = self.dwarf.attr_string(unit, value)?.to_string_lossy();
        Ok((!name.is_empty()).then(|| name.into_owned()))
    }

    /// Whether an attribute is this text.
    pub fn is_text(&self, unit: &Unit<'a>, value: Value<'a>, text: &str) -> bool {
        let (section, offset): (Slice<'a>, usize) = match value {
            AttributeValue::String(found) => return found.slice() == text.as_bytes(),
            AttributeValue::DebugStrRef(offset) => (self.strings(), offset.0),
            AttributeValue::DebugStrOffsetsIndex(index) => {
                match self.dwarf.string_offset(unit, index) {
                    Ok(offset) => (self.strings(), offset.0),
                    Err(_) => return false,
                }
            }
            other => {
                let found = self.dwarf.attr_string(unit, other);
                return found.is_ok_and(|found| found.slice() == text.as_bytes());
            }
        };
        let rest = section.slice().get(offset..);
        let parts = rest.and_then(|rest| rest.split_at_checked(text.len()));
        parts.is_some_and(|(found, rest)| found == text.as_bytes() && rest.first() == Some(&0))
    }

    fn strings(&self) -> Slice<'a> {
        *gimli::Section::reader(&self.dwarf.debug_str)
    }

    /// Whether the unit's language is C, where types are not within others.
    pub fn is_c(&self, unit: &Unit<'a>) -> bool {
        let language = unit
            .entry(unit.header.root_offset())
            .ok()
            .and_then(|root| root.attr_value(dw::DW_AT_language));
        matches!(
            language,
            Some(AttributeValue::Language(
                dw::DW_LANG_C
                    | dw::DW_LANG_C89
                    | dw::DW_LANG_C99
                    | dw::DW_LANG_C11
                    | dw::DW_LANG_C17
                    | dw::DW_LANG_Mips_Assembler
            ))
        )
    }

    /// The unit that has code at the address.
    pub fn unit_with_code(&self, address: u64) -> Result<Option<usize>> {
        let mut lists = self.dwarf.debug_aranges.headers();
        while let Some(list) = lists.next()? {
            let mut ranges = list.entries();
            while let Some(range) = ranges.next()? {
                if (range.range().begin..range.range().end).contains(&address) {
                    let unit = self.index.find(false, list.debug_info_offset().0);
                    return Ok(unit.map(|place| place.unit));
                }
            }
        }
        // Only gcc makes that table.
        for number in 0..self.index.count() {
            let Ok(unit) = self.read_unit(number) else {
                continue;
            };
            if ends_behind_all_addresses(&unit) {
                continue;
            }
            let Ok(mut ranges) = self.dwarf.unit_ranges(&unit) else {
                continue;
            };
            while let Ok(Some(range)) = ranges.next() {
                if (range.begin..range.end).contains(&address) {
                    return Ok(Some(number));
                }
            }
        }
        Ok(None)
    }
}

/// Whether the start and the size of a unit's code are damaged: gimli adds them without a check.
fn ends_behind_all_addresses(unit: &Unit<'_>) -> bool {
    let root = unit.header.root_offset();
    let end = unit
        .entry(root)
        .ok()
        .and_then(|root| root.attr_value(dw::DW_AT_high_pc));
    matches!(end, Some(AttributeValue::Udata(size)) if unit.low_pc.checked_add(size).is_none())
}

/// The sections as gimli takes them.
pub(super) fn borrow<'a>(sections: &'a Sections, file: &'a [u8]) -> gimli::Dwarf<Slice<'a>> {
    sections.borrow(|section| Slice::new(section.bytes(file), NativeEndian))
}

/// The sections that describe types and functions; those with lines of source are not unpacked.
pub(super) fn is_needed(section: SectionId) -> bool {
    matches!(
        section,
        SectionId::DebugAbbrev
            | SectionId::DebugAddr
            | SectionId::DebugAranges
            | SectionId::DebugInfo
            | SectionId::DebugLineStr
            | SectionId::DebugRanges
            | SectionId::DebugRngLists
            | SectionId::DebugStr
            | SectionId::DebugStrOffsets
            | SectionId::DebugTypes
    )
}
