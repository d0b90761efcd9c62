//! The memory of the tool's cgroup is limited: it does with it, or tells what there was no room for.

use std::{
    fs, io,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tests::{
    kernel::Kernel,
    process::{Finished, Live, funccount, stackcount, trace},
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
}

impl Limited {
    fn new() -> Self {
        let (parent, setting) = controller();
        let folder = parent.join(format!("probekit-memory-{}", std::process::id()));
        fs::create_dir(&folder).expect("cgroups are ours");
        fs::write(folder.join(setting), LIMIT).expect("it is a memory cgroup");
        Self { folder }
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
