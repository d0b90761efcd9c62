//! What the running kernel should be able to do, from what it was built with: a way of attaching
//! that should work and does not fails its test.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::watchdog::wait_until;

/// A setting of the kernel in `/proc/sys`, until this goes.
#[derive(Debug)]
pub struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Sets `name`, as `kernel/kptr_restrict`.
    ///
    /// # Panics
    ///
    /// When there is no such setting, we are not root, or somebody goes on using it.
    #[must_use]
    pub fn set(name: &str, value: &str) -> Self {
        let path = Path::new("/proc/sys").join(name);
        let before = fs::read_to_string(&path).expect("the kernel has the setting");
        write_when_free(&path, value).expect("we are root");
        Self { path, before }
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = write_when_free(&self.path, &self.before);
    }
}

/// Programs that are gone use a setting until the kernel has freed them, of which nobody is told.
fn write_when_free(path: &Path, value: &str) -> io::Result<()> {
    let mut result = Ok(());
    wait_until(|| {
        result = fs::write(path, value);
        !matches!(&result, Err(error) if error.kind() == io::ErrorKind::ResourceBusy)
    });
    result
}

/// The running kernel.
#[derive(Debug)]
pub struct Kernel {
    /// As 6.12 is (6, 12).
    pub release: (u32, u32),
    symbols: String,
}

impl Kernel {
    /// The one that runs here.
    ///
    /// # Panics
    ///
    /// When `/proc` is not mounted.
    #[must_use]
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<Kernel> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is there");
            let mut numbers = release
                .split(['.', '-'])
                .map(|number| number.parse().unwrap_or(0));
            let mut next = || numbers.next().unwrap_or(0);
            Self {
                release: (next(), next()),
                symbols: fs::read_to_string("/proc/kallsyms").expect("/proc is there"),
            }
        })
    }

    /// Whether it was built with the function `name`.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.symbols
            .lines()
            .any(|line| line.split_ascii_whitespace().nth(2) == Some(name))
    }

    /// Whether the way of attaching should work on functions of modules.
    #[must_use]
    pub fn should_attach_to_modules(&self, way: &str) -> bool {
        self.should_attach(way) && (way != "fentry" || self.release >= (5, 11))
    }

    /// Whether the way should know where a kernel function was called from, and which call returns.
    #[must_use]
    pub fn should_attach_to_calls(&self, way: &str) -> bool {
        // Fprobes made of the function graph tracer, until they had the registers for it again.
        let is_blind = way == "kprobe.multi" && ((6, 14)..(7, 0)).contains(&self.release);
        self.should_attach(way) && !is_blind
    }

    /// Whether the way of attaching should work.
    #[must_use]
    pub fn should_attach(&self, way: &str) -> bool {
        let has_kprobes = self.has_function("register_kprobe");
        match way {
            "kprobe.multi" => has_kprobes && self.has_function("register_fprobe_ips"),
            "kprobe" => has_kprobes && self.release >= (5, 15),
            "kprobe.single" => has_kprobes,
            // A kernel that is built to let none of its own functions be probed refuses fentry too.
            "fentry" => has_kprobes && self.release >= (5, 5),
            "uprobe.multi" => self.release >= (6, 6),
            "uprobe" | "tracepoint" => self.release >= (5, 15),
            "uprobe.single" | "tracepoint.single" => true,
            _ => false,
        }
    }
}
