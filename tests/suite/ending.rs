//! However a run ends: what was counted is printed, the status is right, nothing is left behind.

use std::{fs, process::Command, sync::mpsc, thread};

use tests::{
    fixtures,
    kernel::Kernel,
    process::{Finished, Live, Worker, funccount},
    watchdog::wait_until,
};

fn worker() -> Worker {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "work", "10"]);
    Worker::start(command)
}

fn probe() -> String {
    format!("{}:pk_work", fixtures::path("calls").display())
}

#[test]
fn signals_end_it_with_the_table() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        let mut worker = worker();
        let live = Live::start(funccount(&[&probe()]));
        worker.work();
        live.signal(signal);
        let finished = live.wait();
        assert_eq!(finished.count("pk_work"), 10, "signal {signal}");
        assert!(finished.stderr.ends_with("Detaching...\n"), "{finished:#?}");
    }
}

/// What `/proc/PID/status` says of signals, as a mask.
fn signals(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix(what));
    u64::from_str_radix(mask.expect("it is told").trim(), 16).expect("a mask")
}

#[test]
fn signals_that_were_ignored_stay_so() {
    const IGNORANT: &str = "trap '' HUP INT QUIT; exec \"$@\"";

    let mut worker = worker();
    let counting = funccount(&[&probe()]);
    let mut command = Command::new("sh");
    command.args(["-c", IGNORANT, "sh"]);
    command
        .arg(counting.get_program())
        .args(counting.get_args());
    let live = Live::start(command);
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        let bit = 1 << (signal - 1);
        assert_eq!(signals(live.pid(), "SigIgn:") & bit, bit, "signal {signal}");
        live.signal(signal);
    }
    worker.work();
    live.signal(libc::SIGTERM);
    assert_eq!(live.wait().count("pk_work"), 10);
}

#[test]
fn the_commands_status_is_returned() {
    let calls = fixtures::path("calls");
    let calls = calls.to_str().expect("text");
    let finished = Finished::of(funccount(&[&probe(), "--", calls, "work", "3", "1", "42"]));
    assert_eq!(finished.status.code(), Some(42));
    assert_eq!(finished.counts()["pk_work"], 3);
    let kill = ["-c", "kill -KILL $$"];
    let finished = Finished::of(funccount(&[&probe(), "--", "sh", kill[0], kill[1]]));
    assert_eq!(finished.status.code(), Some(128 + 9));
}

#[test]
fn it_ends_with_the_process() {
    let mut worker = worker();
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, &probe()]));
    worker.work();
    drop(worker);
    assert_eq!(live.wait().count("pk_work"), 10);
}

#[test]
fn it_ends_with_the_thread() {
    // This process goes on; only a thread of it ends.
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        // SAFETY: the call has no arguments.
        tell.send(unsafe { libc::gettid() })
            .expect("it is waited for");
        ended.recv().expect("the end is told");
        // SAFETY: as above.
        unsafe { libc::getppid() };
    });
    let tid = told.recv().expect("it is told").to_string();
    let event = "t:syscalls:sys_enter_getppid";
    let live = Live::start(funccount(&["--tid", &tid, event]));
    end.send(()).expect("it is waited for");
    thread.join().expect("it ends");
    assert_eq!(live.wait().count("syscalls:sys_enter_getppid"), 1);
}

#[test]
fn a_duration_ends_it() {
    // No interval ends before, so there is one table: that of the end.
    let finished = Finished::of(funccount(&["-d", "0.1", "-i", "3600", &probe()]));
    assert!(finished.status.success(), "{finished:#?}");
    assert_eq!(finished.stdout.matches("FUNC ").count(), 1, "{finished:#?}");
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut live = Live::start(funccount(&[&probe()]));
    drop(live.take_stdout());
    let finished = live.wait();
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    assert!(!finished.stderr.contains("error"), "{finished:#?}");
}

/// The programs and links that a process holds, by the numbers that the kernel gave them.
pub(crate) fn held_by(pid: u32) -> Vec<(String, u32)> {
    let folder = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs");
    folder
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .flat_map(|text| {
            let ids = text.lines().filter_map(|line| {
                let (kind, number) = line.split_once(":\t")?;
                let is_id = matches!(kind, "prog_id" | "link_id" | "map_id");
                is_id.then(|| Some((kind.to_owned(), number.trim().parse().ok()?)))?
            });
            ids.collect::<Vec<_>>()
        })
        .collect()
}

/// Whether the kernel still has such an object (`BPF_*_GET_FD_BY_ID`).
fn is_alive(kind: &str, id: u32) -> bool {
    let command = match kind {
        "prog_id" => 13,
        "map_id" => 14,
        _ => 30,
    };
    let attr = [id, 0, 0, 0];
    // SAFETY: the attributes are as long as said, and a descriptor is closed at once.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr));
        if fd >= 0 {
            libc::close(i32::try_from(fd).expect("a descriptor"));
        }
        fd >= 0
    }
}

/// Waits until the kernel has none of these objects any more, which it frees a moment after the last
/// descriptor is gone.
pub(crate) fn await_freed(held: &[(String, u32)]) {
    wait_until(|| !held.iter().any(|(kind, id)| is_alive(kind, *id)));
}

#[test]
fn nothing_is_left_behind_even_when_killed() {
    for signal in [libc::SIGKILL, libc::SIGTERM] {
        let mut worker = worker();
        let live = Live::start(funccount(&[&probe(), "t:syscalls:sys_enter_getppid"]));
        let held = held_by(live.pid());
        assert!(held.len() > 4, "{held:?}");
        assert!(
            held.iter().all(|(kind, id)| is_alive(kind, *id)),
            "{held:?}"
        );
        live.signal(signal);
        let _ = live.wait();
        await_freed(&held);
        worker.work();
    }
}

/// The way by which kernel functions are attached one by one here; none if by none.
fn one_by_one() -> Option<&'static str> {
    let mut ways = ["kprobe", "kprobe.single"].into_iter();
    ways.find(|way| Kernel::current().should_attach(way))
}

#[test]
fn attaching_many_places_one_by_one_is_announced_and_can_be_stopped() {
    let Some(way) = one_by_one() else {
        let finished = Finished::of(funccount(&["--attach-with", "kprobe", "d*"]));
        return finished.assert_failure(1, "failed to attach any of ");
    };
    let command = funccount(&["--attach-with", way, "d*"]);
    let live = Live::start_until(command, "note: attaching ");
    let finished = live.interrupt();
    // Not after all of them are attached: then it would end as any run does.
    finished.assert_failure(1, "interrupted while attaching");
    let announced = format!(" places one by one ({way}), about ");
    assert!(finished.stderr.contains(&announced), "{finished:#?}");
}

#[test]
fn attaching_many_places_in_one_call_can_be_stopped() {
    let command = funccount(&["-v", "--attach-with", "kprobe.multi", "*"]);
    if !Kernel::current().should_attach("kprobe.multi") {
        return Finished::of(command).assert_failure(1, "failed to attach any of ");
    }
    let live = Live::start_until(command, "resolved ");
    // Behind its program comes the call, which takes seconds and asks nobody.
    wait_until(|| {
        held_by(live.pid())
            .iter()
            .any(|(kind, _)| kind == "prog_id")
    });
    live.interrupt()
        .assert_failure(1, "interrupted while attaching");
}

#[test]
fn attaching_stops_when_the_process_ends_meanwhile() {
    let worker = worker();
    let pid = worker.pid().to_string();
    let Some(way) = one_by_one() else {
        let finished = Finished::of(funccount(&["--attach-with", "kprobe", "-p", &pid, "d*"]));
        return finished.assert_failure(1, "failed to attach any of ");
    };
    let command = funccount(&["--attach-with", way, "-p", &pid, "d*"]);
    let live = Live::start_until(command, "note: attaching ");
    drop(worker);
    live.wait()
        .assert_failure(1, "what was to be traced has ended meanwhile");
}
