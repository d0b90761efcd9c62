//! What happens to the whole machine: a processor goes and comes back, the clock is set. `cargo
//! xtask test` runs these only where the machine is ours.

use std::{fs, io::BufRead as _, mem::MaybeUninit};

use tests::process::{Live, funccount, trace};

use super::{work, worker};

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

/// Has a process run on one processor only.
fn run_on(pid: u32, cpu: usize) {
    // SAFETY: the set is of integers, for which zero is a value, and the pointer is to a local.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        let pid = pid.cast_signed();
        assert_eq!(
            libc::sched_setaffinity(pid, size_of_val(&set), &raw const set),
            0
        );
    }
}

#[test]
fn a_processor_that_goes_and_comes_back_loses_nothing() {
    let mut worker = worker("work", "1000");
    let probe = work();
    let counting = Live::start(funccount(&[&probe]));
    let events = Live::start_until(trace(&["-v", &probe]), "Tracing ");
    worker.work();
    let offline = Offline::new();
    worker.work();
    drop(offline);
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
    run_on(worker.pid(), 1);
    worker.work();
    assert_eq!(counting.interrupt().count("pk_work"), 1000);
}

#[test]
fn a_clock_that_is_set_does_not_disturb_relative_times() {
    for ahead in [7200, -7200] {
        let mut worker = worker("work", "2");
        let probe = work();
        let live = Live::start_until(trace(&["-v", "-t", &probe]), "Tracing ");
        worker.work();
        let clock = Clock::set_ahead(ahead);
        worker.work();
        drop(clock);
        let finished = live.interrupt();
        let times: Vec<f64> = finished
            .stdout
            .lines()
            .skip(1)
            .map(|line| {
                line.split(' ')
                    .next()
                    .unwrap_or_default()
                    .parse()
                    .expect("seconds")
            })
            .collect();
        assert_eq!(times.len(), 4, "{finished:#?}");
        assert!(times.is_sorted(), "{times:?}");
        assert!(
            times.iter().all(|time| (0.0..3600.0).contains(time)),
            "{times:?}"
        );
    }
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
