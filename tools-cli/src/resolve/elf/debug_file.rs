//! The separate files and the compressed section that hold the symbols stripped from a file.

use std::{
    fmt::Write,
    io::{self, Read},
    path::{Path, PathBuf},
};

use lzma_rust2::XzReader;

use super::{Elf, ElfError, Image};

/// What .gnu_debugdata may grow to; the largest programs have some ten megabytes of it.
const MINI_UP_TO_BYTES: u64 = 256 << 20;

/// What its decoder may use; `xz -9`, the strongest, takes 64 MB.
const MINI_DECODER_KIB: u32 = 80 << 10;

/// Where to look for debug files.
#[derive(Clone, Copy)]
pub struct DebugSearch<'a> {
    /// The root directory as seen from here: `/`, or `/proc/PID/root` for a process elsewhere.
    pub root: &'a Path,
    /// The file's absolute path below that root.
    pub file: &'a Path,
    /// Opens a debug file; [`Image::open`] but in tests.
    pub open: &'a dyn Fn(&Path) -> Result<Image, ElfError>,
}

/// The symbols that belong to a file but are not in it as they stand.
#[derive(Debug, Default)]
pub struct DebugSymbols {
    image: Option<Image>,
    is_unpacked: bool,
    notes: Vec<String>,
}

impl DebugSymbols {
    /// No symbols besides those of the file itself.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks for the debug file of `elf` as gdb does: by build-id below `/usr/lib/debug`, then by
    /// the name in `.gnu_debuglink` next to the file, in `.debug` there, and below
    /// `/usr/lib/debug`. If neither it nor the file has a table of all symbols, the compressed
    /// one in `.gnu_debugdata` is unpacked.
    ///
    /// A file that is there but belongs to another build is passed over with a note. A link in a
    /// debug file is not followed, so there are no cycles.
    #[must_use]
    pub fn find(elf: &Elf<'_>, search: DebugSearch<'_>) -> Self {
        let mut found = Self::default();
        let link = debug_link(elf);
        for path in candidates(elf, link, search) {
            match (search.open)(&path) {
                Ok(image) => match usable(elf, &image, link) {
                    Ok(()) => {
                        found.image = Some(image);
                        return found;
                    }
                    Err(why) => found.ignored(&path, &why),
                },
                Err(ElfError::Open { source, .. }) if is_missing(&source) => {}
                Err(error) => found.ignored(&path, &chain(&error)),
            }
        }
        if !elf.has_symtab() {
            found.unpack_mini(elf);
        }
        found
    }

    /// The file that was found, for messages.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.image.as_ref().map(Image::path)
    }

    /// The bytes of what was unpacked from the file itself, which no path leads to.
    #[must_use]
    pub fn unpacked(&self) -> Option<&[u8]> {
        let image = self.image.as_ref().filter(|_| self.is_unpacked)?;
        Some(image.data())
    }

    /// The bytes of what was found.
    #[must_use]
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// What the user should know, such as a debug file that belongs to another build.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(super) fn elf(&self) -> Option<Elf<'_>> {
        self.image.as_ref()?.elf().ok()
    }

    fn ignored(&mut self, path: &Path, why: &str) {
        self.notes
            .push(format!("debug file {} is ignored: {why}", path.display()));
    }

    fn unpack_mini(&mut self, elf: &Elf<'_>) {
        let Some(packed) = elf
            .section(".gnu_debugdata")
            .and_then(|section| elf.contents(section))
        else {
            return;
        };
        let name = PathBuf::from(format!("{}[.gnu_debugdata]", elf.path.display()));
        match unpack(packed) {
            Ok(bytes) => {
                let image = Image::from_bytes(&name, bytes);
                match image.elf().map(|_| ()) {
                    Ok(()) => {
                        self.image = Some(image);
                        self.is_unpacked = true;
                    }
                    Err(error) => self.ignored(&name, &chain(&error)),
                }
            }
            Err(error) => self.ignored(&name, &error.to_string()),
        }
    }
}

pub(crate) fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = XzReader::new_mem_limit(packed, false, MINI_DECODER_KIB);
    let read = reader.take(MINI_UP_TO_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > MINI_UP_TO_BYTES {
        return Err(io::Error::other(format!(
            "it unpacks to more than {MINI_UP_TO_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// `.gnu_debuglink`: a file's name, and the checksum of its contents.
#[derive(Clone, Copy)]
struct DebugLink<'data> {
    name: &'data str,
    crc: u32,
}

fn debug_link<'data>(elf: &Elf<'data>) -> Option<DebugLink<'data>> {
    let data = elf.contents(elf.section(".gnu_debuglink")?)?;
    let end = data.iter().position(|&byte| byte == 0)?;
    let name = std::str::from_utf8(&data[..end]).ok()?;
    // A path would lead out of the folders that are searched.
    if name.is_empty() || name.contains('/') || name == ".." {
        return None;
    }
    // The checksum follows the zero byte at the next multiple of four.
    let crc = data.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
    Some(DebugLink {
        name,
        crc: u32::from_ne_bytes(*crc),
    })
}

fn candidates(elf: &Elf<'_>, link: Option<DebugLink<'_>>, search: DebugSearch<'_>) -> Vec<PathBuf> {
    let below = |path: &Path| search.root.join(path.strip_prefix("/").unwrap_or(path));
    let mut paths: Vec<PathBuf> = Vec::new();
    paths.extend(
        elf.build_id()
            .and_then(build_id_path)
            .map(|path| below(&path)),
    );
    if let (Some(link), Some(folder)) = (link, search.file.parent()) {
        let global = Path::new("/usr/lib/debug").join(folder.strip_prefix("/").unwrap_or(folder));
        for folder in [folder, &folder.join(".debug"), &global] {
            paths.push(below(&folder.join(link.name)));
        }
    }
    paths
}

/// `/usr/lib/debug/.build-id/ab/cdef….debug`.
fn build_id_path(id: &[u8]) -> Option<PathBuf> {
    const LONGEST_BYTES: usize = 64;
    let (first, rest) = id.split_first()?;
    if rest.is_empty() || rest.len() > LONGEST_BYTES {
        return None;
    }
    let mut path = format!("/usr/lib/debug/.build-id/{first:02x}/");
    for byte in rest {
        write!(path, "{byte:02x}").ok()?;
    }
    path.push_str(".debug");
    Some(path.into())
}

/// Whether `image` holds the symbols of `elf`, or why not.
fn usable(elf: &Elf<'_>, image: &Image, link: Option<DebugLink<'_>>) -> Result<(), String> {
    let debug = image.elf().map_err(|error| chain(&error))?;
    match (elf.build_id(), debug.build_id(), link) {
        (Some(ours), Some(theirs), _) if ours == theirs => {}
        (Some(_), Some(_), _) => return Err("its build-id differs".to_owned()),
        // Last, because it takes reading all of the file.
        (_, _, Some(link)) if crc32fast::hash(image.data()) == link.crc => {}
        _ => {
            return Err("neither build-id nor checksum say that it belongs to the file".to_owned());
        }
    }
    if debug.has_symtab() {
        Ok(())
    } else {
        Err("it has no symbol table".to_owned())
    }
}
