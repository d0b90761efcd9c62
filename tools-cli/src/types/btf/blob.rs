//! The bytes of BTF, checked once and then read in place.

use std::ops::Range;

use crate::{resolve::elf::Image, types::Error};

/// Longer names are taken for damage; the kernel's own limit is 512 bytes (`KSYM_NAME_LEN`).
const NAME_UP_TO_BYTES: usize = 1 << 10;

/// `BTF_MAGIC`, include/uapi/linux/btf.h.
const MAGIC: u16 = 0xeb9f;

/// What every type begins with: the offset of its name, `info`, and a size or a type.
const HEAD_BYTES: usize = 12;

/// The kinds of types: `BTF_KIND_*`, include/uapi/linux/btf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    DataSec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// A kind that says nothing about types: where parameters of inlined functions are (20 to 22),
    /// or one that a later kernel brings, which the layout section measures.
    Other,
}

impl Kind {
    fn from_number(number: u32) -> Self {
        use Kind::*;
        const KINDS: [Kind; 19] = [
            Int, Ptr, Array, Struct, Union, Enum, Fwd, Typedef, Volatile, Const, Restrict, Func,
            FuncProto, Var, DataSec, Float, DeclTag, TypeTag, Enum64,
        ];
        (number as usize)
            .checked_sub(1)
            .and_then(|index| KINDS.get(index).copied())
            .unwrap_or(Other)
    }
}

/// One type, as it is in the file.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub kind: Kind,
    /// `kind_flag`: bit fields in a structure, a sign in an enumeration, a union in a declaration.
    pub flag: bool,
    /// Where its name is among the strings; 0 if it has none.
    pub name: u32,
    /// A size in bytes or the number of another type, depending on the kind.
    pub size_or_type: u32,
    /// What follows: members, constants, parameters.
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// What follows, in groups of `N` words.
    pub fn groups<const N: usize>(self) -> impl ExactSizeIterator<Item = [u32; N]> + use<'a, N> {
        self.rest
            .chunks_exact(4 * N)
            .map(|group| std::array::from_fn(|index| word(group, 4 * index).unwrap_or_default()))
    }
}

/// Raw BTF with an index of its types.
#[derive(Debug)]
pub(super) struct Blob {
    image: Image,
    strings: Range<usize>,
    /// Where each type starts in the bytes.
    types: Vec<u32>,
    /// Whether enumerations say which have a sign: pahole does since 1.24, from Linux 6.0.
    pub tells_signs: bool,
}

impl Blob {
    /// Checks the header and finds where each type starts.
    ///
    /// # Errors
    ///
    /// The reason, when the bytes are no BTF or it is damaged.
    pub fn new(image: Image) -> Result<Self, String> {
        let sections = sections(image.data())?;
        let mut blob = Self {
            // The smallest type has 12 bytes, most have between 12 and 30.
            types: Vec::with_capacity(sections.types.len() / 2 / HEAD_BYTES),
            image,
            strings: sections.strings,
            tells_signs: false,
        };
        blob.index(sections.types, &sections.layout)?;
        Ok(blob)
    }

    pub fn what(&self) -> String {
        self.image.path().display().to_string()
    }

    /// How many types it has.
    pub fn count(&self) -> usize {
        self.types.len()
    }

    /// The length of its strings in bytes.
    pub fn strings_bytes(&self) -> usize {
        self.strings.len()
    }

    /// The type with that index.
    pub fn record(&self, index: usize) -> Option<Record<'_>> {
        let data = self.image.data();
        let start = *self.types.get(index)? as usize;
        // To the start of the next one; the last one's length is found anew from its kind.
        let end = self.types.get(index + 1).map(|&next| next as usize);
        let (head, bytes) = head(data, start)?;
        let end = end.unwrap_or_else(|| start + HEAD_BYTES + bytes.unwrap_or(0));
        Some(Record {
            rest: data.get(start + HEAD_BYTES..end)?,
            ..head
        })
    }

    /// All types, with their index.
    pub fn records(&self) -> impl Iterator<Item = (usize, Record<'_>)> {
        (0..self.types.len()).filter_map(|index| Some((index, self.record(index)?)))
    }

    /// The name at that place, or what is wrong there.
    pub fn name(&self, offset: usize) -> Result<&str, &'static str> {
        let strings = self
            .image
            .data()
            .get(self.strings.clone())
            .unwrap_or_default();
        let rest = strings
            .get(offset..)
            .ok_or("a name is outside of the strings")?;
        let rest = &rest[..rest.len().min(NAME_UP_TO_BYTES)];
        let end = rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or("a name has no end")?;
        std::str::from_utf8(&rest[..end]).map_err(|_| "a name is not text")
    }

    /// Whether the name at that place is this one.
    pub fn is_name(&self, offset: usize, name: &str) -> bool {
        // All in one comparison: this is done for each type of the kernel.
        let is_it = || {
            let strings = self.image.data().get(self.strings.clone())?;
            let (found, rest) = strings.get(offset..)?.split_at_checked(name.len())?;
            Some(rest.first() == Some(&0) && found == name.as_bytes())
        };
        is_it().unwrap_or(false)
    }

    fn index(&mut self, types: Range<usize>, layout: &[u8]) -> Result<(), String> {
        // All of BTF is less than 4 GiB, because the offsets in its header have 32 bits.
        let data = self.image.data();
        let data = data.get(..types.end).unwrap_or(data);
        let mut at = types.start;
        while at < types.end {
            let number = self.types.len() + 1;
            let (record, bytes) =
                head(data, at).ok_or_else(|| format!("type {number} is cut off"))?;
            let bytes = bytes
                .or_else(|| laid_out(layout, word(data, at + 4)?))
                .ok_or_else(|| format!("type {number} is of an unknown kind"))?;
            self.types
                .push(u32::try_from(at).map_err(|_| "it is too long")?);
            at = at
                .checked_add(HEAD_BYTES + bytes)
                .filter(|&next| next <= types.end)
                .ok_or_else(|| format!("type {number} is cut off"))?;
            self.tells_signs |=
                record.kind == Kind::Enum64 || (record.kind == Kind::Enum && record.flag);
        }
        Ok(())
    }

    /// An error about this BTF.
    pub fn damaged(&self, reason: impl Into<String>) -> Error {
        Error::Damaged {
            what: self.what(),
            reason: reason.into(),
        }
    }
}

/// What the header tells.
struct Sections {
    types: Range<usize>,
    strings: Range<usize>,
    /// Empty if it is missing.
    layout: Vec<u8>,
}

fn sections(data: &[u8]) -> Result<Sections, String> {
    let magic = data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
    match magic {
        Some(MAGIC) => {}
        Some(other) if other.swap_bytes() == MAGIC => {
            return Err("it is for the other byte order".to_owned());
        }
        _ => return Err("it does not begin as BTF does".to_owned()),
    }
    let header_bytes = word(data, 4).ok_or("its header is cut off")? as usize;
    let section = |at: usize| {
        if header_bytes < at + 8 {
            return None;
        }
        let start = header_bytes.checked_add(word(data, at)? as usize)?;
        let end = start.checked_add(word(data, at + 4)? as usize)?;
        (end <= data.len()).then_some(start..end)
    };
    let types = section(8).ok_or("its types are cut off")?;
    let strings = section(16).ok_or("its strings are cut off")?;
    // Newer kernels may append the sizes of the kinds, for readers that don't know them all.
    let layout = section(24).and_then(|range| data.get(range));
    Ok(Sections {
        types,
        strings,
        layout: layout.unwrap_or_default().to_vec(),
    })
}

/// The start of a type, and the length of what follows if the kind is known.
fn head(data: &[u8], at: usize) -> Option<(Record<'_>, Option<usize>)> {
    let info = word(data, at + 4)?;
    let number = kind_number(info);
    let count = count(info);
    let record = Record {
        kind: Kind::from_number(number),
        flag: info >> 31 == 1,
        name: word(data, at)?,
        size_or_type: word(data, at + 8)?,
        rest: &[],
    };
    let bytes = match record.kind {
        Kind::Ptr | Kind::Fwd | Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict => 0,
        Kind::Func | Kind::Float | Kind::TypeTag => 0,
        Kind::Int | Kind::Var | Kind::DeclTag => 4,
        Kind::Array => 12,
        Kind::Enum | Kind::FuncProto => 8 * count,
        Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 12 * count,
        Kind::Other => match number {
            // BTF_KIND_LOC_PARAM, BTF_KIND_LOC_PROTO, BTF_KIND_LOCSEC.
            20 => 4 + 4 * count,
            21 => 4 * count,
            22 => 12 * count,
            _ => return Some((record, None)),
        },
    };
    Some((record, Some(bytes)))
}

/// The kind has had 7 bits and the count 24 since they outgrew 5 and 16; the bits between were zero
/// before.
fn kind_number(info: u32) -> u32 {
    (info >> 24) & 0x7f
}

fn count(info: u32) -> usize {
    (info & 0xff_ffff) as usize
}

/// The length that the layout section gives for a kind: four bytes each, of which the first is a
/// size and the second one that counts for each element.
fn laid_out(layout: &[u8], info: u32) -> Option<usize> {
    let entry = layout.get(4 * kind_number(info) as usize..)?;
    let (&fixed, &each) = (entry.first()?, entry.get(1)?);
    Some(usize::from(fixed) + usize::from(each) * count(info))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}
