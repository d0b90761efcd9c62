//! Whatever is written, compiling it ends with functions that are well-formed or with mistakes.

use proptest::prelude::*;

use super::{
    Context, compile_at, shape,
    world::{World, function, tracepoint, unknown_function, usdt},
};
use crate::compile::{OperandPlace, Site, Space};

const WORDS: [&str; 62] = [
    "t",
    "n",
    "b",
    "real",
    "t->next",
    "t->in",
    "t->text",
    "t->b3",
    "t->f",
    "t->opaque",
    "->i",
    ".a",
    "->in.name",
    "[",
    "]",
    "[0x7fffffffffffffff]",
    "(",
    ")",
    "arg1",
    "arg6",
    "arg12",
    "retval",
    "args->nr",
    "args->comm",
    "args->list",
    "args->numbers",
    "args->name",
    "args",
    "$task",
    "$comm",
    "$pid",
    "$latency",
    "$entry(",
    "STRCMP(\"ab*\", ",
    "STRCMP(\"abcdefgh\", ",
    "sizeof",
    "sizeof(",
    "(struct thing *)",
    "(struct big)",
    "(u8)",
    "(bool)",
    "(char *)",
    "(double)",
    "*",
    "&",
    "+",
    "-",
    "!",
    "~",
    "?",
    ":",
    "<<",
    ">=",
    "==",
    "/",
    "%",
    "&&",
    "||",
    "@user",
    "0",
    "0xffffffffffffffff",
    "GREEN",
];

proptest! {
    #![proptest_config(crate::property::cases(4000))]

    #[test]
    fn nothing_is_too_odd(
        expressions in prop::collection::vec(
            prop::collection::vec(prop::sample::select(&WORDS[..]), 1..8),
            2,
        ),
        which in 0..5,
        conversion in prop::sample::select(&["%d", "%s", "%hhx", "%p", "%c"][..]),
    ) {
        let (world, ids) = World::kernel();
        let mut known = function(
            &[("t", ids.thing_pointer), ("n", ids.int(4, true)), ("b", ids.big), ("real", ids.float)],
            ids.int(4, true),
        );
        let (site, context) = match which {
            0 => (Site::Function(known), Context::PtRegs),
            1 => {
                known.at_return = true;
                (Site::Function(known), Context::Trampoline)
            }
            2 => (unknown_function(Space::User, false), Context::PtRegs),
            3 => (tracepoint(&ids, true), Context::Record),
            _ => {
                let place = OperandPlace::Register(112);
                (usdt(&[(4, true, place.clone()), (8, false, place)]), Context::PtRegs)
            }
        };
        let [predicate, value] = [0, 1].map(|at: usize| expressions[at].concat());
        for text in [format!("f ({predicate})"), format!("f \"{conversion}\", {value}")] {
            if let Ok(compiled) = compile_at(&text, &site, &world, context) {
                shape::check_all(&compiled);
            }
        }
    }
}
