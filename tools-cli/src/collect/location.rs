//! Where the code of a frame is, told in a way that stays true when its process is gone.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::linux::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::perf_map::{PerfMapFile, PerfMapFolders};
use crate::resolve::binary::maps;

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
    file_ids: HashMap<(PathBuf, u64), FileId>,
    spaces: Vec<CodeSpace>,
    space_ids: HashMap<(u32, Option<String>), SpaceId>,
    perf_maps: PerfMapFolders,
}

/// A mapping of a file, as it is needed to find the file again.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileMapping<'a> {
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) end: u64,
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
        self.spaces.get(id.0 as usize)
    }

    /// The number of a mapped file, which is opened when it is seen first.
    pub(super) fn file_id(&mut self, mapping: FileMapping<'_>) -> FileId {
        let key = (mapping.path.to_owned(), mapping.inode);
        if let Some(&id) = self.file_ids.get(&key) {
            return id;
        }
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(CodeFile {
            shown: mapping.path.to_owned(),
            pid: mapping.pid,
            file: open(mapping),
        });
        self.file_ids.insert(key, id);
        id
    }

    /// The number of a process's code in `mapping`.
    pub(super) fn space_id(&mut self, pid: u32, mapping: Option<&Path>) -> SpaceId {
        let mapping = mapping.map(|path| path.to_string_lossy().into_owned());
        let (spaces, perf_maps) = (&mut self.spaces, &mut self.perf_maps);
        let key = (pid, mapping.clone());
        *self.space_ids.entry(key).or_insert_with(|| {
            let id = SpaceId(u32::try_from(spaces.len()).unwrap_or(u32::MAX));
            spaces.push(CodeSpace {
                pid,
                mapping,
                perf_map: perf_maps.file_of(pid),
            });
            id
        })
    }
}

/// The mapped file and no other: as the kernel has it behind the mapping, which works for deleted
/// files too, else by its path, in the process's root directory or in ours if the process is gone.
fn open(mapping: FileMapping<'_>) -> Option<File> {
    let FileMapping {
        pid,
        start,
        end,
        inode,
        path,
    } = mapping;
    let behind = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    // Asked behind opening: the process may have mapped another program there since.
    if let Ok(file) = behind
        && is_mapped(mapping)
    {
        return Some(file);
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    let in_root = PathBuf::from(format!("/proc/{pid}/root")).join(relative);
    [in_root.as_path(), path].into_iter().find_map(|path| {
        let metadata = fs::metadata(path).ok()?;
        (metadata.is_file() && metadata.st_ino() == inode).then(|| File::open(path).ok())?
    })
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
