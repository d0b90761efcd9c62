//! Completion on the command line: the scripts for shells, and what they ask for at each Tab.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    path::Path,
};

use clap::{CommandFactory as _, Parser, ValueEnum};
use clap_complete::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate, engine};

use super::{Probekit, funccount, stackcount, tool_of_name, trace};
use crate::{
    attach::Way,
    resolve::binary,
    snippet::escape,
    tool::{Status, list},
};

/// What this program is called.
pub(super) const NAME: &str = "probekit";

const INSTALLING: &str = "\
Examples:
  source <(probekit completions bash)                 in ~/.bashrc
  source <(probekit completions zsh)                  in ~/.zshrc, behind compinit
  probekit completions fish | source                  in ~/.config/fish/config.fish";

/// Print the script that completes the tools in a shell, with names of probes.
#[derive(Parser)]
#[command(name = "completions", after_help = INSTALLING)]
pub(super) struct ScriptArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// What the scripts call.
#[derive(Parser)]
#[command(name = "complete", hide = true)]
pub(super) struct WordArgs {
    /// The words of the command line, the last one to be completed
    #[arg(last = true)]
    words: Vec<OsString>,
}

impl ScriptArgs {
    pub(super) fn write(&self, out: &mut dyn Write) -> anyhow::Result<Status> {
        out.write_all(self.shell.script(&own_name()?).as_bytes())?;
        Ok(Status::Done)
    }
}

impl Shell {
    /// The script, for a program that is run by `name`.
    pub(super) fn script(self, name: &str) -> String {
        let script = match self {
            Self::Bash => include_str!("../../completions/probekit.bash"),
            Self::Zsh => include_str!("../../completions/probekit.zsh"),
            Self::Fish => include_str!("../../completions/probekit.fish"),
        };
        script.replace("@PROBEKIT@", name)
    }
}

/// This program in the words of a shell: by name if it was called by name.
fn own_name() -> io::Result<String> {
    let called = env::args_os().next().unwrap_or_default();
    if called == OsStr::new(NAME) {
        return Ok(NAME.to_owned());
    }
    let path = env::current_exe()?;
    let quoted = path.to_string_lossy().replace('\'', r"'\''");
    Ok(format!("'{quoted}'"))
}

impl WordArgs {
    /// Writes what the last word can be, a line each, with what it is behind a tab.
    pub(super) fn write(&self, out: &mut dyn Write) -> anyhow::Result<Status> {
        let Some(last) = self.words.len().checked_sub(1) else {
            return Ok(Status::Done);
        };
        // Behind it is a command, which shells know more about; clap would take it for more probes.
        if self.words[..last].iter().any(|word| word == "--") {
            return Ok(Status::Done);
        }
        let mut command = match tool_of_name(self.words.first()) {
            Some("funccount") => funccount::Args::command(),
            Some("stackcount") => stackcount::Args::command(),
            Some("trace") => trace::Args::command(),
            _ => Probekit::command(),
        };
        let found = engine::complete(&mut command, self.words.clone(), last, None)?;
        for candidate in found.iter().filter(|candidate| !candidate.is_hide_set()) {
            let help = candidate.get_help().map(ToString::to_string);
            let help = help.as_deref().and_then(|help| help.lines().next());
            let value = candidate.get_value().to_string_lossy();
            writeln!(
                out,
                "{}\t{}",
                escape(&value),
                escape(help.unwrap_or_default())
            )?;
        }
        Ok(Status::Done)
    }
}

/// Specs of probes.
pub(super) fn probes() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_str().unwrap_or_default();
        let found = list::complete(typed).into_iter();
        found.map(CompletionCandidate::new).collect()
    })
}

/// Libraries and programs, by name or path.
pub(super) fn binaries() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        let typed = typed.to_str().unwrap_or_default();
        let found = binary::complete(typed).into_iter();
        // The colon is where a spec goes on.
        let names = found.map(|name| name.strip_suffix(':').map(str::to_owned).unwrap_or(name));
        names.map(CompletionCandidate::new).collect()
    })
}

/// Ways of attaching.
pub(super) fn ways() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = Way::ALL.map(Way::name);
        names.map(CompletionCandidate::new).into()
    })
}

/// Processes, with their names.
pub(super) fn pids() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| process(&entry.path()));
        processes.collect()
    })
}

/// Nothing for what is no process, or a thread of the kernel, which has no file mapped.
fn process(folder: &Path) -> Option<CompletionCandidate> {
    let pid: u32 = folder.file_name()?.to_str()?.parse().ok()?;
    let line = fs::read(folder.join("cmdline")).ok()?;
    if line.is_empty() {
        return None;
    }
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    Some(CompletionCandidate::new(pid.to_string()).help(Some(name.trim().to_owned().into())))
}
