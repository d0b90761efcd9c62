//! stackcount: stacks of programs whose calls are known, each compared exactly.

mod counts;
mod kernel;
mod names;
mod output;
mod perf_maps;

use std::collections::BTreeMap;

use tests::{
    fixtures,
    process::{Finished, stackcount},
};

/// Stacks as folded lines from `main` on (libc has no frame pointers, and what it calls its parts
/// differs), and how often each was counted.
pub(crate) type Folded = BTreeMap<String, u64>;

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

pub(crate) fn leaf() -> String {
    format!("{}:stk_leaf", fixture("stacks"))
}

/// The stacks of `stacks WHAT…`.
pub(crate) fn stacks_of(options: &[&str], probe: &str, program: &[&str]) -> (Folded, Finished) {
    let stacks = fixture("stacks");
    let mut arguments = vec!["-f"];
    arguments.extend(options);
    arguments.extend([probe, "--", &stacks]);
    arguments.extend(program);
    let finished = Finished::of(stackcount(&arguments));
    assert!(finished.status.success(), "{finished:#?}");
    (folded(&finished.stdout), finished)
}

/// What a run with `--json` has written.
fn rows(finished: &Finished) -> Vec<serde_json::Value> {
    let lines = finished.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect()
}

/// The stacks in folded lines.
pub(crate) fn folded(stdout: &str) -> Folded {
    let mut stacks = Folded::new();
    for line in stdout.lines() {
        let (stack, count) = line.rsplit_once(' ').expect("a stack and its count");
        let count: u64 = count.parse().expect("a number");
        *stacks.entry(below_main(stack)).or_default() += count;
    }
    stacks
}

/// The frames from `main` on, without `run`, which the compiler puts into `main` or renames.
fn below_main(stack: &str) -> String {
    let frames: Vec<&str> = stack.split(';').collect();
    let main = frames
        .iter()
        .position(|&frame| frame == "main")
        .unwrap_or(0);
    let kept = frames[main..]
        .iter()
        .filter(|frame| !frame.starts_with("run"));
    kept.copied().collect::<Vec<_>>().join(";")
}

pub(crate) fn expected<const N: usize>(stacks: [(&str, u64); N]) -> Folded {
    stacks
        .map(|(stack, count)| (stack.to_owned(), count))
        .into()
}

fn paths() -> Folded {
    expected([
        ("main;stk_paths;stk_a;stk_leaf", 3),
        ("main;stk_paths;stk_b;stk_leaf", 5),
        ("main;stk_paths;stk_c;stk_leaf", 7),
    ])
}
