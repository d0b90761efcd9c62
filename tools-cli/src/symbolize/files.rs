//! Which file has the symbols of a program or library.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _},
    path::{Path, PathBuf},
};

use crate::{
    collect::CodeFile,
    resolve::{
        FileOffset,
        elf::{DebugSearch, DebugSymbols, ElfError, Extent, Image},
    },
};

/// A program or library, and where its symbols are.
#[derive(Debug)]
pub(super) struct SymbolFile {
    image: Image,
    debug: DebugSymbols,
    symbols: PathBuf,
    /// Keeps a file in memory that `symbols` leads to.
    _in_memory: Option<File>,
}

impl SymbolFile {
    /// Looks at a file that was executed.
    pub(super) fn open(code: &CodeFile) -> Option<Self> {
        let path = path_of(code.file.as_ref()?);
        let image = Image::open_as(&path, &code.shown).ok()?;
        let in_process = PathBuf::from(format!("/proc/{}/root", code.pid));
        let root = if in_process.exists() {
            &in_process
        } else {
            Path::new("/")
        };
        Self::of_image(image, path, root, &code.shown)
    }

    /// Looks at the page of code that the kernel gives to each process, as it gives it to us.
    pub(super) fn vdso() -> io::Result<Option<Self>> {
        let Some(bytes) = own_vdso()? else {
            return Ok(None);
        };
        let file = in_memory(&bytes)?;
        let name = Path::new("[vdso]");
        let found = Self::of_image(Image::from_bytes(name, bytes), path_of(&file), name, name);
        Ok(found.map(|found| Self {
            _in_memory: Some(file),
            ..found
        }))
    }

    fn of_image(image: Image, path: PathBuf, root: &Path, shown: &Path) -> Option<Self> {
        let elf = image.elf().ok()?;
        let debug = if elf.has_symtab() {
            DebugSymbols::none()
        } else {
            let search = DebugSearch {
                root,
                file: shown,
                open: &|path: &Path| -> Result<Image, ElfError> { Image::open(path) },
            };
            DebugSymbols::find(&elf, search)
        };
        let (symbols, in_memory) = symbols_beside(&debug).unwrap_or((path, None));
        Some(Self {
            image,
            debug,
            symbols,
            _in_memory: in_memory,
        })
    }

    /// The file to look symbols up in.
    pub(super) fn symbols(&self) -> &Path {
        &self.symbols
    }

    /// The names to show for functions, of all that symbol tables have for them.
    pub(super) fn best_names(
        &self,
        functions: &HashSet<Extent>,
        asked_for: &[String],
    ) -> HashMap<Extent, String> {
        let Ok(elf) = self.image.elf() else {
            return HashMap::new();
        };
        let asked_for: Vec<&str> = asked_for.iter().map(String::as_str).collect();
        let names = elf.best_names(&self.debug, functions, &asked_for);
        let owned = names.into_iter();
        owned
            .map(|(function, name)| (function, name.to_owned()))
            .collect()
    }

    /// The address that symbol tables have for a place in the file.
    pub(super) fn address(&self, offset: u64) -> Option<u64> {
        let elf = self.image.elf().ok()?;
        Some(elf.address_at(FileOffset(offset))?.0)
    }
}

fn symbols_beside(debug: &DebugSymbols) -> Option<(PathBuf, Option<File>)> {
    match debug.unpacked() {
        Some(bytes) => {
            let file = in_memory(bytes).ok()?;
            Some((path_of(&file), Some(file)))
        }
        None => Some((debug.path()?.to_owned(), None)),
    }
}

/// A path that leads to an open file, whatever has become of its own.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a constant that ends with a NUL.
    let fd = unsafe { libc::memfd_create(c"probekit-symbols".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    Ok(file)
}

fn own_vdso() -> io::Result<Option<Vec<u8>>> {
    use std::os::unix::fs::FileExt as _;

    use crate::resolve::binary::maps;

    let text = std::fs::read("/proc/self/maps")?;
    let Some(line) = maps::lines(&text).find(|line| line.path == Path::new("[vdso]")) else {
        return Ok(None);
    };
    let length = line.mapping.end.saturating_sub(line.mapping.start);
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, line.mapping.start)?;
    Ok(Some(bytes))
}
