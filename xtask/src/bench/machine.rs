//! The machine that a result is of.

use std::{fs, process::Command, thread};

use serde::{Deserialize, Serialize};

use crate::command::output;

/// What matters of it; nothing that tells whose it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// How many there are.
    pub cpus: usize,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn this() -> anyhow::Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let processors = fs::read_to_string("/proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            kernel: release.trim().to_owned(),
            cpu: field(&processors, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: thread::available_parallelism()?.get(),
            memory_bytes: memory_bytes(&memory).unwrap_or(0),
        })
    }
}

/// Processes that ran or waited to, on average over the last minute.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(first_number(&text).unwrap_or(f64::NAN))
}

/// The day, as in 2026-11-23.
///
/// # Errors
///
/// When `date` fails.
pub fn today() -> anyhow::Result<String> {
    let day = output(Command::new("date").args(["-u", "+%F"]))?;
    Ok(day.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let total = field(meminfo, "MemTotal")?;
    let kibibytes: u64 = total.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read_as_the_kernel_tells_it() {
        let processors = "processor\t: 0\nmodel name\t: AMD EPYC\n";
        assert_eq!(field(processors, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(memory_bytes("MemTotal:     2048 kB\n"), Some(2 << 20));
        assert_eq!(first_number("0.52 0.99 0.77 1/85 4081\n"), Some(0.52));
    }
}
