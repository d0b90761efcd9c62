//! Compiling probes-ebpf to BPF bytecode.
//!
//! Two compilers can: Debian's, which has the core library for BPF as a package, and rustup's
//! nightly, which builds it from its source. The pinned compiler of the project can't.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{
    command::{output, run},
    packages, root, stamp, target,
};

const TARGET: &str = "bpfel-unknown-none";
/// Where Debian puts its core library for BPF.
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none";
const LINKER_VERSION: &str = "^0.13";
/// Debian names the packages of the newer compiler in its stable release `…-web`.
const COMPILERS: [[&str; 3]; 2] = [
    ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"],
    ["rustc", "cargo", "libstd-rust-dev-bpf"],
];

/// A compiler that can make bytecode.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// Arguments for cargo.
    arguments: Vec<&'static str>,
    /// Of the LLVM that it brings; the linker's must not be older.
    llvm: String,
}

/// Builds the object into `tools-cli/bytecode`, with its stamp; installs what is missing.
///
/// # Errors
///
/// When no compiler can be had, or it fails.
pub fn build() -> anyhow::Result<()> {
    let toolchain = debian().or_else(|debian| nightly().context(debian))?;
    let linker = linker(&toolchain.llvm)?;
    let target_folder = target("bpf");
    compile(&toolchain, &linker, &target_folder)?;
    fs::create_dir_all(stamp::folder())?;
    let object = target_folder.join(TARGET).join("release/probes");
    let kept = stamp::folder().join("probes.bpf.o");
    fs::copy(&object, &kept).with_context(|| format!("{}", object.display()))?;
    let objcopy = llvm_folder(&toolchain.llvm).join("llvm-objcopy");
    // Nothing reads the types and lines of a program that is loaded without them.
    run(Command::new(objcopy)
        .args([
            "--strip-debug",
            "--remove-section=.BTF",
            "--remove-section=.BTF.ext",
        ])
        .arg(&kept))?;
    stamp::write()
}

fn debian() -> anyhow::Result<Toolchain> {
    if !Path::new(DEBIAN_CORE).exists() {
        let installed = COMPILERS
            .iter()
            .any(|names| packages::install(names).is_ok());
        if !installed || !Path::new(DEBIAN_CORE).exists() {
            bail!("apt has no Rust core library for BPF");
        }
    }
    let rustc = PathBuf::from("/usr/bin/rustc");
    Ok(Toolchain {
        cargo: "/usr/bin/cargo".into(),
        llvm: llvm_version(&rustc)?,
        rustc,
        arguments: vec![],
    })
}

fn nightly() -> anyhow::Result<Toolchain> {
    let which = |program: &str| -> anyhow::Result<PathBuf> {
        let path =
            output(Command::new("rustup").args(["which", "--toolchain", "nightly", program]))?;
        Ok(path.trim().into())
    };
    let rustc = which("rustc").context("rustup has no nightly compiler")?;
    let sysroot = output(Command::new(&rustc).args(["--print", "sysroot"]))?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src").exists() {
        bail!("run: rustup component add rust-src --toolchain nightly");
    }
    Ok(Toolchain {
        cargo: which("cargo")?,
        llvm: llvm_version(&rustc)?,
        rustc,
        arguments: vec!["-Z", "build-std=core"],
    })
}

/// The major version of the compiler's LLVM.
fn llvm_version(rustc: &Path) -> anyhow::Result<String> {
    let version = output(Command::new(rustc).arg("-vV"))?;
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let major = line.and_then(|version| version.split('.').next());
    Ok(major.context("rustc -vV tells no LLVM version")?.to_owned())
}

fn llvm_folder(llvm: &str) -> PathBuf {
    format!("/usr/lib/llvm-{llvm}/bin").into()
}

fn path_with_llvm(llvm: &str) -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{}:{path}", llvm_folder(llvm).display())
}

/// bpf-linker, built against the compiler's LLVM if it is not there yet.
fn linker(llvm: &str) -> anyhow::Result<PathBuf> {
    let folder = target("tools");
    let linker = folder.join("bin/bpf-linker");
    let packages = [
        &format!("llvm-{llvm}-dev"),
        &format!("libpolly-{llvm}-dev"),
        "libzstd-dev",
        "zlib1g-dev",
    ];
    packages::install(&packages)?;
    if !linker.exists() {
        run(Command::new("cargo")
            .args([
                "install",
                "bpf-linker",
                "--quiet",
                "--version",
                LINKER_VERSION,
                "--locked",
            ])
            .args([
                "--no-default-features",
                "--features",
                &format!("llvm-{llvm}"),
            ])
            .arg("--root")
            .arg(&folder)
            .current_dir(root())
            .env("PATH", path_with_llvm(llvm)))?;
    }
    Ok(linker)
}

fn compile(toolchain: &Toolchain, linker: &Path, target_folder: &Path) -> anyhow::Result<()> {
    let flags = [
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        format!("-Clinker={}", linker.display()),
        // The same object wherever the project lies.
        format!("--remap-path-prefix={}=.", root().display()),
    ];
    let mut cargo = Command::new(&toolchain.cargo);
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "probes-ebpf",
            "--target",
            TARGET,
        ])
        .args(&toolchain.arguments)
        .current_dir(root())
        // What `cargo run` has set for its own compiler.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env("RUSTC", &toolchain.rustc)
        // Assembly and `build-std` are not stable for this target.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_TARGET_DIR", target_folder)
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .env("PATH", path_with_llvm(&toolchain.llvm));
    run(&mut cargo)
}
