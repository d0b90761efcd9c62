//! Which events are looked at: one implementation for every tool.

use aya_ebpf::{
    bindings::bpf_pidns_info,
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{bpf_get_ns_current_pid_tgid, bpf_get_smp_processor_id},
    },
    maps::HashMap,
};
use probes_common::CommFilter;

use crate::{
    maps::{CGROUP, FOLLOWED, PIDS},
    settings::setting,
};

/// A thread and its process.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    tid: u32,
    tgid: u32,
}

impl Task {
    /// The task that runs now, as the initial PID namespace numbers it.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        let ids = bpf_get_current_pid_tgid();
        Self {
            tid: ids as u32,
            tgid: (ids >> 32) as u32,
        }
    }

    /// Its number.
    #[inline(always)]
    pub(crate) fn tid(self) -> u32 {
        self.tid
    }

    /// Its process.
    #[inline(always)]
    pub(crate) fn tgid(self) -> u32 {
        self.tgid
    }

    /// The task that runs now, as the caller's PID namespace numbers it; `None` if it is not there.
    #[inline(always)]
    pub(crate) fn current_in_namespace() -> Option<Self> {
        let inode = setting!(pid_namespace_inode);
        if inode == 0 {
            return Some(Self::current());
        }
        let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
        // SAFETY: the pointer and the size are those of `ids`.
        let result = unsafe {
            bpf_get_ns_current_pid_tgid(
                setting!(pid_namespace_device),
                inode,
                &raw mut ids,
                size_of::<bpf_pidns_info>() as u32,
            )
        };
        (result == 0).then_some(Self {
            tid: ids.pid,
            tgid: ids.tgid,
        })
    }

    /// Whether the process is one of those asked for, or a followed child of one.
    #[inline(always)]
    pub(crate) fn is_asked_for() -> bool {
        if setting!(follow_forks) != 0 && contains(&FOLLOWED, Self::current().tgid) {
            return true;
        }
        Self::current_in_namespace().is_some_and(|task| contains(&PIDS, task.tgid))
    }
}

/// Whether the event that happens now passes all filters.
#[inline(always)]
pub(crate) fn passes() -> bool {
    passes_cpu()
        && passes_thread()
        && passes_process()
        && passes_user()
        && passes_comm()
        && passes_cgroup()
}

/// The same at the entry of a function whose return is asked about: what may change until then is
/// looked at when it returns.
#[inline(always)]
pub(crate) fn passes_at_entry() -> bool {
    passes_thread() && passes_process()
}

#[inline(always)]
fn passes_cpu() -> bool {
    // SAFETY: the helper has no conditions.
    setting!(filter_cpu) == 0 || unsafe { bpf_get_smp_processor_id() } == setting!(cpu)
}

#[inline(always)]
fn passes_thread() -> bool {
    let tid = setting!(tid);
    tid == 0 || Task::current_in_namespace().is_some_and(|task| task.tid == tid)
}

#[inline(always)]
fn passes_process() -> bool {
    setting!(filter_pids) == 0 || Task::is_asked_for()
}

#[inline(always)]
fn passes_user() -> bool {
    setting!(filter_uid) == 0 || bpf_get_current_uid_gid() as u32 == setting!(uid)
}

#[inline(always)]
fn passes_comm() -> bool {
    let filter = CommFilter {
        text: [setting!(comm.text[0]), setting!(comm.text[1])],
        mask: [setting!(comm.mask[0]), setting!(comm.mask[1])],
    };
    if filter.is_empty() {
        return true;
    }
    let Ok(comm) = bpf_get_current_comm() else {
        return false;
    };
    // SAFETY: sixteen bytes are two words, and any bytes are words.
    filter.matches(unsafe { core::mem::transmute::<[u8; 16], [u64; 2]>(comm) })
}

#[inline(always)]
fn passes_cgroup() -> bool {
    setting!(filter_cgroup) == 0 || CGROUP.current_task_under_cgroup(0) == Ok(true)
}

#[inline(always)]
fn contains(pids: &HashMap<u32, u8>, pid: u32) -> bool {
    pids.get_ptr(pid).is_some()
}
