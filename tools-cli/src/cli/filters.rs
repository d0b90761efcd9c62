//! Flags of the filters that all tools share.

use std::path::PathBuf;

use super::{BadCommandLine, complete};
use crate::tool::Filters;

/// What the help has them under: on each, since a heading of all would go on to the flags that follow
/// them in a tool.
const HEADING: &str = "Filters";

#[derive(clap::Args)]
pub(super) struct FilterArgs {
    /// Only this process; may be given several times
    #[arg(help_heading = HEADING, short, long = "pid", value_name = "PID", add = complete::pids(), value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,
    /// With -p: also the children that they fork from now on
    #[arg(help_heading = HEADING, long, requires = "pid")]
    follow_forks: bool,
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
        if has_command && !self.pid.is_empty() {
            let reason = "-p and a command exclude each other: with a command, only it is traced";
            return Err(BadCommandLine(reason.to_owned()));
        }
        Ok(Filters {
            pids: self.pid.clone(),
            follow_forks: self.follow_forks,
            tid: self.tid,
            uid: self.uid,
            cgroup: self.cgroup.clone(),
            comm: self.comm.clone(),
            cpu: self.cpu,
        })
    }
}
