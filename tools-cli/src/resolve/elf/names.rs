//! What a symbol may be called: as it stands, demangled, and without what compilers append.

use std::{borrow::Cow, fmt};

use crate::spec::Pattern;

/// Longer names are left as they are: demangling takes time that grows faster than the name.
const DEMANGLED_UP_TO_BYTES: usize = 16 << 10;

/// A demangled name is given up beyond this; references let a short name grow without bound.
const SHOWN_UP_TO_BYTES: usize = 64 << 10;

/// What compilers and linkers append to the names of functions they have changed or renamed, as
/// words after dots; numbers may follow.
const SUFFIX_WORDS: [&str; 9] = [
    "isra",
    "constprop",
    "part",
    "cold",
    "lto_priv",
    "llvm",
    "__uniq",
    "localalias",
    "clone",
];

/// Tells which symbols a pattern means.
pub(super) struct Matcher<'p> {
    pattern: &'p Pattern,
    /// What a mangled name must have in it to demangle to the literal; saves the demangling of
    /// all the others.
    identifier: Option<&'p str>,
    /// Whether it says `.cold`; a name may have that word in it without meaning parts of functions.
    cold_parts: bool,
}

impl<'p> Matcher<'p> {
    pub(super) fn new(pattern: &'p Pattern) -> Self {
        Self {
            pattern,
            identifier: pattern.literal().and_then(last_identifier),
            cold_parts: pattern.to_string().contains(".cold"),
        }
    }

    /// Whether the pattern means the symbol by any of its names.
    ///
    /// Parts of functions that are rarely executed (`foo.cold`) are meant only by patterns that
    /// say so: they are jumped into, so they are no calls to count, and what is on top of the
    /// stack there is not the return address that a return probe would replace.
    pub(super) fn matches(&self, symbol: &str) -> bool {
        let (base, suffix) = split_suffix(symbol);
        let is_cold = is_cold(suffix);
        if is_cold && !self.cold_parts {
            return false;
        }
        // Without its suffix, a cold part has the name of the whole function.
        self.pattern.matches(symbol)
            || (!is_cold && !suffix.is_empty() && self.pattern.matches(base))
            || self.matches_demangled(base, suffix, is_cold)
    }

    fn matches_demangled(&self, base: &str, suffix: &str, is_cold: bool) -> bool {
        if !is_mangled(base) || self.identifier.is_some_and(|part| !base.contains(part)) {
            return false;
        }
        let Some(names) = Demangled::new(base) else {
            return false;
        };
        (!is_cold && names.all().any(|name| self.pattern.matches(name)))
            || (!suffix.is_empty() && self.pattern.matches(&with_suffix(&names.shown, suffix)))
    }
}

/// The name that reports show: demangled, with parameters.
pub(super) fn shown(symbol: &str) -> Cow<'_, str> {
    let (base, suffix) = split_suffix(symbol);
    match Demangled::new(base) {
        Some(names) => with_suffix(&names.shown, suffix).into(),
        None => symbol.into(),
    }
}

/// As c++filt and gdb write it.
fn with_suffix(name: &str, suffix: &str) -> String {
    if suffix.is_empty() {
        name.to_owned()
    } else {
        format!("{name} [clone {suffix}]")
    }
}

/// Whether the symbol is the part of a function that the compiler expects to be executed rarely.
pub(super) fn is_cold_part(symbol: &str) -> bool {
    is_cold(split_suffix(symbol).1)
}

fn is_cold(suffix: &str) -> bool {
    suffix.split('.').any(|word| word == "cold")
}

/// The name without its version: `foo@VER` and `foo@@VER` are `foo`.
pub(super) fn without_version(name: &str) -> &str {
    match name.find('@') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

/// Splits `foo.isra.0` into `foo` and `.isra.0`; numbers belong to the word before them, so that
/// `main.run.func1.2` of a Go program stays whole.
fn split_suffix(symbol: &str) -> (&str, &str) {
    let (mut base, mut rest) = (symbol.len(), symbol);
    while let Some(dot) = rest.rfind('.').filter(|&dot| dot > 0) {
        let word = &rest[dot + 1..];
        if SUFFIX_WORDS.contains(&word) {
            base = dot;
        } else if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            break;
        }
        rest = &rest[..dot];
    }
    symbol.split_at(base)
}

fn is_mangled(base: &str) -> bool {
    ["_Z", "_R", "__Z"]
        .iter()
        .any(|start| base.starts_with(start))
}

/// The last identifier of a name as people write it, if a mangled name must have it in it as it
/// stands; not so for operators, for what has an abbreviation (`std::string`), for closures.
fn last_identifier(name: &str) -> Option<&str> {
    if ["operator", "std::", "{", "<impl"]
        .iter()
        .any(|part| name.contains(part))
    {
        return None;
    }
    let path = name.split(['(', '<']).next()?;
    let last = path.rsplit([':', ' ', '~']).next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!last.is_empty() && last.bytes().all(plain)).then_some(last)
}

/// The names that a mangled name stands for.
struct Demangled {
    /// With parameters, without the return type.
    shown: String,
    /// Other ways to write it: without parameters, with the return type.
    others: Vec<String>,
}

impl Demangled {
    fn new(base: &str) -> Option<Self> {
        if !is_mangled(base) || base.len() > DEMANGLED_UP_TO_BYTES {
            return None;
        }
        demangle_rust(base).or_else(|| demangle_cpp(base))
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.shown)
            .chain(&self.others)
            .map(String::as_str)
    }
}

/// Rust names have no parameters; generic arguments at the end may be left out (`foo::<u8>`).
fn demangle_rust(base: &str) -> Option<Demangled> {
    if !(base.starts_with("_R") || is_legacy_rust(base)) {
        return None;
    }
    let name = rustc_demangle::try_demangle(base).ok()?;
    let shown = bounded(|out| fmt::write(out, format_args!("{name:#}")))?;
    let others = without_generics(&shown)
        .map(str::to_owned)
        .into_iter()
        .collect();
    Some(Demangled { shown, others })
}

/// `_ZN3foo3bar17h0123456789abcdefE`: as C++, with a hash as the last part.
fn is_legacy_rust(base: &str) -> bool {
    let Some(name) = base.strip_suffix('E') else {
        return false;
    };
    let Some(start) = name.len().checked_sub("17h".len() + 16) else {
        return false;
    };
    name.get(start..).is_some_and(|hash| {
        hash.starts_with("17h") && hash[3..].bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn without_generics(name: &str) -> Option<&str> {
    let inside = name.strip_suffix('>')?;
    let mut depth = 1;
    for (at, byte) in inside.bytes().enumerate().rev() {
        match byte {
            // The arrow in `fn() -> T` closes nothing.
            b'>' if !inside[..at].ends_with('-') => depth += 1,
            b'<' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return inside[..at].strip_suffix("::");
        }
    }
    None
}

fn demangle_cpp(base: &str) -> Option<Demangled> {
    use cpp_demangle::{BorrowedSymbol, DemangleOptions};
    // A leading underscore more is what some platforms put before every name.
    let mangled = base
        .strip_prefix('_')
        .filter(|rest| rest.starts_with("_Z"))
        .unwrap_or(base);
    let (symbol, tail) = BorrowedSymbol::with_tail(mangled.as_bytes()).ok()?;
    if !tail.is_empty() {
        return None;
    }
    let write = |options: DemangleOptions| bounded(|out| symbol.structured_demangle(out, &options));
    let shown = write(DemangleOptions::new().no_return_type())?;
    let plain = write(DemangleOptions::new().no_return_type().no_params());
    let full = write(DemangleOptions::new());
    let others = [plain, full]
        .into_iter()
        .flatten()
        .filter(|name| *name != shown)
        .collect();
    Some(Demangled { shown, others })
}

/// What `write` writes, unless it is too long.
fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Option<String> {
    let mut out = Bounded(String::new());
    write(&mut out).ok()?;
    Some(out.0)
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > SHOWN_UP_TO_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, symbol: &str) -> bool {
        Matcher::new(&Pattern::glob(pattern)).matches(symbol)
    }

    #[test]
    fn suffixes_are_split_off() {
        for (symbol, base) in [
            ("foo", "foo"),
            ("foo.isra.0", "foo"),
            ("foo.constprop.0.isra.12", "foo"),
            ("foo.part.0.cold", "foo"),
            ("foo.llvm.1234567890", "foo"),
            ("main.add", "main.add"),
            ("main.run.func1.2", "main.run.func1.2"),
            ("main.run", "main.run"),
            ("main.run.func1", "main.run.func1"),
            (".hidden", ".hidden"),
            ("foo.", "foo."),
            ("", ""),
        ] {
            assert_eq!(split_suffix(symbol).0, base, "{symbol}");
        }
    }

    #[test]
    fn every_name_of_a_symbol_matches() {
        for (pattern, symbol, expected) in [
            ("malloc", "malloc", true),
            ("malloc", "mallocx", false),
            ("foo", "foo.isra.0", true),
            ("foo.isra.0", "foo.isra.0", true),
            ("foo", "foo.cold", false),
            ("foo*", "foo.cold", false),
            ("foo.cold", "foo.cold", true),
            ("*.cold", "foo.part.0.cold", true),
            ("is_cold", "is_cold", true),
            ("is_cold", "is_cold.cold", false),
            ("*cold*", "foo_cold.cold", false),
            ("is_cold", "is_cold.part.0", true),
            ("is_cold.cold", "is_cold.cold", true),
            ("ns::cold", "_ZN2ns4coldEi.cold", false),
            ("ns::foo(int) [clone .cold]", "_ZN2ns3fooEi.cold", true),
            ("_ZN2ns3fooEi", "_ZN2ns3fooEi", true),
            ("ns::foo", "_ZN2ns3fooEi", true),
            ("ns::foo(int)", "_ZN2ns3fooEi", true),
            ("ns::foo(long)", "_ZN2ns3fooEi", false),
            ("foo", "_ZN2ns3fooEi", false),
            ("ns::*", "_ZN2ns3fooEi", true),
            ("ns::foo", "_ZN2ns3fooEi.isra.0", true),
            ("ns::foo(int) [clone .isra.0]", "_ZN2ns3fooEi.isra.0", true),
            ("Foo::~Foo", "_ZN3FooD2Ev", true),
            ("Foo::operator+", "_ZN3FooplERKS_", true),
            ("std::string::string", "_ZNSsC1Ev", true),
            ("twice<int>", "_Z5twiceIiET_S0_", true),
            ("int twice<int>(int)", "_Z5twiceIiET_S0_", true),
            ("twice<int>(int)", "_Z5twiceIiET_S0_", true),
            ("foo::bar", "_ZN3foo3bar17h05af221e174051e9E", true),
            ("foo::bar", "_ZN3foo3bar17h05af221e174051e9E.llvm.123", true),
            ("mycrate::foo", "_RNvCs1234_7mycrate3foo", true),
            ("mycrate::foo::<u8>", "_RINvCs1234_7mycrate3foohE", true),
            ("mycrate::foo", "_RINvCs1234_7mycrate3foohE", true),
        ] {
            assert_eq!(matches(pattern, symbol), expected, "{pattern} {symbol}");
        }
    }

    #[test]
    fn a_regex_matches_the_names_too() {
        let pattern = Pattern::regex("ns::f.*\\(int\\)$").expect("valid");
        assert!(Matcher::new(&pattern).matches("_ZN2ns3fooEi"));
        assert!(!Matcher::new(&pattern).matches("_ZN2ns3fooEl"));
        // The name of the whole function does not make the cold part meant.
        let pattern = Pattern::regex("foo(\\.cold_one)?$").expect("valid");
        assert!(Matcher::new(&pattern).matches("foo.part.0"));
        assert!(!Matcher::new(&pattern).matches("foo.cold"));
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        for (symbol, expected) in [
            ("malloc", "malloc"),
            ("foo.isra.0", "foo.isra.0"),
            ("_ZN2ns3fooEi", "ns::foo(int)"),
            ("__ZN2ns3fooEi", "ns::foo(int)"),
            ("_ZNK3Foo3barEv", "Foo::bar() const"),
            (
                "_ZN2ns3fooEi.constprop.0",
                "ns::foo(int) [clone .constprop.0]",
            ),
            ("_Z5twiceIiET_S0_", "twice<int>(int)"),
            ("_ZN3foo3bar17h05af221e174051e9E", "foo::bar"),
            ("_Znot_really", "_Znot_really"),
        ] {
            assert_eq!(shown(symbol), expected, "{symbol}");
        }
    }

    #[test]
    fn a_name_that_grows_without_bound_is_left_as_it_is() {
        // Each parameter is a template of the one before it, twice: a<int, int>,
        // a<a<int, int>, a<int, int>>, ….
        let mut name = "_Z1f1aIiiE".to_owned();
        for digit in ('0'..='9').chain('A'..='Z') {
            name.push_str(&format!("S_IS{digit}_S{digit}_E"));
        }
        assert_eq!(shown(&name), name);
        assert!(
            shown(&name[..name.len() - 30 * "S_IS0_S0_E".len()]).len() > 100,
            "a few are fine"
        );
        let long = format!("_Z{}", "1a".repeat(DEMANGLED_UP_TO_BYTES));
        assert_eq!(shown(&long), long);
    }

    #[test]
    fn versions_are_dropped() {
        assert_eq!(without_version("memcpy@@GLIBC_2.14"), "memcpy");
        assert_eq!(without_version("memcpy@GLIBC_2.2.5"), "memcpy");
        assert_eq!(without_version("@odd"), "@odd");
    }
}
