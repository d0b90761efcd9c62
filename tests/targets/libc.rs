//! A copy of the C library, so that a mistake breaks the programs of the test and not the machine.

use std::path::PathBuf;

use tests::process::{Finished, funccount};

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
        // One function can't be probed, and costs the others nothing.
        assert!(finished.stderr.contains("skipped "), "{finished:#?}");
        assert!(
            finished.stderr.contains("pthread_spin_lock"),
            "{finished:#?}"
        );
    }
}

#[test]
fn its_short_name_is_known() {
    let finished = Finished::of(funccount(&["c:malloc", "--", "ls", "/"]));
    assert!(finished.count("malloc") > 0, "{finished:#?}");
}
