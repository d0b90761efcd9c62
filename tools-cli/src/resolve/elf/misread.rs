//! Instructions that the kernel takes for others when a probe is put on them.

/// Why a probe on the first instruction of `code` would break the program; nothing if it would not.
///
/// What stands under a breakpoint must still be done, and the kernel emulates jumps, calls, pushes
/// and the like (`arch_uprobe_analyze_insn`, `branch_setup_xol_ops` and `push_setup_xol_ops` in
/// arch/x86/kernel/uprobes.c, Linux 3.16 to 6.18 at least). It tells them by their opcode byte
/// alone, which means something else behind a VEX or EVEX prefix: it takes `vpbroadcastb`, with
/// which `__strchrnul_evex` of glibc begins, for `jp`, does not execute it, and the program reads
/// beyond its string. The kernel attaches such a probe without a word.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn would_break(code: &[u8]) -> Option<&'static str> {
    let opcode = vector_opcode(code)?;
    let is_misread = matches!(
        opcode,
        // push; jcc; nop
        0x50..=0x57 | 0x70..=0x7f | 0x90
        // call and popf; returns
        | 0x9a | 0x9d | 0xc2 | 0xc3 | 0xca | 0xcb
        // call and jmp; indirect ones
        | 0xe8..=0xeb | 0xff
    );
    is_misread.then_some(
        "the kernel mistakes its first instruction, a vector one, for a jump or a push, \
         and a probe there would break the program",
    )
}

/// Other machines have no such prefixes.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn would_break(_code: &[u8]) -> Option<&'static str> {
    None
}

/// The opcode byte behind a VEX, EVEX or XOP prefix; nothing if there is no such prefix. In 64-bit
/// code the first two are always prefixes; the third is a `pop` if the map it names is below 8.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn vector_opcode(code: &[u8]) -> Option<u8> {
    match code {
        [0xc5, _, opcode, ..] | [0xc4, _, _, opcode, ..] | [0x62, _, _, _, opcode, ..] => {
            Some(*opcode)
        }
        [0x8f, map, _, opcode, ..] if map & 0x1f >= 8 => Some(*opcode),
        _ => None,
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn vector_instructions_with_the_opcode_of_a_jump_would_break() {
        // vpbroadcastb %esi,%ymm17; vpcmpeqb (%rdi),%ymm0,%ymm1; vcmpps; vpor; andps as push.
        for code in [
            &[0x62, 0xe2, 0x7d, 0x28, 0x7a, 0xce][..],
            &[0xc5, 0xfd, 0x74, 0x0f],
            &[0xc5, 0xf8, 0xc2, 0xc1, 0x00],
            &[0xc5, 0xf5, 0xeb, 0xc0],
            &[0xc5, 0xf8, 0x54, 0xc1],
            &[0xc4, 0xe2, 0x7d, 0x78, 0xc0],
        ] {
            assert!(would_break(code).is_some(), "{code:x?}");
        }
    }

    #[test]
    fn other_instructions_would_not() {
        // endbr64; push %rbp; jp; vmovd %esi,%xmm0; vpxor; vzeroupper; pop; no code.
        for code in [
            &[0xf3, 0x0f, 0x1e, 0xfa][..],
            &[0x55],
            &[0x7a, 0x10],
            &[0xc5, 0xf9, 0x6e, 0xc6],
            &[0xc5, 0xf9, 0xef, 0xc0],
            &[0x8f, 0xc0, 0x00, 0x75],
            &[],
        ] {
            assert_eq!(would_break(code), None, "{code:x?}");
        }
    }
}
