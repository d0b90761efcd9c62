//! A probe's hold on the kernel: closing it detaches.

use std::os::fd::{AsFd as _, OwnedFd};

use crate::kernel::bpf;

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
