//! Foresees what the kernel's walk of its own part of a stack will give, at a fraction of the time.
//!
//! The kernel's unwinder starts in the helper that we call, and looks up each frame, those of our
//! own program too, in the tables that the compiler made of where each instruction's caller is
//! (ORC, arch/x86/kernel/unwind_orc.c). Here the walk starts at the probe, and what the tables say of
//! an address is looked up once and kept as a rule. All that is not plain (interrupts, modules, code
//! made at run time, return addresses that probes have replaced) is left to the kernel.
//!
//! What is foreseen only tells whether a stack was seen before. A new one is walked by the kernel, and
//! if that gives something else, what has misled us is not followed again.

use core::{arch::asm, ffi::c_void, mem::offset_of};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use probes_common::{KernelRule, KernelTables, OrcEntry, RuleKind};

use super::{FRAME_BYTES, filled, registers::Interrupted};
use crate::{
    maps::{RULES, TABLES},
    settings::setting,
    stack::hidden,
};

/// The most frames that are foreseen. Deeper stacks are rare, and each frame costs the verifier time.
const MOST_FRAMES: u32 = 64;

/// The steps in which a table of sixteen million ranges is searched; kernels have less than one.
const MOST_STEPS: u32 = 24;

/// The privilege of a code segment: of the kernel it is 0.
const PRIVILEGE: u64 = 3;

/// A kernel's part that was walked here.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen {
    /// Its length in bytes.
    pub(crate) bytes: u32,
    /// The innermost place that a rule was needed for.
    innermost: u64,
}

/// Offset in bytes of [`Interrupted`] in a `struct pt_regs`.
const INTERRUPTED_OFFSET: usize = 128;

/// What a function that begins with `push %rbp` leaves on the stack. One that aligns its stack first
/// has a copy of the return address there, and the real one behind it, or one word further.
#[repr(C)]
#[derive(Clone, Copy)]
struct Saved {
    frame_pointer: u64,
    return_addresses: [u64; 3],
}

impl Saved {
    /// Its length up to the return address, if that is this one.
    #[inline(always)]
    fn bytes_to(&self, return_address: u64) -> Option<u64> {
        let [copy, aligned, further] = self.return_addresses.map(|found| found == return_address);
        match (copy, aligned, further) {
            (false, _, _) => None,
            (_, true, _) => Some(24),
            (_, _, true) => Some(32),
            _ => Some(16),
        }
    }
}

/// Where a walk has come to.
struct Place {
    /// What a rule is needed for: an instruction, or the byte before one that is returned to.
    address: u64,
    stack_pointer: u64,
    /// Where the frame pointer is kept in memory.
    frame_pointer_at: u64,
}

/// Why a walk has come to its end.
enum Stop {
    /// There is no room for more, or nothing more.
    Done,
    /// There is no rule for this address yet.
    NoRule(u64),
    /// The rule is not that of a function that is returned from to another: it, and the frame's end.
    Outermost(KernelRule, u64),
    /// What only the kernel can tell.
    GiveUp,
}

/// Writes the kernel's part to `frames`, where there is room for it, as the kernel will walk it if all
/// is as it seems; nothing if that can't be foreseen (yet).
#[inline(always)]
pub(super) fn foresee(ctx: *mut c_void, frames: *mut u64) -> Option<Foreseen> {
    let tables = TABLES.get(0)?;
    if tables.count == 0 {
        return None;
    }
    let (first, place) = start(ctx)?;
    let innermost = place.address;
    // SAFETY: there is room for more frames than one.
    unsafe { frames.write(first) };
    let (stop, count) = follow(tables, place, frames);
    let bytes = hidden(count * FRAME_BYTES, innermost);
    let is_whole = match stop {
        Stop::Done => true,
        Stop::NoRule(address) => {
            learn(tables, address);
            false
        }
        Stop::Outermost(rule, end) => match rule.kind() {
            RuleKind::End => true,
            RuleKind::Registers => is_of_a_program(end),
            RuleKind::Call | RuleKind::Unknown => false,
        },
        Stop::GiveUp => false,
    };
    is_whole.then_some(Foreseen { bytes, innermost })
}

/// Writes the frames behind the first; gives how many there are then.
#[inline(always)]
fn follow(tables: &KernelTables, mut place: Place, frames: *mut u64) -> (Stop, u32) {
    let room = setting!(stack_bytes) / FRAME_BYTES;
    let mut count = 1;
    while count < room {
        if count == MOST_FRAMES {
            return (Stop::GiveUp, count);
        }
        let Some(rule) = rule_for(tables, place.address) else {
            return (Stop::NoRule(place.address), count);
        };
        let Some(end) = place.end_of_frame(rule) else {
            return (Stop::GiveUp, count);
        };
        if rule.kind() != RuleKind::Call {
            return (Stop::Outermost(rule, end), count);
        }
        if let Some(below) = rule.frame_pointer_below() {
            place.frame_pointer_at = end.wrapping_sub(below);
        }
        let Some(return_address) = read::<u64>(end.wrapping_sub(8)) else {
            return (Stop::GiveUp, count);
        };
        place.address = return_address.wrapping_sub(1);
        place.stack_pointer = end;
        // SAFETY: there is room.
        unsafe { frames.add(count as usize).write(return_address) };
        count += 1;
    }
    (Stop::Done, count)
}

impl Place {
    /// The end of the function's frame: where the stack pointer is in its caller.
    #[inline(always)]
    fn end_of_frame(&self, rule: KernelRule) -> Option<u64> {
        let base = match rule.is_by_frame_pointer() {
            true => read(self.frame_pointer_at)?,
            false => self.stack_pointer,
        };
        Some(base.wrapping_add(rule.frame_bytes()))
    }
}

/// Has the kernel asked about all stacks that begin as this one, which it walked otherwise.
#[inline(always)]
pub(crate) fn distrust(foreseen: &Foreseen) {
    if let Some(tables) = TABLES.get(0)
        && let Some(offset) = offset_in_text(tables, foreseen.innermost)
    {
        keep(KernelRule::unknown(offset));
    }
}

/// The first frame, and where to go on from.
#[inline(always)]
fn start(ctx: *mut c_void) -> Option<(u64, Place)> {
    if setting!(has_record) != 0 {
        start_of_record(ctx)
    } else if setting!(has_registers) != 0 {
        start_of_registers(ctx)
    } else {
        None
    }
}

/// A tracepoint's context begins with a pointer to some registers of its caller
/// (`perf_fetch_caller_regs`, include/linux/perf_event.h).
#[inline(always)]
fn start_of_record(ctx: *mut c_void) -> Option<(u64, Place)> {
    let registers: u64 = read(ctx as u64)?;
    let interrupted: Interrupted = read(registers + INTERRUPTED_OFFSET as u64)?;
    // That is where the function that took them has saved its caller's frame pointer.
    let saved: Saved = read(interrupted.stack_pointer)?;
    let bytes = saved.bytes_to(interrupted.instruction)?;
    let place = Place {
        address: interrupted.instruction.wrapping_sub(1),
        stack_pointer: interrupted.stack_pointer.wrapping_add(bytes),
        frame_pointer_at: interrupted.stack_pointer,
    };
    Some((interrupted.instruction, place))
}

/// A kprobe's context is the registers at the probe.
#[inline(always)]
fn start_of_registers(ctx: *mut c_void) -> Option<(u64, Place)> {
    let interrupted: Interrupted = read(ctx as u64 + INTERRUPTED_OFFSET as u64)?;
    if interrupted.code_segment & PRIVILEGE != 0 {
        return None;
    }
    let place = Place {
        address: interrupted.instruction,
        stack_pointer: interrupted.stack_pointer,
        frame_pointer_at: ctx as u64 + u64::from(setting!(frame_pointer_offset)),
    };
    Some((interrupted.instruction, place))
}

/// Whether the registers there are those of a program that has entered the kernel.
#[inline(always)]
fn is_of_a_program(registers: u64) -> bool {
    let at =
        registers.wrapping_add((INTERRUPTED_OFFSET + offset_of!(Interrupted, code_segment)) as u64);
    read::<u64>(at).is_some_and(|segment| segment & PRIVILEGE == PRIVILEGE)
}

/// How far an address is in the kernel's own code, the modules' apart; nothing if it is not there.
#[inline(always)]
fn offset_in_text(tables: &KernelTables, address: u64) -> Option<u32> {
    let offset = address.wrapping_sub(tables.text_start);
    (offset < tables.text_bytes).then_some(offset as u32)
}

/// The rule that is kept for an address: unknown, if it is no address of the kernel's own code.
#[inline(always)]
fn rule_for(tables: &KernelTables, address: u64) -> Option<KernelRule> {
    let Some(offset) = offset_in_text(tables, address) else {
        return Some(KernelRule::unknown(0));
    };
    let rule = RULES.get_ptr(KernelRule::slot(offset))?;
    // SAFETY: the pointer is to a map value. Others write it whole.
    let rule = KernelRule(unsafe { rule.read_volatile() });
    (rule.offset() == offset).then_some(rule)
}

/// Looks up in the kernel's tables what they say of an address, for next time.
#[inline(always)]
fn learn(tables: &KernelTables, address: u64) {
    if let Some(offset) = offset_in_text(tables, address)
        && let Some(entry) = search(tables, address)
    {
        keep(KernelRule::new(offset, entry, tables.format));
    }
}

#[inline(always)]
fn keep(rule: KernelRule) {
    if let Some(slot) = RULES.get_ptr_mut(KernelRule::slot(rule.offset())) {
        // SAFETY: the pointer is to a map value. Written whole, so that nobody reads half a rule.
        unsafe { slot.write_volatile(rule.0) };
    }
}

/// The entry of the last range that starts at the address or before it.
#[inline(always)]
fn search(tables: &KernelTables, address: u64) -> Option<OrcEntry> {
    let (mut found, mut length) = (0, u64::from(tables.count));
    for _ in 0..MOST_STEPS {
        let half = length / 2;
        let at = tables.starts + (found + half) * size_of::<i32>() as u64;
        // Each start is kept as its distance from where it is kept.
        let start = at.wrapping_add_signed(read::<i32>(at)?.into());
        found += half & all_ones_if_before(start, address + 1);
        length -= half;
    }
    read(tables.entries + found * size_of::<OrcEntry>() as u64)
}

/// A mask in place of a branch, of which the verifier would go both ways in each step. The addresses
/// are the kernel's, so less than half of all addresses apart.
#[inline(always)]
fn all_ones_if_before(start: u64, end: u64) -> u64 {
    let mut difference = start.wrapping_sub(end);
    // SAFETY: does nothing. The compiler must not know the value, or it would make a branch of it.
    unsafe { asm!("/* {0} */", inout(reg) difference, options(nomem, nostack, preserves_flags)) };
    (difference.cast_signed() >> 63).cast_unsigned()
}

/// Reads memory of the kernel; `None` where there is none.
#[inline(always)]
fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, and there is as much room as is said.
    filled(|value, bytes| unsafe { bpf_probe_read_kernel(value, bytes, address as *const c_void) })
}
