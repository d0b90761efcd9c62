//! A root file system with nothing in it but the program, `/proc`, `/sys` and `/dev`: no libraries,
//! no shell, no `/etc`, no `/tmp`.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use tests::{
    kernel::Kernel,
    process::{Finished, probekit},
};

/// Ends at once, and calls `exit_group` to do so.
const COMMAND: [&str; 3] = ["--", "/probekit", "--version"];

/// Makes what the kernel brings be there, in mounts of its own, and runs the rest of the arguments.
const ENTER: &str = "cd \"$1\" && shift && mount -t proc proc proc && mount -t sysfs sysfs sys && \
                     mount -t devtmpfs devtmpfs dev && exec chroot . \"$@\"";

/// The file system, without what the kernel brings.
struct BareRoot(TempDir);

impl BareRoot {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = fs::read(probekit()).expect("it is there");
        assert!(
            !has_interpreter(&program),
            "only a static program runs there: cargo xtask test builds one"
        );
        for kernels in ["proc", "sys", "dev"] {
            fs::create_dir(folder.path().join(kernels)).expect("there is room");
        }
        fs::copy(probekit(), folder.path().join("probekit")).expect("there is room");
        for tool in ["funccount", "stackcount", "trace"] {
            symlink("probekit", folder.path().join(tool)).expect("there is room");
        }
        Self(folder)
    }

    /// Runs a program of it to its end.
    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .arg(self.0.path())
            .args(arguments);
        Finished::of(command)
    }

    /// What a program of it writes, which succeeds.
    fn output(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert!(finished.status.success(), "{arguments:?}: {finished:#?}");
        finished.stdout
    }
}

/// Whether a 64-bit program names a loader of libraries (`PT_INTERP`).
fn has_interpreter(program: &[u8]) -> bool {
    const HEADERS: usize = 0x20;
    const SIZE: usize = 0x36;
    const COUNT: usize = 0x38;
    const PT_INTERP: usize = 3;

    let number = |at: usize, bytes: usize| {
        let digits = program[at..at + bytes].iter().rev();
        digits.fold(0, |number, &digit| number << 8 | usize::from(digit))
    };
    let (first, size) = (number(HEADERS, 8), number(SIZE, 2));
    (0..number(COUNT, 2)).any(|header| number(first + header * size, 4) == PT_INTERP)
}

/// The verdicts of doctor but those on files of the system.
fn verdicts(finished: &Finished) -> BTreeMap<String, String> {
    let parse = |line: &str| serde_json::from_str(line).expect("an object a line");
    let checks = finished.stdout.lines().map(parse);
    let verdict = |check: Value| {
        let text = |key: &str| check[key].as_str().expect("text").to_owned();
        (text("check"), text("status"))
    };
    let of_files = |name: &str| name.starts_with("C library") || name == "kernel options";
    let verdicts = checks.map(verdict);
    verdicts.filter(|(name, _)| !of_files(name)).collect()
}

#[test]
fn doctor_finds_what_it_finds_on_a_whole_system() {
    let mut outside = Command::new(probekit());
    outside.args(["doctor", "--json"]);
    let outside = verdicts(&Finished::of(outside));
    assert!(outside.len() > 15, "{outside:#?}");
    let inside = BareRoot::new().run(&["/probekit", "doctor", "--json"]);
    assert_eq!(verdicts(&inside), outside, "{inside:#?}");
}

#[test]
fn the_tools_count_and_trace() {
    let root = BareRoot::new();
    let run = |arguments: &[&str]| root.run(&[arguments, &COMMAND].concat());
    let tracepoint = "t:syscalls:sys_enter_exit_group";
    let counted = run(&["/funccount", tracepoint]);
    assert_eq!(counted.count("syscalls:sys_enter_exit_group"), 1);
    let stacks = run(&["/stackcount", tracepoint]);
    assert!(stacks.stdout.ends_with("\n    1\n\n"), "{stacks:#?}");
    let traced = run(&["/trace", &format!("{tracepoint} \"%d\", args->error_code")]);
    assert!(traced.stdout.ends_with(" 0\n"), "{traced:#?}");
    let function = "__x64_sys_exit_group";
    let counted = run(&["/funccount", function]);
    if Kernel::current().should_attach("kprobe.single") {
        assert_eq!(counted.count(function), 1, "{counted:#?}");
    } else {
        counted.assert_failure(1, "error: ");
    }
}

#[test]
fn what_is_there_can_be_learnt_and_installed() {
    let root = BareRoot::new();
    let listed = root.output(&["/probekit", "list", "-v", "t:sched:sched_process_fork"]);
    assert!(listed.contains("pid_t child_pid"), "{listed}");
    let completed = root.output(&["/probekit", "complete", "--", "trace", "t:sched:sched_sw"]);
    assert!(completed.contains("t:sched:sched_switch"), "{completed}");
    assert!(
        root.output(&["/probekit", "help", "recipes"])
            .contains("# ")
    );
    let page = root.output(&["/probekit", "man", "trace"]);
    assert!(page.contains(".SH EXAMPLES"), "{page}");
    root.output(&["/probekit", "install", "--prefix", "/usr"]);
    let version = root.output(&["/usr/bin/stackcount", "--version"]);
    assert!(version.starts_with("stackcount "), "{version}");
}
