//! `probekit help`: clap's, and the recipes.

use std::io::Write;

use clap::{CommandFactory as _, Parser};
use clap_complete::{ArgValueCandidates, CompletionCandidate};

use super::{BadCommandLine, Probekit};
use crate::{suggest, tool::Status};

/// Questions, the commands that answer them, and what they printed.
const RECIPES: &str = include_str!("../../doc/recipes.txt");
/// What other tools do, and the commands here; the README's table.
const TRANSLATIONS: &str = include_str!("../../doc/translations.txt");
/// What they are called.
const TOPIC: &str = "recipes";

/// Print the help of a tool, or recipes: questions and the commands that answer them
#[derive(Parser)]
#[command(name = "help")]
pub(super) struct Args {
    /// A tool, or recipes
    #[arg(add = ArgValueCandidates::new(topics))]
    topic: Option<String>,
}

impl Args {
    pub(super) fn write(&self, out: &mut dyn Write) -> anyhow::Result<Status> {
        if self.topic.as_deref() == Some(TOPIC) {
            out.write_all(RECIPES.as_bytes())?;
            out.write_all(TRANSLATIONS.as_bytes())?;
            return Ok(Status::Done);
        }
        let mut command = Probekit::command();
        // So that the tools know what they are parts of.
        command.build();
        let wanted = match &self.topic {
            None => &mut command,
            Some(topic) => match command.find_subcommand_mut(topic) {
                Some(tool) => tool,
                None => return Err(unknown(topic).into()),
            },
        };
        write!(out, "{}", wanted.render_long_help())?;
        Ok(Status::Done)
    }
}

/// What there is help on.
fn topics() -> Vec<CompletionCandidate> {
    let command = Probekit::command();
    let tools = command.get_subcommands().filter(|tool| !tool.is_hide_set());
    let names = tools.map(clap::Command::get_name).chain([TOPIC]);
    names.map(CompletionCandidate::new).collect()
}

fn unknown(topic: &str) -> BadCommandLine {
    let command = Probekit::command();
    let tools = command.get_subcommands().map(clap::Command::get_name);
    let nearest = suggest::nearest(topic, tools.chain([TOPIC]), 1);
    let note = match nearest.as_slice() {
        [] => format!("expected a tool or `{TOPIC}`"),
        nearest => suggest::did_you_mean(nearest),
    };
    BadCommandLine(format!("there is no help on `{topic}`: {note}"))
}
