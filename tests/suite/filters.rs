//! The filters that all tools share.

use std::{
    fs,
    io::{BufRead as _, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tests::{
    fixtures,
    kernel::Setting,
    process::{Finished, Live, Worker, counts, funccount, trace},
};

const EVENT: &str = "t:syscalls:sys_enter_getppid";
const ROW: &str = "syscalls:sys_enter_getppid";

fn worker(what: &str, count: &str, threads: &str) -> Worker {
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", what, count, threads]);
    Worker::start(command)
}

/// Counts `probe` with `arguments` while `workers` work once each.
fn count(arguments: &[&str], probe: &str, workers: &mut [&mut Worker]) -> Finished {
    let mut all = arguments.to_vec();
    all.push(probe);
    let live = Live::start(funccount(&all));
    for worker in workers {
        worker.work();
    }
    live.interrupt()
}

#[test]
fn by_process_with_all_its_threads() {
    let (mut wanted, mut other) = (worker("getppid", "100", "4"), worker("getppid", "7", "1"));
    let pid = wanted.pid().to_string();
    let finished = count(&["-p", &pid], EVENT, &mut [&mut wanted, &mut other]);
    assert_eq!(finished.count(ROW), 400);
}

#[test]
fn by_process_on_user_functions_with_all_its_threads() {
    let (mut wanted, mut other) = (worker("work", "100", "4"), worker("work", "7", "1"));
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let pid = wanted.pid().to_string();
    let finished = count(&["-p", &pid], &probe, &mut [&mut wanted, &mut other]);
    assert_eq!(finished.count("pk_work"), 400);
}

#[test]
fn by_several_processes() {
    let mut workers = [1, 2, 3].map(|_| worker("work", "10", "1"));
    let [first, second, _] = workers.each_ref().map(|worker| worker.pid().to_string());
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let [a, b, c] = &mut workers;
    let finished = count(&["-p", &first, "-p", &second], &probe, &mut [a, b, c]);
    assert_eq!(finished.count("pk_work"), 20);
}

/// A worker with this PID, which must be free.
fn worker_with_pid(pid: u32) -> Worker {
    for _ in 0..100 {
        // The next process gets the next number, unless another is started meanwhile.
        let _last = Setting::set("kernel/ns_last_pid", &(pid - 1).to_string());
        let worker = worker("getppid", "7", "1");
        if worker.pid() == pid {
            return worker;
        }
    }
    panic!("{pid} is never free");
}

#[test]
fn a_number_that_is_given_to_another_process_is_not_meant() {
    let first = worker("getppid", "100", "1");
    let mut second = worker("getppid", "5", "1");
    let pid = first.pid();
    let pids = [pid.to_string(), second.pid().to_string()];
    let arguments = ["-i", "0.02", "-p", &pids[0], "-p", &pids[1], EVENT];
    let mut live = Live::start(funccount(&arguments));
    let mut output = live.take_stdout();
    drop(first);
    second.work();
    // Before it prints what came later, the tool has learnt of the end.
    let mut line = String::new();
    while !line.contains(ROW) {
        line.clear();
        let read = output.read_line(&mut line).expect("text");
        assert!(read > 0, "it goes on while one of them lives");
    }
    let mut other = worker_with_pid(pid);
    other.work();
    assert!(live.interrupt().status.success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(counts(&rest), [].into());
}

#[test]
fn by_thread() {
    let mut wanted = worker("getppid", "100", "4");
    let tid = wanted.pid().to_string();
    let finished = count(&["--tid", &tid], EVENT, &mut [&mut wanted]);
    assert_eq!(finished.count(ROW), 100);
}

#[test]
fn by_user_even_if_it_is_root() {
    let mut root = worker("getppid", "10", "1");
    let mut command = Command::new(fixtures::path("calls"));
    command.args(["--wait", "getppid", "3"]).uid(12_345);
    let mut other = Worker::start(command);
    let finished = count(&["--uid", "12345"], EVENT, &mut [&mut root, &mut other]);
    assert_eq!(finished.count(ROW), 3);
    let pids = [root.pid().to_string(), other.pid().to_string()];
    let arguments = ["--uid", "0", "-p", &pids[0], "-p", &pids[1]];
    let finished = count(&arguments, EVENT, &mut [&mut root, &mut other]);
    assert_eq!(finished.count(ROW), 10);
}

#[test]
fn by_command_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let renamed = folder.path().join("xx-pk-name-yy");
    fs::copy(fixtures::path("calls"), &renamed).expect("copied");
    let mut command = Command::new(&renamed);
    command.args(["--wait", "getppid", "21"]);
    let (mut wanted, mut other) = (Worker::start(command), worker("getppid", "7", "1"));
    let finished = count(
        &["--comm", "pk-name"],
        EVENT,
        &mut [&mut wanted, &mut other],
    );
    assert_eq!(finished.count(ROW), 21);
}

#[test]
fn by_cpu_even_if_it_is_the_first() {
    let pinned = |cpu: &str| {
        let mut command = Command::new("taskset");
        command.args(["-c", cpu]).arg(fixtures::path("calls"));
        command.args(["--wait", "getppid", "11"]);
        Worker::start(command)
    };
    let (mut first, mut second) = (pinned("0"), pinned("1"));
    let pids = [first.pid().to_string(), second.pid().to_string()];
    let arguments = ["-c", "0", "-p", &pids[0], "-p", &pids[1]];
    let finished = count(&arguments, EVENT, &mut [&mut first, &mut second]);
    assert_eq!(finished.count(ROW), 11);

    let arguments = [
        "-v", "-C", "--cpu", "1", "-p", &pids[0], "-p", &pids[1], EVENT,
    ];
    let live = Live::start_until(trace(&arguments), "Tracing ");
    for worker in [&mut first, &mut second] {
        worker.work();
    }
    let finished = live.interrupt();
    let events = finished.stdout.lines().skip(1);
    let cpus: Vec<&str> = events.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(cpus, ["1"; 11], "{finished:#?}");
}

/// A cgroup for a test; removed at the end.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn new(parent: &Path, name: &str) -> Self {
        let path = parent.join(name);
        fs::create_dir(&path).expect("cgroup v2 is mounted and ours");
        Self(path)
    }

    fn take(&self, worker: &Worker) {
        fs::write(self.0.join("cgroup.procs"), worker.pid().to_string()).expect("moved");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where cgroups of version 2 are mounted.
pub(crate) fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is there");
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let mount = mount.expect("cgroup v2 is mounted");
    mount.split(' ').nth(1).expect("a place").into()
}

#[test]
fn by_cgroup_and_those_below_it() {
    let parent = Cgroup::new(&cgroup_root(), &format!("probekit-{}", std::process::id()));
    let child = Cgroup::new(&parent.0, "below");
    // Declared after the cgroups, so that they are empty before they go.
    let mut inside = worker("getppid", "5", "1");
    let mut below = worker("getppid", "6", "1");
    let mut outside = worker("getppid", "7", "1");
    parent.take(&inside);
    child.take(&below);
    let path = parent.0.to_str().expect("text");
    let arguments = ["--cgroup", path];
    let finished = count(
        &arguments,
        EVENT,
        &mut [&mut inside, &mut below, &mut outside],
    );
    assert_eq!(finished.count(ROW), 11);
}

#[test]
fn forks_are_followed_only_when_asked() {
    let mut parent = worker("fork", "20", "1");
    let pid = parent.pid().to_string();
    let probe = format!("{}:pk_work", fixtures::path("calls").display());
    let finished = count(&["-p", &pid], &probe, &mut [&mut parent]);
    assert_eq!(finished.count("pk_work"), 0);
    let finished = count(&["-p", &pid, "--follow-forks"], &probe, &mut [&mut parent]);
    assert_eq!(finished.count("pk_work"), 20);
    // Those of a command are anyway.
    let calls = fixtures::path("calls").display().to_string();
    let command = ["--follow-forks", &probe, "--", &calls, "fork", "20"];
    assert_eq!(Finished::of(funccount(&command)).count("pk_work"), 20);
}

#[test]
fn pids_are_those_of_the_callers_namespace() {
    // Both run in a new namespace with its own /proc, where the worker's number is another
    // process's number outside. The worker starts when the tool says that it traces.
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "{{ until grep -qs Tracing {said}; do :; done; echo go; }} | \
         {calls} --wait getppid 9 >&2 & {tool} funccount -p $! {EVENT} 2> {said}",
        said = folder.path().join("said").display(),
        calls = fixtures::path("calls").display(),
        tool = tests::process::probekit().display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]);
    let finished = Finished::of(command);
    assert_eq!(finished.count(ROW), 9);
}

/// Runs `script` in a new PID namespace with its own `/proc`; in it, `$worker` is a process in
/// another namespace below, that works once `$said` holds the tool's title.
fn run_above_a_namespace(script: &str) -> Finished {
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!(
        "said={said}
         {{ until grep -qs Tracing $said; do :; done; echo go; }} | \
         unshare --pid --fork {calls} --wait getppid 9 >&2 & unshare=$!
         until worker=$(cat /proc/$unshare/task/$unshare/children) && [ $worker ]; do :; done
         {script}
         status=$?; kill -KILL $worker; exit $status",
        said = folder.path().join("said").display(),
        calls = fixtures::path("calls").display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]);
    Finished::of(command)
}

#[test]
fn processes_in_a_namespace_below_the_callers_are_known_by_the_callers_numbers() {
    let tool = tests::process::probekit();
    let tool = tool.display();
    for filter in ["-p $worker", "-p $worker --tid $worker"] {
        let script = format!("{tool} funccount {filter} {EVENT} 2> $said");
        let finished = run_above_a_namespace(&script);
        assert_eq!(finished.count(ROW), 9, "{filter}: {finished:#?}");
    }
}

#[test]
fn what_a_namespace_can_not_tell_is_refused() {
    let tool = tests::process::probekit();
    let tool = tool.display();
    for (arguments, message) in [
        (
            format!("funccount -p $$ -p $worker {EVENT}"),
            "are in several PID namespaces",
        ),
        (
            format!("stackcount -p $worker {EVENT}"),
            "a PID namespace below this one",
        ),
    ] {
        run_above_a_namespace(&format!("{tool} {arguments}")).assert_failure(1, message);
    }
}

#[test]
fn a_proc_of_another_namespace_is_told() {
    let script = format!(
        "{} funccount -p $$ {EVENT}",
        tests::process::probekit().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "sh", "-c", &script]);
    Finished::of(command).assert_failure(1, "/proc shows another PID namespace");
}
