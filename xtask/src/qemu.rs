//! Booting a kernel under QEMU.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// Messages to the first serial port; harm ends the machine. The kernel's warnings are of level 4,
/// and only what lies below `loglevel` is shown.
const PARAMETERS: &str = "console=ttyS0 quiet loglevel=5 panic=-1 oops=panic";

/// What a machine wrote until it was off.
#[derive(Debug)]
pub struct Booted {
    /// To its first serial port: the kernel's messages.
    pub console: String,
    /// To its second: what its `/init` had to say.
    pub results: String,
}

/// Boots `image` with `initramfs` and `parameters` for the kernel, and waits until the machine is
/// off.
///
/// The processor is emulated, since virtual machines can't be nested everywhere. `-cx16`: this
/// instruction is emulated wrongly by QEMU 7.2, and the slab allocator of newer kernels panics.
///
/// # Errors
///
/// When QEMU fails, or the machine is still on after `timeout`.
pub fn boot(
    image: &Path,
    parameters: &str,
    initramfs: &Path,
    folder: &Path,
    timeout: Duration,
) -> anyhow::Result<Booted> {
    let [console, results] = ["console", "results"].map(|name| folder.join(name));
    let serial = |path: &Path| format!("file:{}", path.display());
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-machine",
        "q35",
        "-accel",
        // All processors in turns on one thread: at the same time they have run breakpoints that
        // another had taken away, as probes came and went (7.2 twice in a dozen runs, an int3 in
        // `trace_syscall_enter`; 5.10 once, a jump to address 0 as the breakpoint was taken for a
        // kprobe's). QEMU before 8.1 may translate code that is being written, and keep it
        // ("accel/tcg: Always lock pages before translation").
        "tcg,thread=single",
        "-cpu",
        "qemu64,-cx16",
    ])
    .args([
        "-smp",
        "2",
        "-m",
        "1500",
        "-display",
        "none",
        "-no-reboot",
        "-nic",
        "none",
    ])
    .args(["-serial", &serial(&console), "-serial", &serial(&results)])
    .arg("-append")
    .arg(format!("{PARAMETERS} {parameters}"))
    .arg("-kernel")
    .arg(image)
    .arg("-initrd")
    .arg(initramfs)
    .stdin(Stdio::null());
    let mut machine = qemu.spawn().context("failed to run qemu-system-x86_64")?;
    let deadline = Instant::now() + timeout;
    let ended = loop {
        if machine.try_wait()?.is_some() {
            break true;
        }
        if Instant::now() > deadline {
            machine.kill()?;
            machine.wait()?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let read = |path: &Path| -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(path)?).replace('\r', ""))
    };
    let booted = Booted {
        console: read(&console)?,
        results: read(&results)?,
    };
    if !ended {
        let Booted { console, results } = booted;
        bail!("the machine was still on after {timeout:?}:\n{console}\n{results}");
    }
    Ok(booted)
}
