//! All functions of the kernel at a time: they attach, count and go, and the kernel takes no harm,
//! which is looked for in what it writes to its console.

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, funccount},
};

#[test]
fn all_functions_of_the_kernel_are_counted() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    // One by one, it would take as long as nobody waits.
    let way = "kprobe.multi";
    let arguments = ["--attach-with", way, "*", "--", calls, "affinity", "100"];
    let finished = Finished::of(funccount(&arguments));
    if !Kernel::current().should_attach(way) {
        return finished.assert_failure(1, "failed to attach any of ");
    }
    let counted = finished.count("sched_getaffinity");
    assert!(counted <= 100, "{counted}");
    assert!(counted + finished.missed() >= 100, "{}", finished.stderr);
    // A program that starts and ends goes through much of the kernel.
    assert!(finished.counts().len() > 300, "{}", finished.stdout);
}
