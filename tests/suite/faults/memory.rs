//! The memory of the tool's cgroup is limited: it does with it, or tells what there was no room for.

use std::{
    fs, io,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tests::{
    gate::Gate,
    kernel::Kernel,
    process::{Finished, Live, funccount, probekit, stackcount, told, trace},
};

use crate::{
    ending::{await_freed, held_by},
    filters::cgroup_root,
};

const EVENT: &str = "t:syscalls:sys_enter_getppid";
/// Several times what the tool needs, and much less than the tables that are asked for here.
const LIMIT: &str = "16M";

/// A cgroup whose processes and their kernel objects may have so much memory.
struct Limited {
    folder: PathBuf,
    setting: &'static str,
}

impl Limited {
    fn new() -> Self {
        let (parent, setting) = controller();
        let folder = parent.join(format!("probekit-memory-{}", std::process::id()));
        fs::create_dir(&folder).expect("cgroups are ours");
        fs::write(folder.join(setting), LIMIT).expect("it is a memory cgroup");
        Self { folder, setting }
    }

    /// Leaves no room for more than there is now.
    fn close(&self) {
        let [limit, now, _] = self.files();
        let used = fs::read_to_string(self.folder.join(now)).expect("it is a memory cgroup");
        fs::write(self.folder.join(limit), used.trim()).expect("it fits");
    }

    /// Whether there was no room for something.
    fn was_full(&self) -> bool {
        let [.., events] = self.files();
        let events = fs::read_to_string(self.folder.join(events)).expect("it is a memory cgroup");
        let mut fullness = events.lines().filter(|line| !line.ends_with(" 0"));
        fullness.any(|line| line.starts_with("max ") || line.parse::<u64>().is_ok_and(|n| n > 0))
    }

    /// The limit, what is used, and how often it was not enough.
    fn files(&self) -> [&'static str; 3] {
        if self.setting == "memory.max" {
            ["memory.max", "memory.current", "memory.events"]
        } else {
            [
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "memory.failcnt",
            ]
        }
    }

    /// The same command, to be run inside.
    fn inside(&self, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        let script = r#"echo $$ > "$0" && exec "$@""#;
        shell
            .args(["-c", script])
            .arg(self.folder.join("cgroup.procs"));
        shell.arg(command.get_program()).args(command.get_args());
        shell
    }
}

impl Drop for Limited {
    /// Waits for children that go on detaching, not for ever.
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_busy = |error: io::Error| error.kind() == io::ErrorKind::ResourceBusy;
        while fs::remove_dir(&self.folder).is_err_and(is_busy) && Instant::now() < deadline {
            thread::yield_now();
        }
    }
}

/// Where cgroups with memory limits can be made, of whichever version, and what the limit is called.
fn controller() -> (PathBuf, &'static str) {
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is there");
    let first_version = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_memory = fields[2] == "cgroup" && fields[3].split(',').any(|name| name == "memory");
        is_memory.then(|| fields[1].into())
    });
    if let Some(folder) = first_version {
        return (folder, "memory.limit_in_bytes");
    }
    let folder = cgroup_root();
    fs::write(folder.join("cgroup.subtree_control"), "+memory")
        .expect("there is such a controller");
    (folder, "memory.max")
}

#[test]
fn tables_that_do_not_fit_are_told_by_name() {
    let limited = Limited::new();
    let stacks = stackcount(&["--stacks", "1000000", "-D", "0.01", EVENT]);
    let events = trace(&["-b", "16384", "-M", "1", EVENT, "--", "true"]);
    for (command, map) in [(stacks, "STACKS"), (events, "EVENTS")] {
        let finished = Finished::of(limited.inside(&command));
        // Since 5.11 maps count as memory of the cgroup; before, against a limit that root lifts.
        if Kernel::current().release >= (5, 11) {
            finished.assert_failure(1, &format!("failed to create the map {map}: "));
        } else {
            assert!(finished.status.success(), "{finished:#?}");
        }
    }
}

#[test]
fn many_probes_need_little_and_leave_nothing_when_killed() {
    let limited = Limited::new();
    let live = Live::start(limited.inside(&funccount(&["t:syscalls:sys_enter_g*"])));
    let held = held_by(live.pid());
    assert!(held.len() > 4, "{held:?}");
    live.signal(libc::SIGKILL);
    let _ = live.wait();
    await_freed(&held);
}

/// How many probes fit a pattern.
fn listed(pattern: &str) -> u64 {
    let mut list = Command::new(probekit());
    list.args(["list", pattern]);
    let finished = Finished::of(list);
    assert!(finished.status.success(), "{finished:#?}");
    finished.stdout.lines().count() as u64
}

#[test]
fn memory_that_ends_while_it_attaches_is_told_or_ends_it_and_leaves_nothing() {
    const LINKS: usize = 5;
    const PATTERN: &str = "t:syscalls:sys_enter_s*";

    Gate::with(|gate| {
        let limited = Limited::new();
        let many = funccount(&["-d", "1", PATTERN]);
        let live = Live::spawn(limited.inside(&many));
        let is_link = |(kind, _): &&(String, u32)| kind == "link_id" || kind == "prog_id";
        let (held, next) = loop {
            let call = gate.next();
            let held = held_by(live.pid());
            if held.iter().filter(is_link).count() >= LINKS {
                break (held, call);
            }
            gate.pass(call);
        };
        limited.close();
        gate.pass(next);
        let finished = gate.open_while(|| live.wait());
        assert!(limited.was_full(), "{finished:#?}");
        assert_told(&finished, PATTERN);
        await_freed(&held);
    });
}

/// That a run in which memory ended has told so, or was killed.
fn assert_told(finished: &Finished, pattern: &str) {
    // Whether it is refused or killed is up to the kernel, and so is what it finds to reclaim.
    match finished.status.code() {
        None => assert_eq!(finished.status.signal(), Some(libc::SIGKILL)),
        Some(0) => {
            let number = |text| told(&finished.stderr, text);
            let skipped = number("skipped ").unwrap_or(0);
            let traced = number("Tracing ").expect("it was live");
            assert_eq!(traced + skipped, listed(pattern), "{finished:#?}");
        }
        Some(_) => finished.assert_failure(1, "Cannot allocate memory"),
    }
    let skips = finished.stderr.contains("skipped");
    assert_eq!(
        skips,
        finished.stderr.contains("Cannot allocate memory"),
        "{finished:#?}"
    );
}
