//! Facts that differ between CPUs: where a function's arguments are, and where the registers are in
//! the kernel's `struct pt_regs`.

mod classes;
mod x86_64;

pub(super) use classes::class_of;
pub use x86_64::{
    FIRST_STACK_ARGUMENT, FLOAT_ARGUMENTS, FUNCTION_ARGUMENTS, IA32_SYSCALL_ARGUMENTS,
    INSTRUCTION_POINTER, RETURN_VALUE, SECOND_RETURN_VALUE, STACK_POINTER, SYSCALL_ARGUMENTS,
};

/// What kind of parameter a function has, as far as calling it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Fits in registers, at most two: for each of its 8 bytes, of which kind. If too few are left,
    /// it goes on the stack, aligned to so many bytes.
    Registers { kinds: Vec<Kind>, alignment: u64 },
    /// Goes on the stack; is returned in memory.
    Memory { bytes: u64, alignment: u64 },
    /// Goes on the stack, but is returned in registers of the floating-point unit.
    X87 { bytes: u64, alignment: u64 },
    /// Lies where the caller has put it; its address is passed.
    Reference,
    /// Goes in a register if the program is compiled for CPUs that have one so wide, else on the
    /// stack.
    WideVector,
    /// Of its type too little is known.
    Unknown,
}

impl Class {
    /// That of integers and pointers.
    pub(super) fn integer() -> Self {
        Self::Registers {
            kinds: vec![Kind::Integer],
            alignment: 8,
        }
    }

    /// How many times 8 bytes it takes.
    pub(super) fn words(&self) -> u32 {
        let words = match self {
            Self::Registers { kinds, .. } => kinds.len() as u64,
            Self::Memory { bytes, .. } | Self::X87 { bytes, .. } => bytes.div_ceil(8),
            Self::Reference | Self::WideVector | Self::Unknown => 1,
        };
        u32::try_from(words).unwrap_or(u32::MAX)
    }

    /// Whether a function that returns it is passed where to put it, before all parameters; nothing
    /// if that is not known.
    const fn is_returned_in_memory(&self) -> Option<bool> {
        match self {
            Self::Memory { .. } | Self::Reference => Some(true),
            Self::Registers { .. } | Self::X87 { .. } => Some(false),
            Self::WideVector | Self::Unknown => None,
        }
    }
}

/// A kind of register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Float,
    /// None: there is nothing but padding, or it is in the upper half of a floating-point register.
    Nothing,
}

/// Where 8 bytes of a parameter are when the function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// In the integer register of this number, counted from 0.
    Register(usize),
    /// On the stack, so many bytes above the stack pointer; and what follows them.
    Stack(u64),
    /// In a floating-point register, or nowhere: nothing that can be read.
    Unreadable,
}

/// Where the parameters of these classes are: each of its registers, or its place on the stack.
/// Nothing from that one on of which it is not known.
pub(super) fn pass(classes: &[Class], returns: Option<&Class>) -> Vec<Option<Vec<Passed>>> {
    let is_hidden = match returns {
        Some(class) => class.is_returned_in_memory(),
        None => Some(false),
    };
    let mut next = is_hidden.map(|is_hidden| Next {
        register: usize::from(is_hidden),
        float: 0,
        on_stack: Some(0),
    });
    let mut place = |class: &Class| {
        let known = next.as_mut()?;
        if *class == Class::Unknown {
            next = None;
            return None;
        }
        known.place(class)
    };
    classes.iter().map(&mut place).collect()
}

/// Where the next parameter goes.
struct Next {
    register: usize,
    float: usize,
    /// Bytes from the first argument on the stack, if known.
    on_stack: Option<u64>,
}

impl Next {
    fn place(&mut self, class: &Class) -> Option<Vec<Passed>> {
        match class {
            Class::Memory { bytes, alignment } | Class::X87 { bytes, alignment } => {
                self.on_stack(*bytes, *alignment)
            }
            Class::Registers { kinds, alignment } => self.in_registers(kinds, *alignment),
            Class::Reference => self.in_registers(&[Kind::Integer], 8),
            // Integer registers go on being known.
            Class::WideVector => {
                self.on_stack = None;
                self.in_registers(&[Kind::Float], 8)
            }
            Class::Unknown => None,
        }
    }

    fn in_registers(&mut self, kinds: &[Kind], alignment: u64) -> Option<Vec<Passed>> {
        let of = |kind| kinds.iter().filter(|other| **other == kind).count();
        let registers_after = self.register + of(Kind::Integer);
        let floats_after = self.float + of(Kind::Float);
        // A parameter is never torn between registers and stack.
        if registers_after > FUNCTION_ARGUMENTS.len() || floats_after > FLOAT_ARGUMENTS {
            return self.on_stack(kinds.len() as u64 * 8, alignment);
        }
        let mut registers = (self.register..registers_after).map(Passed::Register);
        (self.register, self.float) = (registers_after, floats_after);
        let passed = kinds.iter().map(|kind| match kind {
            Kind::Integer => registers.next().unwrap_or(Passed::Unreadable),
            Kind::Float | Kind::Nothing => Passed::Unreadable,
        });
        Some(passed.collect())
    }

    fn on_stack(&mut self, bytes: u64, alignment: u64) -> Option<Vec<Passed>> {
        let at = self.on_stack?.checked_next_multiple_of(alignment.max(8))?;
        self.on_stack = Some(at.saturating_add(bytes.saturating_add(7) & !7));
        Some(vec![Passed::Stack(FIRST_STACK_ARGUMENT.saturating_add(at))])
    }
}
