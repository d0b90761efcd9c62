//! install: puts files below a folder, each whole or not at all.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{Console, Status};

/// What is to be installed.
#[derive(Debug)]
pub struct Request {
    /// The folder.
    pub prefix: PathBuf,
    /// What it gets.
    pub files: Vec<File>,
}

/// A file to be installed.
#[derive(Debug)]
pub struct File {
    /// Where, below the folder.
    path: PathBuf,
    content: Content,
}

/// What a file is to contain.
#[derive(Debug)]
pub enum Content {
    /// This program.
    OwnProgram,
    /// Nothing: it is a link to this one beside it.
    Link(String),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl File {
    /// A file of that content.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, content: Content) -> Self {
        Self {
            path: path.into(),
            content,
        }
    }
}

/// Installs, and tells each file.
///
/// # Errors
///
/// When one of the names is a file of somebody else's, and then before anything is written; when a
/// file can't be written.
pub fn run(request: &Request, console: &mut Console<'_>) -> anyhow::Result<Status> {
    for file in &request.files {
        check_free(&request.prefix.join(&file.path), &file.content)?;
    }
    for file in &request.files {
        let path = request.prefix.join(&file.path);
        install(&path, &file.content)
            .with_context(|| format!("failed to install {}", path.display()))?;
        writeln!(console.results, "{}", path.display())?;
    }
    Ok(Status::Done)
}

/// Other packages too have a program that is called trace or funccount, and pages of that name.
fn check_free(path: &Path, content: &Content) -> anyhow::Result<()> {
    let is_ours = match fs::symlink_metadata(path) {
        Ok(_) => is_ours(path, content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    };
    if is_ours.with_context(|| path.display().to_string())? {
        return Ok(());
    }
    bail!(
        "{} is there and not probekit's: nothing was installed; move it away, or choose another \
         folder with --prefix",
        path.display()
    )
}

/// Whether what is there is what an installation of us, of any version, has put there.
fn is_ours(path: &Path, content: &Content) -> io::Result<bool> {
    /// Every one of our files has it, and who else's of the same name would?
    const NAME: &[u8] = b"probekit";
    Ok(match content {
        Content::Link(target) => fs::read_link(path).is_ok_and(|found| found == Path::new(target)),
        Content::OwnProgram | Content::Bytes(_) => fs::read(path)?
            .windows(NAME.len())
            .any(|bytes| bytes == NAME),
    })
}

/// Writes beside the place and moves it there: a program that runs can't be written to.
fn install(path: &Path, content: &Content) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = folder.join(name);
    let written = write(&new, content).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn write(path: &Path, content: &Content) -> io::Result<()> {
    let mode = match content {
        Content::Link(target) => return symlink(target, path),
        Content::OwnProgram => {
            fs::copy("/proc/self/exe", path)?;
            0o755
        }
        Content::Bytes(bytes) => {
            fs::write(path, bytes)?;
            0o644
        }
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
