//! Names with `*` in them, or regular expressions.

use std::fmt;

use regex_lite::Regex;

/// Which names are meant.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// This name and no other.
    Literal(String),
    /// Names that match as a whole; `*` stands for any run of characters.
    Glob(Glob),
    /// Names that match from their start, as Python's `re.match` does for bcc.
    Regex(Regex),
}

impl Pattern {
    /// A literal name, or a pattern if `text` has a `*` in it.
    #[must_use]
    pub fn glob(text: &str) -> Self {
        if text.contains('*') {
            Self::Glob(Glob::new(text))
        } else {
            Self::Literal(text.to_owned())
        }
    }

    /// A regular expression that is anchored at the start only.
    ///
    /// # Errors
    ///
    /// When `text` is not a regular expression.
    pub fn regex(text: &str) -> Result<Self, regex_lite::Error> {
        // Compiled on its own first, so that `a)|(b` is an error and messages show the user's text.
        Regex::new(text)?;
        Regex::new(&format!("^(?:{text})")).map(Self::Regex)
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == name,
            Self::Glob(glob) => glob.matches(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// The one name that is meant, if there are no others.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(literal) => Some(literal),
            Self::Glob(_) | Self::Regex(_) => None,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => f.write_str(literal),
            Self::Glob(glob) => write!(f, "{}", glob.pieces.join("*")),
            Self::Regex(regex) => {
                let text = regex.as_str();
                f.write_str(&text["^(?:".len()..text.len() - 1])
            }
        }
    }
}

/// A name with `*` in it, as the pieces between the stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pieces: Vec<String>,
}

impl Glob {
    fn new(text: &str) -> Self {
        Self {
            pieces: text.split('*').map(str::to_owned).collect(),
        }
    }

    /// Greedy from the left: the first place where a piece fits is as good as any later one.
    fn matches(&self, name: &str) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.concat() == name;
        };
        let Some(rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(last.as_str()) else {
            return false;
        };
        for piece in middle {
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_and_the_whole_name_must_match() {
        for (pattern, name, expected) in [
            ("vfs_*", "vfs_read", true),
            ("vfs_*", "vfs_", true),
            ("vfs_*", "xvfs_read", false),
            ("*read", "vfs_read", true),
            ("*read", "vfs_readv", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxcxxb", false),
            ("a*bc*c", "abcbc", true),
            ("a.c*", "abc", false),
        ] {
            assert_eq!(
                Pattern::glob(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_regex_is_anchored_at_the_start_only() {
        let pattern = Pattern::regex("read|write$").expect("valid");
        assert!(pattern.matches("readv"));
        assert!(pattern.matches("write"));
        assert!(!pattern.matches("pwrite"));
        assert!(!pattern.matches("writev"));
        assert_eq!(pattern.to_string(), "read|write$");
        assert!(Pattern::regex("a)|(b").is_err());
    }
}
