use proptest::prelude::*;

use super::TraceSpec;
use crate::spec::{
    expr::{Expr, ExprKind, IntegerLiteral},
    format::{Form, Length, Piece},
};

fn read(text: &str) -> TraceSpec {
    TraceSpec::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn types_are_needed_where_something_is_named_or_followed() {
    for (text, expected) in [
        ("f \"%d %s\", arg1 + 8, arg2", false),
        ("f (-arg1 == ~arg2 && STRCMP(\"x\", arg3)) \"\"", false),
        ("f \"%d\", x", true),
        ("f \"%d\", arg1->x", true),
        ("f \"%d\", *arg1", true),
        ("f \"%d\", arg1[2] + 1", true),
        ("f(int x) \"%d\", arg1", true),
        ("f (arg1)", true),
    ] {
        assert_eq!(read(text).needs_types(), expected, "{text}");
    }
}

/// With parentheses around everything that has an operator.
fn describe(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Integer(IntegerLiteral { value, .. }) => value.to_string(),
        ExprKind::Character(value) => format!("'{value}'"),
        ExprKind::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        ExprKind::Argument(number) => format!("arg{number}"),
        ExprKind::Retval => "retval".to_owned(),
        ExprKind::Variable(variable) => format!("{variable:?}"),
        ExprKind::Entry(operand) => format!("entry{}", describe(operand)),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Unary(op, operand) => format!("({op:?} {})", describe(operand)),
        ExprKind::Binary(op, left, right) => {
            format!("({} {} {})", describe(left), op.symbol(), describe(right))
        }
        ExprKind::Conditional(condition, first, second) => format!(
            "({} ? {} : {})",
            describe(condition),
            describe(first),
            describe(second)
        ),
        ExprKind::Cast(ty, operand) => format!("(cast {:?} {})", ty.pointers, describe(operand)),
        ExprKind::SizeofType(ty) => format!("sizeof type {}", ty.pointers),
        ExprKind::SizeofExpr(operand) => format!("(sizeof {})", describe(operand)),
        ExprKind::Member {
            base,
            member,
            is_arrow,
        } => {
            let arrow = if *is_arrow { "->" } else { "." };
            format!("{}{arrow}{}", describe(base), member.text)
        }
        ExprKind::Index(base, index) => format!("{}[{}]", describe(base), describe(index)),
        ExprKind::StringCompare {
            text,
            is_prefix,
            operand,
        } => {
            let text = String::from_utf8_lossy(text);
            let star = if *is_prefix { "*" } else { "" };
            format!("STRCMP({text}{star}, {})", describe(operand))
        }
        ExprKind::User(operand) => format!("{}@user", describe(operand)),
    }
}

#[test]
fn precedence_is_that_of_c() {
    for (text, expected) in [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a | b ^ c & d", "(a | (b ^ (c & d)))"),
        ("a == b & c", "((a == b) & c)"),
        ("a << 1 + 2", "(a << (1 + 2))"),
        ("a < b == c < d", "((a < b) == (c < d))"),
        ("a || b && c", "(a || (b && c))"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("a ? b ? c : d : e", "(a ? (b ? c : d) : e)"),
        ("-a->b[1].c", "(Minus a->b[1].c)"),
        ("*a++b", ""),
        ("!a == b", "((Not a) == b)"),
        ("~-+a", "(Complement (Minus (Plus a)))"),
        ("&a->b", "(AddressOf a->b)"),
        ("* & a", "(Dereference (AddressOf a))"),
        ("(int)a + b", "((cast 0 a) + b)"),
        ("(struct x *)a->b", "(cast 1 a->b)"),
        ("((struct x *)a)->b", "(cast 1 a)->b"),
        ("(u64)-1", "(cast 0 (Minus 1))"),
        ("(a) - 1", "(a - 1)"),
        ("(a) * b", "(a * b)"),
        ("(a)b", "(cast 0 b)"),
        ("(a *)b", "(cast 1 b)"),
        ("(unsigned long int const **)b", "(cast 2 b)"),
        ("sizeof(int) + 1", "(sizeof type 0 + 1)"),
        ("sizeof(a)", "(sizeof a)"),
        ("sizeof a->b", "(sizeof a->b)"),
        ("sizeof(struct x *)", "sizeof type 1"),
        ("arg2@user", "arg2@user"),
        ("arg10", "arg10"),
        ("arg01", "arg01"),
        ("argument", "argument"),
        ("args->x", "args->x"),
        ("retval", "retval"),
        ("$entry(arg1 + 1) + $latency", "(entry(arg1 + 1) + Latency)"),
        ("STRCMP(\"a\\x41*\", arg1)", "STRCMP(aA*, arg1)"),
        ("STRCMP(arg1, \"\")", "STRCMP(, arg1)"),
        (
            "'a' + '\\0' + '\\xff' + '\\''",
            "((('97' + '0') + '-1') + '39')",
        ),
        (
            "0x1F + 017 + 0b11 + 10ULL + 0",
            "((((31 + 15) + 3) + 10) + 0)",
        ),
        ("\"x\"", "\"x\""),
    ] {
        let parsed = TraceSpec::parse(&format!("f ({text})"));
        if expected.is_empty() {
            assert!(parsed.is_err(), "{text}");
            continue;
        }
        let predicate = parsed.unwrap_or_else(|error| panic!("{error}")).predicate;
        assert_eq!(
            describe(&predicate.expect("there is one")),
            expected,
            "{text}"
        );
    }
}

#[test]
fn the_parts_of_a_probe() {
    let spec = read("p:c:write(int fd, char *buf) (arg1 == 1) \"%d %s\\n\", fd, buf");
    assert_eq!(spec.probe.text, "p:c:write");
    let signature = spec.signature.expect("there is one");
    let names = signature.parameters.iter().map(|parameter| {
        let name = parameter.name.as_ref().expect("it has one");
        (name.text.as_str(), parameter.type_name.pointers)
    });
    assert_eq!(names.collect::<Vec<_>>(), [("fd", 0), ("buf", 1)]);
    let predicate = spec.predicate.expect("there is one");
    assert_eq!(predicate.span.of(&spec.text), "arg1 == 1");
    let message = spec.message.expect("there is one");
    assert_eq!(message.args.len(), 2);
    assert_eq!(message.args[1].span.of(&spec.text), "buf");
    assert_eq!(message.format.len(), 4);
    assert_eq!(message.format[3], Piece::Text(b"\n".to_vec()));
}

#[test]
fn parts_may_be_left_out() {
    for (text, has_signature, has_predicate, has_message) in [
        ("vfs_read", false, false, false),
        ("vfs_read(void)", true, false, false),
        ("vfs_read (1)", false, true, false),
        ("vfs_read \"x\"", false, false, true),
        ("vfs_read\"x\"", false, false, true),
        (
            "vfs_read(struct file *f)\t(f)  \"%p\" , f",
            true,
            true,
            true,
        ),
        (
            "./x:ns::Foo::operator()(int a) \"%d\", a",
            true,
            false,
            true,
        ),
        (
            "./x:qsort(void *p, int (*compare)(const void *, const void *), ...)",
            true,
            false,
            false,
        ),
        ("kfree_skb_reason+0x12", false, false, false),
    ] {
        let spec = read(text);
        assert_eq!(spec.signature.is_some(), has_signature, "{text}");
        assert_eq!(spec.predicate.is_some(), has_predicate, "{text}");
        assert_eq!(spec.message.is_some(), has_message, "{text}");
    }
}

#[test]
fn bccs_own_examples_are_read() {
    for text in [
        "do_sys_openat2",
        "kfree_skb_reason+0x12",
        "do_sys_openat2 \"%s\", arg2@user",
        "ksys_read (arg3 > 20000) \"read %d bytes\", arg3",
        "r::do_sys_openat2 \"%llx\", retval",
        "c:open (arg2 == 42) \"%s %d\", arg1, arg2",
        "c:malloc \"size = %d\", arg1",
        "p:c:write (arg1 == 1) \"writing %d bytes to STDOUT\", arg3",
        "r::__kmalloc_noprof (retval == 0) \"kmalloc failed!\"",
        "r:c:malloc (retval) \"allocated = %x\", retval",
        "t:block:block_rq_complete \"sectors=%d\", args->nr_sector",
        "u:/path/to/postgres:query__start \"%s\", arg1",
        "u:pthread:pthread_create (arg4 != 0)",
        "p::do_nanosleep(struct hrtimer_sleeper *t) \"task %d\", t->task->pid",
        "p::hrtimer_nanosleep(ktime_t rqtp) \"sleep for %lld ns\", rqtp",
        "p::uprobe_register(struct inode *inode) \"a_ops = %llx\", inode->i_mapping->a_ops",
        "udpv6_sendmsg(struct sock *sk) (sk->sk_dport == 13568)",
        "mntns_install \"users = %d\", $task->fs->users",
        "p:c:inet_pton",
        "__x64_sys_sync \"sys_sync() called\"",
        "r:c:read \"%d of %d\", retval, $entry(arg3)",
    ] {
        read(text);
    }
}

#[test]
fn formats() {
    let conversion = |text: &str| {
        let spec = read(&format!("f \"{text}\", x"));
        match spec.message.expect("there is one").format.as_slice() {
            [Piece::Value(conversion)] => *conversion,
            pieces => panic!("{text}: {pieces:?}"),
        }
    };
    for (text, form, length) in [
        ("%d", Form::Signed, Length::Int),
        ("%i", Form::Signed, Length::Int),
        ("%hhd", Form::Signed, Length::Char),
        ("%hu", Form::Unsigned, Length::Short),
        ("%ld", Form::Signed, Length::Long),
        ("%llx", Form::Hex, Length::LongLong),
        ("%zX", Form::UpperHex, Length::Long),
        ("%o", Form::Octal, Length::Int),
        ("%c", Form::Character, Length::Int),
        ("%s", Form::Text, Length::Int),
        ("%p", Form::Pointer, Length::Int),
        ("%K", Form::KernelSymbol, Length::Int),
        ("%U", Form::UserSymbol, Length::Int),
    ] {
        let conversion = conversion(text);
        assert_eq!(
            (conversion.form, conversion.length),
            (form, length),
            "{text}"
        );
    }
    let all = conversion("%-+ #010.3lld");
    assert!(all.flags.left && all.flags.plus && all.flags.space);
    assert!(all.flags.alternate && all.flags.zero);
    assert_eq!((all.width, all.precision), (Some(10), Some(3)));
    assert_eq!(conversion("%.s").precision, Some(0));
    let spec = read("f \"100%% \\\"\\x41\\101\\n\"");
    let expected = [Piece::Text(b"100% \"AA\n".to_vec())];
    assert_eq!(spec.message.expect("there is one").format, expected);
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = TraceSpec::parse(text).expect_err("it is a mistake");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn mistakes_have_their_place_and_remedy() {
    refuses(
        "x:foo:bar (arg1 = 1)",
        "unknown kind `x`: expected p, r, t or u\n  \
         x:foo:bar (arg1 = 1)\n  \
         ^ write `p:foo:bar`\n\
         error: `=` would change a value, and probes only read\n  \
         x:foo:bar (arg1 = 1)\n                  \
         ^ write `==` to compare",
    );
    refuses(
        "f (arg1 > ) \"%d %y\", $pidd, 1 +, 08",
        "expected an expression, found `)`\n  \
         f (arg1 > ) \"%d %y\", $pidd, 1 +, 08\n            \
         ^\n\
         error: unknown conversion `%y`\n  \
         f (arg1 > ) \"%d %y\", $pidd, 1 +, 08\n                  \
         ^^ there are %d %i %u %x %X %o %c %s %p %K %U, with h, l before them, and %%\n\
         error: unknown variable `$pidd`\n  \
         f (arg1 > ) \"%d %y\", $pidd, 1 +, 08\n                       \
         ^^^^^ there are $uid, $gid, $pid, $tgid, $cpu, $task, $comm, $latency, $entry(…)\n\
         error: expected an expression, found `,`\n  \
         f (arg1 > ) \"%d %y\", $pidd, 1 +, 08\n                                 \
         ^\n\
         error: invalid number `08`: it has a character that is no digit\n  \
         f (arg1 > ) \"%d %y\", $pidd, 1 +, 08\n                                   \
         ^^ write `42`, `0x2a` or `052`",
    );
    refuses(
        "f \"%d %s\", arg1",
        "no expression for `%s`: the format has 2 conversions and 1 expression follow\n  \
         f \"%d %s\", arg1\n        \
         ^^ add an expression after a `,`, or write `%%` for a percent sign",
    );
    refuses(
        "f \"%K\"",
        "no expression for `%K`: the format has 1 conversion and 0 expressions follow\n  \
         f \"%K\"\n     \
         ^^ give it an address; the options -K and -U print stacks",
    );
    refuses(
        "f \"x\", arg1",
        "no conversion for `arg1`: the format has 0 conversions and 1 expression follow\n  \
         f \"x\", arg1\n         \
         ^^^^ add a conversion such as `%d` to the format, or remove it",
    );
    refuses(
        "f(arg1 == 1)",
        "expected a signature right after the spec, found an expression\n  \
         f(arg1 == 1)\n   \
         ^ put a space before a predicate",
    );
    refuses(
        "f arg1 == 1",
        "expected a format, found `arg1`\n  \
         f arg1 == 1\n    \
         ^^^^ write a predicate in parentheses, a message in double quotes",
    );
    refuses(
        "f (arg1 \"%d\", arg1",
        "expected `)` or an operator, found `\"%d\"`\n  \
         f (arg1 \"%d\", arg1\n          \
         ^^^^",
    );
    refuses(
        "f (arg1",
        "unmatched `(`\n  \
         f (arg1\n    \
         ^ close the predicate",
    );
    refuses(
        "f \"%d",
        "missing closing `\"`\n  \
         f \"%d\n    \
         ^^^ close the text with a `\"`",
    );
    refuses(
        "f \"%d\" arg1",
        "expected `,` or an operator, found `arg1`\n  \
         f \"%d\" arg1\n         \
         ^^^^",
    );
    refuses(
        "f \"%f\", 1.5",
        "unknown conversion `%f`\n  \
         f \"%f\", 1.5\n     \
         ^^ floating-point numbers can't be read\n\
         error: invalid number `1.5`: there are no floating-point numbers here\n  \
         f \"%f\", 1.5\n          \
         ^^^ write `42`, `0x2a` or `052`",
    );
    refuses(
        "f (strlen(arg1) > 3)",
        "expected an operator, found `(`\n  \
         f (strlen(arg1) > 3)\n           \
         ^ functions can't be called",
    );
    refuses(
        "f(strct foo *p, int) (p)",
        "expected `,` or `)` in the signature, found `*`\n  \
         f(strct foo *p, int) (p)\n              \
         ^",
    );
    refuses(
        "f(int m[n][n]) (m)",
        "expected how many elements a row has, found `n`\n  \
         f(int m[n][n]) (m)\n             \
         ^ write a number",
    );
    refuses(
        "f(int m[3][4 + 1]) (m)",
        "expected the end of the array, found `+`\n  \
         f(int m[3][4 + 1]) (m)\n               \
         ^ write `]`",
    );
}

#[test]
fn nesting_has_an_end() {
    for text in [
        format!("f ({}1{})", "(".repeat(50_000), ")".repeat(50_000)),
        format!("f ({}1)", "- ".repeat(50_000)),
        format!("f (1{})", " + 1".repeat(50_000)),
        format!("f (a{})", "->a".repeat(50_000)),
        format!("f ({}1)", "1 ? ".repeat(50_000)),
        format!("f (1{})", " ? 1 : 1".repeat(50_000)),
        format!("f ({}1)", "(int)".repeat(50_000)),
        format!("f ({}1)", "sizeof ".repeat(50_000)),
        format!("f(int m{})", "[1]".repeat(50_000)),
    ] {
        let error = TraceSpec::parse(&text).expect_err("too deep").to_string();
        assert!(
            error.starts_with("expression nested too deeply"),
            "{}",
            &error[..80]
        );
    }
    read(&format!("f ({}1{})", "(".repeat(90), ")".repeat(90)));
    read(&format!("f (1{})", " + 1".repeat(90)));
}

#[test]
fn what_a_terminal_obeys_is_escaped_in_all_mistakes() {
    for text in ["f \"%\u{3}d %s\"", "f \"\", 'a\u{1b}'", "f\u{7} (x"] {
        let mistakes = TraceSpec::parse(text).expect_err("refused").to_string();
        assert!(
            !mistakes.contains(['\u{3}', '\u{7}', '\u{1b}']),
            "{mistakes:?}"
        );
    }
}

proptest! {
    #![proptest_config(crate::property::cases(4000))]

    #[test]
    fn no_text_is_too_odd(text in "\\PC*") {
        let _ = TraceSpec::parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_mixture_of_words_is_too_odd(
        words in prop::collection::vec(
            prop::sample::select(&[
                "f", "p:c:f", "(", ")", "[", "]", "\"", "\"%d %s\"", "\\", "'", "'a'", ",", ".", "->",
                "arg1", "retval", "$task", "$entry", "STRCMP", "sizeof", "struct", "int", "unsigned",
                "u64", "x", "*", "&", "+", "-", "!", "~", "?", ":", "<<", ">=", "==", "=", "&&", "||",
                "@user", "@", "1", "0x", "08", "9999999999999999999999", "%", "%%", "%-5.", " ", "é",
                "const", "void", "...", "__user", "\"a*\"", "/",
            ][..]),
            0..40,
        ),
        spaces in any::<u64>(),
    ) {
        let mut text = String::from("f ");
        for (at, word) in words.iter().enumerate() {
            text.push_str(word);
            if spaces >> (at % 64) & 1 == 1 {
                text.push(' ');
            }
        }
        let _ = TraceSpec::parse(&text).map_err(|error| error.to_string());
    }
}
