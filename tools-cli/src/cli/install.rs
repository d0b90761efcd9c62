//! `probekit install`: what there is to be installed, and where.

use std::path::PathBuf;

use clap::{Parser, ValueEnum as _};

use super::{
    complete::{NAME, Shell},
    man::Page,
};
use crate::tool::install::{Content, File, Request};

/// What the program is called to be one of its tools.
pub(super) const TOOLS: [&str; 3] = ["funccount", "stackcount", "trace"];

/// Install this program, its tools' names, manual pages and completions for shells.
#[derive(Parser)]
#[command(name = "install")]
pub(super) struct Args {
    /// The folder that gets them, below bin and share
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
}

impl Args {
    pub(super) fn request(&self) -> anyhow::Result<Request> {
        let mut files = vec![File::new(format!("bin/{NAME}"), Content::OwnProgram)];
        files.extend(tools("bin/", ""));
        for page in Page::value_variants() {
            let path = format!("share/man/man8/{}.8", page.name());
            files.push(File::new(path, Content::Bytes(page.render()?)));
        }
        for (shell, folder, ending) in [
            (Shell::Bash, "share/bash-completion/completions/", ""),
            (Shell::Fish, "share/fish/vendor_completions.d/", ".fish"),
        ] {
            let script = Content::Bytes(shell.script(NAME).into());
            files.push(File::new(format!("{folder}{NAME}{ending}"), script));
            // These shells look for a script by the name of what is to be run.
            files.extend(tools(folder, ending));
        }
        let script = Content::Bytes(Shell::Zsh.script(NAME).into());
        let path = format!("share/zsh/site-functions/_{NAME}");
        files.push(File::new(path, script));
        Ok(Request {
            prefix: self.prefix.clone(),
            files,
        })
    }
}

/// Links from the names of the tools to what is there for the program.
fn tools(folder: &str, ending: &str) -> impl Iterator<Item = File> {
    TOOLS.into_iter().map(move |tool| {
        let target = format!("{NAME}{ending}");
        File::new(format!("{folder}{tool}{ending}"), Content::Link(target))
    })
}
