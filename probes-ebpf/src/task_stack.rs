//! Keeps programs on the stacks of their tasks.
//!
//! Since Linux 6.13 the kernel gives programs of probes that need 64 bytes of stack a stack of their
//! own for each CPU, because its probes do not run a program while it runs on that CPU already
//! (`bpf_enable_priv_stack` in kernel/bpf/verifier.c). Its uprobes do: there, on a preemptible
//! kernel, tasks would write over each other's values. A program that contains a tail call gets
//! none, whether the call is ever made or not.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::bpf_tail_call;

use crate::settings::setting;

/// Contains a tail call, and never makes it.
#[inline(always)]
pub(crate) fn stay(ctx: *mut c_void) {
    if setting!(never) != 0 {
        // SAFETY: never executed. The verifier knows the setting, and removes the call after it has
        // noted that it is there.
        unsafe { bpf_tail_call(ctx, ptr::null_mut(), 0) };
    }
}
