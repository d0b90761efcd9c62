//! `funccount --live` on a terminal whose size changes, and at which keys are pressed.

use tests::process::probekit;

use crate::terminal::Terminal;

/// What draws once on a terminal, and then only for a reason.
fn live(command: &str) -> Terminal {
    // So that only that reason can be why it is drawn again.
    let command = format!(
        "exec {} funccount --live -i 3600 t:syscalls:sys_enter_getppid {command}",
        probekit().display()
    );
    let mut terminal = Terminal::start_as("xterm", &command);
    terminal.expect("COUNT/s");
    terminal
}

#[test]
fn q_ends_it_and_other_keys_are_not_shown() {
    let mut terminal = live("");
    terminal.type_in("xyzq");
    let shown = terminal.expect("\x1b[?1049l");
    assert!(!shown.contains("xyz"), "{shown:?}");
    terminal.expect("Detaching...");
    assert_eq!(terminal.wait(), Some(0));
}

#[test]
fn keys_are_a_commands_own() {
    let mut terminal = live("-- sh -c 'read line; exit 7'");
    terminal.type_in("q");
    // It is shown, since nobody said that it is not to be.
    terminal.expect("q");
    terminal.type_in("\n");
    terminal.expect("Detaching...");
    assert_eq!(terminal.wait(), Some(7));
}

#[test]
fn a_terminal_of_another_size_is_drawn_on_at_once() {
    let mut terminal = live("");
    terminal.resize(40, 10);
    // The title, cut at the new width.
    terminal.expect("\x1b[2KTracing 1 functions for \"t:syscalls:sys_\r\n");
    terminal.type_in("\x03");
    terminal.expect("Detaching...");
    assert_eq!(terminal.wait(), Some(0));
}
