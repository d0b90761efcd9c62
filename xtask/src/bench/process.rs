//! Tools as processes: started until live, watched, interrupted; never waited for without a limit.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
    },
};

use crate::root;

/// How long anything that a tool does may take; it is killed then.
const LIMIT: Duration = Duration::from_secs(60);
/// A tool that prints nothing for so long has printed what it had.
const QUIET: Duration = Duration::from_millis(300);
/// Between two looks at a file or at a process's memory.
const LOOK: Duration = Duration::from_millis(2);
/// Of each output, so much is kept.
const KEPT_BYTES: usize = 64 << 10;
/// And of a file.
const BEGIN_BYTES: usize = 4096;

/// Where a tool's results go.
#[derive(Clone, Copy, Debug)]
pub enum Sink<'a> {
    /// A pipe whose lines are counted.
    Pipe,
    /// A file.
    File(&'a Path),
}

/// Has the kernel kill the child when this process is gone, however it went, and lets Ctrl-C end it:
/// what a shell starts in the background ignores that, and so would its children.
pub fn dies_with_us(command: &mut Command) -> &mut Command {
    let ask = || {
        // SAFETY: the call takes integers; the default needs no handler.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
    };
    // SAFETY: between fork and exec this makes two system calls and touches no memory.
    unsafe { command.pre_exec(ask) }
}

/// What an output has had so far.
#[derive(Debug, Default)]
struct Output {
    lines: u64,
    events: u64,
    lost: u64,
    kept: String,
    last: Option<Instant>,
}

/// A tool whose probes are live.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    started: Instant,
    live: Instant,
    readers: Vec<JoinHandle<()>>,
    stdout: Arc<Mutex<Output>>,
    stderr: Arc<Mutex<Output>>,
    /// Its results, if they go to one.
    file: Option<PathBuf>,
    ended: Arc<AtomicBool>,
    peak_bytes: u64,
}

/// A tool that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// From being told to end until it was gone.
    pub took: Duration,
    /// Events that it printed; 0 if they went to a file.
    pub events: u64,
    /// Events that it said were lost.
    pub told_lost: u64,
    /// The most memory that was resident at a time.
    pub peak_bytes: u64,
    /// The begin of what it wrote to either output.
    pub said: String,
}

impl Running {
    /// Starts `command` and waits until either of its outputs has a line with `wanted` in it.
    ///
    /// # Errors
    ///
    /// When it ends first, or does not say it in time; with what it said instead.
    pub fn start(mut command: Command, wanted: &str, sink: Sink<'_>) -> anyhow::Result<Self> {
        let output = match sink {
            Sink::Pipe => Stdio::piped(),
            Sink::File(path) => File::create(path)?.into(),
        };
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = dies_with_us(&mut command)
            .spawn()
            .with_context(|| format!("failed to run {}", command.get_program().display()))?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let (seen, when) = mpsc::channel();
        let stdout = Arc::new(Mutex::new(Output::default()));
        let stderr = Arc::new(Mutex::new(Output::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(read(pipe, Arc::clone(&stdout), wanted, seen.clone()));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(read(pipe, Arc::clone(&stderr), wanted, seen.clone()));
        }
        let file = match sink {
            Sink::Pipe => None,
            Sink::File(path) => {
                readers.push(look_for(path, wanted, Arc::clone(&ended), seen));
                Some(path.to_owned())
            }
        };
        let mut running = Self {
            child,
            pidfd,
            started,
            live: started,
            readers,
            stdout,
            stderr,
            file,
            ended,
            peak_bytes: 0,
        };
        running.live = running.wait_for_line(&when)?;
        running.look_at_memory();
        Ok(running)
    }

    fn wait_for_line(&mut self, when: &Receiver<Instant>) -> anyhow::Result<Instant> {
        let deadline = self.started + LIMIT;
        loop {
            if let Ok(instant) = when.recv_timeout(LOOK) {
                return Ok(instant);
            }
            let ended = self.poll(Duration::ZERO)?;
            if ended || Instant::now() > deadline {
                let seconds = self.started.elapsed().as_secs_f64();
                self.kill()?;
                let said = reason(&self.said());
                let what = if ended { "ended" } else { "was not live" };
                bail!("{what} after {seconds:.1} s: {said}");
            }
        }
    }

    /// From its start to the line that was waited for.
    #[must_use]
    pub fn live_after(&self) -> Duration {
        self.live - self.started
    }

    /// Waits until it prints no more, and tells when it last did; nothing if it never has.
    ///
    /// # Errors
    ///
    /// When it goes on for too long.
    pub fn settle(&self) -> anyhow::Result<Option<Instant>> {
        let begin = Instant::now();
        let (mut amount, mut last) = (self.written()?, None);
        if let Ok(stdout) = self.stdout.lock() {
            last = stdout.last;
        }
        let mut quiet_since = begin;
        while quiet_since.elapsed() < QUIET {
            if begin.elapsed() > LIMIT {
                bail!("still printed {LIMIT:?} after the last event");
            }
            thread::sleep(LOOK);
            let now = self.written()?;
            if now != amount {
                amount = now;
                quiet_since = Instant::now();
                last = Some(quiet_since);
            }
        }
        Ok(last)
    }

    /// Lines in its pipe, or bytes in its file, so far.
    fn written(&self) -> anyhow::Result<u64> {
        match &self.file {
            Some(path) => Ok(fs::metadata(path)?.len()),
            None => Ok(self.stdout.lock().map_or(0, |stdout| stdout.lines)),
        }
    }

    /// Interrupts it as Ctrl-C does, again whenever `patience` has passed, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn interrupt(mut self, patience: Duration) -> anyhow::Result<Ended> {
        let told = Instant::now();
        let mut again = Duration::ZERO;
        while !self.poll(LOOK)? {
            if told.elapsed() >= again {
                pidfd_send_signal(&self.pidfd, Signal::INT)?;
                again += patience;
            }
            if told.elapsed() > LIMIT {
                self.kill()?;
                bail!(
                    "was still there {LIMIT:?} after Ctrl-C: {}",
                    reason(&self.said())
                );
            }
            self.look_at_memory();
        }
        let took = told.elapsed();
        let status = self.kill()?;
        let [events, out_lost] = totals(&self.stdout);
        let [_, err_lost] = totals(&self.stderr);
        Ok(Ended {
            status,
            took,
            events,
            told_lost: out_lost + err_lost,
            peak_bytes: self.peak_bytes,
            said: self.said(),
        })
    }

    /// Whether it ends within `time`.
    fn poll(&self, time: Duration) -> anyhow::Result<bool> {
        let mut descriptors = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let time = Timespec::try_from(time)?;
        Ok(poll(&mut descriptors, Some(&time))? > 0)
    }

    /// A process that is gone has no memory.
    fn look_at_memory(&mut self) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap_or_default();
        self.peak_bytes = self.peak_bytes.max(peak_bytes(&status).unwrap_or(0));
    }

    /// Ends it if it has not ended, and all that reads from it.
    fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let status = self.child.wait()?;
        self.ended.store(true, Relaxed);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Ok(status)
    }

    /// The begin of what it wrote to either output.
    fn said(&self) -> String {
        let mut said = self.file.as_deref().map(begin_of).unwrap_or_default();
        for output in [&self.stdout, &self.stderr] {
            if let Ok(output) = output.lock() {
                said += &output.kept;
            }
        }
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn totals(output: &Mutex<Output>) -> [u64; 2] {
    output
        .lock()
        .map_or([0; 2], |output| [output.events, output.lost])
}

/// Reads a pipe to its end.
fn read(
    pipe: impl Read + Send + 'static,
    into: Arc<Mutex<Output>>,
    wanted: &str,
    seen: Sender<Instant>,
) -> JoinHandle<()> {
    let wanted = wanted.to_owned();
    thread::spawn(move || {
        let mut pipe = BufReader::with_capacity(256 << 10, pipe);
        let mut line = Vec::new();
        let mut is_seen = false;
        while pipe
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let text = String::from_utf8_lossy(&line);
            let now = Instant::now();
            if !is_seen && text.contains(&wanted) {
                is_seen = true;
                let _ = seen.send(now);
            }
            if let Ok(mut into) = into.lock() {
                into.lines += 1;
                into.events += u64::from(is_event(&line));
                into.lost += told_lost(&text).unwrap_or(0);
                into.last = Some(now);
                if into.kept.len() < KEPT_BYTES {
                    into.kept += &text;
                }
            }
            line.clear();
        }
    })
}

/// Looks for a line in the begin of a file that somebody writes.
fn look_for(
    path: &Path,
    wanted: &str,
    ended: Arc<AtomicBool>,
    seen: Sender<Instant>,
) -> JoinHandle<()> {
    let (path, wanted) = (path.to_owned(), wanted.to_owned());
    thread::spawn(move || {
        while !ended.load(Relaxed) {
            let begin = begin_of(&path);
            if begin.contains(&wanted) {
                let _ = seen.send(Instant::now());
                return;
            }
            if begin.len() >= BEGIN_BYTES {
                return;
            }
            thread::sleep(LOOK);
        }
    })
}

/// As much of a file as has what a tool says before its results; nothing if it can't be read.
fn begin_of(path: &Path) -> String {
    let mut begin = Vec::new();
    let file = File::open(path).map(|file| file.take(BEGIN_BYTES as u64));
    let _ = file.and_then(|mut file| file.read_to_end(&mut begin));
    String::from_utf8_lossy(&begin).into_owned()
}

/// Whether a line tells of an event: messages are traced that end with a number, and nothing else
/// that a tool prints does.
#[must_use]
pub fn is_event(line: &[u8]) -> bool {
    line.trim_ascii_end().last().is_some_and(u8::is_ascii_digit)
}

/// The number in what tools say of events that they could not print: `lost 1,234 events: raise -b`,
/// `Possibly lost 12 samples`, `Lost 12 events`.
fn told_lost(line: &str) -> Option<u64> {
    let rest = ["lost ", "Possibly lost ", "Lost ", "WARNING: Lost "]
        .into_iter()
        .find_map(|begin| line.strip_prefix(begin))?;
    let (number, rest) = rest.split_once(' ')?;
    let is_of_events = ["events", "samples"]
        .iter()
        .any(|word| rest.starts_with(word));
    number
        .replace(',', "")
        .parse()
        .ok()
        .filter(|_| is_of_events)
}

/// `VmHWM` in a process's status.
fn peak_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The line that tells why something failed, short, and without the folder of this machine.
#[must_use]
pub fn reason(said: &str) -> String {
    const LONGEST: usize = 120;

    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| {
        let line = line.to_lowercase();
        ["error:", "fail", "too many", "unable"]
            .iter()
            .any(|word| line.contains(word))
    };
    let line = lines().rfind(telling).or_else(|| lines().next_back());
    let line = line.unwrap_or("it said nothing");
    let folder = format!("{}/", root().display());
    line.replace(&folder, "").chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn losses_are_read_from_what_each_tool_says() {
        assert_eq!(
            told_lost("lost 6,489,673 events: raise -b\n"),
            Some(6_489_673)
        );
        assert_eq!(told_lost("Possibly lost 12 samples\n"), Some(12));
        assert_eq!(told_lost("Lost 7 events\n"), Some(7));
        assert_eq!(told_lost("Lost 3 minutes\n"), None);
        assert_eq!(told_lost("77 77 loop sys_enter_getppid 77\n"), None);
    }

    #[test]
    fn peak_memory_is_read_in_bytes() {
        let status = "VmPeak:\t   9000 kB\nVmHWM:\t    4096 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(peak_bytes(status), Some(4096 * 1024));
        assert_eq!(peak_bytes("Name:\tzombie\n"), None);
    }

    #[test]
    fn the_reason_is_the_line_that_tells_of_a_failure() {
        let said = "Traceback\n  File x\nException: Failed to attach BPF\n\n";
        assert_eq!(reason(said), "Exception: Failed to attach BPF");
        let ours = format!("error: no {}/target/x\n", root().display());
        assert_eq!(reason(&ours), "error: no target/x");
        assert_eq!(reason(""), "it said nothing");
    }

    #[test]
    fn a_tool_is_live_at_its_line_and_ends_at_ctrl_c() -> anyhow::Result<()> {
        let script = "trap 'echo lost 5 events: x >&2; exit 0' INT
            echo PID -; echo 77 size = 1; echo Tracing >&2; while :; do sleep 0.01; done";
        let running = Running::start(shell(script), "Tracing", Sink::Pipe)?;
        assert!(running.settle()?.is_some());
        let ended = running.interrupt(LIMIT)?;
        assert!(ended.status.success());
        assert_eq!((ended.events, ended.told_lost), (1, 5));
        assert!(ended.peak_bytes > 0);
        Ok(())
    }

    #[test]
    fn a_tool_that_ends_before_it_is_live_has_failed_with_its_reason() {
        let ended = Running::start(
            shell("echo error: no probe >&2; exit 1"),
            "Tracing",
            Sink::Pipe,
        );
        let error = ended.expect_err("it never traced").to_string();
        assert!(error.ends_with("s: error: no probe"), "{error}");
    }

    #[test]
    fn a_tool_that_swallows_ctrl_c_gets_another() -> anyhow::Result<()> {
        let script = "trap 'echo swallowed; trap \"exit 0\" INT' INT; echo PID; while :; do sleep 0.01; done";
        let running = Running::start(shell(script), "PID", Sink::Pipe)?;
        let ended = running.interrupt(Duration::from_millis(100))?;
        assert!(ended.status.success());
        assert!(ended.said.contains("swallowed"), "{}", ended.said);
        Ok(())
    }

    #[test]
    fn results_that_go_to_a_file_are_seen_there() -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let script = "trap 'exit 0' INT; echo PID TID; while :; do sleep 0.01; done";
        let running = Running::start(shell(script), "PID", Sink::File(file.path()))?;
        assert!(running.interrupt(LIMIT)?.status.success());
        assert_eq!(fs::read_to_string(file.path())?, "PID TID\n");
        Ok(())
    }
}
