//! What `cargo xtask fuzz` feeds with made-up bytes: all that reads bytes from outside.
//!
//! A target must not panic, and says what else must hold of what was read; the fuzzer sees to it that
//! it ends soon and takes little memory. The inputs that are kept in `tests/fuzz/corpus` are tried by
//! `cargo test` as well.

mod binaries;
mod kernel_lists;
mod process_files;
mod records;
mod specs;

/// Something that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// Reads the bytes, and panics if what was read can't be.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("available_functions", kernel_lists::available_functions),
    target("blacklist", kernel_lists::blacklist),
    target("btf", binaries::btf),
    target("debugdata", binaries::debugdata),
    target("dwarf", binaries::dwarf),
    target("elf", binaries::elf),
    target("event", records::event),
    target("kallsyms", kernel_lists::kallsyms),
    target("ld_cache", process_files::ld_cache),
    target("maps", process_files::maps),
    target("modules", kernel_lists::modules),
    target("pattern", specs::pattern),
    target("perf_map", process_files::perf_map),
    target("sideband", records::sideband),
    target("spec", specs::spec),
    target("stack", records::stack),
    target("trace", specs::trace),
    target("tracepoint_format", kernel_lists::tracepoint_format),
    target("usdt_note", binaries::usdt_note),
    target("usdt_operands", binaries::usdt_operands),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Runs `read` on `bytes` if they are text, as files do that are read as text.
fn on_text(bytes: &[u8], read: impl FnOnce(&str)) {
    if let Ok(text) = str::from_utf8(bytes) {
        read(text);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn all_inputs_that_are_kept_do_no_harm() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for target in TARGETS {
            let inputs = fs::read_dir(corpus.join(target.name)).expect("each has inputs");
            for input in inputs {
                let bytes = fs::read(input.expect("readable").path()).expect("readable");
                (target.run)(&bytes);
            }
        }
    }
}
