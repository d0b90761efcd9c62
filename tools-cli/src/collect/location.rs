//! Where the code of a frame is, told in a way that stays true when its process is gone.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::fd::AsRawFd as _,
    os::linux::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::perf_map::{PerfMapFile, PerfMapFolders};
use crate::{kernel::limits, resolve::binary::maps};

/// The number of a file in [`Code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// The number of a process's code outside of files in [`Code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpaceId(pub u32);

/// Where a frame's code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// At an address of the kernel.
    Kernel(u64),
    /// In a file, so many bytes from its start.
    File(FileId, u64),
    /// In the page of code that the kernel gives to each process.
    Vdso(u64),
    /// At an address that only its process can tell about: compiled at run time, or not mapped.
    Process(SpaceId, u64),
}

/// A file that code was executed from.
#[derive(Debug)]
pub struct CodeFile {
    /// The path as its process knows it.
    pub shown: PathBuf,
    /// A process that has executed it.
    pub pid: u32,
    /// The file itself, kept open, if it could be opened before it or its process was gone.
    pub file: Option<File>,
}

/// Code of a process that is in no file.
#[derive(Debug)]
pub struct CodeSpace {
    /// The process.
    pub pid: u32,
    /// What is mapped there, such as `//anon`; nothing if nothing is.
    pub mapping: Option<String>,
    /// The symbols that a runtime writes for what it compiles, if it does.
    pub perf_map: PerfMapFile,
}

/// What locations refer to.
#[derive(Debug, Default)]
pub struct Code {
    files: Vec<CodeFile>,
    file_ids: HashMap<(PathBuf, (u32, u32), u64), FileId>,
    spaces: HashMap<SpaceId, CodeSpace>,
    /// By process, then by what runs there since when, and the name of the mapping.
    space_ids: HashMap<u32, HashMap<(u64, Option<String>), SpaceId>>,
    next_space: u32,
    perf_maps: PerfMapFolders,
    lacks_descriptors: bool,
}

/// A mapping of a file, as it is needed to find the file again.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileMapping<'a> {
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    pub(super) path: &'a Path,
}

impl Code {
    /// The file with this number.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&CodeFile> {
        self.files.get(id.0 as usize)
    }

    /// The process's code with this number.
    #[must_use]
    pub fn space(&self, id: SpaceId) -> Option<&CodeSpace> {
        self.spaces.get(&id)
    }

    /// What is to be said if functions have no names because there were too many files to open.
    #[must_use]
    pub fn unopened(&self) -> Option<&'static str> {
        self.lacks_descriptors.then_some(
            "note: functions of some programs have no names: too many files are open; more with \
             `ulimit -n`",
        )
    }

    /// Forgets what processes that are gone had outside of files; gives the numbers that it had.
    pub fn forget(&mut self, pids: impl IntoIterator<Item = u32>) -> Vec<SpaceId> {
        let gone = pids
            .into_iter()
            .filter_map(|pid| self.space_ids.remove(&pid));
        let gone: Vec<SpaceId> = gone.flat_map(HashMap::into_values).collect();
        for id in &gone {
            self.spaces.remove(id);
        }
        gone
    }

    /// The number of a mapped file, which is opened when it is seen first.
    pub(super) fn file_id(&mut self, mapping: FileMapping<'_>) -> FileId {
        // Two file systems may use one number for different files, and containers one path.
        let key = (mapping.path.to_owned(), mapping.device, mapping.inode);
        if let Some(&id) = self.file_ids.get(&key) {
            return id;
        }
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let opened = open(mapping).and_then(|file| leaves_some(&file).map(|()| file));
        let is_lacking =
            |error: &io::Error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        self.lacks_descriptors |= opened.as_ref().is_err_and(is_lacking);
        self.files.push(CodeFile {
            shown: mapping.path.to_owned(),
            pid: mapping.pid,
            file: opened.ok(),
        });
        self.file_ids.insert(key, id);
        id
    }

    /// The number of a process's code in `mapping`, while it runs what it runs `since_ns`.
    pub(super) fn space_id(&mut self, pid: u32, since_ns: u64, mapping: Option<&Path>) -> SpaceId {
        let mapping = mapping.map(|path| path.to_string_lossy().into_owned());
        let ids = self.space_ids.entry(pid).or_default();
        *ids.entry((since_ns, mapping.clone())).or_insert_with(|| {
            let id = SpaceId(self.next_space);
            self.next_space = self.next_space.wrapping_add(1);
            let perf_map = self.perf_maps.file_of(pid);
            let space = CodeSpace {
                pid,
                mapping,
                perf_map,
            };
            self.spaces.insert(id, space);
            id
        })
    }
}

/// Refuses a file behind which there would be too few descriptors for all else: a run is to end well
/// without some names, too.
fn leaves_some(file: &File) -> io::Result<()> {
    const SOME: u64 = 32;

    // The lowest number that is free is given.
    let number = u64::try_from(file.as_raw_fd()).unwrap_or(0);
    match number + SOME < limits::open_files()? {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EMFILE)),
    }
}

/// The mapped file and no other: as the kernel has it behind the mapping, which works for deleted
/// files too, else by its path, in the process's root directory or in ours if the process is gone.
fn open(mapping: FileMapping<'_>) -> io::Result<File> {
    let FileMapping {
        pid,
        start,
        end,
        inode,
        path,
        ..
    } = mapping;
    let behind = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    // Asked behind opening: the process may have mapped another program there since.
    if let Ok(file) = behind
        && is_mapped(mapping)
    {
        return Ok(file);
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    let in_root = PathBuf::from(format!("/proc/{pid}/root")).join(relative);
    let is_it = |path: &&Path| {
        let metadata = fs::metadata(path);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.st_ino() == inode)
    };
    let candidates = [in_root.as_path(), path].into_iter().filter(is_it);
    let mut opened = candidates.map(File::open);
    let first = opened
        .next()
        .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
    // The process, and its root with it, may have gone in between.
    first.or_else(|error| opened.next().unwrap_or(Err(error)))
}

/// Whether the process still has this mapping. By the list, since the inode of an open file need not
/// be that which mappings are told with (overlayfs).
fn is_mapped(mapping: FileMapping<'_>) -> bool {
    let text = fs::read(format!("/proc/{}/maps", mapping.pid)).unwrap_or_default();
    maps::lines(&text).any(|line| {
        let range = (line.mapping.start, line.mapping.end);
        range == (mapping.start, mapping.end) && line.inode == mapping.inode
    })
}
