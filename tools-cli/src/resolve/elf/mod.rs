//! What is read from ELF files: functions, IFUNC implementations, USDT probes, instructions.
//!
//! ```text
//! Image::open → Image::elf → Elf ─┬─ find_functions(pattern, DebugSymbols::find(…))
//!                                 ├─ usdt_probes()
//!                                 └─ instruction_starts_at(), is_go_binary(), irelative_slots(), …
//! ```
//!
//! An [`Image`] holds a file's bytes and an [`Elf`] is a view of them; names are borrowed from
//! there, so a file of many megabytes costs only the pages that are looked at.
//!
//! Whoever can put a probe on a program may not have written it: nothing in a file is trusted.
//! Damaged parts give an [`ElfError`] or a note, or are left out; they never panic, and what is
//! allocated is bounded by the size of the file.

mod aliases;
mod bias;
pub(crate) mod debug_file;
mod debug_section;
mod error;
mod functions;
mod got;
mod ifunc;
mod image;
mod instructions;
mod misread;
mod names;
mod symbols;
pub(crate) mod usdt;
mod usdt_operand;

pub use aliases::{Extent, shown_name};
pub use debug_file::{DebugSearch, DebugSymbols};
pub use debug_section::DebugSection;
pub use error::ElfError;
pub use functions::{Found, FunctionKind, FunctionSymbol, Site};
pub use got::{IrelativeSlot, implementations_in_use};
pub use image::{Elf, Image};
pub use instructions::{InstructionError, starts_at};
#[cfg(target_arch = "x86_64")]
pub use misread::vector_opcode;
pub use misread::would_break;
pub use symbols::Symbol;
pub use usdt::{UsdtFound, UsdtSite};
pub use usdt_operand::{Memory, Operand, Place, Register};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod ifunc_tests;
#[cfg(test)]
pub(crate) mod test_programs;
#[cfg(test)]
mod usdt_tests;
