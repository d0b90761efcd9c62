//! What expressions give, case by case.

use probes_common::UNREADABLE;

use super::{
    Context, Machine, compile_at,
    machine::{self, Output},
    world::{Ids, World, function, unknown_function},
};
use crate::{
    compile::{Compiled, FunctionSite, Options, PidNamespace, Site, Sources, Space, compile},
    spec::TraceSpec,
};

pub(super) const THING: u64 = 0xffff_8880_0000_1000;
const NEXT: u64 = 0xffff_8880_0000_2000;
pub(super) const TEXT: u64 = 0xffff_8880_0000_3000;
pub(super) const USER_TEXT: u64 = 0x7f00_0000_3000;

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
    // level = HIGH.
    put(102, &[2]);
    put(104, &(-1_i32).to_le_bytes());
    put(108, &[1]);
    put(120, &0xffff_8880_dead_0000_u64.to_le_bytes());
    bytes
}

pub(super) fn kernel_machine() -> Machine {
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
        ("t->level == HIGH", 1),
        // What has fewer bits than an `int` is one in operations, whatever its type says.
        ("t->b5 - 30 < 0", 1),
        ("t->b5 > -1", 1),
        ("~t->b5 < 0", 1),
        ("-t->b5 < 0", 1),
        ("-t->level < 0", 1),
        ("t->level - 3 < 0", 1),
        ("t->u > -1", 0),
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
fn what_is_given_by_number_is_one_where_it_is_not_followed() {
    for (expression, expected) in [
        ("arg1->i", -42),
        ("(*arg1).i", -42),
        ("arg1[0].next->i", 77),
        ("arg1->in.numbers[2]", 21),
        ("&arg1->i == (u64)t + 8", 1),
        ("arg1 + 8 == (u64)t + 8", 1),
        ("8 + arg1 == (u64)t + 8", 1),
        ("arg1 - 8 == (u64)t - 8", 1),
        ("arg1 - arg1", 0),
        ("arg1 & 0xfff", 0),
        ("arg1 == t && t == arg1", 1),
        ("arg1 > 0", 1),
        ("*(int *)(arg1 + 8)", -42),
        ("t + 1 == (u64)t + 128", 1),
        ("(struct thing *)arg1 + 1 == (u64)t + 128", 1),
        ("(arg1 ? arg1 : 0) + 8 == (u64)t + 8", 1),
    ] {
        assert_eq!(number(expression), Output::Number(expected), "{expression}");
    }
}

#[test]
fn a_bit_field_of_an_enumeration_has_its_names() {
    let compiled = compiled("f \"%s %u\", t->level, t->b5");
    assert_eq!(kernel_machine().message(&compiled), "HIGH 21");
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
fn a_star_that_is_escaped_is_compared() {
    let (world, _) = World::kernel();
    let site = unknown_function(Space::User, false);
    for (text, of_star, of_more) in [
        ("ab*", true, true),
        (r"ab\*", true, false),
        (r"ab\x2a", true, false),
        (r"ab\052", true, false),
        (r"ab\**", true, true),
        (r"ab\x2a*", true, true),
        (r"ab\\*", false, false),
        ("a*b", false, false),
    ] {
        for (memory, expected) in [(b"ab*\0", of_star), (b"ab*c", of_more)] {
            let memory = [memory, &b"\0"[..]].concat();
            let mut machine = Machine::new(168).user(0x1000, &memory).args(&[0x1000]);
            for probe in [
                format!(r#"./x:f (STRCMP("{text}", arg1))"#),
                format!(r#"./x:f (STRCMP(arg1, ("{text}")))"#),
            ] {
                let compiled = compile_at(&probe, &site, &world, Context::PtRegs);
                let compiled = compiled.unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(machine.predicate(&compiled), expected, "{probe}");
            }
        }
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
fn a_condition_that_can_not_be_read_is_neither_true_nor_false() {
    for condition in [
        "*(int *)8 == 0",
        "!*(int *)8",
        "STRCMP(\"x\", (char *)0)",
        "!STRCMP(\"x\", (char *)0)",
    ] {
        let verdict = kernel_machine().verdict(&compiled(&format!("f ({condition})")));
        assert_eq!(verdict, UNREADABLE, "{condition}");
    }
    // What decides before is not in need of the rest.
    assert!(!passes("n != -10 && *(int *)8 == 0"));
    assert!(passes("n == -10 || *(int *)8 == 0"));
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
    // As printf takes them: the lower half, unless the length or the form says that it is all.
    for format in ["%u", "%x", "%X", "%o", "%d"] {
        assert_eq!(value(format, "arg2"), Output::Number(705_032_704));
    }
    for format in ["%lu", "%lx", "%llo", "%zu", "%p", "%K", "%U"] {
        assert_eq!(value(format, "arg2"), Output::Number(5_000_000_000));
    }
    assert_eq!(value("%c", "arg4"), Output::Number(255));
    // Sums are as the numbers in them.
    assert_eq!(value("%d", "arg1 + 1"), Output::Number(0));
    assert_eq!(value("%d", "arg1 - 1"), Output::Number(-2));
    assert_eq!(value("%d", "-arg1"), Output::Number(1));
    assert_eq!(value("%x", "arg2 + 1"), Output::Number(705_032_705));
    assert_eq!(value("%lx", "arg2 + 1"), Output::Number(5_000_000_001));
    assert_eq!(value("%x", "arg2 + 1ul"), Output::Number(5_000_000_001));
    assert_eq!(value("%s", "arg3 + 2"), Output::Text("text".to_owned()));
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
        ("arg1 - 1 == -2", 1),
        ("arg1 - 1 < 0", 1),
    ] {
        assert_eq!(
            value("%d", expression),
            Output::Number(expected),
            "{expression}"
        );
    }
}

/// Parameters of a program's function, and what it is called with.
fn function_of_program(ids: &Ids) -> (FunctionSite, Machine) {
    let parameters = [
        ("t", ids.thing_pointer),
        ("n", ids.int(4, true)),
        ("small", ids.int(1, true)),
        ("word", ids.int(8, true)),
        ("text", ids.char_pointer),
        ("color", ids.color),
    ];
    let site = FunctionSite {
        space: Space::User,
        ..function(&parameters, ids.int(8, true))
    };
    let machine = Machine::new(168)
        .user(TEXT, b"hello\0")
        .args(&[TEXT, 0xffff_fff6, 0x1ff, 0x5_0000_0007, TEXT, 5])
        .context(80, &0x5_ffff_fffd_u64.to_le_bytes());
    (site, machine)
}

/// The types of a program are read only if something asks for them.
#[test]
fn what_a_number_of_an_argument_means_does_not_depend_on_what_is_known() {
    let (world, ids) = World::kernel();
    let (known, mut machine) = function_of_program(&ids);
    for at_return in [false, true] {
        let known = Site::Function(FunctionSite {
            at_return,
            ..known.clone()
        });
        let unknown = unknown_function(Space::User, at_return);
        let (start, expressions) = match at_return {
            false => (
                "./x:f",
                &[
                    "arg1",
                    "arg2",
                    "arg3",
                    "arg4",
                    "arg6",
                    "arg1 + 8",
                    "arg1 - 8",
                    "8 + arg1",
                    "arg1 - arg5",
                    "arg2 + 1",
                    "arg2 / 2",
                    "arg2 >> 1",
                    "-arg2",
                    "~arg4",
                    "arg2 < 0",
                    "arg3 > 100",
                    "arg1 == -1",
                    "arg1 ? arg1 : 0",
                    "arg4 * 2",
                    "sizeof arg2",
                ][..],
            ),
            true => ("r:./x:f", &["retval", "retval + 8", "retval < 0"][..]),
        };
        for expression in expressions {
            for format in ["%d", "%ld", "%u", "%x", "%p", "%hhd", "%c"] {
                let text = format!("{start} \"{format}\", {expression}");
                let mut of = |site: &Site| {
                    let compiled = compile_at(&text, site, &world, Context::PtRegs);
                    machine.values(&compiled.unwrap_or_else(|error| panic!("{error}")))
                };
                assert_eq!(of(&known), of(&unknown), "{text}");
            }
        }
    }
}

#[test]
fn texts_of_programs_by_number() {
    let (world, ids) = World::kernel();
    let (known, mut machine) = function_of_program(&ids);
    let text = "./x:f \"%s %s\", arg1, arg5 + 1";
    let site = Site::Function(known);
    let compiled = compile_at(text, &site, &world, Context::PtRegs).expect("it compiles");
    let expected = ["hello", "ello"].map(|text| Output::Text(text.to_owned()));
    assert_eq!(machine.values(&compiled), expected);
}

#[test]
fn rows_of_arrays_that_are_given() {
    let (world, _) = World::kernel();
    let site = unknown_function(Space::User, false);
    let numbers: Vec<u8> = (0..24).flat_map(|n: i32| n.to_le_bytes()).collect();
    let addresses = [0x1000_u64, 0x1004, 0x1008, 0x100c].map(u64::to_le_bytes);
    let mut machine = Machine::new(168)
        .user(0x1000, &numbers)
        .user(0x2000, addresses.as_flattened())
        .user(0x3000, b"one\0two\0")
        .args(&[0x1000, 0x2000, 0x3000]);
    let start = "./x:f(int m[3][4], const int *p[][2], char names[2][4])";
    for (expression, expected) in [
        ("m[1][2]", 6),
        ("*m[2]", 8),
        ("**(m + 1)", 4),
        ("sizeof(m[0])", 16),
        ("&m[2] - m", 2),
        ("*p[1][1]", 3),
        ("names[1][0]", i64::from(b't')),
    ] {
        let text = format!("{start} \"%ld\", {expression}");
        let compiled = compile_at(&text, &site, &world, Context::PtRegs)
            .unwrap_or_else(|error| panic!("{error}"));
        let value = machine.values(&compiled).remove(0);
        assert_eq!(value, Output::Number(expected), "{expression}");
    }
    for (text, expected) in [
        (
            format!("{start} \"%s\", names[1]"),
            Output::Text("two".to_owned()),
        ),
        (
            "./x:f(int m[1][2][3][2]) \"%d\", m[0][1][2][1]".to_owned(),
            Output::Number(11),
        ),
    ] {
        let compiled = compile_at(&text, &site, &world, Context::PtRegs)
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(machine.values(&compiled), [expected], "{text}");
    }
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
