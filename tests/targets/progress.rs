//! What takes longer than a second is told on a terminal while it does, and how far it is.

use tests::{gate::Gate, process::probekit};

use crate::{libc, terminal::Terminal};

#[test]
fn attaching_one_by_one_is_told_until_it_is_interrupted() {
    // So many functions that it is interrupted before the last.
    let (_folder, library) = libc::copy();
    let command = format!(
        "exec {} funccount --attach-with uprobe '{}:*'",
        probekit().display(),
        library.display()
    );
    Gate::with(|gate| {
        let mut terminal = Terminal::start_as("xterm", &command);
        // Several are attached; the next takes as long as its call waits.
        (0..20).for_each(|_| gate.pass(gate.next()));
        let held = gate.next();
        terminal.expect("\r\x1b[Kattaching ");
        terminal.expect(" probes ... ");
        terminal.expect(" of ");
        terminal.expect(" s");
        terminal.type_in("\x03");
        gate.pass(held);
        gate.open_while(|| {
            // Nothing of it is left in front of what is said then.
            terminal.expect("\r\x1b[K");
            terminal.expect("interrupted while attaching");
        });
        assert_eq!(terminal.wait(), Some(1));
    });
}
