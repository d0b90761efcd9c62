//! probekit: counts and traces what functions, tracepoints and USDT probes do.
//!
//! The way from a command line to a report, one module and one type for each stage:
//!
//! ```text
//! argv → ProbeSpec → [Probe] → Compiled → program → [Link] → counts, stacks, events → report
//! cli    spec        resolve   compile    load      attach   collect, symbolize       render
//! ```
//!
//! [`tool`] holds the tools, each a walk along that way. Only [`kernel`] makes the system calls
//! `bpf`, `perf_event_open` and `ioctl`.

pub mod attach;
pub mod bytes;
pub mod cli;
pub mod collect;
pub mod compile;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod kernel;
pub mod load;
pub mod privilege;
#[cfg(test)]
mod property;
pub mod render;
pub mod resolve;
pub mod snippet;
pub mod spec;
pub mod suggest;
pub mod symbolize;
pub mod tool;
pub mod types;
