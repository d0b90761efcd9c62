//! Where room runs out: what was seen and what is told as lost are all there was.

use tests::process::{Finished, funccount, stackcount};

use super::{fixture, work};
use crate::stacks::leaf;

#[test]
fn stacks_that_come_faster_than_they_are_read_are_counted() {
    let stacks = fixture("stacks");
    let arguments = [
        "-f",
        "-U",
        "--buffer",
        "4",
        &leaf(),
        "--",
        &stacks,
        "distinct",
        "20000",
    ];
    let finished = Finished::of(stackcount(&arguments));
    let counts = finished
        .stdout
        .lines()
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    let seen: u64 = counts.sum();
    let lost = finished
        .stderr
        .split_once("did not count ")
        .expect("4 KiB hold few of them")
        .1;
    let (lost, reason) = lost.split_once(' ').expect("a number and a reason");
    assert!(reason.contains("raise --buffer"), "{}", finished.stderr);
    let lost: u64 = lost.replace(',', "").parse().expect("a number");
    assert_eq!(seen + lost, 20_000, "{}", finished.stderr);
}

#[test]
fn one_bad_probe_among_a_thousand_is_told_and_marked() {
    let good = work();
    let bad = format!("{}:pk_wrok", fixture("calls"));
    let mut probes = vec![good.as_str(); 1000];
    probes.insert(500, &bad);
    let finished = Finished::of(funccount(&probes));
    finished.assert_failure(1, "matches `pk_wrok`; did you mean `pk_work`");
}
