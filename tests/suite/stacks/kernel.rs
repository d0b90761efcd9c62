//! The kernel's part of stacks.

use std::process::Command;

use tests::{
    kernel::Kernel,
    process::{Finished, Live, Worker, funccount, stackcount, trace},
};

use super::fixture;

/// A tracepoint within `kernel_clone`.
const FORK: &str = "t:sched:sched_process_fork";

/// `calls` that forks so often, on demand.
fn forking(count: &str) -> Worker {
    let mut command = Command::new(fixture("calls"));
    command.args(["--wait", "fork", count]);
    Worker::start(command)
}

/// stackcount of what such a process forks, once our programs know what the kernel's unwinder knows.
fn stacks_of_forks(worker: &Worker) -> Live {
    let pid = worker.pid().to_string();
    let arguments = ["-v", "-K", "-f", "-p", &pid, FORK];
    Live::start(stackcount(&arguments)).until("stacks of the kernel are walked ahead of it")
}

/// How often such stacks were counted.
fn sum_of(finished: &Finished, stack: &str) -> u64 {
    let lines = finished.stdout.lines().filter(|line| line.contains(stack));
    let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn a_stack_has_a_kernel_part_and_a_user_part() {
    let calls = fixture("calls");
    let run = |options: &[&str], event: &str, what: &str| {
        let mut arguments = options.to_vec();
        arguments.extend([event, "--", &calls, what, "50"]);
        Finished::of(stackcount(&arguments))
    };
    let both = run(&["-d"], FORK, "fork");
    let (kernel, user) = both.stdout.split_once("    --\n").expect("two parts");
    assert!(kernel.contains("  kernel_clone\n"), "{both:#?}");
    assert!(user.ends_with("    50\n\n"), "{both:#?}");
    assert_eq!(
        run(&["-K"], FORK, "fork").stdout,
        format!("{kernel}    50\n\n")
    );
    assert_eq!(run(&["-U"], FORK, "fork").stdout, user);

    let user = run(&["-U"], "t:syscalls:sys_enter_getppid", "getppid");
    assert!(user.stdout.contains("  main\n"), "{user:#?}");
}

#[test]
fn kernel_functions_show_their_callers() {
    let stacks = fixture("stacks");
    for way in ["kprobe.multi", "kprobe", "kprobe.single", "fentry"] {
        let arguments = [
            "-v",
            "-K",
            "-f",
            "--attach-with",
            way,
            "vfs_read",
            "--",
            &stacks,
            "read",
            "30",
        ];
        let finished = Finished::of(stackcount(&arguments));
        let kernel = Kernel::current();
        // Under fentry programs preempt each other, which takes instructions of 5.12 to be safe.
        let is_safe = way != "fentry" || kernel.release >= (5, 12);
        if !kernel.should_attach_to_calls(way) || !is_safe {
            finished.assert_failure(1, "failed to attach any of ");
            continue;
        }
        let count = sum_of(&finished, ";ksys_read;vfs_read ");
        // The dynamic loader reads too, before `main`.
        assert!((30..60).contains(&count), "{way}: {finished:#?}");
        // Programs of fentry have no registers to walk from.
        let is_foreseen = finished
            .stderr
            .contains("stacks of the kernel lead through ");
        assert_eq!(is_foreseen, way != "fentry", "{way}: {finished:#?}");
    }
}

#[test]
fn the_programs_that_watch_are_not_among_the_callers() {
    let stacks = fixture("stacks");
    for way in ["kprobe", "fentry"] {
        let options = ["-K", "-M", "20", "--attach-with", way];
        let traced = ["vfs_read", "--", &stacks, "read", "30"];
        let finished = Finished::of(trace(&[&options[..], &traced].concat()));
        if !Kernel::current().should_attach(way) {
            finished.assert_failure(1, "failed to attach any of ");
            continue;
        }
        assert!(finished.status.success(), "{way}: {finished:#?}");
        let stacks: Vec<&str> = finished.stdout.split(" vfs_read ").skip(1).collect();
        assert_eq!(stacks.len(), 20, "{way}: {finished:#?}");
        for stack in stacks {
            let innermost = stack.lines().nth(1).unwrap_or_default();
            assert!(innermost.starts_with("        vfs_read+"), "{way}: {stack}");
        }
    }
}

#[test]
fn stacks_are_walked_ahead_of_the_kernel_where_it_would_walk_the_same() {
    let mut worker = forking("500");
    let live = stacks_of_forks(&worker);
    worker.work();
    let finished = live.interrupt();
    assert_eq!(sum_of(&finished, ";kernel_clone"), 500, "{finished:#?}");
    let known = "stacks of the kernel lead through ";
    let (_, known) = finished.stderr.split_once(known).expect("it is told");
    let (known, others) = known.split_once(" known places, and ").expect("as well");
    assert!(known.parse::<u32>().expect("a number") > 2, "{finished:#?}");
    assert!(others.starts_with("0 others\n"), "{finished:#?}");
}

#[test]
fn a_probe_on_a_return_does_not_hide_who_is_returned_to() {
    let mut worker = forking("500");
    let pid = worker.pid().to_string();
    let kernel = Kernel::current();
    for way in ["kprobe.multi", "kprobe", "kprobe.single"] {
        let arguments = ["--attach-with", way, "-p", &pid, "r::kernel_clone"];
        if !kernel.should_attach(way) {
            let finished = Finished::of(funccount(&arguments));
            finished.assert_failure(1, "failed to attach any of 1 places");
            continue;
        }
        let returns = Live::start(funccount(&arguments));
        let live = stacks_of_forks(&worker);
        worker.work();
        let finished = live.interrupt();
        assert_eq!(returns.interrupt().count("kernel_clone"), 500);
        assert_eq!(sum_of(&finished, ""), 500, "{finished:#?}");
        // Before, the kernel's own walk ended there (commit 19138af1bd88).
        if kernel.release >= (5, 16) {
            let called = ";__do_sys_clone;kernel_clone";
            assert_eq!(sum_of(&finished, called), 500, "{finished:#?}");
        }
    }
}
