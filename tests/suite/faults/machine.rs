//! What happens to the whole machine: a processor goes and comes back, the clock is set, kprobes are
//! switched off. `cargo xtask test` runs these only where the machine is ours.

use std::{
    fs,
    io::{self, BufRead as _},
    mem::MaybeUninit,
    os::unix::process::CommandExt as _,
    process::Command,
};

use tests::process::{Finished, Live, funccount, probekit, stackcount, trace};

use super::{fixture, work, worker};
use crate::stacks::{Folded, expected, folded, leaf};

/// Another time of day, until this goes.
struct Clock {
    ahead_seconds: libc::time_t,
}

impl Clock {
    fn set_ahead(ahead_seconds: libc::time_t) -> Self {
        turn_clock(ahead_seconds);
        Self { ahead_seconds }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        turn_clock(-self.ahead_seconds);
    }
}

fn turn_clock(by_seconds: libc::time_t) {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointers are to a local, which the first call fills in.
    unsafe {
        assert_eq!(
            libc::clock_gettime(libc::CLOCK_REALTIME, time.as_mut_ptr()),
            0
        );
        let mut time = time.assume_init();
        time.tv_sec += by_seconds;
        assert_eq!(
            libc::clock_settime(libc::CLOCK_REALTIME, &raw const time),
            0
        );
    }
}

/// The second processor, off until this goes.
struct Offline;

const ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

impl Offline {
    fn new() -> Self {
        fs::write(ONLINE, "0").expect("there are two processors");
        Self
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        let _ = fs::write(ONLINE, "1");
    }
}

/// Has a process run on one processor only; 0 is the caller.
fn run_on(pid: u32, cpu: usize) -> io::Result<()> {
    // SAFETY: the set is of integers, for which zero is a value, and the pointer is to a local.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        let pid = pid.cast_signed();
        match libc::sched_setaffinity(pid, size_of_val(&set), &raw const set) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Runs a program on the second processor that becomes another, each with the same stacks.
fn run_on_second() {
    let mut command = Command::new(fixture("stacks"));
    command.arg("exec");
    // SAFETY: the closure makes a system call only, which is allowed between fork and exec.
    unsafe { command.pre_exec(|| run_on(0, 1)) };
    assert!(command.status().expect("it can be run").success());
}

/// Asserts that programs on the second processor, and what they become, get their names; not those
/// that run before it is noticed that the processor is there.
fn assert_named_on_second(mut live: Live) {
    const PROGRAMS: usize = 50;

    let mut lines = live.take_stdout().lines().map_while(Result::ok);
    let whole = expected([
        ("main;stk_paths;stk_a;stk_leaf", 6),
        ("main;stk_paths;stk_b;stk_leaf", 10),
        ("main;stk_paths;stk_c;stk_leaf", 14),
    ]);
    let all: u64 = whole.values().sum();
    let is_named = (0..PROGRAMS).any(|_| {
        run_on_second();
        let mut seen = Folded::new();
        while seen.values().sum::<u64>() < all {
            for (stack, count) in folded(&lines.next().expect("they are counted")) {
                *seen.entry(stack).or_default() += count;
            }
        }
        seen == whole
    });
    assert!(is_named);
    drop(lines);
    assert!(live.interrupt().status.success());
}

fn stacks_each_tenth_of_a_second() -> Live {
    Live::start(stackcount(&["-f", "-U", "-i", "0.1", &leaf()]))
}

/// All kprobes, off until this goes; and debugfs, which has the switch, mounted so long.
struct Kprobes;

const DEBUGFS: &std::ffi::CStr = c"/sys/kernel/debug";
const KPROBES: &str = "/sys/kernel/debug/kprobes/enabled";

impl Kprobes {
    fn off() -> Self {
        let kind = c"debugfs".as_ptr();
        // SAFETY: the texts end with NUL; debugfs takes no data.
        let result = unsafe { libc::mount(kind, DEBUGFS.as_ptr(), kind, 0, std::ptr::null()) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        fs::write(KPROBES, "0").expect("there is the switch");
        Self
    }
}

impl Drop for Kprobes {
    fn drop(&mut self) {
        let _ = fs::write(KPROBES, "1");
        // SAFETY: the text ends with NUL.
        unsafe { libc::umount2(DEBUGFS.as_ptr(), libc::MNT_DETACH) };
    }
}

/// What stands for system calls of `calls affinity`.
const FUNCTION: &str = "sched_getaffinity";

#[test]
fn a_processor_that_goes_and_comes_back_loses_nothing() {
    let mut worker = worker("work", "1000");
    let probe = work();
    let counting = Live::start(funccount(&[&probe]));
    let events = Live::start_until(trace(&["-v", &probe]), "Tracing ");
    run_on(worker.pid(), 1).expect("it runs");
    worker.work();
    // The kernel has it go on at the other one, and leaves it there.
    let offline = Offline::new();
    worker.work();
    drop(offline);
    run_on(worker.pid(), 1).expect("it runs");
    worker.work();
    assert_eq!(counting.interrupt().count("pk_work"), 3000);
    let events = events.interrupt();
    assert_eq!(
        events.stdout.matches(" pk_work ").count(),
        3000,
        "{}",
        events.stderr
    );
}

#[test]
fn a_run_that_starts_without_a_processor_counts_on_it_when_it_comes() {
    let offline = Offline::new();
    let mut worker = worker("work", "1000");
    let counting = Live::start(funccount(&[&work()]));
    drop(offline);
    assert_eq!(fs::read_to_string(ONLINE).expect("it is there").trim(), "1");
    run_on(worker.pid(), 1).expect("it runs");
    worker.work();
    assert_eq!(counting.interrupt().count("pk_work"), 1000);
}

#[test]
fn names_are_there_on_a_processor_that_came_back() {
    let live = stacks_each_tenth_of_a_second();
    drop(Offline::new());
    assert_named_on_second(live);
}

#[test]
fn names_are_there_on_a_processor_that_came() {
    let offline = Offline::new();
    let live = stacks_each_tenth_of_a_second();
    drop(offline);
    assert_named_on_second(live);
}

#[test]
fn kprobes_that_are_off_are_done_without_or_told() {
    let _off = Kprobes::off();
    let mut worker = worker("affinity", "20");
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, FUNCTION]));
    worker.work();
    assert_eq!(live.interrupt().count(FUNCTION), 20);
    for way in ["kprobe", "kprobe.single"] {
        let finished = Finished::of(funccount(&["--attach-with", way, FUNCTION]));
        let told = format!("{way}: kprobes are switched off; echo 1 > {KPROBES}");
        finished.assert_failure(1, &told);
    }
    let mut doctor = Command::new(probekit());
    doctor.arg("doctor");
    let finished = Finished::of(doctor);
    assert!(finished.status.success(), "{finished:#?}");
    let remedy = format!("→ echo 1 > {KPROBES}");
    assert_eq!(finished.stdout.matches(&remedy).count(), 2, "{finished:#?}");
}

#[test]
fn kprobes_that_are_switched_off_meanwhile_are_told() {
    let mut worker = worker("affinity", "20");
    let pid = worker.pid().to_string();
    let way = ["--attach-with", "kprobe.single"];
    let live = Live::start(funccount(&[&way[..], &["-p", &pid, FUNCTION]].concat()));
    worker.work();
    let _off = Kprobes::off();
    worker.work();
    let finished = live.interrupt();
    assert_eq!(finished.count(FUNCTION), 20);
    let told = format!("kprobes were switched off meanwhile; echo 1 > {KPROBES}");
    assert!(finished.stderr.contains(&told), "{finished:#?}");
}

#[test]
fn a_clock_that_is_set_does_not_disturb_relative_times() {
    for ahead in [7200, -7200] {
        let mut worker = worker("work", "2");
        let probe = work();
        let mut live = Live::start_until(trace(&["-v", "-t", &probe]), "Tracing ");
        let mut lines = live.take_stdout().lines().map_while(Result::ok).skip(1);
        let mut times_of_two = || -> Vec<f64> {
            worker.work();
            let times = lines.by_ref().take(2).map(|line| {
                let time = line.split(' ').next().unwrap_or_default();
                time.parse().expect("seconds")
            });
            times.collect()
        };
        let mut times = times_of_two();
        let clock = Clock::set_ahead(ahead);
        times.extend(times_of_two());
        drop(clock);
        assert!(live.interrupt().status.success());
        assert_eq!(times.len(), 4, "{times:?}");
        assert!(times.is_sorted(), "{times:?}");
        assert!(
            times.iter().all(|time| (0.0..3600.0).contains(time)),
            "{times:?}"
        );
    }
}

#[test]
fn a_clock_that_is_set_is_what_later_events_are_told_by() {
    const HOURS: f64 = 7200.0;

    let mut worker = worker("work", "1");
    let probe = work();
    let mut live = Live::start_until(trace(&["-v", "-tu", &probe]), "Tracing ");
    let mut lines = live.take_stdout().lines().map_while(Result::ok).skip(1);
    let mut time_of_one = || -> f64 {
        worker.work();
        let line = lines.next().expect("an event");
        let time = line.split(' ').next().unwrap_or_default();
        time.parse().expect("seconds")
    };
    let before = time_of_one();
    let clock = Clock::set_ahead(7200);
    let after = time_of_one();
    drop(clock);
    assert!(live.interrupt().status.success());
    assert!(
        (HOURS..HOURS + 600.0).contains(&(after - before)),
        "{before}, {after}"
    );
}

#[test]
fn a_clock_that_is_set_does_not_disturb_intervals() {
    for ahead in [7200, -7200] {
        let mut live = Live::start(funccount(&["-i", "0.1", "-d", "3600", &work()]));
        let mut lines = live.take_stdout().lines().map_while(Result::ok);
        let mut wait_for_table = || lines.any(|line| line.starts_with("FUNC"));
        assert!(wait_for_table());
        let clock = Clock::set_ahead(ahead);
        // They neither cease for two hours nor is the hour over.
        for _ in 0..3 {
            assert!(wait_for_table());
        }
        drop(clock);
        live.signal(libc::SIGINT);
        lines.for_each(drop);
        assert!(live.wait().status.success());
    }
}
