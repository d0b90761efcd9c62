//! Walks stacks: from where the probe is outwards, a frame for each call.

mod orc;
mod registers;
mod user;

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{bindings::BPF_F_USER_STACK, helpers::generated::bpf_get_stack};

pub(crate) use self::orc::{Foreseen, distrust};
use crate::{settings::setting, stack::at_most};

/// Size of a frame: an address.
const FRAME_BYTES: u32 = 8;

/// Writes the kernel's part to `frames`, where there is room for it, if it can be told without asking
/// the kernel.
#[inline(always)]
pub(crate) fn foresee_kernel(ctx: *mut c_void, frames: *mut u8) -> Option<Foreseen> {
    match setting!(foresees_kernel) {
        0 => None,
        _ => orc::foresee(ctx, frames.cast()),
    }
}

/// Writes the kernel's part to `frames`, where there is room for it; gives its length in bytes, 0
/// if there is none.
#[inline(always)]
pub(crate) fn kernel(ctx: *mut c_void, frames: *mut u8) -> u32 {
    by_kernel(ctx, frames, setting!(stack_bytes), 0)
}

/// The same for the program's part.
#[inline(always)]
pub(crate) fn user(ctx: *mut c_void, frames: *mut u8) -> u32 {
    if setting!(reads_kernel) == 0 {
        return by_kernel(ctx, frames, setting!(stack_bytes), BPF_F_USER_STACK.into());
    }
    if setting!(walk_ourselves) != 0
        && let Some(bytes) = user::by_frame_pointers(ctx, frames.cast())
    {
        return bytes;
    }
    user::by_kernel_with_caller(ctx, frames)
}

/// Lets the kernel walk.
#[inline(always)]
fn by_kernel(ctx: *mut c_void, frames: *mut u8, room: u32, flags: u64) -> u32 {
    // SAFETY: the caller has that much room for it.
    let bytes = unsafe { bpf_get_stack(ctx, frames.cast(), room, flags) };
    // A task without such a part is an error to the kernel, and no frames to us.
    if bytes < 0 {
        0
    } else {
        at_most(bytes as u64, room)
    }
}

/// A value that a helper has filled, given the place and its length; `None` if it says that it has not.
#[inline(always)]
fn filled<T>(fill: impl FnOnce(*mut c_void, u32) -> i64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let result = fill(value.as_mut_ptr().cast(), size_of::<T>() as u32);
    // SAFETY: the helper has filled it.
    (result == 0).then(|| unsafe { value.assume_init() })
}
