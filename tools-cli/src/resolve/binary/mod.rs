//! Which files a spec's binary stands for.

pub(crate) mod ld_cache;
pub(crate) mod maps;
mod process;
mod root;
mod search;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(super) use self::process::MappedFile;
use super::{
    TargetFile,
    elf::{DebugSearch, DebugSymbols, Elf, Image},
};
use crate::{kernel::capabilities::Capability, privilege};

/// Why no file could be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path leads nowhere.
    #[error("failed to open {}: {error}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// Neither a library nor a program has the name.
    #[error(
        "found no library or program `{name}`; searched {}{hint}; a path works too: /path/to/{name}",
        searched.join(", ")
    )]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        searched: Vec<String>,
        /// Names like it.
        hint: String,
    },
    /// The process is not there.
    #[error("no process has the PID {pid}")]
    NoProcess {
        /// The PID.
        pid: u32,
    },
    /// The process has nothing mapped.
    #[error("process {pid} runs no program: it is a kernel thread, or has ended")]
    NoProgram {
        /// The PID.
        pid: u32,
    },
    /// The process can't be looked into.
    #[error(
        "failed to read /proc/{pid}/{file}: {error}{}",
        privilege::for_one(error, Capability::SysPtrace)
    )]
    Process {
        /// The PID.
        pid: u32,
        /// The file in its folder.
        file: &'static str,
        /// The error.
        error: io::Error,
    },
}

impl TargetFile {
    /// The symbols that are kept apart from the file, looked for where its process would.
    pub(crate) fn debug_symbols(&self, elf: &Elf<'_>) -> DebugSymbols {
        let (root, inside) = match self.pid {
            Some(pid) => (format!("/proc/{pid}/root").into(), self.shown.clone()),
            None => {
                root::of_process(&self.path).unwrap_or_else(|| ("/".into(), self.shown.clone()))
            }
        };
        let search = DebugSearch {
            root: &root,
            file: &inside,
            open: &Image::open,
        };
        DebugSymbols::find(elf, search)
    }
}

/// What `typed` can go on as, for the name or the path of a library or program. Names end in a colon,
/// folders in a slash.
#[must_use]
pub fn complete(typed: &str) -> Vec<String> {
    let found = search::complete(typed).into_iter();
    let ended = found.map(|name| match name.ends_with('/') {
        true => name,
        false => name + ":",
    });
    ended.collect()
}

/// The file that `name` stands for; with `pid`, as that process knows it.
///
/// A name with a slash is a path. Another is looked for among what the process has mapped, then as
/// a library (`c` is `libc.so.6`), then as a program in `PATH`.
///
/// # Errors
///
/// When there is none.
pub(super) fn find(name: &str, pid: Option<u32>) -> Result<TargetFile, Error> {
    match pid {
        None => {
            let path = search::find(name, Path::new("/"))?;
            Ok(TargetFile {
                shown: path.clone(),
                path,
                pid: None,
            })
        }
        Some(pid) => find_in_process(name, pid),
    }
}

fn find_in_process(name: &str, pid: u32) -> Result<TargetFile, Error> {
    let mapped = process::mapped_files(pid)?;
    if let Some(file) = mapped.iter().find(|file| file.is_called(name)) {
        return Ok(file.target.clone());
    }
    // Not mapped, or not yet: as the process would find it.
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    // Nothing is found where nothing may be seen.
    fs::read_link(&root).map_err(|error| Error::Process {
        pid,
        file: "root",
        error,
    })?;
    let path = search::find(name, &root)?;
    let inside = path.strip_prefix(&root).unwrap_or(&path);
    let shown = Path::new("/").join(inside);
    // The same file under another path, as through a symbolic link.
    if let Some(file) = mapped.iter().find(|file| file.target.shown == shown) {
        return Ok(file.target.clone());
    }
    Ok(TargetFile {
        path,
        shown,
        pid: Some(pid),
    })
}

/// Files to search for USDT probes.
pub(super) struct BinaryFiles {
    pub(super) files: Vec<TargetFile>,
    /// Whether the name is taken for a provider, since no file has it.
    pub(super) provider: bool,
}

/// The file that `name` stands for, or else all files that the process has mapped.
///
/// # Errors
///
/// When there is no such file and no process.
pub(super) fn find_or_all(name: &str, pid: Option<u32>) -> Result<BinaryFiles, Error> {
    match (find(name, pid), pid) {
        (Ok(file), _) => Ok(BinaryFiles {
            files: vec![file],
            provider: false,
        }),
        (Err(Error::Unknown { .. }), Some(pid)) => Ok(BinaryFiles {
            files: mapped_files(pid)?
                .into_iter()
                .map(|file| file.target)
                .collect(),
            provider: true,
        }),
        (Err(error), _) => Err(error),
    }
}

/// All files that a process has mapped to execute.
///
/// # Errors
///
/// When there is no such process, or it can't be looked into.
pub(super) fn mapped_files(pid: u32) -> Result<Vec<MappedFile>, Error> {
    process::mapped_files(pid)
}
