//! Users who are not root, or who are and may not do all: what their capabilities suffice for works, the rest is refused by the
//! names of those that are missing.

use std::process::Command;

use tests::{
    kernel::{Kernel, Setting},
    process::{Finished, Live, funccount, probekit},
    user::{self, CAP_BPF, CAP_PERFMON, User},
};

use crate::trace::messages;

const BOTH: &[u32] = &[CAP_BPF, CAP_PERFMON];
const TOOLS: [&str; 3] = ["funccount", "stackcount", "trace"];
const FUNCTION: &str = "sched_getaffinity";
const PARANOID: &str = "kernel/perf_event_paranoid";

fn probe(user: &User) -> String {
    format!("{}:pk_work", user.calls().display())
}

/// Counts `probe` in a process of the user's while it works.
fn count(user: &User, arguments: &[&str], probe: &str, what: &str) -> Finished {
    let mut worker = user.worker(&[what, "7"]);
    let pid = worker.pid().to_string();
    let mut all = vec!["-v", "-p", &pid, probe];
    all.extend(arguments);
    let live = Live::start(user.funccount(BOTH, &all));
    worker.work();
    live.interrupt()
}

#[test]
fn what_a_user_lacks_is_named() {
    let user = User::new();
    let probe = probe(&user);
    for (capabilities, lacks) in [
        (&[][..], "it lacks CAP_BPF and CAP_PERFMON: run it as root"),
        (&[CAP_BPF], "it lacks CAP_PERFMON: run it as root"),
        (&[CAP_PERFMON], "it lacks CAP_BPF: run it as root"),
    ] {
        for (tool, probe) in TOOLS
            .into_iter()
            .flat_map(|tool| [(tool, &*probe), (tool, FUNCTION)])
        {
            let finished = Finished::of(user.probekit(capabilities, &[tool, probe]));
            finished.assert_failure(1, lacks);
        }
    }
}

#[test]
fn root_of_a_user_namespace_is_told_from_that_of_the_system() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(probekit());
    let probe = format!("{}:pk_work", tests::fixtures::path("calls").display());
    command.args(["funccount", &probe]);
    let told =
        "; this is root of a user namespace, and the kernel wants the system's: run it outside";
    Finished::of(command).assert_failure(1, told);

    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(probekit());
    let doctor = Finished::of({
        command.arg("doctor");
        command
    });
    assert_eq!(doctor.status.code(), Some(1), "{doctor:#?}");
    let told = "those of root of a user namespace, which the kernel does not ask";
    assert!(doctor.stdout.contains(told), "{doctor:#?}");
}

#[test]
fn two_capabilities_are_enough_to_trace_user_functions_and_their_stacks() {
    let user = User::new();
    let probe = probe(&user);
    let values = format!(r#"{probe} "%d", arg1"#);
    // Above that, kernels of some distributions want root for the events that mappings come by.
    let _paranoid = Setting::set(PARANOID, "2");
    for arguments in [
        &["trace", "-v", &*values][..],
        &["stackcount", "-f", &probe],
    ] {
        let mut worker = user.worker(&["work", "7"]);
        let pid = worker.pid().to_string();
        let command = user.probekit(BOTH, &[arguments, &["-p", &pid]].concat());
        if !Kernel::current().should_attach("uprobe.multi") {
            Finished::of(command).assert_failure(1, "it lacks CAP_SYS_ADMIN");
            continue;
        }
        let live = Live::start(command);
        worker.work();
        let finished = live.interrupt();
        if arguments[0] == "trace" {
            let numbers: Vec<String> = (0..7).map(|n| n.to_string()).collect();
            assert_eq!(messages(&finished), numbers, "{finished:#?}");
        } else {
            let lines = finished.stdout.lines();
            let stacks = lines.filter(|line| line.contains(";main;") && line.contains(";pk_work "));
            let counts = stacks.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
            assert_eq!(counts.sum::<u64>(), 7, "{finished:#?}");
        }
    }
}

#[test]
fn two_capabilities_are_enough_for_user_functions_since_there_are_multi_links() {
    let user = User::new();
    let probe = probe(&user);
    if Kernel::current().should_attach("uprobe.multi") {
        let finished = count(&user, &[], &probe, "work");
        assert_eq!(finished.count("pk_work"), 7, "{finished:#?}");
    } else {
        Finished::of(user.funccount(BOTH, &[&probe])).assert_failure(1, "it lacks CAP_SYS_ADMIN");
    }
    // All kernels of the matrix have got it that perf events want root for uprobes.
    let arguments = ["--attach-with", "uprobe.single", &probe];
    Finished::of(user.funccount(BOTH, &arguments)).assert_failure(1, "it lacks CAP_SYS_ADMIN");
}

#[test]
fn two_capabilities_are_enough_for_kernel_functions_however_paranoid_perf_is() {
    let user = User::new();
    for paranoid in ["2", "3"] {
        let _paranoid = Setting::set(PARANOID, paranoid);
        if Kernel::current().should_attach("kprobe.single") {
            let finished = count(&user, &[], FUNCTION, "affinity");
            assert_eq!(finished.count(FUNCTION), 7, "{finished:#?}");
        } else {
            let finished = Finished::of(user.funccount(BOTH, &[FUNCTION]));
            finished.assert_failure(1, "failed to attach any of 1 places");
        }
    }
}

#[test]
fn perf_being_paranoid_is_told_where_it_is_the_reason() {
    let user = User::new();
    let _paranoid = Setting::set(PARANOID, "3");
    let finished =
        Finished::of(user.funccount(BOTH, &["--attach-with", "kprobe.single", FUNCTION]));
    if Kernel::current().should_attach("kprobe.single") {
        finished.assert_failure(1, "perf_event_paranoid");
    } else {
        finished.assert_failure(1, "failed to attach any of 1 places");
    }
}

#[test]
fn what_needs_more_says_so() {
    let user = User::new();
    for (arguments, lacks) in [
        (&["t:sched:sched_switch"][..], "it lacks CAP_SYS_ADMIN"),
        (&[FUNCTION, "--", "true"], "it lacks CAP_SYS_ADMIN"),
        (&["-p", "1", "c:malloc"], "it lacks CAP_SYS_PTRACE"),
    ] {
        Finished::of(user.funccount(BOTH, arguments)).assert_failure(1, lacks);
    }
}

#[test]
fn without_tracefs_functions_are_counted_and_tracepoints_refused() {
    let refused = "failed to read tracefs: Operation not permitted (os error 1); it lacks \
                   CAP_SYS_ADMIN, which this root was not given";
    // Perf events want the same capability.
    counts_functions_and_refuses_tracepoints(user::without_tracefs, refused, "uprobe.multi");
}

#[test]
fn on_a_kernel_built_without_tracefs_too() {
    let refused = "failed to read tracefs: No such device (os error 19); this kernel is built \
                   without tracing";
    let hide = user::built_without_tracefs;
    counts_functions_and_refuses_tracepoints(hide, refused, "uprobe.single");
}

/// `way` is what functions of programs are attached by if there is no better one.
fn counts_functions_and_refuses_tracepoints(hide: fn(&mut Command), refused: &str, way: &str) {
    let user = User::new();
    let run = |arguments: &[&str]| {
        let mut command = funccount(arguments);
        hide(&mut command);
        command
    };
    for arguments in [
        &["t:sched:sched_switch"][..],
        &["t:sched:*"],
        &[FUNCTION, "--", "true"],
    ] {
        Finished::of(run(arguments)).assert_failure(1, refused);
    }
    for (probe, what, name, way) in [
        (&*probe(&user), "work", "pk_work", way),
        (FUNCTION, "affinity", FUNCTION, "kprobe.single"),
    ] {
        let mut worker = user.worker(&[what, "7"]);
        let pid = worker.pid().to_string();
        let command = run(&["-p", &pid, probe]);
        if Kernel::current().should_attach(way) {
            let live = Live::start(command);
            worker.work();
            assert_eq!(live.interrupt().count(name), 7);
        } else {
            Finished::of(command).assert_failure(1, "failed to attach any of 1 places");
        }
    }
}

#[test]
fn a_limit_of_locked_memory_is_told_where_it_is_the_reason() {
    let user = User::new();
    let arguments = ["-d", "0.01", FUNCTION];
    let finished = Finished::of(user.funccount_within(0, BOTH, &arguments));
    if Kernel::current().release < (5, 11) {
        finished.assert_failure(1, "raise the limit of locked memory (ulimit -l)");
    } else if Kernel::current().should_attach("kprobe.single") {
        assert!(finished.status.success(), "{finished:#?}");
    } else {
        finished.assert_failure(1, "failed to attach any of 1 places");
    }
}

#[test]
fn buffers_that_a_user_may_not_have_are_told_by_what_limits_them() {
    let user = User::new();
    let _none = Setting::set("kernel/perf_event_mlock_kb", "0");
    let _paranoid = Setting::set(PARANOID, "2");
    let arguments = ["stackcount", "-D", "0.01", &probe(&user)];
    let finished = Finished::of(user.probekit_within(0, BOTH, &arguments));
    let told = "; kernel.perf_event_mlock_kb and `ulimit -l` limit what a user's buffers take";
    finished.assert_failure(1, told);
    assert!(!finished.stderr.contains("CAP_"), "{finished:#?}");
}
