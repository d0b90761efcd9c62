//! Every way of attaching, forced: it counts exactly where the kernel should have it, and says why
//! not where it should not.

use tests::{
    fixtures,
    kernel::{Kernel, Setting},
    process::{Finished, funccount, stackcount, trace},
};

const CALLS: u64 = 1000;

/// Counts `probe` by `way` while `calls WHAT 1000` runs; alone, and as the second of two, where it
/// must be told from the `other`.
fn count(way: &str, other: &str, probe: &str, what: &str, row: &str) {
    count_each(way, &[probe], what, row);
    count_each(way, &[other, probe], what, row);
}

fn count_each(way: &str, probes: &[&str], what: &str, row: &str) {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let mut arguments = vec!["--attach-with", way, "-v"];
    arguments.extend(probes);
    arguments.extend(["--", calls, what, "1000"]);
    let finished = Finished::of(funccount(&arguments));
    if Kernel::current().should_attach(way) {
        assert_eq!(finished.count(row), CALLS, "{finished:#?}");
        assert_eq!(finished.counts().len(), 1, "{finished:#?}");
        assert!(
            finished.stderr.contains(&format!(" by {way}, ")),
            "{finished:#?}"
        );
    } else {
        finished.assert_failure(1, "failed to attach any of ");
    }
}

fn user_function(way: &str) {
    let probe = |name: &str| format!("{}:{name}", fixtures::path("calls").display());
    count(
        way,
        &probe("pk_never"),
        &probe("pk_work"),
        "work",
        "pk_work",
    );
}

fn user_return(way: &str) {
    let probe = |name: &str| format!("r:{}:{name}", fixtures::path("calls").display());
    count(
        way,
        &probe("pk_never"),
        &probe("pk_work"),
        "work",
        "pk_work",
    );
}

/// The kernel's side of the system call of this name; a function of its own.
const FUNCTION: &str = "sched_getaffinity";

/// Its counterpart, which is not called.
const OTHER: &str = "sched_setaffinity";

fn kernel_function(way: &str) {
    count(way, OTHER, FUNCTION, "affinity", FUNCTION);
}

fn kernel_return(way: &str) {
    let probe = |name: &str| format!("r::{name}");
    count(way, &probe(OTHER), &probe(FUNCTION), "affinity", FUNCTION);
}

fn tracepoint(way: &str) {
    let event = "syscalls:sys_enter_getppid";
    let other = "t:syscalls:sys_enter_setpgid";
    count(way, other, &format!("t:{event}"), "getppid", event);
}

/// One test each for entry and return.
macro_rules! function_ways {
    ($($name:ident $way:literal $entry:ident $return:ident)*) => {
        $(mod $name {
            #[test]
            fn counts_entries_exactly() { super::$entry($way); }
            #[test]
            fn counts_returns_exactly() { super::$return($way); }
        })*
    };
}

function_ways! {
    kprobe_multi "kprobe.multi" kernel_function kernel_return
    kprobe "kprobe" kernel_function kernel_return
    kprobe_single "kprobe.single" kernel_function kernel_return
    fentry "fentry" kernel_function kernel_return
    uprobe_multi "uprobe.multi" user_function user_return
    uprobe "uprobe" user_function user_return
    uprobe_single "uprobe.single" user_function user_return
}

mod tracepoint {
    #[test]
    fn counts_exactly() {
        super::tracepoint("tracepoint");
    }
}

mod tracepoint_single {
    #[test]
    fn counts_exactly() {
        super::tracepoint("tracepoint.single");
    }
}

mod kernel_offset {
    use super::*;

    #[test]
    fn instructions_are_probed_and_the_rest_is_refused() {
        let calls = fixtures::path("calls");
        let calls = calls.to_str().expect("text");
        let mut probed = 0;
        for offset in 1..16 {
            let probe = format!("{FUNCTION}+{offset}");
            let finished = Finished::of(funccount(&[&probe, "--", calls, "affinity", "10"]));
            if finished.status.success() {
                // The first instructions lie before any branch.
                assert_eq!(finished.count(FUNCTION), 10, "{finished:#?}");
                probed += 1;
            } else {
                finished.assert_failure(1, "failed to attach any of 1 places");
            }
        }
        let expected = Kernel::current().should_attach("kprobe.single");
        assert_eq!(
            (1..15).contains(&probed),
            expected,
            "{probed} of 15 offsets"
        );
    }
}

mod hidden_addresses {
    use super::*;

    #[test]
    fn names_are_enough() {
        let _hidden = Setting::set("kernel/kptr_restrict", "2");
        let calls = fixtures::path("calls");
        let calls = calls.to_str().expect("text");
        for probe in [FUNCTION, "sched_getaffinit*"] {
            let finished = Finished::of(funccount(&[probe, "--", calls, "affinity", "10"]));
            if Kernel::current().should_attach("kprobe.single") {
                assert_eq!(finished.count(FUNCTION), 10, "{finished:#?}");
            } else {
                finished.assert_failure(1, "failed to attach any of 1 places");
            }
        }
    }

    #[test]
    fn stacks_without_names_say_why() {
        let calls = fixtures::path("calls");
        let calls = calls.to_str().expect("text");
        let note = "note: functions of the kernel have no names: it hides where they are; run it as \
                    root, with sysctl kernel.kptr_restrict=1";
        let arguments = ["-K", "t:sched:sched_process_fork", "--", calls, "fork", "3"];
        for tool in [stackcount, trace] {
            for (value, is_hidden) in [("2", true), ("1", false)] {
                let _setting = Setting::set("kernel/kptr_restrict", value);
                let finished = Finished::of(tool(&arguments));
                assert!(finished.status.success(), "{finished:#?}");
                assert_eq!(finished.stderr.contains(note), is_hidden, "{finished:#?}");
                let is_unknown = finished.stdout.contains("[unknown]");
                assert_eq!(is_unknown, is_hidden, "{finished:#?}");
            }
        }
    }
}
