//! The options of stackcount that no other module looks at, and the kinds of probes it takes.

use tests::{
    fixtures,
    process::{Finished, Live, Worker, stackcount},
};

fn calls() -> String {
    fixtures::path("calls").to_str().expect("text").to_owned()
}

/// Counts stacks of `calls WHAT 30`.
fn run(arguments: &[&str], what: &str) -> Finished {
    let calls = calls();
    let command = ["--", &calls, what, "30"];
    let finished = Finished::of(stackcount(&[arguments, &command].concat()));
    assert!(finished.status.success(), "{finished:#?}");
    finished
}

/// How often folded stacks were counted that end with the function `leaf` called by `main`.
fn folded(finished: &Finished, leaf: &str) -> u64 {
    let (caller, leaf) = (";main;", format!(";{leaf} "));
    let lines = finished.stdout.lines();
    let stacks = lines.filter(|line| line.contains(caller) && line.contains(&leaf));
    let counts = stacks.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn usdt_probes_are_counted_by_their_stacks() {
    let probe = format!("u:{}:plain", calls());
    let finished = run(&["-f", &probe], "usdt");
    assert_eq!(folded(&finished, "fire"), 30, "{finished:#?}");
}

#[test]
fn functions_are_chosen_by_a_regular_expression() {
    let probe = format!("{}:pk_(work|never)$", calls());
    let finished = run(&["-f", "-r", &probe], "work");
    assert_eq!(folded(&finished, "pk_work"), 30, "{finished:#?}");
    // Without the option it is a name, and there is none such.
    Finished::of(stackcount(&["-f", &probe])).assert_failure(1, "no function of ");
}

#[test]
fn offsets_are_shown_when_asked_for() {
    let probe = format!("{}:pk_work", calls());
    let shown = |options: &[&str]| {
        let finished = run(&[options, &["-U", &probe]].concat(), "work");
        let lines = finished.stdout.lines();
        let frames = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        // A library may be without symbols.
        let frames = frames.filter(|line| !line.contains("[unknown]"));
        frames.map(str::to_owned).collect::<Vec<_>>()
    };
    let with = shown(&["-s"]);
    assert_eq!(with[0], "  pk_work+0x0");
    // All the others are behind a call.
    let is_behind = |frame: &String| frame.contains("+0x") && !frame.ends_with("+0x0");
    assert!(
        with.len() > 2 && with[1..].iter().all(is_behind),
        "{with:?}"
    );
    let without = shown(&[]);
    assert_eq!(without[0], "  pk_work");
    assert_eq!(with.len(), without.len());
}

#[test]
fn tables_begin_with_the_time_when_asked_for() {
    let probe = format!("{}:pk_work", calls());
    let first_line = |options: &[&str]| {
        let finished = run(&[options, &["-U", &probe]].concat(), "work");
        finished
            .stdout
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let time = first_line(&["-T"]);
    let digits = time
        .split(':')
        .map(|part| part.len() == 2 && part.parse::<u8>().is_ok());
    assert_eq!(digits.collect::<Vec<_>>(), [true; 3], "{time}");
    assert_eq!(first_line(&[]), "  pk_work");
}

#[test]
fn the_program_is_shown_when_asked_for() {
    let probe = format!("{}:pk_work", calls());
    for (option, is_shown) in [("--debug", true), ("-U", false)] {
        let finished = run(&[option, &probe], "work");
        let has_exit = finished.stderr.lines().any(|line| line.ends_with(": exit"));
        assert_eq!(has_exit, is_shown, "{finished:#?}");
    }
}

#[test]
fn chosen_processes_are_counted_each_on_its_own() {
    let start = || {
        let mut command = std::process::Command::new(calls());
        command.args(["--wait", "work", "30"]);
        Worker::start(command)
    };
    let (mut first, mut second) = (start(), start());
    let pids = [first.pid().to_string(), second.pid().to_string()];
    let probe = format!("{}:pk_work", calls());
    for (options, counts) in [
        (&["-p", &*pids[0], "-p", &*pids[1]][..], &["30", "30"][..]),
        (&["-P"], &["30", "30"]),
        (&["-p", &*pids[0]], &["30"]),
        (&[], &["60"]),
    ] {
        let live = Live::start(stackcount(&[options, &["-U", &probe]].concat()));
        first.work();
        second.work();
        let finished = live.interrupt();
        let lines = finished.stdout.lines().map(str::trim);
        let counted: Vec<&str> = lines.filter(|line| line.parse::<u64>().is_ok()).collect();
        assert_eq!(counted, counts, "{finished:#?}");
        let named = finished
            .stdout
            .contains(&format!("  calls [{}]\n", pids[0]));
        // Not one that is known, or where they are counted together.
        assert_eq!(named, counts.len() > 1, "{finished:#?}");
    }
}
