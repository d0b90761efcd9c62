//! USDT probes: several places as one row, semaphores, providers.

use std::process::Command;

use tests::{
    fixtures,
    process::{Finished, Live, Worker, funccount},
};

fn run(arguments: &[&str], what: &str) -> Finished {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let mut all = arguments.to_vec();
    all.extend(["--", calls, what, "300"]);
    Finished::of(funccount(&all))
}

fn probe(name: &str) -> String {
    format!("u:{}:{name}", fixtures::path("calls").display())
}

#[test]
fn three_places_of_a_probe_are_one_row() {
    let finished = run(&[&probe("plain")], "usdt");
    assert_eq!(finished.counts(), [("plain".to_owned(), 300)].into());
}

#[test]
fn a_semaphore_is_held_up_while_tracing() {
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        let finished = run(&["--attach-with", way, &probe("guarded")], "guarded");
        if tests::kernel::Kernel::current().should_attach(way) {
            assert_eq!(finished.count("guarded"), 300, "{way}");
        } else {
            finished.assert_failure(1, "failed to attach any of ");
        }
    }
}

#[test]
fn a_semaphore_is_let_go_afterwards() {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "guarded", "10"]);
    let mut worker = Worker::start(command);
    let live = Live::start(funccount(&[&probe("guarded")]));
    worker.work();
    assert_eq!(live.interrupt().count("guarded"), 10);
    // The program says itself whether it would fire.
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "semaphore", "1"]);
    let mut worker = Worker::start(command);
    worker.start_work();
    worker.expect("semaphore 0");
    worker.expect("done");
    let live = Live::start(funccount(&[&probe("guarded")]));
    worker.start_work();
    worker.expect("semaphore 1");
    worker.expect("done");
    let _ = live.interrupt();
    worker.start_work();
    worker.expect("semaphore 0");
}

#[test]
fn a_provider_narrows_and_patterns_widen() {
    let finished = run(&[&probe("fixture:pl*n")], "usdt");
    assert_eq!(finished.count("plain"), 300);
    run(&[&probe("other:plain")], "usdt").assert_failure(1, "no USDT probe of");
}

#[test]
fn a_provider_is_found_in_what_a_process_has_mapped() {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "usdt", "33"]);
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "u:fixture:plain"]));
    worker.work();
    assert_eq!(live.interrupt().count("plain"), 33);
}

#[test]
fn a_process_without_the_probe_is_told_and_costs_the_others_nothing() {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "usdt", "33"]);
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let mut other = Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("every system has it");
    let without = other.id().to_string();
    for pids in [[&pid, &without], [&without, &pid]] {
        let arguments = ["-p", pids[0], "-p", pids[1], "u:fixture:plain"];
        let live = Live::start(funccount(&arguments));
        worker.work();
        let finished = live.interrupt();
        assert_eq!(finished.count("plain"), 33);
        let note = format!("note: process {without} has no USDT probe of fixture that matches");
        assert!(finished.stderr.contains(&note), "{finished:#?}");
    }
    other.kill().expect("ours");
    other.wait().expect("ours");
}
