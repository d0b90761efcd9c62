//! Paths inside another root directory.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::linux::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
};

/// As many symbolic links as the kernel follows (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// Resolves `path` as a process with the root directory `root` would: absolute symbolic links and
/// `..` stay inside. The result begins with `root` and has no links in it.
pub(super) fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut todo = components(path);
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let here = root.join(&done).join(&part);
        if fs::symlink_metadata(&here)?.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let target = fs::read_link(&here)?;
            if target.is_absolute() {
                done.clear();
            }
            for part in components(&target).into_iter().rev() {
                todo.push_front(part);
            }
        } else {
            done.push(part);
        }
    }
    Ok(root.join(done))
}

/// The root of a process and the path below it, of a path that leads through `/proc/PID/root`: its
/// links are those of that root, which leads elsewhere than its own text says.
pub(super) fn of_process(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts = path.strip_prefix("/proc").ok()?.components();
    let process = parts.next()?.as_os_str().to_str()?;
    let is_process = process == "self" || process.parse::<u32>().is_ok();
    let is_root = is_process && parts.next()?.as_os_str() == "root";
    let root = Path::new("/proc").join(process).join("root");
    is_root.then(|| (root, Path::new("/").join(parts.as_path())))
}

/// The device and the inode of the file that `path` leads to now. Not to be held against those that a
/// mapping is told with: some file systems (overlayfs, btrfs) show another device there.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.st_dev(), metadata.st_ino()))
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn roots_of_processes_are_told_from_other_paths() {
        let of_process = |path| of_process(Path::new(path));
        let found = Some(("/proc/7/root".into(), "/usr/bin/x".into()));
        assert_eq!(of_process("/proc/7/root/usr/bin/x"), found);
        for path in [
            "/proc/7/exe",
            "/proc/net/root/x",
            "/usr/proc/7/root/x",
            "/proc",
            "x",
        ] {
            assert_eq!(of_process(path), None, "{path}");
        }
    }

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        fs::create_dir_all(root.join("usr/lib")).expect("made");
        fs::write(root.join("usr/lib/libx.so.1"), "x").expect("written");
        symlink("/usr/lib", root.join("lib")).expect("linked");
        symlink(
            "../../../../usr/lib/libx.so.1",
            root.join("usr/lib/libx.so"),
        )
        .expect("linked");
        symlink("loop", root.join("loop")).expect("linked");
        let inside = root.join("usr/lib/libx.so.1");
        for path in ["/lib/libx.so", "lib/libx.so.1", "/../../lib/./libx.so"] {
            assert_eq!(
                resolve(root, Path::new(path)).expect("found"),
                inside,
                "{path}"
            );
        }
        assert!(resolve(root, Path::new("/loop")).is_err());
        assert!(resolve(root, Path::new("/etc/passwd")).is_err());
    }
}
