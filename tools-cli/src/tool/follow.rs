//! Following forks: two programs at tracepoints of the scheduler.

use anyhow::Context as _;
use probes_common::Settings;

use crate::{
    attach::{self, Attached, Bodies},
    load::{Body, Loader},
    resolve::{AttachPoint, Probe, Tracefs, TracepointPoint},
};

/// Children that can be followed at a time.
pub(super) const AT_A_TIME: u32 = 65_536;

const CATEGORY: &str = "sched";
const FORK: &str = "sched_process_fork";
const FREE: &str = "sched_process_free";

/// Finds out where the tracepoints' records have their PIDs, which differs between kernels.
pub(super) fn set_offsets(settings: &mut Settings) -> anyhow::Result<()> {
    let tracefs = Tracefs::open().context("failed to follow forks")?;
    settings.fork_child_offset = tracefs.field_offset(CATEGORY, FORK, "child_pid")?;
    settings.free_pid_offset = tracefs.field_offset(CATEGORY, FREE, "pid")?;
    Ok(())
}

/// The programs that follow forks, for as long as this lives.
#[derive(Debug)]
pub(super) struct Following {
    forks: Attached,
    _ends: Attached,
}

impl Following {
    /// Attaches both programs.
    pub(super) fn start(loader: &Loader) -> anyhow::Result<Self> {
        let tracefs = Tracefs::open().context("failed to follow forks")?;
        Ok(Self {
            _ends: attach_one(&tracefs, FREE, Body::ForgetTask, loader)?,
            forks: attach_one(&tracefs, FORK, Body::FollowFork, loader)?,
        })
    }

    /// How many forks the kernel did not tell of, by whomever. Missed ends are many, since the kernel
    /// frees tasks in interrupts, and cost a place in the table each.
    pub(super) fn missed_forks(&self) -> u64 {
        self.forks.misses()
    }
}

fn attach_one(
    tracefs: &Tracefs,
    event: &str,
    body: Body,
    loader: &Loader,
) -> anyhow::Result<Attached> {
    let point = TracepointPoint {
        category: CATEGORY.to_owned(),
        event: event.to_owned(),
        id: tracefs.event_id(CATEGORY, event)?,
    };
    let probe = Probe {
        name: event.to_owned(),
        spec: 0,
        points: vec![AttachPoint::Tracepoint(point)],
    };
    attach::attach(
        &[probe],
        &Bodies::All(body),
        loader,
        attach::Options::default(),
        &|| false,
    )
    .context("failed to follow forks")
}
