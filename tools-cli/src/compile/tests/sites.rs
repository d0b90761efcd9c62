//! What each kind of site offers, and where it is read from.

use probes_common::{PASSED, UNREADABLE};

use super::{
    Context, Machine, compile_at,
    machine::Output,
    results::{TEXT, THING, USER_TEXT, kernel_machine},
    world::{World, function, tracepoint, usdt},
};
use crate::compile::{OperandPlace, Site, Wrapper};

#[test]
fn arguments_of_system_calls() {
    let (world, ids) = World::kernel();
    let mut wrapper = function(
        &[
            ("fd", ids.int(4, false)),
            ("name", ids.char_pointer),
            ("a", ids.int(8, false)),
            ("b", ids.int(8, false)),
        ],
        ids.int(8, true),
    );
    wrapper.wrapper = Some(Wrapper::Native);
    let mut regs = vec![0; 168];
    for (at, value) in [(112, 3_u64), (104, USER_TEXT), (96, 30), (56, 40), (88, 99)] {
        regs[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let machine = Machine::new(168)
        .kernel(THING, &regs)
        .user(USER_TEXT, b"path\0")
        .args(&[THING]);
    let with_prototype = Site::Function(wrapper.clone());
    wrapper.prototype = None;
    let without = Site::Function(wrapper);
    for (site, text) in [
        (&with_prototype, "__x64_sys_x \"%d %s %d\", fd, name, b"),
        (
            &with_prototype,
            "__x64_sys_x \"%d %s %d\", arg1, arg2, arg4",
        ),
        (&without, "__x64_sys_x \"%d %s %d\", arg1, arg2, arg4"),
        (
            &without,
            "__x64_sys_x(int fd, char *s, long a, long b) \"%d %s %d\", fd, s, b",
        ),
    ] {
        let compiled = compile_at(text, site, &world, Context::PtRegs).expect("it compiles");
        let expected = [
            Output::Number(3),
            Output::Text("path".to_owned()),
            Output::Number(40),
        ];
        assert_eq!(machine.clone().values(&compiled), expected, "{text}");
    }
    // The wrapper's own parameter.
    let text = "__x64_sys_x(struct pt_regs *regs) \"%d\", regs->di";
    let compiled = compile_at(text, &without, &world, Context::PtRegs).expect("it compiles");
    assert_eq!(machine.clone().values(&compiled), [Output::Number(3)]);
}

#[test]
fn parameters_are_where_the_calling_convention_puts_them() {
    let (world, ids) = World::kernel();
    let long = ids.int(8, true);
    let site = Site::Function(function(
        &[
            ("a", long),
            ("real", ids.float),
            ("b", long),
            ("s", ids.big),
            ("wide", ids.int(16, true)),
            ("c", long),
            ("d", long),
            ("e", long),
            ("g", long),
        ],
        long,
    ));
    let stack = 0xffff_8880_0000_5000_u64;
    // The return address, the structure of 24 bytes, then the parameter that is left over.
    let mut frame = vec![0; 48];
    frame[32..40].copy_from_slice(&70_u64.to_le_bytes());
    let mut machine = Machine::new(168)
        .args(&[10, 20, 30, 31, 40, 50])
        .context(152, &stack.to_le_bytes())
        .kernel(stack, &frame);
    let text = "f \"%d %d %d %d %d\", a, b, c, d, e";
    let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
    let expected = [10, 20, 40, 50, 70].map(Output::Number);
    assert_eq!(machine.values(&compiled), expected);
}

#[test]
fn structures_that_are_passed_by_value() {
    let (world, ids) = World::kernel();
    let long = ids.int(8, true);
    let given = [
        ("a", long),
        ("p", ids.pair),
        ("real", ids.point),
        ("b", long),
        ("big", ids.big),
        ("c", long),
        ("torn", ids.pair),
        ("d", long),
    ];
    let mut site = function(&given, ids.pair);
    let stack = 0xffff_8880_0000_5000_u64;
    // The return address, the structure of 24 bytes, then the pair, for which one register is left.
    let mut frame = vec![0; 48];
    frame[8..16].copy_from_slice(&71_u64.to_le_bytes());
    frame[32..36].copy_from_slice(&(-72_i32).to_le_bytes());
    // From the top: the array of one -2, nothing, the bit fields, and the -7.
    let first_word = 0xfffe_0095_ffff_fff9_u64;
    let mut machine = Machine::new(168)
        .args(&[10, first_word, TEXT, 20, 30, 40])
        .context(152, &stack.to_le_bytes())
        .kernel(TEXT, b"kernel text\0")
        .kernel(stack, &frame);
    for (expression, expected) in [
        ("p.first", -7),
        ("p.low", -3),
        ("p.high", 18),
        ("p.array", -2),
        ("p.name[1]", i64::from(b'e')),
        ("sizeof(p)", 16),
        ("arg2 == p.name", 0),
        ("arg3 == p.name", 1),
        ("b", 20),
        ("big.x", 71),
        ("c", 30),
        ("torn.first", -72),
        ("d", 40),
    ] {
        let text = format!("f \"%ld\", {expression}");
        let compiled = compile_at(
            &text,
            &Site::Function(site.clone()),
            &world,
            Context::PtRegs,
        )
        .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            machine.values(&compiled),
            [Output::Number(expected)],
            "{expression}"
        );
    }

    site.at_return = true;
    let mut machine = machine
        .context(80, &first_word.to_le_bytes())
        .context(96, &TEXT.to_le_bytes());
    for (returns, expression, expected) in [
        (ids.pair, "retval.first", -7),
        (ids.pair, "retval.name[0]", i64::from(b'k')),
        (ids.big, "retval.x", 71),
    ] {
        let mut site = site.clone();
        if returns == ids.big {
            machine = machine.context(80, &(stack + 8).to_le_bytes());
        }
        site.prototype.as_mut().expect("there is one").returns = returns;
        let text = format!("r::f \"%ld\", {expression}");
        let compiled = compile_at(&text, &Site::Function(site), &world, Context::PtRegs)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            machine.values(&compiled),
            [Output::Number(expected)],
            "{expression}"
        );
    }
}

#[test]
fn fields_of_tracepoints() {
    let (world, ids) = World::kernel();
    let site = tracepoint(&ids, false);
    let mut machine = Machine::new(256)
        .kernel(TEXT, b"kernel text\0")
        .context(8, &(-9_i32).to_le_bytes())
        .context(16, &77_u64.to_le_bytes())
        .context(26, &1234_i32.to_le_bytes())
        .context(32, b"swapper/0\0")
        .context(52, &2_i32.to_le_bytes())
        .context(64, &(128_u32 | 6 << 16).to_le_bytes())
        .context(68, &(72_u32 | 6 << 16).to_le_bytes())
        .context(72, &TEXT.to_le_bytes())
        .context(80, &5_i32.to_le_bytes())
        .context(84, &(200_u32 | 8 << 16).to_le_bytes())
        .context(128, b"eth0\0")
        .context(144, b"behind\0")
        .context(200, &[1, 0, 0, 0, 2, 0, 0, 0]);
    let expected = |text: &str| Output::Text(text.to_owned());
    for (format, expression, expected) in [
        ("%d", "args->nr", Output::Number(-9)),
        ("%d", "args->size", Output::Number(77)),
        ("%d", "args->odd", Output::Number(1234)),
        ("%s", "args->comm", expected("swapper/0")),
        ("%c", "args->comm[1]", Output::Number(i64::from(b'w'))),
        ("%d", "args->numbers[1]", Output::Number(2)),
        ("%d", "args->numbers[args->size - 76]", Output::Number(2)),
        ("%s", "args->name", expected("eth0")),
        ("%s", "args->behind", expected("behind")),
        ("%s", "args->filename", expected("kernel text")),
        ("%d", "args->color == GREEN", Output::Number(1)),
        ("%d", "args->list[1]", Output::Number(2)),
        ("%d", "STRCMP(\"swapper/0\", args->comm)", Output::Number(1)),
        ("%d", "STRCMP(\"eth1\", args->name)", Output::Number(0)),
    ] {
        let text = format!("t:a:b \"{format}\", {expression}");
        let compiled = compile_at(&text, &site, &world, Context::Record)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(machine.values(&compiled), [expected], "{expression}");
    }
    let site = tracepoint(&ids, true);
    let mut machine = machine
        .user(USER_TEXT, b"/etc/passwd\0")
        .context(72, &USER_TEXT.to_le_bytes());
    let text = "t:syscalls:b \"%s\", args->filename";
    let compiled = compile_at(text, &site, &world, Context::Record).expect("it compiles");
    assert_eq!(machine.values(&compiled), [expected("/etc/passwd")]);
}

#[test]
fn operands_of_usdt_probes() {
    let (world, _) = World::kernel();
    let memory = |displacement, index| OperandPlace::Memory {
        base: 32,
        index,
        scale: 4,
        displacement,
    };
    let site = usdt(&[
        (4, true, OperandPlace::Register(112)),
        (8, false, OperandPlace::Register(104)),
        (1, false, OperandPlace::Register(81)),
        (2, true, memory(-8, None)),
        (4, false, memory(0, Some(96))),
        (4, true, OperandPlace::Constant(-3)),
        (
            8,
            true,
            OperandPlace::Unsupported("it is a float".to_owned()),
        ),
    ]);
    let mut frame = vec![0; 64];
    frame[24..26].copy_from_slice(&(-77_i16).to_le_bytes());
    frame[40..44].copy_from_slice(&4_000_000_000_u32.to_le_bytes());
    let mut machine = Machine::new(168)
        .user(0x7000, &frame)
        .user(USER_TEXT, b"select 1\0")
        .context(112, &0xabcd_ffff_fffe_u64.to_le_bytes())
        .context(104, &USER_TEXT.to_le_bytes())
        .context(80, &0x1234_u64.to_le_bytes())
        .context(32, &0x7020_u64.to_le_bytes())
        .context(96, &2_u64.to_le_bytes());
    let text = "u:x:y \"%d %s %d %d %u %d\", arg1, arg2, arg3, arg4, arg5, arg6";
    let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
    assert_eq!(
        machine.values(&compiled),
        [
            Output::Number(-2),
            Output::Text("select 1".to_owned()),
            Output::Number(0x12),
            Output::Number(-77),
            // rbp + 2 * 4 is 0x7028.
            Output::Number(4_000_000_000),
            Output::Number(-3),
        ]
    );
    let text = "u:x:y(int first, char *query) \"%d %s\", first, query";
    let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
    let expected = [Output::Number(-2), Output::Text("select 1".to_owned())];
    assert_eq!(machine.values(&compiled), expected);
}

#[test]
fn system_calls_of_32_bit_programs() {
    let (world, ids) = World::kernel();
    let parameters = [("fd", ids.int(4, false)), ("name", ids.char_pointer)];
    let mut function = function(&parameters, ids.int(8, true));
    function.wrapper = Some(Wrapper::Ia32);
    let mut regs = vec![0; 168];
    for (at, value) in [(40, 3_u64), (88, USER_TEXT), (112, 98), (104, 99)] {
        regs[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let mut machine = Machine::new(168)
        .kernel(THING, &regs)
        .user(USER_TEXT, b"path\0")
        .args(&[THING]);
    let text = "__ia32_sys_x \"%d %s\", fd, name";
    let compiled = compile_at(text, &Site::Function(function), &world, Context::PtRegs)
        .unwrap_or_else(|error| panic!("{error}"));
    let expected = [Output::Number(3), Output::Text("path".to_owned())];
    assert_eq!(machine.values(&compiled), expected);
}

#[test]
fn text_of_programs_that_kernel_functions_are_given() {
    let (world, ids) = World::kernel();
    let parameters = [("name", ids.char_pointer), ("own", ids.char_pointer)];
    let site = Site::Function(function(&parameters, ids.int(8, true)));
    let mut machine = Machine::new(168)
        .kernel(TEXT, b"hello\0")
        .user(USER_TEXT, b"from user space\0")
        .args(&[USER_TEXT, TEXT]);
    let text =
        "f (STRCMP(\"from user space\", name) && STRCMP(\"hello\", own)) \"%s %s\", name, own";
    let compiled =
        compile_at(text, &site, &world, Context::PtRegs).unwrap_or_else(|error| panic!("{error}"));
    assert!(machine.predicate(&compiled));
    let expected = ["from user space", "hello"].map(|text| Output::Text(text.to_owned()));
    assert_eq!(machine.values(&compiled), expected);
}

#[test]
fn returns_and_what_was_saved_at_entry() {
    let (world, ids) = World::kernel();
    let mut function = function(
        &[("t", ids.thing_pointer), ("n", ids.int(4, true))],
        ids.int(4, true),
    );
    function.at_return = true;
    let site = Site::Function(function);
    let text = "r::f (retval < 0 && $entry(n) == -10 && $latency > 100) \
                \"%d %d %d %llu\", retval, $entry(n), $entry(t->i), $latency";
    let compiled =
        compile_at(text, &site, &world, Context::PtRegs).unwrap_or_else(|error| panic!("{error}"));
    let entry = compiled.entry.as_ref().expect("something is saved");
    assert_eq!(entry.bytes, 8 + 8 + 2 * 8);
    let mut at_entry = kernel_machine();
    let saved = at_entry.entry_values(&compiled);
    assert_eq!(saved, [0, -10_i64 as u64, -42_i64 as u64]);
    let mut at_return = Machine::new(168)
        .context(80, &(-2_i64).to_le_bytes())
        .saved(&[&[1000], &saved[..]].concat());
    assert!(at_return.predicate(&compiled));
    assert_eq!(
        at_return.values(&compiled),
        [-2, -10, -42, 1000].map(Output::Number)
    );
}

#[test]
fn what_could_not_be_read_at_entry_can_not_be_used_at_the_return() {
    let (world, ids) = World::kernel();
    let mut function = function(
        &[("t", ids.thing_pointer), ("n", ids.int(4, true))],
        ids.int(4, true),
    );
    function.at_return = true;
    let site = Site::Function(function);
    let compile = |text: &str| {
        compile_at(text, &site, &world, Context::PtRegs).unwrap_or_else(|error| panic!("{error}"))
    };
    let verdict = |predicate: &str| {
        let text = format!(
            "r::f ({predicate}) \"%d %d %s %d\", $entry(n), $entry(t->i), $entry(t->in.name), retval"
        );
        let compiled = compile(&text);
        let nothing_there = Machine::new(168).args(&[8, 7]);
        let saved = nothing_there.clone().entry_values(&compiled);
        let mut at_return = nothing_there.saved(&[&[1000], &saved[..]].concat());
        let values = at_return.values(&compiled);
        let number = Output::Number;
        assert_eq!(values, [number(7), Output::Fault, Output::Fault, number(0)]);
        at_return.verdict(&compiled)
    };
    assert_eq!(verdict("$entry(n) == 7"), PASSED);
    assert_eq!(verdict("$entry(n) != 7 && $entry(t->i) == 0"), 0);
    for unreadable in [
        "$entry(t->i) == 0",
        "$entry(t->i) != 0",
        "!$entry(t->i)",
        "$entry(t->i)",
        "STRCMP(\"\", $entry(t->in.name))",
        "$entry(STRCMP(\"x\", t->in.name)) == 0",
    ] {
        assert_eq!(verdict(unreadable), UNREADABLE, "{unreadable}");
    }
}

#[test]
fn trampolines() {
    let (world, ids) = World::kernel();
    let mut function = function(
        &[
            ("t", ids.thing_pointer),
            ("n", ids.int(4, true)),
            ("count", ids.int(8, false)),
        ],
        ids.int(4, true),
    );
    let words = |words: [u64; 4]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let context: Vec<u8> = words([THING, 0xdead_0000_ffff_fff6, 5, 0xffff_fff0]);
    let mut machine = kernel_machine().context(0, &context);
    let text = "f (n == -10 && arg3 == 5) \"%d %d\", n, t->i";
    let site = Site::Function(function.clone());
    let compiled = compile_at(text, &site, &world, Context::Trampoline).expect("it compiles");
    assert!(machine.predicate(&compiled));
    assert_eq!(machine.values(&compiled), [-10, -42].map(Output::Number));
    function.at_return = true;
    let site = Site::Function(function);
    let text = "r::f \"%d\", retval";
    let compiled = compile_at(text, &site, &world, Context::Trampoline).expect("it compiles");
    assert_eq!(machine.values(&compiled), [Output::Number(-16)]);
}
