//! What runs inside a virtual machine: a file system in memory with the tools, the tests, the
//! fixtures and what they need, and an `/init` that runs one command.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{
    command::{output, run},
    kernels::{Files, Kernel, MODULE},
    packages,
    qemu::{self, Booted},
    suite::Build,
};

const TIMEOUT: Duration = Duration::from_secs(900);
/// Lines of the kernel's log that mean that it was harmed.
const HARM: [&str; 5] = ["BUG:", "WARNING:", "Oops", "Kernel panic", "INFO: rcu"];

/// What a machine gets beside its kernel's things.
#[derive(Debug)]
pub struct Contents {
    /// Static programs, by what they are called there.
    pub programs: Vec<(&'static str, PathBuf)>,
    /// The folder of the programs that are traced.
    pub fixtures: PathBuf,
}

/// How a command in a machine ended.
#[derive(Debug)]
pub struct Finished {
    /// What it wrote, to either output.
    pub output: String,
    /// Its exit status; nothing if the machine went down before.
    pub status: Option<u8>,
    /// What the kernel said that means harm, and then.
    pub harm: Vec<String>,
}

/// Runs `command` in a machine, and shows what it writes.
///
/// # Errors
///
/// When the machine can't be made.
pub fn run_command(kernel: &str, command: &str) -> anyhow::Result<ExitCode> {
    let build = Build::new()?;
    let kernel = Kernel::named(kernel)?;
    prepare(&[kernel])?;
    let finished = run_in(kernel, &build.contents(), command)?;
    print!("{}", finished.output);
    for line in &finished.harm {
        eprintln!("kernel: {line}");
    }
    Ok(finished.status.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Installs what machines need, and downloads the kernels.
///
/// # Errors
///
/// When something can't be had.
pub fn prepare(kernels: &[Kernel]) -> anyhow::Result<()> {
    packages::install(&["qemu-system-x86", "busybox-static", "cpio"])?;
    kernels
        .iter()
        .try_for_each(|kernel| kernel.files().map(drop))
}

/// Runs `command` in a machine with `kernel`, for which all was prepared.
///
/// # Errors
///
/// When the machine can't be made, or does not go off by itself.
pub fn run_in(kernel: Kernel, contents: &Contents, command: &str) -> anyhow::Result<Finished> {
    let Files { image, module } = kernel.files()?;
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let root = folder.path().join("root");
    pack_module(&module, &root)?;
    pack(contents, command, &root, &initramfs)?;
    let Booted { console, results } = qemu::boot(
        &image,
        kernel.parameters,
        &initramfs,
        folder.path(),
        TIMEOUT,
    )?;
    let (output, status) = match results.rsplit_once("\nEXIT ") {
        Some((output, status)) => (output.to_owned() + "\n", status.trim().parse().ok()),
        None => (format!("{results}\n{console}"), None),
    };
    Ok(Finished {
        output,
        status,
        harm: harm(&console),
    })
}

/// What the kernel said that means harm, and then; nothing if it did not.
fn harm(console: &str) -> Vec<String> {
    /// As long as a report with its registers and stack.
    const LINES: usize = 100;

    let is_harmless = |line: &&str| !HARM.iter().any(|word| line.contains(word));
    let lines = console.lines().skip_while(is_harmless).take(LINES);
    lines.map(str::to_owned).collect()
}

/// The module as the kernel loads it; older kernels can't decompress one.
fn pack_module(module: &Path, root: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(root.join("lib"))?;
    let unpacked = root.join("lib").join(format!("{MODULE}.ko"));
    if module.extension().is_some_and(|ending| ending == "xz") {
        run(Command::new("/bin/busybox")
            .args(["unxz", "-c"])
            .arg(module)
            .stdout(fs::File::create(unpacked)?))
    } else {
        fs::copy(module, unpacked)?;
        Ok(())
    }
}

fn pack(contents: &Contents, command: &str, root: &Path, initramfs: &Path) -> anyhow::Result<()> {
    for folder in ["bin", "proc", "sys", "dev", "tmp", "etc"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    for (name, program) in &contents.programs {
        // Without what is only for a debugger: all of it is kept in the machine's memory.
        let stripped = root.join("bin").join(name);
        run(Command::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .args([&stripped, program]))?;
    }
    copy_fixtures(&contents.fixtures, root)?;
    let init = root.join("init");
    fs::write(&init, init_script(command))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let pack = format!(
        "find . | cpio --create --format=newc --quiet > {}",
        initramfs.display()
    );
    run(Command::new("sh")
        .args(["-c", &pack])
        .current_dir(root)
        .stdin(Stdio::null()))
}

/// tracefs and debugfs are left out: the tools must do without.
fn init_script(command: &str) -> String {
    format!(
        "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin PROBEKIT=/bin/probekit PROBEKIT_FIXTURES=/fixtures HOME=/tmp
export PROBEKIT_MODULE=/lib/{MODULE}.ko
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s probekit /bin/funccount
ip link set lo up
( {command} ) < /dev/null > /dev/ttyS1 2>&1
status=$?
printf '\\nEXIT %s\\n' $status > /dev/ttyS1
poweroff -f
"
    )
}

/// The fixtures, and the libraries that they are linked with, each at its own place.
fn copy_fixtures(fixtures: &Path, root: &Path) -> anyhow::Result<()> {
    let to = root.join("fixtures");
    fs::create_dir_all(&to)?;
    let mut libraries = BTreeSet::new();
    for entry in fs::read_dir(fixtures)? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?;
        fs::copy(&path, to.join(name))?;
        libraries.extend(libraries_of(&path));
    }
    for library in libraries {
        let inside = library.strip_prefix("/").unwrap_or(&library);
        let to = root.join(inside);
        fs::create_dir_all(to.parent().context("a library is in a folder")?)?;
        fs::copy(&library, to).with_context(|| format!("{}", library.display()))?;
    }
    Ok(())
}

/// The libraries that a program loads, the loader itself among them; none if it is no program.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let listed = output(Command::new("ldd").arg(program)).unwrap_or_default();
    let words = listed.split_whitespace();
    words
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

/// Fails if the kernel was harmed.
///
/// # Errors
///
/// When it was, with what it said.
pub fn check_unharmed(finished: &Finished) -> anyhow::Result<()> {
    if !finished.harm.is_empty() {
        bail!("the kernel was harmed:\n{}", finished.harm.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(console: &str) -> Finished {
        Finished {
            output: String::new(),
            status: Some(0),
            harm: harm(console),
        }
    }

    #[test]
    fn a_warning_of_the_kernel_makes_a_run_fail() {
        // As Linux writes it up to 6.18, and since.
        for warning in [
            "[    2.1] WARNING: CPU: 1 PID: 77 at kernel/trace/ftrace.c:2180 ftrace_bug+0x10/0x2a0",
            "[    2.1] WARNING: kernel/trace/ftrace.c:2180 at ftrace_bug+0x10/0x2a0, CPU#1: suite/77",
        ] {
            let console = format!("[    1.0] Linux version 6.12\n{warning}\n[    2.2] Modules:\n");
            let error = check_unharmed(&finished(&console)).expect_err("harmed");
            let told = format!("{warning}\n[    2.2] Modules:");
            assert!(error.to_string().ends_with(&told), "{error}");
        }
    }

    #[test]
    fn other_messages_do_not() {
        let console = "[    0.1] tsc: Unable to calibrate\n[    0.2] hpet: lost events\n";
        assert!(check_unharmed(&finished(console)).is_ok());
    }
}
