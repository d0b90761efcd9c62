//! The `probekit` program; also funccount, stackcount and trace by those names.

use std::process::ExitCode;

fn main() -> ExitCode {
    probekit::cli::main(std::env::args_os())
}
