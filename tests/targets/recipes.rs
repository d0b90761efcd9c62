//! The commands of `probekit help recipes`, as they are written: what can be run here is run, the
//! others are compiled for what is there. The README has the same ones. And so for the examples of
//! each tool's --help.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tests::process::{Finished, probekit};

use crate::postgres::Server;

const README: &str = include_str!("../../README.md");
/// Where the recipes have what differs between machines.
const POSTGRESQL: &str = "/usr/lib/postgresql/15";
const JAVA: &str = "/usr/lib/jvm/java-17-openjdk-amd64";

/// The exit status for a command line that makes no sense.
const BAD_COMMAND_LINE: i32 = 2;

/// A program that collects its garbage.
const COLLECTS: &str = "public class G {
    public static void main(String[] arguments) { for (int n = 0; n < 3; n++) System.gc(); }
}";

/// The tools by their names, and what the recipes take for granted.
struct Kitchen {
    folder: tempfile::TempDir,
    postgresql: String,
    java: String,
}

impl Kitchen {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut install = Command::new(probekit());
        install.arg("install").arg("--prefix").arg(folder.path());
        let installed = Finished::of(install);
        assert!(installed.status.success(), "{installed:#?}");
        fs::write(folder.path().join("G.java"), COLLECTS).expect("there is room");
        Self {
            folder,
            postgresql: path_text(&postgresql()),
            java: path_text(&java()),
        }
    }

    fn run(&self, command: &str) -> Finished {
        let path = std::env::var("PATH").unwrap_or_default();
        let command = command.replace(POSTGRESQL, &self.postgresql);
        let tools = self.folder.path().display();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command.replace(JAVA, &self.java)])
            .env(
                "PATH",
                format!("{tools}/bin:{}/bin:{path}", self.postgresql),
            )
            .current_dir(self.folder.path());
        Finished::of(shell)
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

/// The only version that is there, or one of them.
fn postgresql() -> PathBuf {
    let mut versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let version = versions.next().expect("a version");
    version.expect("a folder").path()
}

fn java() -> PathBuf {
    let mut which = Command::new("sh");
    which.args(["-c", "readlink -f \"$(command -v java)\""]);
    let java = PathBuf::from(Finished::of(which).stdout.trim());
    let home = java.ancestors().nth(2).expect("HOME/bin/java");
    home.to_owned()
}

/// The recipes' commands.
fn commands() -> Vec<String> {
    let mut help = Command::new(probekit());
    help.args(["help", "recipes"]);
    let text = Finished::of(help).stdout;
    let lines = text.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("    # "));
    commands.map(str::to_owned).collect()
}

/// What a probe's events are called: `malloc` of `r:c:malloc (retval == 0) "…"`.
fn event(command: &str) -> &str {
    let (_, probe) = command.split_once('\'').expect("a quoted probe");
    let spec = probe.split([' ', '\'']).next().unwrap_or(probe);
    spec.rsplit(':').next().unwrap_or(spec)
}

/// Whether it is a function of the kernel, which not every kernel lets be traced.
fn is_kernel_function(command: &str) -> bool {
    let probe = command.split_once('\'').map_or(command, |(_, probe)| probe);
    !probe
        .split([' ', '\''])
        .next()
        .unwrap_or(probe)
        .contains(':')
}

/// Whether a table of funccount or stackcount counts anything.
fn has_counts(table: &str) -> bool {
    let words = table.lines().filter_map(|line| line.split(' ').next_back());
    words
        .filter_map(|word| word.parse::<u64>().ok())
        .any(|count| count > 0)
}

#[test]
fn every_command_answers_its_question() {
    // Whatever is asked of the whole machine, there is something to be seen.
    let server = Server::start();
    let _busy = server.keep_asking("select 1");
    let kitchen = Kitchen::new();
    let commands = commands();
    assert!(commands.len() >= 20, "{commands:#?}");
    for command in &commands {
        let (tool, rest) = command.split_once(' ').expect("arguments");
        let ends = rest.contains(" -- ");
        match tool {
            // What ends by itself here, and may be traced here.
            "trace" if (ends || rest.contains("query__start")) && !is_kernel_function(command) => {
                let finished = kitchen.run(command);
                let event = format!(" {}", event(command));
                let mut lines = finished.stdout.lines();
                assert!(
                    lines.any(|line| line.contains(&event)),
                    "{command}: {finished:#?}"
                );
            }
            "trace" => {
                let finished = kitchen.run(&format!("trace --dry-run {rest}"));
                assert!(finished.status.success(), "{command}: {finished:#?}");
                assert!(
                    finished.stderr.contains("values:"),
                    "{command}: {finished:#?}"
                );
            }
            "funccount" | "stackcount" => {
                assert!(ends || rest.contains("-d 1 "), "{command} does not end");
                let finished = kitchen.run(command);
                assert!(finished.status.success(), "{command}: {finished:#?}");
                assert!(has_counts(&finished.stdout), "{command}: {finished:#?}");
            }
            _ => panic!("{command} is none of the tools"),
        }
    }
}

/// What stands between backticks in the right column of the README's table of translations.
fn translations() -> Vec<&'static str> {
    let (_, table) = README.split_once("| there | here |\n").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("an end");
    let rows = table.lines().filter_map(|row| row.split(" | ").nth(1));
    let code = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    code.filter(|code| code.contains(' ')).collect()
}

#[test]
fn what_other_tools_commands_are_translated_to_is_understood() {
    let kitchen = Kitchen::new();
    let translations = translations();
    assert!(translations.len() > 25, "{translations:#?}");
    for command in translations {
        check_probes(&kitchen, command);
    }
}

/// Compiles what trace is asked, and looks up what the others count, without running anything.
fn check_probes(kitchen: &Kitchen, command: &str) {
    let (tool, rest) = command.split_once(' ').expect("arguments");
    let (rest, _) = rest.split_once(" -- ").unwrap_or((rest, ""));
    let checked = match tool {
        "trace" => format!("trace --dry-run {rest}"),
        "probekit" => command.to_owned(),
        _ => {
            let syntax = if rest.contains("-r ") { "-r" } else { "" };
            let probes = rest.split(' ').filter(|word| word.contains([':', '_']));
            let lists = probes.map(|probe| format!("probekit list {syntax} {probe}"));
            lists.collect::<Vec<_>>().join(" && ")
        }
    };
    assert!(!checked.is_empty(), "{command}");
    let finished = kitchen.run(&checked);
    // What a shell has of its own is not said to be there.
    let is_understood = if checked.starts_with("probekit list -p") {
        finished.status.code() != Some(BAD_COMMAND_LINE)
    } else {
        finished.status.success()
    };
    assert!(is_understood, "{checked}: {finished:#?}");
    if ["funccount", "stackcount"].contains(&tool) {
        check_options(kitchen, tool, rest);
    }
}

/// Runs a line that counts, for a moment: its options are understood too.
fn check_options(kitchen: &Kitchen, tool: &str, rest: &str) {
    let duration = if tool == "funccount" { "-d" } else { "-D" };
    let (whole, moment) = (format!("{duration} 10 "), format!("{duration} 0.01 "));
    let rest = match rest.contains(&whole) {
        true => rest.replace(&whole, &moment),
        false => format!("{moment}{rest}"),
    };
    // All programs of the machine use that library: no more than one function of it.
    let line = format!("{tool} {}", rest.replace("'c:*alloc'", "c:malloc"));
    let finished = kitchen.run(&line);
    if finished.status.success() {
        let has_begun = finished.stderr.contains("Tracing ");
        assert!(has_begun, "{line}: {finished:#?}");
    } else {
        // Not every kernel lets its own functions be probed.
        let is_of_kernel = !rest.contains(':');
        assert!(is_of_kernel, "{line}: {finished:#?}");
        finished.assert_failure(1, "failed to attach any of ");
    }
}

#[test]
fn examples_of_help_are_understood() {
    let kitchen = Kitchen::new();
    for tool in ["funccount", "stackcount", "trace", "list"] {
        let help = kitchen.run(&format!("probekit {tool} --help")).stdout;
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples");
        let lines = examples.lines().filter_map(|line| line.strip_prefix("  "));
        let commands = lines.filter(|line| !line.starts_with(' '));
        let commands: Vec<&str> = commands
            .map(|line| line.split("  ").next().unwrap_or(line))
            .collect();
        assert!(commands.len() > 5, "{help}");
        for command in commands {
            // A process that is there: the shell that runs it.
            check_probes(&kitchen, &command.replace("-p 185", "-p $$"));
        }
    }
}

#[test]
fn the_readme_has_the_same_commands() {
    for command in commands() {
        let line = format!("    # {command}\n");
        assert!(README.contains(&line), "{command}");
    }
}
