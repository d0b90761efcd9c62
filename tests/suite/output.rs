//! What is written where: results on standard output in bcc's columns, all else elsewhere.

use tests::{
    fixtures,
    process::{Finished, funccount},
};

fn run(arguments: &[&str], fixture: &str) -> Finished {
    let program = fixtures::path(fixture);
    let program = program.to_str().expect("text");
    let probe = format!("{program}:pk_*");
    let mut all = arguments.to_vec();
    all.push(&probe);
    all.extend(["--", program, "work", "12", "1"]);
    if fixture == "escape" {
        let from = all.len() - 3;
        all.splice(from.., ["12"]);
    }
    Finished::of(funccount(&all))
}

#[test]
fn text_is_bccs_to_the_column() {
    let finished = run(&[], "calls");
    assert_eq!(
        finished.stdout,
        "\nFUNC                                    COUNT\npk_work                                    12\n"
    );
    assert_eq!(
        finished.stderr.lines().last(),
        Some("Detaching..."),
        "nothing was lost, so nothing is said"
    );
}

#[test]
fn a_time_line_comes_before_each_table() {
    let finished = run(&["-T"], "calls");
    let time = finished.stdout.lines().nth(1).expect("a time");
    let parts: Vec<u32> = time
        .split(':')
        .map(|part| part.parse().expect("digits"))
        .collect();
    assert_eq!((parts.len(), time.len()), (3, 8), "{time}");
}

#[test]
fn json_is_one_object_per_row_and_nothing_else() {
    let finished = run(&["--json"], "calls");
    let rows: Vec<serde_json::Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["probe"], "pk_work");
    assert_eq!(rows[0]["count"], 12);
}

#[test]
fn control_characters_are_escaped_in_names_and_errors() {
    let finished = run(&[], "escape");
    assert!(
        finished.stdout.contains("pk_evil_\\u{1b}[2J "),
        "{finished:#?}"
    );
    assert!(!finished.stdout.contains('\x1b') && !finished.stderr.contains('\x1b'));
    let mut command = funccount(&["c:malloc", "--"]);
    command.arg("/no\x1b[2J");
    let finished = Finished::of(command);
    finished.assert_failure(1, "failed to run /no\\u{1b}[2J");
    assert!(!finished.stderr.contains('\x1b'));
}

#[test]
fn the_program_is_shown_on_request() {
    let finished = run(&["-D"], "calls");
    assert!(finished.stderr.contains("    0: "), "{finished:#?}");
    assert!(finished.stderr.contains(": exit\n"), "{finished:#?}");
    assert!(!finished.stdout.contains("exit"));
}
