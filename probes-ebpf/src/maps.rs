//! The maps; the loader sets their sizes.

use aya_ebpf::{
    macros::map,
    maps::{Array, CgroupArray, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use probes_common::{
    Group, GroupKey, KERNEL_RULES, KernelTables, Loss, STACK_BUFFERS, Saved, StackHeader, StackKey,
};

use crate::entry::Call;

/// Calls of each probe, by the probe's number.
#[map]
pub(crate) static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Calls of each probe, broken down.
#[map]
pub(crate) static GROUPS: HashMap<GroupKey, Group> = HashMap::with_max_entries(1, 0);

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

/// How often each stack was seen.
#[map]
pub(crate) static STACKS: HashMap<StackKey, u64> = HashMap::with_max_entries(1, 0);

/// 1 once that table is full, which it is for ever: nothing is removed from it.
#[map]
pub(crate) static STACKS_FULL: Array<u32> = Array::with_max_entries(1, 0);

/// Stacks that were not seen before, on their way to user space.
#[map]
pub(crate) static FRAMES: RingBuf = RingBuf::with_byte_size(4096, 0);

/// trace's events, on their way to user space.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// What was saved at entries, for returns. Of entries that never return, the oldest make room.
#[map]
pub(crate) static SAVED: LruHashMap<Call, Saved> = LruHashMap::with_max_entries(1, 0);

/// Where stacks are put together, some for each CPU; the loader sets the size of one.
#[map]
pub(crate) static BUFFERS: PerCpuArray<StackHeader> =
    PerCpuArray::with_max_entries(STACK_BUFFERS, 0);

/// Which of this CPU's buffers are taken, a bit each.
#[map]
pub(crate) static TAKEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Where the kernel's unwinder keeps its tables, once user space has told.
#[map]
pub(crate) static TABLES: Array<KernelTables> = Array::with_max_entries(1, 0);

/// What they say of places that stacks were seen to lead through: each a `KernelRule`.
#[map]
pub(crate) static RULES: Array<u64> = Array::with_max_entries(KERNEL_RULES, 0);
