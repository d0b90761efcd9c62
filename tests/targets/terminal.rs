//! Programs on a terminal of their own, at which keys are pressed.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

/// A terminal, and who runs a program on it.
pub struct Terminal {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    _home: TempDir,
}

impl Terminal {
    /// Has a shell run `command` on a terminal that can only show lines.
    pub fn start(command: &str) -> Self {
        Self::start_as("dumb", command)
    }

    /// Has a shell run `command` on a terminal of that kind.
    pub fn start_as(kind: &str, command: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        // What waits for keys that never come is not to hang the tests.
        let mut child = Command::new("timeout")
            .args(["-s", "KILL", "60", "script", "--quiet", "--return"])
            .args(["--command", command, "/dev/null"])
            .env("HOME", home.path())
            .env("TERM", kind)
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

    /// Presses keys.
    pub fn type_in(&mut self, keys: &str) {
        self.stdin.write_all(keys.as_bytes()).expect("it listens");
        self.stdin.flush().expect("it listens");
    }

    /// Reads until `text` has come, and gives all that has.
    pub fn expect(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(text.as_bytes()) {
            let bytes = self.stdout.read(&mut byte).expect("it can be read");
            let so_far = String::from_utf8_lossy(&read);
            assert_eq!(bytes, 1, "it ended before {text:?}: {so_far}");
            read.extend(byte);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads until the characters of `text` have come, one after the other: shells draw between them.
    pub fn expect_each(&mut self, text: &str) {
        for character in text.chars() {
            self.expect(&character.to_string());
        }
    }
    /// Gives the terminal another size, as dragging the corner of its window does.
    pub fn resize(&self, columns: u16, rows: u16) {
        // timeout runs script, which runs the program.
        let program = child_of(child_of(self.child.id()));
        let mut stty = Command::new("stty");
        stty.args(["-F", &format!("/proc/{program}/fd/1")]).args([
            "cols",
            &columns.to_string(),
            "rows",
            &rows.to_string(),
        ]);
        assert!(stty.status().expect("coreutils have it").success());
    }

    /// Waits for the program's end, and gives its status.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("it is there");
    children.trim().parse().expect("it has one child")
}
