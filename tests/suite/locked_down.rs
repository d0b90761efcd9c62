//! A kernel that keeps its secrets from root (`lockdown=confidentiality`): what can be done is
//! done, the rest is told. `cargo xtask test` runs these on such a kernel, and only there.

use tests::{
    fixtures,
    process::{Finished, Live, Worker, funccount, stackcount, trace},
};

use crate::trace::messages;

fn worker(what: &str) -> Worker {
    let mut command = std::process::Command::new(fixtures::path("calls"));
    command.args(["--wait", what, "20"]);
    Worker::start(command)
}

/// Counts `probe` while the worker works.
fn count(probe: &str, what: &str) -> Finished {
    let mut worker = worker(what);
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, probe]));
    worker.work();
    live.interrupt()
}

#[test]
fn user_functions_are_counted() {
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    assert_eq!(count(&probe, "work").count("pk_work"), 20);
}

#[test]
fn kernel_functions_are_counted() {
    for probe in ["sched_getaffinity", "sched_getaffinit*"] {
        assert_eq!(count(probe, "affinity").count("sched_getaffinity"), 20);
    }
}

#[test]
fn arguments_are_traced() {
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let counted_up: Vec<String> = (0..20).map(|n| format!("first {n}")).collect();
    let zeros = vec!["first 0".to_owned(); 20];
    for (probe, what, expected) in [
        (probe.as_str(), "work", counted_up),
        ("sched_getaffinity", "affinity", zeros),
    ] {
        let mut worker = worker(what);
        let pid = worker.pid().to_string();
        let probe = format!(r#"{probe} "first %d", arg1"#);
        let live = Live::start_until(trace(&["-v", "-p", &pid, &probe]), "Tracing ");
        worker.work();
        let finished = live.interrupt();
        assert_eq!(messages(&finished), expected, "{finished:#?}");
    }
}

#[test]
fn what_needs_memory_of_the_kernel_is_refused_with_the_reason() {
    let reason = "; the kernel is locked down for confidentiality, which keeps its memory from \
                  programs";
    Finished::of(trace(&[r#"sched_getaffinity "%s", $task->comm"#])).assert_failure(1, reason);
}

#[test]
fn stacks_are_counted() {
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    for (probe, what, stack) in [
        (probe.as_str(), "work", "main;"),
        ("sched_getaffinity", "affinity", "do_syscall_64;"),
    ] {
        let mut worker = worker(what);
        let pid = worker.pid().to_string();
        let live = Live::start(stackcount(&["-f", "-p", &pid, probe]));
        worker.work();
        let finished = live.interrupt();
        let lines = finished.stdout.lines().filter(|line| line.contains(stack));
        let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), 20, "{finished:#?}");
        let told =
            "told apart by their addresses alone: the kernel is locked down for confidentiality";
        assert!(finished.stderr.contains(told), "{finished:#?}");
    }
}

#[test]
fn tracepoints_are_refused_with_the_reason() {
    let finished = Finished::of(funccount(&["t:sched:sched_switch"]));
    finished.assert_failure(1, "locked down for confidentiality");
}

#[test]
fn doctor_names_the_lockdown() {
    let mut command = std::process::Command::new(tests::process::probekit());
    command.arg("doctor");
    let finished = Finished::of(command);
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    for line in [
        "FAIL  lockdown                   confidentiality",
        "FAIL  tracepoints",
        "ok    functions of programs      by uprobe.multi",
    ] {
        assert!(finished.stdout.contains(line), "{line} in {finished:#?}");
    }
}

#[test]
fn a_command_is_refused_with_the_reason() {
    let finished = Finished::of(funccount(&["sched_getaffinity", "--", "true"]));
    finished.assert_failure(1, "locked down for confidentiality");
}
