//! Libraries by their short names, programs by theirs, as the system under a root finds them.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::super::suggest;
use super::{Error, ld_cache, root};

/// Where libraries are when the linker's cache does not say; without an architecture's own folder,
/// which is found by its name.
const FOLDERS: [&str; 6] = [
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
];
/// Where programs are for a process whose `PATH` we do not know.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `typed` can go on as, for a library or program: short names, or paths if it has a slash, of
/// which folders end in one.
pub(super) fn complete(typed: &str) -> BTreeSet<String> {
    let found = match typed.rsplit_once('/') {
        Some((folder, _)) => files_in(&format!("{folder}/"), typed),
        None => libraries().into_iter().chain(programs(typed)).collect(),
    };
    let begins = |name: &String| name.starts_with(typed);
    found.into_iter().filter(begins).collect()
}

/// The files of a folder whose paths begin as `typed`.
fn files_in(folder: &str, typed: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.filter_map(|entry| {
        let path = format!("{folder}{}", entry.file_name().to_str()?);
        if !path.starts_with(typed) {
            return None;
        }
        if Path::new(&path).is_dir() {
            return Some(path + "/");
        }
        is_elf(Path::new(&path)).then_some(path)
    });
    paths.collect()
}

/// The libraries in the linker's cache.
fn libraries() -> Vec<String> {
    let cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
    let names = ld_cache::libraries(&cache).filter_map(|(file, _)| short_name(file));
    names.map(str::to_owned).collect()
}

/// The programs in `PATH` whose names begin as `typed`; none if that is nothing.
fn programs(typed: &str) -> Vec<String> {
    let path = env::var("PATH").unwrap_or_default();
    let folders = path.split(':').filter(|folder| folder.starts_with('/'));
    let found = folders
        .filter(|_| !typed.is_empty())
        .flat_map(|folder| files_in(&format!("{folder}/"), &format!("{folder}/{typed}")));
    let names = found.filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()));
    names.filter(|name| !name.is_empty()).collect()
}

/// Finds `name` under the directory `under`; the result is a path from here.
pub(super) fn find(name: &str, under: &Path) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return find_path(Path::new(name), under);
    }
    let mut known = Vec::new();
    let found = in_cache(name, under, &mut known)
        .or_else(|| in_folders(name, under))
        .or_else(|| in_programs(name, under));
    found.ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        searched: searched(under),
        hint: suggest(name, known.iter().map(String::as_str)),
    })
}

fn find_path(path: &Path, under: &Path) -> Result<PathBuf, Error> {
    let open_error = |error| Error::Open {
        path: path.to_owned(),
        error,
    };
    let found = if under != Path::new("/") {
        root::resolve(under, path)
    } else if let Some((root, inside)) = root::of_process(path) {
        root::resolve(&root, &inside)
    } else {
        canonical(path)
    };
    found.map_err(open_error)
}

/// The path without links; as it is if links of `/proc` are in it that lead where no path does, to a
/// deleted file or another mount namespace.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let meant = root::identity(path)?;
    match fs::canonicalize(path) {
        Ok(found) if root::identity(&found).is_ok_and(|found| found == meant) => Ok(found),
        _ => std::path::absolute(path),
    }
}

/// The library with the highest version in the linker's cache.
fn in_cache(name: &str, under: &Path, known: &mut Vec<String>) -> Option<PathBuf> {
    let cache = fs::read(root::resolve(under, Path::new("/etc/ld.so.cache")).ok()?).ok()?;
    let libraries: Vec<_> = ld_cache::libraries(&cache).collect();
    known.extend(
        libraries
            .iter()
            .filter_map(|(file, _)| Some(short_name(file)?.to_owned())),
    );
    libraries
        .iter()
        .filter_map(|(file, path)| {
            let version = version_of(name, file)?;
            let path = root::resolve(under, path)
                .ok()
                .filter(|path| is_elf(path))?;
            Some((version, path))
        })
        .max()
        .map(|(_, path)| path)
}

/// The library with the highest version in the usual folders, the first folder first.
fn in_folders(name: &str, under: &Path) -> Option<PathBuf> {
    folders().iter().find_map(|folder| {
        let entries = fs::read_dir(root::resolve(under, folder).ok()?).ok()?;
        let candidates = entries.filter_map(|entry| {
            let file = entry.ok()?.file_name();
            let version = version_of(name, file.to_str()?)?;
            let path = root::resolve(under, &folder.join(&file)).ok()?;
            is_elf(&path).then_some((version, path))
        });
        candidates.max().map(|(_, path)| path)
    })
}

fn in_programs(name: &str, under: &Path) -> Option<PathBuf> {
    let path = match env::var("PATH") {
        Ok(path) if under == Path::new("/") => path,
        _ => PROGRAMS.to_owned(),
    };
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .filter_map(|folder| root::resolve(under, &Path::new(folder).join(name)).ok())
        .find(|path| is_elf(path))
}

fn folders() -> Vec<PathBuf> {
    let triple = format!("{}-linux-gnu", env::consts::ARCH);
    let own = ["/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&triple));
    let searched = own.into_iter().chain(FOLDERS.iter().map(PathBuf::from));
    searched.collect()
}

fn searched(under: &Path) -> Vec<String> {
    let mut searched = vec!["/etc/ld.so.cache".to_owned()];
    searched.extend(folders().iter().map(|folder| folder.display().to_string()));
    searched.push("PATH".to_owned());
    if under != Path::new("/") {
        searched.push(format!("all under {}", under.display()));
    }
    searched
}

/// The version in `file` if it is a file of the library `name`: `libc.so.6`, `libc-2.31.so`,
/// `libfoo.so`. Versions compare number by number. For musl, whose C library is the linker,
/// `ld-musl-x86_64.so.1` is `c` as well.
pub(super) fn version_of(name: &str, file: &str) -> Option<Vec<u64>> {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let parts = text.split('.').filter(|part| !part.is_empty());
        parts.map(|part| part.parse().ok()).collect()
    };
    if name == "c" && file.starts_with("ld-musl-") {
        return Some(Vec::new());
    }
    let rest = file.strip_prefix("lib")?.strip_prefix(name)?;
    match rest.strip_prefix(".so") {
        Some(version) => numbers(version),
        None => numbers(rest.strip_prefix('-')?.strip_suffix(".so")?),
    }
}

/// The `c` of `libc.so.6`.
fn short_name(file: &str) -> Option<&str> {
    file.strip_prefix("lib")?.split(".so").next()
}

/// Whether a file is an ELF file: `libc.so` in development packages is a script for the linker.
fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file
        && File::open(path)
            .and_then(|mut file| file.read_exact(&mut magic))
            .is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_means_the_library_and_no_other() {
        for (name, file, version) in [
            ("c", "libc.so.6", Some(vec![6])),
            ("c", "libc-2.31.so", Some(vec![2, 31])),
            ("c", "libc_malloc_debug.so.0", None),
            ("c", "libcap.so.2", None),
            ("stdc++", "libstdc++.so.6.0.30", Some(vec![6, 0, 30])),
            ("foo", "libfoo.so", Some(vec![])),
            ("foo", "libfoo.so.debug", None),
            ("foo", "foo.so", None),
        ] {
            assert_eq!(version_of(name, file), version, "{name} {file}");
        }
    }

    fn write(path: &Path, contents: &[u8]) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, contents).expect("written");
    }

    #[test]
    fn the_highest_version_that_is_elf_is_taken() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        write(&root.join("usr/lib/libfoo.so.9"), b"\x7fELF");
        write(&root.join("usr/lib/libfoo.so.10"), b"\x7fELF");
        write(
            &root.join("usr/lib/libfoo.so.11"),
            b"GROUP ( libfoo.so.10 )",
        );
        write(&root.join("usr/bin/tool"), b"\x7fELF");
        write(&root.join("usr/bin/script"), b"#!/bin/sh");
        assert_eq!(
            find("foo", root).expect("found"),
            root.join("usr/lib/libfoo.so.10")
        );
        assert_eq!(
            find("tool", root).expect("found"),
            root.join("usr/bin/tool")
        );
        let error = find("script", root).expect_err("no ELF file").to_string();
        assert!(
            error.contains("/usr/lib") && error.contains("PATH"),
            "{error}"
        );
    }

    #[test]
    fn this_machine_has_a_c_library() {
        let path = find("c", Path::new("/")).expect("found");
        assert!(
            version_of(
                "c",
                path.file_name()
                    .and_then(|name| name.to_str())
                    .expect("text")
            )
            .is_some()
        );
    }
}
