//! How often each stack is counted, and how stacks are told apart.

use std::process::Command;

use tests::{
    kernel::Kernel,
    process::{Finished, Live, Worker, stackcount},
};

use super::{expected, fixture, folded, leaf, paths, stacks_of};

#[test]
fn three_ways_to_a_function_are_three_stacks() {
    assert_eq!(stacks_of(&[], &leaf(), &["paths"]).0, paths());
}

#[test]
fn every_way_of_attaching_sees_the_caller() {
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        if Kernel::current().should_attach(way) {
            let (found, _) = stacks_of(&["--attach-with", way], &leaf(), &["paths"]);
            assert_eq!(found, paths());
        }
    }
}

#[test]
fn a_return_is_seen_from_the_caller() {
    let probe = format!("r:{}", leaf());
    let (found, _) = stacks_of(&[], &probe, &["paths"]);
    assert_eq!(
        found,
        expected([
            ("main;stk_paths;stk_a", 3),
            ("main;stk_paths;stk_b", 5),
            ("main;stk_paths;stk_c", 7),
        ]),
    );
}

#[test]
fn recursion_keeps_each_call() {
    let (found, _) = stacks_of(&[], &leaf(), &["recurse", "40"]);
    let stack = format!("main;{}stk_leaf", "stk_recurse;".repeat(40));
    assert_eq!(found, expected([(&stack, 1)]));
}

#[test]
fn a_stack_deeper_than_asked_for_is_cut_at_its_root() {
    let (found, _) = stacks_of(&["--depth", "127"], &leaf(), &["recurse", "200"]);
    let stack = format!("stacks;{}stk_leaf", "stk_recurse;".repeat(126));
    assert_eq!(found, expected([(&stack, 1)]));
    let (found, _) = stacks_of(&["--depth", "10"], &leaf(), &["recurse", "200"]);
    let stack = format!("stacks;{}stk_leaf", "stk_recurse;".repeat(9));
    assert_eq!(found, expected([(&stack, 1)]));
}

#[test]
fn threads_are_one_stack_whatever_their_number() {
    let (found, _) = stacks_of(&[], &leaf(), &["threads", "8"]);
    let [(stack, 8)] = &found.into_iter().collect::<Vec<_>>()[..] else {
        panic!("not one stack");
    };
    assert!(stack.ends_with(";thread;stk_a;stk_leaf"), "{stack}");
}

#[test]
fn children_are_one_stack_unless_asked_for_each() {
    let (found, _) = stacks_of(&[], &leaf(), &["fork", "6"]);
    // `run_children` is a frame or is not, as the compiler likes.
    let found: Vec<_> = found.into_iter().collect();
    let [(stack, 6)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(stack.ends_with(";stk_b;stk_leaf"), "{stack}");

    let stacks = fixture("stacks");
    let each = Finished::of(stackcount(&[
        "-P",
        "-U",
        &leaf(),
        "--",
        &stacks,
        "fork",
        "6",
    ]));
    let processes: Vec<&str> = each
        .stdout
        .lines()
        .filter(|line| line.starts_with("    stacks ["))
        .collect();
    assert_eq!(processes.len(), 6, "{each:#?}");
}

#[test]
fn a_hundred_thousand_stacks_are_told_apart() {
    // Room for all of them: how fast they are read depends on what else the machine does.
    let options = ["-U", "--buffer", "32768"];
    let (found, finished) = stacks_of(&options, &leaf(), &["distinct", "100000"]);
    assert_eq!(found.len(), 100_000, "{}", finished.stderr);
    assert!(found.values().all(|&count| count == 1));
    assert!(
        !finished.stderr.contains("did not count"),
        "{}",
        finished.stderr
    );
}

#[test]
fn what_does_not_fit_is_counted_and_said() {
    let (found, finished) = stacks_of(&["--stacks", "64"], &leaf(), &["distinct", "100"]);
    let lost = "did not count 36 events: the table of stacks is full, raise --stacks";
    assert_eq!(found.len(), 64, "{}", finished.stderr);
    assert!(finished.stderr.contains(lost), "{}", finished.stderr);
}

/// Counts the stacks of a program that eight threads come through at once, while one interval after
/// the other is taken: how many were counted, and what was said.
fn counted_at_once(probe: &str, what: &str, count: &str) -> (u64, Finished) {
    let calls = fixture("calls");
    let options = ["-f", "-U", "-i", "0.02", probe];
    let command = ["--", &calls, what, count, "8"];
    let finished = Finished::of(stackcount(&[&options[..], &command].concat()));
    assert!(finished.status.success(), "{finished:#?}");
    let stacks = folded(&finished.stdout);
    let rows = finished.stdout.lines().count();
    assert!(rows > 2 * stacks.len(), "{rows} of {}", stacks.len());
    (stacks.values().sum(), finished)
}

#[test]
fn eight_threads_lose_nothing_while_intervals_end() {
    let probe = format!("{}:pk_work", fixture("calls"));
    let (counted, finished) = counted_at_once(&probe, "work", "20000");
    assert_eq!(counted, 160_000, "{}", finished.stderr);
}

#[test]
fn millions_of_events_lose_nothing_while_intervals_end() {
    let probe = "t:syscalls:sys_enter_getppid";
    let (counted, finished) = counted_at_once(probe, "getppid", "250000");
    assert_eq!(counted + finished.missed(), 2_000_000, "{finished:#?}");
    if Kernel::current().release < (7, 0) {
        assert_eq!(finished.missed(), 0);
    }
}

#[test]
fn a_stack_that_is_new_on_two_cpus_at_once_is_counted_for_both() {
    let (found, finished) = stacks_of(&["-U"], &leaf(), &["together", "5000"]);
    assert_eq!(found.len(), 5000, "{}", finished.stderr);
    assert!(found.values().all(|&count| count == 2), "{found:?}");
    assert!(
        !finished.stderr.contains("did not count"),
        "{}",
        finished.stderr
    );
}

#[test]
fn intervals_add_up_to_all() {
    let mut worker = Command::new(fixture("stacks"));
    worker.args(["--wait", "paths"]);
    let mut worker = Worker::start(worker);
    let pid = worker.pid().to_string();
    let mut live = Live::start(stackcount(&["-f", "-i", "0.02", "-p", &pid, &leaf()]));
    let mut stdout = live.take_stdout();
    let mut output = String::new();
    for _ in 0..20 {
        worker.work();
        // The next interval has begun once something of this one is read.
        std::io::BufRead::read_line(&mut stdout, &mut output).expect("text");
    }
    let finished = live.interrupt();
    std::io::Read::read_to_string(&mut stdout, &mut output).expect("text");
    assert!(finished.status.success(), "{finished:#?}");
    let all = paths()
        .into_iter()
        .map(|(stack, count)| (stack, 20 * count))
        .collect();
    assert_eq!(folded(&output), all);
}
