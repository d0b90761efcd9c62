//! A PostgreSQL server: its USDT probes, with semaphores, under a load of known size.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tests::{
    process::{Finished, Live, funccount, probekit, trace},
    watchdog::watch,
};

const QUERIES: u64 = 200;

/// A server of our own, on a socket in its own folder; stopped at the end.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    user: u32,
}

impl Server {
    pub(crate) fn start() -> Self {
        let programs = fs::read_dir("/usr/lib/postgresql")
            .expect("PostgreSQL is installed")
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .find(|path| path.join("postgres").exists())
            .expect("PostgreSQL's server is installed");
        let folder = tempfile::tempdir().expect("a folder");
        // The server refuses to run as root; every system has this user, `nobody`.
        let user = 65_534;
        std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).expect("ours");
        let server = Self {
            folder,
            programs,
            user,
        };
        let data = server.path("data");
        server.run(
            "initdb",
            &["-D", &data, "-U", "test", "-A", "trust", "--no-sync"],
        );
        let options = format!("-c listen_addresses= -c fsync=off -k {}", server.path(""));
        let log = server.path("log");
        server.run(
            "pg_ctl",
            &["-D", &data, "-l", &log, "-o", &options, "-w", "start"],
        );
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder
            .path()
            .join(name)
            .to_str()
            .expect("text")
            .to_owned()
    }

    fn program(&self) -> String {
        self.programs
            .join("postgres")
            .to_str()
            .expect("text")
            .to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.programs.join(program));
        command.args(arguments).uid(self.user).gid(self.user);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        // The server inherits its output; a pipe would stay open as long as it lives.
        let written = fs::File::create(Path::new(&self.path("written"))).expect("ours");
        command
            .stdout(written.try_clone().expect("a descriptor"))
            .stderr(written);
        let status = command.status().expect("it can be run");
        watch();
        let written = fs::read_to_string(self.path("written")).expect("text");
        assert!(status.success(), "{program}: {written}");
        written
    }

    fn query(&self, text: &str) {
        let folder = self.path("");
        self.run("psql", &client_arguments(&folder, text));
    }

    /// Asks the same again and again, each time by a new process, until this goes or it fails.
    pub(crate) fn keep_asking(&self, text: &str) -> Client {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"while "$@"; do :; done"#, "sh"])
            .arg(self.programs.join("psql"))
            .args(client_arguments(&self.path(""), text))
            .uid(self.user)
            .gid(self.user)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Client(shell.spawn().expect("it can be run"))
    }
}

fn client_arguments<'a>(folder: &'a str, text: &'a str) -> [&'a str; 8] {
    ["-h", folder, "-U", "test", "-q", "-c", text, "postgres"]
}

/// What goes on asking.
pub(crate) struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = Command::new(self.programs.join("pg_ctl"));
        stop.args(["-D", &self.path("data"), "-m", "immediate", "stop"]);
        stop.uid(self.user)
            .gid(self.user)
            .current_dir(self.folder.path());
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

#[test]
fn queries_are_counted_exactly_through_semaphores() {
    let server = Server::start();
    let probe = format!("u:{}:query__start", server.program());
    let live = Live::start(funccount(&[&probe]));
    let script = server.path("script.sql");
    fs::write(&script, "select 1;\n".repeat(QUERIES as usize)).expect("written");
    let socket = server.path("");
    server.run(
        "psql",
        &["-h", &socket, "-U", "test", "-q", "-f", &script, "postgres"],
    );
    let finished = live.interrupt();
    assert_eq!(finished.count("query__start"), QUERIES);
}

#[test]
fn all_its_probes_attach() {
    let server = Server::start();
    let probe = format!("u:{}:*", server.program());
    let live = Live::start(funccount(&[&probe]));
    server.query("create table t (n int); insert into t select generate_series(1, 1000);");
    let finished = live.interrupt();
    let mut list = Command::new(probekit());
    list.args(["list", &probe]);
    let listed = Finished::of(list).stdout.lines().count();
    assert!(listed > 0, "{probe}");
    let told = format!("Tracing {listed} functions for ");
    assert!(finished.stderr.contains(&told), "{told}: {finished:#?}");
    assert!(!finished.stderr.contains("skipped"), "{finished:#?}");
    assert!(finished.count("query__parse__start") > 0, "{finished:#?}");
    assert!(finished.count("lwlock__acquire") > 100, "{finished:#?}");
}

#[test]
fn the_text_of_queries_is_traced() {
    let server = Server::start();
    // The memory of a text that was just received is there.
    let probe = format!(r#"u:{}:query__start "%s", arg1"#, server.program());
    let live = Live::start(trace(&["-v", &probe]));
    server.query("select 42 as answer");
    server.query("select 'größe'");
    let finished = live.interrupt();
    let queries: Vec<&str> = finished
        .stdout
        .lines()
        .filter_map(|line| Some(line.split_once("query__start     ")?.1))
        .collect();
    assert_eq!(
        queries,
        ["select 42 as answer", "select 'größe'"],
        "{finished:#?}"
    );
}
