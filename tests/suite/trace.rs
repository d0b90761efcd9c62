//! trace: what it tells of each event, compared with what the program is known to do.

use std::time::Instant;

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, trace},
    user::User,
};

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

/// Traces `probe` of `calls WHAT COUNT`.
fn run(options: &[&str], probe: &str, what: &str, count: &str) -> Finished {
    let calls = fixture("calls");
    let mut arguments = options.to_vec();
    arguments.extend([probe, "--", &calls, what, count]);
    let finished = Finished::of(trace(&arguments));
    assert!(finished.status.success(), "{finished:#?}");
    finished
}

/// The same by `way`, which the kernel may not have.
fn run_by(way: &str, probe: &str, what: &str, count: &str) -> Finished {
    let calls = fixture("calls");
    Finished::of(trace(&[
        "--attach-with",
        way,
        probe,
        "--",
        &calls,
        what,
        count,
    ]))
}

/// What messages say before their last `, `, behind which they have a latency: no more than has
/// passed since the run `started`, by the same clock.
fn without_latencies(finished: &Finished, started: Instant) -> Vec<String> {
    let passed = started.elapsed().as_nanos();
    let messages = messages(finished).into_iter();
    let split = messages.map(|message| {
        let (text, latency) = message.rsplit_once(", ").expect("a latency");
        let latency: u128 = latency.parse().expect("a number");
        assert!((1..=passed).contains(&latency), "{passed}: {finished:#?}");
        text.to_owned()
    });
    split.collect()
}

/// The messages: what is behind the other four columns.
pub(crate) fn messages(finished: &Finished) -> Vec<String> {
    finished.stdout.lines().skip(1).map(message).collect()
}

fn message(line: &str) -> String {
    let mut rest = line;
    for _ in 0..4 {
        let column = rest.trim_start();
        rest = column.find(' ').map_or("", |end| &column[end..]);
    }
    rest.trim_start().to_owned()
}

fn function(name: &str) -> String {
    format!("{}:{name}", fixture("calls"))
}

#[test]
fn arguments_and_predicates_of_functions() {
    let probe = function(r#"pk_work (arg1 % 2 == 1 && arg1 < 8) "n = %d", arg1"#);
    let finished = run(&[], &probe, "work", "10");
    assert_eq!(messages(&finished), ["n = 1", "n = 3", "n = 5", "n = 7"]);
    let header = finished.stdout.lines().next();
    assert_eq!(
        header,
        Some("PID     TID     COMM            FUNC             -")
    );
    let first = finished.stdout.lines().nth(1).unwrap_or_default();
    let columns: Vec<&str> = first.split_ascii_whitespace().take(4).collect();
    assert_eq!(columns[0], columns[1]);
    assert_eq!(columns[2..], ["calls", "pk_work"]);
}

#[test]
fn every_way_of_attaching_gives_the_arguments() {
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        let probe = function(r#"pk_work "%ld", arg1 + 1"#);
        let finished = run_by(way, &probe, "work", "3");
        if Kernel::current().should_attach(way) {
            assert_eq!(messages(&finished), ["1", "2", "3"], "{way}");
        } else {
            finished.assert_failure(1, "failed to attach any of 1 places");
        }
    }
}

#[test]
fn return_values_and_signed_arithmetic() {
    let probe = format!(
        "r:{}",
        function(r#"pk_work "%ld %d", retval, (int)retval - 7"#)
    );
    let finished = run(&[], &probe, "work", "4");
    assert_eq!(messages(&finished), ["0 -7", "2 -5", "4 -3", "6 -1"]);
}

#[test]
fn returns_know_what_their_functions_were_called_with() {
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        let text = r#"nested_sum "%d of %d, %lu", retval, $entry(arg1), $latency"#;
        let probe = format!("r:{}", function(text));
        let started = Instant::now();
        let finished = run_by(way, &probe, "sum", "4");
        if Kernel::current().should_attach(way) {
            let expected = [
                "0 of 0", "0 of 0", "1 of 1", "0 of 0", "1 of 1", "3 of 2", "0 of 0", "1 of 1",
                "3 of 2", "6 of 3",
            ];
            let shown = without_latencies(&finished, started);
            assert_eq!(shown, expected, "{way}");
        } else {
            // That of the entry, and that of the return.
            finished.assert_failure(1, "failed to attach any of 2 places");
        }
    }
}

#[test]
fn threads_and_recursion_keep_entries_and_returns_together() {
    let probe = |relation: &str| {
        let text = format!("nested_sum (retval {relation} $entry(arg1) * ($entry(arg1) + 1) / 2)");
        format!("r:{}", function(&text))
    };
    let (right, wrong) = (probe("=="), probe("!="));
    let calls = fixture("calls");
    let arguments = [&right, &wrong, "--", &calls, "sum", "800", "8"];
    let finished = Finished::of(trace(&arguments));
    // Of eight calls in a row the numbers are 0 to 7, and each calls itself that often.
    let expected = 8 * 800 / 8 * (1 + 2 + 3 + 4 + 5 + 6 + 7 + 8);
    assert_eq!(messages(&finished).len(), expected, "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);

    let finished = run(&[], &wrong, "sum", "800");
    assert_eq!(messages(&finished), Vec::<String>::new());
}

#[test]
fn entries_that_never_return_are_not_taken_for_others() {
    let probe = format!("r:{}", function(r#"leap "%d %d", retval, $entry(arg1)"#));
    let finished = run(&[], &probe, "leap", "6");
    assert_eq!(messages(&finished), ["0 0", "2 2", "4 4"]);
}

#[test]
fn kernel_functions_know_what_they_were_called_with() {
    let stacks = fixture("stacks");
    let probe = r#"r::vfs_read ($entry(count) == 1) "%d %s, %lu", retval, $entry(file->f_path.dentry->d_name.name), $latency"#;
    for way in ["kprobe.multi", "kprobe", "kprobe.single"] {
        let started = Instant::now();
        let finished = Finished::of(trace(&[
            "--attach-with",
            way,
            probe,
            "--",
            &stacks,
            "read",
            "3",
        ]));
        if Kernel::current().should_attach_to_calls(way) {
            let shown = without_latencies(&finished, started);
            assert_eq!(shown, ["1 zero"; 3], "{way}: {finished:#?}");
        } else {
            finished.assert_failure(1, "failed to attach any of ");
        }
    }
    let finished = Finished::of(trace(&[
        "--attach-with",
        "fentry",
        probe,
        "--",
        &stacks,
        "read",
        "3",
    ]));
    finished.assert_failure(1, "vfs_read: what is asked for can't be read this way");
}

#[test]
fn signatures_name_parameters() {
    let probe = function(r#"pk_work(long count) (count / 2 == 1) "%ld %s", count, $comm"#);
    let finished = run(&[], &probe, "work", "9");
    assert_eq!(messages(&finished), ["2 calls", "3 calls"]);
}

#[test]
fn usdt_arguments_from_all_places_of_a_probe() {
    let probe = format!(r#"u:{}:plain "%d", arg1"#, fixture("calls"));
    let finished = run(&[], &probe, "usdt", "6");
    assert_eq!(messages(&finished), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn records_of_tracepoints_and_their_text() {
    let calls = fixture("calls");
    let probe = format!(
        r#"t:sched:sched_process_exec (STRCMP("{calls}", args->filename)) "%s %d", args->filename, args->pid == $pid"#
    );
    // The command is held behind its own `execve`, so it is run by another.
    let command = ["env", calls.as_str(), "none", "1"];
    let mut arguments = vec![probe.as_str(), "--"];
    arguments.extend(command);
    let finished = Finished::of(trace(&arguments));
    assert_eq!(messages(&finished), [format!("{calls} 1")], "{finished:#?}");

    let other = probe.replace("/calls\"", "/call\"");
    let mut arguments = vec![other.as_str(), "--"];
    arguments.extend(command);
    let finished = Finished::of(trace(&arguments));
    assert_eq!(messages(&finished), Vec::<String>::new(), "{finished:#?}");
}

#[test]
fn structures_of_the_kernel() {
    let probe = r#"t:syscalls:sys_enter_getppid "%d %d %s", $task->pid == $pid, $task->tgid == $tgid, $task->comm"#;
    let finished = run(&[], probe, "getppid", "2");
    assert_eq!(messages(&finished), ["1 1 calls", "1 1 calls"]);
}

#[test]
fn arguments_of_kernel_functions() {
    let probe = r#"p::do_nanosleep(struct hrtimer_sleeper *t) "%d", t->task->pid == $pid"#;
    for way in ["kprobe.multi", "kprobe", "kprobe.single", "fentry"] {
        let finished = Finished::of(trace(&["--attach-with", way, probe, "--", "sleep", "0.01"]));
        if Kernel::current().should_attach(way) {
            assert_eq!(messages(&finished), ["1"], "{way}: {finished:#?}");
        } else {
            finished.assert_failure(1, "failed to attach any of ");
        }
    }
}

#[test]
fn prototypes_of_kernel_functions_need_not_be_given() {
    let stacks = fixture("stacks");
    let probe = r#"vfs_read (count == 1) "%d %s", count, file->f_path.dentry->d_name.name"#;
    let finished = Finished::of(trace(&[probe, "--", &stacks, "read", "3"]));
    if Kernel::current().should_attach("kprobe.single") {
        assert_eq!(messages(&finished), ["1 zero"; 3], "{finished:#?}");
    } else {
        finished.assert_failure(1, "failed to attach any of ");
    }
}

#[test]
fn wrappers_of_system_calls_give_the_calls_arguments() {
    let stacks = fixture("stacks");
    let probe = r#"__x64_sys_read (arg3 == 1) "%d %d", arg3, count"#;
    let finished = Finished::of(trace(&[probe, "--", &stacks, "read", "2"]));
    if Kernel::current().should_attach("kprobe.single") {
        assert_eq!(messages(&finished), ["1 1", "1 1"], "{finished:#?}");
    } else {
        finished.assert_failure(1, "failed to attach any of ");
    }
}

#[test]
fn the_default_message_shows_what_is_known() {
    let finished = run(&["-M", "1"], "t:syscalls:sys_enter_getppid", "getppid", "2");
    assert_eq!(messages(&finished), ["__syscall_nr=110"]);
}

#[test]
fn as_many_events_as_were_asked_for() {
    let probe = function(r#"pk_work "%d", arg1"#);
    let finished = run(&["-M", "3"], &probe, "work", "100");
    assert_eq!(messages(&finished), ["0", "1", "2"]);
}

#[test]
fn equal_events_are_counted() {
    let probe = function(r#"pk_work "%d", arg1 / 4"#);
    let finished = run(&["-A", "-M", "10"], &probe, "work", "20");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(
        lines[0].starts_with("COUNT    PID     TID "),
        "{}",
        lines[0]
    );
    let counts = lines[1..].iter().map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next(), words.next_back())
    });
    let expected = [("2", "2"), ("4", "0"), ("4", "1")].map(|(count, n)| (Some(count), Some(n)));
    assert_eq!(counts.collect::<Vec<_>>(), expected);
    Finished::of(trace(&["-A", &probe])).assert_failure(2, "--max-events");
}

#[test]
fn messages_and_names_can_be_filtered() {
    let probe = function(r#"pk_work "n=%d.", arg1"#);
    let finished = run(&["-f", "n=1"], &probe, "work", "13");
    assert_eq!(messages(&finished), ["n=1.", "n=10.", "n=11.", "n=12."]);
    let finished = run(&["-n", "nobody"], &probe, "work", "3");
    assert_eq!(messages(&finished), Vec::<String>::new());
    let finished = run(&["-n", "all"], &probe, "work", "1");
    assert_eq!(messages(&finished), ["n=0."]);
}

#[test]
fn json_has_typed_values() {
    let probe = function(r#"pk_work "n %d %s %lx", arg1 - 1, $comm, -arg1 - 1"#);
    let finished = run(&["--json"], &probe, "work", "1");
    let row: serde_json::Value = serde_json::from_str(&finished.stdout).expect("one object");
    assert_eq!(row["message"], "n -1 calls ffffffffffffffff");
    assert_eq!(row["values"]["arg1 - 1"], -1);
    assert_eq!(row["values"]["-arg1 - 1"], u64::MAX);
    assert_eq!(row["values"]["$comm"], "calls");
    assert_eq!(row["probe"], "pk_work");
}

#[test]
fn messages_of_the_same_place_are_all_shown() {
    let first = function(r#"pk_work (arg1 == 1) "first""#);
    let second = function(r#"pk_work (arg1 == 2) "second""#);
    let calls = fixture("calls");
    let event = r#"t:sched:sched_process_exit "exit""#;
    let finished = Finished::of(trace(&[
        &first, &second, event, event, "--", &calls, "work", "3",
    ]));
    let mut shown = messages(&finished);
    shown.sort();
    assert_eq!(shown, ["exit", "exit", "first", "second"], "{finished:#?}");
}

#[test]
fn several_probes_of_different_kinds() {
    let function = function(r#"pk_work (arg1 == 2) "function""#);
    let calls = fixture("calls");
    let arguments = [
        &function,
        r#"t:sched:sched_process_exit "exit""#,
        "--",
        &calls,
        "work",
        "5",
    ];
    let finished = Finished::of(trace(&arguments));
    assert_eq!(messages(&finished), ["function", "exit"], "{finished:#?}");
}

#[test]
fn stacks_under_events() {
    let stacks = fixture("stacks");
    let probe = format!("{stacks}:stk_leaf");
    let arguments = ["-U", "-M", "1", &probe, "--", &stacks, "paths"];
    let finished = Finished::of(trace(&arguments));
    let frames: Vec<&str> = finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("        "))
        .map(|frame| frame.split('+').next().unwrap_or_default())
        .collect();
    assert_eq!(
        frames[..3],
        ["stk_leaf", "stk_a", "stk_paths"],
        "{finished:#?}"
    );
}

#[test]
fn a_pointer_that_leads_nowhere_is_shown_and_counted() {
    let probe = function(r#"pk_work "%s", (char *)arg1"#);
    let finished = run(&[], &probe, "work", "2");
    assert_eq!(messages(&finished), ["(null)", "<unreadable: 0x1>"]);
    assert!(
        finished
            .stderr
            .contains("could not read all values of 2 events"),
        "{finished:#?}"
    );
    let probe = function(r#"pk_work (*(int *)arg1 == 0) "never""#);
    assert_eq!(
        messages(&run(&[], &probe, "work", "2")),
        Vec::<String>::new()
    );
}

#[test]
fn what_leads_nowhere_at_the_entry_is_shown_and_counted_at_the_return() {
    let at_return = |text: &str| format!("r:{}", function(text));
    let shown = r#"pk_work "%d %d %s", retval, $entry(*(int *)arg1), $entry(*(char **)arg1)"#;
    let finished = run(&[], &at_return(shown), "work", "2");
    let expected = ["0 <unreadable> <unreadable>", "2 <unreadable> <unreadable>"];
    assert_eq!(messages(&finished), expected);
    let told = "could not read all values of 2 events";
    assert!(finished.stderr.contains(told), "{finished:#?}");

    let told = "could not tell whether 2 events are to be shown";
    for relation in ["==", "!="] {
        let text = format!("pk_work ($entry(*(int *)arg1) {relation} 0)");
        let finished = run(&[], &at_return(&text), "work", "2");
        assert_eq!(messages(&finished), Vec::<String>::new(), "{relation}");
        assert!(finished.stderr.contains(told), "{finished:#?}");
    }
}

#[test]
fn no_event_is_lost_with_room_for_all() {
    let probe = r#"t:syscalls:sys_enter_getppid "%d", $cpu"#;
    let finished = run(&["-b", "16384"], probe, "getppid", "300000");
    assert_eq!(messages(&finished).len(), 300_000, "{}", finished.stderr);
    assert!(!finished.stderr.contains("lost"), "{}", finished.stderr);
}

#[test]
fn events_that_do_not_fit_are_counted() {
    let probe = r#"t:syscalls:sys_enter_getppid "%d", $cpu"#;
    let finished = run(&["-b", "1"], probe, "getppid", "300000");
    let shown = messages(&finished).len() as u64;
    let lost = finished.stderr.lines().find_map(|line| {
        let number = line.strip_prefix("lost ")?.split(' ').next()?;
        number.replace(',', "").parse::<u64>().ok()
    });
    assert_eq!(shown + lost.unwrap_or(0), 300_000, "{}", finished.stderr);

    let finished = run(&["-b", "1", "--json"], probe, "getppid", "300000");
    let (lines, last) = finished.stdout.trim_end().rsplit_once('\n').expect("lines");
    let last: serde_json::Value = serde_json::from_str(last).expect("an object");
    let lost = last["lost"].as_u64().expect("more than fits into a page");
    assert_eq!(lines.lines().count() as u64 + lost, 300_000);
}

#[test]
fn a_dry_run_shows_the_program_and_traces_nothing() {
    let probe = function(r#"pk_work (arg1 > 3) "%d", arg1"#);
    let of_user = r#"pk_work (arg1 > 3) "%d", arg1"#;
    let user = User::new();
    let of_user = format!("{}:{of_user}", user.calls().display());
    // Nothing of it needs root.
    for command in [
        trace(&["--dry-run", &probe]),
        user.probekit(&[], &["trace", "--dry-run", &of_user]),
    ] {
        let finished = Finished::of(command);
        assert!(finished.status.success(), "{finished:#?}");
        assert_eq!(finished.stdout, "");
        for text in ["predicate:", "; arg1 > 3", "exit"] {
            assert!(finished.stderr.contains(text), "no {text} in {finished:#?}");
        }
    }
}

#[test]
fn mistakes_are_marked() {
    let cases: [(&str, i32, &str); 6] = [
        (
            r#"t:syscalls:sys_enter_getppid "%d", $task->pidd"#,
            1,
            "did you mean `pid`?",
        ),
        (
            r#"t:syscalls:sys_enter_getppid "%d", args->nothing"#,
            1,
            "unknown field `nothing`",
        ),
        (
            r#"t:syscalls:sys_enter_getppid "%d""#,
            2,
            "no expression for `%d`",
        ),
        (
            r#"t:syscalls:sys_enter_getppid ($pid == "#,
            2,
            "expected an expression, found the end",
        ),
        (
            r#"t:syscalls:sys_enter_getppid "%d", arg1"#,
            1,
            "`arg1` is not available",
        ),
        (
            r#"t:syscalls:sys_enter_getppid "%y", $pid"#,
            2,
            "unknown conversion",
        ),
    ];
    for (probe, status, text) in cases {
        Finished::of(trace(&[probe])).assert_failure(status, text);
    }
}

/// Traces `pk_handle` of `request` with what follows its name.
fn handle(kind: &str, rest: &str) -> Finished {
    let program = fixture("request");
    let probe = format!("{kind}{program}:pk_handle{rest}");
    let finished = Finished::of(trace(&[&probe, "--", &program]));
    assert!(finished.status.success(), "{finished:#?}");
    finished
}

#[test]
fn what_is_given_by_number_is_a_number_whatever_else_is_shown() {
    let shown = |rest: &str| messages(&handle("", rest));
    assert_eq!(shown(r#" "%d", arg1 + 8 - arg1"#), ["8", "8"]);
    assert_eq!(
        shown(r#" "%d %d", arg1 + 8 - arg1, req->id"#),
        ["8 1", "8 2"]
    );
    assert_eq!(shown(r#" "%d", req + 1 == arg1 + 8"#), ["0", "0"]);
    let halves = shown(r#" (req->next) "%x %lx", arg1, arg1 & 0xffffffff"#).join("");
    let halves: Vec<&str> = halves.split(' ').collect();
    assert_eq!(halves[0], halves[1]);
    assert_eq!(shown(r#" (arg1->next) "%s", arg1->next->name"#), ["second"]);
    // Without anything else that needs types.
    let in_registers = handle("r:", r#" "%d %d", retval - 1, $entry(arg2) + 1"#);
    assert_eq!(messages(&in_registers), ["-2 201", "-3 8"]);
}

#[test]
fn types_of_programs_come_from_their_debug_information() {
    let shown = |rest: &str| messages(&handle("", rest));
    assert_eq!(
        shown(r#" "%d %s", req->id, req->name"#),
        ["1 first", "2 second"]
    );
    assert_eq!(shown(r#" (req->next) "%s", req->next->name"#), ["second"]);
    assert_eq!(
        shown(r#" "%s %d", req->tag, req->tag[0]"#),
        ["tag 116", "full-tag 102"]
    );
    assert_eq!(
        shown(r#" (req->kind == WRITE_KIND) "%s", req->kind"#),
        ["WRITE_KIND"]
    );
    assert_eq!(
        shown(r#" "%u %u %d", req->low, req->high, req->shift"#),
        ["5 17 -3", "0 0 0"]
    );
    // Three and five bits fit in an `int`, which has a sign.
    assert_eq!(
        shown(r#" "%d %d", req->low - 6 < 0, ~req->high < 0"#),
        ["1 1", "1 1"]
    );
    assert_eq!(
        shown(r#" "%d %x", req->inner.depth, req->bytes[1]"#),
        ["-2 ff", "0 0"]
    );
    assert_eq!(shown(r#" "%d", times"#), ["200", "7"]);
    assert_eq!(shown(r#" "%ld", sizeof(struct request)"#).len(), 2);
}

#[test]
fn structures_that_are_passed_by_value() {
    let program = fixture("request");
    let shown = |kind: &str, rest: &str| {
        let probe = format!("{kind}{program}:pk_double{rest}");
        messages(&Finished::of(trace(&[&probe, "--", &program])))
    };
    assert_eq!(
        shown(
            "",
            r#" "%d %d %s %d", range.first, range.step, range.unit, times"#
        ),
        ["-4 5 ms 2"]
    );
    let by_name = ["range.first=-4, range.step=5, range.unit=ms, times=2"];
    assert_eq!(shown("", ""), by_name);
    assert_eq!(
        shown(
            "r:",
            r#" "%d %d %d", retval.first, retval.step, $entry(range.first)"#
        ),
        ["-8 7 -4"]
    );
}

#[test]
fn without_a_format_parameters_are_shown_by_name() {
    let shown = messages(&handle("", ""));
    assert!(
        shown[0].starts_with("req=0x7ff") && shown[0].ends_with(", times=200"),
        "{shown:?}"
    );
    assert_eq!(messages(&handle("r:", "")), ["retval=-1", "retval=-2"]);
}

#[test]
fn a_field_that_a_program_does_not_have_is_marked() {
    let program = fixture("request");
    let probe = format!(r#"{program}:pk_handle "%d", req->idd"#);
    let finished = Finished::of(trace(&[&probe]));
    finished.assert_failure(1, "unknown field `idd` of struct request");
    finished.assert_failure(1, "did you mean `id`?");
}

#[test]
fn events_of_all_cpus_are_in_order_of_time() {
    let calls = fixture("calls");
    let event = "t:syscalls:sys_enter_getppid";
    let finished = Finished::of(trace(&[
        "--json", event, "--", &calls, "getppid", "5000", "8",
    ]));
    let times: Vec<String> = finished
        .stdout
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok()?["time"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    // Linux 7 skips tracepoints of tasks that preempt a program, and says how many.
    let shown = times.len() as u64;
    assert_eq!(shown + finished.missed(), 8 * 5000, "{}", finished.stderr);
    assert!(times.is_sorted());
}
