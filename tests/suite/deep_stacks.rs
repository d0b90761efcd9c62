//! Stacks deeper than the kernel's default limit. `cargo xtask test` runs these in its machines: the
//! limit is that of all programs, and can't be changed while one of them walks stacks.

use tests::kernel::Setting;

use crate::stacks::{expected, leaf, stacks_of};

#[test]
fn a_recursion_is_shown_whole_up_to_the_limit() {
    for (limit, depth) in [("256", 200), ("512", 400), ("1024", 1000)] {
        let _limit = Setting::set("kernel/perf_event_max_stack", limit);
        let (found, _) = stacks_of(
            &["--depth", limit],
            &leaf(),
            &["recurse", &depth.to_string()],
        );
        let stack = format!("main;{}stk_leaf", "stk_recurse;".repeat(depth));
        assert_eq!(found, expected([(&stack, 1)]));
    }
}
