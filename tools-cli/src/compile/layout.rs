//! Where the values of a message are in the memory that a generated function fills.

use crate::spec::format::{Conversion, Form};

/// Bytes at the start of the values, where the generated function notes what it could not read.
pub(super) const FAULTS_BYTES: u8 = 8;

/// Bytes of a text's slot before the text.
pub(super) const TEXT_HEADER_BYTES: i16 = 12;

/// The most values of a message: one for each bit of the word that tells which were unreadable.
pub const MAX_SLOTS: usize = 64;

/// The most bytes that the values of a message may take: instructions reach no further.
pub const MAX_LAYOUT_BYTES: u32 = i16::MAX as u32;

/// How the values of an event lie in memory, and how they are to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Size of all of it; a multiple of 8.
    ///
    /// The first 8 bytes repeat what the function returns: a bit for each slot that could not be
    /// read, the lowest for the first.
    pub bytes: u32,
    /// The values.
    pub slots: Vec<Slot>,
    /// The message.
    pub pieces: Vec<Piece>,
}

impl Layout {
    /// Whether the slot number `index` has a number with a sign: its type has one, or the message
    /// shows it so.
    #[must_use]
    pub fn is_signed(&self, index: usize) -> bool {
        let shows_sign = |piece: &Piece| match piece {
            Piece::Value { slot, conversion } => *slot == index && conversion.form == Form::Signed,
            Piece::Text(_) => false,
        };
        match self.slots.get(index).map(|slot| &slot.kind) {
            Some(SlotKind::Integer { is_signed, .. }) => {
                *is_signed || self.pieces.iter().any(shows_sign)
            }
            _ => false,
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes as they are.
    Text(Vec<u8>),
    /// The value in the slot of this number.
    Value {
        /// Which one.
        slot: usize,
        /// How it is printed.
        conversion: Conversion,
    },
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Bytes from the start of the values; a multiple of 8.
    pub offset: u32,
    /// What is there.
    pub kind: SlotKind,
    /// What it is called: a parameter's or field's name, or the expression.
    pub name: String,
    /// The constants of its type by name, if that is an enumeration.
    pub constants: Vec<(String, i64)>,
}

/// What a slot holds. Numbers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// 8 bytes: a number, extended from the size of its type with its sign if it has one.
    Integer {
        /// The size of the type: 1, 2, 4 or 8.
        bytes: u8,
        /// Whether the type has a sign.
        is_signed: bool,
    },
    /// The same for an address.
    Pointer,
    /// 8 bytes of address, 4 bytes of length (with the final NUL; negative, an error number, if the
    /// text could not be read; 0 if its address could not), then up to `capacity` bytes of text.
    Text {
        /// Bytes for the text, the final NUL included.
        capacity: u32,
    },
    /// 16 bytes: a command's name, filled up with NUL.
    Comm,
}

impl SlotKind {
    /// The size of such a slot; a multiple of 8.
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        match self {
            Self::Integer { .. } | Self::Pointer => 8,
            Self::Text { capacity } => (TEXT_HEADER_BYTES as u32 + *capacity).next_multiple_of(8),
            Self::Comm => 16,
        }
    }
}
