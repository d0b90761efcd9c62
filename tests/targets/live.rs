//! `funccount --live` on a terminal of its own, and in a pipe.

use std::process::{Command, Stdio};

use tests::{
    fixtures,
    process::{Finished, probekit},
};

const CALLS: u64 = 2_000_000;
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// What counts all calls of a program, a table every twentieth of a second.
fn counting() -> String {
    format!(
        "{} funccount --live -i 0.05 t:syscalls:sys_enter_getppid -- {} getppid {CALLS}",
        probekit().display(),
        fixtures::path("calls").display()
    )
}

/// What is shown on a terminal of that kind.
fn shown_on(terminal: &str) -> String {
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &counting(), "/dev/null"])
        .env("TERM", terminal)
        .stdin(Stdio::null())
        .output()
        .expect("util-linux has it");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

#[test]
fn on_a_terminal_the_table_is_redrawn_and_its_totals_stay() {
    let shown = shown_on("xterm");
    let (_, rest) = shown.split_once(ENTER).expect("another screen");
    let (drawn, after) = rest.split_once(LEAVE).expect("the terminal's own screen");
    assert!(drawn.matches("COUNT/s").count() > 2, "{shown}");
    assert!(drawn.contains("syscalls:sys_enter_getppid"), "{shown}");
    assert!(after.contains("\x1b[?25h"), "no cursor: {shown}");
    assert!(after.contains(&format!(" {CALLS}\r\n")), "{shown}");
}

#[test]
fn on_a_terminal_that_can_not_the_tables_follow_each_other() {
    let shown = shown_on("dumb");
    assert!(!shown.contains('\x1b'), "{shown}");
    assert!(shown.matches("FUNC ").count() > 2, "{shown}");
}

#[test]
fn in_a_pipe_the_tables_follow_each_other() {
    let mut shell = Command::new("sh");
    shell.args(["-c", &counting()]);
    let finished = Finished::of(shell);
    assert_eq!(finished.count("syscalls:sys_enter_getppid"), CALLS);
    assert!(!finished.stdout.contains('\x1b'), "{finished:#?}");
    assert!(
        finished.stdout.matches("FUNC ").count() > 2,
        "{finished:#?}"
    );
}
