//! Names of types, and signatures made of them.

use super::{
    super::mistake::TraceProblem, BaseType, BasicInt, Name, Parser, Signature, SignatureParameter,
    Tag, TokenKind, TypeName, parser::Reported,
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
        let mut words = BasicWords::default();
        let mut named = None;
        let mut is_user = false;
        loop {
            let word = self.word();
            if word == "__user" {
                is_user = true;
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
        let base = match named {
            Some(named) => named,
            None if words.is_empty() => return Err(self.expected("a type", "")),
            None => words.finish().ok_or_else(|| {
                let problem = TraceProblem::Expected {
                    expected: "a type",
                    found: format!("`{}`", self.text_at(span)),
                };
                self.report(problem, span, "C has no such type")
            })?,
        };
        let mut pointers = 0;
        loop {
            if self.take("*") {
                pointers += 1;
            } else if self.word() == "__user" {
                is_user = true;
                self.advance();
            } else if QUALIFIERS.contains(&self.word()) {
                self.advance();
            } else {
                break;
            }
        }
        Ok(TypeName {
            base,
            pointers,
            is_user,
            span: start.to(self.before()),
        })
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
        while self.take("[") {
            type_name.pointers += 1;
            while !self.is_at("]") && self.peek().kind != TokenKind::End {
                self.advance();
            }
            self.expect("]", "the end of the array")?;
            // Arrays of arrays are more than a pointer; their first dimension is all that is read.
            type_name.pointers = type_name.pointers.min(2);
        }
        Ok(SignatureParameter { type_name, name })
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
