//! Which instructions the kernel will hardly probe.
//!
//! One bad place fails a whole multi link, and each failed try costs the kernel tens of
//! milliseconds to take back. So places that look bad are tried apart from the others. The kernel
//! still decides on each: a wrong guess costs time, never a probe.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::Site;
use crate::resolve::{AttachPoint, TargetFile, elf::vector_opcode};

/// The longest x86 instruction.
const INSTRUCTION_BYTES: usize = 15;

/// Splits `sites`, all in `file`, into those that look good and those that do not.
pub(super) fn split<'a>(file: &TargetFile, sites: Vec<Site<'a>>) -> (Vec<Site<'a>>, Vec<Site<'a>>) {
    let Ok(file) = File::open(&file.path) else {
        return (sites, Vec::new());
    };
    sites.into_iter().partition(|site| match site.point {
        AttachPoint::User(point) => {
            let mut bytes = [0; INSTRUCTION_BYTES];
            let read = file.read_at(&mut bytes, point.offset.0).unwrap_or(0);
            !is_doubtful(&bytes[..read])
        }
        _ => true,
    })
}

/// Whether x86 code starts with what `uprobe_init_insn` (arch/x86/kernel/uprobes.c, 6.12) refuses:
/// segment and lock prefixes, and opcodes that its table has no mark for. The table is of one-byte
/// opcodes, but the kernel holds those behind VEX and EVEX prefixes against it as well.
#[cfg(target_arch = "x86_64")]
fn is_doubtful(code: &[u8]) -> bool {
    if let Some(opcode) = vector_opcode(code) {
        return is_refused(opcode);
    }
    for &byte in code {
        match byte {
            // Operand size, address size, repeat, REX: the opcode is still to come.
            0x66 | 0x67 | 0xf2 | 0xf3 | 0x40..=0x4f => (),
            0x26 | 0x2e | 0x36 | 0x3e | 0xf0 => return true,
            _ => return is_refused(byte),
        }
    }
    true
}

/// Opcodes without a mark in the kernel's table `good_insns_64`.
#[cfg(target_arch = "x86_64")]
const fn is_refused(opcode: u8) -> bool {
    matches!(
        opcode,
        0x06 | 0x07 | 0x0e | 0x16 | 0x17 | 0x1e | 0x1f | 0x26 | 0x27 | 0x2e | 0x2f | 0x36 | 0x37
            | 0x3e..=0x4f | 0x60..=0x62 | 0x66 | 0x67 | 0x6c..=0x6f | 0x82 | 0x9a | 0xcc..=0xcf
            | 0xd4..=0xd6 | 0xe4..=0xe7 | 0xea | 0xec..=0xf1 | 0xf4 | 0xfa | 0xfb
    )
}

/// Elsewhere all instructions have one length, and nearly all can be probed.
#[cfg(not(target_arch = "x86_64"))]
fn is_doubtful(_code: &[u8]) -> bool {
    false
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_doubted() {
        // `lock decl (%rdi)`, as pthread_spin_lock begins; `hlt`, `cs nop`, `vmovd %esi,%xmm0`, as
        // __strchr_avx2 begins; no code at all.
        for code in [
            &[0xf0, 0xff, 0x0f][..],
            &[0xf4],
            &[0x2e, 0x90],
            &[0xc5, 0xf9, 0x6e, 0xc6],
            &[],
        ] {
            assert!(is_doubtful(code), "{code:x?}");
        }
        // `endbr64`, `push %rbp`, `mov %rsp,%rbp`, `rep stosb`, `syscall`.
        for code in [
            &[0xf3, 0x0f, 0x1e, 0xfa][..],
            &[0x55],
            &[0x48, 0x89, 0xe5],
            &[0xf3, 0xaa],
            &[0x0f, 0x05],
        ] {
            assert!(!is_doubtful(code), "{code:x?}");
        }
    }
}
