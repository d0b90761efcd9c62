//! Gives what libFuzzer makes up to the target that `FUZZ_TARGET` names; built and run by
//! `cargo xtask fuzz`.

#![no_main]

mod allocator;

use std::{env, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use probekit::fuzzing::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let wanted = env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == wanted);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET: there is no target `{wanted}`"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
