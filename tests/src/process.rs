//! Tools and traced programs as processes: their output is waited for line by line, never for a
//! while; and never for ever, see [`watchdog`](crate::watchdog).

use std::{
    collections::BTreeMap,
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    mem,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use crate::watchdog::watch;

/// The program under test: that in `PROBEKIT`, else the one that cargo has built beside the tests.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn probekit() -> PathBuf {
    watch();
    if let Some(path) = env::var_os("PROBEKIT") {
        return path.into();
    }
    let test = env::current_exe().expect("the test knows its own path");
    let folder = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let path = folder.join("probekit");
    assert!(
        path.exists(),
        "build the tool first: cargo build (expected {})",
        path.display()
    );
    path
}

/// funccount with `arguments`, to be run.
#[must_use]
pub fn funccount(arguments: &[&str]) -> Command {
    let mut command = Command::new(probekit());
    command.arg("funccount").args(arguments);
    command
}

/// stackcount with `arguments`, to be run.
#[must_use]
pub fn stackcount(arguments: &[&str]) -> Command {
    let mut command = Command::new(probekit());
    command.arg("stackcount").args(arguments);
    command
}

/// trace with `arguments`, to be run.
#[must_use]
pub fn trace(arguments: &[&str]) -> Command {
    let mut command = Command::new(probekit());
    command.arg("trace").args(arguments);
    command
}

/// What a finished tool has written.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Results.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
}

impl Finished {
    /// Runs `command` to its end.
    ///
    /// # Panics
    ///
    /// When it can't be run, or does not end.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        watch();
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("the tool can be run");
        watch();
        Self {
            status,
            stdout: String::from_utf8(stdout).expect("results are text"),
            stderr: String::from_utf8(stderr).expect("messages are text"),
        }
    }

    /// The counts of all tables, by name; those of the same name are added.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        counts(&self.stdout)
    }

    /// The count of `name`; 0 if it has no row.
    ///
    /// # Panics
    ///
    /// When the tool failed.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        assert!(self.status.success(), "{self:#?}");
        self.counts().get(name).copied().unwrap_or(0)
    }

    /// The events that the tool says the kernel has missed.
    #[must_use]
    pub fn missed(&self) -> u64 {
        told(&self.stderr, "missed ").unwrap_or(0)
    }

    /// Asserts a failure that ends with `status` and says `text`, without a panic.
    ///
    /// # Panics
    ///
    /// When it is anything else, or the text would fit any failure.
    pub fn assert_failure(&self, status: i32, text: &str) {
        assert!(!text.is_empty(), "any failure says nothing: {self:#?}");
        assert_eq!(self.status.code(), Some(status), "{self:#?}");
        assert!(self.stderr.contains(text), "no {text:?} in {self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
    }
}

/// The number behind `text` at the start of a line, the last if there are several.
#[must_use]
pub fn told(messages: &str, text: &str) -> Option<u64> {
    messages.lines().rev().find_map(|line| {
        let (number, _) = line.strip_prefix(text)?.split_once(' ')?;
        number.replace(',', "").parse().ok()
    })
}

/// The rows of funccount's tables.
#[must_use]
pub fn counts(tables: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in tables.lines() {
        if let Some((name, count)) = line.trim_end().rsplit_once(' ')
            && let Ok(count) = count.parse::<u64>()
        {
            *counts.entry(name.trim_end().to_owned()).or_default() += count;
        }
    }
    counts
}

/// Has what is executed next not ignore what ends it, even where the tests are run in the background.
fn heed_signals() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: no handler is set.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

/// A tool that runs, its probes live.
#[derive(Debug)]
pub struct Live {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Live {
    /// Starts `command` and waits until it says that it traces.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    #[must_use]
    pub fn start(command: Command) -> Self {
        Self::start_until(command, "Tracing ")
    }

    /// Starts `command` and waits until it says what begins with `message`.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    #[must_use]
    pub fn start_until(command: Command, message: &str) -> Self {
        Self::spawn(command).until(message)
    }

    /// Starts `command`, and does not wait.
    ///
    /// # Panics
    ///
    /// When it can't be run.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        watch();
        // SAFETY: the closure makes system calls only, which are allowed between fork and exec.
        unsafe { command.pre_exec(heed_signals) };
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool can be run");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Waits until it says what begins with `message`.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    #[must_use]
    pub fn until(mut self, message: &str) -> Self {
        while !self.next_message().starts_with(message) {}
        self
    }

    fn next_message(&mut self) -> String {
        let mut line = String::new();
        let read = self.stderr.read_line(&mut line).expect("messages are text");
        watch();
        assert!(read > 0, "the tool ended early: {}", self.said);
        self.said.push_str(&line);
        line
    }

    /// Its PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is our child and has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Its standard output, to be read or closed.
    ///
    /// # Panics
    ///
    /// When it was taken before.
    pub fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().expect("taken once"))
    }

    /// Interrupts it as Ctrl-C does, and waits for its end.
    #[must_use]
    pub fn interrupt(self) -> Finished {
        self.signal(libc::SIGINT);
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it can't be waited for, or does not end.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        // Read in turn: messages are few, so they never fill their pipe while results are read.
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("results are text");
        }
        let mut stderr = mem::take(&mut self.said);
        self.stderr
            .read_to_string(&mut stderr)
            .expect("messages are text");
        let status = self.child.wait().expect("our child");
        watch();
        Finished {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Live {
    /// A test that fails leaves none behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A traced program that works on demand.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `command` and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        watch();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut worker = Self { child, stdout };
        worker.expect("ready");
        worker
    }

    /// Its PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do its work once, to the end.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub fn work(&mut self) {
        self.start_work();
        self.expect("done");
    }

    /// Lets it begin its work.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn start_work(&mut self) {
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(b"go\n").expect("it reads");
    }

    /// Waits for a line.
    ///
    /// # Panics
    ///
    /// When it is another, or there is none.
    pub fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        watch();
        assert_eq!(line.trim_end(), expected);
    }

    /// Gives it nothing more to do, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it can't be waited for.
    #[must_use]
    pub fn end(mut self) -> ExitStatus {
        // This closes its input first.
        let status = self.child.wait().expect("our child");
        watch();
        status
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
