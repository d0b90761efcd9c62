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
    /// How the names of the packages with the image and the modules begin.
    packages: &'static [&'static str],
    /// What is added to its command line.
    pub parameters: &'static str,
    /// Arguments that choose the tests for it.
    pub tests: &'static str,
    /// Whether it is tested on only if it is named: the mirror need not keep it.
    pub is_extra: bool,
}

/// All tests but those that need a kernel started for them.
pub const ORDINARY: &str = "--skip locked_down::";

/// The same on this machine, which need not have the module, and whose limits, processors and clock
/// are others' too.
pub const HERE: &str =
    "--skip locked_down:: --skip modules:: --skip deep_stacks:: --skip faults::machine::";

/// All of them, and what they stand for: no cookies and no multi links; cookies, but `CONFIG_FPROBE`
/// unset; everything; fprobes made of the function graph tracer, which know too little of the
/// registers; the newest; and one that keeps its secrets from root.
pub const KERNELS: [Kernel; 6] = [
    Kernel {
        name: "5.10",
        suite: "bullseye-security",
        packages: &["linux-image-5.10."],
        parameters: "",
        tests: ORDINARY,
        is_extra: false,
    },
    Kernel {
        name: "6.1",
        suite: "bookworm",
        packages: &["linux-image-6.1."],
        parameters: "",
        tests: ORDINARY,
        is_extra: false,
    },
    Kernel {
        name: "6.12",
        suite: "trixie",
        packages: &["linux-image-6.12."],
        parameters: "",
        tests: ORDINARY,
        is_extra: false,
    },
    Kernel {
        name: "6.17",
        suite: "trixie-backports",
        packages: &["linux-image-6.17."],
        parameters: "",
        tests: ORDINARY,
        is_extra: true,
    },
    Kernel {
        name: "7.2",
        suite: "sid",
        packages: &["linux-binary-7.", "linux-modules-7."],
        parameters: "",
        tests: ORDINARY,
        is_extra: false,
    },
    Kernel {
        name: "6.12-locked",
        suite: "trixie",
        packages: &["linux-image-6.12."],
        parameters: "lockdown=confidentiality",
        tests: "locked_down::",
        is_extra: false,
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

    /// The kernel's image and the module; downloaded the first time.
    ///
    /// # Errors
    ///
    /// When they can't be had.
    pub fn files(&self) -> anyhow::Result<Files> {
        let name = self.packages.first().context("a kernel has a package")?;
        let folder = target("kernels").join(name.trim_end_matches('.'));
        let unpacked = folder.join("root");
        if let Some(files) = Files::find(&unpacked) {
            return Ok(files);
        }
        // Image and modules must be of one build, and the mirror has the newest only.
        if unpacked.exists() {
            fs::remove_dir_all(&unpacked)?;
        }
        let suite = Suite::open(self.suite, &folder)?;
        for package in self.packages {
            suite.unpack(&suite.newest(package, "-cloud-amd64")?, &unpacked)?;
        }
        Files::find(&unpacked)
            .with_context(|| format!("there is no kernel with a module {MODULE} in {name}*"))
    }
}

/// The module that is traced: small, without others that it needs, and with a function that each
/// call of `ioctl` on its device runs once.
pub const MODULE: &str = "loop";

/// What is booted.
#[derive(Debug)]
pub struct Files {
    /// The kernel's image.
    pub image: PathBuf,
    /// The file of [`MODULE`], compressed or not.
    pub module: PathBuf,
}

impl Files {
    fn find(root: &Path) -> Option<Self> {
        Some(Self {
            image: find_image(root)?,
            module: find_module(root)?,
        })
    }
}

/// `kernel/drivers/block/loop.ko` in the folder of the kernel's modules, or the same compressed.
fn find_module(root: &Path) -> Option<PathBuf> {
    let versions = ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|folder| entries(root, folder));
    let mut files = versions.flat_map(|version| {
        ["ko", "ko.xz"]
            .map(|ending| version.join(format!("kernel/drivers/block/{MODULE}.{ending}")))
    });
    files.find(|path| path.exists())
}

/// What is in a folder; nothing if it is not there.
fn entries(root: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(folder)).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// `boot/vmlinuz-*`, or `usr/lib/modules/*/vmlinuz` in newer packages.
fn find_image(root: &Path) -> Option<PathBuf> {
    let in_boot = entries(root, "boot").into_iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("vmlinuz"))
    });
    in_boot.or_else(|| {
        let versions = entries(root, "usr/lib/modules").into_iter();
        versions
            .map(|version| version.join("vmlinuz"))
            .find(|path| path.exists())
    })
}
