//! An allocator that ends the program when it is asked for too much at once, as a reader does that
//! trusts a size in its input. libFuzzer's own limit works with a sanitizer only, and its limit for
//! all memory does not see what is asked for and not used.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    process,
};

/// What a section of some kilobytes can unpack to; the decoder of an xz stream may take 80 MiB.
const UP_TO_BYTES: usize = 200 << 20;

struct Limited;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

fn check(bytes: usize) {
    if bytes > UP_TO_BYTES {
        eprintln!("an allocation of {bytes} bytes");
        // libFuzzer keeps the input then.
        process::abort();
    }
}

// SAFETY: all is done by the system's allocator, with the same arguments.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        check(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
