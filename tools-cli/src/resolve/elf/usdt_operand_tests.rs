//! Operands as compilers write them, and as they don't.

use proptest::prelude::*;

use super::*;
use crate::resolve::elf::test_programs::{Folder, nm};

const AX: Register = Register {
    pt_regs_offset_bytes: 80,
};
const BX: Register = Register {
    pt_regs_offset_bytes: 40,
};
const BP: Register = Register {
    pt_regs_offset_bytes: 32,
};

fn one(text: &str) -> (u64, bool, Place) {
    let mut all = Operand::parse_all(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    let operand = all.remove(0);
    (operand.bytes, operand.is_signed, operand.place)
}

fn memory(
    symbol: Option<&str>,
    base: Option<Register>,
    index: Option<(Register, u8)>,
    displacement_bytes: i64,
) -> Place {
    Place::Memory(Memory {
        symbol: symbol.map(ToOwned::to_owned),
        base,
        index,
        displacement_bytes,
    })
}

fn reason(text: &str) -> String {
    match one(text).2 {
        Place::Unsupported(reason) => reason,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn registers_are_known_by_all_their_names() {
    let expected = [
        (80, "rax eax ax al"),
        (40, "rbx ebx bx bl"),
        (88, "rcx ecx cx cl"),
        (96, "rdx edx dx dl"),
        (104, "rsi esi si sil"),
        (112, "rdi edi di dil"),
        (32, "rbp ebp bp bpl"),
        (152, "rsp esp sp spl"),
        (72, "r8 r8d r8w r8b"),
        (64, "r9 r9d r9w r9b"),
        (56, "r10 r10d r10w r10b"),
        (48, "r11 r11d r11w r11b"),
        (24, "r12 r12d r12w r12b"),
        (16, "r13 r13d r13w r13b"),
        (8, "r14 r14d r14w r14b"),
        (0, "r15 r15d r15w r15b"),
    ];
    for (pt_regs_offset_bytes, names) in expected {
        for (name, bytes) in names.split(' ').zip([8, 4, 2, 1]) {
            let register = Register {
                pt_regs_offset_bytes,
            };
            let place = Place::Register {
                register,
                shift_bits: 0,
            };
            assert_eq!(one(&format!("-{bytes}@%{name}")), (bytes, true, place));
        }
    }
    for (name, pt_regs_offset_bytes) in [("ah", 80), ("bh", 40), ("ch", 88), ("dh", 96)] {
        let register = Register {
            pt_regs_offset_bytes,
        };
        let place = Place::Register {
            register,
            shift_bits: 8,
        };
        assert_eq!(one(&format!("1@%{name}")), (1, false, place));
    }
}

#[test]
fn constants_have_the_value_that_their_size_leaves() {
    let cases = [
        ("-4@$5", 5),
        ("-4@$-5", -5),
        ("4@$-1", 0xffff_ffff),
        ("-1@$200", -56),
        ("1@$0xff", 255),
        ("-8@$-9223372036854775808", i64::MIN),
        ("8@$-9223372036854775808", i64::MIN),
        ("8@$18446744073709551615", -1),
        ("-4@$8+4-2", 10),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text).2, Place::Constant(expected), "{text}");
    }
}

#[test]
fn memory_has_base_index_scale_and_symbol() {
    let ip = Some(Register::INSTRUCTION_POINTER);
    let cases = [
        ("8@(%rax)", memory(None, Some(AX), None, 0)),
        ("8@-16(%rbp)", memory(None, Some(BP), None, -16)),
        ("8@0x10(%rbp)", memory(None, Some(BP), None, 16)),
        ("8@(%rax,%rbx,4)", memory(None, Some(AX), Some((BX, 4)), 0)),
        (
            "8@-8(%rax, %rbx, 8)",
            memory(None, Some(AX), Some((BX, 8)), -8),
        ),
        ("8@(%rax,%rbx)", memory(None, Some(AX), Some((BX, 1)), 0)),
        ("8@16(,%rbx,2)", memory(None, None, Some((BX, 2)), 16)),
        ("8@foo(%rip)", memory(Some("foo"), ip, None, 0)),
        ("8@foo+8(%rip)", memory(Some("foo"), ip, None, 8)),
        ("4@4+foo(%rip)", memory(Some("foo"), ip, None, 4)),
        ("4@-4+foo.0-8(%rip)", memory(Some("foo.0"), ip, None, -12)),
        ("4@foo", memory(Some("foo"), None, None, 0)),
        (
            "4@foo(,%rbx,4)",
            memory(Some("foo"), None, Some((BX, 4)), 0),
        ),
        ("4@foo+4(%rbx)", memory(Some("foo"), Some(BX), None, 4)),
        ("4@6295616", memory(None, None, None, 6_295_616)),
    ];
    for (text, expected) in cases {
        assert_eq!(one(text).2, expected, "{text}");
    }
}

#[test]
fn what_can_not_be_read_says_why_and_keeps_its_number() {
    let cases = [
        ("8f@%xmm0", "is a floating-point number"),
        ("4@%xmm0", "is in a register that probes can't read"),
        ("8@%st(0)", "is in a register that probes can't read"),
        ("8@%rip", "is in a register that probes can't read"),
        ("8@%fs:-8", "is relative to a segment"),
        ("8@%fs:x@tpoff", "is relative to a segment"),
        (
            "8@x@GOTPCREL(%rip)",
            "is reached through a table of the linker's",
        ),
        ("8@$x", "is the address of a symbol"),
        ("8@16(%rip)", "is relative to an unknown instruction"),
        ("8@(%eax)", "is an address of less than 64 bits"),
        ("8@(%rax,%rbx,3)", "has a scale that can't be"),
        ("8@(%rax", "has no closing parenthesis"),
        ("8@()", "names no place"),
        ("8@", "names no place"),
        ("16@%rax", "is not of 1, 2, 4 or 8 bytes"),
        ("0@%rax", "is not of 1, 2, 4 or 8 bytes"),
        ("8x@%rax", "has no size that can be understood"),
        ("8@[sp, 8]", "can't be understood"),
        ("8@a+b(%rip)", "can't be understood"),
        ("8@-a(%rip)", "can't be understood"),
    ];
    for (text, expected) in cases {
        let text = text.replace(", ", ",");
        let reason = reason(&text);
        assert!(
            reason.starts_with(&format!("`{text}` {expected}")),
            "{reason}"
        );
    }
    let all = Operand::parse_all("  -4@%eax 8@nonsense)( 4f@%xmm0\t8@(%rax, %rbx, 4)  1@ $7 ");
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(matches!(all[1].place, Place::Unsupported(_)));
    assert_eq!(all[3].place, memory(None, Some(AX), Some((BX, 4)), 0));
    assert_eq!(all[4].place, Place::Constant(7));
    assert_eq!(Operand::parse_all(" "), []);
}

#[test]
fn without_a_size_it_is_eight_bytes() {
    let place = Place::Register {
        register: AX,
        shift_bits: 0,
    };
    assert_eq!(one("%rax"), (8, true, place));
}

/// Notes as `sys/sdt.h` makes them, with the operands that the compiler chooses.
const PROGRAM: &str = r#"
#define PROBE(name, size, operand) \
  __asm__ volatile("990: nop\n" \
    ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n" \
    ".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
    "993: .8byte 990b\n.8byte 0\n.8byte 0\n" \
    ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" size "@%0\"\n" \
    "994: .balign 4\n.popsection\n" :: "nor"(operand))
int shared[4] = {1, 2, 3, 4};
int table[4] = {1, 2, 3, 4};
static int hidden = 5;
__thread int of_thread = 6;
#define FUNCTION __attribute__((noinline)) void
FUNCTION second(void) { PROBE("second", "-4", shared[1]); }
FUNCTION private(void) { PROBE("hidden", "-4", hidden); }
FUNCTION thread(void) { PROBE("thread", "-4", of_thread); }
FUNCTION element(long n) { PROBE("element", "-4", table[n]); }
int main(int argc, char **argv) {
  hidden += argc; second(); private(); thread(); element(argc);
  return 0;
}
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn symbols_are_found_in_the_file_or_its_debug_file() {
    let folder = Folder::new("operands");
    for (flags, is_anywhere) in [("-pie -fPIE", true), ("-no-pie -fno-pie", false)] {
        // Optimised, so that the operands are the variables themselves, not copies of them.
        let make = format!("gcc -O2 {flags} -o program source.c");
        let image = folder.compile(PROGRAM, &make);
        let elf = image.elf().expect("valid");
        assert_eq!(elf.is_loaded_anywhere(), is_anywhere);
        let sites = elf.usdt_probes().sites;
        let place = |name: &str| {
            let site = sites.iter().find(|site| site.name == name).expect(name);
            let mut operands = elf.usdt_operands(site, &DebugSymbols::none());
            (
                site.address.0,
                site.arguments.clone(),
                operands.remove(0).place,
            )
        };
        for (name, symbol, addend) in [("second", "shared", 4), ("hidden", "hidden", 0)] {
            let address = nm(&folder, "program", symbol).0.wrapping_add(addend);
            let (probe, text, place) = place(name);
            let Place::Memory(memory) = place else {
                panic!("{name}: {text}: {place:?}");
            };
            let from = match memory.base {
                Some(Register::INSTRUCTION_POINTER) => probe,
                None => 0,
                other => panic!("{other:?}"),
            };
            assert_eq!(memory.symbol, None);
            assert_eq!(
                from.wrapping_add(memory.displacement_bytes.cast_unsigned()),
                address,
                "{text}"
            );
        }
        let (_, text, thread) = place("thread");
        assert!(
            matches!(thread, Place::Unsupported(_)),
            "{text}: {thread:?}"
        );
        let (_, text, element) = place("element");
        let Place::Memory(memory) = element else {
            panic!("{text}: {element:?}");
        };
        let table = nm(&folder, "program", "table").0.cast_signed();
        let is_table = memory.displacement_bytes == table;
        assert_eq!((memory.symbol, is_table), (None, !is_anywhere), "{text}");
        assert!(memory.index.is_some_and(|(_, scale)| scale == 4), "{text}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn symbols_that_are_not_there_are_unsupported() {
    let folder = Folder::new("operands-stripped");
    let image = folder.compile(PROGRAM, "gcc -O2 -no-pie -fno-pie -s -o program source.c");
    let elf = image.elf().expect("valid");
    let sites = elf.usdt_probes().sites;
    let operands = elf.usdt_operands(&sites[0], &DebugSymbols::none());
    let Place::Unsupported(reason) = &operands[0].place else {
        panic!("{operands:?}");
    };
    assert_eq!(
        reason,
        "`shared` is the name of no variable of the file, or of several"
    );
}

#[test]
fn a_dollar_begins_no_symbol() {
    for text in ["8@$$", "8@+$", "8@$x+$y", "8@$"] {
        let operands = Operand::parse_all(text);
        let is_refused = matches!(operands[0].place, Place::Unsupported(_));
        assert!(is_refused, "{text}: {operands:?}");
    }
}

#[test]
fn what_is_shown_is_never_empty() {
    for text in [
        "8@0",
        "-2@-0",
        "4@16",
        "8@(%rax)",
        "8@0(,%rcx,8)",
        "8@sym(%rip)",
    ] {
        let operands = Operand::parse_all(text);
        let (sign, bytes) = (
            if operands[0].is_signed { "-" } else { "" },
            operands[0].bytes,
        );
        let shown = format!("{sign}{bytes}@{}", operands[0].place);
        assert_eq!(
            Operand::parse_all(&shown),
            operands,
            "{text} is shown as {shown}"
        );
    }
}

proptest! {
    #![proptest_config(crate::property::cases(256))]

    #[test]
    fn no_text_does_harm(text in "(?s).*", operand in "-?[0-9]{0,2}f?@?[-+%$(),:a-z0-9 @*]{0,24}") {
        let _ = Operand::parse_all(&text);
        let _ = Operand::parse_all(&operand);
    }

    #[test]
    fn each_part_is_one_operand(parts in prop::collection::vec("[-0-9]{1,2}@[%$a-z0-9+-]{1,10}", 0..9)) {
        prop_assert_eq!(Operand::parse_all(&parts.join(" ")).len(), parts.len());
    }

    #[test]
    fn changed_bytes_do_no_harm(changes in prop::collection::vec((0usize..60, 32u8..127), 1..6)) {
        let mut bytes = b"-4@%eax 8@-16(%rbp) 4@$5 8@foo+8(%rip) 8@(%rax,%rbx,4) -1@%ah".to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let _ = Operand::parse_all(&String::from_utf8(bytes).expect("ASCII"));
    }
}
