//! From characters to the words of C.

use super::{
    super::mistake::{Mistake, TraceProblem},
    IntegerLiteral, Span,
};

/// A word and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Name,
    /// `$name`.
    Variable,
    Integer(IntegerLiteral),
    Character(i8),
    /// With its quotes; escapes are not decoded yet.
    Text,
    Symbol(&'static str),
    /// Something that has been reported already.
    Broken,
    End,
}

/// Longest first, so that `<<=` is not read as `<<` and `=`.
const SYMBOLS: [&str; 46] = [
    "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=",
    "-=", "*=", "/=", "%=", "&=", "|=", "^=", "(", ")", "[", "]", "{", "}", ".", "&", "*", "+",
    "-", "~", "!", "/", "%", "<", ">", "^", "|", "?", ":", ";", "=", ",",
];

/// The words of `text` from the byte `start` on; the last is [`TokenKind::End`]. What is wrong goes
/// to `mistakes`.
pub fn tokens(text: &str, start: usize, mistakes: &mut Vec<Mistake<TraceProblem>>) -> Vec<Token> {
    let mut lexer = Lexer {
        text,
        at: start,
        mistakes,
    };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next();
        tokens.push(token);
        if token.kind == TokenKind::End {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    mistakes: &'a mut Vec<Mistake<TraceProblem>>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Where the run of characters that `belongs` accepts ends.
    fn end_of(&self, belongs: impl Fn(char) -> bool) -> usize {
        let rest = self.rest();
        self.at + rest.find(|c| !belongs(c)).unwrap_or(rest.len())
    }

    fn next(&mut self) -> Token {
        self.at = self.end_of(char::is_whitespace);
        let start = self.at;
        let kind = match self.rest().chars().next() {
            None => TokenKind::End,
            Some('0'..='9') => self.number(),
            Some('"') => self.text(),
            Some('\'') => self.character(),
            Some('$') => {
                self.at += 1;
                self.at = self.end_of(is_name);
                TokenKind::Variable
            }
            Some(c) if is_name(c) => {
                self.at = self.end_of(is_name);
                TokenKind::Name
            }
            Some(c) => self.symbol(c),
        };
        Token {
            kind,
            span: Span::from(start..self.at),
        }
    }

    fn symbol(&mut self, first: char) -> TokenKind {
        let known = SYMBOLS.iter().find(|known| self.rest().starts_with(*known));
        if let Some(known) = known {
            self.at += known.len();
            return TokenKind::Symbol(known);
        }
        let start = self.at;
        self.at += first.len_utf8();
        // The only use of it, after an expression.
        if first == '@' {
            return TokenKind::Symbol("@");
        }
        self.mistake(start, TraceProblem::Character(first), "remove it")
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        self.at = self.end_of(|c| is_name(c) || c == '.');
        let word = &self.text[start..self.at];
        integer(word).map_or_else(
            |reason| {
                let found = word.to_owned();
                let problem = TraceProblem::Number { found, reason };
                self.mistake(start, problem, "write `42`, `0x2a` or `052`")
            },
            TokenKind::Integer,
        )
    }

    fn text(&mut self) -> TokenKind {
        let start = self.at;
        if self.skip_quoted('"') {
            return TokenKind::Text;
        }
        let problem = TraceProblem::Unclosed("`\"`");
        self.mistake(start, problem, "close the text with a `\"`")
    }

    fn character(&mut self) -> TokenKind {
        let start = self.at;
        if !self.skip_quoted('\'') {
            let problem = TraceProblem::Unclosed("`'`");
            return self.mistake(start, problem, "write `'a'`");
        }
        let inside = &self.text[start + 1..self.at - 1];
        let decoded = match decode_escapes(inside) {
            Ok(decoded) => decoded,
            Err((at, escape)) => {
                let span = Span::from(start + 1 + at..start + 1 + at + escape.len());
                self.mistakes.push(unknown_escape(self.text, span));
                return TokenKind::Broken;
            }
        };
        let reason = match decoded.as_slice() {
            [byte] => return TokenKind::Character(byte.cast_signed()),
            [] => "it is empty",
            _ if inside.chars().count() == 1 => "it is more than one byte",
            _ => "it is more than one character",
        };
        let problem = TraceProblem::CharacterConstant(reason);
        self.mistake(start, problem, "write `'a'`, or STRCMP(\"text\", …)")
    }

    /// Moves behind the closing quote, or to the end if there is none.
    fn skip_quoted(&mut self, quote: char) -> bool {
        let mut escaped = true;
        for (at, c) in self.rest().char_indices() {
            if c == quote && !escaped {
                self.at += at + quote.len_utf8();
                return true;
            }
            // The opening quote counts as escaped, and nothing else does at the start.
            escaped = c == '\\' && !escaped;
        }
        self.at = self.text.len();
        false
    }

    fn mistake(&mut self, start: usize, problem: TraceProblem, note: &str) -> TokenKind {
        let span = Span::from(start..self.at);
        self.mistakes
            .push(Mistake::new(self.text, problem, span, note));
        TokenKind::Broken
    }
}

/// A mistake about the escape sequence at `span`.
pub fn unknown_escape(text: &str, span: Span) -> Mistake<TraceProblem> {
    let found = span.of(text).to_owned();
    Mistake::new(
        text,
        TraceProblem::Escape(found),
        span,
        "write `\\\\` for a backslash",
    )
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn integer(word: &str) -> Result<IntegerLiteral, &'static str> {
    if word.contains('.') {
        return Err("there are no floating-point numbers here");
    }
    let lowered = word.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lowered.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lowered.strip_prefix("0b") {
        (digits, 2)
    } else if lowered.len() > 1 && lowered.starts_with('0') {
        (&lowered[1..], 8)
    } else {
        (lowered.as_str(), 10)
    };
    let end = digits.find(['u', 'l']).unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    let (is_unsigned, is_long) = match suffix {
        "" => (false, false),
        "u" => (true, false),
        "l" | "ll" => (false, true),
        "ul" | "ull" | "lu" | "llu" => (true, true),
        _ => return Err("its suffix is none of u, l, ul, ll, ull"),
    };
    // `0` and `0u` have lost their only digit to the sign of base 8.
    let digits = if digits.is_empty() && radix == 8 {
        "0"
    } else {
        digits
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err("it has a character that is no digit");
    }
    let value = u64::from_str_radix(digits, radix).map_err(|_| "it does not fit in 64 bits")?;
    Ok(IntegerLiteral {
        value,
        is_decimal: radix == 10,
        is_unsigned,
        is_long,
    })
}

/// The bytes that a C string literal stands for, given without its quotes; on an unknown escape
/// sequence, its place in `text` and how it is written.
pub fn decode_escapes(text: &str) -> Result<Vec<u8>, (usize, &str)> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        let start = at + found;
        bytes.extend_from_slice(&text.as_bytes()[at..start]);
        let (byte, length) = decode_escape(&text[start + 1..]).ok_or_else(|| {
            let next = text[start + 1..].chars().next();
            let end = start + 1 + next.map_or(0, char::len_utf8);
            (start, &text[start..end])
        })?;
        bytes.push(byte);
        at = start + 1 + length;
    }
    bytes.extend_from_slice(&text.as_bytes()[at..]);
    Ok(bytes)
}

/// Whether the C string literal at hand, given without its quotes, ends with a `*` that is written as
/// it is: not as `\*`, `\x2a` or `\052`.
pub(super) fn ends_with_plain_star(text: &str) -> bool {
    let escaped = |before: &str| {
        let backslashes = before.bytes().rev().take_while(|&byte| byte == b'\\');
        backslashes.count() % 2 == 1
    };
    text.strip_suffix('*')
        .is_some_and(|before| !escaped(before))
}

/// The byte that the escape sequence at the start of `text`, which follows a backslash, stands for,
/// and the sequence's length.
fn decode_escape(text: &str) -> Option<(u8, usize)> {
    let digits = |radix, start: usize, at_most| {
        let length = text[start..]
            .chars()
            .take(at_most)
            .take_while(|c| c.is_digit(radix))
            .count();
        let value = u32::from_str_radix(&text[start..start + length], radix).ok()?;
        Some((u8::try_from(value).ok()?, start + length))
    };
    let byte = match text.chars().next()? {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'v' => 11,
        'e' => 27,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        '?' => b'?',
        // Not C's: a star at the end of STRCMP's text is not one to be compared.
        '*' => b'*',
        'x' => return digits(16, 1, 2),
        '0'..='7' => return digits(8, 0, 3),
        _ => return None,
    };
    Some((byte, 1))
}
