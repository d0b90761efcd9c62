//! Per-CPU counters that are exact.

use core::arch::asm;

use aya_ebpf::maps::PerCpuArray;

use crate::settings::setting;

/// Adds one to this CPU's counter number `index`, which programs of this kind alone count in.
#[inline(always)]
pub(crate) fn increment(counters: &PerCpuArray<u64>, index: u32) {
    let Some(counter) = counters.get_ptr_mut(index) else {
        return;
    };
    if setting!(preemptible) != 0 {
        // SAFETY: the pointer is to this CPU's slot of a map value.
        unsafe { increment_shared(counter) };
    } else {
        // SAFETY: the pointer as above. No other program counts here meanwhile: the kernel runs one
        // kprobe or tracepoint program at a time on a CPU, and skips those that come while one is
        // preempted (`bpf_prog_active` in kernel/trace/bpf_trace.c).
        unsafe { *counter += 1 };
    }
}

/// The same where programs of all kinds count. Gives about what it was before; nothing if there is
/// no such counter.
#[inline(always)]
pub(crate) fn increment_together(counters: &PerCpuArray<u64>, index: u32) -> u64 {
    let Some(counter) = counters.get_ptr_mut(index) else {
        return 0;
    };
    // SAFETY: the pointer is to this CPU's slot of a map value.
    let before = unsafe { counter.read() };
    // SAFETY: the pointer as above.
    unsafe { increment_shared(counter) };
    before
}

/// Adds one to a counter that others count in at the same time.
///
/// # Safety
///
/// The pointer is to a word of a map value, which lives as long as the map.
#[inline(always)]
pub(crate) unsafe fn increment_shared(counter: *mut u64) {
    // SAFETY: the caller's. Assembly, because `core` has no atomic add for this target.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter,
             one = in(reg) 1_u64, options(nostack));
    }
}
