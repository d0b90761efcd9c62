//! Counts are exact: over threads, over millions of events, over intervals that end meanwhile.

use std::process::Command;

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, Live, Worker, counts, funccount},
};

fn calls(arguments: &[&str]) -> Command {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(arguments);
    command
}

#[test]
fn eight_threads_lose_nothing() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = format!("{calls}:pk_work");
    let finished = Finished::of(funccount(&[&probe, "--", calls, "work", "20000", "8"]));
    assert_eq!(finished.count("pk_work"), 160_000);
}

#[test]
fn ten_million_events_lose_nothing() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let event = "t:syscalls:sys_enter_getppid";
    let finished = Finished::of(funccount(&[event, "--", calls, "getppid", "1250000", "8"]));
    assert_all_counted(&finished, 10_000_000);
}

/// Each event is counted, or the kernel did not run the program and says so. It may do that since
/// 7.0, which preempts the programs of tracepoints, and skips those of other tasks meanwhile.
fn assert_all_counted(finished: &Finished, events: u64) {
    let counted = finished.count("syscalls:sys_enter_getppid");
    assert_eq!(counted + finished.missed(), events, "{finished:#?}");
    if Kernel::current().release < (7, 0) {
        assert_eq!(finished.missed(), 0);
    }
}

#[test]
fn intervals_that_end_meanwhile_neither_lose_nor_repeat() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let event = "t:syscalls:sys_enter_getppid";
    let arguments = ["-i", "0.01", event, "--", calls, "getppid", "500000", "4"];
    let finished = Finished::of(funccount(&arguments));
    assert_all_counted(&finished, 2_000_000);
    let tables = finished.stdout.matches("FUNC ").count();
    assert!(tables > 2, "{tables} tables are too few to show anything");
}

#[test]
fn an_interval_without_events_has_no_rows() {
    let mut worker = Worker::start(calls(&["--wait", "work", "5"]));
    let probe = format!("{}:pk_*", fixtures::path("calls").display());
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, &probe]));
    worker.work();
    let finished = live.interrupt();
    // pk_never is matched, and has no row.
    assert_eq!(finished.counts(), [("pk_work".to_owned(), 5)].into());
}

#[test]
fn several_patterns_count_each_their_own() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = format!("{calls}:pk_work");
    let patterns = [&probe, "t:syscalls:sys_enter_wait4", "c:fork"];
    let mut arguments = patterns.to_vec();
    arguments.extend(["--", calls, "fork", "50"]);
    let finished = Finished::of(funccount(&arguments));
    assert_eq!(finished.count("pk_work"), 50);
    assert_eq!(finished.count("syscalls:sys_enter_wait4"), 50);
}

#[test]
fn two_instances_on_the_same_function_do_not_disturb_each_other() {
    let mut worker = Worker::start(calls(&["--wait", "work", "100"]));
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let first = Live::start(funccount(&[&probe]));
    worker.work();
    let second = Live::start(funccount(&[&probe]));
    worker.work();
    assert_eq!(first.interrupt().count("pk_work"), 200);
    worker.work();
    assert_eq!(second.interrupt().count("pk_work"), 200);
}

#[test]
fn two_instances_on_the_same_kernel_function_do_not_either() {
    const FUNCTION: &str = "sched_getaffinity";

    if !Kernel::current().should_attach("kprobe.single") {
        let finished = Finished::of(funccount(&[FUNCTION]));
        return finished.assert_failure(1, "failed to attach any of 1 places");
    }
    let mut worker = Worker::start(calls(&["--wait", "affinity", "100"]));
    let pid = worker.pid().to_string();
    let first = Live::start(funccount(&["-p", &pid, FUNCTION]));
    worker.work();
    let second = Live::start(funccount(&["-p", &pid, FUNCTION]));
    worker.work();
    assert_eq!(first.interrupt().count(FUNCTION), 200);
    worker.work();
    assert_eq!(second.interrupt().count(FUNCTION), 200);
}

#[test]
fn only_the_highest_counts_are_shown_when_asked() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = format!("{calls}:pk_work");
    let arguments = [
        "--top",
        "1",
        &probe,
        "t:syscalls:sys_enter_wait4",
        "--",
        calls,
        "work",
        "9",
    ];
    let finished = Finished::of(funccount(&arguments));
    assert_eq!(counts(&finished.stdout), [("pk_work".to_owned(), 9)].into());
}

#[test]
fn kernel_functions_are_counted_exactly_by_all_threads_at_once() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let command = ["sched_getaffinity", "--", calls, "affinity", "100000", "8"];
    for way in ["kprobe.multi", "kprobe", "kprobe.single", "fentry"] {
        let finished = Finished::of(funccount(&[&["--attach-with", way], &command[..]].concat()));
        if Kernel::current().should_attach(way) {
            let counted = finished.count("sched_getaffinity");
            assert_eq!(counted + finished.missed(), 800_000, "{way}: {finished:#?}");
            // The kernel skips a task's fentry program while another one's was preempted.
            assert!(finished.missed() == 0 || way == "fentry", "{finished:#?}");
        } else {
            finished.assert_failure(1, "failed to attach any of 1 places");
        }
    }
}

#[test]
fn hundreds_of_tracepoints_count_each_its_own_and_hold_nobody_up() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let events = "t:syscalls:sys_enter_*";
    let finished = Finished::of(funccount(&[events, "--", calls, "getppid", "1000"]));
    for (name, events) in [("getppid", 1000), ("exit_group", 1)] {
        let counted = finished.count(&format!("syscalls:sys_enter_{name}"));
        assert!(counted <= events, "{finished:#?}");
        assert!(counted + finished.missed() >= events, "{finished:#?}");
    }
    if Kernel::current().release < (7, 0) {
        assert_eq!(finished.missed(), 0);
    }
}

#[test]
fn a_command_has_the_limits_that_the_tool_was_given() {
    const LIMITS: &str = "ulimit -n; ulimit -l";
    const LOWER: &str = "ulimit -Sn 1000; ulimit -Sl 64; exec \"$@\"";

    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let counting = funccount(&[&probe, "--", "sh", "-c", LIMITS]);
    let mut lowered = Command::new("sh");
    lowered.args(["-c", LOWER, "sh"]);
    lowered
        .arg(counting.get_program())
        .args(counting.get_args());
    let finished = Finished::of(lowered);
    assert!(finished.status.success(), "{finished:#?}");
    let limits = "1000\n64\n";
    assert!(finished.stdout.starts_with(limits), "{finished:#?}");
}
