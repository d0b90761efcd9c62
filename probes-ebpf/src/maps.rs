//! The maps; the loader sets their sizes.

use aya_ebpf::{
    macros::map,
    maps::{CgroupArray, HashMap, PerCpuArray},
};
use probes_common::Loss;

/// Calls of each probe, by the probe's number.
#[map]
pub(crate) static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What was lost, by [`Loss`].
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Loss::COUNT, 0);

/// The processes that were asked for, as the caller's PID namespace numbers them.
#[map]
pub(crate) static PIDS: HashMap<u32, u8> = HashMap::with_max_entries(1, 0);

/// Their children since, as the initial PID namespace numbers them.
#[map]
pub(crate) static FOLLOWED: HashMap<u32, u8> = HashMap::with_max_entries(1, 0);

/// The cgroup that was asked for.
#[map]
pub(crate) static CGROUP: CgroupArray = CgroupArray::with_max_entries(1, 0);
