//! stackcount: stacks of programs whose calls are known, each compared exactly.

use std::{collections::BTreeMap, fs, process::Command};

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, Live, Worker, stackcount},
};

/// Stacks as folded lines from `main` on (libc has no frame pointers, and what it calls its parts
/// differs), and how often each was counted.
type Folded = BTreeMap<String, u64>;

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

fn leaf() -> String {
    format!("{}:stk_leaf", fixture("stacks"))
}

/// The stacks of `stacks WHAT…`.
fn stacks_of(options: &[&str], probe: &str, program: &[&str]) -> (Folded, Finished) {
    let stacks = fixture("stacks");
    let mut arguments = vec!["-f"];
    arguments.extend(options);
    arguments.extend([probe, "--", &stacks]);
    arguments.extend(program);
    let finished = Finished::of(stackcount(&arguments));
    assert!(finished.status.success(), "{finished:#?}");
    (folded(&finished.stdout), finished)
}

fn folded(stdout: &str) -> Folded {
    let mut stacks = Folded::new();
    for line in stdout.lines() {
        let (stack, count) = line.rsplit_once(' ').expect("a stack and its count");
        let count: u64 = count.parse().expect("a number");
        *stacks.entry(below_main(stack)).or_default() += count;
    }
    stacks
}

/// The frames from `main` on, without `run`, which the compiler puts into `main` or renames.
fn below_main(stack: &str) -> String {
    let frames: Vec<&str> = stack.split(';').collect();
    let main = frames
        .iter()
        .position(|&frame| frame == "main")
        .unwrap_or(0);
    let kept = frames[main..]
        .iter()
        .filter(|frame| !frame.starts_with("run"));
    kept.copied().collect::<Vec<_>>().join(";")
}

fn expected<const N: usize>(stacks: [(&str, u64); N]) -> Folded {
    stacks
        .map(|(stack, count)| (stack.to_owned(), count))
        .into()
}

fn paths() -> Folded {
    expected([
        ("main;stk_paths;stk_a;stk_leaf", 3),
        ("main;stk_paths;stk_b;stk_leaf", 5),
        ("main;stk_paths;stk_c;stk_leaf", 7),
    ])
}

#[test]
fn three_ways_to_a_function_are_three_stacks() {
    assert_eq!(stacks_of(&[], &leaf(), &["paths"]).0, paths());
}

#[test]
fn every_way_of_attaching_sees_the_caller() {
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        if Kernel::current().should_attach(way) {
            let (found, _) = stacks_of(&["--attach-with", way], &leaf(), &["paths"]);
            assert_eq!(found, paths());
        }
    }
}

#[test]
fn a_return_is_seen_from_the_caller() {
    let probe = format!("r:{}", leaf());
    let (found, _) = stacks_of(&[], &probe, &["paths"]);
    assert_eq!(
        found,
        expected([
            ("main;stk_paths;stk_a", 3),
            ("main;stk_paths;stk_b", 5),
            ("main;stk_paths;stk_c", 7),
        ]),
    );
}

#[test]
fn recursion_keeps_each_call() {
    let (found, _) = stacks_of(&[], &leaf(), &["recurse", "40"]);
    let stack = format!("main;{}stk_leaf", "stk_recurse;".repeat(40));
    assert_eq!(found, expected([(&stack, 1)]));
}

#[test]
fn a_stack_deeper_than_asked_for_is_cut_at_its_root() {
    let (found, _) = stacks_of(&["--depth", "127"], &leaf(), &["recurse", "200"]);
    let stack = format!("stacks;{}stk_leaf", "stk_recurse;".repeat(126));
    assert_eq!(found, expected([(&stack, 1)]));
    let (found, _) = stacks_of(&["--depth", "10"], &leaf(), &["recurse", "200"]);
    let stack = format!("stacks;{}stk_leaf", "stk_recurse;".repeat(9));
    assert_eq!(found, expected([(&stack, 1)]));
}

#[test]
fn threads_are_one_stack_whatever_their_number() {
    let (found, _) = stacks_of(&[], &leaf(), &["threads", "8"]);
    let [(stack, 8)] = &found.into_iter().collect::<Vec<_>>()[..] else {
        panic!("not one stack");
    };
    assert!(stack.ends_with(";thread;stk_a;stk_leaf"), "{stack}");
}

#[test]
fn children_are_one_stack_unless_asked_for_each() {
    let (found, _) = stacks_of(&[], &leaf(), &["fork", "6"]);
    // `run_children` is a frame or is not, as the compiler likes.
    let found: Vec<_> = found.into_iter().collect();
    let [(stack, 6)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(stack.ends_with(";stk_b;stk_leaf"), "{stack}");

    let stacks = fixture("stacks");
    let each = Finished::of(stackcount(&[
        "-P",
        "-U",
        &leaf(),
        "--",
        &stacks,
        "fork",
        "6",
    ]));
    let processes: Vec<&str> = each
        .stdout
        .lines()
        .filter(|line| line.starts_with("    stacks ["))
        .collect();
    assert_eq!(processes.len(), 6, "{each:#?}");
}

#[test]
fn a_hundred_thousand_stacks_are_told_apart() {
    // Room for all of them: how fast they are read depends on what else the machine does.
    let options = ["-U", "--buffer", "32768"];
    let (found, finished) = stacks_of(&options, &leaf(), &["distinct", "100000"]);
    assert_eq!(found.len(), 100_000, "{}", finished.stderr);
    assert!(found.values().all(|&count| count == 1));
    assert!(
        !finished.stderr.contains("did not count"),
        "{}",
        finished.stderr
    );
}

#[test]
fn what_does_not_fit_is_counted_and_said() {
    let (found, finished) = stacks_of(&["--stacks", "64"], &leaf(), &["distinct", "100"]);
    let lost = "did not count 36 events: the table of stacks is full, raise --stacks";
    assert_eq!(found.len(), 64, "{}", finished.stderr);
    assert!(finished.stderr.contains(lost), "{}", finished.stderr);
}

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
fn code_made_at_run_time_has_the_names_of_its_perf_map() {
    let (found, _) = stacks_of(&[], &leaf(), &["jit", "Lcom/example;::run"]);
    let stacks: Vec<_> = found.into_iter().collect();
    let [(stack, 2)] = &stacks[..] else {
        panic!("{stacks:?}");
    };
    assert!(stack.ends_with(";Lcom/example:::run;stk_leaf"), "{stack}");
}

#[test]
fn code_that_a_runtime_names_late_gets_its_name_in_the_next_interval() {
    let mut command = Command::new(fixture("stacks"));
    command.args(["--wait", "late", "named_late"]);
    let mut worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let mut live = Live::start(stackcount(&["-f", "-i", "0.02", "-p", &pid, &leaf()]));
    let mut stdout = live.take_stdout();
    let mut lines = ["", ""].map(|_| {
        worker.work();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).expect("text");
        line
    });
    let finished = live.interrupt();
    assert!(finished.status.success(), "{finished:#?}");
    lines[0].truncate(
        lines[0]
            .find("[unknown]")
            .map_or(0, |at| at + "[unknown]".len()),
    );
    assert!(lines[0].ends_with(";[unknown]"), "{lines:?}");
    assert!(lines[1].ends_with(";named_late;stk_leaf 1\n"), "{lines:?}");
}

#[test]
fn intervals_add_up_to_all() {
    let mut worker = Command::new(fixture("stacks"));
    worker.args(["--wait", "paths"]);
    let mut worker = Worker::start(worker);
    let pid = worker.pid().to_string();
    let mut live = Live::start(stackcount(&["-f", "-i", "0.02", "-p", &pid, &leaf()]));
    let mut stdout = live.take_stdout();
    let mut output = String::new();
    for _ in 0..20 {
        worker.work();
        // The next interval has begun once something of this one is read.
        std::io::BufRead::read_line(&mut stdout, &mut output).expect("text");
    }
    let finished = live.interrupt();
    std::io::Read::read_to_string(&mut stdout, &mut output).expect("text");
    assert!(finished.status.success(), "{finished:#?}");
    let all = paths()
        .into_iter()
        .map(|(stack, count)| (stack, 20 * count))
        .collect();
    assert_eq!(folded(&output), all);
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
    let program = fixture("calls-split");
    let probe = format!("{program}:pk_work");
    let finished = Finished::of(stackcount(&[
        "-f", "-U", &probe, "--", &program, "work", "9",
    ]));
    let stacks: Vec<_> = folded(&finished.stdout).into_iter().collect();
    let [(stack, 9)] = &stacks[..] else {
        panic!("{finished:#?}");
    };
    assert!(
        stack.ends_with(";once;pk_work") || stack.ends_with(";once;pk_work_alias"),
        "{stack}"
    );
    assert!(!stack.contains("[unknown]"), "{stack}");
}

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

#[test]
fn json_and_a_flame_graph_hold_the_same() {
    let stacks = fixture("stacks");
    let folder = tempfile::tempdir().expect("a folder");
    let graph = folder.path().join("graph.svg");
    let graph_path = graph.to_str().expect("text");
    let arguments = [
        "--json",
        "-U",
        "-P",
        "--flamegraph",
        graph_path,
        &leaf(),
        "--",
        &stacks,
        "paths",
    ];
    let finished = Finished::of(stackcount(&arguments));
    let rows: Vec<serde_json::Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let count_from = |caller: &str| -> u64 {
        let from = |row: &&serde_json::Value| row["user"][1]["symbol"] == caller;
        rows.iter()
            .filter(from)
            .filter_map(|row| row["count"].as_u64())
            .sum()
    };
    assert_eq!(
        ["stk_a", "stk_b", "stk_c"].map(count_from),
        [3, 5, 7],
        "{finished:#?}"
    );
    for row in &rows {
        assert_eq!(row["comm"], "stacks");
        assert_eq!(row["user"][0]["symbol"], "stk_leaf");
        assert_eq!(row["kernel"], serde_json::json!([]));
    }
    let graph = fs::read_to_string(graph).expect("a file");
    for text in [
        "stk_leaf",
        "stk_a (3 events, 20.00%)",
        "stk_c (7 events, 46.67%)",
    ] {
        assert!(graph.contains(text), "no {text} in the graph");
    }
}

#[test]
fn code_without_frame_pointers_is_noticed() {
    let program = fixture("calls-omit");
    let probe = format!("{program}:pk_work");
    let finished = Finished::of(stackcount(&[&probe, "--", &program, "work", "9"]));
    assert!(
        finished
            .stderr
            .contains("end before the start of their thread"),
        "{finished:#?}"
    );
    let (_, finished) = stacks_of(&[], &leaf(), &["paths"]);
    assert!(!finished.stderr.contains("end before"), "{finished:#?}");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (arguments, text) in [
        (&["-K", "-U", "c:malloc"][..], "cannot be used with"),
        (&["-f", "-T", "c:malloc"], "a time is no stack"),
        (&["--buffer", "5", "c:malloc"], "power of two"),
        (&["--depth", "1", "c:malloc"], "1 is not in 2..=1024"),
    ] {
        Finished::of(stackcount(arguments)).assert_failure(2, text);
    }
    let too_deep = Finished::of(stackcount(&["--depth", "1000", "c:malloc"]));
    too_deep.assert_failure(1, "sysctl kernel.perf_event_max_stack=1000");
}

#[test]
fn a_graph_that_cannot_be_written_is_an_error() {
    let stacks = fixture("stacks");
    let arguments = [
        "--flamegraph",
        "/nowhere/graph.svg",
        &leaf(),
        "--",
        &stacks,
        "paths",
    ];
    let finished = Finished::of(stackcount(&arguments));
    finished.assert_failure(1, "failed to write the flame graph /nowhere/graph.svg");
    assert!(
        finished.stdout.contains("stk_leaf"),
        "the results come first: {finished:#?}"
    );
}
