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

/// `command` on a terminal of that kind, where nothing else asks for colours: in an environment of
/// continuous integration (`CI`) they are shown on terminals that are said to have none.
fn on_terminal(terminal: &str, command: &str) -> Command {
    let mut script = Command::new("script");
    for asks in ["CI", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"] {
        script.env_remove(asks);
    }
    script
        .args(["--quiet", "--return", "--command", command, "/dev/null"])
        .env("TERM", terminal)
        .stdin(Stdio::null());
    script
}

/// What is shown of the counting on a terminal of that kind.
fn shown_on(terminal: &str) -> String {
    let output = on_terminal(terminal, &counting())
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

#[test]
fn colours_are_for_terminals_that_want_them() {
    let probekit = probekit();
    let wrong = format!("{} trace 'c:open \"%d\", arg7'", probekit.display());
    let shown = |command: &str, variable: (&str, &str)| {
        let mut script = on_terminal("xterm", command);
        let output = script.env(variable.0, variable.1).output();
        String::from_utf8_lossy(&output.expect("util-linux has it").stdout).into_owned()
    };
    assert!(shown(&wrong, ("A", "B")).starts_with("\x1b[1m\x1b[31merror:\x1b[0m"));
    assert!(shown(&wrong, ("NO_COLOR", "1")).starts_with("error: "));
    assert!(shown(&wrong, ("TERM", "dumb")).starts_with("error: "));
    let doctor = format!("{} doctor", probekit.display());
    let coloured = shown(&doctor, ("A", "B"));
    assert!(coloured.contains("\x1b[32mok   \x1b[0m"), "{coloured}");
    assert!(!shown(&doctor, ("NO_COLOR", "1")).contains('\x1b'));
    let mut doctor = Command::new(&probekit);
    doctor.arg("doctor");
    assert!(!Finished::of(doctor).stdout.contains('\x1b'));
}
