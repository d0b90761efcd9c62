//! The program installs itself, and runs from where it was put.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tests::{
    fixtures,
    process::{Finished, probekit},
};

fn install(program: &Path, prefix: &Path) -> Finished {
    let mut command = Command::new(program);
    Finished::of({
        command.arg("install").arg("--prefix").arg(prefix);
        command
    })
}

#[test]
fn tools_run_from_the_folder_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let installed = install(&probekit(), folder.path());
    assert!(installed.status.success(), "{installed:#?}");
    let files: Vec<PathBuf> = installed.stdout.lines().map(PathBuf::from).collect();
    assert!(files.iter().all(|file| file.exists()), "{files:?}");
    for file in [
        "bin/stackcount",
        "bin/trace",
        "share/man/man8/trace.8",
        "share/bash-completion/completions/funccount",
        "share/fish/vendor_completions.d/trace.fish",
        "share/zsh/site-functions/_probekit",
    ] {
        assert!(files.contains(&folder.path().join(file)), "{file}");
    }

    let program = fixtures::path("calls");
    let mut funccount = Command::new(folder.path().join("bin/funccount"));
    funccount.arg(format!("{}:pk_work", program.display()));
    funccount.arg("--").arg(&program).args(["work", "12"]);
    assert_eq!(Finished::of(funccount).count("pk_work"), 12);

    // Over itself, while it runs.
    let again = install(&folder.path().join("bin/probekit"), folder.path());
    assert!(again.status.success(), "{again:#?}");
    assert_eq!(again.stdout, installed.stdout);
}

#[test]
fn files_of_others_are_left_alone() {
    for name in ["bin/trace", "bin/probekit", "share/man/man8/trace.8"] {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join(name);
        fs::create_dir_all(other.parent().expect("it has one")).expect("there is room");
        fs::write(&other, "another").expect("there is room");
        let refused = install(&probekit(), folder.path());
        refused.assert_failure(1, &format!("/{name} is there and not probekit's"));
        assert_eq!(fs::read(&other).expect("it is there"), b"another");
        assert!(!folder.path().join("bin/funccount").exists());
    }
}
