//! stackcount's body: one more for the stack that led to the probe.

use core::{arch::asm, ffi::c_void, slice};

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_ktime_get_ns,
    generated::{bpf_get_current_task, bpf_probe_read_kernel},
};
use probes_common::{Loss, NO_PROBE, STACK_BUFFERS, StackHeader, StackKey};

use crate::{
    counter,
    filter::{self, Task},
    loss,
    maps::{BUFFERS, FRAMES, STACKS, STACKS_FULL, TAKEN},
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
/// would go through all that comes next once for each value; on 6.1 it gives up over that.
#[inline(always)]
pub(crate) fn hidden(value: u32, unknown: u64) -> u32 {
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
    let user_bytes = match setting!(user_stack) {
        0 => 0,
        _ => walk::user(ctx, frames),
    };
    // SAFETY: the pointer is to the start of our buffer.
    let user_bytes = unsafe { noted(&raw mut (*header).user_bytes, user_bytes) };
    let user_hash = Hash::new().with(frames, user_bytes);
    let user_end = at_most(user_bytes.into(), setting!(stack_bytes)) as usize;
    // SAFETY: at most the room of the first part is used, so the second has its own left.
    let kernel_frames = unsafe { frames.add(user_end) };
    let mut key = StackKey {
        frames: user_hash.0,
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
    let mut kernel_bytes = 0;
    if setting!(kernel_stack) != 0 {
        let foreseen = walk::foresee_kernel(ctx, kernel_frames);
        if let Some(foreseen) = &foreseen {
            key.frames = user_hash.with(kernel_frames, foreseen.bytes).0;
            if add_one(&key) {
                return;
            }
        }
        kernel_bytes = walk::kernel(ctx, kernel_frames);
        let foretold = key.frames;
        key.frames = user_hash.with(kernel_frames, kernel_bytes).0;
        if let Some(foreseen) = &foreseen
            && foretold != key.frames
        {
            walk::distrust(foreseen);
        }
    }
    if !add_one(&key) {
        remember(&key, header, user_bytes, kernel_bytes);
    }
}

/// Writes a length to memory of a map and reads it back. The verifier knows nothing of it then, and
/// goes through what comes next once, not once for each length.
///
/// # Safety
///
/// The pointer is to a word of a map value that nobody else uses.
#[inline(always)]
unsafe fn noted(place: *mut u32, bytes: u32) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        place.write_volatile(bytes);
        place.read_volatile()
    }
}

/// 128 bits of hash over the frames: two sums that each frame goes into in its own way.
#[derive(Clone, Copy)]
struct Hash([u64; 2]);

impl Hash {
    // Odd constants with bits all over: those of the golden ratio and of splitmix64.
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0xbf58_476d_1ce4_e5b9;

    #[inline(always)]
    const fn new() -> Self {
        Self([Self::FIRST, Self::SECOND])
    }

    /// With a part of a stack: its length, and its frames.
    #[inline(always)]
    fn with(self, frames: *const u8, bytes: u32) -> Self {
        let frames = frames.cast::<u64>();
        let mut hash = self.with_word(bytes.into());
        for at in 0..setting!(stack_bytes) / 8 {
            if at >= bytes / 8 {
                break;
            }
            // SAFETY: within what was read.
            hash = hash.with_word(unsafe { frames.add(at as usize).read() });
        }
        hash
    }

    #[inline(always)]
    fn with_word(self, word: u64) -> Self {
        let Self([mut low, mut high]) = self;
        low = (low ^ word).wrapping_mul(Self::FIRST);
        low ^= low >> 29;
        high = (high.rotate_left(23) ^ word).wrapping_mul(Self::SECOND);
        high ^= high >> 32;
        Self([low, high])
    }
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
    let mut count = 0_u32;
    // SAFETY: the helper checks the address, and fills what it can't read with zeros. That it says so
    // is not looked at: the verifier would go through all that comes next once more.
    unsafe {
        let bytes = size_of_val(&count) as u32;
        bpf_probe_read_kernel((&raw mut count).cast(), bytes, counter);
    }
    count
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
/// that no stack is counted whose frames nobody knows; and not to a table known to be full, or each
/// event of a stack that is not in it would be sent, and kept by user space, for nothing.
#[inline(always)]
fn remember(key: &StackKey, header: *mut StackHeader, user_bytes: u32, kernel_bytes: u32) {
    let Some(is_full) = STACKS_FULL.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the pointer is to a map value. Others only ever write a 1.
    if unsafe { is_full.read_volatile() } != 0 {
        return loss::count(Loss::StackTable, NO_PROBE, 0);
    }
    let new = StackHeader {
        key: *key,
        // SAFETY: the helper has no conditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        kernel_bytes,
        user_bytes,
    };
    // SAFETY: the pointer is to the start of our buffer.
    unsafe { header.write(new) };
    let frame_bytes = (user_bytes + kernel_bytes).into();
    let frame_bytes = at_most(frame_bytes, 2 * setting!(stack_bytes));
    let record_bytes = size_of::<StackHeader>() + frame_bytes as usize;
    // SAFETY: the record is in our buffer, written up to there.
    let record = unsafe { slice::from_raw_parts(header.cast::<u8>(), record_bytes) };
    if FRAMES.output::<[u8]>(record, 0).is_err() {
        loss::count(Loss::StackFrames, NO_PROBE, frame_bytes.into());
        return;
    }
    const NO_EXIST: u64 = 1;
    const NO_ROOM: i32 = -7; // E2BIG
    let Err(error) = STACKS.insert(key, 1, NO_EXIST) else {
        return;
    };
    if error == NO_ROOM {
        // SAFETY: as above.
        unsafe { is_full.write_volatile(1) };
    } else if add_one(key) {
        return;
    }
    loss::count(Loss::StackTable, NO_PROBE, 0);
}
