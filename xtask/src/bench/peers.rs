//! The tools to compare with, from Debian: those of the newest suite, in a folder of their own; else
//! those of the machine's own suite.
//!
//! They are run in a mount namespace of their own, where they find kernel headers where bcc looks
//! for them. Nothing of that is seen from outside, and it goes when the bench does.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, bail};

use super::{
    process::dies_with_us,
    tracer::{Kind, Tool},
};
use crate::{command::output, packages, target};

const SUITE: &str = "sid";
const PACKAGES: [&str; 2] = ["bpfcc-tools", "bpftrace"];
const HEADERS: &str = "linux-headers-cloud-amd64";

/// Where a tool is run.
#[derive(Clone, Debug)]
pub enum Place {
    /// A program of this machine, as it is.
    Here(PathBuf),
    /// A program of a namespace, found by name.
    Namespace(Arc<Namespace>),
}

impl Place {
    /// `program`, to be run there.
    #[must_use]
    pub fn command(&self, program: &OsStr) -> Command {
        match self {
            Self::Here(path) => Command::new(path),
            Self::Namespace(namespace) => namespace.command(program),
        }
    }
}

/// A mount namespace, and the folder in it that is the root of what is run there.
#[derive(Debug)]
pub struct Namespace {
    root: PathBuf,
    /// Keeps it.
    holder: Child,
}

impl Namespace {
    /// Makes one with what peers need: the programs in `shared` at the same place in `root`, tracefs,
    /// and kernel headers.
    fn new(root: &Path, shared: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                MOUNTS,
                "sh",
            ])
            .args([root, shared])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut holder = dies_with_us(&mut command).spawn()?;
        let mut line = String::new();
        if let Some(pipe) = holder.stdout.take() {
            BufReader::new(pipe).read_line(&mut line)?;
        }
        let namespace = Self {
            root: root.to_owned(),
            holder,
        };
        if line != "ready\n" {
            bail!("failed to mount what the peers need; see above");
        }
        Ok(namespace)
    }

    fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        command
            .arg(namespace)
            .arg("chroot")
            .arg(&self.root)
            .arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// `$1` is the root, `$2` the folder with the programs. Headers are of another kernel; for user probes
/// and tracepoints any will do.
const MOUNTS: &str = r#"
cd /
modules=/lib/modules/$(uname -r)
mount -t tmpfs none /lib/modules
mkdir "$modules"
for headers in /usr/src/linux-headers-*-cloud-amd64; do ln -sfn "$headers" "$modules/build"; done
for headers in /usr/src/linux-headers-*-common; do ln -sfn "$headers" "$modules/source"; done
grep -q ' /sys/kernel/debug debugfs' /proc/mounts || mount -t debugfs none /sys/kernel/debug
grep -q ' /sys/kernel/tracing tracefs' /proc/mounts || mount -t tracefs none /sys/kernel/tracing
if [ "$1" != / ]; then
    for folder in /sys /proc /dev /lib/modules /usr/src "$2"; do
        mkdir -p "$1$folder"
        mount --rbind "$folder" "$1$folder"
    done
fi
echo ready
exec sleep infinity
"#;

/// The peers, and what is to be told of them. `shared` is the folder of the programs that they trace.
///
/// # Errors
///
/// When there are none.
pub fn install(shared: &Path) -> anyhow::Result<(Vec<Tool>, Vec<String>)> {
    packages::install(&[HEADERS])?;
    let mut notes = Vec::new();
    let root = match newest() {
        Ok(root) => root,
        Err(error) => {
            let text = format!("{error:#}");
            let why = super::process::reason(&text);
            notes.push(format!("peers are of the machine's own suite: {why}"));
            packages::install(&PACKAGES)?;
            PathBuf::from("/")
        }
    };
    let namespace = Arc::new(Namespace::new(&root, shared)?);
    let peer = |kind, package| -> anyhow::Result<Tool> {
        let version = version(&namespace, package)?;
        Ok(Tool::peer(
            kind,
            &version,
            Place::Namespace(Arc::clone(&namespace)),
        ))
    };
    let tools = vec![
        peer(Kind::Bcc, "bpfcc-tools")?,
        peer(Kind::Bpftrace, "bpftrace")?,
    ];
    Ok((tools, notes))
}

/// The folder with the newest suite; made the first time.
fn newest() -> anyhow::Result<PathBuf> {
    let folder = target("peers");
    let root = folder.join(SUITE);
    let complete = folder.join(format!("{SUITE}.complete"));
    if complete.exists() {
        return Ok(root);
    }
    packages::install(&["debootstrap"])?;
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::create_dir_all(&folder)?;
    let include = format!("--include={}", PACKAGES.join(","));
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", &include, SUITE])
        .arg(&root)
        .arg(packages::mirror(false)?);
    eprintln!("unpacking {SUITE} with {} ...", PACKAGES.join(" and "));
    output(&mut debootstrap).context("failed to unpack the newest suite")?;
    fs::write(complete, "")?;
    Ok(root)
}

/// The version of an installed package, as its authors count.
fn version(namespace: &Namespace, package: &str) -> anyhow::Result<String> {
    let mut query = namespace.command("dpkg-query".as_ref());
    let version = output(query.args(["-W", "-f", "${Version}", package]))?;
    Ok(upstream(&version))
}

/// The first two numbers of a version: `0.37.0+ds-8` is 0.37.
fn upstream(version: &str) -> String {
    let numbers: Vec<&str> = version
        .split(|c: char| !c.is_ascii_digit())
        .take(2)
        .collect();
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_authors() {
        assert_eq!(upstream("0.37.0+ds-8"), "0.37");
        assert_eq!(upstream("0.27.1-1"), "0.27");
    }
}
