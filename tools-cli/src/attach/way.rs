//! The ways of attaching, best first.

use std::{fmt, str::FromStr};

use super::{Context, Outcome, Site, WayError, fentry, kprobe_multi, perf_event, uprobe_multi};
use crate::resolve::AttachPoint;

/// A way of attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// One link to any number of kernel functions.
    KprobeMulti,
    /// A perf event and a link per place in the kernel, one program with cookies.
    Kprobe,
    /// A trampoline and a program per kernel function.
    Fentry,
    /// A perf event and a program per place in the kernel.
    KprobeSingle,
    /// One link to any number of places in a file.
    UprobeMulti,
    /// A perf event and a link per place in a file, one program with cookies.
    Uprobe,
    /// A perf event and a program per place in a file.
    UprobeSingle,
    /// A perf event and a link per tracepoint, one program with cookies.
    Tracepoint,
    /// A perf event and a program per tracepoint.
    TracepointSingle,
}

impl Way {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 9] = [
        Self::KprobeMulti,
        Self::Kprobe,
        Self::KprobeSingle,
        Self::Fentry,
        Self::UprobeMulti,
        Self::Uprobe,
        Self::UprobeSingle,
        Self::Tracepoint,
        Self::TracepointSingle,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KprobeMulti => "kprobe.multi",
            Self::Kprobe => "kprobe",
            Self::Fentry => "fentry",
            Self::KprobeSingle => "kprobe.single",
            Self::UprobeMulti => "uprobe.multi",
            Self::Uprobe => "uprobe",
            Self::UprobeSingle => "uprobe.single",
            Self::Tracepoint => "tracepoint",
            Self::TracepointSingle => "tracepoint.single",
        }
    }

    /// What it can be used on.
    pub(super) const fn takes_what(self) -> &'static str {
        match self {
            Self::KprobeMulti | Self::Fentry => "kernel functions that ftrace lists, at no offset",
            Self::Kprobe | Self::KprobeSingle => "kernel functions",
            Self::UprobeMulti | Self::Uprobe | Self::UprobeSingle => {
                "functions and USDT probes of programs and libraries"
            }
            Self::Tracepoint | Self::TracepointSingle => "tracepoints",
        }
    }

    pub(super) fn takes(self, point: &AttachPoint) -> bool {
        match (self, point) {
            (Self::KprobeMulti | Self::Fentry, AttachPoint::Kernel(point)) => point.offset == 0,
            (Self::Kprobe | Self::KprobeSingle, AttachPoint::Kernel(_))
            | (Self::UprobeMulti | Self::Uprobe | Self::UprobeSingle, AttachPoint::User(_))
            | (Self::Tracepoint | Self::TracepointSingle, AttachPoint::Tracepoint(_)) => true,
            _ => false,
        }
    }

    pub(super) fn attach<'a>(
        self,
        sites: &[Site<'a>],
        context: &Context<'_>,
    ) -> Result<Outcome<'a>, WayError> {
        match self {
            Self::KprobeMulti => kprobe_multi::attach(sites, context),
            Self::Fentry => fentry::attach(sites, context),
            Self::UprobeMulti => uprobe_multi::attach(sites, context),
            Self::Kprobe | Self::Uprobe | Self::Tracepoint => {
                perf_event::attach_with_cookies(self, sites, context)
            }
            Self::KprobeSingle | Self::UprobeSingle | Self::TracepointSingle => {
                perf_event::attach_program_each(self, sites, context)
            }
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|way| way.name() == text)
            .ok_or_else(|| format!("expected one of {}", known.join(", ")))
    }
}
