//! What is traced changes under the tool's hands.

use std::{fs, io::BufRead as _, process::Command};

use tests::{
    fixtures,
    process::{Finished, Live, Worker, funccount, stackcount, trace},
};

use super::{fixture, work, worker};

#[test]
fn a_process_that_becomes_another_program_is_traced_on() {
    /// Should the run end with the first program, it does before so many events of the second.
    const EVENTS: usize = 50;

    let calls = fixture("calls");
    let mut command = Command::new("sh");
    let script = "echo ready; read go; exec \"$0\" --wait work 1";
    command.args(["-c", script, &calls]);
    let mut process = Worker::start(command);
    let pid = process.pid().to_string();
    let mut live = Live::start_until(trace(&["-v", "-p", &pid, &work()]), "Tracing ");
    let mut lines = live.take_stdout().lines().map_while(Result::ok).skip(1);
    process.start_work();
    process.expect("ready");
    for _ in 0..EVENTS {
        process.work();
        let line = lines.next().expect("it is traced on");
        assert!(line.contains(" pk_work "), "{line}");
    }
    assert!(process.end().success());
    assert!(live.wait().status.success());
}

#[test]
fn a_thousand_children_are_followed() {
    let mut worker = worker("fork", "1000");
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "--follow-forks", &work()]));
    worker.work();
    let finished = live.interrupt();
    assert_eq!(finished.count("pk_work"), 1000, "{finished:#?}");
    assert_eq!(finished.stderr.lines().count(), 2, "{finished:#?}");
}

#[test]
fn a_process_that_is_killed_in_a_probe_ends_the_run() {
    let mut endless = worker("work", "1000000000");
    let pid = endless.pid().to_string();
    let probe = work();
    let command = trace(&["-v", "-p", &pid, &probe]);
    let mut live = Live::start_until(command, "Tracing ");
    let mut output = live.take_stdout();
    endless.start_work();
    // The header, and events: it is at work, which is mostly in the probe.
    for _ in 0..3 {
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        assert!(!line.is_empty());
    }
    drop(endless);
    let reader = std::thread::spawn(move || output.lines().count());
    let finished = live.wait();
    assert!(finished.status.success(), "{}", finished.stderr);
    reader.join().expect("it reads on");
    // The place is as it was.
    let calls = fixture("calls");
    let after = Finished::of(funccount(&[&probe, "--", &calls, "work", "9"]));
    assert_eq!(after.count("pk_work"), 9);
}

#[test]
fn a_library_that_is_replaced_meanwhile_is_counted_on_and_keeps_its_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("libpkfixture.so");
    let other = folder.path().join("other");
    fs::copy(fixtures::path("libpkfixture.so"), &library).expect("copied");
    fs::copy(fixtures::path("calls"), &other).expect("copied");
    let mut command = Command::new(fixtures::path("loader"));
    command.arg(&library).arg("25");
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let probe = format!("{}:pk_library_work", library.display());
    let counting = Live::start(funccount(&["-p", &pid, &probe]));
    let stacks = Live::start(stackcount(&["-f", "-U", "-p", &pid, &probe]));
    worker.work();
    fs::rename(&other, &library).expect("replaced");
    worker.work();
    assert_eq!(counting.interrupt().count("pk_library_work"), 50);
    let stacks = stacks.interrupt();
    assert!(stacks.status.success(), "{stacks:#?}");
    let counts = stacks.stdout.lines().map(|line| {
        let (stack, count) = line.rsplit_once(' ').expect("a stack and its count");
        assert!(stack.ends_with(";pk_library_work"), "{stacks:#?}");
        count.parse::<u64>().expect("a number")
    });
    assert_eq!(counts.sum::<u64>(), 50, "{stacks:#?}");
}

#[test]
fn three_tools_at_once_on_a_function_see_all_of_it() {
    let mut worker = worker("work", "500");
    let probe = work();
    let counting = [(); 2].map(|()| Live::start(funccount(&[&probe])));
    let stacks = Live::start(stackcount(&["-f", &probe]));
    let events = Live::start_until(trace(&["-v", &probe]), "Tracing ");
    worker.work();
    for live in counting {
        assert_eq!(live.interrupt().count("pk_work"), 500);
    }
    let stacks = stacks.interrupt();
    let counts = stacks
        .stdout
        .lines()
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 500, "{stacks:#?}");
    let events = events.interrupt();
    assert_eq!(
        events.stdout.matches(" pk_work ").count(),
        500,
        "{}",
        events.stderr
    );
}
