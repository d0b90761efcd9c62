//! The tool is killed at every stage of its run: the kernel takes back all that it held.

use std::{fs, io::BufRead as _, os::unix::process::ExitStatusExt as _};

use tests::{
    gate::Gate,
    process::{Live, funccount, trace},
    watchdog::wait_until,
};

use super::{work, worker};
use crate::ending::{await_freed, held_by};

/// Stops the tool where it is, kills it, and waits until nothing of it is left in the kernel.
fn kill(live: Live) {
    let held = stop(&live);
    kill_holding(live, &held);
}

/// Stops the tool where it is; what it holds can only be looked up while it makes no more.
fn stop(live: &Live) -> Vec<(String, u32)> {
    live.signal(libc::SIGSTOP);
    wait_until(|| is_stopped(live.pid()));
    held_by(live.pid())
}

fn kill_holding(live: Live, held: &[(String, u32)]) {
    live.signal(libc::SIGKILL);
    assert_eq!(live.wait().status.signal(), Some(libc::SIGKILL));
    await_freed(held);
}

/// Whether all its threads are.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    threads.all(|thread| {
        let stat = thread.and_then(|thread| fs::read_to_string(thread.path().join("stat")));
        let stat = stat.unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Whether it has a file of tracefs open, wherever that is mounted.
fn reads_tracefs(pid: u32) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
    let mut paths = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    paths.any(|path| path.to_string_lossy().contains("events/"))
}

/// Whether something is attached: by a link, or on old kernels by a perf event alone.
fn is_attached(pid: u32, held: &[(String, u32)]) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
    let mut files = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    holds(held, "link_id") || files.any(|file| file.to_string_lossy().contains("[perf_event]"))
}

fn holds(held: &[(String, u32)], kind: &str) -> bool {
    held.iter().any(|(held, _)| held == kind)
}

/// Starts a tool with probes of two kinds; before it has, if its calls are held.
fn spawn() -> Live {
    Live::spawn(funccount(&[&work(), "t:syscalls:sys_enter_getppid"]))
}

#[test]
fn while_it_resolves() {
    let mounts = || fs::read_to_string("/proc/self/mounts").expect("/proc is there");
    let before = mounts();
    // The numbers of all tracepoints take a while to be read, more so again and again. The last probe
    // is none: to attach to all of them, one by one on old kernels, would take minutes to undo.
    let mut probes = vec!["t:*:*"; 20];
    probes.push("t:no:such_event");
    let live = Live::spawn(funccount(&probes));
    wait_until(|| reads_tracefs(live.pid()));
    kill(live);
    assert_eq!(mounts(), before);
}

/// At each call by which it loads or attaches, until one of two kinds of probes is live.
#[test]
fn while_it_loads_and_attaches() {
    Gate::with(|gate| {
        let (mut had_maps_only, mut had_programs_only) = (false, false);
        for passed in 0.. {
            let live = spawn();
            (0..passed).for_each(|_| gate.pass(gate.next()));
            let _waiting = gate.next();
            let held = held_by(live.pid());
            let is_attached = is_attached(live.pid(), &held);
            kill_holding(live, &held);
            let has_programs = holds(&held, "prog_id");
            had_maps_only |= holds(&held, "map_id") && !has_programs;
            had_programs_only |= has_programs && !is_attached;
            if is_attached {
                break;
            }
        }
        assert!(had_maps_only && had_programs_only);
    });
}

#[test]
fn while_it_waits_for_events() {
    let mut worker = worker("work", "10");
    let live = spawn().until("Tracing ");
    assert!(held_by(live.pid()).len() > 4);
    kill(live);
    worker.work();
}

#[test]
fn while_it_writes_what_nobody_reads() {
    let mut worker = worker("work", "20000");
    let probe = work();
    let mut live = Live::start_until(trace(&["-v", &probe]), "Tracing ");
    let mut output = live.take_stdout();
    worker.work();
    // The header and one event: thousands are left, more than a pipe takes.
    for _ in 0..2 {
        let mut line = String::new();
        output.read_line(&mut line).expect("text");
        assert!(!line.is_empty());
    }
    kill(live);
}

#[test]
fn while_it_detaches() {
    let live = Live::start(funccount(&["-v", "t:syscalls:*"]));
    let held = held_by(live.pid());
    live.signal(libc::SIGINT);
    let live = live.until("Detaching...");
    kill_holding(live, &held);
}
