//! From types to classes of parameters: "Parameter Passing" in the System V ABI's supplement for
//! AMD64; and "Non-Trivial Parameters" in the Itanium C++ ABI.

use std::collections::HashMap;

use super::{Class, Kind};
use crate::{
    compile::ty::{Origin, Sources, Ty},
    types::{Composite, Error, Float, Opaque, TypeId},
};

/// More than these are passed in memory, but for the widest vectors.
const IN_REGISTERS: u64 = 16;

/// A place behind those, aligned as no type needs it: nothing that is there counts but its alignment.
const BEHIND: u64 = 1 << 32;

/// How values of that type are passed to a function, and returned.
pub(in super::super) fn class_of(ty: &Ty, sources: Sources<'_>) -> Result<Class, Error> {
    let ty = sources.open(ty)?;
    // What is declared as an array or a function is passed as a pointer.
    if matches!(ty, Ty::Array { .. } | Ty::Function) {
        return Ok(Class::integer());
    }
    let mut layout = Layout::new(sources);
    let extent = layout.value(&ty, 0)?;
    Ok(layout.class(extent, matches!(ty, Ty::Float(_))))
}

/// What 8 bytes of a value hold; the ABI's names for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Nothing,
    Integer,
    Sse,
    /// The upper half of a register that the word before is in.
    SseUp,
    X87,
    X87Up,
    Memory,
}

impl Word {
    /// What both at the same place are together.
    const fn merged(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, only) | (only, Self::Nothing) => only,
            (Self::Memory, _) | (_, Self::Memory) => Self::Memory,
            (Self::Integer, _) | (_, Self::Integer) => Self::Integer,
            (Self::X87, Self::X87) => Self::X87,
            (Self::X87Up, Self::X87Up) => Self::X87Up,
            (Self::X87 | Self::X87Up, _) | (_, Self::X87 | Self::X87Up) => Self::Memory,
            (Self::SseUp, Self::SseUp) => Self::SseUp,
            _ => Self::Sse,
        }
    }
}

/// How much room a type takes.
#[derive(Clone, Copy, Debug)]
struct Extent {
    bytes: u64,
    alignment: u64,
}

impl Extent {
    const NOTHING: Self = Self {
        bytes: 0,
        alignment: 1,
    };
}

/// Goes through the parts of a type.
struct Layout<'a> {
    sources: Sources<'a>,
    words: [Word; 2],
    /// Whether a part is not aligned as its type wants it.
    is_packed: bool,
    /// Whether a part can't be simply copied.
    is_by_reference: bool,
    /// Whether a part is not known, or there are too many.
    is_unknown: bool,
    /// The most bytes of one vector.
    widest: u64,
    /// The arrays and structures that have been gone through, each at its place: however they are in
    /// each other, as descriptions that are damaged or hostile may have them, it does not take long.
    seen: HashMap<(Origin, TypeId, u64), Extent>,
    /// How many parts may still come.
    left: usize,
    depth: u32,
}

impl<'a> Layout<'a> {
    fn new(sources: Sources<'a>) -> Self {
        const PARTS: usize = 1 << 16;
        Self {
            sources,
            words: [Word::Nothing; 2],
            is_packed: false,
            is_by_reference: false,
            is_unknown: false,
            widest: 0,
            seen: HashMap::new(),
            left: PARTS,
            depth: 0,
        }
    }

    /// Notes a value so many bytes from the start.
    fn value(&mut self, ty: &Ty, at: u64) -> Result<Extent, Error> {
        const DEEPEST: u32 = 128;
        let Some(left) = self.left.checked_sub(1).filter(|_| self.depth < DEEPEST) else {
            return Ok(self.unknown());
        };
        let at = if at < IN_REGISTERS { at } else { BEHIND };
        let Ty::Named(origin, id) = *ty else {
            return self.opened(ty, at);
        };
        let place = (origin, id, at);
        if let Some(extent) = self.seen.get(&place) {
            return Ok(*extent);
        }
        self.left = left;
        self.depth += 1;
        let opened = self.sources.open(ty)?;
        let extent = self.opened(&opened, at)?;
        self.depth -= 1;
        if let Ty::Array { .. } | Ty::Composite(..) = opened {
            self.seen.insert(place, extent);
        }
        Ok(extent)
    }

    fn unknown(&mut self) -> Extent {
        self.is_unknown = true;
        Extent::NOTHING
    }

    fn opened(&mut self, ty: &Ty, at: u64) -> Result<Extent, Error> {
        Ok(match ty {
            Ty::Int(int) => self.scalar(at, int.bytes.into(), [Word::Integer; 2]),
            Ty::Enum(described) => self.scalar(at, described.bytes, [Word::Integer; 2]),
            Ty::Pointer { .. } | Ty::Register { .. } => self.scalar(at, 8, [Word::Integer; 2]),
            Ty::Float(float) => self.float(float, at),
            Ty::Opaque(Opaque::Vector(bytes)) => {
                self.widest = self.widest.max(*bytes);
                let words = match bytes {
                    // The document does not say so, but gcc and clang are of one mind.
                    ..8 => [Word::Integer; 2],
                    _ => [Word::Sse, Word::SseUp],
                };
                self.scalar(at, *bytes, words)
            }
            Ty::Opaque(Opaque::MemberFunction) => {
                self.scalar(at, 8, [Word::Integer; 2]);
                let second = self.scalar(at + 8, 8, [Word::Integer; 2]);
                Extent {
                    bytes: 16,
                    ..second
                }
            }
            Ty::Array { element, count } => self.array(element, *count, at)?,
            Ty::Composite(composite, origin) => self.composite(composite, *origin, at)?,
            Ty::Void
            | Ty::Function
            | Ty::Forward { .. }
            | Ty::Named(..)
            | Ty::Opaque(Opaque::Unknown(_)) => self.unknown(),
        })
    }

    /// A number or pointer: the first word of a wide one, and the next.
    fn scalar(&mut self, at: u64, bytes: u64, [first, next]: [Word; 2]) -> Extent {
        let alignment = bytes.max(1);
        self.is_packed |= !at.is_multiple_of(alignment);
        let end = at.saturating_add(bytes);
        self.mark(at, end.min(at + 8), first);
        self.mark(at + 8, end, next);
        Extent { bytes, alignment }
    }

    fn float(&mut self, float: &Float, at: u64) -> Extent {
        let parts = if float.is_complex { 2 } else { 1 };
        let bytes = float.bytes / parts;
        // Both kinds of numbers that are longer than a double have that size.
        let is_quadruple = float.name.contains("128");
        let words = match bytes {
            ..=8 => [Word::Sse; 2],
            _ if is_quadruple => [Word::Sse, Word::SseUp],
            _ => [Word::X87, Word::X87Up],
        };
        for part in 0..parts {
            self.scalar(at.saturating_add(part * bytes), bytes, words);
        }
        Extent {
            bytes: float.bytes,
            alignment: bytes.max(1),
        }
    }

    fn array(&mut self, element: &Ty, count: u64, at: u64) -> Result<Extent, Error> {
        // One without elements is aligned all the same.
        let Extent { bytes, alignment } = self.value(element, BEHIND)?;
        if bytes == 0 {
            return Ok(Extent { bytes, alignment });
        }
        if at < IN_REGISTERS {
            for number in 0..count.min(IN_REGISTERS.div_ceil(bytes)) {
                self.value(element, at.saturating_add(number.saturating_mul(bytes)))?;
            }
        }
        Ok(Extent {
            bytes: bytes.saturating_mul(count),
            alignment,
        })
    }

    fn composite(
        &mut self,
        composite: &Composite,
        origin: Origin,
        at: u64,
    ) -> Result<Extent, Error> {
        let bytes = composite.bytes;
        self.is_by_reference |= composite.is_by_reference;
        let mut most = 1;
        for member in &composite.members {
            // Nothing else matters then.
            if self.is_by_reference {
                break;
            }
            let ty = Ty::Named(origin, member.type_id);
            let into = member.bit_offset / 8;
            let start = at.saturating_add(into);
            let alignment = match member.bits {
                None => self.value(&ty, start)?.alignment.min(divisor(into)),
                Some(bits) => {
                    let first = at.saturating_mul(8).saturating_add(member.bit_offset);
                    let end = first.saturating_add(bits.into()).div_ceil(8);
                    self.mark(start, end, Word::Integer);
                    self.value(&ty, BEHIND)?.alignment
                }
            };
            most = most.max(alignment).max(member.alignment);
        }
        // Where one is packed, the alignment of its members does not count.
        let alignment = most.min(divisor(bytes)).max(composite.alignment);
        Ok(Extent { bytes, alignment })
    }

    /// Notes what the words are that have these bytes in them.
    fn mark(&mut self, start: u64, end: u64, what: Word) {
        if start >= end {
            return;
        }
        for (word, first) in self.words.iter_mut().zip([0, 8]) {
            if start < first + 8 && end > first {
                *word = word.merged(what);
            }
        }
    }

    /// The class of the whole.
    fn class(&self, extent: Extent, is_number: bool) -> Class {
        let Extent { bytes, alignment } = extent;
        let [first, second] = self.words;
        if self.is_by_reference {
            return Class::Reference;
        }
        if self.is_unknown {
            return Class::Unknown;
        }
        if self.widest > IN_REGISTERS && self.widest == bytes {
            return Class::WideVector;
        }
        // A complex number has two of them, and is not returned in memory.
        if (bytes <= IN_REGISTERS || is_number)
            && (first, second) == (Word::X87, Word::X87Up)
            && !self.is_packed
        {
            return Class::X87 { bytes, alignment };
        }
        let is_torn = second == Word::X87Up || self.words.contains(&Word::Memory);
        if bytes > IN_REGISTERS || self.is_packed || is_torn {
            return Class::Memory { bytes, alignment };
        }
        let kinds = self.words.iter().take(bytes.div_ceil(8) as usize);
        let mut before = Word::Nothing;
        let kinds = kinds.map(|&word| {
            let kind = match (before, word) {
                (_, Word::Integer) => Kind::Integer,
                (_, Word::Nothing) | (Word::Sse, Word::SseUp) => Kind::Nothing,
                _ => Kind::Float,
            };
            before = word;
            kind
        });
        Class::Registers {
            kinds: kinds.collect(),
            alignment,
        }
    }
}

/// The greatest power of two that divides a number of bytes.
const fn divisor(bytes: u64) -> u64 {
    if bytes == 0 {
        u64::MAX
    } else {
        bytes & bytes.wrapping_neg()
    }
}
