//! Flags of the filters that all tools share.

use std::path::PathBuf;

use super::{BadCommandLine, complete};
use crate::tool::Filters;

/// What the help has them under: on each, since a heading of all would go on to the flags that follow
/// them in a tool.
pub(super) const HEADING: &str = "Filters";

/// Which processes, in all tools by the same letters.
#[derive(clap::Args)]
pub(super) struct ProcessArgs {
    /// Only this process; may be given several times
    #[arg(help_heading = HEADING, short, long = "pid", value_name = "PID", add = complete::pids(), value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,
    /// With -p: also the children that they fork from now on, as those of a command are
    #[arg(help_heading = HEADING, long)]
    follow_forks: bool,
}

impl ProcessArgs {
    /// A filter by them alone.
    pub(super) fn filters(&self, has_command: bool) -> Result<Filters, BadCommandLine> {
        let refuse = |reason: &str| Err(BadCommandLine(reason.to_owned()));
        if has_command && !self.pid.is_empty() {
            return refuse(
                "-p and a command exclude each other: with a command, only it is traced",
            );
        }
        if self.follow_forks && self.pid.is_empty() && !has_command {
            return refuse("--follow-forks needs -p: it follows the children of those processes");
        }
        Ok(Filters {
            pids: self.pid.clone(),
            follow_forks: self.follow_forks,
            ..Filters::default()
        })
    }
}

/// All of funccount's and stackcount's.
#[derive(clap::Args)]
pub(super) struct FilterArgs {
    #[command(flatten)]
    processes: ProcessArgs,
    /// Only this thread
    #[arg(help_heading = HEADING, long, value_name = "TID", value_parser = clap::value_parser!(u32).range(1..))]
    tid: Option<u32>,
    /// Only this user, by number
    #[arg(help_heading = HEADING, long, value_name = "UID")]
    uid: Option<u32>,
    /// Only tasks in this cgroup (version 2) and below it
    #[arg(help_heading = HEADING, long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Only tasks whose command name contains this
    #[arg(help_heading = HEADING, long, value_name = "NAME")]
    comm: Option<String>,
    /// Only this CPU
    #[arg(help_heading = HEADING, short, long, value_name = "CPU")]
    cpu: Option<u32>,
}

impl FilterArgs {
    pub(super) fn filters(&self, has_command: bool) -> Result<Filters, BadCommandLine> {
        Ok(Filters {
            tid: self.tid,
            uid: self.uid,
            cgroup: self.cgroup.clone(),
            comm: self.comm.clone(),
            cpu: self.cpu,
            ..self.processes.filters(has_command)?
        })
    }
}
