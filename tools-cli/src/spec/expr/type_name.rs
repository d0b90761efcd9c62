//! Names of types, and signatures made of them.

use super::{
    super::mistake::TraceProblem, BaseType, BasicInt, Expr, Name, Parser, Signature,
    SignatureParameter, Tag, TokenKind, TypeName, parser::Reported,
};

/// Words that say nothing about how a value is read.
const QUALIFIERS: [&str; 11] = [
    "const",
    "volatile",
    "restrict",
    "__restrict",
    "register",
    "static",
    "inline",
    "__rcu",
    "__iomem",
    "__percpu",
    "__force",
];

const BASIC_WORDS: [&str; 13] = [
    "signed",
    "unsigned",
    "char",
    "short",
    "int",
    "long",
    "_Bool",
    "bool",
    "float",
    "double",
    "void",
    "__int128",
    "__signed__",
];

/// Typedefs of kernel and C library that don't end in `_t`.
const KNOWN_TYPEDEFS: [&str; 17] = [
    "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "__u8", "__u16", "__u32", "__u64",
    "__s8", "__s16", "__s32", "__s64", "uint",
];

/// Whether `word` can only be the start of a type.
pub(super) fn starts_type(word: &str) -> bool {
    BASIC_WORDS.contains(&word) || QUALIFIERS.contains(&word) || tag(word).is_some()
}

/// Whether `word` is, as far as its looks go, a typedef.
pub(super) fn looks_like_typedef(word: &str) -> bool {
    KNOWN_TYPEDEFS.contains(&word) || word.ends_with("_t")
}

fn tag(word: &str) -> Option<Tag> {
    match word {
        "struct" => Some(Tag::Struct),
        "union" => Some(Tag::Union),
        "enum" => Some(Tag::Enum),
        _ => None,
    }
}

/// The basic words of one type, counted, because C takes them in any order.
#[derive(Default)]
struct BasicWords {
    signed: bool,
    unsigned: bool,
    longs: u32,
    others: Vec<&'static str>,
}

impl BasicWords {
    fn add(&mut self, word: &str) {
        match word {
            "signed" | "__signed__" => self.signed = true,
            "unsigned" => self.unsigned = true,
            "long" => self.longs += 1,
            other => {
                let known = BASIC_WORDS.iter().find(|known| **known == other);
                self.others.extend(known);
            }
        }
    }

    fn is_empty(&self) -> bool {
        !self.signed && !self.unsigned && self.longs == 0 && self.others.is_empty()
    }

    fn finish(&self) -> Option<BaseType> {
        let int = |bytes| {
            Some(BaseType::Basic(BasicInt {
                bytes,
                is_signed: !self.unsigned,
                is_char: false,
                is_bool: false,
            }))
        };
        if (self.signed && self.unsigned) || self.longs > 2 {
            return None;
        }
        let has_sign = self.signed || self.unsigned;
        match (self.others.as_slice(), self.longs) {
            ([] | ["int"], 0) => int(4),
            ([] | ["int"], _) => int(8),
            (["short"] | ["short", "int"] | ["int", "short"], 0) => int(2),
            (["__int128"], 0) => int(16),
            (["char"], 0) => Some(BaseType::Basic(BasicInt {
                bytes: 1,
                is_signed: !self.unsigned,
                is_char: true,
                is_bool: false,
            })),
            (["_Bool" | "bool"], 0) if !has_sign => Some(BaseType::Basic(BasicInt {
                bytes: 1,
                is_signed: false,
                is_char: false,
                is_bool: true,
            })),
            (["float"], 0) | (["double"], 0 | 1) if !has_sign => Some(BaseType::Float),
            (["void"], 0) if !has_sign => Some(BaseType::Void),
            _ => None,
        }
    }
}

impl<'a> Parser<'a> {
    /// A type, with its stars.
    pub(super) fn type_name(&mut self) -> Result<TypeName, Reported> {
        let start = self.peek().span;
        let mut is_user = false;
        let base = self.base_type(&mut is_user)?;
        let pointers = self.stars(&mut is_user);
        Ok(TypeName {
            base,
            pointers,
            rows: Vec::new(),
            is_user,
            span: start.to(self.before()),
        })
    }

    fn base_type(&mut self, is_user: &mut bool) -> Result<BaseType, Reported> {
        let start = self.peek().span;
        let mut words = BasicWords::default();
        let mut named = None;
        loop {
            let word = self.word();
            if word == "__user" {
                *is_user = true;
            } else if BASIC_WORDS.contains(&word) && named.is_none() {
                words.add(word);
            } else if let Some(tag) = tag(word)
                && named.is_none()
                && words.is_empty()
            {
                self.advance();
                let name = self.name("the name of the type")?;
                named = Some(BaseType::Tagged(tag, name));
                continue;
            } else if self.peek().kind == TokenKind::Name
                && named.is_none()
                && words.is_empty()
                && !QUALIFIERS.contains(&word)
            {
                named = Some(BaseType::Typedef(self.name("a type")?));
                continue;
            } else if !QUALIFIERS.contains(&word) {
                break;
            }
            self.advance();
        }
        let span = start.to(self.before());
        match named {
            Some(named) => Ok(named),
            None if words.is_empty() => Err(self.expected("a type", "")),
            None => words.finish().ok_or_else(|| {
                let problem = TraceProblem::Expected {
                    expected: "a type",
                    found: format!("`{}`", self.text_at(span)),
                };
                self.report(problem, span, "C has no such type")
            }),
        }
    }

    /// How many stars there are, with qualifiers between them.
    fn stars(&mut self, is_user: &mut bool) -> u32 {
        let mut stars = 0;
        loop {
            if self.take("*") {
                stars += 1;
            } else if self.word() == "__user" {
                *is_user = true;
                self.advance();
            } else if QUALIFIERS.contains(&self.word()) {
                self.advance();
            } else {
                return stars;
            }
        }
    }

    /// `(struct sock *sk, size_t len)`, from parenthesis to parenthesis.
    pub fn signature(&mut self) -> Result<Signature, Reported> {
        let start = self.peek().span;
        self.expect("(", "a signature")?;
        let mut parameters = Vec::new();
        if !self.is_at(")") {
            loop {
                // What follows can't be named, so nothing is lost by leaving it out.
                if self.take("...") {
                    break;
                }
                parameters.push(self.parameter()?);
                if !self.take(",") {
                    break;
                }
            }
        }
        if !self.is_at(")") {
            return Err(self.expected("`,` or `)` in the signature", ""));
        }
        self.advance();
        if let [only] = parameters.as_slice()
            && only.type_name.base == BaseType::Void
            && only.type_name.pointers == 0
        {
            parameters.clear();
        }
        Ok(Signature {
            parameters,
            span: start.to(self.before()),
        })
    }

    fn parameter(&mut self) -> Result<SignatureParameter, Reported> {
        let mut type_name = self.type_name()?;
        // `int (*compare)(const void *, const void *)`: a pointer to code.
        if self.is_at("(") {
            let name = self.function_pointer()?;
            type_name.base = BaseType::Void;
            type_name.pointers = 1;
            type_name.span = type_name.span.to(self.before());
            return Ok(SignatureParameter { type_name, name });
        }
        let name = if self.peek().kind == TokenKind::Name {
            Some(self.name("a parameter's name")?)
        } else {
            None
        };
        if self.is_at("[") {
            type_name.pointers += 1;
            type_name.rows = self.rows()?;
        }
        Ok(SignatureParameter { type_name, name })
    }

    /// The numbers of elements after the first of a parameter that is an array. The first says nothing:
    /// what is handed over is a pointer.
    fn rows(&mut self) -> Result<Vec<u64>, Reported> {
        const END: &str = "the end of the array";
        self.expect("[", "an array")?;
        while !self.is_at("]") && self.peek().kind != TokenKind::End {
            self.advance();
        }
        self.expect("]", END)?;
        let mut rows = Vec::new();
        while self.is_at("[") {
            let start = self.advance().span;
            if rows.len() >= Expr::MAX_DEPTH {
                return Err(self.report(TraceProblem::TooDeep, start, ""));
            }
            let TokenKind::Integer(literal) = self.peek().kind else {
                return Err(self.expected("how many elements a row has", "write a number"));
            };
            self.advance();
            rows.push(literal.value);
            self.expect("]", END)?;
        }
        Ok(rows)
    }

    fn function_pointer(&mut self) -> Result<Option<Name>, Reported> {
        self.expect("(", "a pointer to a function")?;
        self.expect("*", "a pointer to a function")?;
        let name = if self.peek().kind == TokenKind::Name {
            Some(self.name("a parameter's name")?)
        } else {
            None
        };
        self.expect(")", "the end of the pointer to a function")?;
        self.expect("(", "the parameters of the function")?;
        let mut open = 1;
        while open > 0 {
            match self.peek().kind {
                TokenKind::Symbol("(") => open += 1,
                TokenKind::Symbol(")") => open -= 1,
                TokenKind::End => return Err(self.expected("`)`", "")),
                _ => {}
            }
            self.advance();
        }
        Ok(name)
    }

    /// The word at hand; empty if it is no name.
    pub(super) fn word(&self) -> &'a str {
        let token = self.peek();
        if token.kind == TokenKind::Name {
            self.text_at(token.span)
        } else {
            ""
        }
    }

    fn name(&mut self, expected: &'static str) -> Result<Name, Reported> {
        let token = self.peek();
        if token.kind != TokenKind::Name {
            return Err(self.expected(expected, ""));
        }
        self.advance();
        Ok(Name {
            text: self.text_at(token.span).to_owned(),
            span: token.span,
        })
    }
}
