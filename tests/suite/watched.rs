//! The tests themselves: what would wait for ever is ended, with all that it has started.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::Command,
    time::{Duration, Instant},
};

use tests::watchdog::Watchdog;

/// What it told would stand between a test's name and its result.
const QUIETLY: fn(&str) = |_| ();

#[test]
fn what_a_test_waits_for_in_vain_is_killed() {
    const SHORT: Duration = Duration::from_millis(50);

    let started = Instant::now();
    let watchdog = Watchdog::start(SHORT, QUIETLY);
    // The child of the child has the pipe too, and would keep it open.
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 1000; true"]);
    let output = shell.output().expect("every system has it");
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    assert!(watchdog.has_bitten());
    assert!(started.elapsed() >= SHORT);
}

#[test]
fn what_ends_in_time_is_left_alone() {
    let watchdog = Watchdog::start(Duration::from_secs(1000), QUIETLY);
    let status = Command::new("true").status();
    assert!(status.expect("every system has it").success());
    assert!(!watchdog.has_bitten());
}
