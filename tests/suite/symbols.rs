//! Functions are found by the names that people know them by.

use std::process::Command;

use tests::{
    fixtures,
    process::{Finished, Live, Worker, funccount},
};

fn count_in(fixture: &str, function: &str, arguments: &[&str]) -> Finished {
    let program = fixtures::path(fixture);
    let program = program.to_str().expect("text");
    let probe = format!("{program}:{function}");
    let mut all = vec![probe.as_str(), "--", program];
    all.extend(arguments);
    Finished::of(funccount(&all))
}

#[test]
fn two_names_of_a_function_are_one_probe() {
    let finished = count_in("calls", "pk_work*", &["work", "10"]);
    assert_eq!(finished.counts(), [("pk_work".to_owned(), 10)].into());
    let finished = count_in("calls", "pk_work_alias", &["work", "10"]);
    assert_eq!(finished.counts(), [("pk_work_alias".to_owned(), 10)].into());
}

#[test]
fn static_functions_of_one_name_are_all_probed() {
    let finished = count_in("twins", "pk_twin", &["10"]);
    assert_eq!(finished.count("pk_twin"), 30);
}

#[test]
fn cpp_names_are_matched_and_shown_as_people_write_them() {
    let finished = count_in("shapes", "shapes::Circle::area", &["10"]);
    let expected = [
        ("shapes::Circle::area(double)".to_owned(), 10),
        ("shapes::Circle::area(long)".to_owned(), 20),
    ];
    assert_eq!(finished.counts(), expected.into());
    let finished = count_in("shapes", "shapes::Circle::area(long)", &["10"]);
    assert_eq!(finished.count("shapes::Circle::area(long)"), 20);
    let finished = count_in("shapes", "_ZN6shapes6Circle4areaEl", &["10"]);
    assert_eq!(finished.count("shapes::Circle::area(long)"), 20);
    let finished = count_in("shapes", "*twice*", &["10"]);
    assert_eq!(finished.counts().values().sum::<u64>(), 10);
}

#[test]
fn a_regular_expression_is_anchored_at_its_start() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = format!("{calls}:(pk_work|ork)$");
    let finished = Finished::of(funccount(&["-r", &probe, "--", calls, "work", "8"]));
    assert_eq!(finished.counts(), [("pk_work".to_owned(), 8)].into());
}

#[test]
fn a_static_program_is_read() {
    assert_eq!(
        count_in("calls-static", "pk_work", &["work", "10"]).count("pk_work"),
        10
    );
}

#[test]
fn a_stripped_program_has_its_symbols_in_its_debug_file() {
    assert_eq!(
        count_in("calls-split", "pk_work", &["work", "10"]).count("pk_work"),
        10
    );
    let finished = count_in("calls-stripped", "pk_work", &["work", "10"]);
    finished.assert_failure(1, "no function of");
}

#[test]
fn an_ifunc_counts_the_implementation() {
    let finished = count_in("calls-static", "strlen", &["strlen", "50"]);
    // The program's own calls in its start-up come on top.
    assert!(finished.count("strlen") >= 50, "{finished:#?}");
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "strlen", "50"]);
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "c:strlen"]));
    worker.work();
    let finished = live.interrupt();
    assert!(
        (50..60).contains(&finished.count("strlen")),
        "{finished:#?}"
    );
}

#[test]
fn a_library_that_was_replaced_is_probed_where_it_is_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let library = folder.path().join("libpkfixture.so");
    std::fs::copy(fixtures::path("libpkfixture.so"), &library).expect("copied");
    let mut command = Command::new(fixtures::path("loader"));
    command.arg(&library).arg("25");
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    std::fs::remove_file(&library).expect("removed");
    for replaced in [false, true] {
        if replaced {
            std::fs::copy(fixtures::path("libpkfixture.so"), &library).expect("copied");
        }
        for name in ["pkfixture", library.to_str().expect("text")] {
            let probe = format!("{name}:pk_library_work");
            let live = Live::start(funccount(&["-p", &pid, &probe]));
            worker.work();
            assert_eq!(
                live.interrupt().count("pk_library_work"),
                25,
                "{name} {replaced}"
            );
        }
    }
}

#[test]
fn a_process_in_another_mount_namespace_is_probed_through_its_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("libpkfixture.so");
    // The library is at a path that exists in the process's namespace only.
    let script = format!(
        "mount -t tmpfs tmpfs {folder} && cp {library} {inside} && exec {loader} {inside} 25",
        folder = folder.path().display(),
        library = fixtures::path("libpkfixture.so").display(),
        inside = inside.display(),
        loader = fixtures::path("loader").display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let mut worker = Worker::start(command);
    assert!(!inside.exists());
    let pid = worker.pid().to_string();
    let by_path = format!("/proc/{pid}/root{}:pk_library_work", inside.display());
    for probe in [&["-p", &pid, "pkfixture:pk_library_work"][..], &[&by_path]] {
        let live = Live::start(funccount(probe));
        worker.work();
        assert_eq!(live.interrupt().count("pk_library_work"), 25, "{probe:?}");
    }
}

#[test]
fn a_function_that_the_kernel_would_break_is_refused() {
    let finished = count_in("misread", "pk_misread", &["7"]);
    finished.assert_failure(1, "would break the program");
    let finished = count_in("misread", "pk_*", &["7"]);
    assert_eq!(finished.counts(), [("pk_caller".to_owned(), 7)].into());
    assert!(
        finished.stderr.contains("skipped 1 of 2 places"),
        "{finished:#?}"
    );
}
