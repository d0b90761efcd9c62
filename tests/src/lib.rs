//! What the tests share: the programs they trace, the tools they run, and what the kernel they run
//! on is expected to have.

pub mod fixtures;
pub mod gate;
pub mod kernel;
pub mod process;
pub mod user;
pub mod watchdog;
