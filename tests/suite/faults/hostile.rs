//! What programs call themselves and what they hand over is written so that it moves no cursor,
//! breaks no line and no column, and stays valid for those who parse it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    process::Command,
};

use tempfile::TempDir;
use tests::{
    fixtures,
    process::{Finished, stackcount, trace},
};

/// An escape sequence, the separator of folded lines, the end of a line, and no UTF-8.
const NAME: &[u8] = b"\x1b[2J;x 1\n\xff";
const EVENT: &str = "t:syscalls:sys_enter_getppid";

/// A program whose name is hostile, and so that of its processes.
struct Hostile {
    folder: TempDir,
}

impl Hostile {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(OsStr::from_bytes(NAME));
        fs::copy(fixtures::path("calls"), path).expect("copied");
        Self { folder }
    }

    /// Runs it under `tool`, and asserts that no control character comes through.
    fn run(&self, mut tool: Command) -> Finished {
        let program: OsString = self.folder.path().join(OsStr::from_bytes(NAME)).into();
        tool.arg("--").arg(program).args(["getppid", "3"]);
        let finished = Finished::of(tool);
        assert!(finished.status.success(), "{finished:#?}");
        assert_harmless(&finished);
        finished
    }
}

fn assert_harmless(finished: &Finished) {
    let text = format!("{}{}", finished.stdout, finished.stderr);
    let is_harmful = |character: char| character.is_control() && character != '\n';
    assert!(!text.contains(is_harmful), "{finished:#?}");
}

/// The objects that were written, one a line.
fn objects(finished: &Finished) -> Vec<serde_json::Value> {
    let lines = finished.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect()
}

#[test]
fn names_of_processes_in_columns() {
    let finished = Hostile::new().run(trace(&[EVENT]));
    // A header and three events, each on a line of its own.
    assert_eq!(finished.stdout.lines().count(), 4, "{finished:#?}");
    let events = finished.stdout.lines().skip(1);
    for line in events {
        assert!(
            line.contains(" \\u{1b}[2J;x") && line.contains(" sys_enter_getppid"),
            "{line}"
        );
    }
}

#[test]
fn names_of_processes_above_stacks() {
    let finished = Hostile::new().run(stackcount(&["-P", EVENT]));
    assert!(finished.stdout.contains("\\u{1b}[2J;x"), "{finished:#?}");
}

#[test]
fn names_of_processes_in_json() {
    let hostile = Hostile::new();
    let events = objects(&hostile.run(trace(&["--json", EVENT])));
    assert_eq!(events.len(), 3);
    let stacks = objects(&hostile.run(stackcount(&["--json", "-P", EVENT])));
    for row in events.iter().chain(&stacks) {
        let name = row["comm"].as_str().expect("text");
        assert!(name.starts_with("\x1b[2J;x 1\n"), "{row}");
    }
}

#[test]
fn names_of_processes_in_folded_lines() {
    let finished = Hostile::new().run(stackcount(&["-f", "-U", EVENT]));
    let mut sum = 0;
    for line in finished.stdout.lines() {
        let (stack, count) = line.rsplit_once(' ').expect("a stack and its count");
        sum += count.parse::<u64>().expect("a number");
        let first = stack.split(';').next().unwrap_or_default();
        // The separator within the name must not make two frames of it.
        assert!(
            first.starts_with("\\u{1b}[2J") && first.contains('x'),
            "{line}"
        );
    }
    assert_eq!(sum, 3, "{finished:#?}");
}

#[test]
fn text_that_programs_hand_over() {
    // `cat` can't open it; others may be opened before, so the name is looked for.
    let probe = r#"t:syscalls:sys_enter_openat "%s", args->filename"#;
    for options in [&[][..], &["--json"]] {
        let mut command = trace(options);
        let name = OsStr::from_bytes(b"/no\x1b[2J\n\xff");
        command
            .args([probe, "--", "cat"])
            .arg(name)
            .stderr(std::process::Stdio::null());
        let finished = Finished::of(command);
        assert_harmless(&finished);
        let shown = match options {
            [] => finished
                .stdout
                .lines()
                .any(|line| line.contains("/no\\u{1b}[2J\\n")),
            _ => objects(&finished).iter().any(|row| {
                let message = row["message"].as_str().unwrap_or_default();
                message.starts_with("/no\x1b[2J\n") || message.starts_with("/no\\u{1b}[2J\\n")
            }),
        };
        assert!(shown, "{finished:#?}");
    }
}
