//! The command line: flags to requests, errors to messages and exit statuses.

mod complete;
mod doctor;
mod filters;
mod funccount;
mod help;
mod install;
mod list;
mod man;
mod run;
mod stackcount;
mod trace;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;

use crate::{
    render::{Colours, can_be_redrawn, escape_lines, with_coloured_label},
    tool::{self, Console, Progress, Status, Verbosity},
};

/// The exit status of a run that failed.
const FAILED: u8 = 1;
/// The exit status of a command line that makes no sense; clap exits with the same.
const BAD_COMMAND_LINE: u8 = 2;

/// How long something may take before it is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Count and trace what the kernel and programs do.
#[derive(Parser)]
#[command(name = "probekit", version, disable_help_subcommand = true)]
struct Probekit {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Tool {
    Funccount(funccount::Args),
    Stackcount(stackcount::Args),
    Trace(trace::Args),
    List(list::Args),
    Doctor(doctor::Args),
    Completions(complete::ScriptArgs),
    Complete(complete::WordArgs),
    Man(man::Args),
    Install(install::Args),
    Help(help::Args),
}

/// A command line that clap took and we do not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadCommandLine(String);

/// Runs the tool that `arguments` name: by the program's own name (`funccount …`) or by the first
/// argument (`probekit funccount …`).
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let tool = match tool_of_name(arguments.first()) {
        Some("funccount") => Tool::Funccount(funccount::Args::parse_from(arguments)),
        Some("trace") => Tool::Trace(trace::Args::parse_from(arguments)),
        Some("stackcount") => Tool::Stackcount(stackcount::Args::parse_from(arguments)),
        _ => Probekit::parse_from(arguments).tool,
    };
    match run(&tool) {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Command(status)) => ExitCode::from(status),
        Ok(Status::Unfit) => ExitCode::from(FAILED),
        Err(error) if tool::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = escape_lines(&format!("error: {error:#}"));
            let text = match colours().messages {
                true => with_coloured_label(&text),
                false => text,
            };
            let _ = writeln!(io::stderr(), "{text}");
            let is_bad_line = error.is::<BadCommandLine>();
            ExitCode::from(if is_bad_line {
                BAD_COMMAND_LINE
            } else {
                FAILED
            })
        }
    }
}

fn colours() -> Colours {
    Colours::of(&io::stdout(), &io::stderr())
}

/// How much is told when `-v` was given so often.
const fn verbosity(count: u8) -> Verbosity {
    match count {
        0 => Verbosity::Usual,
        1 => Verbosity::Details,
        _ => Verbosity::Kernel,
    }
}

fn tool_of_name(program: Option<&OsString>) -> Option<&str> {
    Path::new(program?).file_name()?.to_str()
}

fn run(tool: &Tool) -> anyhow::Result<Status> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut results = io::stdout().lock();
    // Not locked: what takes long is told there by another thread.
    let mut messages = io::stderr();
    let progress = if can_be_redrawn(&messages) {
        Progress::new(Box::new(io::stderr()), PATIENCE)
    } else {
        Progress::default()
    };
    let mut console = Console {
        results: &mut results,
        messages: &mut messages,
        progress,
        colours: colours(),
        shows_messages: io::stderr().is_terminal(),
        held: None,
        verbosity: verbosity(match tool {
            Tool::Funccount(args) => args.verbose,
            Tool::Stackcount(args) => args.verbose,
            Tool::Trace(args) => args.verbose,
            Tool::List(args) => args.verbose.into(),
            Tool::Doctor(_)
            | Tool::Completions(_)
            | Tool::Complete(_)
            | Tool::Man(_)
            | Tool::Install(_)
            | Tool::Help(_) => 0,
        }),
    };
    match tool {
        Tool::Funccount(args) => {
            let (request, options) = args.request()?;
            runtime.block_on(tool::funccount::run(&request, &options, &mut console))
        }
        Tool::Stackcount(args) => {
            let (request, options) = args.request()?;
            runtime.block_on(tool::stackcount::run(&request, &options, &mut console))
        }
        Tool::Trace(args) => {
            let (request, options) = args.request()?;
            runtime.block_on(tool::trace::run(&request, &options, &mut console))
        }
        Tool::List(args) => tool::list::run(&args.request()?, &mut console),
        Tool::Doctor(args) => tool::doctor::run(args.format(), &mut console),
        Tool::Completions(args) => args.write(console.results),
        Tool::Complete(args) => args.write(console.results),
        Tool::Man(args) => args.write(console.results),
        Tool::Help(args) => args.write(console.results),
        Tool::Install(args) => tool::install::run(&args.request()?, &mut console),
    }
}
