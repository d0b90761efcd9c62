//! `funccount --live` on a terminal of its own, and in a pipe.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    mem,
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    process::{Child, Command, ExitStatus, Stdio},
    ptr,
};

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, counts, funccount, probekit, stackcount, told, trace},
    watchdog::{wait_until, watch},
};

const CALLS: u64 = 2_000_000;
const ROW: &str = "syscalls:sys_enter_getppid";
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

/// The leader of a session of its own, on a terminal whose other side is ours. `script` would not do
/// where the leader stops: it stops too, often before it has handed on what was written last.
struct Leader {
    child: Child,
    terminal: File,
    shown: String,
}

impl Leader {
    fn start(mut command: Command) -> Self {
        let (ours, theirs) = open_terminal().expect("there are terminals");
        let same = || theirs.try_clone().expect("a descriptor");
        command.stdin(same()).stdout(same()).stderr(same());
        // SAFETY: the closure makes system calls only, which is allowed between fork and exec.
        unsafe { command.env("TERM", "xterm").pre_exec(lead_session) };
        Self {
            child: command.spawn().expect("it can be run"),
            terminal: ours.into(),
            shown: String::new(),
        }
    }

    fn type_in(&mut self, key: &str) {
        self.terminal.write_all(key.as_bytes()).expect("it listens");
    }

    /// What is shown until `end` is.
    fn read_until(&mut self, end: &str) -> String {
        while !self.shown.contains(end) {
            let mut bytes = [0; 4096];
            // It can't be read any more once nobody has the other side.
            let count = self.terminal.read(&mut bytes).unwrap_or(0);
            watch();
            assert_ne!(count, 0, "no {end:?} in {:?}", self.shown);
            self.shown += &String::from_utf8_lossy(&bytes[..count]);
        }
        mem::take(&mut self.shown)
    }

    /// What is shown until nobody can show anything more.
    fn read_to_end(&mut self) -> String {
        let mut rest = Vec::new();
        // It ends with an error: there is no other side any more.
        let _ = self.terminal.read_to_end(&mut rest);
        watch();
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.expect("it is not waited for");
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("our child")
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our side of a new terminal, and the other.
fn open_terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let (name, modes, size) = (ptr::null_mut(), ptr::null(), ptr::null());
    // SAFETY: the first two pointers are to locals, the others may be null; the descriptors are new.
    unsafe {
        if libc::openpty(&raw mut ours, &raw mut theirs, name, modes, size) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)))
    }
}

/// Makes the calling process the leader of a session whose terminal is its standard input.
fn lead_session() -> io::Result<()> {
    // SAFETY: the calls take integers.
    match unsafe { (libc::setsid(), libc::ioctl(0, libc::TIOCSCTTY, 0)) } {
        (-1, _) | (_, -1) => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
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

/// Each call is counted, or the kernel, since 7.0, did not run the program and says so.
fn assert_all_counted(counted: u64, said: &str) {
    let missed = told(said, "missed ").unwrap_or(0);
    assert_eq!(counted + missed, CALLS, "{said}");
    assert!(missed == 0 || Kernel::current().release >= (7, 0), "{said}");
}

#[test]
fn on_a_terminal_the_table_is_redrawn_and_its_totals_stay() {
    let shown = shown_on("xterm");
    let (_, rest) = shown.split_once(ENTER).expect("another screen");
    let (drawn, after) = rest.split_once(LEAVE).expect("the terminal's own screen");
    assert!(drawn.matches("COUNT/s").count() > 2, "{shown}");
    assert!(drawn.contains("syscalls:sys_enter_getppid"), "{shown}");
    assert!(after.contains("\x1b[?25h"), "no cursor: {shown}");
    assert_all_counted(counts(after)[ROW], after);
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
    assert_all_counted(finished.count(ROW), &finished.stderr);
    assert!(!finished.stdout.contains('\x1b'), "{finished:#?}");
    assert!(
        finished.stdout.matches("FUNC ").count() > 2,
        "{finished:#?}"
    );
}

#[test]
fn while_it_is_stopped_the_terminal_is_its_owners() {
    const CTRL_Z: &str = "\x1a";
    const CTRL_BACKSLASH: &str = "\x1c";

    let arguments = ["--live", "-i", "0.05", "t:syscalls:sys_enter_getppid"];
    let mut tool = Leader::start(funccount(&arguments));
    tool.read_until("COUNT/s");
    tool.type_in(CTRL_Z);
    tool.read_until(LEAVE);
    wait_until(|| tool.is_stopped());
    tool.signal(libc::SIGCONT);
    tool.read_until(ENTER);
    tool.read_until("COUNT/s");
    tool.type_in(CTRL_BACKSLASH);
    let shown = tool.read_until("Detaching...");
    assert!(shown.contains(LEAVE), "{shown:?}");
    assert!(tool.end().success());
}

#[test]
fn hostile_names_of_processes_reach_no_terminal() {
    // A title for the window, a cleared screen, the end of a line and no UTF-8.
    let name = OsStr::from_bytes(b"\x1b]0;\x07\x1b[2J\n\xff");
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join(name);
    fs::copy(fixtures::path("calls"), &program).expect("copied");
    let event = "t:syscalls:sys_enter_getppid";
    let live = funccount(&["--live", "-i", "0.05", "--by", "comm", event]);
    for mut tool in [live, trace(&[event]), stackcount(&["-P", event])] {
        tool.arg("--").arg(&program).args(["getppid", "3"]);
        let mut tool = Leader::start(tool);
        let shown = tool.read_until("\\u{1b}]0;\\u{7}\\u{1b}[") + &tool.read_to_end();
        for raw in ["\x1b]", "\x07", "\x1b[2J"] {
            assert!(!shown.contains(raw), "{raw:?} in {shown:?}");
        }
        assert!(tool.end().success(), "{shown:?}");
    }
}

/// Whether a terminal is told to show some of it in a colour; that lines are erased is something else.
fn is_coloured(text: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || c == ';';
    let mut sequences = text.split("\x1b[").skip(1);
    sequences.any(|rest| rest.trim_start_matches(is_number).starts_with('m'))
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
    assert!(is_coloured(&coloured));
    assert!(!is_coloured(&shown(&doctor, ("NO_COLOR", "1"))));
    let mut doctor = Command::new(&probekit);
    doctor.arg("doctor");
    assert!(!Finished::of(doctor).stdout.contains('\x1b'));
}
