//! A file's bytes, and the parts of an ELF file that everything else starts from.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use memmap2::{Mmap, MmapOptions};
use object::{
    NativeEndian,
    elf::{self, FileHeader64, ProgramHeader64, SectionHeader64},
    read::{
        Error,
        elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader, SectionTable},
    },
};

use super::ElfError;
use crate::resolve::address::{FileOffset, VirtAddr};

pub(super) const ENDIAN: NativeEndian = NativeEndian;
pub(super) type Header = FileHeader64<NativeEndian>;
pub(super) type Section = SectionHeader64<NativeEndian>;

/// Files up to this many bytes are read, larger ones are mapped.
///
/// A mapped file that is truncated meanwhile kills the process that looks at it (SIGBUS). Files
/// that are written in place are the small ones that their author is just building; packages
/// replace theirs by renaming. And reading a megabyte takes as long as mapping and touching it.
const READ_UP_TO_BYTES: u64 = 1 << 20;

/// More program headers than these the kernel doesn't look at (64 KiB, see `load_elf_phdrs` in
/// fs/binfmt_elf.c of the kernel), and each lookup of an address here goes through them.
const SEGMENTS_UP_TO: usize = (64 << 10) / size_of::<ProgramHeader64<NativeEndian>>();

/// The bytes of a file.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Image {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// When it can't be opened or read, or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        Self::open_as(path, path)
    }

    /// Opens the file at `path`, which messages are to call `shown`.
    ///
    /// # Errors
    ///
    /// When it can't be opened or read, or is not a regular file.
    pub fn open_as(path: &Path, shown: &Path) -> Result<Self, ElfError> {
        // Asked before opening: opening a named pipe would wait for its writer.
        let is_file = std::fs::metadata(path).map(|metadata| metadata.is_file());
        match is_file {
            Ok(true) => {}
            Ok(false) => return Err(not_elf(shown, "not a regular file")),
            Err(source) => return Err(open_error(shown, source)),
        }
        let bytes = File::open(path).and_then(read_or_map);
        match bytes {
            Ok(bytes) => Ok(Self {
                path: shown.to_owned(),
                bytes,
            }),
            Err(source) => Err(open_error(shown, source)),
        }
    }

    /// Bytes that are in memory already, which messages are to call `shown`.
    #[must_use]
    pub fn from_bytes(shown: &Path, bytes: Vec<u8>) -> Self {
        Self {
            path: shown.to_owned(),
            bytes: Bytes::Read(bytes),
        }
    }

    /// The file's path, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }

    /// Looks at the bytes as an ELF program or library for this machine.
    ///
    /// # Errors
    ///
    /// When they are anything else, or too damaged to find the segments.
    pub fn elf(&self) -> Result<Elf<'_>, ElfError> {
        Elf::parse(&self.path, self.data())
    }
}

fn read_or_map(mut file: File) -> io::Result<Bytes> {
    if file.metadata()?.len() <= READ_UP_TO_BYTES {
        let mut bytes = Vec::new();
        file.by_ref()
            .take(READ_UP_TO_BYTES + 1)
            .read_to_end(&mut bytes)?;
        return Ok(Bytes::Read(bytes));
    }
    // SAFETY: the mapping is private and only read, as bytes for which any value is valid. Another
    // process may write to the file meanwhile: nothing relies on two looks giving the same. It may
    // truncate it: see READ_UP_TO_BYTES.
    match unsafe { MmapOptions::new().map_copy_read_only(&file) } {
        Ok(map) => Ok(Bytes::Mapped(map)),
        // Not all file systems can: sysfs shows the kernel's types, and maps them since Linux 6.16.
        Err(_) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Bytes::Read(bytes))
        }
    }
}

fn open_error(path: &Path, source: io::Error) -> ElfError {
    ElfError::Open {
        path: path.to_owned(),
        source,
    }
}

fn not_elf(path: &Path, found: impl Into<String>) -> ElfError {
    ElfError::NotElf {
        path: path.to_owned(),
        found: found.into(),
    }
}

/// A view of an ELF program, library or debug file for this machine.
#[derive(Clone, Copy, Debug)]
pub struct Elf<'data> {
    pub(super) path: &'data Path,
    pub(super) data: &'data [u8],
    pub(super) segments: &'data [ProgramHeader64<NativeEndian>],
    pub(super) sections: SectionTable<'data, Header>,
}

impl<'data> Elf<'data> {
    /// Looks at `data` as an ELF program or library for this machine; messages call it `path`.
    ///
    /// # Errors
    ///
    /// When it is anything else, or too damaged to find the segments.
    pub fn parse(path: &'data Path, data: &'data [u8]) -> Result<Self, ElfError> {
        check_kind(path, data)?;
        let damaged = |what| {
            move |source: Error| ElfError::Damaged {
                path: path.to_owned(),
                what,
                source,
            }
        };
        let header = Header::parse(data).map_err(damaged("the file header"))?;
        let segments = header
            .program_headers(ENDIAN, data)
            .map_err(damaged("the program headers"))?;
        let segments = segments.get(..SEGMENTS_UP_TO).unwrap_or(segments);
        // Running a program doesn't take section headers, so a file may well come without
        // (sstrip, packers) or with rubbish in their place; what needs them finds nothing then.
        let sections = header.sections(ENDIAN, data).unwrap_or_default();
        Ok(Self {
            path,
            data,
            segments,
            sections,
        })
    }

    /// The file's path, for messages.
    #[must_use]
    pub fn path(&self) -> &'data Path {
        self.path
    }

    /// Where in the file the instruction at `address` is; nothing if it is not in the file as code.
    #[must_use]
    pub fn file_offset(&self, address: VirtAddr) -> Option<FileOffset> {
        let range = self.locate(address, |flags| flags.contains(elf::PF_X))?;
        Some(FileOffset(range.start as u64))
    }

    /// Where in the file the data at `address` is; nothing if it comes into being at run time.
    pub(super) fn data_offset(&self, address: VirtAddr) -> Option<FileOffset> {
        let range = self.locate(address, |_| true)?;
        Some(FileOffset(range.start as u64))
    }

    /// The code from `address` to the end of its segment.
    #[must_use]
    pub fn code_at(&self, address: VirtAddr) -> Option<&'data [u8]> {
        let range = self.locate(address, |flags| flags.contains(elf::PF_X))?;
        self.data.get(range)
    }

    /// The bytes of the file from `address` to the end of its segment; never an empty range.
    fn locate(
        &self,
        address: VirtAddr,
        wanted: impl Fn(elf::ProgramFlags) -> bool,
    ) -> Option<Range<usize>> {
        self.segments
            .iter()
            .filter(|s| s.p_type(ENDIAN) == elf::PT_LOAD && wanted(s.p_flags(ENDIAN)))
            .find_map(|segment| {
                let into = address.0.checked_sub(segment.p_vaddr(ENDIAN))?;
                let offset = segment.p_offset(ENDIAN);
                let start = usize::try_from(offset.checked_add(into)?).ok()?;
                let end = usize::try_from(offset.checked_add(segment.p_filesz(ENDIAN))?).ok()?;
                let end = end.min(self.data.len());
                (start < end).then_some(start..end)
            })
    }

    /// The addresses of the sections that hold code, or of the segments if there are no sections.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn code_ranges(&self) -> Vec<Range<u64>> {
        let range = |start: u64, size: u64| start..start.saturating_add(size);
        let of_section = |section: &Section| {
            let is_code = section.sh_flags(ENDIAN).contains(elf::SHF_EXECINSTR);
            is_code.then(|| range(section.sh_addr(ENDIAN), section.sh_size(ENDIAN)))
        };
        let of_segment = |segment: &ProgramHeader64<NativeEndian>| {
            let is_code = segment.p_flags(ENDIAN).contains(elf::PF_X);
            is_code.then(|| range(segment.p_vaddr(ENDIAN), segment.p_filesz(ENDIAN)))
        };
        if self.sections.is_empty() {
            self.segments.iter().filter_map(of_segment).collect()
        } else {
            self.sections.iter().filter_map(of_section).collect()
        }
    }

    /// Whether it is a library or a program that is loaded at any address.
    pub(super) fn is_loaded_anywhere(&self) -> bool {
        Header::parse(self.data).is_ok_and(|header| header.e_type(ENDIAN) == elf::ET_DYN)
    }

    /// The first section of this name.
    pub(super) fn section(&self, name: &str) -> Option<&'data Section> {
        self.sections
            .section_by_name(ENDIAN, name.as_bytes())
            .map(|(_, section)| section)
    }

    /// The contents of a section; nothing if they are not in the file.
    pub(super) fn contents(&self, section: &Section) -> Option<&'data [u8]> {
        section.data(ENDIAN, self.data).ok()
    }

    /// The notes of all sections that `wanted` chooses by name, or of all segments if there are
    /// no section headers; what is damaged ends the list it is in.
    pub(super) fn notes(
        &self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> impl Iterator<Item = object::read::elf::Note<'data, Header>> {
        let mut lists: Vec<NoteIterator<'data, Header>> = Vec::new();
        // Sections may overlap: without a limit, many that name the same bytes would be read anew
        // each time.
        let mut budget = self.data.len();
        let mut add = |align: u64, data: Option<&'data [u8]>| {
            let Some(data) = data.filter(|data| data.len() <= budget) else {
                return;
            };
            budget -= data.len();
            lists.extend(NoteIterator::new(ENDIAN, align, data));
        };
        for section in self.sections.iter() {
            let name = self
                .sections
                .section_name(ENDIAN, section)
                .unwrap_or_default();
            if section.sh_type(ENDIAN) == elf::SHT_NOTE && wanted(name) {
                add(section.sh_addralign(ENDIAN), self.contents(section));
            }
        }
        if self.sections.is_empty() {
            for segment in self
                .segments
                .iter()
                .filter(|s| s.p_type(ENDIAN) == elf::PT_NOTE)
            {
                add(
                    segment.p_align(ENDIAN),
                    segment.data(ENDIAN, self.data).ok(),
                );
            }
        }
        lists
            .into_iter()
            .flat_map(|list| list.map_while(Result::ok))
    }

    /// The build-id that the linker gave the file.
    #[must_use]
    pub fn build_id(&self) -> Option<&'data [u8]> {
        self.notes(|_| true)
            .find(|note| {
                note.name() == elf::ELF_NOTE_GNU && note.n_type(ENDIAN) == elf::NT_GNU_BUILD_ID
            })
            .map(|note| note.desc())
    }

    /// Whether the Go compiler made this program.
    ///
    /// A return probe replaces the return address on the stack; Go moves stacks and checks what is
    /// on them, so a return probe on a Go function ends the program.
    #[must_use]
    pub fn is_go_binary(&self) -> bool {
        [".go.buildinfo", ".note.go.buildid", ".gopclntab"]
            .iter()
            .any(|name| self.section(name).is_some())
            || (self.sections.is_empty() && self.notes(|_| true).any(|note| note.name() == b"Go"))
    }
}

/// What is wrong with the file, in terms that say more than "bad magic".
fn check_kind(path: &Path, data: &[u8]) -> Result<(), ElfError> {
    let Some(rest) = data.strip_prefix(b"\x7fELF") else {
        return Err(not_elf(path, describe(data)));
    };
    // e_ident[EI_CLASS], e_ident[EI_DATA]; then, behind the 16 bytes of e_ident, e_type and
    // e_machine.
    let (Some(&class), Some(&order), Some(&[t0, t1, m0, m1])) = (
        rest.first(),
        rest.get(1),
        rest.get(12..16).and_then(|bytes| bytes.first_chunk()),
    ) else {
        return Err(not_elf(path, "it ends inside the header"));
    };
    if class == elf::ELFCLASS32.0 {
        return Err(ElfError::ThirtyTwoBit {
            path: path.to_owned(),
        });
    }
    let little = order != elf::ELFDATA2MSB.0;
    let number = |bytes| {
        if little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }
    };
    let machine = elf::Machine(number([m0, m1]));
    if machine != host_machine() || little != cfg!(target_endian = "little") {
        return Err(ElfError::ForeignMachine {
            path: path.to_owned(),
            machine: machine_name(machine),
            host: std::env::consts::ARCH,
        });
    }
    let found = match elf::FileType(number([t0, t1])) {
        elf::ET_EXEC | elf::ET_DYN => return Ok(()),
        elf::ET_REL => "an object file",
        elf::ET_CORE => "a core dump",
        _ => "an ELF file of unknown kind",
    };
    Err(ElfError::NotLoadable {
        path: path.to_owned(),
        found,
    })
}

/// The start of something that is not ELF, as people may recognise it.
fn describe(data: &[u8]) -> String {
    const SHOWN_BYTES: usize = 40;
    let line = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let start = &line[..line.len().min(SHOWN_BYTES)];
    if data.is_empty() {
        "it is empty".to_owned()
    } else if start.is_empty() {
        "it starts with an empty line".to_owned()
    } else {
        format!("starts with `{}`", start.escape_ascii())
    }
}

const fn host_machine() -> elf::Machine {
    if cfg!(target_arch = "x86_64") {
        elf::EM_X86_64
    } else if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64
    } else if cfg!(target_arch = "riscv64") {
        elf::EM_RISCV
    } else if cfg!(target_arch = "s390x") {
        elf::EM_S390
    } else if cfg!(target_arch = "powerpc64") {
        elf::EM_PPC64
    } else {
        elf::EM_NONE
    }
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86_64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_RISCV => "riscv".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        elf::EM_PPC64 => "powerpc64".to_owned(),
        elf::EM_BPF => "bpf".to_owned(),
        elf::Machine(number) => format!("machine number {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: &[u8]) -> String {
        match Elf::parse(Path::new("/x"), data) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn header(class: u8, kind: u8, machine: u8) -> Vec<u8> {
        let mut header = b"\x7fELF".to_vec();
        header.extend([class, 1, 1]);
        header.resize(64, 0);
        (header[16], header[18], header[20]) = (kind, machine, 1);
        header
    }

    #[test]
    fn what_is_not_elf_is_described() {
        assert_eq!(
            message(b"#!/bin/sh\necho"),
            "/x: not an ELF file (starts with `#!/bin/sh`)"
        );
        assert_eq!(message(b""), "/x: not an ELF file (it is empty)");
        assert_eq!(
            message(b"\n\n"),
            "/x: not an ELF file (it starts with an empty line)"
        );
        assert_eq!(
            message(b"\x1b[2J"),
            "/x: not an ELF file (starts with `\\x1b[2J`)"
        );
        assert_eq!(
            message(b"\x7fELF\x02"),
            "/x: not an ELF file (it ends inside the header)"
        );
    }

    #[test]
    fn foreign_and_unloadable_files_are_named() {
        let host = u8::try_from(host_machine().0).expect("small");
        assert!(message(&header(1, 2, 3)).starts_with("/x: a 32-bit ELF file"));
        assert!(message(&header(2, 2, 0xf7)).starts_with("/x: an ELF file for bpf"));
        assert!(message(&header(2, 1, host)).starts_with("/x: an object file, not"));
        assert!(message(&header(2, 4, host)).starts_with("/x: a core dump, not"));
    }

    #[test]
    fn a_file_that_is_not_there_or_no_file_is_an_error() {
        let missing = Image::open(Path::new("/nonexistent")).expect_err("missing");
        assert_eq!(missing.to_string(), "failed to open /nonexistent");
        let folder = Image::open(Path::new("/usr")).expect_err("a folder");
        assert_eq!(
            folder.to_string(),
            "/usr: not an ELF file (not a regular file)"
        );
    }
}
