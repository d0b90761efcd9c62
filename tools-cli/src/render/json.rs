//! JSON lines. They are read by programs, but seen on terminals too.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use crate::{snippet::is_harmless, symbolize::Symbol};

/// Writes a value as one line.
///
/// # Errors
///
/// When it can't be written.
pub(super) fn write_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *out, ForTerminals))?;
    writeln!(out)
}

/// Appends a value as one line to `out`.
pub(super) fn push_line(out: &mut String, value: &impl Serialize) {
    let mut line = Vec::new();
    // Writing into memory does not fail, and JSON is text.
    let _ = write_line(&mut line, value);
    out.push_str(&String::from_utf8_lossy(&line));
}

/// Writes what a terminal would obey, or show in another order, as escapes, which JSON has for all
/// characters: whoever reads it gets the same text.
struct ForTerminals;

impl Formatter for ForTerminals {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|character| !is_harmless(character)) {
            let (harmless, other) = rest.split_at(at);
            writer.write_all(harmless.as_bytes())?;
            let mut characters = other.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A frame of a stack; documented in README.md, fields are only ever added.
#[derive(Serialize)]
pub(super) struct Frame<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inlined: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn new(address: Option<u64>, symbol: &'a Symbol) -> Self {
        Self {
            symbol: symbol.name.as_deref(),
            offset: symbol.offset,
            module: symbol.module.as_deref(),
            address,
            inlined: symbol.is_inlined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_read_back_as_it_was() {
        let text = "größe \"\\ \u{9b}2J \x7f \x1b[31m \u{202e}evil \u{e0001}\n";
        let mut line = String::new();
        push_line(&mut line, &[text]);
        let expected =
            "[\"größe \\\"\\\\ \\u009b2J \\u007f \\u001b[31m \\u202eevil \\udb40\\udc01\\n\"]\n";
        assert_eq!(line, expected);
        let read: [String; 1] = serde_json::from_str(&line).expect("JSON");
        assert_eq!(read, [text]);
    }
}
