use super::{Glob, Regex, describe};
use crate::spec::{ProbeSpec, Syntax};

/// What users see for each of `texts`, in one page, so that the test reads as they do.
fn errors(syntax: Syntax, texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| format!("\n{}\n", error(syntax, text)))
        .collect()
}

fn error(syntax: Syntax, text: &str) -> String {
    match ProbeSpec::parse(text, syntax) {
        Ok(spec) => panic!("{text} is taken for {}", describe(&spec.target)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn refused_kinds() {
    assert_eq!(
        errors(
            Glob,
            &[
                "x:foo:bar",
                "kprobe:vfs_read",
                "kprobe:ext4:ext4_read",
                "tracepoint:sched:sched_fork",
                "U:node:gc",
                "p:foo",
                "r:foo",
                "t:foo",
                "u:foo",
                "p:",
                "t:a:b:c",
                "u:a:b:c:d"
            ]
        ),
        r"
unknown kind `x`: expected p, r, t or u
  x:foo:bar
  ^ write `p:foo:bar`

unknown kind `kprobe`: expected p, r, t or u
  kprobe:vfs_read
  ^^^^^^ write `p::vfs_read`

unknown kind `kprobe`: expected p, r, t or u
  kprobe:ext4:ext4_read
  ^^^^^^ write `p::ext4_read`

unknown kind `tracepoint`: expected p, r, t or u
  tracepoint:sched:sched_fork
  ^^^^^^^^^^ write `t:sched:sched_fork`

unknown kind `U`: expected p, r, t or u
  U:node:gc
  ^ write `u:node:gc`

too few parts after kind `p`: expected `p:[library]:function`
  p:foo
  ^^^^^ write `p::foo` for a kernel function, `p:p:foo` for a function of a library called p

too few parts after kind `r`: expected `r:[library]:function`
  r:foo
  ^^^^^ write `r::foo` for a kernel function, `p:r:foo` for a function of a library called r

too few parts after kind `t`: expected `t:category:event`
  t:foo
  ^^^^^ write `t:category:foo` for a tracepoint, `p:t:foo` for a function of a library called t

too few parts after kind `u`: expected `u:library:[provider:]probe`
  u:foo
  ^^^^^ write `u:library:foo` for a USDT probe, `p:u:foo` for a function of a library called u

too few parts after kind `p`: expected `p:[library]:function`
  p:
  ^^ write `p::function` for a kernel function, `p:p:function` for a function of a library called p

too many parts after kind `t`: expected `t:category:event`
  t:a:b:c
       ^^ remove this

too many parts after kind `u`: expected `u:library:[provider:]probe`
  u:a:b:c:d
         ^^ remove this
"
    );
}

#[test]
fn refused_names() {
    assert_eq!(
        errors(
            Glob,
            &[
                "std::foo",
                "r:std::foo*",
                "std::",
                "*::foo",
                "./prog::foo",
                "./prog:a:b",
                "./prog:ns::",
                "p:::foo",
                "./prog",
                "r::/bin/ls",
                "lib*:foo"
            ]
        ),
        r"
no program or library before `std::foo`
  std::foo
  ^^^ write a program or library first: `./prog:std::foo`

no program or library before `std::foo*`
  r:std::foo*
    ^^^ write a program or library first: `r:./prog:std::foo*`

no program or library before `std::`
  std::
  ^^^ write a program or library first: `./prog:std::function`

no program or library before `*::foo`
  *::foo
  ^ write a program or library first: `./prog:*::foo`

unexpected `:` in a function's name
  ./prog::foo
         ^ write `./prog:foo`

unexpected `:` in a function's name
  ./prog:a:b
          ^ write `::`, and only between two names

unexpected `:` in a function's name
  ./prog:ns::
           ^^ write `::`, and only between two names

unexpected `:` in a function's name
  p:::foo
     ^ write `::`, and only between two names

no function after `./prog`
  ./prog
  ^^^^^^ write `./prog:function`

no function after `/bin/ls`
  r::/bin/ls
     ^^^^^^^ write `r:/bin/ls:function`

`*` in the name of a program or library
  lib*:foo
     ^ write a library's name, a program's name, or a path
"
    );
}

#[test]
fn refused_empty_parts() {
    assert_eq!(
        errors(
            Glob,
            &[
                ":",
                ":foo",
                "c:",
                "p::",
                "r:c:",
                "t::fork",
                "t:sched:",
                "u::probe",
                "u:lib:",
                "u:lib::probe",
                "u:lib:prov:"
            ]
        ),
        r"
empty program or library
  :
  ^ write `function` for a kernel function, or `./prog:function`

empty program or library
  :foo
  ^ write `foo` for a kernel function, or `./prog:foo`

empty function
  c:
   ^ write `*` for all

empty function
  p::
    ^ write `*` for all

empty function
  r:c:
     ^ write `*` for all

empty category
  t::fork
   ^ write `*` for all

empty event
  t:sched:
         ^ write `*` for all

empty program or library
  u::probe
   ^ write a library's name, a program's name, or a path

empty probe
  u:lib:
       ^ write `*` for all

empty provider
  u:lib::probe
       ^ leave out the `:` for any provider

empty probe
  u:lib:prov:
            ^ write `*` for all
"
    );
}

#[test]
fn refused_characters() {
    assert_eq!(
        errors(
            Glob,
            &[
                " vfs_read",
                "vfs_ read",
                "./prog:operator new*",
                "ä\u{a0}b",
                "vfs\0read",
                "a\tb",
                "\x1b[31mred"
            ]
        ),
        r"
unexpected whitespace ` `
   vfs_read
  ^ remove it

unexpected whitespace ` `
  vfs_ read
      ^ remove it

unexpected whitespace ` `
  ./prog:operator new*
                 ^ write `*` for a space in a name

unexpected whitespace `\u{a0}`
  ä\u{a0}b
   ^^^^^^ remove it

unexpected control character `\0`
  vfs\0read
     ^^ remove it

unexpected control character `\t`
  a\tb
   ^^ remove it

unexpected control character `\u{1b}`
  \u{1b}[31mred
  ^^^^^^ remove it
"
    );
    assert_eq!(
        errors(Regex, &["c:a b"]),
        r"
unexpected whitespace ` `
  c:a b
     ^ write `\s` for a space in a name
"
    );
}

#[test]
fn refused_offsets() {
    assert_eq!(
        errors(
            Glob,
            &[
                "vfs_read+",
                "vfs_read+x",
                "vfs_read+0x",
                "vfs_read+12a",
                "vfs_read+-4",
                "vfs_read-4",
                "vfs_read+18446744073709551616",
                "vfs_*+4",
                "./prog:f(int)+4",
                "vfs_read+4+4",
                "+4",
                "r::vfs_read+4",
                "r:c:read+0",
                "t:sched:sched_fork+4",
                "u:node:gc+4"
            ]
        ),
        r"
invalid offset `+`: the number is missing
  vfs_read+
          ^ write `+18` or `+0x12`

invalid offset `+x`: it is not a number
  vfs_read+x
          ^^ write `+18` or `+0x12`

invalid offset `+0x`: it is not a number
  vfs_read+0x
          ^^^ write `+18` or `+0x12`

invalid offset `+12a`: it is not a number
  vfs_read+12a
          ^^^^ write `+18` or `+0x12`

invalid offset `+-4`: it can't be negative
  vfs_read+-4
          ^^^ write `+18` or `+0x12`

invalid offset `-4`: it can't be negative
  vfs_read-4
          ^^ write `+18` or `+0x12`

invalid offset `+18446744073709551616`: it does not fit in 64 bits
  vfs_read+18446744073709551616
          ^^^^^^^^^^^^^^^^^^^^^ write `+18` or `+0x12`

unexpected offset `+4`: a pattern can name several functions
  vfs_*+4
       ^^ give it to the name of one function

unexpected offset `+4`: what is before it is not a plain name
  ./prog:f(int)+4
               ^^ give it to the name of one function

unexpected offset `+4`: what is before it is not a plain name
  vfs_read+4+4
            ^^ give it to the name of one function

unexpected offset `+4`: no function is before it
  +4
  ^^ write `function+0x12`

unexpected offset `+4`: a return has no place of its own
  r::vfs_read+4
             ^^ remove it, or use `p` for a place inside `vfs_read`

unexpected offset `+0`: a return has no place of its own
  r:c:read+0
          ^^ remove it, or use `p` for a place inside `read`

unexpected offset `+4`: a tracepoint is one place
  t:sched:sched_fork+4
                    ^^ remove it

unexpected offset `+4`: a USDT probe is one place
  u:node:gc+4
           ^^ remove it
"
    );
}

#[test]
fn refused_regular_expressions() {
    assert_eq!(
        errors(
            Regex,
            &[
                "vfs_(",
                "c:a)|(b",
                "std::foo.*",
                "x:foo:bar.*",
                "p:(?:a|b)",
                "t:sched_.*",
                "t:sched:",
                "c:"
            ]
        ),
        r"
invalid regular expression: found open group without closing ')'
  vfs_(
  ^^^^^ put a `\` before a character to mean itself

invalid regular expression: found closing ')' without matching '('
  c:a)|(b
    ^^^^^ put a `\` before a character to mean itself

no program or library before `std::foo.*`
  std::foo.*
  ^^^ write a program or library first: `./prog:std::foo.*`

unknown kind `x`: expected p, r, t or u
  x:foo:bar.*
  ^ write `p:foo:bar.*`

too few parts after kind `p`: expected `p:[library]:function`
  p:(?:a|b)
  ^^^^^^^^^ write `p::(?:a|b)` for a kernel function, `p:p:(?:a|b)` for a function of a library called p

too few parts after kind `t`: expected `t:category:event`
  t:sched_.*
  ^^^^^^^^^^ write `t:category:sched_.*` for a tracepoint, `p:t:sched_.*` for a function of a library called t

empty event
  t:sched:
         ^ write `.*` for all

empty function
  c:
   ^ write `.*` for all
"
    );
}

#[test]
fn errors_at_the_ends_of_lines() {
    assert_eq!(
        error(Glob, ""),
        "empty probe\n  \n  ^ write a function, such as `vfs_read`"
    );
    assert_eq!(
        error(Glob, "vfs_read "),
        "unexpected whitespace ` `\n  vfs_read \n          ^ remove it"
    );
}
