//! The C library, which nearly all stacks go through.

use crate::{
    render::Check,
    resolve::{self, AttachPoint, Scope, TargetFile, elf::Image},
    spec::{ProbeSpec, Syntax},
};

pub(super) fn checks() -> Vec<Check> {
    check().unwrap_or_else(|| {
        let found = "none found that programs share";
        vec![Check::ok("C library", found)]
    })
}

fn check() -> Option<Vec<Check>> {
    let file = c_library()?;
    let image = Image::open(&file.path).ok()?;
    let elf = image.elf().ok()?;
    let debug = file.debug_symbols(&elf);
    let shown = file.shown.display();
    let debug_file = match debug.path() {
        Some(path) => Check::ok("C library: debug file", path.display().to_string()),
        None => Check::warn(
            "C library: debug file",
            format!("none for {shown}: only what it exports can be named"),
            "install it (Debian, Ubuntu: libc6-dbg; Fedora: debuginfo-install glibc)",
        ),
    };
    let starts = elf
        .functions(&debug)
        .filter(|function| function.size >= MEASURED_FROM_BYTES)
        .filter_map(|function| elf.code_at(function.address));
    let (mut with, mut all) = (0, 0);
    for code in starts {
        all += 1;
        with += usize::from(keeps_frame_pointer(code));
    }
    let frames = if with * 2 > all {
        Check::ok("C library: frame pointers", "kept")
    } else {
        Check::warn(
            "C library: frame pointers",
            format!("{shown} is built without: stacks of programs may end in it"),
            "use one that is built with them (Fedora, Ubuntu 24.04; Debian, Ubuntu: libc6-prof)",
        )
    };
    Some(vec![frames, debug_file])
}

/// Smaller functions need no frame in either case.
const MEASURED_FROM_BYTES: u64 = 128;

/// Whether a function begins as those do that keep one: `push %rbp; mov %rsp,%rbp`, with an `endbr64`
/// before it, or saved registers between.
fn keeps_frame_pointer(code: &[u8]) -> bool {
    const PUSH: u8 = 0x55;
    const MOVE: [u8; 3] = [0x48, 0x89, 0xe5];

    let start = &code[..code.len().min(24)];
    let push = start.iter().position(|&byte| byte == PUSH);
    push.is_some_and(|at| start[at..].windows(MOVE.len()).any(|bytes| bytes == MOVE))
}

fn c_library() -> Option<TargetFile> {
    let spec = ProbeSpec::parse("c:malloc", Syntax::Glob).ok()?;
    let resolved = resolve::resolve(&[spec], &Scope::default()).ok()?;
    let mut points = resolved.probes.into_iter().flat_map(|probe| probe.points);
    points.find_map(|point| match point {
        AttachPoint::User(point) => Some((*point.file).clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_function_tells() {
        // endbr64; push %rbp; mov %rsp,%rbp
        let with = [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x90];
        // push %rbp; push %rbx; mov %rdi,%rbp
        let without = [0x55, 0x53, 0x48, 0x89, 0xfd, 0x90];
        assert!(keeps_frame_pointer(&with));
        assert!(!keeps_frame_pointer(&without));
        assert!(!keeps_frame_pointer(&[]));
    }
}
