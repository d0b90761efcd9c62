//! Manual pages, from the definitions that --help is from.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _, Parser, ValueEnum};
use clap_mangen::Man;

use super::{Probekit, complete, doctor, funccount, install, list, stackcount, trace};
use crate::tool::Status;

/// Print the manual page of a tool, for man: probekit man trace | man -l -
#[derive(Parser)]
#[command(name = "man")]
pub(super) struct Args {
    /// The tool
    #[arg(value_name = "TOOL")]
    page: Page,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Page {
    Probekit,
    Funccount,
    Stackcount,
    Trace,
    List,
    Doctor,
    Completions,
    Install,
}

impl Page {
    /// What it is called among the others of its section.
    pub(super) fn name(self) -> String {
        self.command().get_name().to_owned()
    }

    /// The command, and what it is called where it is a part of probekit only.
    fn command(self) -> Command {
        let part = |command: Command, name: &'static str| {
            let usage = name.replace('-', " ");
            command.name(name).bin_name(usage)
        };
        match self {
            Self::Probekit => Probekit::command(),
            Self::Funccount => funccount::Args::command(),
            Self::Stackcount => stackcount::Args::command(),
            Self::Trace => trace::Args::command(),
            Self::List => part(list::Args::command(), "probekit-list"),
            Self::Doctor => part(doctor::Args::command(), "probekit-doctor"),
            Self::Completions => part(complete::ScriptArgs::command(), "probekit-completions"),
            Self::Install => part(install::Args::command(), "probekit-install"),
        }
    }
}

impl Args {
    pub(super) fn write(&self, out: &mut dyn Write) -> anyhow::Result<Status> {
        out.write_all(&self.page.render()?)?;
        Ok(Status::Done)
    }
}

impl Page {
    /// The page, as man reads it.
    pub(super) fn render(self) -> io::Result<Vec<u8>> {
        let mut command = self.command();
        let usage = command.render_usage().to_string();
        let closing = command.get_after_help().map(ToString::to_string);
        let has_tools = command.has_subcommands();
        let man = Man::new(command).section("8").manual("probekit");
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        page.extend(synopsis(&usage).into_bytes());
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if has_tools {
            let mut tools = Vec::new();
            man.render_subcommands_section(&mut tools)?;
            page.extend(with_own_pages(&String::from_utf8_lossy(&tools)).into_bytes());
        }
        if let Some(text) = closing {
            page.extend(closing_section(&text).into_bytes());
        }
        Ok(page)
    }
}

/// As --help has it: the library's own leaves out what can be repeated, and the `--` before a command.
fn synopsis(usage: &str) -> String {
    let usage = usage.strip_prefix("Usage: ").unwrap_or(usage);
    format!(".SH SYNOPSIS\n\\&{}\n", usage.replace('-', "\\-"))
}

/// The tools that can be run by their names have their pages by those names too; others have none.
fn with_own_pages(tools: &str) -> String {
    let own = install::TOOLS
        .iter()
        .map(|tool| (tool, format!("{tool}(8)")));
    let none = ["man", "help"]
        .iter()
        .map(|part| (part, format!("probekit {part}")));
    own.chain(none)
        .fold(tools.to_owned(), |tools, (tool, shown)| {
            tools.replace(&format!("probekit\\-{tool}(8)"), &shown)
        })
}

/// What --help ends with, in lines as they are: examples, mostly, in columns.
fn closing_section(text: &str) -> String {
    let (heading, lines) = match text.split_once(":\n") {
        Some((heading, lines)) if !heading.contains('\n') => (heading, lines),
        _ => ("Notes", text),
    };
    let mut section = format!(".SH {}\n.nf\n", heading.to_uppercase());
    for line in lines.lines() {
        // Nothing at the start of a line is a request, and a hyphen is one that can be pasted.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        section.push_str(&format!("\\&{}\n", line.replace('\'', "\\(aq")));
    }
    section + ".fi\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_there_are_are_referred_to() {
        let page = Page::Probekit.render().expect("it can be written");
        let page = String::from_utf8(page).expect("text").replace('\\', "");
        let names: Vec<String> = Page::value_variants()
            .iter()
            .map(|page| page.name())
            .collect();
        let references: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_suffix("(8)"))
            .collect();
        assert!(references.len() > 4, "{page}");
        for reference in references {
            assert!(names.iter().any(|name| name == reference), "{reference}");
        }
    }

    #[test]
    fn examples_stay_as_they_are() {
        assert_eq!(
            closing_section("Examples:\n  list -v 'a\\b'\n.x"),
            ".SH EXAMPLES\n.nf\n\\&  list \\-v \\(aqa\\eb\\(aq\n\\&.x\n.fi\n"
        );
        assert!(closing_section("One: two\nthree").starts_with(".SH NOTES\n.nf\n\\&One: two\n"));
    }
}
