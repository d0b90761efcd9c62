//! doctor: its findings are what the kernel and the privileges really allow.

use std::process::Command;

use serde_json::Value;
use tests::{
    kernel::{Kernel, Setting},
    process::{Finished, probekit},
    user::{CAP_BPF, CAP_PERFMON, User},
};

const WAYS: [&str; 9] = [
    "kprobe.multi",
    "kprobe",
    "kprobe.single",
    "fentry",
    "uprobe.multi",
    "uprobe",
    "uprobe.single",
    "tracepoint",
    "tracepoint.single",
];

fn doctor(arguments: &[&str]) -> Finished {
    let mut command = Command::new(probekit());
    command.arg("doctor").args(arguments);
    Finished::of(command)
}

/// What was found, once the exit status has been held against it.
fn checks(finished: &Finished) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).expect("an object a line");
    let checks: Vec<Value> = finished.stdout.lines().map(parse).collect();
    let is_fit = checks.iter().all(|check| check["status"] != "fail");
    let expected = if is_fit { 0 } else { 1 };
    assert_eq!(finished.status.code(), Some(expected), "{finished:#?}");
    let is_helpful = |check: &Value| check["status"] == "ok" || check["remedy"].is_string();
    assert!(checks.iter().all(is_helpful), "{finished:#?}");
    checks
}

fn status<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let is_named = |check: &&Value| check["check"].as_str().map(str::trim) == Some(name);
    let check = checks.iter().find(is_named);
    let status = check.and_then(|check| check["status"].as_str());
    status.unwrap_or_else(|| panic!("no {name} in {checks:#?}"))
}

/// `ok` if something should work, and what else it should say.
fn expected(should_work: bool, otherwise: &str) -> &str {
    if should_work { "ok" } else { otherwise }
}

#[test]
fn the_ways_that_work_are_those_that_should() {
    let kernel = Kernel::current();
    let checks = checks(&doctor(&["--json"]));
    for way in WAYS {
        let expected = expected(kernel.should_attach(way), "warn");
        assert_eq!(status(&checks, way), expected, "{way} in {checks:#?}");
    }
    for (name, way) in [
        ("kernel functions", "kprobe.single"),
        ("functions of programs", "uprobe.single"),
        ("tracepoints", "tracepoint.single"),
    ] {
        let expected = expected(kernel.should_attach(way), "fail");
        assert_eq!(status(&checks, name), expected, "{name} in {checks:#?}");
    }
    for name in ["kernel", "tracefs", "capabilities", "programs and maps"] {
        assert_eq!(status(&checks, name), "ok", "{name} in {checks:#?}");
    }
}

#[test]
fn people_get_a_line_each_and_the_remedy_below() {
    let finished = doctor(&[]);
    let first = "ok    kernel                     Linux ";
    assert!(finished.stdout.starts_with(first), "{finished:#?}");
    let objects = checks(&doctor(&["--json"]));
    let remedies = objects.iter().filter(|check| check["remedy"].is_string());
    let arrows = finished.stdout.lines().filter(|line| line.contains(" → "));
    assert_eq!(arrows.count(), remedies.count(), "{finished:#?}");
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_user_is_told_what_is_missing() {
    let user = User::new();
    let finished = Finished::of(user.probekit(&[], &["doctor", "--json"]));
    let found = checks(&finished);
    for name in ["tracefs", "capabilities", "programs and maps"] {
        assert_eq!(status(&found, name), "fail", "{name} in {found:#?}");
    }
    let remedy = "CAP_BPF and CAP_PERFMON: run it as root";
    assert!(finished.stdout.contains(remedy), "{finished:#?}");

    let both = [CAP_BPF, CAP_PERFMON];
    let finished = Finished::of(user.probekit(&both, &["doctor", "--json"]));
    let found = checks(&finished);
    assert_eq!(status(&found, "capabilities"), "warn");
    assert_eq!(status(&found, "programs and maps"), "ok");
    let multi = Kernel::current().should_attach("uprobe.multi");
    let functions = status(&found, "functions of programs");
    assert_eq!(functions, expected(multi, "fail"), "{found:#?}");
    assert!(finished.stdout.contains("it lacks CAP_SYS_ADMIN"));
}

#[test]
fn a_limit_of_locked_memory_fails_where_it_counts() {
    let user = User::new();
    let limited = user.probekit_within(1 << 16, &[CAP_BPF, CAP_PERFMON], &["doctor", "--json"]);
    let found = checks(&Finished::of(limited));
    let expected = expected(Kernel::current().release >= (5, 11), "fail");
    for name in ["locked memory", "programs and maps"] {
        assert_eq!(status(&found, name), expected, "{name} in {found:#?}");
    }
}

#[test]
fn settings_that_hide_things_are_told() {
    let _hidden = Setting::set("kernel/kptr_restrict", "2");
    let _short = Setting::set("kernel/perf_event_max_stack", "16");
    let found = checks(&doctor(&["--json"]));
    for name in ["kptr_restrict", "perf_event_max_stack"] {
        assert_eq!(status(&found, name), "warn", "{name} in {found:#?}");
    }
}

#[test]
fn ftrace_that_is_switched_off_is_told() {
    // A kernel that is locked down, and has no kprobes therefore, does not let us.
    let may_switch = Kernel::current().should_attach("kprobe.single");
    let _off = may_switch.then(|| Setting::set("kernel/ftrace_enabled", "0"));
    let found = checks(&doctor(&["--json"]));
    let expected = expected(!may_switch, "warn");
    assert_eq!(status(&found, "ftrace_enabled"), expected, "{found:#?}");
}
