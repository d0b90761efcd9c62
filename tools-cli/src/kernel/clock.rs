//! The clock that events are timed by.

use std::time::{SystemTime, UNIX_EPOCH};

/// `CLOCK_MONOTONIC` in nanoseconds, as `bpf_ktime_get_ns` gives it.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local. That clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What has to be added to [`monotonic_ns`] to get nanoseconds since 1970, as the clocks are set
/// now.
#[must_use]
pub fn monotonic_to_unix_ns() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix_ns = unix.map_or(0, |unix| unix.as_nanos());
    let unix_ns = i64::try_from(unix_ns).unwrap_or(i64::MAX);
    unix_ns.saturating_sub_unsigned(monotonic_ns())
}
