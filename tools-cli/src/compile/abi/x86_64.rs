//! x86-64: the System V calling convention, and `struct pt_regs`
//! (arch/x86/include/uapi/asm/ptrace.h, unchanged since 2.6).

use super::Register;

/// Integer arguments of a function, in order: rdi, rsi, rdx, rcx, r8, r9.
pub const FUNCTION_ARGUMENTS: [u32; 6] = [112, 104, 96, 88, 72, 64];

/// Arguments of a system call, in order: as a function's, but r10 for rcx, which the instruction
/// `syscall` overwrites.
pub const SYSCALL_ARGUMENTS: [u32; 6] = [112, 104, 96, 56, 72, 64];

/// What a function returned: rax.
pub const RETURN_VALUE: u32 = 80;

/// rsp.
pub const STACK_POINTER: u32 = 152;

/// rip.
pub const INSTRUCTION_POINTER: u32 = 128;

/// Bytes from the stack pointer to the first argument on the stack, when a function is entered: the
/// return address is before it.
pub const FIRST_STACK_ARGUMENT: u64 = 8;

/// The register that an assembler knows by `name`, without `%`: `rax`, `eax`, `ax`, `al`, `ah`,
/// `r8d`, ….
#[must_use]
pub fn register(name: &str) -> Option<Register> {
    const LETTERED: [(&str, u32); 4] = [("a", 80), ("b", 40), ("c", 88), ("d", 96)];
    const NAMED: [(&str, u32); 5] = [
        ("si", 104),
        ("di", 112),
        ("bp", 32),
        ("sp", STACK_POINTER),
        ("ip", INSTRUCTION_POINTER),
    ];
    const NUMBERED: [u32; 8] = [72, 64, 56, 48, 24, 16, 8, 0];

    let found = |offset, bytes| Some(Register { offset, bytes });
    for (letter, offset) in LETTERED {
        match name.split_once(letter) {
            Some(("r", "x")) => return found(offset, 8),
            Some(("e", "x")) => return found(offset, 4),
            Some(("", "x")) => return found(offset, 2),
            Some(("", "l")) => return found(offset, 1),
            Some(("", "h")) => return found(offset + 1, 1),
            _ => {}
        }
    }
    for (stem, offset) in NAMED {
        match name.split_once(stem) {
            Some(("r", "")) => return found(offset, 8),
            Some(("e", "")) => return found(offset, 4),
            Some(("", "")) => return found(offset, 2),
            Some(("", "l")) => return found(offset, 1),
            _ => {}
        }
    }
    let numbered = name.strip_prefix('r')?;
    let end = numbered
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(numbered.len());
    let number: usize = numbered[..end].parse().ok()?;
    let offset = *NUMBERED.get(number.checked_sub(8)?)?;
    match &numbered[end..] {
        "" => found(offset, 8),
        "d" => found(offset, 4),
        "w" => found(offset, 2),
        "b" | "l" => found(offset, 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_known_by_all_their_names() {
        for (name, offset, bytes) in [
            ("rax", 80, 8),
            ("eax", 80, 4),
            ("ax", 80, 2),
            ("al", 80, 1),
            ("ah", 81, 1),
            ("rbx", 40, 8),
            ("dl", 96, 1),
            ("rdi", 112, 8),
            ("edi", 112, 4),
            ("dil", 112, 1),
            ("rbp", 32, 8),
            ("rsp", 152, 8),
            ("rip", 128, 8),
            ("r8", 72, 8),
            ("r10d", 56, 4),
            ("r15", 0, 8),
            ("r15b", 0, 1),
            ("r9w", 64, 2),
        ] {
            assert_eq!(register(name), Some(Register { offset, bytes }), "{name}");
        }
        for name in ["", "r", "r7", "r16", "xmm0", "rx", "al8", "r8q", "x"] {
            assert_eq!(register(name), None, "{name}");
        }
    }
}
