//! Whether the kernel keeps its secrets from root too.

use std::{fs, os::fd::AsRawFd as _};

use super::mount::mount_privately;

/// Whether the kernel is locked down for confidentiality (`lockdown=confidentiality`, Linux 5.4). One
/// that does not say is not.
#[must_use]
pub fn is_confidential() -> bool {
    level().as_deref() == Some("confidentiality")
}

/// How far the kernel is locked down: `none`, `integrity` or `confidentiality`; from securityfs,
/// through a mount of our own if there is none. Nothing if it does not say.
#[must_use]
pub fn level() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").or_else(|_| {
        let securityfs = mount_privately(c"securityfs")?;
        fs::read_to_string(format!("/proc/self/fd/{}/lockdown", securityfs.as_raw_fd()))
    });
    in_brackets(&text.ok()?).map(str::to_owned)
}

/// The file lists the levels, with the one in force in brackets.
fn in_brackets(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_in_force_is_the_one_in_brackets() {
        assert_eq!(
            in_brackets("none integrity [confidentiality]\n"),
            Some("confidentiality")
        );
        assert_eq!(
            in_brackets("none [integrity] confidentiality\n"),
            Some("integrity")
        );
        assert_eq!(in_brackets("none\n"), None);
    }
}
