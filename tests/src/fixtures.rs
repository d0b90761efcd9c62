//! The programs that the tests trace, compiled by the C compiler of the machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// The compiled program `name`: from the folder in `PROBEKIT_FIXTURES`, where somebody has built
/// them (as in a virtual machine without a compiler), else built now.
///
/// # Panics
///
/// When they can't be built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| match env::var_os("PROBEKIT_FIXTURES") {
            Some(directory) => directory.into(),
            None => {
                let directory = env::temp_dir().join("probekit-fixtures");
                build(&directory).expect("the fixtures compile");
                directory
            }
        })
        .join(name)
}

/// Builds all of them into `directory`.
///
/// # Errors
///
/// When a compiler is missing or fails.
pub fn build(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)?;
    // Stacks hold all callers.
    const NO_TAIL_CALLS: &str = "-fno-optimize-sibling-calls";

    let compile = |name: &str, compiler: &str, arguments: &str| {
        let mut words = vec![
            compiler,
            "-O2",
            "-fno-omit-frame-pointer",
            NO_TAIL_CALLS,
            "-o",
            name,
        ];
        words.extend(arguments.split(' '));
        run(directory, &words)
    };
    let source = |name: &str| format!("{SOURCES}/{name}");

    let calls = source("calls.c");
    compile("calls", "gcc", &format!("-g -pthread {calls}"))?;
    let no_frames = format!("-g -fomit-frame-pointer -pthread {calls}");
    compile("calls-omit", "gcc", &no_frames)?;
    compile("calls-static", "gcc", &format!("-static -pthread {calls}"))?;
    compile("calls-stripped", "gcc", &format!("-s -pthread {calls}"))?;
    let bare = format!("-s -static -no-pie -pthread {calls}");
    compile("calls-bare", "gcc", &bare)?;
    compile("examples", "gcc", &source("examples.c"))?;
    compile("shapes", "g++", &source("shapes.cpp"))?;
    let twins = format!("{} {}", source("twins_a.c"), source("twins_b.c"));
    compile("twins", "gcc", &twins)?;
    let library = format!("-shared -fPIC {}", source("library.c"));
    compile("libpkfixture.so", "gcc", &library)?;
    compile("loader", "gcc", &source("loader.c"))?;
    let stacks = source("stacks.c");
    compile("stacks", "gcc", &format!("-pthread {stacks}"))?;
    compile(
        "stacks-inlined",
        "g++",
        &format!("-g {}", source("inlined.cpp")),
    )?;
    for (program, function) in [("first", "suc_first"), ("second", "suc_second")] {
        let arguments = format!("-static -no-pie -DNAME={function}");
        compile(
            program,
            "gcc",
            &format!("{arguments} {}", source("successor.c")),
        )?;
    }
    compile("request", "gcc", &format!("-g {}", source("request.c")))?;
    compile("misread", "gcc", &source("misread.c"))?;
    compile("values", "gcc", &source("values.c"))?;
    compile("many", "gcc", &source("many.c"))?;
    compile("passed", "g++", &format!("-g {}", source("passed.cpp")))?;
    mark_as_go(directory)?;
    build_with_hostile_name(directory, &source("escape.c"))?;
    split_debug_file(directory)?;
    pack_debug_data(directory)
}

/// A program with symbols that no assembler would take: one that is for terminals, and one for those
/// who draw and fold stacks, where a number behind a space is a count.
fn build_with_hostile_name(directory: &Path, source: &str) -> anyhow::Result<()> {
    let compiler = ["gcc", "-O2", "-fno-omit-frame-pointer", "-c"];
    run(
        directory,
        &[&compiler[..], &["-o", "escape.o", source]].concat(),
    )?;
    let renamings = [
        "--redefine-sym=pk_evil=pk_evil_\x1b[2J",
        "--redefine-sym=pk_markup=pk_markup<script>\"&';]]>\n\x1b 7",
    ];
    run(
        directory,
        &["objcopy", renamings[0], renamings[1], "escape.o"],
    )?;
    run(directory, &["gcc", "-o", "escape", "escape.o"])
}

/// A program that looks like one that Go has built.
fn mark_as_go(directory: &Path) -> anyhow::Result<()> {
    fs::write(directory.join("buildinfo"), b"\xff Go buildinf:")?;
    let section = "--add-section=.go.buildinfo=buildinfo";
    run(directory, &["objcopy", section, "calls", "calls-go"])
}

/// A stripped program with its symbols in a file beside it.
fn split_debug_file(directory: &Path) -> anyhow::Result<()> {
    fs::copy(directory.join("calls"), directory.join("calls-split"))?;
    let debug_file = "calls-split.debug";
    run(
        directory,
        &["objcopy", "--only-keep-debug", "calls-split", debug_file],
    )?;
    run(directory, &["strip", "calls-split"])?;
    let link = format!("--add-gnu-debuglink={debug_file}");
    run(directory, &["objcopy", &link, "calls-split"])
}

/// A stripped program with its symbols in a section of its own, as some distributions ship all
/// (<https://fedoraproject.org/wiki/Features/MiniDebugInfo>).
fn pack_debug_data(directory: &Path) -> anyhow::Result<()> {
    run(
        directory,
        &["objcopy", "--only-keep-debug", "stacks", "symbols"],
    )?;
    run(directory, &["xz", "--force", "symbols"])?;
    let section = "--add-section=.gnu_debugdata=symbols.xz";
    run(
        directory,
        &["objcopy", "--strip-all", section, "stacks", "stacks-packed"],
    )
}

fn run(directory: &Path, words: &[&str]) -> anyhow::Result<()> {
    let [program, arguments @ ..] = words else {
        bail!("no command");
    };
    let status = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .status()
        .with_context(|| format!("failed to run {program}"))?;
    if !status.success() {
        bail!("{} failed: {status}", words.join(" "));
    }
    Ok(())
}
