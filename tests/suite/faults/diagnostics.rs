//! What is told of single events that go wrong, when it is asked for, and what is not otherwise.

use std::thread;

use tests::process::{Finished, funccount, stackcount, trace};

use super::{fixture, work};
use crate::stacks::leaf;

/// As many losses of a kind are told on each CPU.
const TOLD: usize = 16;

/// What was told, without the numbers of threads, which must be there.
fn told(finished: &Finished) -> Vec<String> {
    let lines = finished.stderr.lines();
    let told = lines.filter_map(|line| line.strip_prefix("kernel: "));
    told.map(|line| {
        let (probe, rest) = line.split_once("thread ").expect("a thread");
        let (thread, what) = rest.split_once(": ").expect("what it is");
        assert!(thread.parse::<u32>().is_ok_and(|tid| tid > 0), "{line}");
        format!("{probe}{what}")
    })
    .collect()
}

fn traced(verbosity: &str, probe: &str, calls: &str) -> Finished {
    let fixture = fixture("calls");
    let command = ["--", fixture.as_str(), "work", calls];
    let finished = Finished::of(trace(&[&[verbosity, probe], command.as_slice()].concat()));
    assert!(finished.status.success(), "{finished:#?}");
    finished
}

#[test]
fn values_that_can_not_be_read_are_told_by_their_numbers() {
    let probe = format!(r#"{} "%d %s %s", arg1, (char *)(arg1 + 1), $comm"#, work());
    let finished = traced("-vv", &probe, "2");
    assert_eq!(
        told(&finished),
        ["pk_work: could not read value 2"; 2],
        "{finished:#?}"
    );
    assert!(told(&traced("-v", &probe, "2")).is_empty());
}

#[test]
fn conditions_that_can_not_be_read_are_told_and_counted() {
    let probe = format!(r#"{} (*(int *)8 != 3) "never""#, work());
    let total = "could not tell whether 2 events are to be shown: memory that the condition needs is \
                 not there";
    for (verbosity, lines) in [("-v", 0), ("-vv", 2)] {
        let finished = traced(verbosity, &probe, "2");
        let expected = vec!["pk_work: could not read what the condition needs"; lines];
        assert_eq!(told(&finished), expected, "{finished:#?}");
        assert!(finished.stderr.contains(total), "{finished:#?}");
        assert!(!finished.stdout.contains("never"), "{finished:#?}");
    }
}

#[test]
fn full_tables_are_told() {
    let stacks = fixture("stacks");
    let command = ["--", &stacks, "distinct", "4"];
    let options = ["-vv", "-U", "--stacks", "1", &leaf()];
    let finished = Finished::of(stackcount(&[options.as_slice(), &command].concat()));
    assert_eq!(
        told(&finished),
        ["the table of stacks is full"; 3],
        "{finished:#?}"
    );
    let calls = fixture("calls");
    let (one, two) = (work(), format!("{calls}:main"));
    let options = ["-vv", "--by", "thread", "--groups", "1", &two, &one];
    let command = ["--", &calls, "work", "3"];
    let finished = Finished::of(funccount(&[options.as_slice(), &command].concat()));
    assert_eq!(
        told(&finished),
        ["pk_work: the table of groups is full"; 3],
        "{finished:#?}"
    );
}

#[test]
fn of_many_losses_the_first_are_told_and_all_are_counted() {
    const EVENTS: usize = 100_000;
    let probe = format!(r#"{} "%s", (char *)8"#, work());
    let finished = traced("-vv", &probe, &EVENTS.to_string());
    let lines = told(&finished).len();
    let cpus = thread::available_parallelism().expect("Linux tells").get();
    assert!((TOLD..=TOLD * cpus).contains(&lines), "{lines}");
    assert!(
        finished
            .stderr
            .contains("could not read all values of 100,000 events"),
        "{}",
        finished.stderr
    );
}
