//! A probe's hold on the kernel: closing it detaches.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Mutex,
    time::{Duration, Instant},
};

use super::threads::on_threads;
use crate::kernel::{bpf, linger};

/// A live attachment. The kernel ends it when the descriptors close, however the process ends.
#[derive(Debug)]
pub enum Link {
    /// A BPF link.
    Bpf(OwnedFd),
    /// A BPF link to a perf event, which must stay open too.
    BpfToEvent {
        /// The link; closed first.
        link: OwnedFd,
        /// The event.
        event: OwnedFd,
    },
    /// A perf event with a program set, before there were links to events.
    Event(OwnedFd),
}

impl Link {
    /// What it consists of, the link before the event.
    fn into_descriptors(self) -> Vec<OwnedFd> {
        match self {
            Self::Bpf(one) | Self::Event(one) => vec![one],
            Self::BpfToEvent { link, event } => vec![link, event],
        }
    }

    /// Ends the link, and gives the perf event that it went to, if any.
    fn detach(self) -> Option<OwnedFd> {
        match self {
            Self::Bpf(_) => None,
            Self::BpfToEvent { event, .. } | Self::Event(event) => Some(event),
        }
    }

    /// Events missed, as far as the kernel counts them by link.
    #[must_use]
    pub fn misses(&self) -> u64 {
        match self {
            Self::Bpf(link) | Self::BpfToEvent { link, .. } => {
                bpf::link_misses(link.as_fd()).unwrap_or(0)
            }
            Self::Event(_) => 0,
        }
    }
}

/// Links that are closed together.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

impl Links {
    pub(super) fn push(&mut self, link: Link) {
        self.0.push(link);
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.iter()
    }
}

impl Links {
    /// Detaches the programs, then gives the perf events back; tells how many of them are left to
    /// a child process.
    ///
    /// The kernel waits in both, for tens of milliseconds, to be sure that nobody is in a program
    /// or an event any more. Programs can be detached at the same time since about 6.13
    /// (`perf_event_detach_bpf_prog`, kernel/trace/bpf_trace.c); events only one after the other
    /// (`perf_trace_event_unreg`, kernel/trace/trace_event_perf.c). So what is not done in about a
    /// second is left to the background.
    pub(super) fn detach(&mut self) -> usize {
        leave(detach_for(
            Duration::from_secs(1),
            std::mem::take(&mut self.0),
        ))
    }
}

impl Drop for Links {
    /// As [`Links::detach`], but waits for next to nothing: something has failed, or the user has
    /// asked us to stop.
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.0);
        leave(links.into_iter().map(Link::into_descriptors).collect());
    }
}

/// Closes what is left of links, or has a child do it where that takes long; tells how many it has
/// got.
fn leave(rest: Vec<Vec<OwnedFd>>) -> usize {
    /// As many events as take less than a second.
    const AT_ONCE: usize = 8;

    let count = rest.len();
    if count <= AT_ONCE {
        return 0;
    }
    let descriptors = rest.into_iter().flatten().collect();
    // Without a child, they have been closed here.
    linger::close_in_background(descriptors).map_or(0, |()| count)
}

/// Ends as many links as can be in `time`, many at once; gives what is still to be closed of each.
fn detach_for(time: Duration, links: Vec<Link>) -> Vec<Vec<OwnedFd>> {
    const AT_A_TIME: usize = 32;

    let deadline = Instant::now() + time;
    let threads = links.len().min(AT_A_TIME);
    let links = Mutex::new(links);
    // The guard must not live while the link is closed.
    let next = || links.lock().ok()?.pop();
    let work = || {
        let mut events = Vec::new();
        while Instant::now() < deadline
            && let Some(link) = next()
        {
            events.extend(link.detach().map(|event| vec![event]));
        }
        events
    };
    let mut rest: Vec<_> = on_threads(threads, work).into_iter().flatten().collect();
    let links = links.into_inner().unwrap_or_default();
    rest.extend(links.into_iter().map(Link::into_descriptors));
    rest
}
