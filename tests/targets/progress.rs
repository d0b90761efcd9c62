//! What takes longer than a second is told on a terminal while it does, and how far it is.

use tests::process::probekit;

use crate::{libc, terminal::Terminal};

#[test]
fn attaching_one_by_one_is_told_until_it_is_interrupted() {
    // Thousands of functions, a millisecond or more each.
    let (_folder, library) = libc::copy();
    let command = format!(
        "exec {} funccount --attach-with uprobe '{}:*'",
        probekit().display(),
        library.display()
    );
    let mut terminal = Terminal::start_as("xterm", &command);
    terminal.expect("\r\x1b[Kattaching ");
    terminal.expect(" probes ... ");
    terminal.expect(" of ");
    terminal.expect(" s");
    terminal.type_in("\x03");
    // Nothing of it is left in front of what is said then.
    terminal.expect("\r\x1b[K");
    terminal.expect("interrupted while attaching");
    assert_eq!(terminal.wait(), Some(1));
}
