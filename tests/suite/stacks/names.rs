//! Names for the frames of programs and libraries.

use std::{fs, os::linux::fs::MetadataExt as _, path::PathBuf, process::Command};

use tests::process::{Finished, Live, Worker, stackcount};

use super::{expected, fixture, folded, leaf, paths, rows, stacks_of};

#[test]
fn a_program_that_another_has_replaced_keeps_its_names() {
    let twice = paths()
        .into_iter()
        .map(|(stack, count)| (stack, 2 * count))
        .collect();
    let (found, _) = stacks_of(&["-U"], &leaf(), &["exec"]);
    assert_eq!(found, twice);
}

#[test]
fn programs_that_replace_each_other_at_the_same_addresses_are_told_apart() {
    let [first, second] = ["first", "second"].map(fixture);
    let probes = [&first, &second].map(|program| format!("{program}:suc_leaf"));
    // Folded lines would tell them apart by their command names.
    let arguments = [
        "--json", "-U", &probes[0], &probes[1], "--", &first, &second,
    ];
    let finished = Finished::of(stackcount(&arguments));
    let rows = rows(&finished);
    let counted: Vec<_> = rows
        .iter()
        .map(|row| (row["user"][1]["symbol"].as_str(), row["count"].as_u64()))
        .collect();
    let each_once = [(Some("suc_first"), Some(1)), (Some("suc_second"), Some(1))];
    assert_eq!(counted, each_once, "{finished:#?}");
}

/// A program in a file system of its own, where it has the same path as others, and that path as we
/// reach it.
fn contained(folder: &str, name: &str, arguments: &str) -> (Worker, PathBuf) {
    let script = format!(
        "mount -t tmpfs tmpfs {folder} && cp {program} {folder}/program && \
         exec {folder}/program --wait {arguments}",
        program = fixture(name),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    let worker = Worker::start(command);
    let path = format!("/proc/{}/root{folder}/program", worker.pid());
    (worker, path.into())
}

#[test]
fn programs_of_one_path_and_number_in_two_containers_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("text");
    let (mut calls, calls_path) = contained(folder, "calls", "work 2");
    let (mut stacks, stacks_path) = contained(folder, "stacks", "recurse 1");
    let number = |path: &PathBuf| fs::metadata(path).expect("it is there").st_ino();
    assert_eq!(number(&calls_path), number(&stacks_path));

    let probes = [(&calls_path, "pk_work"), (&stacks_path, "stk_leaf")]
        .map(|(path, function)| format!("{}:{function}", path.display()));
    let live = Live::start(stackcount(&["-f", "-U", &probes[0], &probes[1]]));
    calls.work();
    stacks.work();
    let found = folded(&live.interrupt().stdout);
    let ends_with = |end: &str| found.keys().any(|stack| stack.ends_with(end));
    assert!(ends_with(";once;pk_work"), "{found:?}");
    assert!(ends_with(";stk_recurse;stk_leaf"), "{found:?}");
}

#[test]
fn functions_without_names_are_where_they_are_in_the_file() {
    // As it is linked: its start is mapped there.
    const START: u64 = 0x40_0000;

    let program = fixture("calls-bare");
    let event = "t:syscalls:sys_enter_getppid";
    let arguments = ["--json", "-v", "-U", event, "--", &program, "getppid", "1"];
    let finished = Finished::of(stackcount(&arguments));
    let rows = rows(&finished);
    let frames = rows[0]["user"].as_array().expect("frames");
    let mut places = 0;
    for frame in frames
        .iter()
        .filter(|frame| frame["module"] == program.as_str())
    {
        assert_eq!(frame["symbol"], serde_json::Value::Null, "{finished:#?}");
        let number = |name| {
            let value: &serde_json::Value = &frame[name];
            let digits = value.as_str().map(|text| text.trim_start_matches("0x"));
            digits.map_or(value.as_u64(), |text| u64::from_str_radix(text, 16).ok())
        };
        let (address, offset) = (number("address"), number("offset"));
        assert_eq!(
            address
                .zip(offset)
                .map(|(address, offset)| address - offset),
            Some(START)
        );
        places += 1;
    }
    assert!(places > 1, "{finished:#?}");
}

#[test]
fn a_library_that_is_unloaded_keeps_its_names() {
    let library = fixture("libpkfixture.so");
    let (found, _) = stacks_of(&[], &leaf(), &["library", &library]);
    let stacks: Vec<_> = found.into_iter().collect();
    let [(stack, 4)] = &stacks[..] else {
        panic!("{stacks:?}");
    };
    assert!(stack.ends_with(";pk_library_call;stk_leaf"), "{stack}");
}

#[test]
fn inlined_functions_are_shown_on_request() {
    let program = fixture("stacks-inlined");
    let probe = format!("{program}:stk::leaf");
    let run = |options: &[&str]| {
        let mut arguments = vec!["-f", "-U"];
        arguments.extend(options);
        arguments.extend([probe.as_str(), "--", &program]);
        folded(&Finished::of(stackcount(&arguments)).stdout)
    };
    assert_eq!(
        run(&[]),
        expected([("main;stk::outer(long);stk::leaf(long)", 6)])
    );
    assert_eq!(
        run(&["--inlined"]),
        expected([("main;stk::outer(long);inlined (inlined);stk::leaf(long)", 6)])
    );
    assert_eq!(
        run(&["--no-demangle"]),
        expected([("main;_ZN3stk5outerEl;_ZN3stk4leafEl", 6)])
    );
}

#[test]
fn symbols_come_from_the_debug_file_of_a_stripped_program() {
    let stack = stack_of_work("calls-split", "pk_work");
    assert!(stack.ends_with(";once;pk_work"), "{stack}");
    assert!(!stack.contains("[unknown]"), "{stack}");
}

/// The one stack of `function`, which is a name of `pk_work` or stands for it, in a program.
fn stack_of_work(program: &str, function: &str) -> String {
    let program = fixture(program);
    let probe = format!("{program}:{function}");
    let finished = Finished::of(stackcount(&[
        "-f", "-U", &probe, "--", &program, "work", "9",
    ]));
    let stacks: Vec<_> = folded(&finished.stdout).into_iter().collect();
    let [(stack, 9)] = &stacks[..] else {
        panic!("{finished:#?}");
    };
    stack.clone()
}

#[test]
fn of_several_names_of_a_function_the_one_asked_for_or_the_plainest_is_shown() {
    for (asked_for, shown) in [
        ("pk_work", "pk_work"),
        ("pk_work_alias", "pk_work_alias"),
        ("pk_work*", "pk_work"),
    ] {
        let stack = stack_of_work("calls", asked_for);
        assert!(
            stack.ends_with(&format!(";once;{shown}")),
            "{asked_for}: {stack}"
        );
    }
}

#[test]
fn symbols_come_from_the_packed_section_of_a_stripped_program() {
    let program = fixture("stacks-packed");
    let probe = format!("{program}:stk_leaf");
    let finished = Finished::of(stackcount(&["-f", "-U", &probe, "--", &program, "paths"]));
    assert_eq!(folded(&finished.stdout), paths(), "{finished:#?}");
}

#[test]
fn functions_of_the_vdso_have_names() {
    let program = fixture("stacks");
    let event = "t:syscalls:sys_enter_clock_gettime";
    let finished = Finished::of(stackcount(&[
        "--json", "-U", event, "--", &program, "clock", "20",
    ]));
    let rows = rows(&finished);
    let [row] = &rows[..] else {
        panic!("{finished:#?}");
    };
    let frames = row["user"].as_array().expect("frames");
    assert_eq!(row["count"], 20);
    assert_eq!(frames[0]["module"], "[vdso]", "{finished:#?}");
    let name = frames[0]["symbol"].as_str().unwrap_or_default();
    assert!(name.ends_with("clock_gettime"), "{finished:#?}");
    assert!(
        frames.iter().any(|frame| frame["symbol"] == "main"),
        "{finished:#?}"
    );
}
