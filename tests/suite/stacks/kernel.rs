//! The kernel's part of stacks.

use tests::{
    kernel::Kernel,
    process::{Finished, stackcount},
};

use super::fixture;

#[test]
fn a_stack_has_a_kernel_part_and_a_user_part() {
    let calls = fixture("calls");
    let run = |options: &[&str], event: &str, what: &str| {
        let mut arguments = options.to_vec();
        arguments.extend([event, "--", &calls, what, "50"]);
        Finished::of(stackcount(&arguments))
    };
    let fork = "t:sched:sched_process_fork";
    let both = run(&["-d"], fork, "fork");
    let (kernel, user) = both.stdout.split_once("    --\n").expect("two parts");
    assert!(kernel.contains("  kernel_clone\n"), "{both:#?}");
    assert!(user.ends_with("    50\n\n"), "{both:#?}");
    assert_eq!(
        run(&["-K"], fork, "fork").stdout,
        format!("{kernel}    50\n\n")
    );
    assert_eq!(run(&["-U"], fork, "fork").stdout, user);

    let user = run(&["-U"], "t:syscalls:sys_enter_getppid", "getppid");
    assert!(user.stdout.contains("  main\n"), "{user:#?}");
}

#[test]
fn kernel_functions_show_their_callers() {
    let stacks = fixture("stacks");
    for way in ["kprobe.multi", "kprobe", "kprobe.single", "fentry"] {
        let arguments = [
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
        if !kernel.should_attach(way) || !is_safe {
            finished.assert_failure(1, "failed to attach any of ");
            continue;
        }
        let lines = finished.stdout.lines();
        let counts = lines.filter(|line| line.contains(";ksys_read;vfs_read "));
        let count: u64 = counts
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum();
        // The dynamic loader reads too, before `main`.
        assert!((30..60).contains(&count), "{way}: {finished:#?}");
    }
}
