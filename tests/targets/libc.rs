//! A copy of the C library, so that a mistake breaks the programs of the test and not the machine.

use std::path::PathBuf;

use tests::process::{Finished, funccount};

/// Why a place is skipped: the kernel's reason, and ours.
const REASONS: [&str; 2] = [
    "the kernel can't probe the instruction there",
    "the kernel mistakes its first instruction, a vector one, for a jump or a push",
];

/// A folder with a copy of the library that programs here are linked with.
pub fn copy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is there");
    let path = maps.lines().find_map(|line| {
        line.split_whitespace()
            .find(|word| word.contains("/libc.so"))
    });
    let copy = folder.path().join("libc.so.6");
    std::fs::copy(path.expect("this test is linked with it"), &copy).expect("copied");
    (folder, copy)
}

#[test]
fn all_its_functions_are_probed_and_programs_go_on() {
    let (folder, library) = copy();
    let probe = format!("{}:*", library.display());
    let path = format!("LD_LIBRARY_PATH={}", folder.path().display());
    for command in [
        &["ls", "-l", "/"][..],
        &["ps", "aux"],
        &["sh", "-c", "for i in 1 2 3; do date; done"],
    ] {
        let mut arguments = vec![&*probe, "-v", "--", "env", &path];
        arguments.extend(command);
        let finished = Finished::of(funccount(&arguments));
        assert!(finished.status.success(), "{command:?}: {finished:#?}");
        assert!(finished.counts().len() > 50, "{command:?}: {finished:#?}");
        // Some functions can't be probed, and cost the others nothing.
        assert!(
            finished.stderr.contains("pthread_spin_lock"),
            "{finished:#?}"
        );
        assert_all_are_attached_or_skipped_with_a_reason(&finished);
    }
}

/// That those which were skipped are as many as are said to be, and with the others all there are.
fn assert_all_are_attached_or_skipped_with_a_reason(finished: &Finished) {
    let number = |text: &str| text.replace(',', "").parse::<usize>().expect("a number");
    let lines = finished.stderr.lines();
    let skipped: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("skipped "))
        .collect();
    let (total, each) = skipped.split_last().expect("some are skipped");
    let (skipped, rest) = total.split_once(" of ").expect("K of N");
    let (all, _) = rest.split_once(" places: ").expect("K of N places");
    assert_eq!(each.len(), number(skipped), "{}", finished.stderr);
    for line in each {
        let (_, reason) = line.split_once(": ").expect("a reason");
        let is_known = REASONS.iter().any(|known| reason.starts_with(known));
        assert!(is_known, "{line}");
    }
    let attached = finished.stderr.lines().filter_map(|line| {
        let (attached, _) = line.strip_prefix("attached ")?.split_once(" places by ")?;
        Some(number(attached))
    });
    let attached: usize = attached.sum();
    assert_eq!(attached + each.len(), number(all), "{}", finished.stderr);
    // The library has some thousand functions, and all but a few can be probed.
    assert!(attached > 1000, "{}", finished.stderr);
    assert!(each.len() * 10 < attached, "{}", finished.stderr);
}

#[test]
fn its_short_name_is_known() {
    let finished = Finished::of(funccount(&["c:malloc", "--", "ls", "/"]));
    assert!(finished.count("malloc") > 0, "{finished:#?}");
}
