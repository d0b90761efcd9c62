//! What a process has mapped, from `/proc/PID/maps`.

use std::{
    fs, io,
    os::linux::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    Error, TargetFile,
    maps::{self, Line, Mapping},
    root,
    search::version_of,
};
use crate::resolve::{FileOffset, elf::Elf};

/// The device and the inode that a mapping is told with.
type FileIdentity = ((u32, u32), u64);

/// A file that a process has mapped to execute.
#[derive(Clone, Debug)]
pub(crate) struct MappedFile {
    /// The file, as it is to be opened.
    pub(crate) target: TargetFile,
    /// Where it is mapped to be executed.
    mappings: Vec<Mapping>,
    /// Whether it is the program that the process runs.
    is_program: bool,
}

impl MappedFile {
    /// Whether the file's code is mapped at `address`.
    pub(crate) fn contains(&self, address: u64) -> bool {
        let mut ranges = self
            .mappings
            .iter()
            .map(|mapping| mapping.start..mapping.end);
        ranges.any(|range| range.contains(&address))
    }

    /// Bytes from the addresses in the file to those in the process.
    pub(crate) fn load_bias(&self, elf: &Elf<'_>) -> Option<u64> {
        let mapping = self.mappings.first()?;
        let address = elf.address_at(FileOffset(mapping.offset))?;
        Some(mapping.start.wrapping_sub(address.0))
    }

    /// Whether `name` means this file: as a path, a library's short name, or the program's name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let shown = &self.target.shown;
        if name.contains('/') {
            return shown == Path::new(name);
        }
        let Some(file) = shown.file_name().and_then(|file| file.to_str()) else {
            return false;
        };
        version_of(name, file).is_some() || (self.is_program && file == name)
    }
}

/// All files that a process has mapped to execute, in the order of their first addresses.
pub(super) fn mapped_files(pid: u32) -> Result<Vec<MappedFile>, Error> {
    let process_error = |file| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::NoProcess { pid },
            _ if error.raw_os_error() == Some(libc::ESRCH) => Error::NoProcess { pid },
            _ => Error::Process { pid, file, error },
        }
    };
    let text = fs::read(format!("/proc/{pid}/maps")).map_err(process_error("maps"))?;
    let program = fs::metadata(format!("/proc/{pid}/exe"));
    let program_inode = program.map_or(0, |program| program.st_ino());

    let mut files: Vec<(FileIdentity, MappedFile)> = Vec::new();
    for line in maps::lines(&text) {
        if !line.is_executable || line.inode == 0 {
            continue;
        }
        let identity = (line.device, line.inode);
        let same = |(known, file): &&mut (FileIdentity, MappedFile)| {
            *known == identity && file.target.shown == line.path
        };
        match files.iter_mut().find(same) {
            Some((_, file)) => file.mappings.push(line.mapping),
            None => files.push((identity, mapped_file(pid, &line, program_inode))),
        }
    }
    if files.is_empty() {
        return Err(Error::NoProgram { pid });
    }
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

fn mapped_file(pid: u32, line: &Line, program_inode: u64) -> MappedFile {
    let in_root = PathBuf::from(format!("/proc/{pid}/root"))
        .join(line.path.strip_prefix("/").unwrap_or(&line.path));
    // The number of the device is no help: file systems such as overlayfs and btrfs show another
    // one in the list than `stat` does.
    let is_same = !line.is_deleted
        && fs::metadata(&in_root).is_ok_and(|metadata| metadata.st_ino() == line.inode);
    let Mapping { start, end, .. } = line.mapping;
    let path = match is_same {
        // Paths are the same for us in our own mount namespace, and nicer to read.
        true if is_same_file(&in_root, &line.path) => line.path.clone(),
        true => in_root,
        // Deleted, or replaced: the kernel still has the file behind the mapping.
        false => PathBuf::from(format!("/proc/{pid}/map_files/{start:x}-{end:x}")),
    };
    MappedFile {
        target: TargetFile {
            path,
            shown: line.path.clone(),
            pid: Some(pid),
        },
        mappings: vec![line.mapping],
        is_program: line.inode == program_inode,
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identities = root::identity(one).and_then(|one| Ok((one, root::identity(other)?)));
    identities.is_ok_and(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_its_program_mapped() {
        let files = mapped_files(std::process::id()).expect("we live");
        let program = files.iter().find(|file| file.is_program).expect("the test");
        let path = std::env::current_exe().expect("its path");
        assert_eq!(program.target.path, path);
        assert!(program.is_called(path.to_str().expect("text")));
        assert!(
            program.is_called(
                path.file_name()
                    .and_then(|name| name.to_str())
                    .expect("text")
            )
        );
    }

    #[test]
    fn kernel_threads_and_missing_processes_are_told_apart() {
        assert!(matches!(mapped_files(2), Err(Error::NoProgram { pid: 2 })));
        assert!(matches!(
            mapped_files(u32::MAX / 2),
            Err(Error::NoProcess { .. })
        ));
    }
}
