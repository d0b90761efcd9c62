//! What is known about the place that is probed, as far as expressions are concerned.

use crate::types::{Prototype, TypeId};

/// Whose memory an address is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// The kernel's.
    Kernel,
    /// That of the process in which the event happens.
    User,
}

/// What an event offers to expressions.
#[derive(Clone, Debug)]
pub enum Site {
    /// A function's entry or return.
    Function(FunctionSite),
    /// A tracepoint.
    Tracepoint(TracepointSite),
    /// A statically defined probe of a program or library.
    Usdt(UsdtSite),
}

/// A function.
#[derive(Clone, Debug)]
pub struct FunctionSite {
    /// Its parameters and what it returns, if known; types are those of
    /// [`Sources::site`](super::Sources). For a system call's wrapper, this is the prototype of the
    /// system call.
    pub prototype: Option<Prototype>,
    /// Whether the event is its return.
    pub at_return: bool,
    /// Where it runs.
    pub space: Space,
    /// Which wrapper of a system call it is, if it is one.
    pub wrapper: Option<Wrapper>,
}

/// A wrapper of a system call: it takes the caller's registers in memory, where the system call's
/// own arguments are (arch/x86/include/asm/syscall_wrapper.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// `__x64_sys_*`, for 64-bit programs.
    Native,
    /// `__ia32_sys_*` and `__ia32_compat_sys_*`, for 32-bit programs.
    Ia32,
}

impl Wrapper {
    /// The wrapper that a kernel function is, and the name of its system call.
    #[must_use]
    pub fn of(function: &str) -> Option<(Self, &str)> {
        let prefixes = [
            ("__x64_sys_", Self::Native),
            ("__ia32_compat_sys_", Self::Ia32),
            ("__ia32_sys_", Self::Ia32),
        ];
        let named = |(prefix, wrapper)| Some((wrapper, function.strip_prefix(prefix)?));
        prefixes.into_iter().find_map(named)
    }
}

/// A tracepoint.
#[derive(Clone, Debug)]
pub struct TracepointSite {
    /// The fields of its record.
    pub fields: Vec<Field>,
    /// Whether it is one of the `syscalls:*`, whose pointers are addresses of user space.
    pub is_syscall: bool,
}

/// A field of a tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type in [`Sources::site`](super::Sources); for one that lies elsewhere in the record
    /// that of the array that is there.
    pub type_id: TypeId,
    /// Bytes from the start of the record.
    pub offset_bytes: u32,
    /// Its size in bytes.
    pub bytes: u32,
    /// Whether the kernel says that it has a sign.
    pub is_signed: bool,
    /// Where the value is.
    pub location: Location,
}

/// Where in the record the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// In the field itself.
    Here,
    /// The field tells where: `__data_loc`, bytes from the start of the record in its lower half,
    /// length in its upper half.
    Elsewhere,
    /// The same, counted from the field's end: `__rel_loc` (5.16).
    Behind,
}

/// A statically defined probe at one of its places; its arguments may be elsewhere in the next.
#[derive(Clone, Debug, Default)]
pub struct UsdtSite {
    /// Its arguments.
    pub operands: Vec<Operand>,
}

/// Where an argument of a statically defined probe is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Its size: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether it has a sign.
    pub is_signed: bool,
    /// Where it is.
    pub place: OperandPlace,
}

/// Where an argument of a statically defined probe is. Registers are given as the offset in bytes
/// of their place in `struct pt_regs`; see [`abi`](super::abi).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperandPlace {
    /// In a register.
    Register(u32),
    /// In memory of the process, at base + index × scale + displacement.
    Memory {
        /// A register; the instruction pointer for what is found relative to the probe.
        base: u32,
        /// Another one.
        index: Option<u32>,
        /// 1, 2, 4 or 8.
        scale: u8,
        /// Bytes.
        displacement: i64,
    },
    /// The same for every event.
    Constant(i64),
    /// It can't be read, for this reason: it is a floating-point number, for example.
    Unsupported(String),
}

/// How the program finds what the event brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// `struct pt_regs`: programs on kprobes and uprobes, single or multi.
    PtRegs,
    /// The function's arguments as 8 bytes each, then what it returned: fentry and fexit.
    Trampoline,
    /// The tracepoint's record, of which the first 8 bytes can't be read.
    Record,
}
