//! The symbols of code that a runtime compiles (JVM, Node.js, .NET): lines of start, size and name,
//! numbers in hexadecimal (`tools/perf/Documentation/jit-interface.txt` of the kernel).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    sync::Arc,
};

/// More than runtimes write; what is behind is not read.
const UP_TO_BYTES: u64 = 1 << 28;

/// The symbols of a process, by address.
#[derive(Debug, Default)]
pub(crate) struct PerfMap {
    /// By where they begin to be valid; they do not overlap.
    symbols: BTreeMap<u64, Symbol>,
    /// Size of the file when it was looked at last.
    file_bytes: u64,
    /// How far it was read; runtimes add to it.
    read_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Symbol {
    start: u64,
    /// The first address behind it.
    end: u64,
    name: Arc<str>,
}

impl PerfMap {
    /// Reads what was added to the file, or all of it if it was written anew. Tells whether there was
    /// anything.
    pub(crate) fn update(&mut self, mut file: &File) -> io::Result<bool> {
        let file_bytes = file.metadata()?.len().min(UP_TO_BYTES);
        let is_anew = file_bytes < self.read_bytes;
        if is_anew {
            *self = Self::default();
        }
        if file_bytes == self.file_bytes {
            return Ok(is_anew);
        }
        self.file_bytes = file_bytes;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.read_bytes))?;
        file.take(file_bytes - self.read_bytes)
            .read_to_end(&mut text)?;
        // Of the last line, more may come.
        let end = text.iter().rposition(|&byte| byte == b'\n');
        text.truncate(end.map_or(0, |end| end + 1));
        self.read_bytes += text.len() as u64;
        self.add(&String::from_utf8_lossy(&text));
        Ok(true)
    }

    /// Takes in lines that were written behind all others.
    pub(crate) fn add(&mut self, text: &str) {
        for symbol in text.lines().filter_map(parse_line) {
            self.put(symbol);
        }
    }

    /// Puts a symbol where others may have been: memory is used again, and the last is there now.
    fn put(&mut self, symbol: Symbol) {
        let Symbol { start, end, .. } = symbol;
        if start >= end {
            return;
        }
        let before = self.symbols.range_mut(..start).next_back();
        if let Some((_, before)) = before
            && before.end > start
        {
            let cut = std::mem::replace(&mut before.end, start);
            let rest = Symbol {
                end: cut,
                ..before.clone()
            };
            self.keep_behind(end, rest);
        }
        while let Some((&from, _)) = self.symbols.range(start..end).next() {
            // One that began where this does is gone.
            if let Some(rest) = self.symbols.remove(&from)
                && rest.start != start
            {
                self.keep_behind(end, rest);
            }
        }
        self.symbols.insert(start, symbol);
    }

    /// Keeps of a symbol what lies at `from` and behind, if anything does.
    fn keep_behind(&mut self, from: u64, symbol: Symbol) {
        if symbol.end > from {
            self.symbols.insert(from, symbol);
        }
    }

    /// The name of what is at `address`, and the bytes from its start.
    pub(crate) fn find(&self, address: u64) -> Option<(&str, u64)> {
        let (_, symbol) = self.symbols.range(..=address).next_back()?;
        (address < symbol.end).then(|| (symbol.name.as_ref(), address - symbol.start))
    }
}

fn parse_line(line: &str) -> Option<Symbol> {
    let (start, rest) = line.split_once(' ')?;
    let (size, name) = rest.split_once(' ')?;
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let start = hex(start)?;
    Some(Symbol {
        start,
        end: start.saturating_add(hex(size)?),
        name: name.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn addresses_are_found_in_ranges() {
        let mut map = PerfMap::default();
        map.add("1000 10 old\nrubbish\n2000 20 Lfoo;::bar (int)\n1000 8 new\n");
        assert_eq!(map.find(0x1000), Some(("new", 0)));
        assert_eq!(map.find(0x1007), Some(("new", 7)));
        assert_eq!(map.find(0x1008), None);
        assert_eq!(map.find(0x201f), Some(("Lfoo;::bar (int)", 0x1f)));
        assert_eq!(map.find(0xfff), None);
        assert_eq!(map.find(u64::MAX), None);
    }

    #[test]
    fn what_was_written_last_is_there_now() {
        let mut map = PerfMap::default();
        map.add("1020 10 small\n1000 100 large\n");
        assert_eq!(map.find(0x1024), Some(("large", 0x24)));
        map.add("1040 10 inner\n");
        let places = [0x103f, 0x1040, 0x104f, 0x1050, 0x10ff, 0x1100];
        let found = places.map(|address| map.find(address));
        let expected = [
            Some(("large", 0x3f)),
            Some(("inner", 0)),
            Some(("inner", 0xf)),
            Some(("large", 0x50)),
            Some(("large", 0xff)),
            None,
        ];
        assert_eq!(found, expected);
        map.add("1048 10 across\n1000 0 nothing\n");
        assert_eq!(map.find(0x1047), Some(("inner", 7)));
        assert_eq!(map.find(0x1057), Some(("across", 0xf)));
        assert_eq!(map.find(0x1058), Some(("large", 0x58)));
        assert_eq!(map.find(0x1000), Some(("large", 0)));
        map.add("ffffffffffffffff 10 last\nfffffffffffffff0 20 wraps\n");
        assert_eq!(map.find(0xffff_ffff_ffff_fff1), Some(("wraps", 1)));
    }

    #[test]
    fn what_is_added_to_a_file_is_read_once_its_lines_are_whole() {
        let mut file = tempfile::tempfile().expect("a file");
        let mut map = PerfMap::default();
        let mut write = |map: &mut PerfMap, text: &str| {
            file.seek(SeekFrom::End(0)).expect("it is a file");
            file.write_all(text.as_bytes()).expect("there is room");
            map.update(&file).expect("it can be read");
        };
        write(&mut map, "1000 10 first\n2000 10 sec");
        assert_eq!(map.find(0x1000), Some(("first", 0)));
        assert_eq!(map.find(0x2000), None);
        write(&mut map, "ond\n1000 10 later\n");
        assert_eq!(map.find(0x2000), Some(("second", 0)));
        assert_eq!(map.find(0x1000), Some(("later", 0)));
        file.set_len(0).expect("it can be cut");
        file.rewind().expect("it is a file");
        file.write_all(b"3000 10 anew\n").expect("there is room");
        map.update(&file).expect("it can be read");
        assert_eq!(map.find(0x3000), Some(("anew", 0)));
        assert_eq!(map.find(0x1000), None);
    }
}
