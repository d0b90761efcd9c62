//! What is given to users: an archive, a Debian package and their checksums.

use std::{
    fs, io,
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
/// What a Debian package says of its licence, whose text every Debian system has.
const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: probekit

Files: *
Copyright: 2026 the authors of probekit
License: GPL-2.0-only
 On Debian systems, the text of version 2 of the GNU General Public License
 is in /usr/share/common-licenses/GPL-2.
";
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
    let time = of_last_commit("@%ct")?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .arg(format!("--mtime={time}"))
        .args(["--use-compress-program=gzip -9n", "-cf", &file, &name]);
    run(tar.current_dir(folder))?;
    Ok(file)
}

/// A Debian package; its name.
fn package(program: &Path, folder: &Path) -> anyhow::Result<String> {
    let staged = tempfile::tempdir()?;
    let staged = staged.path();
    install(program, &staged.join("usr"))?;
    fit_debian(&staged.join("usr/share"))?;
    fs::create_dir_all(staged.join("DEBIAN"))?;
    fs::write(staged.join("DEBIAN/control"), control(staged)?)?;
    let file = format!("{NAME}_{VERSION}_amd64.deb");
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]);
    build.env("SOURCE_DATE_EPOCH", of_last_commit("%ct")?);
    output(build.arg(staged).arg(folder.join(&file)))?;
    check(&folder.join(&file))?;
    Ok(file)
}

/// Puts what is in the folder `share` where Debian's policy and its zsh want it.
fn fit_debian(share: &Path) -> anyhow::Result<()> {
    let zsh = share.join("zsh");
    fs::rename(zsh.join("site-functions"), zsh.join("vendor-completions"))?;
    let documents = share.join("doc").join(NAME);
    fs::write(documents.join("copyright"), COPYRIGHT)?;
    let changelog = documents.join("changelog");
    fs::write(
        &changelog,
        format!(
            "{NAME} ({VERSION}) unstable; urgency=medium\n\n  * See README.md.\n\n -- {}  {}\n",
            of_last_commit("%an <%ae>")?,
            of_last_commit("%cD")?
        ),
    )?;
    let pages = fs::read_dir(share.join("man/man8"))?;
    let pages: Vec<PathBuf> = pages
        .map(|page| Ok(page?.path()))
        .collect::<io::Result<_>>()?;
    for file in pages.iter().chain([&changelog]) {
        run(Command::new("gzip").arg("-9n").arg(file))?;
    }
    Ok(())
}

/// What git tells of the commit that this is built from.
fn of_last_commit(format: &str) -> anyhow::Result<String> {
    let format = format!("--format={format}");
    let told = output(
        Command::new("git")
            .args(["log", "-1", &format])
            .current_dir(root()),
    )?;
    Ok(told.trim().to_owned())
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
    let author = of_last_commit("%an <%ae>")?;
    Ok(format!(
        "Package: {NAME}\n\
         Version: {VERSION}\n\
         Architecture: amd64\n\
         Maintainer: {author}\n\
         Installed-Size: {kibibytes}\n\
         Section: utils\n\
         Priority: optional\n\
         Conflicts: perf-tools-unstable\n\
         Description: count and trace what the kernel and programs do\n \
         funccount, stackcount and trace as bcc has them, as one static program that\n \
         needs no Python, no LLVM and no kernel headers.\n"
    ))
}

/// Installs the package below a folder, runs the program there, and removes it again.
fn check(package: &Path) -> anyhow::Result<()> {
    let machine = tempfile::tempdir()?;
    let machine = machine.path();
    let known = machine.join("var/lib/dpkg");
    fs::create_dir_all(known.join("info"))?;
    fs::create_dir_all(known.join("updates"))?;
    fs::write(known.join("status"), "")?;
    let dpkg = || {
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", machine.display()));
        dpkg
    };
    output(dpkg().arg("--install").arg(package))?;
    let program = machine.join("usr/bin/funccount");
    let version = output(Command::new(program).arg("--version"))?;
    if version.trim() != format!("funccount {VERSION}") {
        bail!("the package's funccount says it is {version}");
    }
    output(dpkg().args(["--purge", NAME]))?;
    if machine.join("usr").exists() {
        bail!("something of the package is left after it was removed");
    }
    Ok(())
}
