//! Which events are looked at: one implementation for every tool.

use aya_ebpf::{
    EbpfContext as _,
    bindings::bpf_pidns_info,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        bpf_get_smp_processor_id, generated::bpf_get_ns_current_pid_tgid,
    },
};

use crate::{
    maps::{CGROUP, FOLLOWED, PIDS},
    settings::setting,
};

/// A thread and its process.
#[derive(Clone, Copy)]
struct Task {
    tid: u32,
    tgid: u32,
}

/// Whether the event that happens now passes all filters.
#[inline(always)]
pub(crate) fn passes() -> bool {
    passes_cpu() && passes_task() && passes_uid() && passes_comm() && passes_cgroup()
}

/// Whether the process that runs now is one of those asked for, or a followed child of one.
#[inline(always)]
pub(crate) fn is_asked_for(task: u64) -> bool {
    if setting!(follow_forks) != 0 && is_followed((task >> 32) as u32) {
        return true;
    }
    current_in_namespace(task).is_some_and(|task| is_in(&PIDS, task.tgid))
}
