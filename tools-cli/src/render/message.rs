//! trace's messages: printf's conversions of the values of an event.

use std::fmt::Write as _;

use crate::{
    compile::{Layout, Piece, Slot, SlotKind},
    snippet::escape,
    spec::format::{Conversion, Flags, Form, Length},
};

/// Names for the addresses of an event.
pub trait Names {
    /// The symbol of the kernel at an address.
    fn kernel(&self, address: u64) -> String;
    /// The symbol of the event's program at an address.
    fn user(&self, address: u64) -> String;
}

/// The value of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, in 64 bits.
    Integer(i64),
    /// The bytes of a text.
    Text(&'a [u8]),
    /// Memory that was not there, at this address if it is known.
    Unreadable(Option<u64>),
}

impl<'a> Value<'a> {
    /// The value of the slot number `index` of an event whose values are `bytes`.
    #[must_use]
    pub fn of(layout: &Layout, index: usize, bytes: &'a [u8]) -> Self {
        let Some(slot) = layout.slots.get(index) else {
            return Self::Unreadable(None);
        };
        let word = |at: usize| {
            let word = bytes.get(at..at + 8)?;
            Some(u64::from_le_bytes(word.try_into().ok()?))
        };
        let at = slot.offset as usize;
        let is_unreadable = word(0).is_some_and(|faults| faults >> index & 1 != 0);
        match slot.kind {
            SlotKind::Integer { .. } | SlotKind::Pointer => match word(at) {
                Some(value) if !is_unreadable => Self::Integer(value.cast_signed()),
                _ => Self::Unreadable(None),
            },
            SlotKind::Comm => Self::Text(until_nul(bytes.get(at..at + 16).unwrap_or_default())),
            SlotKind::Text { capacity } => {
                let length = bytes.get(at + 8..at + 12);
                let text = bytes.get(at + 12..at + 12 + capacity as usize);
                match (text, is_unreadable) {
                    (Some(text), false) => Self::Text(until_nul(text)),
                    _ if length == Some(&[0; 4]) => Self::Unreadable(None),
                    _ => Self::Unreadable(word(at)),
                }
            }
        }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// Appends the message of an event to `out`.
pub fn write_message(layout: &Layout, bytes: &[u8], names: &dyn Names, out: &mut String) {
    for piece in &layout.pieces {
        match piece {
            Piece::Text(text) => push_escaped(out, text),
            Piece::Value { slot, conversion } => {
                let value = Value::of(layout, *slot, bytes);
                let Some(slot) = layout.slots.get(*slot) else {
                    continue;
                };
                write_value(&value, slot, conversion, names, out);
            }
        }
    }
}

fn write_value(
    value: &Value<'_>,
    slot: &Slot,
    conversion: &Conversion,
    names: &dyn Names,
    out: &mut String,
) {
    match value {
        Value::Integer(number) => write_integer(*number, slot, conversion, names, out),
        Value::Text(text) => {
            let most = conversion
                .precision
                .map_or(text.len(), |most| most as usize);
            pad(&escaped(&text[..text.len().min(most)]), conversion, out);
        }
        Value::Unreadable(Some(0)) => pad("(null)", conversion, out),
        Value::Unreadable(Some(address)) => {
            pad(&format!("<unreadable: {address:#x}>"), conversion, out);
        }
        Value::Unreadable(None) => pad("<unreadable>", conversion, out),
    }
}

fn write_integer(
    number: i64,
    slot: &Slot,
    conversion: &Conversion,
    names: &dyn Names,
    out: &mut String,
) {
    let bits = number.cast_unsigned();
    let narrowed = narrow(bits, slot, conversion);
    match conversion.form {
        Form::Signed => write_signed(number, conversion, out),
        Form::Unsigned => digits("", &narrowed.to_string(), conversion, out),
        Form::Hex => prefixed("0x", &format!("{narrowed:x}"), conversion, out),
        Form::UpperHex => prefixed("0X", &format!("{narrowed:X}"), conversion, out),
        Form::Octal => prefixed("0", &format!("{narrowed:o}"), conversion, out),
        Form::Pointer => pad(&format!("{bits:#x}"), conversion, out),
        Form::Character => pad(&escaped(&[bits as u8]), conversion, out),
        Form::Text => match slot.constants.iter().find(|(_, value)| *value == number) {
            // The program that is traced has chosen it.
            Some((name, _)) => pad(&escaped(name.as_bytes()), conversion, out),
            None => pad(&number.to_string(), conversion, out),
        },
        Form::KernelSymbol => pad(&names.kernel(bits), conversion, out),
        Form::UserSymbol => pad(&names.user(bits), conversion, out),
    }
}

fn write_signed(number: i64, conversion: &Conversion, out: &mut String) {
    let number = match conversion.length {
        Length::Char => i64::from(number as i8),
        Length::Short => i64::from(number as i16),
        _ => number,
    };
    let flags = conversion.flags;
    if conversion.width.is_none() && conversion.precision.is_none() && flags == Flags::default() {
        // Most are so, and this is done for each event.
        let _ = write!(out, "{number}");
        return;
    }
    let sign = match (number < 0, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    digits(sign, &number.unsigned_abs().to_string(), conversion, out);
}

/// The value at the size of its type, or at the smaller one of the conversion.
fn narrow(bits: u64, slot: &Slot, conversion: &Conversion) -> u64 {
    let bytes = match (conversion.length, &slot.kind) {
        (Length::Char, _) => 1,
        (Length::Short, _) => 2,
        (_, SlotKind::Integer { bytes, .. }) => (*bytes).max(4),
        _ => 8,
    };
    match bytes {
        8.. => bits,
        bytes => bits & ((1 << (u32::from(bytes) * 8)) - 1),
    }
}

/// Writes digits, which the conversion may want a prefix before unless they are 0.
fn prefixed(prefix: &str, text: &str, conversion: &Conversion, out: &mut String) {
    let has_prefix = conversion.flags.alternate && text != "0";
    digits(if has_prefix { prefix } else { "" }, text, conversion, out);
}

/// Writes digits behind their sign or prefix, with zeros between as the conversion asks for.
fn digits(prefix: &str, text: &str, conversion: &Conversion, out: &mut String) {
    let width = conversion.width.unwrap_or(0) as usize;
    let fill = match conversion.precision {
        Some(precision) => precision as usize,
        None if conversion.flags.zero && !conversion.flags.left => {
            width.saturating_sub(prefix.len())
        }
        None => 0,
    };
    pad(&format!("{prefix}{text:0>fill$}"), conversion, out);
}

fn pad(text: &str, conversion: &Conversion, out: &mut String) {
    let width = conversion.width.unwrap_or(0) as usize;
    let missing = width.saturating_sub(text.chars().count());
    if !conversion.flags.left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
    out.push_str(text);
    if conversion.flags.left {
        out.extend(std::iter::repeat_n(' ', missing));
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::new();
    push_escaped(&mut shown, bytes);
    shown
}

/// Appends bytes that a program chose, made safe for a terminal.
pub fn push_escaped(out: &mut String, bytes: &[u8]) {
    let is_plain = |byte: &u8| (0x20..0x7f).contains(byte);
    match str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(is_plain) => out.push_str(text),
        _ => {
            for chunk in bytes.utf8_chunks() {
                let _ = write!(out, "{}", escape(chunk.valid()));
                for byte in chunk.invalid() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{TraceSpec, format};

    struct NoNames;

    impl Names for NoNames {
        fn kernel(&self, address: u64) -> String {
            format!("kernel_{address:x}")
        }

        fn user(&self, address: u64) -> String {
            format!("user_{address:x}")
        }
    }

    /// The layout of a message of one value, printed as the format says.
    fn layout(format: &str, kind: SlotKind, constants: &[(&str, i64)]) -> Layout {
        let spec = TraceSpec::parse(&format!("f \"{format}\", arg1")).expect("valid");
        let pieces = spec.message.expect("it has one").format;
        let pieces = pieces.into_iter().map(|piece| match piece {
            format::Piece::Text(text) => Piece::Text(text),
            format::Piece::Value(conversion) => Piece::Value {
                slot: 0,
                conversion,
            },
        });
        let constants = constants
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        Layout {
            bytes: 8 + kind.bytes(),
            slots: vec![Slot {
                offset: 8,
                kind,
                name: "arg1".to_owned(),
                constants: constants.collect(),
            }],
            pieces: pieces.collect(),
        }
    }

    fn shown(layout: &Layout, bytes: &[u8]) -> String {
        let mut out = String::new();
        write_message(layout, bytes, &NoNames, &mut out);
        out
    }

    fn number(format: &str, value: i64, bytes: u8) -> String {
        let kind = SlotKind::Integer {
            bytes,
            is_signed: true,
        };
        let values = [0, value].map(i64::to_le_bytes).concat();
        shown(
            &layout(format, kind, &[("RED", 1), ("GREEN", 2), ("\u{1b}[2J", 3)]),
            &values,
        )
    }

    #[test]
    fn numbers_are_printed_as_printf_does() {
        for (format, value, expected) in [
            ("%d", -5, "-5"),
            ("[%5d]", 42, "[   42]"),
            ("[%-5d]", 42, "[42   ]"),
            ("[%05d]", -42, "[-0042]"),
            ("[%+d]", 42, "[+42]"),
            ("[% d]", 42, "[ 42]"),
            ("[%.4d]", -42, "[-0042]"),
            ("[%8.4d]", 42, "[    0042]"),
            ("%u", -1, "4294967295"),
            ("%x", -1, "ffffffff"),
            ("%#x", 255, "0xff"),
            ("%#x", 0, "0"),
            ("%X", 255, "FF"),
            ("%#o", 8, "010"),
            ("%hhd", 255, "-1"),
            ("%hx", -1, "ffff"),
            ("%hhu", -1, "255"),
            ("%c", 65, "A"),
            ("%c", 7, "\\u{7}"),
            ("%p", 0x7f00, "0x7f00"),
            ("%K", 0xff, "kernel_ff"),
            ("%10U", 0xff, "   user_ff"),
            ("100%% of %d", 3, "100% of 3"),
            ("%s", 2, "GREEN"),
            ("%s", 9, "9"),
        ] {
            assert_eq!(number(format, value, 4), expected, "{format}");
        }
        assert_eq!(number("%s", 3, 4), "\\u{1b}[2J");
        assert_eq!(number("%lu", -1, 8), "18446744073709551615");
        assert_eq!(number("%lx", -1, 8), "ffffffffffffffff");
    }

    #[test]
    fn texts_end_at_their_nul_and_are_safe_for_a_terminal() {
        let text_of = |length: i32, format: &str, faults: u64, address: u64, text: &[u8]| {
            let mut bytes = [faults, address].map(u64::to_le_bytes).concat();
            bytes.extend(length.to_le_bytes());
            bytes.extend(text);
            bytes.resize(32, 0xee);
            shown(
                &layout(format, SlotKind::Text { capacity: 12 }, &[]),
                &bytes,
            )
        };
        let text = |format, faults, address, text| text_of(1, format, faults, address, text);
        assert_eq!(text("<%s>", 0, 1, b"abc\0rest"), "<abc>");
        assert_eq!(text("<%5s>", 0, 1, b"abc\0"), "<  abc>");
        assert_eq!(text("<%-5.2s>", 0, 1, b"abc\0"), "<ab   >");
        assert_eq!(text("%s", 0, 1, b"\x1b[2J\xff\n\0"), "\\u{1b}[2J\\xff\\n");
        assert_eq!(text("%s", 1, 0, b""), "(null)");
        assert_eq!(text("%s", 1, 0xbad, b""), "<unreadable: 0xbad>");
        assert_eq!(text_of(0, "%s", 1, 0, b""), "<unreadable>");
    }

    #[test]
    fn what_could_not_be_read_or_is_cut_off_is_no_number() {
        let kind = SlotKind::Integer {
            bytes: 4,
            is_signed: true,
        };
        let layout = layout("%d", kind, &[]);
        let values = [1_u64, 7].map(u64::to_le_bytes).concat();
        assert_eq!(shown(&layout, &values), "<unreadable>");
        assert_eq!(shown(&layout, &[0; 12]), "<unreadable>");
        assert_eq!(shown(&layout, &[]), "<unreadable>");
    }
}
