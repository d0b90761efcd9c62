//! The `+0x12` after a function's name.

use super::{
    error::{Problem, SpecError},
    part::Part,
};

/// An offset with its place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offset<'a> {
    pub(super) bytes: u64,
    /// The `+` and the number.
    pub(super) part: Part<'a>,
}

impl Offset<'_> {
    /// An error that says why there can't be an offset here.
    pub(super) fn misplaced(self, reason: &'static str, note: impl Into<String>) -> SpecError {
        let found = self.part.text().to_owned();
        self.part
            .error(Problem::OffsetPlace { found, reason }, note)
    }
}

/// Splits `function+offset`; C++ names such as `operator+` stay whole.
///
/// No name ends in `+` and a number, but C++ has names with a `+` elsewhere (`operator+=`,
/// `f<(A)+(B)>`). So a number after the last `+` is always an offset; anything else there is a
/// mistaken offset if a plain name is before it, and otherwise a part of the name.
///
/// # Errors
///
/// When the offset is not a number, negative, too big, or after anything but one plain name.
pub(super) fn split(name: Part<'_>) -> Result<(Part<'_>, Option<Offset<'_>>), SpecError> {
    let text = name.text();
    let Some((plus, tail)) = text.rfind('+').map(|at| (at, &text[at + 1..])) else {
        return refuse_negative(name).map(|()| (name, None));
    };
    let (function, part) = (name.slice(0..plus), name.slice(plus..text.len()));
    let number = number(tail);
    if !is_plain(function.text()) {
        return match number {
            Ok(bytes) => Err(after_no_plain_name(function, Offset { bytes, part })),
            Err(TOO_BIG) => Err(invalid(part, TOO_BIG)),
            Err(_) => Ok((name, None)),
        };
    }
    match number {
        Ok(bytes) => Ok((function, Some(Offset { bytes, part }))),
        Err(_) if is_operator(function.text()) => Ok((name, None)),
        Err(reason) => Err(invalid(part, reason)),
    }
}

const TOO_BIG: &str = "it does not fit in 64 bits";
const NEGATIVE: &str = "it can't be negative";
const NO_NUMBER: &str = "it is not a number";

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Result<u64, &'static str> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    if text.is_empty() {
        return Err("the number is missing");
    }
    if text.starts_with('-') {
        return Err(NEGATIVE);
    }
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NO_NUMBER);
    }
    u64::from_str_radix(digits, radix).map_err(|_| TOO_BIG)
}

/// `name-4`: C++ names have a `-` only where it is no sign of a number (`operator->`).
fn refuse_negative(name: Part<'_>) -> Result<(), SpecError> {
    let text = name.text();
    match text.rsplit_once('-') {
        Some((function, digits)) if is_plain(function) && number(digits).is_ok() => {
            Err(invalid(name.slice(function.len()..text.len()), NEGATIVE))
        }
        _ => Ok(()),
    }
}

/// Whether `name` is one name of C, or several with `::` between them.
fn is_plain(name: &str) -> bool {
    // `.` and `$` are in names that compilers make, `@` is before a symbol's version, `~` begins a
    // destructor.
    let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '@' | '~' | ':');
    !name.is_empty() && name.chars().all(in_name)
}

fn is_operator(name: &str) -> bool {
    name == "operator" || name.ends_with("::operator")
}

fn invalid(part: Part<'_>, reason: &'static str) -> SpecError {
    let found = part.text().to_owned();
    part.error(Problem::Offset { found, reason }, "write `+18` or `+0x12`")
}

fn after_no_plain_name(function: Part<'_>, offset: Offset<'_>) -> SpecError {
    let (reason, note) = match function.text() {
        "" => ("no function is before it", "write `function+0x12`"),
        name if name.contains('*') => (
            "a pattern can name several functions",
            "give it to the name of one function",
        ),
        _ => (
            "what is before it is not a plain name",
            "give it to the name of one function",
        ),
    };
    offset.misplaced(reason, note)
}
