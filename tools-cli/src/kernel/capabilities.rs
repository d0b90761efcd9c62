//! The capabilities of this process, to name those that are missing.

use std::fs;

/// A capability, by its number (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// To look into processes of others.
    SysPtrace = 19,
    /// To mount tracefs and read it, and for all that the next two are for.
    SysAdmin = 21,
    /// To go beyond limits.
    SysResource = 24,
    /// To open events and load programs that trace (Linux 5.8).
    Perfmon = 38,
    /// To load programs and create maps (Linux 5.8).
    Bpf = 39,
}

impl Capability {
    const fn name(self) -> &'static str {
        match self {
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// Whether another capability may stand for it.
    const fn is_part_of_sys_admin(self) -> bool {
        matches!(self, Self::Perfmon | Self::Bpf)
    }
}

/// Whether this process is root's, who may have been denied some all the same.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: the call has no arguments.
    unsafe { libc::geteuid() == 0 }
}

/// Whether what this process may do counts in its user namespace only: the kernel asks the initial
/// one for all that we do, whose numbers are mapped to themselves (user_namespaces(7)).
#[must_use]
pub fn are_of_a_namespace_only() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_partial(&map)
}

fn is_partial(uid_map: &str) -> bool {
    let fields: Vec<&str> = uid_map.split_ascii_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

/// What this process may do.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Those that are in effect; none if `/proc` does not tell.
    #[must_use]
    pub fn current() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status)
    }

    fn parse(status: &str) -> Self {
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
        Self(effective.unwrap_or(0))
    }

    fn has(self, capability: Capability) -> bool {
        let bit = |capability: Capability| self.0 >> capability as u32 & 1 == 1;
        bit(capability) || capability.is_part_of_sys_admin() && bit(Capability::SysAdmin)
    }

    /// Those of `wanted` that are not in effect, joined by `and`; nothing if all are.
    #[must_use]
    pub fn missing(self, wanted: &[Capability]) -> Option<String> {
        let missing = wanted.iter().filter(|&&capability| !self.has(capability));
        let names: Vec<&str> = missing.map(|capability| capability.name()).collect();
        (!names.is_empty()).then(|| names.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = |effective: u64| {
            let status = format!("Name:\tx\nCapPrm:\tffff\nCapEff:\t{effective:016x}\n");
            Capabilities::parse(&status).missing(&[Capability::Bpf, Capability::Perfmon])
        };
        assert_eq!(missing(0).as_deref(), Some("CAP_BPF and CAP_PERFMON"));
        assert_eq!(missing(1 << 39).as_deref(), Some("CAP_PERFMON"));
        assert_eq!(missing(1 << 38 | 1 << 39), None);
        assert_eq!(missing(1 << 21), None);
    }

    #[test]
    fn sys_admin_does_not_stand_for_everything() {
        let capabilities = Capabilities::parse("CapEff:\t0000000000200000\n");
        let missing = capabilities.missing(&[Capability::SysPtrace]);
        assert_eq!(missing.as_deref(), Some("CAP_SYS_PTRACE"));
    }
}
