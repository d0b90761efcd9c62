//! What one spec stands for on this system.

use super::Probe;
use crate::attach::Skipped;

/// Probes, and what is to be said about how they were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// What the spec stands for.
    pub(super) probes: Vec<Probe>,
    /// What matched and is not probed, and why.
    pub(super) left_out: Vec<Skipped>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}
