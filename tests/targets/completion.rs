//! Completion in real shells, on a terminal of their own: Tab is pressed, the line is run, and what
//! it runs says what it was given.

use std::path::Path;

use tests::process::probekit;

use crate::terminal::Terminal;

/// What is typed behind `funccount ` before each Tab and what the Tab adds, then what it gets.
const CASES: [(&[(&str, &str)], &str); 7] = [
    (&[("sched_getaffinit", "y")], "sched_getaffinity"),
    (&[("c:malloc_us", "able_size")], "c:malloc_usable_size"),
    (&[("'c:malloc_us", "able_size")], "c:malloc_usable_size"),
    (&[("r:c:malloc_us", "able_size")], "r:c:malloc_usable_size"),
    (
        &[("t:sysc", "alls:"), ("sys_enter_getpri", "ority")],
        "t:syscalls:sys_enter_getpriority",
    ),
    (&[("--attach-w", "ith")], "--attach-with"),
    // A command, as the shell completes it: a script, which has no probes.
    (&[("c:malloc -- zdif", "f")], "zdiff"),
];

/// Runs `setup`, each line of it, then all cases.
fn complete(mut shell: Terminal, setup: &[&str]) {
    for line in setup {
        shell.type_in(&format!("{line}\n"));
    }
    // Not as it is typed: the terminal shows that too.
    shell.type_in("echo REA''DY\n");
    shell.expect("READY");
    for (steps, expected) in CASES {
        shell.type_in("funccount ");
        for (typed, added) in steps {
            shell.type_in(typed);
            // Keys that are waiting make a Tab mean itself.
            shell.expect_each(typed);
            shell.type_in("\t");
            shell.expect_each(added);
        }
        shell.type_in("\n");
        shell.expect(&format!("GOT<{expected}>"));
    }
    shell.type_in("exit\n");
    assert_eq!(shell.wait(), Some(0));
}

fn path() -> String {
    let path: &Path = &probekit();
    let path = path.canonicalize().expect("it is there");
    path.to_str().expect("text").to_owned()
}

#[test]
fn bash() {
    complete(
        Terminal::start("bash --norc --noprofile -i"),
        &[
            &format!("source <({} completions bash)", path()),
            r#"funccount() { printf 'GOT<%s>\n' "$@"; }"#,
        ],
    );
}

#[test]
fn zsh() {
    complete(
        Terminal::start("zsh -f -i"),
        &[
            "autoload -Uz compinit; compinit -u -D",
            &format!("source <({} completions zsh)", path()),
            r#"funccount() { printf 'GOT<%s>\n' "$@"; }"#,
        ],
    );
}

#[test]
fn fish() {
    complete(
        Terminal::start("fish --no-config -i"),
        &[
            &format!("{} completions fish | source", path()),
            r#"function funccount; printf 'GOT<%s>\n' $argv; end"#,
        ],
    );
}
