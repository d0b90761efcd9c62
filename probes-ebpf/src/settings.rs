//! The settings of this run: a read-only global that the loader fills before it freezes the map.

use probes_common::Settings;

/// Written by the loader; the values here are never used.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    pid_namespace_device: 0,
    pid_namespace_inode: 0,
    comm: probes_common::CommFilter {
        text: [0; 2],
        mask: [0; 2],
    },
    has_cookie: 0,
    preemptible: 0,
    filter_pids: 0,
    follow_forks: 0,
    filter_cgroup: 0,
    tid: 0,
    filter_uid: 0,
    uid: 0,
    filter_cpu: 0,
    cpu: 0,
    fork_child_offset: 0,
    free_pid_offset: 0,
    kernel_stack: 0,
    user_stack: 0,
    stack_bytes: 0,
    by_process: 0,
    by_comm: 0,
    has_registers: 0,
    walk_ourselves: 0,
    frame_pointer_offset: 0,
    value_bytes: 0,
    hidden_tgid: 0,
    wake_bytes: 0,
    stack_pointer_offset: 0,
    never: 0,
    exec_id_offset: 0,
    by: 0,
    has_record: 0,
    reads_kernel: 0,
    foresees_kernel: 0,
};

/// Reads one field of the settings so that the compiler can't assume its value, but the verifier
/// can.
macro_rules! setting {
    ($($field:tt)+) => {
        $crate::settings::read(&$crate::settings::SETTINGS.$($field)+)
    };
}
pub(crate) use setting;

/// Reads a field in a way that the compiler can't foresee.
#[inline(always)]
pub(crate) fn read<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::read_volatile(field) }
}
