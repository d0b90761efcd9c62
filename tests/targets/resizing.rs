//! `funccount --live` on a terminal whose size changes.

use tests::process::probekit;

use crate::terminal::Terminal;

#[test]
fn a_terminal_of_another_size_is_drawn_on_at_once() {
    let probekit = probekit();
    // So that only the new size can be why it is drawn again.
    let command = format!(
        "exec {} funccount --live -i 3600 t:syscalls:sys_enter_getppid",
        probekit.display()
    );
    let mut terminal = Terminal::start_as("xterm", &command);
    terminal.expect("COUNT/s");
    terminal.resize(40, 10);
    // The title, cut at the new width.
    terminal.expect("\x1b[2KTracing 1 functions for \"t:syscalls:sys_\r\n");
    terminal.type_in("\x03");
    terminal.expect("Detaching...");
    assert_eq!(terminal.wait(), Some(0));
}
