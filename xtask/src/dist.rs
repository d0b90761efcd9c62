//! What is given to users: an archive, a Debian package and their checksums.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{
    command::{output, run},
    packages, root, suite, target,
};

const NAME: &str = "probekit";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The program is not to grow beyond that.
const MOST_BYTES: u64 = 6_000_000;

/// Builds all of it below `target/dist`, and prints what there is.
///
/// # Errors
///
/// When something does not build, the program is too large, or does not run from the package.
pub fn build() -> anyhow::Result<()> {
    packages::install(&["dpkg", "gzip", "tar", "coreutils"])?;
    let program = suite::static_program("tools-cli", NAME)?;
    let bytes = fs::metadata(&program)?.len();
    if bytes > MOST_BYTES {
        bail!("the program has {bytes} bytes, more than {MOST_BYTES}");
    }
    println!("the program has {bytes} bytes");
    let folder = target("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let files = [archive(&program, &folder)?, package(&program, &folder)?];
    let mut sums = Command::new("sha256sum");
    let sums = output(sums.args(&files).current_dir(&folder))?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    print!("{sums}");
    Ok(())
}

/// An archive to be unpacked anywhere; its name.
fn archive(program: &Path, folder: &Path) -> anyhow::Result<String> {
    let name = format!("{NAME}-{VERSION}-x86_64-linux");
    install(program, &folder.join(&name))?;
    let file = format!("{name}.tar.gz");
    // The same bytes from the same sources, whoever packs them, and when.
    let time = output(Command::new("git").args(["log", "-1", "--format=@%ct"]))?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime={}", time.trim()))
        .args(["--use-compress-program=gzip -9n", "-cf", &file, &name]);
    run(tar.current_dir(folder))?;
    Ok(file)
}

/// A Debian package; its name.
fn package(program: &Path, folder: &Path) -> anyhow::Result<String> {
    let staged = tempfile::tempdir()?;
    let staged = staged.path();
    install(program, &staged.join("usr"))?;
    let pages = staged.join("usr/share/man/man8");
    for page in fs::read_dir(&pages)? {
        run(Command::new("gzip").args(["-9n"]).arg(page?.path()))?;
    }
    fs::create_dir_all(staged.join("DEBIAN"))?;
    fs::write(staged.join("DEBIAN/control"), control(staged)?)?;
    let file = format!("{NAME}_{VERSION}_amd64.deb");
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]);
    output(build.arg(staged).arg(folder.join(&file)))?;
    check(&folder.join(&file))?;
    Ok(file)
}

/// Has the program install itself, and adds what it is documented by.
fn install(program: &Path, prefix: &Path) -> anyhow::Result<()> {
    output(
        Command::new(program)
            .arg("install")
            .arg("--prefix")
            .arg(prefix),
    )?;
    let documents = prefix.join("share/doc").join(NAME);
    fs::create_dir_all(&documents)?;
    for (file, name) in [("README.md", "README.md"), ("LICENSE", "copyright")] {
        fs::copy(root().join(file), documents.join(name))?;
    }
    Ok(())
}

fn control(staged: &Path) -> anyhow::Result<String> {
    let size = output(Command::new("du").args(["-sk", "usr"]).current_dir(staged))?;
    let kibibytes = size.split_whitespace().next().context("du tells no size")?;
    let author = output(Command::new("git").args(["log", "-1", "--format=%an <%ae>"]))?;
    Ok(format!(
        "Package: {NAME}\n\
         Version: {VERSION}\n\
         Architecture: amd64\n\
         Maintainer: {}\n\
         Installed-Size: {kibibytes}\n\
         Section: utils\n\
         Priority: optional\n\
         Conflicts: perf-tools-unstable\n\
         Description: count and trace what the kernel and programs do\n \
         funccount, stackcount and trace as bcc has them, as one static program that\n \
         needs no Python, no LLVM and no kernel headers.\n",
        author.trim()
    ))
}

/// Runs the program as the package has it.
fn check(package: &Path) -> anyhow::Result<()> {
    let unpacked = tempfile::tempdir()?;
    output(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(package)
            .arg(unpacked.path()),
    )?;
    let program: PathBuf = unpacked.path().join("usr/bin/funccount");
    let version = output(Command::new(program).arg("--version"))?;
    if version.trim() != format!("funccount {VERSION}") {
        bail!("the package's funccount says it is {version}");
    }
    Ok(())
}
