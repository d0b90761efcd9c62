//! The files in which runtimes tell the symbols of what they compile: `/tmp/perf-PID.map`, by the
//! number that a runtime has in its own PID namespace and in its own root.

use std::{
    cell::OnceCell,
    collections::HashMap,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, linux::fs::MetadataExt as _, unix::fs::OpenOptionsExt as _},
    path::PathBuf,
    sync::Arc,
};

use crate::kernel::pid_namespace;

/// The user who may do all.
const ROOT: u32 = 0;

/// The file of one process, whether it is there already or not.
#[derive(Debug)]
pub struct PerfMapFile {
    /// Kept open, since a container's is nowhere to be found when its last process has ended.
    folder: Option<Arc<File>>,
    name: String,
    /// Who the process belongs to; root, as far as we know, if it has ended.
    owner: u32,
    opened: OnceCell<File>,
}

/// The folders for such files: one for all processes that share it.
#[derive(Debug, Default)]
pub(super) struct PerfMapFolders(HashMap<(u64, u64), Arc<File>>);

impl PerfMapFile {
    /// The file, if it has been written by now, and by whom we believe: anybody can put one there.
    pub fn get(&self) -> Option<&File> {
        if let Some(file) = self.opened.get() {
            return Some(file);
        }
        let folder = self.folder.as_ref()?.as_raw_fd();
        let path = PathBuf::from(format!("/proc/self/fd/{folder}")).join(&self.name);
        let mut options = File::options();
        // Opening a named pipe would wait for its writer.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = options.read(true).custom_flags(flags).open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let is_trusted = [ROOT, self.owner].contains(&metadata.st_uid());
        (metadata.is_file() && is_trusted).then(|| self.opened.get_or_init(|| file))
    }
}

impl PerfMapFolders {
    /// That of a process.
    pub(super) fn file_of(&mut self, pid: u32) -> PerfMapFile {
        let inside = pid_namespace::own_number(pid)
            .and_then(|number| Ok((self.open(&format!("/proc/{pid}/root/tmp"))?, number)));
        // A process that has ended has no root any more; most had ours, and our number.
        let (folder, number) = match inside {
            Ok((folder, number)) => (Some(folder), number),
            Err(_) => (self.open("/tmp").ok(), pid),
        };
        let process = fs::metadata(format!("/proc/{pid}"));
        let file = PerfMapFile {
            folder,
            name: format!("perf-{number}.map"),
            owner: process.map_or(ROOT, |process| process.st_uid()),
            opened: OnceCell::new(),
        };
        // What is there already is held, whatever becomes of it.
        file.get();
        file
    }

    fn open(&mut self, path: &str) -> io::Result<Arc<File>> {
        let metadata = fs::metadata(path)?;
        let identity = (metadata.st_dev(), metadata.st_ino());
        if let Some(known) = self.0.get(&identity) {
            return Ok(Arc::clone(known));
        }
        let folder = Arc::new(File::open(path)?);
        self.0.insert(identity, Arc::clone(&folder));
        Ok(folder)
    }
}
