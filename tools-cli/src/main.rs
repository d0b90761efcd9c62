//! The `probekit` program; also funccount by that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    probekit::cli::main(std::env::args_os())
}
