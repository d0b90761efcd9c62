//! The format of a message: text with conversions in it, as printf has them.

use super::{
    expr::{Span, decode_escapes},
    mistake::{Mistake, TraceProblem},
};

/// A piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes to be printed as they are; escapes and `%%` have been decoded.
    Text(Vec<u8>),
    /// The next expression's value.
    Value(Conversion),
}

/// How a value is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// In which form.
    pub form: Form,
    /// How wide the value is; only `h` and `hh` make it narrower than the expression is.
    pub length: Length,
    /// The characters before width and precision.
    pub flags: Flags,
    /// The fewest characters to print.
    pub width: Option<u32>,
    /// The fewest digits of a number, the most bytes of a text.
    pub precision: Option<u32>,
    /// From the `%` on.
    pub span: Span,
}

/// The letter of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `%d`, `%i`
    Signed,
    /// `%u`
    Unsigned,
    /// `%x`
    Hex,
    /// `%X`
    UpperHex,
    /// `%o`
    Octal,
    /// `%c`
    Character,
    /// `%s`
    Text,
    /// `%p`
    Pointer,
    /// `%K`: the symbol of a kernel address.
    KernelSymbol,
    /// `%U`: the symbol of an address in the process.
    UserSymbol,
}

/// What stands before the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Length {
    /// `hh`
    Char,
    /// `h`
    Short,
    /// Nothing.
    #[default]
    Int,
    /// `l`, `z`, `t`
    Long,
    /// `ll`, `j`
    LongLong,
}

/// The flags of a conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `-`
    pub left: bool,
    /// `0`
    pub zero: bool,
    /// `+`
    pub plus: bool,
    /// A space.
    pub space: bool,
    /// `#`
    pub alternate: bool,
}

/// The pieces of the format at `span` of `text`, which includes its quotes.
pub(super) fn pieces(
    text: &str,
    span: Span,
    mistakes: &mut Vec<Mistake<TraceProblem>>,
) -> Vec<Piece> {
    let mut reader = Reader {
        text,
        at: span.start + 1,
        end: span.end.saturating_sub(1),
        mistakes,
        pieces: Vec::new(),
    };
    while reader.at < reader.end {
        reader.piece();
    }
    reader.pieces
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    mistakes: &'a mut Vec<Mistake<TraceProblem>>,
    pieces: Vec<Piece>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    fn piece(&mut self) {
        let rest = self.rest();
        if rest.starts_with("%%") {
            self.add_text(b"%");
            self.at += 2;
        } else if rest.starts_with('%') {
            self.conversion();
        } else {
            let length = rest.find('%').unwrap_or(rest.len());
            self.literal(length);
        }
    }

    fn literal(&mut self, length: usize) {
        let start = self.at;
        self.at += length;
        match decode_escapes(&self.text[start..self.at]) {
            Ok(bytes) => self.add_text(&bytes),
            Err((at, escape)) => {
                let span = Span::from(start + at..start + at + escape.len());
                let problem = TraceProblem::Escape(escape.to_owned());
                let note = "write `\\\\` for a backslash";
                self.mistakes
                    .push(Mistake::new(self.text, problem, span, note));
            }
        }
    }

    fn add_text(&mut self, bytes: &[u8]) {
        if let Some(Piece::Text(text)) = self.pieces.last_mut() {
            text.extend_from_slice(bytes);
        } else {
            self.pieces.push(Piece::Text(bytes.to_vec()));
        }
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn conversion(&mut self) {
        let start = self.at;
        self.at += 1;
        let flags = self.flags();
        let width = self.number();
        let precision = if self.take(".") {
            Some(self.number().unwrap_or(0))
        } else {
            None
        };
        let length = self.length();
        let letter = self.rest().chars().next();
        self.at += letter.map_or(0, char::len_utf8);
        let span = Span::from(start..self.at);
        let form = match letter {
            Some('d' | 'i') => Form::Signed,
            Some('u') => Form::Unsigned,
            Some('x') => Form::Hex,
            Some('X') => Form::UpperHex,
            Some('o') => Form::Octal,
            Some('c') => Form::Character,
            Some('s') => Form::Text,
            Some('p') => Form::Pointer,
            Some('K') => Form::KernelSymbol,
            Some('U') => Form::UserSymbol,
            other => return self.unknown(span, other),
        };
        // A placeholder for the value is kept after a mistake too, so that the expressions are
        // counted rightly.
        self.pieces.push(Piece::Value(Conversion {
            form,
            length,
            flags,
            width,
            precision,
            span,
        }));
    }

    fn unknown(&mut self, span: Span, letter: Option<char>) {
        let note = match letter {
            None => "write `%%` for a percent sign",
            Some('*') => "write the width as a number",
            Some('f' | 'e' | 'g' | 'a' | 'F' | 'E' | 'G' | 'A') => {
                "floating-point numbers can't be read"
            }
            Some(_) => "there are %d %i %u %x %X %o %c %s %p %K %U, with h, l before them, and %%",
        };
        let problem = TraceProblem::UnknownConversion(span.of(self.text).to_owned());
        self.mistakes
            .push(Mistake::new(self.text, problem, span, note));
        if letter.is_some() {
            self.pieces.push(Piece::Value(Conversion {
                form: Form::Signed,
                length: Length::Int,
                flags: Flags::default(),
                width: None,
                precision: None,
                span,
            }));
        }
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        loop {
            let flag = match self.rest().bytes().next() {
                Some(b'-') => &mut flags.left,
                Some(b'0') => &mut flags.zero,
                Some(b'+') => &mut flags.plus,
                Some(b' ') => &mut flags.space,
                Some(b'#') => &mut flags.alternate,
                _ => return flags,
            };
            *flag = true;
            self.at += 1;
        }
    }

    fn number(&mut self) -> Option<u32> {
        // Nobody reads lines wider than that, and everybody's memory is spared.
        const WIDEST: u32 = 4096;

        let rest = self.rest();
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number = &rest[..digits];
        let value = (digits > 0).then(|| number.parse().unwrap_or(WIDEST).min(WIDEST));
        self.at += digits;
        value
    }

    fn length(&mut self) -> Length {
        const LENGTHS: [(&str, Length); 7] = [
            ("hh", Length::Char),
            ("h", Length::Short),
            ("ll", Length::LongLong),
            ("l", Length::Long),
            ("z", Length::Long),
            ("t", Length::Long),
            ("j", Length::LongLong),
        ];
        let found = LENGTHS.into_iter().find(|(prefix, _)| self.take(prefix));
        found.map_or(Length::Int, |(_, length)| length)
    }
}
