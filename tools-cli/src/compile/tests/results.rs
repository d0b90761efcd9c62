//! What expressions give, case by case.

use super::{
    Context, Machine, compile_at,
    machine::{self, Output},
    world::{Ids, World, function, tracepoint, unknown_function, usdt},
};
use crate::{
    compile::{
        Compiled, OperandPlace, Options, PidNamespace, Site, Sources, Space, Wrapper, compile,
    },
    spec::TraceSpec,
};

const THING: u64 = 0xffff_8880_0000_1000;
const NEXT: u64 = 0xffff_8880_0000_2000;
const TEXT: u64 = 0xffff_8880_0000_3000;
const USER_TEXT: u64 = 0x7f00_0000_3000;

/// A `struct thing` of the small kernel.
fn thing(i: i32, next: u64) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &[b'x', 200]);
    put(2, &(-3_i16).to_le_bytes());
    put(4, &40_000_u16.to_le_bytes());
    put(8, &i.to_le_bytes());
    put(12, &4_000_000_000_u32.to_le_bytes());
    put(16, &(-5_i64).to_le_bytes());
    put(24, &u64::MAX.to_le_bytes());
    put(32, &next.to_le_bytes());
    put(40, &TEXT.to_le_bytes());
    put(48, &USER_TEXT.to_le_bytes());
    put(56, &(-7_i16).to_le_bytes());
    for number in 0..4 {
        put(60 + number * 4, &(10 * number as i32 + 1).to_le_bytes());
    }
    put(76, b"full sixteen by!");
    put(92, &5_i32.to_le_bytes());
    // b3 = -2, b5 = 21, b40 = -1.
    put(96, &[0b1010_1110, 0xff, 0xff, 0xff, 0xff, 0xff]);
    put(104, &(-1_i32).to_le_bytes());
    put(108, &[1]);
    put(120, &0xffff_8880_dead_0000_u64.to_le_bytes());
    bytes
}

fn kernel_machine() -> Machine {
    Machine::new(168)
        .kernel(THING, &thing(-42, NEXT))
        .kernel(NEXT, &thing(77, 0))
        .kernel(TEXT, b"hello\0")
        .user(USER_TEXT, b"from user space\0")
        .args(&[THING, 0xffff_ffff_ffff_fff6, 5, 0x1234_5678_9abc_def0])
}

fn site(ids: &Ids) -> Site {
    Site::Function(function(
        &[
            ("t", ids.thing_pointer),
            ("n", ids.int(4, true)),
            ("count", ids.int(8, false)),
            ("word", ids.int(8, false)),
        ],
        ids.int(4, true),
    ))
}

fn compiled(text: &str) -> Compiled {
    let (world, ids) = World::kernel();
    compile_at(text, &site(&ids), &world, Context::PtRegs).unwrap_or_else(|error| panic!("{error}"))
}

fn number(expression: &str) -> Output {
    let text = format!("f \"%lld\", {expression}");
    kernel_machine().values(&compiled(&text)).remove(0)
}

fn text(expression: &str) -> Output {
    let text = format!("f \"%s\", {expression}");
    kernel_machine().values(&compiled(&text)).remove(0)
}

fn passes(predicate: &str) -> bool {
    kernel_machine().predicate(&compiled(&format!("f ({predicate})")))
}

#[test]
fn numbers() {
    for (expression, expected) in [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("n / 3", -3),
        ("n % 3", -1),
        ("n / -3", 3),
        ("10 / n", -1),
        ("n / n", 1),
        ("1 << 31", -2_147_483_648),
        ("1u << 31", 2_147_483_648),
        ("n >> 1", -5),
        ("(unsigned)n >> 28", 15),
        ("n", -10),
        ("(unsigned char)n", 246),
        ("(char)246", -10),
        ("(u16)n", 65_526),
        ("(bool)n", 1),
        ("n < 0", 1),
        ("n < 5u", 0),
        ("(long)n < 5u", 1),
        ("count", 5),
        ("n + count", -5),
        ("n == -10 ? 100 : 200", 100),
        ("!n", 0),
        ("~n", 9),
        ("n && count", 1),
        ("'a' + '\\n'", 107),
        ("0x10 + 010 + 0b11", 27),
        ("sizeof(struct thing)", 128),
        ("sizeof(t->in)", 36),
        ("sizeof n", 4),
        ("sizeof(u16)", 2),
        ("sizeof(char *)", 8),
        ("GREEN", 5),
        ("BLUE", -1),
        ("(n == -10) * 2 + (count == 5) * 4", 6),
        ("t == NULL", 0),
        ("0xffffffff", 4_294_967_295),
        ("4294967295", 4_294_967_295),
        ("-2147483648", -2_147_483_648),
        ("5000000000", 5_000_000_000),
        ("arg4 & 0xff", 0xf0),
        ("arg2", -10),
        ("(int)arg4", i64::from(0x9abc_def0_u32 as i32)),
    ] {
        assert_eq!(number(expression), Output::Number(expected), "{expression}");
    }
}

#[test]
fn memory() {
    for (expression, expected) in [
        ("t->c", i64::from(b'x')),
        ("t->uc", 200),
        ("t->s", -3),
        ("t->us", 40_000),
        ("t->i", -42),
        ("t->u", 4_000_000_000),
        ("t->l", -5),
        ("t->ul", -1),
        ("t->next->i", 77),
        ("(*t).i", -42),
        ("(*t->next).i", 77),
        ("t->in.a", -7),
        ("t->in.numbers[2]", 21),
        ("t->in.numbers[count - 2]", 31),
        ("*(t->in.numbers + 1)", 11),
        ("*t->in.numbers", 1),
        ("(&t->in)->a", -7),
        ("&t->in.numbers[3] - &t->in.numbers[1]", 2),
        ("(u64)&t->next - (u64)t", 32),
        ("t->color", 5),
        ("t->color == GREEN", 1),
        ("t->b3", -2),
        ("t->b5", 21),
        ("t->b40", -1),
        ("t->left", -1),
        ("t->right", 4_294_967_295),
        ("t->flag", 1),
        ("((struct thing *)arg1)->i", -42),
        ("((struct thing *)t->next)->in.numbers[0]", 1),
        ("t[0].i", -42),
        ("t->text[1]", i64::from(b'e')),
        ("t->in.name[5]", i64::from(b's')),
        ("t->user_text[0]", i64::from(b'f')),
        ("t->i + t->next->i", 35),
        ("t->next->i / (t->i + 40)", -38),
        ("t->i < 0 && t->next->i > 0", 1),
        ("t->next->next ? t->next->next->i : -1", -1),
        ("$task == (struct task_struct *)0xffff888000009000", 1),
        ("t->opaque != 0", 1),
    ] {
        assert_eq!(number(expression), Output::Number(expected), "{expression}");
    }
}

#[test]
fn faults() {
    for expression in [
        "t->next->next->i",
        "*(int *)0",
        "t->i / (count - 5)",
        "t->i % (count - 5)",
        "((struct thing *)arg1@user)->i",
        "t->next->next->i + 1 > 0 || 1",
    ] {
        assert_eq!(number(expression), Output::Fault, "{expression}");
        assert!(!passes(expression), "{expression}");
        assert!(!passes(&format!("!({expression})")), "{expression}");
    }
    // What is not reached can't fault.
    assert!(passes("1 || t->next->next->i"));
    assert!(passes("!(t->next->next && t->next->next->i)"));
    assert_eq!(text("t->next->next->text"), Output::Fault);
    assert_eq!(text("(char *)5"), Output::Fault);
}

#[test]
fn one_fault_leaves_the_other_values() {
    let compiled = compiled("f \"%d %d %s %d %s\", n, t->next->next->i, (char *)1, count, t->text");
    assert_eq!(
        kernel_machine().values(&compiled),
        [
            Output::Number(-10),
            Output::Fault,
            Output::Fault,
            Output::Number(5),
            Output::Text("hello".to_owned()),
        ]
    );
}

#[test]
fn texts() {
    let expected = |text: &str| Output::Text(text.to_owned());
    assert_eq!(text("t->text"), expected("hello"));
    assert_eq!(text("t->text + 1"), expected("ello"));
    assert_eq!(text("t->user_text"), expected("from user space"));
    assert_eq!(text("t->in.name"), expected("full sixteen by!"));
    assert_eq!(text("$comm"), expected("postgres"));
    assert_eq!(text("(char *)t->text@user"), Output::Fault);
}

#[test]
fn comparisons_of_texts() {
    for (predicate, expected) in [
        ("STRCMP(\"hello\", t->text)", true),
        ("STRCMP(t->text, \"hello\")", true),
        ("STRCMP(\"hell\", t->text)", false),
        ("STRCMP(\"hell*\", t->text)", true),
        ("STRCMP(\"hello!\", t->text)", false),
        ("STRCMP(\"help*\", t->text)", false),
        ("STRCMP(\"\", t->text)", false),
        ("STRCMP(\"*\", t->text)", true),
        ("!STRCMP(\"hello\", t->text)", false),
        ("STRCMP(\"from user space\", t->user_text)", true),
        ("STRCMP(\"full sixteen by!\", t->in.name)", true),
        ("STRCMP(\"full sixteen by\", t->in.name)", false),
        ("STRCMP(\"full*\", t->in.name)", true),
        ("STRCMP(\"postgres\", $comm)", true),
        ("STRCMP(\"post*\", $comm)", true),
        ("STRCMP(\"post\", $comm)", false),
        ("STRCMP(\"a name that is too long\", $comm)", false),
        ("STRCMP(\"hello\", t->text) && n == -10", true),
        ("(STRCMP(\"hello\", t->text) + 1) == 2", true),
        ("STRCMP(\"x\", (char *)0)", false),
        ("!STRCMP(\"x\", (char *)0)", false),
    ] {
        assert_eq!(passes(predicate), expected, "{predicate}");
    }
}

#[test]
fn long_texts_are_compared_to_their_ends() {
    let long: String = ('a'..='z').cycle().take(200).collect();
    let (world, _) = World::kernel();
    let site = unknown_function(Space::User, false);
    let memory = [long.as_bytes(), b"\0"].concat();
    let mut machine = Machine::new(168).user(0x1000, &memory).args(&[0x1000]);
    let mut changed = long.clone().into_bytes();
    changed[150] = b'!';
    let changed = String::from_utf8_lossy(&changed).into_owned();
    for (text, expected) in [
        (long.clone(), true),
        (changed, false),
        (long[..64].to_owned(), false),
        (long[..63].to_owned(), false),
        (format!("{}*", &long[..64]), true),
        (format!("{}*", &long[..130]), true),
        (format!("{long}x"), false),
    ] {
        let probe = format!("./x:f (STRCMP(\"{text}\", arg1))");
        let compiled = compile_at(&probe, &site, &world, Context::PtRegs).expect("it compiles");
        assert_eq!(machine.predicate(&compiled), expected, "{text}");
    }
}

#[test]
fn variables() {
    for (variable, expected) in [
        ("$uid", machine::UID),
        ("$gid", machine::GID),
        ("$pid", machine::TID),
        ("$tgid", machine::TGID),
        ("$cpu", machine::CPU),
    ] {
        let expected = Output::Number(expected as i64);
        assert_eq!(number(variable), expected, "{variable}");
    }
    let (world, ids) = World::kernel();
    let spec = TraceSpec::parse("f \"%d %d\", $pid, $tgid").expect("it parses");
    let sources = Sources {
        kernel: Some(&world),
        site: Some(&world),
    };
    for (device, expected) in [
        (4, [Output::Number(12), Output::Number(11)]),
        (5, [Output::Fault, Output::Fault]),
    ] {
        let options = Options {
            context: Context::PtRegs,
            text_bytes: 80,
            pid_namespace: Some(PidNamespace {
                device,
                inode: 0xf000_0001,
            }),
        };
        let compiled = compile(&spec, &site(&ids), sources, &options).expect("it compiles");
        assert_eq!(kernel_machine().values(&compiled), expected);
    }
}

#[test]
fn registers_of_unknown_type() {
    let (world, _) = World::kernel();
    let mut machine = Machine::new(168).user(0x5000, b"a text\0").args(&[
        0xffff_ffff,
        5_000_000_000,
        0x5000,
        u64::MAX,
    ]);
    let site = unknown_function(Space::User, false);
    let mut value = |format: &str, expression: &str| {
        let text = format!("c:f \"{format}\", {expression}");
        let compiled = compile_at(&text, &site, &world, Context::PtRegs).expect("it compiles");
        machine.values(&compiled).remove(0)
    };
    assert_eq!(value("%d", "arg1"), Output::Number(-1));
    assert_eq!(value("%lld", "arg1"), Output::Number(0xffff_ffff));
    assert_eq!(value("%u", "arg1"), Output::Number(0xffff_ffff));
    assert_eq!(value("%x", "arg2"), Output::Number(5_000_000_000));
    assert_eq!(value("%hhd", "arg1"), Output::Number(-1));
    assert_eq!(value("%hu", "arg1"), Output::Number(65_535));
    assert_eq!(value("%s", "arg3"), Output::Text("a text".to_owned()));
    // Numbers with a sign are taken for the `int` that they mostly are.
    for (expression, expected) in [
        ("arg1 == -1", 1),
        ("arg4 == -1", 1),
        ("arg1 < 0", 1),
        ("arg2 > 20000", 1),
        ("arg1 >= 0", 0),
        ("-1 == arg1", 1),
        ("0 > arg1", 1),
        ("arg2 == 5000000000", 1),
    ] {
        assert_eq!(
            value("%d", expression),
            Output::Number(expected),
            "{expression}"
        );
    }
}

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
        (
            8,
            false,
            OperandPlace::Address {
                base: 128,
                displacement: 16,
            },
        ),
    ]);
    let mut frame = vec![0; 64];
    frame[24..26].copy_from_slice(&(-77_i16).to_le_bytes());
    frame[40..44].copy_from_slice(&4_000_000_000_u32.to_le_bytes());
    let mut machine = Machine::new(168)
        .user(0x7000, &frame)
        .user(USER_TEXT, b"select 1\0")
        .user(0x40_0010, b"at rip\0")
        .context(112, &0xabcd_ffff_fffe_u64.to_le_bytes())
        .context(104, &USER_TEXT.to_le_bytes())
        .context(80, &0x1234_u64.to_le_bytes())
        .context(32, &0x7020_u64.to_le_bytes())
        .context(96, &2_u64.to_le_bytes())
        .context(128, &0x40_0000_u64.to_le_bytes());
    let text = "u:x:y \"%d %s %d %d %u %d %s\", arg1, arg2, arg3, arg4, arg5, arg6, arg8";
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
            Output::Text("at rip".to_owned()),
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
    assert_eq!(entry.bytes, 8 + 2 * 8);
    let mut at_entry = kernel_machine();
    let saved = at_entry.entry_values(&compiled);
    assert_eq!(saved, [-10_i64 as u64, -42_i64 as u64]);
    let mut at_return = Machine::new(168)
        .context(80, &(-2_i64).to_le_bytes())
        .saved(&[1000, saved[0], saved[1]]);
    assert!(at_return.predicate(&compiled));
    assert_eq!(
        at_return.values(&compiled),
        [-2, -10, -42, 1000].map(Output::Number)
    );
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

#[test]
fn macros_of_the_kernel_stand_for_their_fields() {
    let (world, ids) = World::kernel();
    let site = Site::Function(function(&[("sk", ids.sock_pointer)], ids.void));
    let mut sock = vec![0; 64];
    sock[12..14].copy_from_slice(&13_568_u16.to_le_bytes());
    let mut machine = Machine::new(168).kernel(THING, &sock).args(&[THING]);
    let text = "udpv6_sendmsg(struct sock *sk) (sk->sk_dport == 13568)";
    let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
    assert!(machine.predicate(&compiled));
}
