//! Follows forks: children of the processes asked for are remembered until they are gone.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use probes_common::{Loss, NO_PROBE};

use crate::{filter::Task, loss, maps::FOLLOWED, settings::setting};

/// On `sched:sched_process_fork`, in the parent: remembers the child. The record does not tell a
/// thread from a process, so that a thread has a place too, until it ends.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/follow_fork")]
extern "C" fn follow_fork(ctx: *const c_void) -> u32 {
    if Task::is_asked_for()
        && let Some(child) = read_pid(ctx, setting!(fork_child_offset))
        && FOLLOWED.insert(child, 1, 0).is_err()
    {
        loss::count(Loss::NotFollowed, NO_PROBE, child.into());
    }
    0
}

/// On `sched:sched_process_free`: forgets a task. Not at its exit, since the first thread of a
/// process may exit before the others.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/forget_task")]
extern "C" fn forget_task(ctx: *const c_void) -> u32 {
    if let Some(pid) = read_pid(ctx, setting!(free_pid_offset)) {
        // Most tasks were never in the table; that is no error.
        let _ = FOLLOWED.remove(pid);
    }
    0
}

/// Reads the PID at `offset` of a tracepoint's record. Through a helper, because the
/// verifier refuses direct access through a context pointer that was added to.
#[inline(always)]
fn read_pid(ctx: *const c_void, offset: u32) -> Option<u32> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(ctx.cast::<u8>().wrapping_add(offset as usize).cast()) }.ok()
}
