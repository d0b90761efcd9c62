//! The kernels of the matrix: Debian's packages, unpacked without installing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{packages::Suite, target};

/// A kernel of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// What it is called here: its major and minor number.
    pub name: &'static str,
    suite: &'static str,
    package: &'static str,
    /// What is added to its command line.
    pub parameters: &'static str,
    /// Arguments that choose the tests for it.
    pub tests: &'static str,
}

/// All tests but those that need a kernel started for them.
pub const ORDINARY: &str = "--skip locked_down::";

/// All of them, and what they stand for: no cookies and no multi links; cookies, but `CONFIG_FPROBE`
/// unset; everything; the newest; and one that keeps its secrets from root.
pub const KERNELS: [Kernel; 5] = [
    Kernel {
        name: "5.10",
        suite: "bullseye-security",
        package: "linux-image-5.10.",
        parameters: "",
        tests: ORDINARY,
    },
    Kernel {
        name: "6.1",
        suite: "bookworm",
        package: "linux-image-6.1.",
        parameters: "",
        tests: ORDINARY,
    },
    Kernel {
        name: "6.12",
        suite: "trixie",
        package: "linux-image-6.12.",
        parameters: "",
        tests: ORDINARY,
    },
    Kernel {
        name: "7.2",
        suite: "sid",
        package: "linux-binary-7.",
        parameters: "",
        tests: ORDINARY,
    },
    Kernel {
        name: "6.12-locked",
        suite: "trixie",
        package: "linux-image-6.12.",
        parameters: "lockdown=confidentiality",
        tests: "locked_down::",
    },
];

impl Kernel {
    /// The kernel called `name`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let names = KERNELS.map(|kernel| kernel.name).join(", ");
        let mut kernels = KERNELS.into_iter();
        kernels
            .find(|kernel| kernel.name == name)
            .with_context(|| format!("there is no kernel {name}; there are {names}"))
    }

    /// The kernel's image; downloaded the first time.
    ///
    /// # Errors
    ///
    /// When it can't be had.
    pub fn image(&self) -> anyhow::Result<PathBuf> {
        let folder = target("kernels").join(self.package.trim_end_matches('.'));
        let unpacked = folder.join("root");
        if let Some(image) = find_image(&unpacked) {
            return Ok(image);
        }
        let suite = Suite::open(self.suite, &folder)?;
        let package = suite.newest(self.package, "-cloud-amd64")?;
        suite.unpack(&package, &unpacked)?;
        find_image(&unpacked).with_context(|| format!("there is no kernel in {package}"))
    }
}

/// `boot/vmlinuz-*`, or `usr/lib/modules/*/vmlinuz` in newer packages.
fn find_image(root: &Path) -> Option<PathBuf> {
    let entries = |folder: &str| {
        fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
    };
    let in_boot = entries("boot").map(|entry| entry.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("vmlinuz"))
    });
    in_boot.or_else(|| {
        let modules = entries("usr/lib/modules");
        modules
            .map(|entry| entry.path().join("vmlinuz"))
            .find(|path| path.exists())
    })
}
