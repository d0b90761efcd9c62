//! A Java virtual machine: probes in its library, found through the process and by provider.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tests::process::{Live, funccount};

/// Collects its garbage ten times for each line that it reads, and says so.
const PROGRAM: &str = r#"
public class Collect {
    public static void main(String[] arguments) throws java.io.IOException {
        System.out.println("ready");
        while (System.in.read() == '\n') {
            for (int n = 0; n < 10; n++) System.gc();
            System.out.println("done");
        }
    }
}
"#;

struct Machine {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Machine {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("Collect.java");
        fs::write(&source, PROGRAM).expect("written");
        let mut child = Command::new("java")
            .args(["-XX:+UseSerialGC", "-Xmx64m"])
            .arg(&source)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a JDK is installed");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut machine = Self {
            child,
            output,
            _folder: folder,
        };
        machine.expect("ready");
        machine
    }

    fn collect(&mut self) {
        use std::io::Write as _;
        let input = self.child.stdin.as_mut().expect("piped");
        input.write_all(b"\n").expect("it reads");
        self.expect("done");
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        assert_eq!(line.trim_end(), expected);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn collections_are_counted_by_the_provider_of_the_probes() {
    let mut machine = Machine::start();
    let pid = machine.child.id().to_string();
    let live = Live::start(funccount(&["-p", &pid, "u:hotspot:gc__begin"]));
    machine.collect();
    assert_eq!(live.interrupt().count("gc__begin"), 10);
}

#[test]
fn functions_of_its_library_are_found_in_the_process() {
    let mut machine = Machine::start();
    let pid = machine.child.id().to_string();
    let live = Live::start(funccount(&["-p", &pid, "jvm:JVM_GC"]));
    machine.collect();
    assert_eq!(live.interrupt().count("JVM_GC"), 10);
}
