//! What results are written to is full, or gone.

use std::{fs::File, io, process::Command};

use tests::process::{Finished, Live, funccount, probekit, stackcount, trace};

use super::{fixture, work};

type Tool = fn(&[&str]) -> Command;

/// The ways of writing results, of all tools.
const WRITERS: [(Tool, &[&str]); 7] = [
    (funccount, &[]),
    (funccount, &["--json"]),
    (stackcount, &[]),
    (stackcount, &["-f"]),
    (stackcount, &["--json"]),
    (trace, &[]),
    (trace, &["--json"]),
];

/// What writes its results at once and ends.
const AT_ONCE: [&[&str]; 4] = [
    &["list", "c:malloc"],
    &["list", "--json", "c:malloc"],
    &["doctor"],
    &["doctor", "--json"],
];

fn at_once(arguments: &[&str]) -> Command {
    let mut command = Command::new(probekit());
    command.args(arguments);
    command
}

fn command((tool, options): (Tool, &[&str])) -> Command {
    let (probe, calls) = (work(), fixture("calls"));
    let mut arguments = options.to_vec();
    arguments.extend([&probe, "--", &calls, "work", "10"]);
    tool(&arguments)
}

#[test]
fn a_full_disk_is_told_with_what_was_to_be_written() {
    let commands = WRITERS.map(command).into_iter();
    for mut command in commands.chain(AT_ONCE.map(at_once)) {
        let full = File::options().write(true).open("/dev/full");
        command.stdout(full.expect("it is there"));
        let reason = "failed to write the results: No space left on device";
        Finished::of(command).assert_failure(1, reason);
    }
}

/// Each tool as it writes while a command goes on for ever, and holds the tool's standard error so long.
fn commands_that_go_on() -> [Command; 3] {
    const ENDLESS: &str = "\"$0\" work 10; exec sleep 1000";

    let (probe, calls) = (work(), fixture("calls"));
    let command = ["--", "sh", "-c", ENDLESS, &calls];
    let interval = ["-i", "0.01", &probe];
    [
        funccount(&[&interval[..], &command].concat()),
        stackcount(&[&interval[..], &command].concat()),
        trace(&[&[probe.as_str()][..], &command].concat()),
    ]
}

#[test]
fn a_command_is_asked_to_end_when_its_results_can_not_be_written() {
    for mut command in commands_that_go_on() {
        let full = File::options().write(true).open("/dev/full");
        command.stdout(full.expect("it is there"));
        let finished = Finished::of(command);
        finished.assert_failure(1, "failed to write the results: No space left on device");
        assert!(finished.stderr.contains("Detaching...\n"), "{finished:#?}");
    }
}

#[test]
fn a_command_is_asked_to_end_when_nobody_reads_its_results() {
    for mut command in commands_that_go_on() {
        let (reader, closed) = io::pipe().expect("a pipe");
        drop(reader);
        command.stdout(closed);
        let finished = Finished::of(command);
        assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
        assert!(finished.stderr.ends_with("Detaching...\n"), "{finished:#?}");
    }
}

#[test]
fn a_full_disk_under_a_flame_graph_is_told_after_the_results() {
    let finished = Finished::of(command((stackcount, &["-f", "--flamegraph", "/dev/full"])));
    let reason = "failed to write the flame graph /dev/full: No space left on device";
    finished.assert_failure(1, reason);
    assert!(finished.stdout.ends_with(";pk_work 10\n"), "{finished:#?}");
    assert!(finished.stderr.contains("Detaching...\n"), "{finished:#?}");
}

#[test]
fn a_closed_pipe_ends_each_tool_quietly() {
    let commands = WRITERS.map(command).into_iter();
    for mut command in commands.chain(AT_ONCE.map(at_once)) {
        let (reader, closed) = io::pipe().expect("a pipe");
        drop(reader);
        command.stdout(closed);
        assert_quiet(&Finished::of(command));
    }
}

fn assert_quiet(finished: &Finished) {
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert!(!finished.stderr.contains("error:"), "{finished:#?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
}

#[test]
fn a_pipe_that_is_closed_while_nothing_happens_ends_each_tool_quietly() {
    for (tool, options) in WRITERS {
        // Nothing else ends it, and it has nothing to write.
        let probe = work();
        let command = tool(&[options, &["-v", &probe]].concat());
        let mut live = Live::start_until(command, "Tracing ");
        drop(live.take_stdout());
        assert_quiet(&live.wait());
    }
}
