//! Why something could not be read from an ELF file.

use std::{io, path::PathBuf};

use super::instructions::InstructionError;

/// Why something could not be read from an ELF file; every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file could not be opened or read.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else: a script, a text, a directory, an empty file.
    #[error("{}: not an ELF file ({found})", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is there instead, for people.
        found: String,
    },
    /// An ELF file for 32-bit processes.
    #[error("{}: a 32-bit ELF file; only 64-bit programs and libraries can be probed", path.display())]
    ThirtyTwoBit {
        /// The file.
        path: PathBuf,
    },
    /// An ELF file for another kind of processor.
    #[error("{}: an ELF file for {machine}, which does not run on this machine ({host})", path.display())]
    ForeignMachine {
        /// The file.
        path: PathBuf,
        /// What it was made for.
        machine: String,
        /// What this is.
        host: &'static str,
    },
    /// An object file, a core dump: nothing that a process executes.
    #[error("{}: {found}, not a program or shared library", path.display())]
    NotLoadable {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: &'static str,
    },
    /// The file contradicts itself or ends too soon.
    #[error("{}: damaged ELF file: failed to read {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The part that could not be read.
        what: &'static str,
        /// What is wrong with it.
        source: object::read::Error,
    },
    /// So many functions match that their names alone fill the memory; no real file has so many.
    #[error("{}: the names of all functions that match take more than {limit_bytes} bytes", path.display())]
    TooManyNames {
        /// The file.
        path: PathBuf,
        /// How much would be all right.
        limit_bytes: usize,
    },
    /// The code of a function could not be decoded.
    #[error("{}: failed to decode {function}", path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// The function.
        function: String,
        /// What is wrong with it.
        source: InstructionError,
    },
}
