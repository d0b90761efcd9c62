//! funccount's body when counts are broken down: one more for the probe and whoever it fired for.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_comm, generated::bpf_get_smp_processor_id};
use probes_common::{By, COMM_BYTES, Group, GroupKey, Loss};

use crate::{
    cookie::probe,
    counter,
    filter::{self, Task},
    loss,
    maps::GROUPS,
    settings::setting,
    task_stack,
};

/// Counts the event in its group.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/count_by")]
extern "C" fn count_by(ctx: *mut c_void) -> u32 {
    task_stack::stay(ctx);
    if !filter::passes() {
        return 0;
    }
    let by = setting!(by);
    let key = GroupKey {
        comm: if by == By::Comm as u32 {
            comm()
        } else {
            [0; COMM_BYTES]
        },
        probe: probe(ctx),
        id: id(by),
    };
    if add_one(&key) {
        return 0;
    }
    let first = Group {
        count: 1,
        comm: comm(),
    };
    const NO_EXIST: u64 = 1;
    // Somebody else may have been faster.
    if GROUPS.insert(&key, &first, NO_EXIST).is_err() && !add_one(&key) {
        loss::count(Loss::Groups, key.probe, 0);
    }
    0
}

#[inline(always)]
fn comm() -> [u8; COMM_BYTES] {
    bpf_get_current_comm().unwrap_or_default()
}

#[inline(always)]
fn id(by: u32) -> u32 {
    if by == By::Process as u32 {
        Task::current_in_namespace().map_or(0, Task::tgid)
    } else if by == By::Thread as u32 {
        Task::current_in_namespace().map_or(0, Task::tid)
    } else if by == By::Cpu as u32 {
        // SAFETY: the helper has no conditions.
        unsafe { bpf_get_smp_processor_id() }
    } else {
        0
    }
}

/// Counts in a group that is in the table; tells whether it was.
#[inline(always)]
fn add_one(key: &GroupKey) -> bool {
    let Some(group) = GROUPS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the pointer is to a map value.
    unsafe { counter::increment_shared(&raw mut (*group).count) };
    true
}
