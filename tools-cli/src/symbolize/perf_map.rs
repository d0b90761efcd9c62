//! The symbols of code that a runtime compiles (JVM, Node.js, .NET): lines of start, size and name,
//! numbers in hexadecimal (`tools/perf/Documentation/jit-interface.txt` of the kernel).

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
};

/// More than any runtime writes; what is behind is not read.
const UP_TO_BYTES: u64 = 1 << 30;

/// The symbols of a process, by address.
#[derive(Debug, Default)]
pub(crate) struct PerfMap {
    symbols: Vec<Symbol>,
    /// Size of the file when it was read; runtimes only add to it.
    file_bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Symbol {
    start: u64,
    size: u64,
    name: String,
}

impl PerfMap {
    /// Reads the file if it has changed.
    pub(crate) fn update(&mut self, mut file: &File) -> io::Result<()> {
        let file_bytes = file.metadata()?.len();
        if file_bytes == self.file_bytes {
            return Ok(());
        }
        let mut text = Vec::new();
        file.rewind()?;
        file.take(UP_TO_BYTES).read_to_end(&mut text)?;
        *self = Self {
            file_bytes,
            ..Self::parse(&String::from_utf8_lossy(&text))
        };
        Ok(())
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut symbols: Vec<Symbol> = text.lines().filter_map(parse_line).collect();
        // Of symbols at one address the one written last is the one that is there now.
        symbols.reverse();
        symbols.sort_by_key(|symbol| symbol.start);
        symbols.dedup_by_key(|symbol| symbol.start);
        Self {
            symbols,
            file_bytes: 0,
        }
    }

    /// The name of what is at `address`, and the bytes from its start.
    pub(crate) fn find(&self, address: u64) -> Option<(&str, u64)> {
        let behind = self
            .symbols
            .partition_point(|symbol| symbol.start <= address);
        let symbol = self.symbols.get(behind.checked_sub(1)?)?;
        let offset = address - symbol.start;
        (offset < symbol.size).then_some((&symbol.name, offset))
    }
}

fn parse_line(line: &str) -> Option<Symbol> {
    let (start, rest) = line.split_once(' ')?;
    let (size, name) = rest.split_once(' ')?;
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    Some(Symbol {
        start: hex(start)?,
        size: hex(size)?,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_ranges() {
        let map = PerfMap::parse("1000 10 old\nrubbish\n2000 20 Lfoo;::bar (int)\n1000 8 new\n");
        assert_eq!(map.find(0x1000), Some(("new", 0)));
        assert_eq!(map.find(0x1007), Some(("new", 7)));
        assert_eq!(map.find(0x1008), None);
        assert_eq!(map.find(0x201f), Some(("Lfoo;::bar (int)", 0x1f)));
        assert_eq!(map.find(0xfff), None);
        assert_eq!(map.find(u64::MAX), None);
    }
}
