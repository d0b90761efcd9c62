//! What programs call themselves and what they hand over is written so that it moves no cursor,
//! breaks no line and no column, and stays valid for those who parse it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    process::Command,
};

use tempfile::TempDir;
use tests::{
    fixtures,
    process::{Finished, funccount, stackcount, trace},
};

use super::fixture;

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
fn names_of_processes_beside_counts() {
    let hostile = Hostile::new();
    let finished = hostile.run(funccount(&["--by", "comm", EVENT]));
    let mut rows = finished.stdout.lines();
    assert!(
        rows.any(|row| row.contains(" \\u{1b}[2J;x") && row.ends_with(" 3")),
        "{finished:#?}"
    );
    let rows = objects(&hostile.run(funccount(&["--json", "--by", "comm", EVENT])));
    let name = |row: &serde_json::Value| row["comm"].as_str().map(str::to_owned);
    let names: Vec<String> = rows.iter().filter_map(name).collect();
    assert!(
        names.iter().any(|name| name.starts_with("\x1b[2J;x 1\n")),
        "{names:?}"
    );
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

/// What the boxes of a flame graph say, once it is seen to be well-formed; its spaces are spaces.
fn boxes(graph: &Path) -> Vec<String> {
    let text = fs::read_to_string(graph).expect("UTF-8");
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    let document = roxmltree::Document::parse_with_options(&text, options).expect("XML");
    let titles = document
        .descendants()
        .filter(|node| node.has_tag_name("title"));
    let texts = titles.filter_map(|title| Some(title.text()?.replace('\u{a0}', " ")));
    texts.collect()
}

#[test]
fn names_of_functions_and_processes_in_flame_graphs() {
    // The last would be a comment where a line starts with it.
    for name in [NAME, b"<script>&\"'", b"x 5 7", b"# x"] {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join(OsStr::from_bytes(name));
        symlink(fixtures::path("escape"), &program).expect("linked");
        let graph = folder.path().join("graph.svg");
        let probe = format!("{}:pk_markup*", fixture("escape"));
        let mut command = stackcount(&["-f", "-U", &probe, "--flamegraph"]);
        command.arg(&graph).arg("--").arg(&program).arg("3");
        let finished = Finished::of(command);
        assert_harmless(&finished);
        let function = "pk_markup<script>\"&':]]>\\n\\u{1b} 7";
        let line = format!(";main;{function} 3\n");
        assert!(finished.stdout.ends_with(&line), "{finished:#?}");
        assert_eq!(finished.stdout.lines().count(), 1, "{finished:#?}");
        // Nothing is taken for anything else than a part of a name.
        let comm = finished.stdout.split(';').next().unwrap_or_default();
        let boxes = boxes(&graph);
        for shown in [comm, function] {
            let shown = format!("{shown} (3 events, 100.00%)");
            assert!(boxes.contains(&shown), "no {shown} in {boxes:#?}");
        }
    }
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
