//! From a [`ProbeSpec`](crate::spec::ProbeSpec) to the [`Probe`]s that it names on this system.

mod address;
mod probe;

pub use address::{FileOffset, KernelAddr, VirtAddr};
pub use probe::{AttachPoint, KernelPoint, Probe, TargetFile, TracepointPoint, UserPoint};
