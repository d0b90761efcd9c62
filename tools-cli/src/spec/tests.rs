mod refused;

use proptest::prelude::*;

use super::{Function, Moment, Pattern, ProbeSpec, Syntax, Target};
use Syntax::{Glob, Regex};

/// One line that says everything about a target, so that tables of them can be read.
fn describe(target: &Target) -> String {
    match target {
        Target::KernelFunction(function) => format!("kernel {}", describe_function(function)),
        Target::UserFunction { binary, function } => {
            format!("user {binary} | {}", describe_function(function))
        }
        Target::Tracepoint(pattern) => format!("tracepoint {}", describe_pattern(pattern)),
        Target::Usdt {
            binary,
            provider,
            probe,
        } => {
            let provider = provider.as_ref().map_or("any".to_owned(), describe_pattern);
            format!("usdt {binary} | {provider} | {}", describe_pattern(probe))
        }
    }
}

fn describe_function(function: &Function) -> String {
    let moment = match function.moment {
        Moment::Entry => "entry",
        Moment::Return => "return",
    };
    format!(
        "{moment} {} +{}",
        describe_pattern(&function.name),
        function.offset
    )
}

fn describe_pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Literal(_) => format!("={pattern}"),
        Pattern::Glob(_) => format!("*{pattern}"),
        Pattern::Regex(_) => format!("~{pattern}"),
    }
}

fn accepts(syntax: Syntax, table: &[(&str, &str)]) {
    for (text, expected) in table {
        match ProbeSpec::parse(text, syntax) {
            Ok(spec) => {
                assert_eq!(describe(&spec.target), *expected, "{text}");
                assert_eq!(spec.text, *text);
            }
            Err(error) => panic!("{text} is refused: {error}"),
        }
    }
}

#[test]
fn kernel_functions() {
    accepts(
        Glob,
        &[
            ("vfs_read", "kernel entry =vfs_read +0"),
            ("p", "kernel entry =p +0"),
            ("vfs_*", "kernel entry *vfs_* +0"),
            ("*", "kernel entry ** +0"),
            ("p::vfs_read", "kernel entry =vfs_read +0"),
            ("r::vfs_read", "kernel return =vfs_read +0"),
            ("r::vfs_*", "kernel return *vfs_* +0"),
            ("name.isra.0", "kernel entry =name.isra.0 +0"),
            // Rust in the kernel.
            (
                "p::rust_binder::process::*",
                "kernel entry *rust_binder::process::* +0",
            ),
        ],
    );
}

#[test]
fn user_functions() {
    accepts(
        Glob,
        &[
            ("c:malloc", "user c | entry =malloc +0"),
            ("p:c:malloc", "user c | entry =malloc +0"),
            ("r:c:malloc*", "user c | return *malloc* +0"),
            ("stdc++:*", "user stdc++ | entry ** +0"),
            ("/usr/bin/node:gc*", "user /usr/bin/node | entry *gc* +0"),
            ("./prog:main", "user ./prog | entry =main +0"),
            ("p:p:foo", "user p | entry =foo +0"),
            ("p:t:foo", "user t | entry =foo +0"),
            ("größe:straße", "user größe | entry =straße +0"),
        ],
    );
}

#[test]
fn everything_after_the_binary_is_the_function() {
    accepts(
        Glob,
        &[
            (
                "./prog:ns::Foo::bar*",
                "user ./prog | entry *ns::Foo::bar* +0",
            ),
            ("p:./prog:ns::f", "user ./prog | entry =ns::f +0"),
            (
                "r:/usr/lib/x.so:std::vector*",
                "user /usr/lib/x.so | return *std::vector* +0",
            ),
            ("x:foo::bar", "user x | entry =foo::bar +0"),
            (
                "./prog:<T*as*Trait>::f",
                "user ./prog | entry *<T*as*Trait>::f +0",
            ),
        ],
    );
}

#[test]
fn offsets() {
    accepts(
        Glob,
        &[
            ("vfs_read+0x12", "kernel entry =vfs_read +18"),
            ("vfs_read+0XfF", "kernel entry =vfs_read +255"),
            ("vfs_read+18", "kernel entry =vfs_read +18"),
            ("vfs_read+010", "kernel entry =vfs_read +10"),
            ("vfs_read+0", "kernel entry =vfs_read +0"),
            ("p::vfs_read+18", "kernel entry =vfs_read +18"),
            ("c:malloc+4", "user c | entry =malloc +4"),
            ("stdc++:f.cold+4", "user stdc++ | entry =f.cold +4"),
            (
                "./prog:ns::Foo::~Foo+4",
                "user ./prog | entry =ns::Foo::~Foo +4",
            ),
            (
                "f+18446744073709551615",
                "kernel entry =f +18446744073709551615",
            ),
            // A function of C that is called so; no name of C++ ends in a number after `+`.
            ("./prog:operator+4", "user ./prog | entry =operator +4"),
        ],
    );
}

#[test]
fn a_plus_can_be_a_part_of_the_name() {
    accepts(
        Glob,
        &[
            ("./prog:operator+", "user ./prog | entry =operator+ +0"),
            ("./prog:operator+=", "user ./prog | entry =operator+= +0"),
            ("./prog:operator++", "user ./prog | entry =operator++ +0"),
            (
                "./prog:ns::operator+*",
                "user ./prog | entry *ns::operator+* +0",
            ),
            (
                "./prog:ns::operator+(ns::A)",
                "user ./prog | entry =ns::operator+(ns::A) +0",
            ),
            ("./prog:*operator+", "user ./prog | entry **operator+ +0"),
            ("./prog:f<(A)+(2)>", "user ./prog | entry =f<(A)+(2)> +0"),
            ("./prog:f<A+2>::g", "user ./prog | entry =f<A+2>::g +0"),
            ("./prog:operator->", "user ./prog | entry =operator-> +0"),
            ("./prog:operator-=", "user ./prog | entry =operator-= +0"),
            ("./prog:some-name", "user ./prog | entry =some-name +0"),
        ],
    );
}

#[test]
fn tracepoints_and_usdt() {
    accepts(
        Glob,
        &[
            ("t:sched:sched_fork", "tracepoint =sched:sched_fork"),
            ("t:sched:*", "tracepoint *sched:*"),
            ("t:*:*", "tracepoint **:*"),
            ("u:node:gc__start", "usdt node | any | =gc__start"),
            ("u:/usr/bin/node:gc*", "usdt /usr/bin/node | any | *gc*"),
            ("u:c:libc:setjmp", "usdt c | =libc | =setjmp"),
            ("u:./prog:my*:*", "usdt ./prog | *my* | **"),
            ("u:prog:function-2", "usdt prog | any | =function-2"),
        ],
    );
}

#[test]
fn regular_expressions() {
    accepts(
        Regex,
        &[
            ("^vfs_.*", "kernel entry ~^vfs_.* +0"),
            ("vfs_read", "kernel entry ~vfs_read +0"),
            ("^(?:a|b)$", "kernel entry ~^(?:a|b)$ +0"),
            (
                "vfs_(?:read|write)$",
                "kernel entry ~vfs_(?:read|write)$ +0",
            ),
            ("[[:alpha:]]+_read", "kernel entry ~[[:alpha:]]+_read +0"),
            ("r::(?:a|b)", "kernel return ~(?:a|b) +0"),
            ("c:(read|write)$", "user c | entry ~(read|write)$ +0"),
            ("stdc++:.*(?:new)", "user stdc++ | entry ~.*(?:new) +0"),
            (
                "p:/lib/ld-2.36_x.so.2:^a+",
                "user /lib/ld-2.36_x.so.2 | entry ~^a+ +0",
            ),
            (
                "r:./prog:std::vector.*",
                "user ./prog | return ~std::vector.* +0",
            ),
            ("./prog:ns::", "user ./prog | entry ~ns:: +0"),
            ("./prog:a(?:b|c)", "user ./prog | entry ~a(?:b|c) +0"),
            // No offset: one `d` or more, then a 4.
            ("read+4", "kernel entry ~read+4 +0"),
            ("r:c:read+4", "user c | return ~read+4 +0"),
            (
                "t:sched:sched_(fork|exec)",
                "tracepoint ~sched:sched_(fork|exec)",
            ),
            ("t:(sched|irq):.*", "tracepoint ~(sched|irq):.*"),
            ("u:node:gc.*", "usdt node | any | ~gc.*"),
            ("u:./prog:my:(?:a|b)", "usdt ./prog | =my | ~(?:a|b)"),
        ],
    );
}

#[test]
fn a_colon_after_any_part_of_a_regex_belongs_to_it() {
    for text in [
        "^a:b", "a$:b", "a|b:c", "(a:b)", "[a:b]", "a{2}:b", "a*:b", "a?:b", r"a\.:b",
    ] {
        accepts(Regex, &[(text, &format!("kernel entry ~{text} +0"))]);
    }
}

#[test]
fn a_tracepoints_regex_sees_category_and_event() {
    let spec = ProbeSpec::parse("t:sched:sched_(fork|exec)$", Regex).expect("valid");
    let Target::Tracepoint(pattern) = spec.target else {
        panic!("{spec:?}")
    };
    assert!(pattern.matches("sched:sched_fork"));
    assert!(!pattern.matches("sched:sched_forked"));
    assert!(!pattern.matches("x:sched:sched_fork"));
}

/// Texts made of what the parser looks for, which random ones hardly ever have.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "p",
        "r",
        "t",
        "u",
        ":",
        "::",
        "c",
        "./",
        "foo",
        "operator",
        "+",
        "-",
        "=",
        "0x12",
        "18",
        "*",
        "(",
        ")",
        "|",
        "?",
        "ä",
        "\u{301}",
        "\u{202e}",
        " ",
        "\n",
        "\\",
        "kprobe",
        "é",
        "[",
        "99999999999999999999",
    ]);
    prop_oneof![
        4 => prop::collection::vec(pieces, 0..9).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

fn syntaxes() -> impl Strategy<Value = Syntax> {
    prop_oneof![Just(Glob), Just(Regex)]
}

proptest! {
    #![proptest_config(crate::property::cases(4096))]

    #[test]
    fn no_text_panics_and_the_answer_is_always_the_same(text in texts(), syntax in syntaxes()) {
        let [one, two] = [(); 2].map(|()| format!("{:?}", ProbeSpec::parse(&text, syntax)));
        prop_assert_eq!(one, two);
    }

    #[test]
    fn carets_are_inside_the_line(text in texts(), syntax in syntaxes()) {
        let Err(error) = ProbeSpec::parse(&text, syntax) else { return Ok(()) };
        let shown = error.to_string();
        prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{:?}", shown);
        let lines: Vec<&str> = shown.lines().collect();
        let [_message, text_line, caret_line] = lines[..] else { panic!("{shown:?}") };
        let before = caret_line.chars().take_while(|c| *c == ' ').count();
        let carets = caret_line.chars().skip(before).take_while(|c| *c == '^').count();
        prop_assert!(before >= 2 && carets >= 1, "{}", shown);
        // No text has no character to mark.
        let columns = text_line.chars().count().max(3);
        prop_assert!(before + carets <= columns, "{}", shown);
        prop_assert!(error.snippet.span.end <= text.len());
        prop_assert!(text.get(error.snippet.span.clone()).is_some(), "{:?}", error);
    }

    #[test]
    fn what_is_accepted_has_no_empty_names_and_offsets_only_at_entry(text in texts(), syntax in syntaxes()) {
        let Ok(spec) = ProbeSpec::parse(&text, syntax) else { return Ok(()) };
        let check = |function: &Function| {
            let offset_fits = function.offset == 0
                || (function.moment == Moment::Entry && function.name.literal().is_some());
            offset_fits && !function.name.to_string().is_empty()
        };
        let holds = match &spec.target {
            Target::KernelFunction(function) => check(function),
            Target::UserFunction { binary, function } => !binary.is_empty() && check(function),
            Target::Tracepoint(pattern) => pattern.to_string().len() >= 3,
            Target::Usdt { binary, provider, probe } => {
                let provider_fits = provider.as_ref().is_none_or(|name| !name.to_string().is_empty());
                !binary.is_empty() && provider_fits && !probe.to_string().is_empty()
            }
        };
        prop_assert!(holds, "{:?}", spec);
    }

    #[test]
    fn whole_names_come_back_as_they_were(binary in "[a-z][a-z0-9+._/-]{1,9}", name in "[a-z_][a-z0-9_]{0,9}(::[a-z]{1,5}){0,2}") {
        let spec = ProbeSpec::parse(&format!("r:{binary}:{name}"), Glob);
        let target = spec.map(|spec| describe(&spec.target)).map_err(|error| error.to_string());
        prop_assert_eq!(target, Ok(format!("user {binary} | return ={name} +0")));
    }
}
