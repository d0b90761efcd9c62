//! The BPF programs.
//!
//! A body serves every kind of probe: the section names below only tell the reader of the object
//! file that these are programs; the loader chooses program type and attach type.
#![no_std]
#![no_main]
// For the instructions that the language has no name for on this target: an atomic add, a 64-bit
// constant that stays whole.
#![feature(asm_experimental_arch)]

mod cookie;
mod count;
mod count_by;
mod counter;
mod entry;
mod filter;
mod follow;
mod loss;
mod maps;
mod settings;
mod stack;
mod task_stack;
mod trace;
mod walk;

/// Helpers that read memory and tell the attach cookie are for programs under the GPL only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
