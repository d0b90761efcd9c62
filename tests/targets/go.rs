//! A program that Go has built: it is recognised, entries are counted, returns are refused.

use tests::process::{Finished, funccount};

/// Counts `probe` while the program turns an object into a line for each of its parts.
fn run(probe: &str) -> Finished {
    let script = r#"echo '{"answer": 42}' | gron"#;
    Finished::of(funccount(&[probe, "--", "sh", "-c", script]))
}

#[test]
fn entries_are_counted_and_the_program_goes_on() {
    // Go's runtime calls it once, before anything else that is written in C.
    let finished = run("gron:x_cgo_init");
    assert_eq!(finished.count("x_cgo_init"), 1, "{finished:#?}");
    assert!(
        finished.stdout.contains("json.answer = 42;"),
        "{finished:#?}"
    );
}

#[test]
fn returns_are_refused() {
    run("r:gron:x_cgo_init").assert_failure(1, "is a Go program");
}
