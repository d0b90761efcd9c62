//! What -vv has the kernel tell costs nothing when nobody asks for it.

use std::{fs, process::Command};

use tests::{
    kernel::Kernel,
    process::{Live, funccount, stackcount, trace},
};

/// As much as can be told before it is read, in bytes.
const LOG_BYTES: u64 = 1 << 16;

/// What a tool has in the kernel.
#[derive(Debug)]
struct InKernel {
    /// Instructions that the verifier went through: none that can't be reached.
    instructions: Option<u64>,
    /// Whether one of the maps is the log.
    has_log: bool,
}

/// What `tool` has in the kernel while it runs.
fn in_kernel(tool: Command) -> InKernel {
    let live = Live::start(tool);
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", live.pid())).expect("it runs");
    let texts = descriptors.map(|entry| {
        // Some come and go.
        fs::read_to_string(entry.expect("it runs").path()).unwrap_or_default()
    });
    let texts: Vec<String> = texts.collect();
    let finished = live.interrupt();
    assert!(finished.status.success(), "{finished:#?}");
    InKernel {
        instructions: numbers(&texts, "verified_insns").max(),
        has_log: numbers(&texts, "max_entries").any(|bytes| bytes == LOG_BYTES),
    }
}

/// The numbers behind `name` in what the kernel tells of descriptors.
fn numbers<'a>(texts: &'a [String], name: &'a str) -> impl Iterator<Item = u64> + 'a {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(move |line| {
        let number = line.strip_prefix(name)?.strip_prefix(":\t")?;
        number.parse().ok()
    })
}

#[test]
fn a_log_that_nobody_reads_is_not_in_the_programs() {
    const PROBE: &str = "t:syscalls:sys_enter_getppid";
    let tools: [&dyn Fn(&str) -> Command; 3] = [
        &|told| funccount(&[told, "--by", "comm", PROBE]),
        &|told| stackcount(&[told, PROBE]),
        &|told| trace(&[told, PROBE]),
    ];
    for tool in tools {
        let [without, with] = ["-v", "-vv"].map(|told| in_kernel(tool(told)));
        assert!(with.has_log && !without.has_log, "{without:?} {with:?}");
        // The kernel tells since 5.16.
        if Kernel::current().release >= (5, 16) {
            assert!(without.instructions.is_some(), "{without:?}");
            assert!(
                without.instructions < with.instructions,
                "{without:?} {with:?}"
            );
        }
    }
}
