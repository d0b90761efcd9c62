//! Facts that differ between CPUs: where a function's arguments are, and where the registers are in
//! the kernel's `struct pt_regs`.

mod x86_64;

pub use x86_64::{
    FIRST_STACK_ARGUMENT, FLOAT_ARGUMENTS, FUNCTION_ARGUMENTS, IA32_SYSCALL_ARGUMENTS,
    INSTRUCTION_POINTER, RETURN_VALUE, SECOND_RETURN_VALUE, STACK_POINTER, SYSCALL_ARGUMENTS,
};

/// What kind of parameter a function has, as far as calling it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Fits in registers, at most two; of these kinds.
    Registers(Vec<Kind>),
    /// Goes on the stack, with so many bytes.
    Memory(u64),
}

/// A kind of register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
}

/// Where 8 bytes of a parameter are when the function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// In the integer register of this number, counted from 0.
    Register(usize),
    /// On the stack, so many bytes above the stack pointer; and what follows them.
    Stack(u64),
    /// In a floating-point register.
    FloatRegister,
}

/// Where the parameters of these classes are: each of its registers, or its place on the stack.
///
/// `returns_in_memory`: the caller passes a hidden first argument, where to put the result.
pub(super) fn pass(classes: &[Class], returns_in_memory: bool) -> Vec<Vec<Passed>> {
    let (mut next_register, mut next_float) = (usize::from(returns_in_memory), 0);
    let mut next_on_stack = FIRST_STACK_ARGUMENT;
    let mut on_stack = |bytes: u64| {
        let at = next_on_stack;
        next_on_stack = at.saturating_add(bytes.saturating_add(7) & !7);
        vec![Passed::Stack(at)]
    };
    let mut place = |class: &Class| match class {
        Class::Memory(bytes) => on_stack(*bytes),
        Class::Registers(kinds) => {
            let floats = kinds.iter().filter(|kind| **kind == Kind::Float).count();
            let registers_after = next_register + kinds.len() - floats;
            let floats_after = next_float + floats;
            // A parameter is never torn between registers and stack.
            if registers_after > FUNCTION_ARGUMENTS.len() || floats_after > FLOAT_ARGUMENTS {
                return on_stack(kinds.len() as u64 * 8);
            }
            let registers = next_register..registers_after;
            (next_register, next_float) = (registers_after, floats_after);
            let mut registers = registers.map(Passed::Register);
            let mut passed = |kind: &Kind| match kind {
                Kind::Integer => registers.next(),
                Kind::Float => Some(Passed::FloatRegister),
            };
            kinds.iter().filter_map(&mut passed).collect()
        }
    };
    classes.iter().map(&mut place).collect()
}
