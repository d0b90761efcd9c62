//! Where the kernel keeps the tables that its unwinder goes by: symbols of the kernel that `/proc/kallsyms`
//! shows where it shows data and addresses (`CONFIG_KALLSYMS_ALL`, `CAP_SYSLOG`). Kernels that unwind
//! otherwise (`CONFIG_UNWINDER_ORC`, arch/x86/Kconfig.debug) have none.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use probes_common::{KernelTables, OrcFormat};

use super::release::Release;

/// Since when the tables have which format. That of the last is seen on 7.2 and not on 6.18; a wrong
/// one is noticed, and leaves stacks to the kernel.
const FORMATS: [(Release, OrcFormat); 2] = [
    (Release { major: 7, minor: 0 }, OrcFormat::Renumbered),
    (Release { major: 6, minor: 4 }, OrcFormat::WithKinds),
];

/// What is looked for, in the order of [`Symbols`].
const NAMES: [&str; 5] = [
    "_stext",
    "_etext",
    "__start_orc_unwind_ip",
    "__stop_orc_unwind_ip",
    "__start_orc_unwind",
];

/// The addresses of [`NAMES`].
type Symbols = [u64; NAMES.len()];

/// Finds the running kernel's; nothing if it has none, or hides them.
///
/// # Errors
///
/// When `/proc` can't be read.
pub fn find() -> io::Result<Option<KernelTables>> {
    let symbols = read(BufReader::new(File::open("/proc/kallsyms")?))?;
    let format = format(Release::current()?);
    Ok(symbols.and_then(|symbols| tables(symbols, format)))
}

fn format(release: Release) -> OrcFormat {
    let mut formats = FORMATS.iter().filter(|(since, _)| release >= *since);
    formats
        .next()
        .map_or(OrcFormat::WithEnd, |(_, format)| *format)
}

/// Reads no further than to the last of the symbols.
fn read(lines: impl BufRead) -> io::Result<Option<Symbols>> {
    let mut found = [None; NAMES.len()];
    for line in lines.lines() {
        let line = line?;
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some(number) = NAMES.iter().position(|known| *known == name) else {
            continue;
        };
        found[number] = u64::from_str_radix(address, 16).ok();
        if let [Some(a), Some(b), Some(c), Some(d), Some(e)] = found {
            return Ok(Some([a, b, c, d, e]));
        }
    }
    Ok(None)
}

fn tables(symbols: Symbols, format: OrcFormat) -> Option<KernelTables> {
    let [text_start, text_end, starts, starts_end, entries] = symbols;
    let text_bytes = text_end.checked_sub(text_start)?;
    let count = starts_end.checked_sub(starts)? / size_of::<i32>() as u64;
    let is_plausible = text_start > 0 && entries > 0 && u32::try_from(text_bytes).is_ok();
    is_plausible.then_some(KernelTables {
        starts,
        entries,
        text_start,
        text_bytes,
        count: u32::try_from(count).ok()?,
        format: format as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ffffffff81000000 T _stext\nffffffff81000000 T _text\n\
        ffffffff82000000 T _etext\nffffffff83000000 R __start_orc_unwind_ip\n\
        ffffffff83000028 R __stop_orc_unwind_ip\nffffffff83000030 R __start_orc_unwind\n";

    const FORMAT: OrcFormat = OrcFormat::WithKinds;

    #[test]
    fn the_format_is_that_of_the_release() {
        let of = |major, minor| format(Release { major, minor });
        assert_eq!(of(6, 3), OrcFormat::WithEnd);
        assert_eq!((of(6, 4), of(6, 18)), (FORMAT, FORMAT));
        assert_eq!(of(7, 2), OrcFormat::Renumbered);
    }

    #[test]
    fn the_tables_are_between_their_symbols() {
        let symbols = read(TEXT.as_bytes()).expect("it can be read");
        let found = tables(symbols.expect("all are there"), FORMAT).expect("plausible");
        assert_eq!(found.starts, 0xffff_ffff_8300_0000);
        assert_eq!(found.entries, 0xffff_ffff_8300_0030);
        assert_eq!(found.text_start, 0xffff_ffff_8100_0000);
        assert_eq!((found.text_bytes, found.count), (0x0100_0000, 10));
    }

    #[test]
    fn without_all_symbols_or_their_addresses_there_are_none() {
        let without = TEXT.replace("__start_orc_unwind\n", "other\n");
        assert_eq!(read(without.as_bytes()).expect("it can be read"), None);
        assert_eq!(tables([0; 5], FORMAT), None);
        assert_eq!(tables([2, 1, 3, 4, 5], FORMAT), None);
    }
}
