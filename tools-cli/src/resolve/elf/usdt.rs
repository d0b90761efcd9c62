//! USDT probes: places that programs mark with `DTRACE_PROBE` and the like.

use object::{elf::NoteType, read::elf::SectionHeader};

use super::image::{ENDIAN, Elf};
use crate::resolve::address::{FileOffset, VirtAddr};

/// `NT_STAPSDT`, the one type of note of the owner `stapsdt`.
const NOTE_TYPE: NoteType = NoteType(3);

/// The probes of a file.
#[derive(Clone, Debug, Default)]
pub struct UsdtFound {
    /// Their places, in the order of the file; a probe that is inlined several times has several.
    pub sites: Vec<UsdtSite>,
    /// What the user should know, as whole sentences without a full stop.
    pub notes: Vec<String>,
}

/// One place of a USDT probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtSite {
    /// Who defines it, most often the name of the program.
    pub provider: String,
    /// The probe's name.
    pub name: String,
    /// The instruction to put the probe on, a `nop`.
    pub address: VirtAddr,
    /// The same place in the file.
    pub offset: FileOffset,
    /// The counter that must not be zero for the program to come to this place.
    pub semaphore: Option<FileOffset>,
    /// Where the arguments are, as the assembler wrote it: `-4@%edi 8@-16(%rbp)`.
    pub arguments: String,
}

impl Elf<'_> {
    /// All places of USDT probes in the file. Damaged notes are left out, with a note to the user.
    #[must_use]
    pub fn usdt_probes(&self) -> UsdtFound {
        let mut found = UsdtFound::default();
        let base = self
            .section(".stapsdt.base")
            .map(|section| section.sh_addr(ENDIAN));
        let notes = self.notes(|section| section == b".note.stapsdt");
        for note in notes.filter(|n| n.name() == b"stapsdt" && n.n_type(ENDIAN) == NOTE_TYPE) {
            match RawNote::parse(note.desc()) {
                Some(raw) => self.add(&mut found, raw, base),
                None => found.notes.push(format!(
                    "{}: a damaged note of a USDT probe is left out",
                    self.path.display()
                )),
            }
        }
        found.notes.dedup();
        found
    }

    fn add(&self, found: &mut UsdtFound, raw: RawNote<'_>, base: Option<u64>) {
        // prelink moves the code and the base, but leaves the notes as they are.
        let moved = match base {
            Some(base) if raw.base != 0 => base.wrapping_sub(raw.base),
            _ => 0,
        };
        let address = VirtAddr(raw.pc.wrapping_add(moved));
        let probe = format!(
            "{}:{}",
            raw.provider.escape_ascii(),
            raw.name.escape_ascii()
        );
        let Some(offset) = self.file_offset(address) else {
            found.notes.push(format!(
                "{probe} is left out: its address {:#x} is not in a part of {} that is executed",
                address.0,
                self.path.display()
            ));
            return;
        };
        let semaphore = (raw.semaphore != 0).then(|| VirtAddr(raw.semaphore.wrapping_add(moved)));
        let in_file = semaphore.and_then(|address| self.data_offset(address));
        if let (Some(address), None) = (semaphore, in_file) {
            found.notes.push(format!(
                "{probe}: its semaphore at {:#x} is not in the file, so it can't be switched on",
                address.0
            ));
        }
        found.sites.push(UsdtSite {
            provider: raw.provider.escape_ascii().to_string(),
            name: raw.name.escape_ascii().to_string(),
            address,
            offset,
            semaphore: in_file,
            arguments: raw.arguments.escape_ascii().to_string(),
        });
    }
}

/// A note as the file has it: three addresses and three texts.
pub(crate) struct RawNote<'data> {
    pc: u64,
    base: u64,
    semaphore: u64,
    pub(crate) provider: &'data [u8],
    pub(crate) name: &'data [u8],
    pub(crate) arguments: &'data [u8],
}

impl<'data> RawNote<'data> {
    pub(crate) fn parse(mut rest: &'data [u8]) -> Option<Self> {
        let mut word = || {
            let (bytes, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u64::from_ne_bytes(*bytes))
        };
        let (pc, base, semaphore) = (word()?, word()?, word()?);
        // Some assemblers leave out the zero byte behind the arguments.
        let mut texts = rest.split(|&byte| byte == 0);
        let (provider, name) = (texts.next()?, texts.next()?);
        let arguments = texts.next()?;
        (!name.is_empty()).then_some(Self {
            pc,
            base,
            semaphore,
            provider,
            name,
            arguments,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(texts: &[u8]) -> Vec<u8> {
        let mut note: Vec<u8> = [0x1000u64, 0x2000, 0]
            .iter()
            .flat_map(|n| n.to_ne_bytes())
            .collect();
        note.extend(texts);
        note
    }

    #[test]
    fn a_note_is_three_addresses_and_three_texts() {
        let bytes = note(b"app\0start\0-4@%edi\0");
        let raw = RawNote::parse(&bytes).expect("valid");
        assert_eq!((raw.pc, raw.base, raw.semaphore), (0x1000, 0x2000, 0));
        assert_eq!((raw.provider, raw.name), (&b"app"[..], &b"start"[..]));
        assert_eq!(raw.arguments, b"-4@%edi");
    }

    #[test]
    fn a_note_without_a_name_or_cut_off_is_damaged() {
        assert!(RawNote::parse(&note(b"app\0\0\0")).is_none());
        assert!(RawNote::parse(&note(b"app\0start")).is_none());
        assert!(RawNote::parse(&note(b"app")).is_none());
        assert!(RawNote::parse(&[0; 20]).is_none());
    }
}
