//! Where room runs out: what was seen and what is told as lost are all there was.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::Command,
    ptr,
};

use tests::{
    kernel::Kernel,
    process::{Finished, Live, Worker, funccount, stackcount},
    watchdog::wait_until,
};

use super::{fixture, killed::is_stopped, work, worker};
use crate::stacks::leaf;

/// Processes that can be followed at a time.
const FOLLOWED: u32 = 65_536;

/// `BPF_MAP_TYPE_HASH`.
const HASH: u32 = 1;

/// `BPF_MAP_TYPE_RINGBUF`.
const RING: u32 = 27;

/// The map of this type and size that a tool has.
fn map_of(pid: u32, kind: u32, entries: u32) -> OwnedFd {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("it runs");
    let mut infos = infos.filter_map(|info| fs::read_to_string(info.ok()?.path()).ok());
    let id = infos.find_map(|info| {
        let field = |name: &str| -> Option<u32> {
            let mut values = info.lines().filter_map(|line| line.strip_prefix(name));
            values.next()?.trim().parse().ok()
        };
        let is_it = field("map_type:") == Some(kind) && field("max_entries:") == Some(entries);
        is_it.then(|| field("map_id:"))?
    });
    /// `BPF_MAP_GET_FD_BY_ID`.
    const GET: i32 = 14;
    let attributes = [id.expect("it has one"), 0, 0];
    // SAFETY: the attributes are as long as said, and the descriptor is a new one.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, GET, &raw const attributes, 12);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(i32::try_from(fd).expect("a descriptor"))
    }
}

/// Bytes that were ever put into a ring buffer: the first word of its second page.
fn produced(ring: &OwnedFd) -> u64 {
    const PAGE_BYTES: usize = 4096;
    let (all, read) = (2 * PAGE_BYTES, libc::PROT_READ);
    // SAFETY: the pages are new, of the length that is read, and given back.
    unsafe {
        let fd = ring.as_raw_fd();
        let pages = libc::mmap(ptr::null_mut(), all, read, libc::MAP_SHARED, fd, 0);
        assert_ne!(pages, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        let bytes = pages.byte_add(PAGE_BYTES).cast::<u64>().read_volatile();
        libc::munmap(pages, all);
        bytes
    }
}

/// Puts `keys`, with one byte each, into a map.
fn fill(map: &OwnedFd, keys: &[u32]) {
    /// `BPF_MAP_UPDATE_BATCH` (Linux 5.6), and its part of `union bpf_attr`.
    const UPDATE: i32 = 26;
    #[repr(C)]
    struct Attributes {
        batches: [u64; 2],
        keys: *const u32,
        values: *const u8,
        count: u32,
        map: i32,
        flags: [u64; 2],
    }
    let values = vec![1; keys.len()];
    let attributes = Attributes {
        batches: [0; 2],
        keys: keys.as_ptr(),
        values: values.as_ptr(),
        count: u32::try_from(keys.len()).expect("few"),
        map: map.as_raw_fd(),
        flags: [0; 2],
    };
    // SAFETY: as many keys and values as said are there, and the attributes are as long as said.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            UPDATE,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn processes_that_are_too_many_to_be_followed_are_told() {
    /// More than any process has for a number (`PID_MAX_LIMIT`).
    const NOBODY: u32 = 1 << 22;

    let mut worker = worker("fork", "3");
    let pid = worker.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "--follow-forks", &work()]));
    let others: Vec<u32> = (NOBODY..NOBODY + FOLLOWED).collect();
    fill(&map_of(live.pid(), HASH, FOLLOWED), &others);
    worker.work();
    let finished = live.interrupt();
    assert_eq!(finished.count("pk_work"), 0);
    let told = "did not follow 3 processes or threads: more than 65,536 at a time";
    assert!(finished.stderr.contains(told), "{finished:#?}");
}

#[test]
fn stacks_that_come_faster_than_they_are_read_are_counted() {
    let mut command = Command::new(fixture("stacks"));
    command.args(["--wait", "distinct", "20000"]);
    let mut worker = Worker::start(command);
    let live = Live::start(stackcount(&["-f", "-U", "--buffer", "4", &leaf()]));
    // Nothing is read as long as the tool is stopped.
    live.signal(libc::SIGSTOP);
    wait_until(|| is_stopped(live.pid()));
    worker.work();
    live.signal(libc::SIGCONT);
    let finished = live.interrupt();
    let (seen, lost) = seen_and_lost(&finished, "raise --buffer");
    assert_eq!(seen + lost, 20_000, "{}", finished.stderr);
}

#[test]
fn stacks_that_the_table_has_no_room_for_are_counted_and_not_sent() {
    /// Room for some records, and nothing beside what the records of all events take.
    const FEW_BYTES: u64 = 4096;

    let mut worker = Command::new(fixture("stacks"));
    worker.args(["--wait", "distinct", "50000"]);
    let mut worker = Worker::start(worker);
    let pid = worker.pid().to_string();
    let table = ["--stacks", "1", "--buffer", "64"];
    let run = ["-f", "-U", "-p", &pid, &leaf()];
    let live = Live::start(stackcount(&[&table[..], &run].concat()));
    worker.work();
    let sent = produced(&map_of(live.pid(), RING, 64 << 10));
    worker.work();
    let sent_later = produced(&map_of(live.pid(), RING, 64 << 10));
    let finished = live.interrupt();
    assert!(
        (1..FEW_BYTES).contains(&sent),
        "{sent} bytes: {finished:#?}"
    );
    assert_eq!(sent_later, sent, "{finished:#?}");
    let (seen, lost) = seen_and_lost(&finished, "raise --stacks");
    // Of all the stacks one is in the table, and comes once in each round.
    assert_eq!((seen, lost), (2, 99_998), "{}", finished.stderr);
}

/// The events in folded stacks, and those that are told as lost, for this reason alone.
fn seen_and_lost(finished: &Finished, reason: &str) -> (u64, u64) {
    let counts = finished.stdout.lines();
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    let seen = counts.sum();
    let told = finished.stderr.lines();
    let told: Vec<&str> = told
        .filter_map(|line| line.strip_prefix("did not count "))
        .collect();
    let [told] = told[..] else {
        panic!("not one reason: {finished:#?}");
    };
    let (lost, why) = told.split_once(' ').expect("a number and a reason");
    assert!(why.contains(reason), "{}", finished.stderr);
    (seen, lost.replace(',', "").parse().expect("a number"))
}

#[test]
fn one_bad_probe_among_a_thousand_is_told_and_marked() {
    let good = work();
    let bad = format!("{}:pk_wrok", fixture("calls"));
    let mut arguments = vec![good.as_str(); 1000];
    arguments.insert(500, &bad);
    // Should it count the others instead, it ends all the same.
    arguments.extend(["-d", "0.01"]);
    let finished = Finished::of(funccount(&arguments));
    finished.assert_failure(1, "matches `pk_wrok`; did you mean `pk_work`");

    arguments[500] = "t:sched";
    let finished = Finished::of(funccount(&arguments));
    finished.assert_failure(2, "too few parts after kind `t`");
    // Of all the probes, that one is shown, and all of it marked.
    let marked = "\n  t:sched\n  ^^^^^^^ ";
    finished.assert_failure(2, marked);
    assert!(!finished.stderr.contains(&good), "{finished:#?}");
}

#[test]
fn one_place_among_a_thousand_that_can_not_be_probed_costs_the_others_nothing() {
    let many = fixture("many");
    let probe = format!("{many}:many_*");
    // As its source says.
    let calls = (0..1000).map(|n| (format!("many_{n:03}"), (1000 + n) % 3 + 1));
    let calls: BTreeMap<String, u64> = calls.collect();
    for way in ["uprobe.multi", "uprobe", "uprobe.single"] {
        let arguments = ["--attach-with", way, &probe, "--", &many];
        let finished = Finished::of(funccount(&arguments));
        if !Kernel::current().should_attach(way) {
            finished.assert_failure(1, "failed to attach any of 1001 places");
            continue;
        }
        assert!(finished.status.success(), "{way}: {finished:#?}");
        for told in ["Tracing 1000 functions ", "skipped 1 of 1,001 places: "] {
            assert!(finished.stderr.contains(told), "{way}: {finished:#?}");
        }
        assert!(finished.stderr.contains(":many_locked ("), "{finished:#?}");
        assert_eq!(finished.counts(), calls, "{way}: {}", finished.stderr);
    }
}
