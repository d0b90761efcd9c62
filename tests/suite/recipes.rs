//! The recipes about functions of the kernel, as they are written; tests/targets has the others.

use std::{env, process::Command};

use tests::{
    kernel::Kernel,
    process::{Finished, probekit},
};

/// The recipes' commands whose first probe is a function of the kernel.
fn commands() -> Vec<String> {
    let mut help = Command::new(probekit());
    help.args(["help", "recipes"]);
    let text = Finished::of(help).stdout;
    let commands = text.lines().filter_map(|line| line.strip_prefix("    # "));
    let is_kernels = |command: &&str| {
        let probe = command
            .split_once('\'')
            .map_or(*command, |(_, probe)| probe);
        let spec = probe.split([' ', '\'']).next().unwrap_or(probe);
        probe.len() < command.len() && !spec.contains(':')
    };
    commands.filter(is_kernels).map(str::to_owned).collect()
}

#[test]
fn those_on_kernel_functions_answer_their_questions() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut install = Command::new(probekit());
    install.arg("install").arg("--prefix").arg(folder.path());
    assert!(Finished::of(install).status.success());
    let path = env::var("PATH").unwrap_or_default();
    let commands = commands();
    assert!(!commands.is_empty());
    for command in commands {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .env("PATH", format!("{}/bin:{path}", folder.path().display()));
        let finished = Finished::of(shell);
        if Kernel::current().should_attach("kprobe.single") {
            assert!(finished.status.success(), "{command}: {finished:#?}");
            let (_, probe) = command.split_once('\'').expect("a quoted probe");
            let function = probe.split(' ').next().unwrap_or(probe);
            let mut lines = finished.stdout.lines();
            let is_event = |line: &str| line.contains(&format!(" {function} "));
            assert!(lines.any(is_event), "{command}: {finished:#?}");
            assert!(!finished.stdout.contains("<unreadable>"), "{finished:#?}");
        } else {
            finished.assert_failure(1, "failed to attach");
        }
    }
}
