//! What a return probe needs from its function's entry: saved there, taken at the return.
//!
//! An entry and its return belong together by the task and its stack pointer, which recursion and
//! threads keep apart, and which an entry that never returns (`longjmp`, an exception) leaves to
//! the next one at the same place.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel};
use probes_common::{ENTRY_PLACEHOLDER, Saved};

use crate::{
    cookie::probe,
    filter::{self, Task},
    maps::SAVED,
    settings::setting,
    task_stack,
};

/// What a call takes off the stack when it returns: the return address.
const RETURN_ADDRESS_BYTES: u64 = 8;

/// Which call.
#[repr(C)]
pub(crate) struct Call {
    /// Just above the return address.
    stack_pointer: u64,
    /// As the initial PID namespace numbers it.
    tid: u32,
    /// The number of the probe at the return.
    probe: u32,
}

/// Saves what the return asks for. The number of the probe is one less than that of the return's.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/enter")]
extern "C" fn enter(ctx: *mut c_void) -> u32 {
    task_stack::stay(ctx);
    if !filter::passes_at_entry() {
        return 0;
    }
    let Some(stack_pointer) = stack_pointer(ctx) else {
        return 0;
    };
    let call = Call {
        stack_pointer: stack_pointer + RETURN_ADDRESS_BYTES,
        tid: Task::current().tid(),
        probe: probe(ctx) + 1,
    };
    let mut saved = Saved::default();
    entry_values(ctx, &raw mut saved);
    // SAFETY: the helper has no conditions.
    saved.time_ns = unsafe { bpf_ktime_get_ns() };
    // If it fails, the return finds nothing, and is counted there.
    let _ = SAVED.insert(&call, &saved, 0);
    0
}

/// Which call returns now to the probe number `probe`.
#[inline(always)]
pub(crate) fn returning(ctx: *mut c_void, probe: u32) -> Option<Call> {
    Some(Call {
        stack_pointer: stack_pointer(ctx)?,
        tid: Task::current().tid(),
        probe,
    })
}

/// What was saved at its entry, with the time since. It is used where it lies, since the generated
/// functions need the stack; it is the last to be evicted, having just been looked at.
#[inline(always)]
pub(crate) fn saved(call: &Call) -> Option<*const Saved> {
    let saved = SAVED.get_ptr_mut(call)?;
    // SAFETY: the pointer is to a map value, which is this call's; the helper has no conditions.
    unsafe { (*saved).time_ns = bpf_ktime_get_ns() - (*saved).time_ns };
    Some(saved)
}

/// Forgets a call that has returned.
#[inline(always)]
pub(crate) fn forget(call: &Call) {
    // One that stays is overwritten by the next at its place.
    let _ = SAVED.remove(call);
}

/// Through a helper, because the verifier refuses direct access through a context pointer that was
/// added to.
#[inline(always)]
fn stack_pointer(ctx: *mut c_void) -> Option<u64> {
    let register = ctx.wrapping_byte_add(setting!(stack_pointer_offset) as usize);
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(register.cast_const().cast()) }.ok()
}

/// Replaced by what `$entry(…)` is compiled to: writes the values, and which of them
/// could not be read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn entry_values(ctx: *mut c_void, saved: *mut Saved) -> u64 {
    let result: u64;
    // SAFETY: loads a constant. Assembly, because the compiler must know nothing of the function.
    unsafe {
        asm!("r0 = {placeholder} ll", placeholder = const ENTRY_PLACEHOLDER, in("r1") ctx,
             in("r2") saved, lateout("r0") result);
    }
    result
}
