//! The system calls that probes are made of, `bpf(2)`, `perf_event_open(2)`, `ioctl(2)`, and what the
//! kernel tells of itself: its release, configuration and lockdown, what it forbids, what we may do.
//! What they are used for is decided elsewhere.

pub mod blacklist;
pub mod bpf;
pub mod capabilities;
pub mod clock;
pub mod config;
pub mod kprobes;
pub mod limits;
pub mod linger;
pub mod lockdown;
pub mod module_types;
pub mod mount;
pub mod perf;
pub mod pid_namespace;
pub mod release;
pub mod ring_positions;
pub mod sideband;
pub mod thread;
pub mod unwind_tables;
