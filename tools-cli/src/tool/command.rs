//! The command that is run to be traced: held at its first instruction until probes are attached.

use std::{
    ffi::OsString,
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitStatus},
};

/// Why the command does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("failed to run {}: {error}", program.display())]
    Start {
        /// The program.
        program: OsString,
        /// The error.
        error: io::Error,
    },
    /// It did not stop as a traced process does.
    #[error("failed to hold {} at its first instruction: {error}", program.display())]
    Hold {
        /// The program.
        program: OsString,
        /// The error.
        error: io::Error,
    },
}

/// A command that waits at its first instruction.
///
/// It is held by `ptrace`, since that is the one place that lies behind `execve` and before any
/// instruction of the program: nothing of it goes uncounted, and nothing of ours is counted. All
/// calls must come from the thread that started it.
#[derive(Debug)]
pub struct Held {
    child: Child,
    program: OsString,
}

impl Held {
    /// Starts `command`.
    ///
    /// # Errors
    ///
    /// When it can't be run, or not be held.
    pub fn start(command: &[OsString]) -> Result<Option<Self>, Error> {
        let [program, arguments @ ..] = command else {
            return Ok(None);
        };
        let mut builder = Command::new(program);
        builder.args(arguments);
        // SAFETY: the closure makes one system call, which is allowed between fork and exec.
        unsafe { builder.pre_exec(|| ptrace(libc::PTRACE_TRACEME, 0, 0)) };
        let child = builder.spawn().map_err(|error| Error::Start {
            program: program.clone(),
            error,
        })?;
        let held = Self {
            child,
            program: program.clone(),
        };
        held.wait_for_stop().map_err(|error| held.error(error))?;
        Ok(Some(held))
    }

    /// Its PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it run.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn release(self) -> Result<Running, Error> {
        match ptrace(libc::PTRACE_DETACH, self.child.id(), 0) {
            Ok(()) => Ok(Running { child: self.child }),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Waits for the stop at the end of `execve`; from then on the command dies with us, until it
    /// is released.
    fn wait_for_stop(&self) -> io::Result<()> {
        let pid = self.child.id().cast_signed();
        let mut status = 0;
        // SAFETY: the pointer is to a local.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid {
            return Err(io::Error::last_os_error());
        }
        if !libc::WIFSTOPPED(status) {
            let status = ExitStatus::from_raw(status);
            return Err(io::Error::other(format!("it ended at once, {status}")));
        }
        let options = u64::from(libc::PTRACE_O_EXITKILL.cast_unsigned());
        ptrace(libc::PTRACE_SETOPTIONS, self.child.id(), options)
    }

    fn error(&self, error: io::Error) -> Error {
        Error::Hold {
            program: self.program.clone(),
            error,
        }
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Its exit status, as a shell gives it, once it has ended.
    ///
    /// # Errors
    ///
    /// When it can't be waited for.
    pub fn status(&mut self) -> io::Result<u8> {
        self.child.wait().map(shell_status)
    }

    /// Asks it to end, when the tool ends first.
    pub fn terminate(&mut self) {
        // SAFETY: the process is our child and has not been waited for, so its number is its own.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
    }
}

fn shell_status(status: ExitStatus) -> u8 {
    let number = match status.code() {
        Some(code) => code,
        None => 128 + status.signal().unwrap_or(0),
    };
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn ptrace(request: libc::c_uint, pid: u32, data: u64) -> io::Result<()> {
    // SAFETY: none of the requests used here takes a pointer.
    match unsafe { libc::ptrace(request, pid.cast_signed(), 0_u64, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
