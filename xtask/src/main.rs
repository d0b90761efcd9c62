//! `cargo xtask`: see `cargo xtask help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{bench, bytecode, dist, fuzz, guest, stamp, suite};

/// Builds the bytecode, runs the tests on every kernel.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compile probes-ebpf to the object file that is kept in tools-cli/bytecode
    Bytecode {
        /// Only tell whether the object is that of the sources
        #[arg(long)]
        check: bool,
    },
    /// Run all tests here and on the kernels of the matrix, and print the matrix
    Test {
        /// Only on these: host, 5.10, 6.1, 6.12, 7.2
        #[arg(long = "kernel", value_name = "KERNEL")]
        kernels: Vec<String>,
        /// Only tests whose names contain this
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
    },
    /// Run all that reads bytes from outside on made-up ones, and fail where that does harm
    Fuzz(fuzz::Options),
    /// Measure the tools beside bcc's and bpftrace; tables, and JSON beside them
    Bench(bench::Options),
    /// Build what users are given: an archive, a Debian package, checksums
    Dist,
    /// Run a command in a virtual machine, with the tools and the fixtures
    Vm {
        /// 5.10, 6.1, 6.12 or 7.2
        #[arg(long)]
        kernel: String,
        /// A command for the shell
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().task {
        Task::Bytecode { check: true } => {
            stamp::check()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Bytecode { check: false } => {
            bytecode::build()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test { kernels, filter } => suite::run(&kernels, filter.as_deref()),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => {
            bench::run(&options)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Dist => {
            dist::build()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Vm { kernel, command } => guest::run_command(&kernel, &command.join(" ")),
    }
}
