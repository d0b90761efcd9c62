//! A Java virtual machine: probes in its library, found through the process and by provider.

use std::{fs, process::Command};

use tests::process::{Live, Worker, funccount};

/// Collects its garbage ten times for each line that it reads, and says so.
const PROGRAM: &str = r#"
public class Collect {
    public static void main(String[] arguments) throws java.io.IOException {
        var input = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));
        System.out.println("ready");
        while (input.readLine() != null) {
            for (int n = 0; n < 10; n++) System.gc();
            System.out.println("done");
        }
    }
}
"#;

/// Starts a machine with the program.
fn machine() -> Worker {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("Collect.java");
    fs::write(&source, PROGRAM).expect("written");
    let mut command = Command::new("java");
    command.args(["-XX:+UseSerialGC", "-Xmx64m"]).arg(&source);
    // Once it is ready, it does not need the source any more.
    Worker::start(command)
}

#[test]
fn collections_are_counted_by_the_provider_of_the_probes() {
    let mut machine = machine();
    let pid = machine.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "u:hotspot:gc__begin"]));
    machine.work();
    assert_eq!(live.interrupt().count("gc__begin"), 10);
}

#[test]
fn functions_of_its_library_are_found_in_the_process() {
    let mut machine = machine();
    let pid = machine.pid().to_string();
    let live = Live::start(funccount(&["-p", &pid, "jvm:JVM_GC"]));
    machine.work();
    assert_eq!(live.interrupt().count("JVM_GC"), 10);
}
