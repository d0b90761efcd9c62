//! What the verifier asks of every function, and how the short ones look.

use super::{
    Compiled, Context, compile_at,
    world::{World, function},
};
use crate::compile::{CompiledFn, STACK_BYTES, Site};

/// Jumps go forward and to instructions, the stack is kept small, and the end is an exit.
pub(super) fn check(function: &CompiledFn) {
    let code = &function.instructions;
    assert_eq!(code.len(), function.spans.len());
    let mut is_second_half = vec![false; code.len()];
    for at in 0..code.len() {
        if code[at].code == 0x18 {
            is_second_half[at + 1] = true;
        }
    }
    let mut is_target = vec![false; code.len() + 1];
    for (at, instruction) in code
        .iter()
        .enumerate()
        .filter(|(at, _)| !is_second_half[*at])
    {
        let class = instruction.code & 7;
        let is_jump = matches!(class, 5 | 6) && !matches!(instruction.code, 0x85 | 0x95);
        if is_jump {
            assert!(instruction.off >= 0, "a jump back at {at}");
            let target = at + 1 + instruction.off as usize;
            assert!(target < code.len() && !is_second_half[target], "from {at}");
            is_target[target] = true;
        }
        // Loads, stores, and addresses of the stack.
        let base = match class {
            1 => instruction.src_reg(),
            2 | 3 => instruction.dst_reg(),
            _ => 0,
        };
        if base == 10 {
            assert!(instruction.off < 0, "at {at}");
            assert!(instruction.off.unsigned_abs() <= STACK_BYTES, "at {at}");
        }
        if matches!(instruction.code, 0x05 | 0x95) && at + 1 < code.len() {
            // What follows is reached from elsewhere.
            let mut rest = code.iter().enumerate().skip(at + 1);
            let next = rest.find(|(at, _)| !is_second_half[*at]);
            let reached = next.is_none_or(|(next, _)| is_target[next]);
            assert!(reached, "nothing leads to {}", at + 1);
        }
    }
    assert_eq!(code.last().map(|last| last.code), Some(0x95));
    assert!(function.stack_bytes <= STACK_BYTES.into());
}

pub(super) fn check_all(compiled: &Compiled) {
    check(&compiled.values);
    for function in compiled
        .predicate
        .iter()
        .chain(compiled.entry.as_ref().map(|entry| &entry.function))
    {
        check(function);
    }
}

/// Expressions of every kind; the integrator has them verified by kernels as well.
pub(super) const TABLE: [&str; 40] = [
    "1",
    "0",
    "1 || t->i",
    "t->i || 1",
    "n",
    "n > 5",
    "n == -1 && count > 20000",
    "!(n || count)",
    "n ? count : n",
    "(n ? 1 : 2) + (count ? 3 : 4)",
    "count / n",
    "count % n",
    "n / n",
    "n % n",
    "n / 7",
    "n / -7",
    "n % -7",
    "count / 0x123456789",
    "n << count",
    "n >> count",
    "t->i",
    "t->next->next->i",
    "t->next->i + t->next->u * t->i - t->l / t->i",
    "(t->i + t->u) * (t->l + t->ul)",
    "t->in.numbers[t->i]",
    "t->b3 + t->b5 + t->b40",
    "t->flag",
    "t->color == GREEN",
    "&t->in.a",
    "$uid + $gid + $pid + $tgid + $cpu",
    "$task->pid",
    "STRCMP(\"abc\", t->text)",
    "STRCMP(\"a text of more than sixty-four bytes, which takes two reads of memory*\", t->text)",
    "STRCMP(\"bash\", $comm)",
    "STRCMP(\"a\", t->text) || STRCMP(\"b\", t->text) || STRCMP(\"c\", t->text)",
    "(STRCMP(\"a\", t->text) + 2) * STRCMP(\"b\", t->text)",
    "(char)n + (short)n + (u64)n",
    "0x123456789abcdef0 ^ count",
    "*(char *)0",
    "(n == 1) * 2 + (n == 2) * 4 + (n == 3) * 8 + (n == 4) * 16 + (n == 5) * 32",
];

#[test]
fn functions_are_well_formed() {
    let (world, ids) = World::kernel();
    let site = Site::Function(function(
        &[
            ("t", ids.thing_pointer),
            ("n", ids.int(4, true)),
            ("count", ids.int(8, false)),
        ],
        ids.void,
    ));
    for expression in TABLE {
        let text = format!("f ({expression}) \"%d %x\", {expression}, {expression}");
        for context in [Context::PtRegs, Context::Trampoline] {
            let compiled = compile_at(&text, &site, &world, context);
            check_all(&compiled.unwrap_or_else(|error| panic!("{error}")));
        }
    }
}

#[test]
fn nesting_takes_little_of_the_stack() {
    let (world, ids) = World::kernel();
    let site = Site::Function(function(&[("t", ids.thing_pointer)], ids.void));
    let nest = |depth, join: fn(&str) -> String| {
        (0..depth).fold("t->i".to_owned(), |inner, _| join(&inner))
    };
    for (expression, at_most) in [
        (nest(45, |inner| format!("(t->i / {inner})")), 16),
        (nest(45, |inner| format!("({inner} / t->i)")), 16),
        // Both sides are the same: a tree.
        (nest(7, |inner| format!("({inner} / {inner})")), 64),
    ] {
        let text = format!("f \"%d\", {expression}");
        let compiled = compile_at(&text, &site, &world, Context::PtRegs);
        let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
        check_all(&compiled);
        assert!(compiled.values.stack_bytes <= at_most);
    }
}

#[test]
fn a_comparison_is_a_few_instructions() {
    let (world, ids) = World::kernel();
    let site = Site::Function(function(
        &[
            ("t", ids.thing_pointer),
            ("n", ids.int(4, true)),
            ("count", ids.int(8, false)),
        ],
        ids.void,
    ));
    for (predicate, expected) in [
        (
            "arg3 > 20000",
            "    0: ldxdw r0, [r1+0x60]                  ; arg3\n    \
             1: jle r0, 0x4e20, +0x2                 ; arg3 > 20000\n    \
             2: mov64 r0, 0x1\n    \
             3: exit\n    \
             4: mov64 r0, 0x0\n    \
             5: exit\n",
        ),
        (
            "n == -1",
            "    0: ldxdw r0, [r1+0x68]                  ; n\n    \
             1: jne32 r0, 0xffffffff, +0x2           ; n == -1\n    \
             2: mov64 r0, 0x1\n    \
             3: exit\n    \
             4: mov64 r0, 0x0\n    \
             5: exit\n",
        ),
        (
            "t->i > n",
            "    0: mov64 r6, r1                         ; t->i > n\n    \
             1: ldxdw r3, [r6+0x70]                  ; t\n    \
             2: add64 r3, 0x8                        ; t->i\n    \
             3: mov64 r1, r10\n    \
             4: add64 r1, 0xfffffff8\n    \
             5: mov64 r2, 0x4\n    \
             6: call 0x71\n    \
             7: jne r0, 0x0, +0x7\n    \
             8: ldxw r0, [r10-0x8]\n    \
             9: ldxdw r2, [r6+0x68]                  ; n\n   \
             10: jsle32 r0, r2, +0x2                  ; t->i > n\n   \
             11: mov64 r0, 0x1\n   \
             12: exit\n   \
             13: mov64 r0, 0x0\n   \
             14: exit\n   \
             15: mov64 r0, 0x2\n   \
             16: exit\n",
        ),
    ] {
        let text = format!("f ({predicate})");
        let compiled = compile_at(&text, &site, &world, Context::PtRegs).expect("it compiles");
        let predicate = compiled.predicate.expect("there is one");
        assert_eq!(predicate.listing(&text).to_string(), expected, "{text}");
    }
}
