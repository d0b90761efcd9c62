//! What is written beside the table, and what is refused.

use std::{fs, process::Command};

use tests::{
    kernel::Kernel,
    process::{Finished, Live, Worker, stackcount},
};

use super::{fixture, leaf, rows, stacks_of};

#[test]
fn json_and_a_flame_graph_hold_the_same() {
    let stacks = fixture("stacks");
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("graph.svg");
    let graph_path = graph.to_str().expect("text");
    let arguments = [
        "--json",
        "-U",
        "-P",
        "--flamegraph",
        graph_path,
        &leaf(),
        "--",
        &stacks,
        "paths",
    ];
    let finished = Finished::of(stackcount(&arguments));
    let rows = rows(&finished);
    let count_from = |caller: &str| -> u64 {
        let from = |row: &&serde_json::Value| row["user"][1]["symbol"] == caller;
        rows.iter()
            .filter(from)
            .filter_map(|row| row["count"].as_u64())
            .sum()
    };
    assert_eq!(
        ["stk_a", "stk_b", "stk_c"].map(count_from),
        [3, 5, 7],
        "{finished:#?}"
    );
    for row in &rows {
        assert_eq!(row["comm"], "stacks");
        assert_eq!(row["user"][0]["symbol"], "stk_leaf");
        assert_eq!(row["kernel"], serde_json::json!([]));
    }
    let graph = fs::read_to_string(graph).expect("a file");
    for text in [
        "stk_leaf",
        "stk_a (3 events, 20.00%)",
        "stk_c (7 events, 46.67%)",
    ] {
        assert!(graph.contains(text), "no {text} in the graph");
    }
}

#[test]
fn code_without_frame_pointers_is_noticed() {
    let program = fixture("calls-omit");
    let probe = format!("{program}:pk_work");
    let finished = Finished::of(stackcount(&[&probe, "--", &program, "work", "9"]));
    assert!(
        finished
            .stderr
            .contains("end before the start of their thread"),
        "{finished:#?}"
    );
    let (_, finished) = stacks_of(&[], &leaf(), &["paths"]);
    assert!(!finished.stderr.contains("end before"), "{finished:#?}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (arguments, text) in [
        (&["-K", "-U", "c:malloc"][..], "cannot be used with"),
        (&["-f", "-T", "c:malloc"], "a time is no stack"),
        (&["--buffer", "5", "c:malloc"], "power of two"),
        (&["--depth", "1", "c:malloc"], "1 is not in 2..=1024"),
    ] {
        Finished::of(stackcount(arguments)).assert_failure(2, text);
    }
    let too_deep = Finished::of(stackcount(&["--depth", "1000", "c:malloc"]));
    too_deep.assert_failure(1, "sysctl kernel.perf_event_max_stack=1000");
}

#[test]
fn a_graph_that_cannot_be_written_is_an_error() {
    let stacks = fixture("stacks");
    let arguments = [
        "--flamegraph",
        "/nowhere/graph.svg",
        &leaf(),
        "--",
        &stacks,
        "paths",
    ];
    let finished = Finished::of(stackcount(&arguments));
    finished.assert_failure(1, "failed to write the flame graph /nowhere/graph.svg");
    assert!(
        finished.stdout.contains("stk_leaf"),
        "the results come first: {finished:#?}"
    );
}

#[test]
fn the_program_that_is_shown_is_the_one_that_runs() {
    // Only the one that may be preempted takes a buffer, which is all atomic operations.
    let atomic_operations = |finished: &Finished| {
        assert!(finished.status.success(), "{finished:#?}");
        finished.stderr.matches("stxxadddw").count()
    };
    let (_, on_function) = stacks_of(&["--debug"], &leaf(), &["paths"]);
    let event = "t:syscalls:sys_enter_getppid";
    let on_tracepoint = Finished::of(stackcount(&["--debug", "-D", "0.01", event]));
    let on_tracepoint = atomic_operations(&on_tracepoint);
    assert!(on_tracepoint > 0);
    assert_eq!(
        atomic_operations(&on_function) > on_tracepoint,
        Kernel::current().release >= (6, 0)
    );
}

#[test]
fn a_graph_of_nothing_is_not_drawn() {
    let calls = fixture("calls");
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("graph.svg");
    let path = graph.to_str().expect("text");
    let probe = format!("{calls}:pk_never");
    let arguments = ["--flamegraph", path, &probe, "--", &calls, "none", "0"];
    let finished = Finished::of(stackcount(&arguments));
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    let note =
        format!("note: no stack was counted, so there is no flame graph: {path} is not written");
    assert!(finished.stderr.contains(&note), "{finished:#?}");
    assert!(!graph.exists());
}

#[test]
fn a_graph_shows_what_was_counted_though_nobody_reads_the_results() {
    let calls = fixture("calls");
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("graph.svg");
    let path = graph.to_str().expect("text");
    let mut command = Command::new(&calls);
    command.args(["--wait", "work", "10"]);
    let mut worker = Worker::start(command);
    let probe = format!("{calls}:pk_work");
    let mut live = Live::start(stackcount(&["--flamegraph", path, &probe]));
    worker.work();
    drop(live.take_stdout());
    let finished = live.wait();
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    let graph = fs::read_to_string(graph).expect("a file");
    assert!(graph.contains("pk_work (10 events"), "{graph}");
}
