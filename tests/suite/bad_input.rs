//! What can't be done is told: what failed, where, what would be right; with status 2 for a bad
//! command line and 1 for the rest; never with a panic.

use std::fs;

use tests::{
    fixtures,
    process::{Finished, funccount},
};

fn run(arguments: &[&str]) -> Finished {
    Finished::of(funccount(arguments))
}

#[test]
fn malformed_specs_are_marked() {
    for (spec, message) in [
        ("x:foo:bar", "unknown kind `x`"),
        ("c:", "c:\n"),
        ("vfs_*+0x10", "offset"),
        ("p:foo", "p::foo"),
    ] {
        run(&[spec]).assert_failure(2, message);
    }
    run(&["-r", "c:(read"]).assert_failure(2, "(read");
}

#[test]
fn bad_flags_are_told() {
    for (arguments, told) in [
        (
            &["-i", "0", "c:malloc"][..],
            "'0' for '--interval <SECONDS>': expected more than 0 seconds",
        ),
        (
            &["-d", "soon", "c:malloc"],
            "'soon' for '--duration <SECONDS>': expected seconds, as 5 or 0.5",
        ),
        (
            &["-d", "1e19", "c:malloc"],
            "'1e19' for '--duration <SECONDS>': expected more than 0 seconds, and at most a hundred",
        ),
        (
            &["-i", "1e19", "c:malloc"],
            "'1e19' for '--interval <SECONDS>': expected more than 0 seconds, and at most a hundred",
        ),
        (&["-p", "zero", "c:malloc"], "'zero' for '--pid <PID>'"),
        (
            &["--attach-with", "magic", "c:malloc"],
            "'magic' for '--attach-with <NAME>': expected one of kprobe.multi, ",
        ),
        (
            &["--nonsense", "c:malloc"],
            "unexpected argument '--nonsense'",
        ),
        (
            &["--follow-forks", "c:malloc"],
            "--follow-forks needs -p: it follows the children of those processes",
        ),
        (&[], "not provided:\n  <PATTERN>...\n"),
    ] {
        run(arguments).assert_failure(2, told);
    }
}

#[test]
fn unknown_names_get_the_nearest() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    for (spec, message) in [
        (format!("{calls}:pk_wrok"), "did you mean `pk_work`"),
        (format!("u:{calls}:plian"), "did you mean `plain`"),
        (
            "t:sched:sched_swicth".to_owned(),
            "did you mean `sched:sched_switch`",
        ),
        ("sched_getafinity".to_owned(), "sched_getaffinity"),
        (
            "nosuchlibrary:foo".to_owned(),
            "found no library or program `nosuchlibrary`",
        ),
        ("/no/such/file:foo".to_owned(), "/no/such/file"),
        ("t:nosuch:*".to_owned(), "no tracepoint matches"),
    ] {
        run(&[&spec]).assert_failure(1, message);
    }
}

#[test]
fn files_that_are_no_programs_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let whole = fs::read(fixtures::path("calls")).expect("built");
    for (path, message) in [
        (write("script", b"#!/bin/sh\n"), "not an ELF file"),
        (write("empty", b""), "not an ELF file"),
        (write("cut", &whole[..100]), "cut"),
        (
            folder.path().to_str().expect("text").to_owned(),
            "not an ELF file",
        ),
    ] {
        run(&[&format!("{path}:main")]).assert_failure(1, message);
    }
}

#[test]
fn an_offset_inside_an_instruction_is_refused() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    // main begins with instructions of several bytes; not every offset in it starts one.
    let refused = (1..12).filter(|offset| {
        let spec = format!("{calls}:main+{offset}");
        let finished = run(&[&spec, "--", calls, "none", "0"]);
        if finished.status.success() {
            assert_eq!(finished.count("main"), 1, "{finished:#?}");
        } else {
            finished.assert_failure(1, "is not the start of an instruction");
        }
        !finished.status.success()
    });
    // No instruction is so long that none begins behind the first.
    assert!((1..11).contains(&refused.count()));
}

#[test]
fn processes_that_are_gone_are_told() {
    run(&["-p", "4194305", "c:malloc"]).assert_failure(1, "no process has the PID 4194305");
    run(&["--tid", "4194305", "c:malloc"]).assert_failure(1, "no thread has the TID 4194305");
    run(&["-p", "2", "c:malloc"]).assert_failure(1, "process 2 runs no program");
}

#[test]
fn a_thread_is_told_from_its_process() {
    // SAFETY: the call has no arguments. A test is not run by the first thread.
    let tid = unsafe { libc::gettid() }.to_string();
    let process = std::process::id();
    let told = format!("{tid} is a thread of process {process}; use --tid {tid}");
    run(&["-p", &tid, "t:syscalls:sys_enter_getppid"]).assert_failure(1, &told);
}

#[test]
fn filters_that_make_no_sense_are_told() {
    run(&["--cgroup", "/no/such/group", "c:malloc"]).assert_failure(1, "/no/such/group");
    run(&["--cgroup", "/tmp", "c:malloc"]).assert_failure(1, "not a cgroup");
    run(&["--comm", "sixteen-bytes-xx", "c:malloc"]).assert_failure(1, "no command name");
    run(&["-p", "1", "c:malloc", "--", "true"]).assert_failure(2, "exclude each other");
}

#[test]
fn a_command_that_does_not_exist_is_told() {
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    run(&[&probe, "--", "/no/such/command"]).assert_failure(1, "failed to run /no/such/command");
}

#[test]
fn a_way_that_does_not_fit_is_refused() {
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    run(&["--attach-with", "tracepoint", &probe]).assert_failure(1, "takes tracepoints");
}

#[test]
fn return_probes_on_go_programs_are_refused() {
    let program = fixtures::path("calls-go");
    let program = program.to_str().expect("text");
    let finished = run(&[&format!("r:{program}:pk_work"), "--", program, "work", "5"]);
    finished.assert_failure(1, "is a Go program");
    let finished = run(&[&format!("{program}:pk_work"), "--", program, "work", "5"]);
    assert_eq!(finished.count("pk_work"), 5);
}
