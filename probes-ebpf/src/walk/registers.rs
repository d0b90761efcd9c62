//! The registers of a task that was interrupted.

/// `struct pt_regs`, from the instruction pointer on (arch/x86/include/asm/ptrace.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Interrupted {
    pub(super) instruction: u64,
    pub(super) code_segment: u64,
    pub(super) flags: u64,
    pub(super) stack_pointer: u64,
}
