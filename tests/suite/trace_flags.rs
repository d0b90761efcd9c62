//! trace's flags, each by what it changes.

use std::{
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tests::{
    fixtures,
    process::{Finished, Live, Worker, trace},
};

use crate::trace::messages;

const EVENT: &str = "t:syscalls:sys_enter_getppid";

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

/// Traces `arguments` of a command.
fn run(arguments: &[&str], command: &[&str]) -> Finished {
    let finished = Finished::of(trace(&[arguments, &["--"], command].concat()));
    assert!(finished.status.success(), "{finished:#?}");
    finished
}

/// Lines of three events, and the header above them, with `options`.
fn three_events(options: &[&str]) -> (String, Vec<String>) {
    let finished = run(
        &[options, &[EVENT]].concat(),
        &[&fixture("calls"), "getppid", "3"],
    );
    let mut lines = finished.stdout.lines().map(str::to_owned);
    let header = lines.next().expect("a header");
    let lines: Vec<String> = lines.collect();
    assert_eq!(lines.len(), 3, "{finished:#?}");
    (header, lines)
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// The first column as seconds; they do not decrease.
fn seconds(lines: &[String]) -> Vec<f64> {
    let seconds = lines
        .iter()
        .map(|line| first_word(line).parse().expect("seconds"));
    let seconds: Vec<f64> = seconds.collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
    seconds
}

fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later")
}

#[test]
fn tid_is_only_that_thread() {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "getppid", "10", "4"]);
    let mut worker = Worker::start(command);
    let tid = worker.pid().to_string();
    let live = Live::start_until(trace(&["-v", "-L", &tid, EVENT]), "Tracing ");
    worker.work();
    let finished = live.interrupt();
    let threads = finished.stdout.lines().skip(1);
    let threads = threads.map(|line| line.split_ascii_whitespace().nth(1));
    assert_eq!(
        threads.collect::<Vec<_>>(),
        [Some(tid.as_str()); 10],
        "{finished:#?}"
    );
}

#[test]
fn string_size_is_what_is_read_of_a_text() {
    let values = fixture("values");
    let probe = format!(r#"{values}:val_text "%s", (char *)arg1"#);
    for (options, length) in [
        (&["-Z", "4"][..], 3),
        (&[], 79),
        (&["-Z", "3000"], 2999),
        (&["-Z", "4096"], 4000),
    ] {
        let finished = run(&[options, &[&probe]].concat(), &[&values, "text"]);
        assert_eq!(messages(&finished), ["x".repeat(length)], "{options:?}");
    }
}

/// The processes whose writes are seen, while the tool itself writes what it sees of a worker's.
fn writers(options: &[&str]) -> (String, Vec<String>) {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "none", "1"]);
    let mut worker = Worker::start(command);
    let worker_pid = worker.pid().to_string();
    let event = ["-v", "t:syscalls:sys_enter_write"];
    let mut live = Live::start_until(trace(&[options, &event].concat()), "Tracing ");
    let lines = std::io::BufRead::lines(live.take_stdout()).map_while(Result::ok);
    let mut pids = lines.map(|line| first_word(&line).to_owned());
    let mut seen = Vec::new();
    // What is read of the worker's first write was written before the second.
    for _ in 0..2 {
        worker.work();
        seen.extend(pids.by_ref().take_while(|pid| *pid != worker_pid));
    }
    (live.pid().to_string(), seen)
}

#[test]
fn include_self_shows_what_the_tool_does() {
    let (tool, seen) = writers(&["-S"]);
    assert!(seen.contains(&tool), "no {tool} in {seen:?}");
    let (tool, seen) = writers(&[]);
    assert!(!seen.contains(&tool), "{tool} in {seen:?}");
}

#[test]
fn print_cpu_is_the_cpu() {
    let calls = fixture("calls");
    let probe = format!("{calls}:pk_work");
    let script = format!("taskset -c 0 {calls} work 1; taskset -c 1 {calls} work 2");
    let finished = run(&["-C", &probe], &["sh", "-c", &script]);
    let lines: Vec<String> = finished.stdout.lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("CPU PID     TID "), "{finished:#?}");
    let cpus: Vec<&str> = lines[1..].iter().map(|line| first_word(line)).collect();
    assert_eq!(cpus, ["0", "1", "1"], "{finished:#?}");
}

#[test]
fn timestamp_is_since_the_start() {
    let started = Instant::now();
    // bcc's: it goes before the time of day.
    let (header, lines) = three_events(&["-tT"]);
    assert!(header.starts_with("TIME     PID     TID "), "{header}");
    let longest = started.elapsed().as_secs_f64();
    let seconds = seconds(&lines);
    assert!(
        seconds.iter().all(|time| (0.0..=longest).contains(time)),
        "{seconds:?}, {longest}"
    );
}

#[test]
fn unix_timestamp_is_since_1970() {
    for options in [&["-t", "-u"][..], &["-u"], &["-utT"]] {
        check_unix_timestamp(options);
    }
}

fn check_unix_timestamp(options: &[&str]) {
    let started = since_1970().as_secs_f64();
    let (header, lines) = three_events(options);
    let ended = since_1970().as_secs_f64();
    assert!(
        header.starts_with(&format!("{:<17} PID     TID ", "TIME")),
        "{header}"
    );
    // As exact as both clocks are set when it starts.
    let seconds = seconds(&lines);
    assert!(
        seconds
            .iter()
            .all(|time| (started - 0.01..=ended + 0.01).contains(time)),
        "{started} {seconds:?} {ended}"
    );
}

#[test]
fn time_is_the_time_of_day() {
    let calls = fixture("calls");
    let mut command = trace(&["-T", EVENT, "--", &calls, "getppid", "1"]);
    // Five hours ahead of Greenwich.
    command.env("TZ", "XXX-5");
    let started = since_1970().as_secs();
    let finished = Finished::of(command);
    let ended = since_1970().as_secs();
    let header = finished.stdout.lines().next().unwrap_or_default();
    assert!(header.starts_with("TIME     PID "), "{finished:#?}");
    let event = finished.stdout.lines().nth(1).expect("an event");
    let time = first_word(event);
    let at = |seconds: u64| {
        let (hours, minutes) = (seconds / 3600 + 5, seconds / 60);
        format!("{:02}:{:02}:{:02}", hours % 24, minutes % 60, seconds % 60)
    };
    assert!(
        (started..=ended).any(|seconds| at(seconds) == time),
        "{finished:#?}"
    );
}

#[test]
fn address_is_shown_before_each_frame() {
    let values = fixture("values");
    let probe = format!(r#"{values}:val_function "%lx", arg1"#);
    let finished = run(&["-a", "-U", &probe], &[&values, "function"]);
    // The function is given its own address.
    let address = &messages(&finished)[0];
    let frame = finished.stdout.lines().nth(2).expect("a frame");
    let expected = format!("        {address:<16} val_function+0x0 ");
    assert!(frame.starts_with(&expected), "{finished:#?}");
    let finished = run(&["-U", &probe], &[&values, "function"]);
    let frame = finished.stdout.lines().nth(2).expect("a frame");
    assert!(frame.starts_with("        val_function+"), "{finished:#?}");
}

#[test]
fn bin_cmp_is_told_as_not_needed() {
    let calls = fixture("calls");
    let finished = run(&["-B", EVENT], &[&calls, "getppid", "2"]);
    assert!(finished.stderr.contains("-B not needed"), "{finished:#?}");
    assert_eq!(messages(&finished).len(), 2);
}
