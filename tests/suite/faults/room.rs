//! The system has no room for all that is to be attached, which is told.

use tests::{
    kernel::Kernel,
    process::{Finished, funccount, trace},
    user,
};

use super::fixture;

/// How many places were said to be traced, how many to be skipped, and of how many.
fn traced_and_skipped(finished: &Finished) -> (usize, usize, usize) {
    let number = |text: &str| -> usize {
        let number = text.split(' ').next().expect("a number");
        number.replace(',', "").parse().expect("a number")
    };
    let behind = |text| finished.stderr.rsplit_once(text).expect(text).1;
    let (skipped, all) = behind("skipped ").split_once(" of ").expect("both");
    (number(behind("Tracing ")), number(skipped), number(all))
}

#[test]
fn that_there_are_too_few_descriptors_is_told() {
    const DESCRIPTORS: u64 = 100;

    // It has a thousand functions.
    let program = fixture("calls-static");
    let probe = format!("{program}:*");
    // In some ways it is the next program that there is none for.
    for (way, probe) in [
        ("uprobe", &*probe),
        ("uprobe.single", &probe),
        ("tracepoint", "t:syscalls:*"),
        ("tracepoint.single", "t:syscalls:*"),
        ("kprobe", "vfs_*"),
        ("kprobe.single", "vfs_*"),
        ("fentry", "vfs_*"),
    ] {
        if !Kernel::current().should_attach(way) {
            continue;
        }
        let mut tool = funccount(&["--attach-with", way, probe, "--", &program, "work", "3"]);
        user::limit_open_files(&mut tool, DESCRIPTORS);
        let finished = Finished::of(tool);
        let told = "Too many open files (os error 24): each place takes some; raise the hard limit";
        finished.assert_failure(1, told);
    }
}

#[test]
fn that_there_are_too_few_descriptors_for_symbols_is_told_and_loses_nothing() {
    const DESCRIPTORS: u64 = 100;

    // Each is a file of its own.
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "for number in $(seq {DESCRIPTORS}); do \
         cp {} {folder}/$number; {folder}/$number getppid 1; done",
        fixture("calls"),
        folder = folder.path().display(),
    );
    let event = "t:syscalls:sys_enter_getppid (!STRCMP(\"sh\", $comm))";
    let mut tool = trace(&["-U", event, "--", "sh", "-c", &script]);
    user::limit_open_files(&mut tool, DESCRIPTORS);
    let finished = Finished::of(tool);
    assert!(finished.status.success(), "{finished:#?}");
    let events = finished.stdout.matches(" sys_enter_getppid ").count();
    assert_eq!(events as u64, DESCRIPTORS, "{finished:#?}");
    let note = "note: functions of some programs have no names: too many files are open";
    assert!(finished.stderr.contains(note), "{finished:#?}");
}

#[test]
fn a_tracepoint_takes_as_many_programs_as_the_kernel_lets_it() {
    /// `BPF_TRACE_MAX_PROGS`.
    const MOST: usize = 64;

    let event = |number| format!("t:syscalls:sys_enter_getppid \"number {number}\"");
    let events: Vec<String> = (0..MOST + 2).map(event).collect();
    let calls = fixture("calls");
    let mut arguments = vec!["-v"];
    arguments.extend(events.iter().map(String::as_str));
    arguments.extend(["--", &calls, "getppid", "3"]);
    let finished = Finished::of(trace(&arguments));
    assert!(finished.status.success(), "{finished:#?}");
    let (traced, skipped, _) = traced_and_skipped(&finished);
    assert_eq!((traced, skipped), (MOST, 2), "{finished:#?}");
    let reason = "64 programs are attached to it already";
    assert!(finished.stderr.contains(reason), "{finished:#?}");
    assert_eq!(finished.stdout.matches(" number ").count(), 3 * MOST);
}
