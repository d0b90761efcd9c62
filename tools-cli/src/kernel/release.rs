//! The version of the running kernel.

use std::{fmt, fs, io};

/// Major and minor number, which is all that features depend on here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The 6 of 6.12.
    pub major: u32,
    /// The 12 of 6.12.
    pub minor: u32,
}

impl Release {
    /// The running kernel's.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted, or the text there is no version.
    pub fn current() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        Self::parse(&text).ok_or_else(|| {
            let reason = format!("the kernel's release {text:?} does not start with two numbers");
            io::Error::new(io::ErrorKind::InvalidData, reason)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self {
            major: numbers.next()?.parse().ok()?,
            minor: numbers.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        let parse = |text| Release::parse(text).expect("valid");
        assert!(parse("6.9.0-1-amd64") < parse("6.10"));
        assert!(parse("7.2.0+deb14\n") > parse("6.18.44-fc"));
        assert_eq!(Release::parse("unknown"), None);
    }
}
