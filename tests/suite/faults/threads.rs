//! The system gives the tool no thread.

use tests::process::{Finished, funccount};

use super::{fixture, work};

#[test]
fn that_there_is_no_thread_to_attach_is_told() {
    // More than a process can address, so that none can be started.
    const STACK_BYTES: &str = "140737488355328";

    let mut command = funccount(&[&work(), "--", &fixture("calls"), "work", "1"]);
    command.env("RUST_MIN_STACK", STACK_BYTES);
    Finished::of(command).assert_failure(1, "failed to start a thread");
}
