//! Values that trace shows as more than numbers, and what it tells of those that it can't show.

use std::{collections::BTreeMap, fs, process::Command};

use tests::{
    fixtures,
    process::{Finished, Live, Worker, funccount, trace},
};

use crate::trace::messages;

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

/// What `probe`, with the fixture's path for `{}`, shows of `values WHAT…`.
fn shown(probe: &str, command: &[&str]) -> (Vec<String>, Finished) {
    let values = fixture("values");
    let probe = probe.replace("{}", &values);
    let finished = Finished::of(trace(&[&[&probe, "--", &values], command].concat()));
    assert!(finished.status.success(), "{finished:#?}");
    (messages(&finished), finished)
}

#[test]
fn addresses_of_functions_are_shown_by_name() {
    let (shown_of_program, finished) = shown(r#"{}:val_function "%U", arg1"#, &["function"]);
    assert_eq!(shown_of_program.len(), 1, "{finished:#?}");
    assert!(
        shown_of_program[0].starts_with("val_function+0x0"),
        "{finished:#?}"
    );
    // What is to be called if a system call is restarted: as long as there was none, this.
    let probe = r#"{}:val_function "%K", $task->restart_block.fn"#;
    let (shown_of_kernel, finished) = shown(probe, &["function"]);
    assert_eq!(shown_of_kernel.len(), 1, "{finished:#?}");
    assert!(
        shown_of_kernel[0].starts_with("do_no_restart_syscall"),
        "{finished:#?}"
    );
}

#[test]
fn each_event_of_a_pattern_names_its_function() {
    let stacks = fixture("stacks");
    let probe = format!("{stacks}:stk_*");
    let finished = Finished::of(trace(&[&probe, "--", &stacks, "paths"]));
    assert!(finished.status.success(), "{finished:#?}");
    let mut counts = BTreeMap::new();
    for line in finished.stdout.lines().skip(1) {
        let function = line.split_ascii_whitespace().nth(3).unwrap_or_default();
        *counts.entry(function).or_insert(0) += 1;
    }
    let expected = [("a", 3), ("b", 5), ("c", 7), ("leaf", 15), ("paths", 1)];
    let expected = expected.map(|(name, count)| (format!("stk_{name}"), count));
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    assert_eq!(counts, expected, "{finished:#?}");
}

#[test]
fn a_text_that_is_not_in_memory_at_the_entry_can_be_read_at_the_return() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text");
    fs::write(&file, "from the file\0").expect("written");
    let command = ["mapped", file.to_str().expect("text")];
    let (at_entry, finished) = shown(r#"{}:val_text "%s", (char *)arg1"#, &command);
    assert_eq!(at_entry.len(), 1, "{finished:#?}");
    assert!(at_entry[0].starts_with("<unreadable: 0x"), "{at_entry:?}");
    let (at_return, finished) = shown(r#"r:{}:val_text "%s", (char *)$entry(arg1)"#, &command);
    assert_eq!(at_return, ["from the file"], "{finished:#?}");
    assert!(!finished.stderr.contains("could not"), "{finished:#?}");
}

#[test]
fn as_much_of_a_number_is_shown_as_the_conversion_says() {
    let probe = r#"{}:val_wide "%u %x %o %d %lx %p", arg1, arg1, arg1, arg1, arg1, arg1"#;
    let (narrow, finished) = shown(probe, &["wide"]);
    assert_eq!(narrow, ["7 7 7 7 500000007 0x500000007"], "{finished:#?}");
    let values = fixture("values");
    let probe = format!(r#"{values}:val_wide "%x", arg1"#);
    let finished = Finished::of(trace(&["--json", &probe, "--", &values, "wide"]));
    let row: serde_json::Value = serde_json::from_str(&finished.stdout).expect("one object");
    assert_eq!(row["values"]["arg1"], 7, "{finished:#?}");
}

/// The kernel has a function return to whoever wants to know because of somebody who wanted to know
/// at its entry; whoever came in between hears of it too.
#[test]
fn a_return_whose_entry_was_not_seen_is_counted_and_not_shown() {
    let values = fixture("values");
    let function = format!("r:{values}:val_block");
    let mut command = Command::new(&values);
    command.args(["--wait", "block"]);
    let mut worker = Worker::start(command);
    let there_before = Live::start(funccount(&[&function]));
    worker.start_work();
    worker.expect("inside");
    let probe = format!(r#"{function} "%d", $entry(arg1)"#);
    let live = Live::start_until(trace(&["-v", &probe]), "Tracing ");
    worker.start_work();
    worker.expect("done");
    // The next is whole.
    worker.start_work();
    worker.expect("inside");
    worker.start_work();
    worker.expect("done");
    let finished = live.interrupt();
    assert_eq!(messages(&finished), ["7"], "{finished:#?}");
    let told = "did not show 1 returns: what their functions had been called with was not saved";
    assert!(finished.stderr.contains(told), "{finished:#?}");
    assert_eq!(there_before.interrupt().count("val_block"), 2);
}

#[test]
fn parameters_and_results_are_read_where_the_compiler_puts_them() {
    let passed = fixture("passed");
    for (probe, expected) in [
        (r#"pas_str "%d", x"#, "42"),
        (r#"pas_tiny "%d %d", t.v, x"#, "7 42"),
        (r#"pas_two "%d %d %d", t.a, t.b, x"#, "7 8 42"),
        (r#"pas_vector "%d", x"#, "44"),
        (r#"pas_real "%d %d", f, g"#, "6 42"),
        (r#"pas_wide "%d %d", g, i"#, "7 42"),
        (r#"pas_aligned "%d %d %d", s.a, s.b, i"#, "8 9 42"),
        (r#"pas_packed "%d %d", p.b, x"#, "7 42"),
        (r#"pas_member "%d", x"#, "42"),
        (r#"pas_half "%d %d", m.i, x"#, "7 42"),
        (r#"_Z12pas_ret_tinyi "%d", x"#, "42"),
        (r#"_Z12pas_ret_halfi "%d", x"#, "43"),
    ] {
        let finished = Finished::of(trace(&[&format!("{passed}:{probe}"), "--", &passed]));
        assert_eq!(messages(&finished), [expected], "{probe}: {finished:#?}");
    }
    for (probe, expected) in [
        (r#"_Z12pas_ret_tinyi "%d", retval.v"#, "42"),
        (r#"_Z12pas_ret_halfi "%d", retval.i"#, "43"),
    ] {
        let finished = Finished::of(trace(&[&format!("r:{passed}:{probe}"), "--", &passed]));
        assert_eq!(messages(&finished), [expected], "{probe}: {finished:#?}");
    }
}
