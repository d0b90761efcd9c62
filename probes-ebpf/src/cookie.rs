//! Which probe fired.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use probes_common::{COOKIE_PLACEHOLDER, COOKIE_PROBE};

use crate::settings::setting;

/// The number of the probe that fired.
#[inline(always)]
pub(crate) fn probe(ctx: *mut c_void) -> u32 {
    (cookie(ctx) & COOKIE_PROBE) as u32
}

/// The cookie of the probe that fired.
#[inline(always)]
pub(crate) fn cookie(ctx: *mut c_void) -> u64 {
    if setting!(has_cookie) != 0 {
        // SAFETY: `ctx` is the context that the kernel passed.
        return unsafe { bpf_get_attach_cookie(ctx) };
    }
    let cookie: u64;
    // SAFETY: loads a constant. Assembly, because the compiler must not split or fold a constant
    // that the loader is to find and replace.
    unsafe {
        asm!("{cookie} = {placeholder} ll", cookie = out(reg) cookie,
             placeholder = const COOKIE_PLACEHOLDER);
    }
    cookie
}
