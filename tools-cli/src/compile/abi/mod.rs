//! Facts that differ between CPUs: where a function's arguments are, and where the registers are in
//! the kernel's `struct pt_regs`.

mod x86_64;

pub use x86_64::{
    FIRST_STACK_ARGUMENT, FUNCTION_ARGUMENTS, IA32_SYSCALL_ARGUMENTS, INSTRUCTION_POINTER,
    RETURN_VALUE, STACK_POINTER, SYSCALL_ARGUMENTS,
};

/// What kind of parameter a function has, as far as calling it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Fits in so many integer registers.
    Integer(u32),
    /// Goes in a floating-point register.
    Float,
    /// Goes on the stack, with so many bytes.
    Memory(u64),
}

/// Where a parameter is when the function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// In the integer register of this number, counted from 0.
    Register(usize),
    /// On the stack, so many bytes above the stack pointer.
    Stack(u64),
    /// In a floating-point register.
    FloatRegister,
}

/// Where the parameters of these classes are.
///
/// `returns_in_memory`: the caller passes a hidden first argument, where to put the result.
pub(super) fn pass(classes: &[Class], returns_in_memory: bool) -> Vec<Passed> {
    let mut next_register = usize::from(returns_in_memory);
    let mut next_on_stack = FIRST_STACK_ARGUMENT;
    let mut on_stack = |bytes: u64| {
        let at = next_on_stack;
        next_on_stack = at.saturating_add(bytes.saturating_add(7) & !7);
        Passed::Stack(at)
    };
    let mut place = |class: &Class| match *class {
        Class::Float => Passed::FloatRegister,
        Class::Memory(bytes) => on_stack(bytes),
        Class::Integer(count) => {
            let after = next_register + count as usize;
            // A parameter is never torn between registers and stack.
            if after > FUNCTION_ARGUMENTS.len() {
                return on_stack(u64::from(count) * 8);
            }
            Passed::Register(std::mem::replace(&mut next_register, after))
        }
    };
    classes.iter().map(&mut place).collect()
}
