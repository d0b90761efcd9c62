//! stackcount's body: one more for the stack that led to the probe.

use core::{arch::asm, ffi::c_void, slice};

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_ktime_get_ns, bpf_probe_read_kernel, generated::bpf_get_current_task,
};
use probes_common::{Loss, NO_PROBE, STACK_BUFFERS, StackHeader, StackKey};

use crate::{
    counter,
    filter::{self, Task},
    loss,
    maps::{BUFFERS, FRAMES, STACKS, TAKEN},
    settings::setting,
    task_stack, walk,
};

/// Counts the stack, where the kernel runs one such program at a time on a CPU.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/stack")]
extern "C" fn stack(ctx: *mut c_void) -> u32 {
    if filter::passes() {
        count_in_buffer(ctx, 0);
    }
    0
}

/// Counts the stack, where programs on a CPU may preempt each other: each takes a buffer of its
/// own. A program of its own, because Linux before 5.12 loads none that can take one.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/stack_preemptible")]
extern "C" fn stack_preemptible(ctx: *mut c_void) -> u32 {
    task_stack::stay(ctx);
    if !filter::passes() {
        return 0;
    }
    let Some(taken) = TAKEN.get_ptr_mut(0) else {
        return 0;
    };
    match take_buffer(taken) {
        Some(index) => {
            count_in_buffer(ctx, index);
            fetch_and(taken, !(1 << index));
        }
        None => loss::count(Loss::StackBuffers, NO_PROBE, 0),
    }
    0
}

/// Takes one of this CPU's buffers; gives its number.
#[inline(always)]
fn take_buffer(taken: *mut u64) -> Option<u32> {
    for index in 1..STACK_BUFFERS {
        let bit = 1 << index;
        let before = fetch_or(taken, bit);
        if before & bit == 0 {
            return Some(hidden(index, before));
        }
    }
    None
}

/// `value`, in a way that the verifier does not follow, with any other that it does not know. It
/// would go through all that comes next once for each buffer; on 6.1 it gives up over that.
#[inline(always)]
fn hidden(value: u32, unknown: u64) -> u32 {
    let mut hidden = u64::from(value);
    // SAFETY: does nothing in the end.
    unsafe {
        asm!("{hidden} ^= {unknown}", "{hidden} ^= {unknown}", hidden = inout(reg) hidden,
             unknown = in(reg) unknown, options(nomem, nostack, preserves_flags));
    }
    hidden as u32
}

/// Sets bits of a word that other tasks on this CPU change too; gives what it was.
#[inline(always)]
fn fetch_or(word: *mut u64, bits: u64) -> u64 {
    let mut value = bits;
    // SAFETY: the pointer is to a map value. Assembly, because `core` has no such atomic operation
    // for this target.
    unsafe {
        asm!("{value} = atomic_fetch_or((u64 *)({word} + 0), {value})", value = inout(reg) value,
             word = in(reg) word, options(nostack));
    }
    value
}

/// Keeps only `bits` of a word that other tasks on this CPU change too.
#[inline(always)]
fn fetch_and(word: *mut u64, bits: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("{bits} = atomic_fetch_and((u64 *)({word} + 0), {bits})", bits = inout(reg) bits => _,
             word = in(reg) word, options(nostack));
    }
}

/// Puts the stack together in this CPU's buffer number `index`, which is ours, and counts it.
#[inline(always)]
fn count_in_buffer(ctx: *mut c_void, index: u32) {
    let Some(header) = BUFFERS.get_ptr_mut(index) else {
        return;
    };
    // SAFETY: the loader has given a buffer room for the header and both parts.
    let frames = unsafe { header.add(1) }.cast::<u8>();
    let kernel_bytes = match setting!(kernel_stack) {
        0 => 0,
        _ => walk::kernel(ctx, frames),
    };
    let kernel_end = at_most(kernel_bytes.into(), setting!(stack_bytes)) as usize;
    // SAFETY: at most the room of the first part is used, so the second has its own left.
    let user_frames = unsafe { frames.add(kernel_end) };
    let user_bytes = match setting!(user_stack) {
        0 => 0,
        _ => walk::user(ctx, user_frames),
    };
    let key = StackKey {
        frames: hash(frames.cast(), kernel_bytes, user_bytes),
        comm: match setting!(by_comm) {
            0 => [0; 16],
            _ => bpf_get_current_comm().unwrap_or_default(),
        },
        tgid: match setting!(by_process) {
            0 => 0,
            _ => Task::current_in_namespace().map_or(0, Task::tgid),
        },
        exec_id: exec_id(),
    };
    if add_one(&key) {
        return;
    }
    let new = StackHeader {
        key,
        // SAFETY: the helper has no conditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        kernel_bytes,
        user_bytes,
    };
    // SAFETY: the pointer is to the start of our buffer.
    unsafe { header.write(new) };
    remember(&key, header, kernel_bytes + user_bytes);
}

/// How many programs the process has run before this one, as the kernel counts them
/// (`begin_new_exec`, fs/exec.c).
#[inline(always)]
fn exec_id() -> u32 {
    let offset = setting!(exec_id_offset);
    if offset == 0 {
        return 0;
    }
    // SAFETY: the helper has no conditions; what it gives is only read through another.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    let counter = task.wrapping_add(offset as usize).cast();
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(counter) }.unwrap_or(0)
}

/// `bytes`, and 0 if that is more than `limit`, in a way that the verifier of any kernel can follow:
/// checked where it is used, since old ones forget what they know of a value that is spilled.
#[inline(always)]
pub(crate) fn at_most(mut bytes: u64, limit: u32) -> u32 {
    // SAFETY: does nothing. The compiler must not know the value, or it would drop the check.
    unsafe { asm!("/* {0} */", inout(reg) bytes, options(nomem, nostack, preserves_flags)) };
    if bytes > limit.into() {
        return 0;
    }
    bytes as u32
}

/// 128 bits of hash over the frames: two sums that each frame goes into in its own way.
#[inline(always)]
fn hash(frames: *const u64, kernel_bytes: u32, user_bytes: u32) -> [u64; 2] {
    // Odd constants with bits all over: those of the golden ratio and of splitmix64.
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0xbf58_476d_1ce4_e5b9;

    let words = (kernel_bytes + user_bytes) / 8;
    let mut low = u64::from(kernel_bytes) << 32 | u64::from(user_bytes);
    let mut high = !low;
    for at in 0..setting!(stack_bytes) / 4 {
        if at >= words {
            break;
        }
        // SAFETY: within what was read.
        let frame = unsafe { frames.add(at as usize).read() };
        low = (low ^ frame).wrapping_mul(FIRST);
        low ^= low >> 29;
        high = (high.rotate_left(23) ^ frame).wrapping_mul(SECOND);
        high ^= high >> 32;
    }
    [low, high]
}

/// Counts a stack that is in the table; tells whether it was.
#[inline(always)]
fn add_one(key: &StackKey) -> bool {
    let Some(count) = STACKS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the pointer is to a map value.
    unsafe { counter::increment_shared(count) };
    true
}

/// Sends the frames of a new stack to user space and puts it into the table. In that order, so
/// that no stack is counted whose frames nobody knows.
#[inline(always)]
fn remember(key: &StackKey, header: *mut StackHeader, frame_bytes: u32) {
    let frame_bytes = at_most(frame_bytes.into(), 2 * setting!(stack_bytes));
    let record_bytes = size_of::<StackHeader>() + frame_bytes as usize;
    // SAFETY: the record is in our buffer, written up to there.
    let record = unsafe { slice::from_raw_parts(header.cast::<u8>(), record_bytes) };
    if FRAMES.output::<[u8]>(record, 0).is_err() {
        loss::count(Loss::StackFrames, NO_PROBE, frame_bytes.into());
        return;
    }
    const NO_EXIST: u64 = 1;
    if STACKS.insert(key, 1, NO_EXIST).is_err() && !add_one(key) {
        loss::count(Loss::StackTable, NO_PROBE, 0);
    }
}
