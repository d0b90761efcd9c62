//! funccount's body: one more for the probe that fired.

use core::ffi::c_void;

use crate::{cookie::probe, counter, filter, maps::COUNTS, task_stack};

/// Counts the event.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/count")]
extern "C" fn count(ctx: *mut c_void) -> u32 {
    task_stack::stay(ctx);
    if !filter::passes() {
        return 0;
    }
    counter::increment(&COUNTS, probe(ctx));
    0
}
