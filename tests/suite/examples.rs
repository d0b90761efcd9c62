//! The examples of bcc's help for trace, with the names that functions have on this kernel.

use std::path::PathBuf;

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, Live, funccount, trace},
};

use crate::{
    filters::{Cgroup, cgroup_root},
    trace::messages,
};

fn examples() -> String {
    let path: PathBuf = fixtures::path("examples");
    path.to_str().expect("text").to_owned()
}

/// Traces with `arguments` what the fixture does for `action`.
fn run(arguments: &[&str], action: &str) -> Finished {
    let examples = examples();
    let command = ["--", examples.as_str(), action];
    Finished::of(trace(&[arguments, command.as_slice()].concat()))
}

fn shown(arguments: &[&str], action: &str) -> Vec<String> {
    let finished = run(arguments, action);
    assert!(finished.status.success(), "{arguments:?}: {finished:#?}");
    messages(&finished)
}

/// The same at a kernel function; on kernels without kprobes that is an error.
fn shown_of_kernel(arguments: &[&str], action: &str) -> Option<Vec<String>> {
    if Kernel::current().should_attach("kprobe.single") {
        return Some(shown(arguments, action));
    }
    run(arguments, action).assert_failure(1, "failed to attach any of ");
    None
}

fn assert_shown_of_kernel(arguments: &[&str], action: &str, expected: &[&str]) {
    if let Some(shown) = shown_of_kernel(arguments, action) {
        assert_eq!(shown, expected, "{arguments:?}");
    }
}

#[test]
fn files_that_are_opened() {
    let named = r#"do_sys_openat2 "%s", arg2@user"#;
    let file = "/proc/self/comm";
    for probe in [named, r#"do_sys_openat2 "%s", arg2"#] {
        assert_shown_of_kernel(&[probe, "-f", "self/comm"], "open", &[file, file]);
    }
    assert_shown_of_kernel(
        &[named, "-n", "exampl", "-f", "comm"],
        "open",
        &[file, file],
    );
    assert_shown_of_kernel(&[named, "-n", "main"], "open", &[]);
    assert_shown_of_kernel(&[named, "--uid", "1001"], "open", &[]);
    if let Some(lines) = shown_of_kernel(&["do_sys_openat2"], "open") {
        let opened = lines.iter().filter(|line| line.contains(file));
        assert_eq!(opened.count(), 2, "{lines:#?}");
    }
    let kernels = r#"r::do_sys_openat2 "%llx", retval"#;
    // What the program gets of it, as the library hands it on.
    let librarys = r#"r:c:open "%llx", retval"#;
    if shown_of_kernel(&[kernels], "open").is_some() {
        let lines = shown(&[kernels, librarys], "open");
        let numbers = lines.iter().map(|line| u64::from_str_radix(line, 16));
        let numbers: Vec<u64> = numbers.map(|number| number.expect("hexadecimal")).collect();
        let last = &numbers[numbers.len() - 4..];
        // Those below are its standard input and outputs.
        assert!((3..1024).contains(&last[0]), "{lines:?}");
        assert_eq!(last, [last[0]; 4], "{lines:?}");
    }
}

#[test]
fn large_reads() {
    let probe = r#"ksys_read (arg3 > 20000) "read %d bytes", arg3"#;
    let expected = ["read 20001 bytes", "read 20002 bytes"];
    assert_shown_of_kernel(&[probe], "read", &expected);
}

#[test]
fn functions_of_libc() {
    let opened = shown(&[r#"c:open (arg2 == 42) "%s %d", arg1, arg2"#], "open");
    assert_eq!(opened, ["/proc/self/comm 42"]);

    let sizes = shown(&[r#"c:malloc "size = %d", arg1"#], "malloc");
    assert!(sizes.contains(&"size = 12345".to_owned()), "{sizes:?}");

    let probe = r#"p:c:write (arg1 == 1) "writing %d bytes to STDOUT", arg3"#;
    let finished = run(&[probe], "write");
    let line = finished.stdout.lines().find(|line| line.contains("STDOUT"));
    assert!(
        line.is_some_and(|line| line.ends_with("writing 6 bytes to STDOUT")),
        "{finished:#?}"
    );

    let probe = r#"r:c:malloc (retval) "allocated = %x", retval"#;
    let finished = run(&[probe], "malloc");
    // The program says itself what it got, of which `%x` shows as much as printf would.
    let mut lines = finished.stdout.lines();
    let own = lines.find_map(|line| line.strip_prefix("kept "));
    let own = u64::from_str_radix(own.expect("it says it"), 16).expect("an address");
    let expected = format!("allocated = {:x}", own as u32);
    assert!(messages(&finished).contains(&expected), "{finished:#?}");
}

#[test]
fn stacks_of_address_conversions() {
    let finished = run(&["-s", "libc.so.6", "p:c:inet_pton", "-U"], "address");
    assert!(finished.stderr.contains("-s not needed"), "{finished:#?}");
    let frames: Vec<&str> = finished
        .stdout
        .lines()
        .filter(|line| line.starts_with("        "))
        .collect();
    assert!(frames[0].contains("inet_pton"), "{finished:#?}");
    assert!(
        frames.iter().any(|frame| frame.contains("main")),
        "{finished:#?}"
    );
}

#[test]
fn kernel_memory_that_runs_out() {
    let new = Kernel::current().has_function("__kmalloc_noprof");
    let function = if new { "__kmalloc_noprof" } else { "__kmalloc" };
    let probe = format!(r#"r::{function} (retval == 0) "kmalloc failed!""#);
    assert_shown_of_kernel(&[&probe], "open", &[]);

    let examples = examples();
    let probe = format!(r#"r::{function} (retval != 0) "kmalloc did not fail""#);
    // The kernel has to read the headers of a program that it is to run.
    let finished = Finished::of(trace(&[&probe, "--", "env", &examples, "open"]));
    if Kernel::current().should_attach("kprobe.single") {
        let shown = messages(&finished);
        assert!(
            shown.iter().any(|line| line == "kmalloc did not fail"),
            "{finished:#?}"
        );
    } else {
        finished.assert_failure(1, "failed to attach any of ");
    }
}

#[test]
fn programs_that_are_run() {
    let examples = examples();
    let event = r#"t:syscalls:sys_enter_execve "%s", args->filename"#;
    let finished = Finished::of(trace(&[event, "--", "env", &examples, "sleep"]));
    assert_eq!(messages(&finished), [examples], "{finished:#?}");
}

#[test]
fn usdt_probes_with_a_predicate() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let probe = format!("u:{calls}:plain (arg1 != 0)");
    let finished = Finished::of(trace(&[&probe, "--", calls, "usdt", "4"]));
    assert_eq!(
        messages(&finished),
        ["arg1=1", "arg1=2", "arg1=3"],
        "{finished:#?}"
    );
}

#[test]
fn sleeps() {
    let probe = r#"p::hrtimer_nanosleep(ktime_t rqtp) "sleep for %lld ns", rqtp"#;
    assert_shown_of_kernel(&[probe], "sleep", &["sleep for 10000000 ns"]);
    let probe = r#"p::do_nanosleep(struct hrtimer_sleeper *t) (t->task->pid == $pid) "task""#;
    assert_shown_of_kernel(&[probe], "sleep", &["task"]);
}

#[test]
fn system_calls_of_a_cgroup() {
    let cgroup = Cgroup::new(
        &cgroup_root(),
        &format!("probekit-examples-{}", std::process::id()),
    );
    let examples = examples();
    let procs = cgroup.0.join("cgroup.procs");
    let script = format!(
        "{examples} sleep; echo $$ > {}; exec {examples} sleep fork",
        procs.display()
    );
    let path = cgroup.0.to_str().expect("text");
    let probes = ["-c", path, "__x64_sys_nanosleep", "__x64_sys_clone"];
    let command = ["--", "sh", "-c", &script];
    let finished = Finished::of(trace(&[probes.as_slice(), &command].concat()));
    if !Kernel::current().should_attach("kprobe.single") {
        return finished.assert_failure(1, "failed to attach any of ");
    }
    let functions = finished
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.split_ascii_whitespace().nth(3));
    let functions: Vec<&str> = functions.flatten().collect();
    assert_eq!(
        functions,
        ["__x64_sys_nanosleep", "__x64_sys_clone"],
        "{finished:#?}"
    );
}

#[test]
fn system_calls_without_arguments() {
    let probe = r#"__x64_sys_sync "sys_sync() called""#;
    assert_shown_of_kernel(&[probe], "sync", &["sys_sync() called"]);
    if let Some(lines) = shown_of_kernel(&["-t", "__x64_sys_clone"], "fork") {
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn fields_by_the_names_of_macros() {
    let probe = |port: u32| format!("udpv6_sendmsg(struct sock *sk) (sk->sk_dport == {port})");
    if Kernel::current().has_function("udpv6_sendmsg") {
        for (port, count) in [(13568, 1), (53, 0)] {
            let shown = shown_of_kernel(&["-I", "net/sock.h", &probe(port)], "datagram");
            assert_eq!(shown.map_or(count, |lines| lines.len()), count, "{port}");
        }
    } else {
        run(&[&probe(53)], "datagram").assert_failure(1, "no kernel function matches");
    }
}

#[test]
fn structures_of_the_running_task() {
    let probe = r#"mntns_install "users = %d", $task->fs->users"#;
    assert_shown_of_kernel(&["-I", "linux/fs_struct.h", probe], "setns", &["users = 1"]);
}

#[test]
fn uprobes_that_are_registered() {
    let probe = r#"p::uprobe_register(struct inode *inode) (inode->i_mapping->a_ops) "a_ops = %llx", inode->i_mapping->a_ops"#;
    let arguments = ["-v", "-M", "1", "-I", "linux/fs.h", probe];
    if !Kernel::current().should_attach("kprobe.single") {
        return Finished::of(trace(&arguments)).assert_failure(1, "failed to attach any of ");
    }
    let tracing = Live::start(trace(&arguments));
    let target = format!("{}:main", examples());
    let counting = Live::start(funccount(&[&target]));
    let finished = tracing.wait();
    assert!(counting.interrupt().status.success());
    let shown = messages(&finished);
    assert!(shown[0].starts_with("a_ops = ffffffff"), "{finished:#?}");
}

#[test]
fn places_within_functions() {
    // Which of its offsets are instructions differs from kernel to kernel.
    let at = |offset: u32| format!("do_sys_openat2+{offset:#x}");
    if !Kernel::current().should_attach("kprobe.single") {
        return run(&[&at(0x12)], "open").assert_failure(1, "failed to attach any of 1 places");
    }
    let mut has_refused = false;
    for offset in 0x12..0x32 {
        let tried = run(&[&at(offset)], "open");
        if tried.status.success() {
            // The header, and both calls of the program's own.
            assert!(tried.stdout.lines().count() > 2, "{tried:#?}");
            if has_refused {
                return;
            }
        } else {
            tried.assert_failure(1, "not the start of an instruction");
            has_refused = true;
        }
    }
    panic!("neither all nor none are instructions");
}
