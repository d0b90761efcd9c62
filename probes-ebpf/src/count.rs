//! funccount's body: one more for the probe that fired.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use probes_common::PROBE_INDEX_PLACEHOLDER;

use crate::{counter, filter, maps::COUNTS, settings::setting};

/// Counts the event.
#[unsafe(no_mangle)]
#[unsafe(link_section = "kprobe/count")]
extern "C" fn count(ctx: *mut c_void) -> u32 {
    if !filter::passes() {
        return 0;
    }
    counter::increment(&COUNTS, probe_index(ctx));
    0
}

/// The number of the probe that fired.
#[inline(always)]
fn probe_index(ctx: *mut c_void) -> u32 {
    if setting!(has_cookie) != 0 {
        // SAFETY: `ctx` is the context that the kernel passed.
        return unsafe { bpf_get_attach_cookie(ctx) } as u32;
    }
    let index: u64;
    // SAFETY: loads a constant. Assembly, because the compiler must not split or fold a constant
    // that the loader is to find and replace.
    unsafe {
        asm!("{index} = {placeholder} ll", index = out(reg) index,
             placeholder = const PROBE_INDEX_PLACEHOLDER);
    }
    index as u32
}
