//! Functions of a kernel module, by every way. `cargo xtask test` runs these in its machines, which
//! bring a module: `loop`, in the file that `PROBEKIT_MODULE` names.

use std::{
    env,
    fs::{self, File},
    os::fd::AsRawFd as _,
    process::{self, Command},
    sync::OnceLock,
};

use tests::{
    kernel::Kernel,
    process::{Finished, Live, funccount, stackcount, trace},
};

use crate::trace::messages;

/// What each `ioctl` on its device runs once.
const FUNCTION: &str = "lo_ioctl";

const CALLS: u64 = 100;

/// Loads the module, and opens its device.
fn device() -> &'static File {
    static DEVICE: OnceLock<File> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let module = env::var_os("PROBEKIT_MODULE").expect("a machine of `cargo xtask test`");
        let loaded = Command::new("insmod").arg(module).status();
        assert!(loaded.expect("busybox has it").success());
        File::open("/dev/loop0").expect("the module makes devices")
    })
}

/// Asks the device for its status, which it has none of.
fn call() {
    /// `LOOP_GET_STATUS` (include/uapi/linux/loop.h).
    const LOOP_GET_STATUS: libc::c_ulong = 0x4c03;

    for _ in 0..CALLS {
        let mut status = [0_u8; 512];
        // SAFETY: the buffer is larger than what the call writes.
        unsafe {
            libc::ioctl(
                device().as_raw_fd(),
                LOOP_GET_STATUS as _,
                status.as_mut_ptr(),
            )
        };
    }
}

/// Counts `probe` in this process while it calls.
fn count(arguments: &[&str], probe: &str) -> Finished {
    let pid = process::id().to_string();
    let mut all = vec!["-v", "-p", &pid, probe];
    all.extend(arguments);
    let live = Live::start(funccount(&all));
    call();
    live.interrupt()
}

fn counts_exactly(way: &str) {
    let _loaded = device();
    for probe in [FUNCTION, "r::lo_ioctl"] {
        let arguments = ["--attach-with", way];
        if Kernel::current().should_attach_to_modules(way) {
            let finished = count(&arguments, probe);
            assert_eq!(finished.count(FUNCTION), CALLS, "{finished:#?}");
            assert!(
                finished.stderr.contains(&format!(" by {way}, ")),
                "{finished:#?}"
            );
        } else {
            let finished = Finished::of(funccount(&[arguments[0], arguments[1], probe]));
            finished.assert_failure(1, "failed to attach any of 1 places");
            if way == "fentry" {
                finished.assert_failure(1, "the type information of the module loop");
            }
        }
    }
}

#[test]
fn by_kprobe_multi() {
    counts_exactly("kprobe.multi");
}

#[test]
fn by_kprobe() {
    counts_exactly("kprobe");
}

#[test]
fn by_kprobe_single() {
    counts_exactly("kprobe.single");
}

#[test]
fn by_fentry() {
    counts_exactly("fentry");
}

#[test]
fn by_a_pattern_and_beside_functions_of_the_kernel_proper() {
    let _loaded = device();
    let finished = count(&["vfs_fsync"], "lo_ioct*");
    assert_eq!(finished.count(FUNCTION), CALLS, "{finished:#?}");
}

#[test]
fn requests_that_a_disk_completes() {
    device();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("disk");
    fs::write(&file, vec![0; 1 << 20]).expect("there is room");
    let attached = Command::new("losetup")
        .arg("/dev/loop1")
        .arg(&file)
        .status();
    assert!(attached.expect("busybox has it").success());

    let probe = r#"t:block:block_rq_complete "sectors=%d", args->nr_sector"#;
    let tracing = Live::start(trace(&["-v", "-M", "1", probe]));
    fs::read("/dev/loop1").expect("the disk can be read");
    let finished = tracing.wait();
    let detached = Command::new("losetup").args(["-d", "/dev/loop1"]).status();
    assert!(detached.expect("busybox has it").success());
    let shown = messages(&finished);
    let sectors = shown[0].strip_prefix("sectors=").map(str::parse);
    assert!(matches!(sectors, Some(Ok(1_u32..))), "{finished:#?}");
}

#[test]
fn stacks_show_which_frames_are_the_modules() {
    let _loaded = device();
    let pid = process::id().to_string();
    // Called by the module's function, and by many others.
    let probe = "mutex_lock_killable";
    let live = Live::start(stackcount(&["-K", "-v", "-p", &pid, FUNCTION, probe]));
    call();
    let finished = live.interrupt();
    let stacks: Vec<Vec<&str>> = finished
        .stdout
        .split("\n\n")
        .map(|stack| stack.lines().map(without_address).collect())
        .collect();
    let from = |innermost| {
        let found = stacks
            .iter()
            .find(|stack| stack.first() == Some(&innermost));
        found.unwrap_or_else(|| panic!("no stack of {innermost}: {finished:#?}"))
    };
    for stack in [from("lo_ioctl [loop]"), from(probe)] {
        assert!(stack.contains(&"do_syscall_64"), "{stack:?}");
    }
    assert!(from(probe)[1].ends_with(" [loop]"), "{finished:#?}");
}

/// What a frame's line such as `  ffffffffc042c619 lo_ioctl [loop]` names.
fn without_address(line: &str) -> &str {
    line.trim().split_once(' ').map_or("", |(_, name)| name)
}
