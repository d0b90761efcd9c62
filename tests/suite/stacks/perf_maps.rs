//! Names for code that is made at run time.

use std::{
    io::{BufRead as _, Read as _},
    os::unix::fs::{chown, symlink},
    process::Command,
};

use tests::{
    process::{Live, Worker, stackcount},
    watchdog::wait_until,
};

use super::{fixture, leaf, stacks_of};
use crate::faults::killed::is_stopped;

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
fn code_that_is_replaced_at_run_time_has_its_new_name_from_then_on() {
    let mut command = Command::new(fixture("stacks"));
    command.args(["--wait", "again", "version"]);
    let (first, later) = first_and_later(Worker::start(command), "0.02");
    assert!(first.ends_with(";version1;stk_leaf 1\n"), "{first}");
    assert!(later.ends_with(";version2;stk_leaf 1\n"), "{later}");
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

/// Calls from code that `stacks` makes at run time, before there is a perf map and when there is. The
/// tool does not look before the map is made as `spoil`, given its path before and then `true`, wants it.
fn stacks_with_map_spoilt(spoil: &dyn Fn(&str, bool)) -> String {
    let mut command = Command::new(fixture("stacks"));
    command.args(["--wait", "late", "not_believed"]);
    let mut worker = Worker::start(command);
    let map = format!("/tmp/perf-{}.map", worker.pid());
    let live = Live::start(stackcount(&["-f", &leaf()]));
    worker.work();
    live.signal(libc::SIGSTOP);
    wait_until(|| is_stopped(live.pid()));
    spoil(&map, false);
    worker.work();
    spoil(&map, true);
    live.signal(libc::SIGCONT);
    let finished = live.interrupt();
    assert!(finished.status.success(), "{finished:#?}");
    std::fs::remove_file(&map).expect("it is there");
    finished.stdout
}

#[test]
fn a_perf_map_of_somebody_else_is_not_believed() {
    const NOBODY: u32 = 65_534;

    let shown = stacks_with_map_spoilt(&|_, _| ());
    assert!(shown.contains(";not_believed;stk_leaf 2\n"), "{shown}");
    let shown = stacks_with_map_spoilt(&|map, is_written| {
        if is_written {
            chown(map, Some(NOBODY), None).expect("we are root");
        }
    });
    assert!(shown.contains(";[unknown]"), "{shown}");
    assert!(!shown.contains("not_believed"), "{shown}");
}

#[test]
fn a_perf_map_that_leads_elsewhere_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = folder.path().join("map");
    let shown = stacks_with_map_spoilt(&|map, is_written| {
        if !is_written {
            symlink(&elsewhere, map).expect("there is none");
        }
    });
    assert!(elsewhere.exists());
    assert!(shown.contains(";[unknown]"), "{shown}");
    assert!(!shown.contains("not_believed"), "{shown}");
}
