//! trace's body: a record of each event that passes the predicate.

use core::{arch::asm, ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_current_comm, bpf_get_smp_processor_id},
    },
    maps::ring_buf::RingBufBytes,
};
use probes_common::{
    COMM_BYTES, EventHeader, Loss, PASSED, PREDICATE_PLACEHOLDER, Saved, UNREADABLE,
    VALUES_PLACEHOLDER,
};

use crate::{
    cookie::probe,
    entry,
    filter::{self, Task},
    loss,
    maps::EVENTS,
    settings::setting,
    task_stack, walk,
};

/// Sends a record of the event to user space.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/trace")]
extern "C" fn trace(ctx: *mut c_void) -> u32 {
    task_stack::stay(ctx);
    if !filter::passes() {
        return 0;
    }
    if setting!(stack_pointer_offset) == 0 {
        send(ctx, ptr::null());
    } else if !send_return(ctx) {
        loss::count(Loss::Entry, probe(ctx), 0);
    }
    0
}

/// Sends a record that needs what was saved at the function's entry; false if it is not there.
#[inline(always)]
fn send_return(ctx: *mut c_void) -> bool {
    let Some(call) = entry::returning(ctx, probe(ctx)) else {
        return false;
    };
    let Some(saved) = entry::saved(&call) else {
        return false;
    };
    send(ctx, saved);
    entry::forget(&call);
    true
}

/// Sends the record if the predicate is true. `saved` is what was saved at the function's entry, if
/// the generated functions ask for it.
#[inline(always)]
fn send(ctx: *mut c_void, saved: *const Saved) {
    match predicate(ctx, saved) {
        PASSED => {}
        UNREADABLE => return loss::count(Loss::Condition, probe(ctx), 0),
        _ => return,
    }
    let task = Task::current_in_namespace();
    let tgid = task.map_or(0, Task::tgid);
    let hidden = setting!(hidden_tgid);
    if hidden != 0 && tgid == hidden {
        return;
    }
    let Some(mut record) = EVENTS.reserve_bytes(record_bytes(), 0) else {
        loss::count(Loss::Event, probe(ctx), 0);
        return;
    };
    let header: *mut EventHeader = record.as_mut_ptr().cast();
    // SAFETY: the record has room for the header, and what follows is the values.
    let values = unsafe { header.add(1) }.cast::<u8>();
    // SAFETY: as above; the stacks lie behind the values.
    let stacks = unsafe { values.add(setting!(value_bytes) as usize) };
    let (kernel_bytes, user_bytes) = walk_stacks(ctx, stacks);
    // In place, since the generated functions need the stack.
    // SAFETY: the pointers are into the record; the helpers have no conditions.
    unsafe {
        (*header).time_ns = bpf_ktime_get_ns();
        (*header).probe = probe(ctx);
        (*header).cpu = bpf_get_smp_processor_id();
        (*header).tgid = tgid;
        (*header).tid = task.map_or(0, Task::tid);
        bpf_get_current_comm((&raw mut (*header).comm).cast(), COMM_BYTES as u32);
        (*header).kernel_bytes = kernel_bytes;
        (*header).user_bytes = user_bytes;
    }
    let unreadable = self::values(ctx, values, saved);
    if unreadable != 0 {
        loss::count(Loss::Fault, probe(ctx), unreadable);
    }
    submit(record);
}

/// The size of a record; the verifier must know it.
#[inline(always)]
fn record_bytes() -> usize {
    let parts = setting!(kernel_stack) + setting!(user_stack);
    size_of::<EventHeader>() + (setting!(value_bytes) + parts * setting!(stack_bytes)) as usize
}

/// Writes the parts of the stack that are wanted, each at its place; gives their lengths.
#[inline(always)]
fn walk_stacks(ctx: *mut c_void, stacks: *mut u8) -> (u32, u32) {
    let kernel_bytes = match setting!(kernel_stack) {
        0 => 0,
        _ => walk::kernel(ctx, stacks),
    };
    let before = setting!(kernel_stack) * setting!(stack_bytes);
    let user_bytes = match setting!(user_stack) {
        0 => 0,
        // SAFETY: the record has room for both parts.
        _ => walk::user(ctx, unsafe { stacks.add(before as usize) }),
    };
    (kernel_bytes, user_bytes)
}

/// Hands the record over. Waking somebody takes longer than all the rest, so it is done when a good
/// part of the buffer is full; what is less is looked for regularly.
#[inline(always)]
fn submit(record: RingBufBytes<'_>) {
    let full = EVENTS.query(BPF_RB_AVAIL_DATA.into());
    let limit = u64::from(setting!(wake_bytes));
    let flags = if full >= limit && full < limit + 2 * record_bytes() as u64 {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    };
    record.submit(flags.into());
}

/// Replaced by what the probe's predicate is compiled to: [`PASSED`] if the event counts,
/// [`UNREADABLE`] if that can't be told, and 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn predicate(ctx: *mut c_void, saved: *const Saved) -> u64 {
    let result: u64;
    // SAFETY: loads a constant. Assembly, because the compiler must know nothing of the function.
    unsafe {
        asm!("r0 = {placeholder} ll", placeholder = const PREDICATE_PLACEHOLDER, in("r1") ctx,
             in("r2") saved, lateout("r0") result);
    }
    result
}

/// Replaced by what the probe's message is compiled to: writes the values; gives a bit for each that
/// could not be read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn values(ctx: *mut c_void, values: *mut u8, saved: *const Saved) -> u64 {
    let result: u64;
    // SAFETY: as above.
    unsafe {
        asm!("r0 = {placeholder} ll", placeholder = const VALUES_PLACEHOLDER, in("r1") ctx,
             in("r2") values, in("r3") saved, lateout("r0") result);
    }
    result
}
