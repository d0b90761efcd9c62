//! The switch of all kprobes: `kprobes/enabled` in debugfs (Documentation/trace/kprobes.rst). Off,
//! they can be attached and do nothing.

use std::{fs, os::fd::AsRawFd as _};

use super::mount::mount_privately;

/// What helps where [`are_off`].
pub const REMEDY: &str = "echo 1 > /sys/kernel/debug/kprobes/enabled";

/// Whether kprobes are switched off; from debugfs, through a mount of our own if there is none. A
/// kernel that does not say is taken to have them on.
#[must_use]
pub fn are_off() -> bool {
    let text = fs::read_to_string("/sys/kernel/debug/kprobes/enabled").or_else(|_| {
        let debugfs = mount_privately(c"debugfs")?;
        fs::read_to_string(format!(
            "/proc/self/fd/{}/kprobes/enabled",
            debugfs.as_raw_fd()
        ))
    });
    text.is_ok_and(|text| text.trim() == "0")
}
