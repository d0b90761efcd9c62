//! Completion in real shells, on a terminal of their own: Tab is pressed, the line is run, and what
//! it runs says what it was given.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;
use tests::process::probekit;

/// What is typed behind `funccount ` before each Tab and what the Tab adds, then what it gets.
const CASES: [(&[(&str, &str)], &str); 6] = [
    (&[("sched_getaffinit", "y")], "sched_getaffinity"),
    (&[("c:malloc_us", "able_size")], "c:malloc_usable_size"),
    (&[("'c:malloc_us", "able_size")], "c:malloc_usable_size"),
    (&[("r:c:malloc_us", "able_size")], "r:c:malloc_usable_size"),
    (
        &[("t:sysc", "alls:"), ("sys_enter_getpri", "ority")],
        "t:syscalls:sys_enter_getpriority",
    ),
    (&[("--attach-w", "ith")], "--attach-with"),
];

/// A shell on a terminal.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    _home: TempDir,
}

impl Shell {
    fn start(command: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        // What waits for keys that never come is not to hang the tests.
        let mut child = Command::new("timeout")
            .args(["-s", "KILL", "60", "script", "--quiet", "--return"])
            .args(["--command", command, "/dev/null"])
            .env("HOME", home.path())
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux has it");
        Self {
            stdin: child.stdin.take().expect("piped"),
            stdout: child.stdout.take().expect("piped"),
            child,
            _home: home,
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).expect("it listens");
        self.stdin.flush().expect("it listens");
    }

    /// Reads until `text` has come.
    fn expect(&mut self, text: &str) {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(text.as_bytes()) {
            let bytes = self.stdout.read(&mut byte).expect("it can be read");
            let so_far = String::from_utf8_lossy(&read);
            assert_eq!(bytes, 1, "the shell ended before {text:?}: {so_far}");
            read.extend(byte);
        }
    }

    /// Reads until the characters of `text` have come, one after the other: shells draw between them.
    fn expect_each(&mut self, text: &str) {
        for character in text.chars() {
            self.expect(&character.to_string());
        }
    }

    /// Runs `setup`, each line of it, then all cases.
    fn complete(mut self, setup: &[&str]) {
        for line in setup {
            self.type_in(&format!("{line}\n"));
        }
        // Not as it is typed: the terminal shows that too.
        self.type_in("echo REA''DY\n");
        self.expect("READY");
        for (steps, expected) in CASES {
            self.type_in("funccount ");
            for (typed, added) in steps {
                self.type_in(typed);
                // Keys that are waiting make a Tab mean itself.
                self.expect_each(typed);
                self.type_in("\t");
                self.expect_each(added);
            }
            self.type_in("\n");
            self.expect(&format!("GOT<{expected}>"));
        }
        self.type_in("exit\n");
        self.child.wait().expect("our child");
    }
}

fn path() -> String {
    let path: &Path = &probekit();
    let path = path.canonicalize().expect("it is there");
    path.to_str().expect("text").to_owned()
}

#[test]
fn bash() {
    Shell::start("bash --norc --noprofile -i").complete(&[
        &format!("source <({} completions bash)", path()),
        r#"funccount() { printf 'GOT<%s>\n' "$@"; }"#,
    ]);
}

#[test]
fn zsh() {
    Shell::start("zsh -f -i").complete(&[
        "autoload -Uz compinit; compinit -u -D",
        &format!("source <({} completions zsh)", path()),
        r#"funccount() { printf 'GOT<%s>\n' "$@"; }"#,
    ]);
}

#[test]
fn fish() {
    Shell::start("fish --no-config -i").complete(&[
        &format!("{} completions fish | source", path()),
        r#"function funccount; printf 'GOT<%s>\n' $argv; end"#,
    ]);
}
