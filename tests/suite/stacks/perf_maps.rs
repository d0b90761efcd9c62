//! Names for code that is made at run time.

use std::{
    io::{BufRead as _, Read as _},
    process::Command,
};

use tests::process::{Live, Worker, stackcount};

use super::{fixture, leaf, stacks_of};

#[test]
fn code_made_at_run_time_has_the_names_of_its_perf_map() {
    let (found, _) = stacks_of(&[], &leaf(), &["jit", "Lcom/example;::run"]);
    let stacks: Vec<_> = found.into_iter().collect();
    let [(stack, 2)] = &stacks[..] else {
        panic!("{stacks:?}");
    };
    assert!(stack.ends_with(";Lcom/example:::run;stk_leaf"), "{stack}");
}

/// Counts the calls from code that `worker` makes at run time: one before there is a perf map, one
/// when there is. Then the worker ends. The line that was written after the first, and all others.
fn first_and_later(mut worker: Worker, interval: &str) -> (String, String) {
    let mut live = Live::start(stackcount(&["-f", "-i", interval, &leaf()]));
    let mut stdout = live.take_stdout();
    let mut first = String::new();
    worker.work();
    stdout.read_line(&mut first).expect("text");
    worker.work();
    assert!(worker.end().success());
    let finished = live.interrupt();
    assert!(finished.status.success(), "{finished:#?}");
    let mut later = String::new();
    stdout.read_to_string(&mut later).expect("text");
    (first, later)
}

#[test]
fn a_perf_map_that_is_written_late_gives_its_names_from_then_on() {
    let mut command = Command::new(fixture("stacks"));
    command.args(["--wait", "late", "named_late"]);
    let (first, later) = first_and_later(Worker::start(command), "0.02");
    assert!(first.contains(";[unknown]"), "{first}");
    assert!(later.ends_with(";named_late;stk_leaf 1\n"), "{later}");
}

#[test]
fn a_perf_map_in_a_container_is_found_even_when_the_container_is_gone() {
    // Process 1 in its own namespace, with its own /tmp.
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "mount -t tmpfs tmpfs {folder} && : > {folder}/stacks && \
         mount -o bind {stacks} {folder}/stacks && mount -o rbind {folder} /tmp && \
         exec /tmp/stacks --wait late named_inside",
        folder = folder.path().display(),
        stacks = fixture("stacks"),
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount", "sh", "-c", &script]);
    // By the end of the interval it has ended.
    let (first, later) = first_and_later(Worker::start(command), "1");
    assert!(first.contains(";[unknown]"), "{first}");
    assert!(later.ends_with(";named_inside;stk_leaf 1\n"), "{later}");
}
