//! What is said of mistakes, word for word.

use super::{
    Context, compile_at,
    world::{Ids, World, function, tracepoint, unknown_function, usdt},
};
use crate::{
    compile::{OperandPlace, Options, Site, Sources, Space, compile},
    spec::TraceSpec,
};

fn site(ids: &Ids) -> Site {
    Site::Function(function(
        &[
            ("t", ids.thing_pointer),
            ("count", ids.int(4, true)),
            ("real", ids.float),
            ("b", ids.big),
        ],
        ids.void,
    ))
}

#[track_caller]
fn refuses_at(site: &Site, text: &str, expected: &str) {
    let (world, _) = World::kernel();
    let context = match site {
        Site::Tracepoint(_) => Context::Record,
        Site::Function(_) | Site::Usdt(_) => Context::PtRegs,
    };
    let error = compile_at(text, site, &world, context)
        .map(drop)
        .expect_err("it is a mistake");
    assert_eq!(error, expected);
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let (_, ids) = World::kernel();
    refuses_at(&site(&ids), text, expected);
}

#[test]
fn fields() {
    refuses(
        "f (t->nxt->i == 1)",
        "unknown field `nxt` of struct thing\n  \
         f (t->nxt->i == 1)\n        \
         ^^^ did you mean `next`?",
    );
    refuses(
        "f \"%d\", t->in.q",
        "unknown field `q` of struct inner\n  \
         f \"%d\", t->in.q\n                \
         ^ it has a, numbers, name",
    );
    refuses(
        "f \"%d\", t.i",
        "`.` where `->` belongs\n  \
         f \"%d\", t.i\n           \
         ^ write `->`",
    );
    refuses(
        "f \"%d\", t->in->a",
        "`->` where `.` belongs\n  \
         f \"%d\", t->in->a\n               \
         ^^ write `.`",
    );
    refuses(
        "f \"%d\", count->x",
        "`x` of int, which is not a structure or union\n  \
         f \"%d\", count->x\n          \
         ^^^^^",
    );
    refuses(
        "f \"%d\", t->opaque->x",
        "struct opaque is described nowhere\n  \
         f \"%d\", t->opaque->x\n          \
         ^^^^^^^^^",
    );
}

#[test]
fn names_and_types() {
    refuses(
        "f (cuont > 1)",
        "unknown name `cuont`\n  \
         f (cuont > 1)\n     \
         ^^^^^ did you mean `count`?",
    );
    refuses(
        "f (zzz > 1)",
        "unknown name `zzz`\n  \
         f (zzz > 1)\n     \
         ^^^ there are t, count, real, b",
    );
    refuses(
        "f (((struct thign *)arg1)->i)",
        "unknown type `thign`\n  \
         f (((struct thign *)arg1)->i)\n              \
         ^^^^^ did you mean `thing`?",
    );
    refuses(
        "f (((thing *)arg1)->i)",
        "unknown type `thing`\n  \
         f (((thing *)arg1)->i)\n       \
         ^^^^^ write `struct thing`",
    );
    let site = unknown_function(Space::User, false);
    refuses_at(
        &site,
        "c:f (size > 1)",
        "unknown name `size`\n  \
         c:f (size > 1)\n       \
         ^^^^ the parameters' names are not known here: write arg1, arg2, …",
    );
    refuses_at(
        &site,
        "c:f (arg1->x)",
        "`x` of a register of unknown type, which is not a structure or union\n  \
         c:f (arg1->x)\n       \
         ^^^^ cast it: `((struct x *)arg1)->x`",
    );
}

#[test]
fn a_cast_that_is_proposed_is_one_of_all_that_is_meant() {
    let site = unknown_function(Space::User, false);
    refuses_at(
        &site,
        "c:f (*(arg1 + 8) == 1)",
        "a register of unknown type where a pointer is needed\n  \
         c:f (*(arg1 + 8) == 1)\n         \
         ^^^^^^^^ cast it: `((struct x *)(arg1 + 8))`",
    );
    refuses_at(
        &site,
        "c:f ((arg1 + 8)->x)",
        "`x` of a register of unknown type, which is not a structure or union\n  \
         c:f ((arg1 + 8)->x)\n        \
         ^^^^^^^^ cast it: `((struct x *)(arg1 + 8))->x`",
    );
    refuses_at(
        &site,
        "c:f (*arg1@user)",
        "a register of unknown type where a pointer is needed\n  \
         c:f (*arg1@user)\n        \
         ^^^^^^^^^ cast it: `((struct x *)arg1@user)`",
    );
}

/// A number is not followed, even one that is made of a pointer; where it leads to says a cast.
#[test]
fn sums_with_arguments_are_numbers() {
    refuses(
        "f \"%d\", (arg1 + 8)->i",
        "`i` of unsigned long, which is not a structure or union\n  \
         f \"%d\", (arg1 + 8)->i\n           \
         ^^^^^^^^ cast it: `((struct x *)(arg1 + 8))->i`",
    );
    refuses(
        "f \"%d %s\", *(arg1 + 8), arg1 + 8",
        "unsigned long where a pointer is needed\n  \
         f \"%d %s\", *(arg1 + 8), arg1 + 8\n               \
         ^^^^^^^^ cast it: `((struct x *)(arg1 + 8))`\n\
         error: `%s` of unsigned long\n  \
         f \"%d %s\", *(arg1 + 8), arg1 + 8\n                          \
         ^^^^^^^^ write `%lu`, or cast it: `(char *)`",
    );
    refuses(
        "f \"%d\", arg1.i",
        "`.` where `->` belongs\n  \
         f \"%d\", arg1.i\n              \
         ^ write `->`",
    );
    refuses(
        "f \"%s\", arg1",
        "`%s` of struct thing *\n  \
         f \"%s\", arg1\n          \
         ^^^^ write `%p`, or cast it: `(char *)`",
    );
}

#[test]
fn names_of_members_are_found_in_a_structure_that_contains_itself() {
    refuses(
        "f (((struct tangled *)arg1)->zzzz)",
        "unknown field `zzzz` of struct tangled\n  \
         f (((struct tangled *)arg1)->zzzz)\n                               \
         ^^^^ it has deep, deep",
    );
}

#[test]
fn arguments() {
    refuses(
        "f (arg10 == 1)",
        "`arg10` is not available: only six arguments are in registers\n  \
         f (arg10 == 1)\n     \
         ^^^^^ there are arg1 to arg2",
    );
    refuses(
        "f (arg3 == 1)",
        "`arg3` is not available: the function does not have it\n  \
         f (arg3 == 1)\n     \
         ^^^^ there are arg1 to arg2",
    );
    refuses(
        "f (retval)",
        "`retval` is not available: this is not a return probe\n  \
         f (retval)\n     \
         ^^^^^^ write a probe that begins with `r:`",
    );
    refuses_at(
        &unknown_function(Space::User, true),
        "r:c:f (arg1)",
        "`arg1` is not available: the function has returned, and its arguments are gone\n  \
         r:c:f (arg1)\n         \
         ^^^^ write `$entry(arg1)` for its value at the function's entry",
    );
    refuses(
        "f \"%d %d\", $entry(count), $latency",
        "`$entry` is not available: this is not a return probe\n  \
         f \"%d %d\", $entry(count), $latency\n             \
         ^^^^^^^^^^^^^ write a probe that begins with `r:`\n\
         error: `$latency` is not available: this is not a return probe\n  \
         f \"%d %d\", $entry(count), $latency\n                            \
         ^^^^^^^^ write a probe that begins with `r:`",
    );
    let site = usdt(&[(
        8,
        true,
        OperandPlace::Unsupported("it is a floating-point number".to_owned()),
    )]);
    refuses_at(
        &site,
        "u:x:y \"%d %d\", arg1, arg12",
        "`arg1` is not available: it is a floating-point number\n  \
         u:x:y \"%d %d\", arg1, arg12\n                 \
         ^^^^\n\
         error: `arg12` is not available: the probe does not have it\n  \
         u:x:y \"%d %d\", arg1, arg12\n                       \
         ^^^^^ there is arg1",
    );
    refuses(
        "f \"%d %d\", real, b",
        "floating-point numbers (double) can't be read\n  \
         f \"%d %d\", real, b\n             \
         ^^^^\n\
         error: struct big where a number or pointer is needed\n  \
         f \"%d %d\", real, b\n                   \
         ^ read one of its members",
    );
}

#[test]
fn structures_in_registers() {
    let (_, ids) = World::kernel();
    let parameters = [("p", ids.pair), ("f", ids.point)];
    let site = Site::Function(function(&parameters, ids.pair));
    refuses_at(
        &site,
        "f \"%d %d %d\", p, &p.first, f.x",
        "struct pair where a number or pointer is needed\n  \
         f \"%d %d %d\", p, &p.first, f.x\n                \
         ^ read one of its members\n\
         error: what is in registers has no address\n  \
         f \"%d %d %d\", p, &p.first, f.x\n                   \
         ^^^^^^^^ read its members or elements\n\
         error: floating-point numbers (double) can't be read\n  \
         f \"%d %d %d\", p, &p.first, f.x\n                             \
         ^^^",
    );
}

#[test]
fn tracepoints() {
    let (_, ids) = World::kernel();
    let site = tracepoint(&ids, false);
    refuses_at(
        &site,
        "t:a:b (args->szie == 1)",
        "unknown field `szie` of the tracepoint\n  \
         t:a:b (args->szie == 1)\n               \
         ^^^^ did you mean `size`?",
    );
    refuses_at(
        &site,
        "t:a:b (size == 1)",
        "unknown name `size`\n  \
         t:a:b (size == 1)\n         \
         ^^^^ write `args->size`",
    );
    refuses_at(
        &site,
        "t:a:b (args->common_pid == 1)",
        "`common_pid` is not available: the kernel lets programs read no field before the eighth \
         byte\n  \
         t:a:b (args->common_pid == 1)\n         \
         ^^^^^^^^^^^^^^^^ write `$pid`",
    );
    refuses_at(
        &site,
        "t:a:b(int x) (x == 1)",
        "`a signature` is not available: a tracepoint has fields\n  \
         t:a:b(int x) (x == 1)\n       \
         ^^^^^^^ write `args->field`",
    );
    refuses(
        "f (args->x)",
        "unknown name `args`\n  \
         f (args->x)\n     \
         ^^^^ it is for tracepoints; write arg1, arg2, …",
    );
}

#[test]
fn conversions_and_types() {
    refuses(
        "f \"%s %s %d\", count, t, $comm",
        "`%s` of int\n  \
         f \"%s %s %d\", count, t, $comm\n                \
         ^^^^^ write `%d`\n\
         error: `%s` of struct thing *\n  \
         f \"%s %s %d\", count, t, $comm\n                       \
         ^ write `%p`, or cast it: `(char *)`\n\
         error: `%d` of the text $comm\n  \
         f \"%s %s %d\", count, t, $comm\n                          \
         ^^^^^ write `%s`",
    );
    refuses(
        "f \"%d\", t->in",
        "struct inner where a number or pointer is needed\n  \
         f \"%d\", t->in\n          \
         ^^^^^ read one of its members",
    );
    refuses(
        "f (t->text == \"x\")",
        "a text where a number is needed\n  \
         f (t->text == \"x\")\n                \
         ^^^ compare texts with STRCMP(\"text\", expression)",
    );
    refuses(
        "f (count / 0 || &t->b3)",
        "division by zero\n  \
         f (count / 0 || &t->b3)\n             \
         ^\n\
         error: a bit field has no address\n  \
         f (count / 0 || &t->b3)\n                  \
         ^^^^^^",
    );
    refuses(
        "f ((struct thing)count)",
        "struct thing where an integer or pointer type is needed\n  \
         f ((struct thing)count)\n      \
         ^^^^^^^^^^^^ write a `*` after it",
    );
    refuses(
        "f (STRCMP(\"x\", count))",
        "int where a text is needed\n  \
         f (STRCMP(\"x\", count))\n                 \
         ^^^^^ cast it if it points to one: `(char *)`",
    );
    refuses(
        "f (-t)",
        "struct thing * where an integer is needed\n  \
         f (-t)\n      \
         ^ cast it: `(long)`",
    );
}

#[test]
fn what_is_too_big_for_a_program() {
    let (world, ids) = World::kernel();
    let many = format!("f \"{}\"{}", "%d".repeat(65), ", count".repeat(65));
    let error = compile_at(&many, &site(&ids), &world, Context::PtRegs)
        .map(drop)
        .expect_err("too many");
    assert!(
        error.starts_with("too much for one program: a message has at most 64 values\n"),
        "{error}"
    );
}

#[test]
fn texts_that_are_too_long_together() {
    let (world, ids) = World::kernel();
    let text = format!("f \"{}\"{}", "%s".repeat(9), ", t->text".repeat(9));
    let spec = TraceSpec::parse(&text).expect("it parses");
    let options = Options {
        context: Context::PtRegs,
        text_bytes: Options::MAX_TEXT_BYTES,
        pid_namespace: None,
    };
    let sources = Sources {
        kernel: Some(&world),
        site: Some(&world),
    };
    let error = compile(&spec, &site(&ids), sources, &options)
        .map(drop)
        .expect_err("too long")
        .to_string();
    let expected = "too much for one program: it has too many instructions or values\n";
    assert!(error.starts_with(expected), "{error}");
}
