//! x86-64: the System V calling convention, and `struct pt_regs`
//! (arch/x86/include/uapi/asm/ptrace.h, unchanged since 2.6).

/// Integer arguments of a function, in order: rdi, rsi, rdx, rcx, r8, r9.
pub const FUNCTION_ARGUMENTS: [u32; 6] = [112, 104, 96, 88, 72, 64];

/// Arguments of a system call, in order: as a function's, but r10 for rcx, which the instruction
/// `syscall` overwrites.
pub const SYSCALL_ARGUMENTS: [u32; 6] = [112, 104, 96, 56, 72, 64];

/// The same for 32-bit programs: ebx, ecx, edx, esi, edi, ebp.
pub const IA32_SYSCALL_ARGUMENTS: [u32; 6] = [40, 88, 96, 104, 112, 32];

/// What a function returned: rax.
pub const RETURN_VALUE: u32 = 80;

/// The second half of what a function returned, if that is a structure of more than 8 bytes: rdx.
pub const SECOND_RETURN_VALUE: u32 = 96;

/// How many arguments go in floating-point registers.
pub const FLOAT_ARGUMENTS: usize = 8;

/// rsp.
pub const STACK_POINTER: u32 = 152;

/// rip.
pub const INSTRUCTION_POINTER: u32 = 128;

/// Bytes from the stack pointer to the first argument on the stack, when a function is entered: the
/// return address is before it.
pub const FIRST_STACK_ARGUMENT: u64 = 8;
