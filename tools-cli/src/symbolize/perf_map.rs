//! The symbols of code that a runtime compiles (JVM, Node.js, .NET): lines of start, size and name,
//! numbers in hexadecimal (`tools/perf/Documentation/jit-interface.txt` of the kernel).

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

/// More than runtimes write; what is behind is not read.
const UP_TO_BYTES: u64 = 1 << 28;

/// The symbols of a process, by address.
#[derive(Debug, Default)]
pub(crate) struct PerfMap {
    symbols: Vec<Symbol>,
    /// Size of the file when it was looked at last.
    file_bytes: u64,
    /// How far it was read; runtimes add to it.
    read_bytes: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Symbol {
    start: u64,
    size: u64,
    name: String,
}

impl PerfMap {
    /// Reads what was added to the file, or all of it if it was written anew.
    pub(crate) fn update(&mut self, mut file: &File) -> io::Result<()> {
        let file_bytes = file.metadata()?.len().min(UP_TO_BYTES);
        if file_bytes < self.read_bytes {
            *self = Self::default();
        }
        if file_bytes == self.file_bytes {
            return Ok(());
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
        Ok(())
    }

    /// Takes in lines that were written behind all others.
    pub(crate) fn add(&mut self, text: &str) {
        let symbols = &mut self.symbols;
        symbols.extend(text.lines().filter_map(parse_line));
        // Of symbols at one address the one written last is the one that is there now.
        symbols.reverse();
        symbols.sort_by_key(|symbol| symbol.start);
        symbols.dedup_by_key(|symbol| symbol.start);
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
