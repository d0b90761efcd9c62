//! Counts that are broken down: exact in each part, and in all of them together.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, funccount},
};

const GETPPID: &str = "t:syscalls:sys_enter_getppid";

fn calls() -> String {
    fixtures::path("calls").display().to_string()
}

fn rows(finished: &Finished) -> Vec<Value> {
    assert!(finished.status.success(), "{finished:#?}");
    let lines = finished.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect()
}

/// The sums of the rows by what is told beside the count.
fn sums(rows: &[Value], key: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let count = row["count"].as_u64().expect("a number");
        *sums.entry(row[key].to_string()).or_default() += count;
    }
    sums
}

fn by(what: &str, options: &[&str], probe: &str, command: &[&str]) -> Finished {
    let mut arguments = vec!["--json", "--by", what];
    arguments.extend(options);
    arguments.extend([probe, "--"]);
    arguments.extend(command);
    Finished::of(funccount(&arguments))
}

#[test]
fn each_of_eight_threads_has_its_row() {
    let calls = calls();
    let probe = format!("{calls}:pk_work");
    let finished = by("thread", &[], &probe, &[&calls, "work", "20000", "8"]);
    let rows = rows(&finished);
    let sums = sums(&rows, "tid");
    assert_eq!(sums.len(), 8, "{finished:#?}");
    assert!(sums.values().all(|count| *count == 20_000), "{finished:#?}");
    assert!(rows.iter().all(|row| row["comm"] == "calls"));
}

#[test]
fn each_process_and_the_name_that_it_has() {
    let calls = calls();
    let script = format!("{calls} work 5; {calls} work 7; ln -s {calls} $0; $0 work 8");
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("other").display().to_string();
    let probe = format!("{calls}:pk_work");
    let command = ["sh", "-c", &script, &other];
    let finished = by("process", &[], &probe, &command);
    let mut counts: Vec<u64> = sums(&rows(&finished), "pid").into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [5, 7, 8], "{finished:#?}");

    let again = ["sh", "-c", &script.replace("ln -s", "ln -sf"), &other];
    let finished = by("comm", &[], &probe, &again);
    let expected = [("\"calls\"".to_owned(), 12), ("\"other\"".to_owned(), 8)];
    assert_eq!(sums(&rows(&finished), "comm"), expected.into());
}

#[test]
fn each_cpu_has_its_row() {
    let calls = calls();
    let script = format!("taskset -c 0 {calls} work 11; taskset -c 1 {calls} work 7");
    let probe = format!("{calls}:pk_work");
    let finished = by("cpu", &[], &probe, &["sh", "-c", &script]);
    let expected = [("0".to_owned(), 11), ("1".to_owned(), 7)];
    assert_eq!(sums(&rows(&finished), "cpu"), expected.into());
}

#[test]
fn ten_million_events_by_cpu_lose_nothing_while_intervals_end() {
    let calls = calls();
    let command = [&calls, "getppid", "1250000", "8"];
    let finished = by("cpu", &["-i", "0.05"], GETPPID, &command);
    let rows = rows(&finished);
    let sums = sums(&rows, "cpu");
    let counted: u64 = sums.values().sum();
    assert_eq!(
        counted + finished.missed(),
        10_000_000,
        "{}",
        finished.stderr
    );
    if Kernel::current().release < (7, 0) {
        assert_eq!(finished.missed(), 0);
    }
    assert!(rows.len() > sums.len(), "no interval ended: {rows:?}");
}

#[test]
fn threads_that_share_a_row_lose_nothing_while_intervals_end() {
    let calls = calls();
    let command = [&calls, "getppid", "250000", "8"];
    for (what, key) in [("process", "pid"), ("comm", "comm")] {
        let finished = by(what, &["-i", "0.05"], GETPPID, &command);
        let rows = rows(&finished);
        let sums = sums(&rows, key);
        assert_eq!(sums.len(), 1, "{sums:?}");
        let counted: u64 = sums.values().sum();
        assert_eq!(counted + finished.missed(), 2_000_000, "by {what}");
        assert!(rows.len() > 1, "no interval ended: {rows:?}");
    }
}

#[test]
fn the_busiest_groups_are_shown_last() {
    let calls = calls();
    let script = format!("{calls} work 5; {calls} work 7; {calls} work 6");
    let probe = format!("{calls}:pk_work");
    let command = ["sh", "-c", &script];
    let finished = by("process", &["--top", "2"], &probe, &command);
    let counts: Vec<u64> = rows(&finished)
        .iter()
        .filter_map(|row| row["count"].as_u64())
        .collect();
    assert_eq!(counts, [6, 7], "{finished:#?}");
}

#[test]
fn what_a_full_table_did_not_count_is_told() {
    let calls = calls();
    let probe = format!("{calls}:pk_work");
    let command = [&calls, "work", "1000", "8"];
    let finished = by("thread", &["--groups", "3"], &probe, &command);
    let sums = sums(&rows(&finished), "tid");
    assert!(sums.len() < 8, "{finished:#?}");
    let counted: u64 = sums.values().sum();
    let lost = format!(
        "did not count {} events: the table of groups is full, raise --groups",
        // Less than a million.
        format!("{},{:03}", (8000 - counted) / 1000, (8000 - counted) % 1000)
            .trim_start_matches("0,")
    );
    assert!(finished.stderr.contains(&lost), "{finished:#?}");
}
