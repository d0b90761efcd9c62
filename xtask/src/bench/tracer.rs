//! The tools that are compared, and how each is told to do the same.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::bail;

use super::{
    peers::Place,
    process::{Ended, Running, Sink, reason},
};

/// Where a probe goes.
#[derive(Clone, Debug)]
pub enum Hook {
    /// The entry tracepoint of a system call.
    SystemCall(&'static str),
    /// Functions of a program, or of a library by its short name.
    Function {
        /// A path, or a short name such as `c`.
        file: String,
        /// A name or pattern.
        name: String,
    },
    /// The probe `bench:event` of a program.
    Usdt(PathBuf),
    /// Functions of the kernel, by name or pattern.
    Kernel(String),
}

impl Hook {
    /// The function `name` of the program at `path`.
    #[must_use]
    pub fn function(path: &Path, name: &str) -> Self {
        Self::Function {
            file: path.display().to_string(),
            name: name.to_owned(),
        }
    }

    /// As bcc's tools and ours want it.
    fn spec(&self) -> String {
        match self {
            Self::SystemCall(name) => format!("t:syscalls:sys_enter_{name}"),
            Self::Function { file, name } => format!("{file}:{name}"),
            Self::Usdt(path) => format!("u:{}:event", path.display()),
            Self::Kernel(name) => name.clone(),
        }
    }

    /// As bpftrace wants it.
    fn bpftrace(&self) -> String {
        match self {
            Self::SystemCall(name) => format!("tracepoint:syscalls:sys_enter_{name}"),
            Self::Function { file, name } if file.contains('/') => format!("uprobe:{file}:{name}"),
            Self::Function { file, name } => format!("uprobe:lib{file}:{name}"),
            Self::Usdt(path) => format!("usdt:{}:bench:event", path.display()),
            Self::Kernel(name) => format!("kprobe:{name}"),
        }
    }
}

/// What is printed of each event.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// The thread's number.
    Thread,
    /// The first argument, as in `size = 42`.
    Size,
    /// The path that `access` is given, of so many bytes.
    Path(u32),
}

/// What a tool does with events.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// Count them.
    Count,
    /// The same, with a filter that none passes: a program that returns at once.
    Empty,
    /// Count their stacks, kernel's and program's part.
    Stack,
    /// Print a line for each.
    Trace(Message),
    /// The same, with a condition that is false for all.
    TraceFalse,
    /// Print a line for each of the first, and end.
    TraceFirst(u64),
}

/// A tracer.
#[derive(Debug)]
pub struct Tool {
    /// With its version.
    pub name: String,
    kind: Kind,
    place: Place,
}

/// Which tracer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// This project's.
    Probekit,
    /// bcc's funccount, stackcount and trace.
    Bcc,
    /// bpftrace.
    Bpftrace,
}

impl Tool {
    /// The tool under test.
    #[must_use]
    pub fn probekit(path: &Path) -> Self {
        Self {
            name: Kind::Probekit.name().to_owned(),
            kind: Kind::Probekit,
            place: Place::Here(path.to_owned()),
        }
    }

    /// A tool to compare with.
    #[must_use]
    pub fn peer(kind: Kind, version: &str, place: Place) -> Self {
        Self {
            name: format!("{} {version}", kind.name()),
            kind,
            place,
        }
    }

    /// Whether it is the tool under test.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind == Kind::Probekit
    }

    /// A command in the file system that the tool sees.
    #[must_use]
    pub fn beside(&self, program: &Path) -> Command {
        match &self.place {
            Place::Here(_) => Command::new(program),
            place => place.command(program.as_os_str()),
        }
    }

    /// Starts `job` on `hook` and waits until its probes are live.
    ///
    /// # Errors
    ///
    /// When it can't do that, or fails; with the reason.
    pub fn start(&self, job: Job, hook: &Hook, sink: Sink<'_>) -> anyhow::Result<Running> {
        let wanted = match (self.kind, job) {
            (Kind::Bpftrace, _) => "live",
            (_, Job::Trace(_) | Job::TraceFalse | Job::TraceFirst(_)) => "PID",
            _ => "Tracing ",
        };
        self.start_until(wanted, job, hook, sink)
    }

    /// The same until it prints what contains `wanted`.
    ///
    /// # Errors
    ///
    /// When it can't do that, or fails; with the reason.
    pub fn start_until(
        &self,
        wanted: &str,
        job: Job,
        hook: &Hook,
        sink: Sink<'_>,
    ) -> anyhow::Result<Running> {
        Running::start(self.command(job, hook)?, wanted, sink)
    }

    /// Ends a run with Ctrl-C.
    ///
    /// # Errors
    ///
    /// When it does not end, or failed. bcc's trace exits with 1 however well it went.
    pub fn end(&self, running: Running) -> anyhow::Result<Ended> {
        // An interrupt that meets bcc's Python in a callback is forgotten.
        let seconds = if self.kind == Kind::Bcc { 5 } else { 3600 };
        let ended = running.interrupt(Duration::from_secs(seconds))?;
        if self.is_ours() && !ended.status.success() {
            bail!("ended with {}: {}", ended.status, reason(&ended.said));
        }
        Ok(ended)
    }

    fn command(&self, job: Job, hook: &Hook) -> anyhow::Result<Command> {
        match self.kind {
            Kind::Probekit => self.probekit_command(job, hook),
            Kind::Bcc => self.bcc_command(job, hook),
            Kind::Bpftrace => self.bpftrace_command(job, hook),
        }
    }

    fn probekit_command(&self, job: Job, hook: &Hook) -> anyhow::Result<Command> {
        // Beyond any CPU's number.
        const NO_CPU: &str = "5000";

        let Place::Here(path) = &self.place else {
            bail!("the tool under test is run where it was built");
        };
        let mut command = Command::new(path);
        match job {
            Job::Count => command.arg("funccount").arg(hook.spec()),
            Job::Empty => command.args(["funccount", "-c", NO_CPU]).arg(hook.spec()),
            Job::Stack => command.arg("stackcount").arg(hook.spec()),
            Job::Trace(_) | Job::TraceFalse | Job::TraceFirst(_) => command
                .arg("trace")
                .args(trace_arguments(job, &hook.spec())),
        };
        Ok(command)
    }

    fn bcc_command(&self, job: Job, hook: &Hook) -> anyhow::Result<Command> {
        let (tool, arguments) = match job {
            Job::Count => ("funccount-bpfcc", vec![hook.spec()]),
            Job::Stack => ("stackcount-bpfcc", vec![hook.spec()]),
            Job::Empty => bail!("not asked of it"),
            Job::Trace(Message::Path(length)) if length > 400 => {
                bail!("its strings are on the BPF stack of 512 bytes")
            }
            _ => ("trace-bpfcc", trace_arguments(job, &hook.spec())),
        };
        let mut command = self.place.command(tool.as_ref());
        command.args(arguments);
        // The line that says that they trace is not flushed, nor are trace's single events; the one
        // with its columns is.
        if tool != "trace-bpfcc" || matches!(job, Job::Trace(Message::Size)) {
            command.env("PYTHONUNBUFFERED", "1");
        }
        Ok(command)
    }

    fn bpftrace_command(&self, job: Job, hook: &Hook) -> anyhow::Result<Command> {
        let mut command = self.place.command("bpftrace".as_ref());
        let action = match job {
            Job::Count => "{ @ = count(); }",
            Job::Stack => "{ @[kstack, ustack] = count(); }",
            Job::Trace(Message::Thread) => "{ printf(\"%d\\n\", tid); }",
            Job::Trace(Message::Size) => "{ printf(\"size = %d\\n\", arg0); }",
            Job::Trace(Message::Path(length)) => {
                command.env("BPFTRACE_MAX_STRLEN", (length + 1).to_string());
                "{ printf(\"%s\\n\", str(args.filename)); }"
            }
            Job::TraceFalse => "/tid == 1/ { printf(\"%d\\n\", tid); }",
            Job::TraceFirst(_) => bail!("has no such option"),
            Job::Empty => bail!("not asked of it"),
        };
        // Its begin comes when all else is attached (0.27; before 0.22 just ahead of that).
        let live = "BEGIN { printf(\"live\\n\"); }";
        command
            .env("BPFTRACE_MAX_PROBES", "100000")
            .args(["-e", &format!("{} {action} {live}", hook.bpftrace())]);
        Ok(command)
    }
}

/// Arguments of trace, bcc's or ours.
fn trace_arguments(job: Job, spec: &str) -> Vec<String> {
    let words: &[&str] = match job {
        Job::Trace(Message::Size) => &[&format!("{spec} \"size = %d\", arg1")],
        Job::Trace(Message::Path(length)) => &[
            "-Z",
            &(length + 1).to_string(),
            &format!("{spec} \"%s\", args->filename"),
        ],
        Job::TraceFalse => &[&format!("{spec} ($pid == 1) \"%d\", $pid")],
        Job::TraceFirst(count) => &["-M", &count.to_string(), &format!("{spec} \"%d\", $pid")],
        _ => &[&format!("{spec} \"%d\", $pid")],
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Kind {
    /// Its name without a version.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probekit => "probekit",
            Self::Bcc => "bcc",
            Self::Bpftrace => "bpftrace",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let arguments = command.get_args();
        arguments
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_job_is_the_same_for_every_tool() -> anyhow::Result<()> {
        let hook = Hook::function(Path::new("/p/loop"), "bench_function");
        let job = Job::Trace(Message::Size);
        let ours = Tool::probekit(Path::new("/p/probekit")).command(job, &hook)?;
        assert_eq!(
            words(&ours),
            ["trace", "/p/loop:bench_function \"size = %d\", arg1"]
        );
        let peer = Tool::peer(Kind::Bpftrace, "0.27", Place::Here("/p".into()));
        assert_eq!(
            words(&peer.command(job, &hook)?).last().map(String::as_str),
            Some(
                "uprobe:/p/loop:bench_function { printf(\"size = %d\\n\", arg0); } \
                 BEGIN { printf(\"live\\n\"); }"
            )
        );
        Ok(())
    }

    #[test]
    fn hooks_are_written_as_each_tool_wants_them() {
        let usdt = Hook::Usdt("/p/loop".into());
        assert_eq!(usdt.spec(), "u:/p/loop:event");
        assert_eq!(usdt.bpftrace(), "usdt:/p/loop:bench:event");
        let malloc = Hook::Function {
            file: "c".to_owned(),
            name: "malloc".to_owned(),
        };
        assert_eq!(malloc.spec(), "c:malloc");
        assert_eq!(malloc.bpftrace(), "uprobe:libc:malloc");
    }

    #[test]
    fn what_a_peer_can_not_do_is_an_error_that_says_so() {
        let hook = Hook::SystemCall("getppid");
        let peer = Tool::peer(Kind::Bpftrace, "0.27", Place::Here("/p".into()));
        let error = peer.command(Job::TraceFirst(10), &hook).expect_err("none");
        assert_eq!(error.to_string(), "has no such option");
    }
}
