//! Manual pages tell what --help tells.

use std::process::Command;

use tests::process::{Finished, probekit};

const README: &str = include_str!("../../README.md");

fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(probekit());
    command.args(arguments);
    let finished = Finished::of(command);
    assert!(finished.status.success(), "{finished:#?}");
    finished.stdout
}

#[test]
fn every_option_of_every_tool_is_in_its_page() {
    for (tool, example) in [
        ("funccount", Some("funccount")),
        ("stackcount", Some("stackcount")),
        ("trace", Some("trace")),
        ("list", Some("probekit list")),
        ("doctor", None),
        ("completions", Some("source")),
        ("install", None),
    ] {
        let page = run(&["man", tool]).replace("\\-", "-");
        let help = run(&[tool, "--help"]);
        let options = help.lines().filter_map(|line| {
            let start = line.trim_start().split("--").nth(1)?;
            let is_option = line.trim_start().starts_with('-');
            let name = start.split([' ', ',', '.']).next()?;
            is_option.then(|| format!("--{name}"))
        });
        let options: Vec<String> = options.collect();
        assert!(!options.is_empty(), "{help}");
        for option in options {
            assert!(page.contains(&option), "{option} in {page}");
        }
        assert!(page.starts_with(".ie"), "{page}");
        // What can be repeated, and the -- before a command, are in it.
        let (_, usage) = help.split_once("\nUsage: ").expect("a line");
        let usage = usage.lines().next().unwrap_or_default();
        let (_, synopsis) = page.split_once(".SH SYNOPSIS\n\\&").expect("a section");
        let synopsis = synopsis.lines().next().unwrap_or_default();
        assert!(!synopsis.is_empty() && usage.ends_with(synopsis), "{page}");
        if let Some(example) = example {
            let (_, examples) = page.split_once(".SH EXAMPLES").expect("a section");
            assert!(examples.contains(example), "{page}");
        }
    }
    let page = run(&["man", "probekit"]);
    for other in [
        "funccount(8)",
        "probekit\\-list(8)",
        "probekit\\-install(8)",
    ] {
        assert!(page.contains(&format!("\n{other}\n")), "{page}");
    }
}

#[test]
fn only_filters_are_shown_as_filters() {
    for tool in ["funccount", "stackcount"] {
        let help = run(&[tool, "-h"]);
        let (_, filters) = help.split_once("\nFilters:\n").expect("a section");
        let filters = filters.split("\n\n").next().unwrap_or_default();
        assert!(filters.contains("--cgroup"), "{help}");
        for other in ["--interval", "--json", "[COMMAND]"] {
            assert!(!filters.contains(other), "{help}");
        }
    }
}

#[test]
fn recipes_end_with_the_translations_of_the_readme() {
    let recipes = run(&["help", "recipes"]);
    let (_, ours) = recipes
        .split_once("\nFROM BCC AND BPFTRACE\n")
        .expect("a section");
    let (_, table) = README
        .split_once("| there | here |\n|---|---|\n")
        .expect("a table");
    let (table, _) = table.split_once("\n\n").expect("an end");
    let mut rows = 0;
    for row in table.lines() {
        let cells = row.trim_matches(['|', ' ']).replace('`', "");
        let (there, here) = cells.split_once(" | ").expect("two cells");
        let expected = format!("\n    {there}\n        {here}\n");
        assert!(ours.contains(&expected), "{row}");
        rows += 1;
    }
    assert_eq!(ours.matches("\n        ").count(), rows);
}
