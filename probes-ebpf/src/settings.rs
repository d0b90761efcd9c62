//! The settings of this run: a read-only global that the loader fills before it freezes the map.

use probes_common::Settings;

/// Written by the loader; `mut` only in form, so that the compiler does not use the value below.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
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
};

/// Reads one field of the settings so that the compiler can't assume its value, but the verifier
/// can.
macro_rules! setting {
    ($($field:tt)+) => {
        // SAFETY: the address is that of a field of a static.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::settings::get()).$($field)+) }
    };
}
pub(crate) use setting;

#[inline(always)]
pub(crate) fn get() -> *const Settings {
    &raw const SETTINGS
}
