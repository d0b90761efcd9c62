//! The implementations that an IFUNC's resolver chooses from.

use super::{debug_file::DebugSymbols, image::Elf, symbols::Symbol};
use crate::resolve::address::VirtAddr;

/// What follows `__NAME_` in the names of glibc's implementations: for which processors they are.
/// A list, because other functions are named like them (`__memcpy_chk`).
const PROCESSOR_WORDS: [&str; 24] = [
    "sse2", "sse4", "sse42", "ssse3", "avx", "avx2", "avx512", "evex", "evex512", "erms",
    "generic", "c", "fma", "fma4", "simd", "asimd", "neon", "sve", "mops", "mte", "a64fx",
    "thunderx", "falkor", "oryon1",
];

/// What looking for implementations may cost for all IFUNCs of a pattern together, in
/// instructions decoded and names compared; all of glibc takes some ten thousand.
const STEPS_UP_TO: usize = 4_000_000;

/// Finds the implementations of the IFUNCs of one file.
pub(super) struct Implementations<'a> {
    elf: &'a Elf<'a>,
    debug: &'a DebugSymbols,
    steps_left: usize,
    #[cfg(target_arch = "x86_64")]
    resolvers: x86::Resolvers<'a>,
}

impl<'a> Implementations<'a> {
    pub(super) fn new(elf: &'a Elf<'a>, debug: &'a DebugSymbols) -> Self {
        Self {
            elf,
            debug,
            steps_left: STEPS_UP_TO,
            #[cfg(target_arch = "x86_64")]
            resolvers: x86::Resolvers::new(elf),
        }
    }

    /// The addresses of the implementations, in their order; none if they can't be found out.
    ///
    /// The resolver's code says it best: it has the addresses of all it can return. Where that
    /// can't be decoded, the names of the implementations are looked for.
    pub(super) fn of(&mut self, symbol: &Symbol<'_>) -> Vec<VirtAddr> {
        #[cfg(target_arch = "x86_64")]
        let mut found = self.resolvers.returned_by(symbol, &mut self.steps_left);
        #[cfg(not(target_arch = "x86_64"))]
        let mut found = Vec::new();
        if found.is_empty() {
            found = self.named_like(symbol);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn named_like(&mut self, symbol: &Symbol<'_>) -> Vec<VirtAddr> {
        let plain = symbol.name.trim_start_matches('_');
        let (elf, steps_left) = (self.elf, &mut self.steps_left);
        elf.functions(self.debug)
            .take_while(|_| spend(steps_left))
            .filter(|other| !other.ifunc && is_implementation(other.name, plain))
            .map(|other| other.address)
            .filter(|&address| elf.file_offset(address).is_some())
            .collect()
    }
}

fn spend(steps_left: &mut usize) -> bool {
    let any = *steps_left > 0;
    *steps_left = steps_left.saturating_sub(1);
    any
}

fn is_implementation(name: &str, plain: &str) -> bool {
    let rest = name
        .strip_prefix("__")
        .and_then(|name| name.strip_prefix(plain));
    let word = rest
        .and_then(|rest| rest.strip_prefix('_'))
        .and_then(|rest| rest.split('_').next());
    word.is_some_and(|word| PROCESSOR_WORDS.contains(&word))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::{
        cell::OnceCell,
        collections::{HashMap, HashSet},
        ops::Range,
    };

    use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

    use super::{Elf, Symbol, VirtAddr, spend};

    /// Resolvers are some hundred bytes long; a symbol table may say anything.
    const RESOLVER_UP_TO_BYTES: u64 = 4096;

    /// More sections of code than these are not looked through for each address.
    const CODE_RANGES_UP_TO: usize = 1000;

    /// Reads the code of the resolvers of one file.
    pub(super) struct Resolvers<'a> {
        elf: &'a Elf<'a>,
        slots: OnceCell<HashMap<VirtAddr, VirtAddr>>,
        code: OnceCell<Vec<Range<u64>>>,
    }

    impl<'a> Resolvers<'a> {
        pub(super) fn new(elf: &'a Elf<'a>) -> Self {
            Self {
                elf,
                slots: OnceCell::new(),
                code: OnceCell::new(),
            }
        }

        /// The functions whose addresses a resolver's code puts into registers, other than of
        /// itself. All ways through the code are followed, except into functions that it calls.
        pub(super) fn returned_by(&self, symbol: &Symbol<'_>, steps: &mut usize) -> Vec<VirtAddr> {
            let size = if symbol.size == 0 {
                RESOLVER_UP_TO_BYTES
            } else {
                symbol.size
            };
            let start = symbol.address.0;
            let body = start..start.saturating_add(size.min(RESOLVER_UP_TO_BYTES));
            let mut walk = Walk {
                todo: vec![start],
                seen: HashSet::new(),
            };
            let mut found = Vec::new();
            while let Some(instruction) = walk.next(self.elf, &body, steps) {
                let address = self.address_taken(&instruction);
                found.extend(address.filter(|address| !body.contains(&address.0)));
            }
            found.retain(|&address| self.is_plausible_start(address));
            found
        }

        /// `lea reg,[rip+…]`, `mov reg,imm` without PIC, `mov`/`cmov reg,[rip+…]` of a slot that
        /// the loader fills.
        fn address_taken(&self, instruction: &Instruction) -> Option<VirtAddr> {
            if instruction.op0_kind() != OpKind::Register {
                return None;
            }
            if instruction.is_ip_rel_memory_operand() {
                let address = VirtAddr(instruction.ip_rel_memory_address());
                return match instruction.mnemonic() {
                    Mnemonic::Lea => Some(address),
                    _ if loads_pointer(instruction) => self
                        .slots
                        .get_or_init(|| self.elf.slot_targets())
                        .get(&address)
                        .copied(),
                    _ => None,
                };
            }
            match instruction.code() {
                Code::Mov_r32_imm32 | Code::Mov_r64_imm64 | Code::Mov_rm64_imm32 => {
                    Some(VirtAddr(instruction.immediate(1)))
                }
                _ => None,
            }
        }

        /// Whether a function may begin there: it is code and can be decoded.
        fn is_plausible_start(&self, address: VirtAddr) -> bool {
            let code = self.code.get_or_init(|| {
                let mut ranges = self.elf.code_ranges();
                ranges.truncate(CODE_RANGES_UP_TO);
                ranges
            });
            let decodes = |code| {
                !Decoder::new(64, code, DecoderOptions::NONE)
                    .decode()
                    .is_invalid()
            };
            code.iter().any(|range| range.contains(&address.0))
                && self.elf.code_at(address).is_some_and(decodes)
        }
    }

    fn loads_pointer(instruction: &Instruction) -> bool {
        let cmov = Mnemonic::Cmova..=Mnemonic::Cmovs;
        instruction.code() == Code::Mov_r64_rm64 || cmov.contains(&instruction.mnemonic())
    }

    /// A walk over the instructions that can be reached without leaving a function.
    struct Walk {
        todo: Vec<u64>,
        seen: HashSet<u64>,
    }

    impl Walk {
        fn next(
            &mut self,
            elf: &Elf<'_>,
            body: &Range<u64>,
            steps: &mut usize,
        ) -> Option<Instruction> {
            while let Some(ip) = self.todo.pop() {
                if !body.contains(&ip) || !self.seen.insert(ip) {
                    continue;
                }
                if !spend(steps) {
                    return None;
                }
                let Some(code) = elf.code_at(VirtAddr(ip)) else {
                    continue;
                };
                let instruction = Decoder::with_ip(64, code, ip, DecoderOptions::NONE).decode();
                if !instruction.is_invalid() {
                    self.follow(&instruction);
                    return Some(instruction);
                }
            }
            None
        }

        fn follow(&mut self, instruction: &Instruction) {
            let next = instruction.next_ip();
            let direct = instruction.op0_kind() == OpKind::NearBranch64;
            match instruction.mnemonic() {
                Mnemonic::Call => self.todo.push(next),
                Mnemonic::Jmp if direct => self.todo.push(instruction.near_branch64()),
                Mnemonic::Jmp | Mnemonic::Ret | Mnemonic::Ud2 | Mnemonic::Hlt => {}
                _ if direct => self.todo.extend([next, instruction.near_branch64()]),
                _ => self.todo.push(next),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implementations_are_told_from_other_functions_by_what_their_names_end_in() {
        for (name, plain, expected) in [
            ("__strlen_avx2", "strlen", true),
            ("__strlen_avx2_rtm", "strlen", true),
            ("__memmove_avx_unaligned_erms", "memmove", true),
            ("__memcpy_chk", "memcpy", false),
            ("__strlen", "strlen", false),
            ("strlen_avx2", "strlen", false),
            ("__strlen_avx2", "str", false),
        ] {
            assert_eq!(is_implementation(name, plain), expected, "{name}");
        }
    }
}
