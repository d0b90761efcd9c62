//! Whether the kernel keeps its secrets from root too.

use std::{fs, os::fd::AsRawFd as _};

use super::mount::mount_privately;

/// Whether the kernel is locked down for confidentiality (`lockdown=confidentiality`, Linux 5.4),
/// from securityfs, through a mount of our own if there is none. A kernel that does not say is not.
#[must_use]
pub fn is_confidential() -> bool {
    if let Ok(text) = fs::read_to_string("/sys/kernel/security/lockdown") {
        return says_confidential(&text);
    }
    let Ok(securityfs) = mount_privately(c"securityfs") else {
        return false;
    };
    let path = format!("/proc/self/fd/{}/lockdown", securityfs.as_raw_fd());
    fs::read_to_string(path).is_ok_and(|text| says_confidential(&text))
}

/// The file lists the levels, with the one in force in brackets.
fn says_confidential(text: &str) -> bool {
    text.contains("[confidentiality]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_in_force_is_the_one_in_brackets() {
        assert!(says_confidential("none integrity [confidentiality]\n"));
        assert!(!says_confidential("none [integrity] confidentiality\n"));
    }
}
