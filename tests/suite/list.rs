//! list: what it lists can be given to the other tools, and is all that they would take.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value, json};
use tests::{
    fixtures,
    process::{Finished, Worker, funccount, probekit},
};

fn list(arguments: &[&str]) -> Finished {
    let mut command = Command::new(probekit());
    command.arg("list").args(arguments);
    Finished::of(command)
}

/// The lines of a list that succeeds.
fn lines(arguments: &[&str]) -> Vec<String> {
    let finished = list(arguments);
    assert!(finished.status.success(), "{finished:#?}");
    finished.stdout.lines().map(str::to_owned).collect()
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    let parse = |line: String| serde_json::from_str(&line).expect("an object a line");
    lines(arguments).into_iter().map(parse).collect()
}

fn fixture(name: &str) -> String {
    fixtures::path(name).to_str().expect("text").to_owned()
}

#[test]
fn kernel_functions_are_those_of_the_kernel() {
    let symbols = fs::read_to_string("/proc/kallsyms").expect("/proc is there");
    let known: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(2))
        .collect();
    let listed = lines(&["*"]);
    assert!(listed.len() > 10_000, "{}", listed.len());
    let unknown: Vec<_> = listed
        .iter()
        .filter(|name| !known.contains(&***name))
        .collect();
    assert_eq!(unknown, [""; 0]);
    assert_eq!(lines(&["sched_getaffinit*"]), ["sched_getaffinity"]);
    assert_eq!(lines(&["-r", "sched_.etaffinity$"]).len(), 2);
    assert_eq!(lines(&["r::sched_getaffinit*"]), ["r::sched_getaffinity"]);
}

#[test]
fn a_kernel_function_is_declared_as_its_source_does() {
    let declaration = "ssize_t vfs_read(struct file *file, char *buf, size_t count, loff_t *pos)";
    assert_eq!(
        lines(&["-v", "vfs_read"]),
        ["vfs_read", &format!("    {declaration}")]
    );
    let probe = &objects(&["-v", "--json", "vfs_read"])[0];
    assert_eq!(probe["kind"], "kernel_function");
    assert_eq!(probe["declaration"], declaration);
    assert_eq!(probe["returns"], "ssize_t");
    assert_eq!(
        probe["parameters"][0],
        json!({"name": "file", "type": "struct file *"})
    );
}

#[test]
fn a_system_call_takes_what_its_tracepoint_records() {
    let listed = lines(&["-v", "__x64_sys_getpriority"]);
    assert_eq!(
        listed[1],
        "    long __x64_sys_getpriority(int which, int who)"
    );
}

#[test]
fn tracepoints_have_their_fields() {
    let listed = lines(&["-v", "t:sched:sched_process_for*"]);
    assert_eq!(listed[0], "t:sched:sched_process_fork");
    for field in ["    pid_t parent_pid", "    pid_t child_pid"] {
        assert!(listed.contains(&field.to_owned()), "{listed:#?}");
    }
    assert!(!listed.iter().any(|line| line.contains("common_")));
    let field = &objects(&["-v", "--json", "t:sched:sched_process_fork"])[0]["fields"][1];
    assert_eq!(field, &json!({"name": "parent_pid", "type": "pid_t"}));
}

#[test]
fn patterns_of_other_tools_list_what_they_list_there() {
    let all = lines(&["*:*nanosleep*"]);
    for probe in [
        "hrtimer_nanosleep",
        "t:syscalls:sys_enter_nanosleep",
        "t:syscalls:sys_exit_clock_nanosleep",
    ] {
        assert!(all.contains(&probe.to_owned()), "{probe} in {all:#?}");
    }
    let of_category = lines(&["sched:sched_process_*"]);
    assert_eq!(of_category, lines(&["t:sched:sched_process_*"]));
    // Without a pattern, all tracepoints.
    let tracepoints = lines(&[]);
    assert!(tracepoints.len() > 500 && tracepoints.iter().all(|line| line.starts_with("t:")));
}

#[test]
fn functions_of_a_program_are_declared_from_its_dwarf_or_its_debug_files() {
    let request = fixture("request");
    assert_eq!(
        lines(&["-v", &format!("{request}:pk_hand*")]),
        [
            format!("{request}:pk_handle"),
            "    int pk_handle(struct request *req, unsigned char times)".to_owned()
        ]
    );
    let split = format!("{}:pk_work", fixture("calls-split"));
    assert_eq!(
        lines(&["-v", &split])[1],
        "    long int pk_work(long int n)"
    );
    // One without says so.
    let finished = list(&["-v", &format!("{}:main", fixture("stacks"))]);
    assert_eq!(finished.stdout.lines().count(), 1);
    assert!(finished.stderr.contains("has no DWARF"), "{finished:#?}");
}

#[test]
fn what_is_listed_can_be_given_back() {
    for program in ["calls", "shapes", "twins"] {
        let program = fixture(program);
        for pattern in [format!("{program}:*"), format!("r:{program}:*")] {
            for probe in lines(&[&pattern]) {
                assert_eq!(lines(&[&probe]), [&*probe], "of {pattern}");
            }
        }
    }
    let calls = fixture("calls");
    let probe = lines(&[&format!("{calls}:pk_w*")]).remove(0);
    let finished = Finished::of(funccount(&[&probe, "--", &calls, "work", "9"]));
    assert_eq!(finished.count("pk_work"), 9);
    let probe = lines(&[&format!("u:{calls}:pl*")]).remove(0);
    let finished = Finished::of(funccount(&[&probe, "--", &calls, "usdt", "9"]));
    assert_eq!(finished.count("plain"), 9);
}

#[test]
fn usdt_probes_tell_their_places_and_arguments() {
    let calls = fixture("calls");
    let probes = objects(&["-v", "--json", &format!("u:{calls}:*")]);
    let names: Vec<_> = probes.iter().map(|probe| &probe["name"]).collect();
    assert_eq!(names, ["fixture:guarded", "fixture:plain"]);
    let [guarded, plain] = [0, 1].map(|at| &probes[at]["locations"]);
    assert_eq!(probes[1]["places"], 3);
    assert!(guarded[0]["semaphore"].is_u64() && plain[0]["semaphore"].is_null());
    for location in [&guarded[0], &plain[0]] {
        let argument = &location["arguments"][0];
        assert_eq!(argument["bytes"], 4);
        assert_eq!(argument["signed"], true);
        let place = argument["place"].as_str().expect("text");
        assert!(place.contains('%'), "{place}");
    }
    // All there are, and those of a name.
    let all = lines(&["-l", &calls]);
    assert_eq!(all, lines(&[&format!("u:{calls}:*")]));
    let named = lines(&["-l", &calls, "*e*"]);
    assert!(named.contains(&format!("u:{calls}:fixture:guarded")));
    assert!(named.contains(&format!("{calls}:pk_never")));
    assert!(!named.contains(&format!("{calls}:pk_work")));
}

#[test]
fn a_process_has_the_probes_of_all_its_files() {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "none", "1"]);
    let worker = Worker::start(command);
    let pid = worker.pid().to_string();
    let usdt = lines(&["-p", &pid]);
    let ours = format!("u:{}:fixture:plain", fixture("calls"));
    assert!(usdt.contains(&ours), "{usdt:#?}");
    assert!(usdt.iter().all(|line| line.starts_with("u:")));
    let functions = lines(&["-p", &pid, "pk_w*"]);
    assert_eq!(functions, [format!("{}:pk_work", fixture("calls"))]);
    let malloc = lines(&["-p", &pid, "malloc"]);
    assert!(
        malloc
            .iter()
            .any(|line| line.ends_with("/libc.so.6:malloc")),
        "{malloc:#?}"
    );
    list(&["-p", &pid, "pk_wrok"]).assert_failure(1, "did you mean `pk_work`");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let calls = fixture("calls");
    for (pattern, message) in [
        ("sched_getafinity", "sched_getaffinity"),
        ("t:sched:sched_swicth", "did you mean `sched:sched_switch`"),
        (&*format!("{calls}:pk_wrok"), "did you mean `pk_work`"),
        (&*format!("u:{calls}:plian"), "did you mean `plain`"),
        ("nosuchlibrary:foo", "found no library or program"),
        ("bpf_prog_*", "nothing is left to list"),
    ] {
        list(&[pattern]).assert_failure(1, message);
    }
    list(&["x:foo:bar"]).assert_failure(2, "unknown kind `x`");
    list(&["-p", "4194305", "*"]).assert_failure(1, "no process has the PID 4194305");
}

#[test]
fn structures_of_the_kernel_have_their_members() {
    let listed = lines(&["struct task_struc*"]);
    assert!(
        listed.contains(&"struct task_struct".to_owned()),
        "{listed:?}"
    );
    let members = lines(&["-v", "struct task_struct"]);
    for member in [
        "    pid_t tgid",
        "    char comm[16]",
        "    struct task_struct *parent",
    ] {
        let found = members.iter().any(|line| line.starts_with(member));
        assert!(found, "{member} in {members:#?}");
    }
    // Part of a union without a name; a bit field.
    let members = lines(&["-v", "struct sock_common"]);
    for member in ["    __be32 skc_daddr", "    unsigned char skc_reuse : 4"] {
        assert!(members.contains(&member.to_owned()), "{members:#?}");
    }
    let union = &objects(&["-v", "--json", "union bpf_attr"])[0];
    assert_eq!(union["kind"], "structure");
    let field = json!({"name": "map_type", "type": "__u32"});
    assert_eq!(union["fields"][0], field, "{union:#?}");
    list(&["struct task_strutc"]).assert_failure(1, "did you mean `task_struct`");
}

#[test]
fn a_pattern_that_means_nothing_hides_no_other() {
    let finished = list(&[
        "nosuchfunction",
        "t:sched:sched_switch",
        "nosuchlibrary:foo",
    ]);
    assert_eq!(finished.stdout, "t:sched:sched_switch\n");
    finished.assert_failure(1, "error: no kernel function matches `nosuchfunction`");
    finished.assert_failure(1, "error: found no library or program");
}

#[test]
fn what_patterns_leave_out_is_told() {
    let finished = list(&["b*"]);
    assert!(finished.stderr.contains("left out "), "{finished:#?}");
    assert!(finished.stderr.contains("-v lists them"), "{finished:#?}");
    let finished = list(&["-v", "b*"]);
    let mut left_out = finished.stderr.lines();
    let reason = "the handling of every probe runs through it";
    let is_told = |line: &str| line.starts_with("left out ") && line.ends_with(reason);
    assert!(left_out.any(is_told), "{finished:#?}");
}

#[test]
fn symbols_that_would_move_the_cursor_do_not() {
    let program = fixture("escape");
    let finished = list(&[&format!("{program}:pk_evil*")]);
    assert!(!finished.stdout.contains('\x1b'), "{finished:#?}");
    assert!(
        finished.stdout.contains("pk_evil_\\u{1b}[2J"),
        "{finished:#?}"
    );
}

#[test]
fn words_are_completed_with_what_is_there() {
    let complete = |words: &[&str]| {
        let mut command = Command::new(probekit());
        command.args(["complete", "--"]).args(words);
        let finished = Finished::of(command);
        assert!(finished.status.success(), "{finished:#?}");
        let values = finished
            .stdout
            .lines()
            .filter_map(|line| line.split('\t').next());
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let calls = fixture("calls");
    let (folder, _) = calls.rsplit_once('/').expect("a path");
    for (tool, typed, expected) in [
        ("funccount", "sched_getaffin", "sched_getaffinity"),
        (
            "trace",
            "t:syscalls:sys_enter_getpri",
            "t:syscalls:sys_enter_getpriority",
        ),
        ("stackcount", "t:syscal", "t:syscalls:"),
        (
            "funccount",
            &format!("{calls}:pk_wor"),
            &format!("{calls}:pk_work"),
        ),
        (
            "funccount",
            &format!("u:{calls}:pla"),
            &format!("u:{calls}:plain"),
        ),
        (
            "funccount",
            &format!("u:{calls}:fixture:pla"),
            &format!("u:{calls}:fixture:plain"),
        ),
        (
            "funccount",
            calls.strip_suffix("ls").expect("its name"),
            &format!("{calls}:"),
        ),
        ("trace", &format!("u:{folder}/cal"), &format!("u:{calls}:")),
        (
            "trace",
            folder.strip_suffix("s").expect("its name"),
            &format!("{folder}/"),
        ),
        ("funccount", "--follow-f", "--follow-forks"),
        ("probekit", "doc", "doctor"),
    ] {
        assert!(
            complete(&[tool, typed]).contains(&expected.to_owned()),
            "{tool} {typed}"
        );
    }
    assert_eq!(
        complete(&["probekit", "list", "sched_getaffinit"]),
        ["sched_getaffinity"]
    );
    assert_eq!(
        complete(&["funccount", "--attach-with", "kprobe.s"]),
        ["kprobe.single"]
    );
    assert_eq!(
        complete(&[
            "probekit",
            "list",
            "-l",
            calls.strip_suffix("ls").expect("its name")
        ])
        .iter()
        .find(|file| **file == calls),
        Some(&calls)
    );
    assert_eq!(complete(&["probekit", "help", "reci"]), ["recipes"]);
    // Shells complete commands themselves.
    assert_eq!(complete(&["funccount", "c:malloc", "--", "s"]), [""; 0]);
    for typed in [
        "t:nosuch:",
        "nosuchlibrary:f",
        "u:nosuchlibrary:f",
        "x:y:z",
        "a b",
    ] {
        assert_eq!(complete(&["funccount", typed]), [""; 0], "{typed}");
    }
}
