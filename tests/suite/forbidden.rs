//! What the kernel does not offer or forbids is told by its name: no type information, functions
//! where it lets no kprobe in.

use std::{io, os::unix::process::CommandExt as _, process::Command, ptr};

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, funccount, stackcount, trace},
};

use crate::trace::messages;

/// A function that handling a probe may run through: the kernel forbids kprobes in it, though ftrace
/// lists it.
const BLACKLISTED: &str = "spurious_kernel_fault";

/// Has the child see an empty folder where the kernel's type information is.
fn hide_types(command: &mut Command) {
    let hide = || {
        let mount = |kind: *const libc::c_char, on: &std::ffi::CStr, flags| {
            // SAFETY: the strings end with NUL, and the other pointers may be null.
            match unsafe { libc::mount(kind, on.as_ptr(), kind, flags, ptr::null()) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: the call takes an integer.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return Err(io::Error::last_os_error());
        }
        mount(ptr::null(), c"/", libc::MS_REC | libc::MS_PRIVATE)?;
        mount(c"tmpfs".as_ptr(), c"/sys/kernel/btf", 0)
    };
    // SAFETY: the closure makes system calls only, which is allowed between fork and exec.
    unsafe { command.pre_exec(hide) };
}

#[test]
fn a_kernel_without_type_information_is_told() {
    let mut command = funccount(&["--attach-with", "fentry", "sched_getaffinity"]);
    hide_types(&mut command);
    Finished::of(command).assert_failure(1, "failed to read the kernel's type information");
}

#[test]
fn kernel_functions_need_no_type_information() {
    let mut command = funccount(&["-d", "0.01", "sched_getaffinity"]);
    hide_types(&mut command);
    let finished = Finished::of(command);
    if Kernel::current().should_attach("kprobe.single") {
        assert!(finished.status.success(), "{finished:#?}");
    } else {
        finished.assert_failure(1, "failed to read the kernel's type information");
    }
}

#[test]
fn stacks_need_no_type_information_but_it_is_told_what_they_are_told_apart_by() {
    let mut command = stackcount(&["-D", "0.01", "-U", "t:syscalls:sys_enter_getppid"]);
    hide_types(&mut command);
    let finished = Finished::of(command);
    assert!(finished.status.success(), "{finished:#?}");
    let note = "note: stacks of programs that replace each other in a process are told apart by \
                their addresses alone: failed to read /sys/kernel/btf/vmlinux";
    assert!(finished.stderr.contains(note), "{finished:#?}");
}

#[test]
fn structures_of_the_kernel_without_type_information_say_what_is_missing() {
    let probe = r#"t:syscalls:sys_enter_getppid "%d", $task->pid"#;
    let mut command = trace(&[probe]);
    hide_types(&mut command);
    let finished = Finished::of(command);
    finished.assert_failure(1, "struct task_struct is described nowhere");
    finished.assert_failure(1, "failed to read /sys/kernel/btf/vmlinux");
}

#[test]
fn events_without_structures_need_no_type_information() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = r#"t:syscalls:sys_enter_getppid "%d", $pid == $tgid"#;
    let mut command = trace(&[probe, "--", calls, "getppid", "2"]);
    hide_types(&mut command);
    let finished = Finished::of(command);
    assert_eq!(messages(&finished), ["1", "1"], "{finished:#?}");
}

#[test]
fn patterns_do_not_mean_what_the_kernel_forbids() {
    // No other function has such a name.
    let pattern = "spurious_kernel_fa*lt";
    let alone = Finished::of(funccount(&["-d", "0.01", pattern]));
    let beside = Finished::of(funccount(&[
        "-v",
        "-d",
        "0.01",
        "sched_getaffinity",
        pattern,
    ]));
    if Kernel::current().should_attach("kprobe.single") {
        let reason = format!("{BLACKLISTED}: the kernel's blacklist forbids kprobes in it");
        alone.assert_failure(1, &reason);
        assert!(beside.status.success(), "{beside:#?}");
        assert!(
            beside.stderr.contains(&format!("skipped {reason}\n")),
            "{beside:#?}"
        );
    } else {
        alone.assert_failure(1, "failed to attach any of ");
        beside.assert_failure(1, "failed to attach any of ");
    }
}

#[test]
fn a_function_that_the_kernel_forbids_is_told_when_asked_for() {
    let finished = Finished::of(funccount(&["--attach-with", "kprobe.single", BLACKLISTED]));
    if Kernel::current().should_attach("kprobe.single") {
        finished.assert_failure(1, "the kernel's blacklist forbids kprobes in it");
    } else {
        finished.assert_failure(1, "failed to attach any of 1 places");
    }
}
