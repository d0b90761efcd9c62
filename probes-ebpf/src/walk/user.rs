//! Walks the program's part of a stack.
//!
//! Before Linux 5.15 that is left to the kernel; from then on frame pointers are followed here, at a
//! third of the time. Code without frame pointers ends either walk; unwinding such code would have
//! its place here.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    helpers::{
        bpf_probe_read_kernel,
        generated::{bpf_get_current_task_btf, bpf_probe_read_user, bpf_task_pt_regs},
    },
};
use probes_common::COOKIE_FUNCTION_START;

use super::{FRAME_BYTES, by_kernel, filled, registers::Interrupted};
use crate::{cookie::cookie, settings::setting};

/// Nothing of a program lies below: the page at 0 is never mapped.
const FIRST_PAGE_BYTES: u64 = 4096;

/// The segment that 64-bit programs run in (`__USER_CS`, arch/x86/include/asm/segment.h).
const USER_CODE_SEGMENT: u64 = 0x33;

/// What a program was doing when it entered the kernel: `struct pt_regs` from the frame pointer on
/// (arch/x86/include/asm/ptrace.h). Read at once, since each read costs as much as a frame.
#[repr(C)]
#[derive(Clone, Copy)]
struct Registers {
    frame_pointer: u64,
    others: [u64; 11],
    interrupted: Interrupted,
}

impl Registers {
    /// Reads it from a `struct pt_regs`.
    #[inline(always)]
    fn read(registers: *const c_void) -> Option<Self> {
        // Through a helper, because the verifier refuses direct access through a context pointer
        // that was added to.
        let from = registers.wrapping_byte_add(setting!(frame_pointer_offset) as usize);
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(from.cast()) }.ok()
    }

    /// The address to return to, at the start of a function: it is on top of the stack, and the
    /// function has not saved its caller's frame pointer yet, so the chain begins behind it.
    #[inline(always)]
    fn caller(&self, ctx: *mut c_void) -> Option<u64> {
        if cookie(ctx) & COOKIE_FUNCTION_START == 0 {
            return None;
        }
        read_user(self.interrupted.stack_pointer)
    }
}

/// What the start of a function with frame pointers leaves on the stack.
#[repr(C)]
#[derive(Clone, Copy)]
struct Saved {
    frame_pointer: u64,
    return_address: u64,
}

/// Follows the program's frame pointers; `None` if it is no 64-bit program.
#[inline(always)]
pub(super) fn by_frame_pointers(ctx: *mut c_void, frames: *mut u64) -> Option<u32> {
    // SAFETY: the helpers have no conditions; what they give is only read through another.
    let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) };
    let registers = Registers::read(registers as *const c_void)?;
    // The kernel's own threads were never in a program.
    if registers.interrupted.code_segment != USER_CODE_SEGMENT {
        return None;
    }
    let mut frame_pointer = registers.frame_pointer;
    let mut count = 1;
    // SAFETY: there is room for more frames than two.
    unsafe { frames.write(registers.interrupted.instruction) };
    if let Some(caller) = registers.caller(ctx) {
        count = 2;
        // SAFETY: as above.
        unsafe { frames.add(1).write(caller) };
    }
    let room = setting!(stack_bytes) / FRAME_BYTES;
    while count < room && frame_pointer >= FIRST_PAGE_BYTES {
        let Some(saved) = read_user::<Saved>(frame_pointer) else {
            break;
        };
        if saved.return_address < FIRST_PAGE_BYTES {
            break;
        }
        // SAFETY: there is room.
        unsafe { frames.add(count as usize).write(saved.return_address) };
        frame_pointer = saved.frame_pointer;
        count += 1;
    }
    Some(count * FRAME_BYTES)
}

/// Reads memory of the program; `None` where there is none.
#[inline(always)]
fn read_user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, and there is as much room as is said.
    filled(|value, bytes| unsafe { bpf_probe_read_user(value, bytes, address as *const c_void) })
}

/// Lets the kernel walk, and adds the caller that it misses at the start of a function.
#[inline(always)]
pub(super) fn by_kernel_with_caller(ctx: *mut c_void, frames: *mut u8) -> u32 {
    let bytes = by_kernel(ctx, frames, setting!(stack_bytes), BPF_F_USER_STACK.into());
    if bytes < FRAME_BYTES || setting!(has_registers) == 0 {
        return bytes;
    }
    let Some(caller) = Registers::read(ctx).and_then(|registers| registers.caller(ctx)) else {
        return bytes;
    };
    // SAFETY: the caller has room for more frames than two.
    let second = unsafe { frames.cast::<u64>().add(1) };
    // SAFETY: as above.
    if bytes > FRAME_BYTES && unsafe { second.read() } == caller {
        return bytes;
    }
    // Since 6.12 the kernel misses it at some functions only (commit cfa7f3d2c526). The walk is made
    // again, to lie behind the caller.
    // SAFETY: as above.
    let rest = unsafe {
        second.write(caller);
        second.add(1)
    };
    let flags = u64::from(BPF_F_USER_STACK) | 1;
    let room = setting!(stack_bytes) - 2 * FRAME_BYTES;
    2 * FRAME_BYTES + by_kernel(ctx, rest.cast(), room, flags)
}
