//! What goes wrong around a run: each time the result is right or the error clear, and nothing is
//! lost silently or left behind.

mod diagnostics;
mod hostile;
pub(crate) mod killed;
mod losses;
mod machine;
mod memory;
mod outputs;
mod room;
mod targets;
mod threads;

use std::process::Command;

use tests::{fixtures, process::Worker};

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

/// The function that `calls work` calls.
fn work() -> String {
    format!("{}:pk_work", fixture("calls"))
}

/// `calls` that does `what` so often, on demand.
fn worker(what: &str, count: &str) -> Worker {
    let mut command = Command::new(fixture("calls"));
    command.args(["--wait", what, count]);
    Worker::start(command)
}
