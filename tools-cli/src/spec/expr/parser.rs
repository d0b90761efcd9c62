//! From words to expressions.

use super::{
    super::mistake::{Mistake, TraceProblem},
    BinaryOp, Expr, ExprKind, Name, Span, Token, TokenKind, UnaryOp, Variable,
    lexer::{decode_escapes, ends_with_plain_star, unknown_escape},
    type_name,
};

/// Says that a mistake was found and has been noted.
#[derive(Clone, Copy, Debug)]
pub struct Reported;

/// Reads expressions, types and signatures from the words of a text.
#[derive(Debug)]
pub struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    /// Parentheses, brackets and operators before operands that are open at this place.
    open: usize,
    mistakes: &'a mut Vec<Mistake<TraceProblem>>,
}

impl<'a> Parser<'a> {
    /// A parser for `tokens`, which end with [`TokenKind::End`].
    pub fn new(
        text: &'a str,
        tokens: &'a [Token],
        mistakes: &'a mut Vec<Mistake<TraceProblem>>,
    ) -> Self {
        Self {
            text,
            tokens,
            at: 0,
            open: 0,
            mistakes,
        }
    }

    /// The word at hand.
    pub fn peek(&self) -> Token {
        self.look_ahead(0)
    }

    fn look_ahead(&self, by: usize) -> Token {
        let end = Token {
            kind: TokenKind::End,
            span: Span::from(self.text.len()..self.text.len()),
        };
        let found = self.tokens.get(self.at + by).or(self.tokens.last());
        found.copied().unwrap_or(end)
    }

    /// The place of the word before the one at hand.
    pub(super) fn before(&self) -> Span {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.map_or(self.peek().span, |token| token.span)
    }

    pub(super) fn text_at(&self, span: Span) -> &'a str {
        span.of(self.text)
    }

    /// Goes on to the next word.
    pub fn advance(&mut self) -> Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    /// Whether the word at hand is `symbol`.
    pub fn is_at(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, TokenKind::Symbol(found) if found == symbol)
    }

    /// Goes on if the word at hand is `symbol`.
    pub fn take(&mut self, symbol: &str) -> bool {
        let found = self.is_at(symbol);
        if found {
            self.advance();
        }
        found
    }

    /// Goes on if the word at hand is `symbol`, which is a mistake otherwise.
    pub fn expect(&mut self, symbol: &str, what: &'static str) -> Result<(), Reported> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.expected(what, &format!("write `{symbol}`")))
    }

    /// Notes a mistake.
    pub fn report(
        &mut self,
        problem: TraceProblem,
        span: Span,
        note: impl Into<String>,
    ) -> Reported {
        self.mistakes
            .push(Mistake::new(self.text, problem, span, note));
        Reported
    }

    /// Notes the mistakes of a trial.
    pub fn report_all(&mut self, mistakes: Vec<Mistake<TraceProblem>>) {
        self.mistakes.extend(mistakes);
    }

    /// Notes that the word at hand is not what could be there.
    pub fn expected(&mut self, expected: &'static str, note: &str) -> Reported {
        let token = self.peek();
        let found = match token.kind {
            TokenKind::Broken => return Reported,
            TokenKind::End => "the end".to_owned(),
            _ => format!("`{}`", self.text_at(token.span)),
        };
        self.report(TraceProblem::Expected { expected, found }, token.span, note)
    }

    /// Skips to the next `,` outside of parentheses, or to a parenthesis that closes more than was
    /// opened here, or to the end: where something new begins after a mistake.
    pub fn skip_to_end_of_expression(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.peek().kind {
                TokenKind::End => return,
                TokenKind::Symbol("(" | "[") => open += 1,
                TokenKind::Symbol("," | ")" | "]") if open == 0 => return,
                TokenKind::Symbol(")" | "]") => open -= 1,
                _ => {}
            }
            self.advance();
        }
    }

    /// A parser at the same place that notes its mistakes elsewhere: for trials.
    pub fn fork<'b>(&self, mistakes: &'b mut Vec<Mistake<TraceProblem>>) -> Parser<'b>
    where
        'a: 'b,
    {
        Parser {
            text: self.text,
            tokens: self.tokens,
            at: self.at,
            open: self.open,
            mistakes,
        }
    }

    /// How many words have been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Goes on to a place that [`Parser::position`] or [`Parser::after_parentheses`] gave.
    pub fn skip_to(&mut self, position: usize) {
        self.at = position;
    }

    /// Where the parentheses that open at the word at hand have ended; the end if they don't.
    pub fn after_parentheses(&self) -> usize {
        let mut open = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                TokenKind::Symbol("(") => open += 1,
                TokenKind::Symbol(")") if open <= 1 => return at + 1,
                TokenKind::Symbol(")") => open -= 1,
                _ => {}
            }
        }
        self.tokens.len().saturating_sub(1)
    }

    /// One expression.
    pub fn expression(&mut self) -> Result<Expr, Reported> {
        self.nested(Self::conditional)
    }

    /// Reads something one level deeper.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Expr, Reported>,
    ) -> Result<Expr, Reported> {
        if self.open >= Expr::MAX_DEPTH {
            return Err(self.too_deep(self.peek().span));
        }
        self.open += 1;
        let result = read(self);
        self.open -= 1;
        result
    }

    fn too_deep(&mut self, span: Span) -> Reported {
        self.report(TraceProblem::TooDeep, span, "take it apart")
    }

    /// An expression made of `operands`, which reaches over `span`.
    fn make(
        &mut self,
        kind: ExprKind,
        span: Span,
        operands_depth: usize,
    ) -> Result<Expr, Reported> {
        let depth = operands_depth + 1;
        if depth > Expr::MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(Expr { kind, span, depth })
    }

    fn conditional(&mut self) -> Result<Expr, Reported> {
        let start = self.peek().span;
        let condition = self.binary(1)?;
        if let TokenKind::Symbol(
            symbol @ ("=" | "+=" | "-=" | "*=" | "/=" | "%=" | "&=" | "|=" | "^=" | "<<=" | ">>="
            | "++" | "--"),
        ) = self.peek().kind
        {
            let note = if symbol == "=" {
                "write `==` to compare"
            } else {
                ""
            };
            let span = self.peek().span;
            return Err(self.report(TraceProblem::Assignment(symbol), span, note));
        }
        if !self.take("?") {
            return Ok(condition);
        }
        let first = self.expression()?;
        self.expect(":", "`:` of the `?`")?;
        let second = self.nested(Self::conditional)?;
        let depth = condition.depth.max(first.depth).max(second.depth);
        let kind = ExprKind::Conditional(Box::new(condition), Box::new(first), Box::new(second));
        self.make(kind, start.to(self.before()), depth)
    }

    /// Operators that bind at least as strongly as `strength`.
    fn binary(&mut self, strength: u8) -> Result<Expr, Reported> {
        let start = self.peek().span;
        let mut left = self.unary()?;
        while let TokenKind::Symbol(symbol) = self.peek().kind
            && let Some((op, binds)) = BinaryOp::from_symbol(symbol)
            && binds >= strength
        {
            self.advance();
            let right = self.nested(|parser| parser.binary(binds + 1))?;
            let depth = left.depth.max(right.depth);
            let kind = ExprKind::Binary(op, Box::new(left), Box::new(right));
            left = self.make(kind, start.to(self.before()), depth)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Reported> {
        let start = self.peek().span;
        let op = match self.peek().kind {
            TokenKind::Symbol("+") => UnaryOp::Plus,
            TokenKind::Symbol("-") => UnaryOp::Minus,
            TokenKind::Symbol("!") => UnaryOp::Not,
            TokenKind::Symbol("~") => UnaryOp::Complement,
            TokenKind::Symbol("*") => UnaryOp::Dereference,
            TokenKind::Symbol("&") => UnaryOp::AddressOf,
            TokenKind::Symbol(symbol @ ("++" | "--")) => {
                return Err(self.report(TraceProblem::Assignment(symbol), start, ""));
            }
            TokenKind::Symbol("(") if self.is_cast() => return self.cast(),
            TokenKind::Name if self.word() == "sizeof" => return self.sizeof(),
            _ => return self.postfix(),
        };
        self.advance();
        let operand = self.nested(Self::unary)?;
        let depth = operand.depth;
        let kind = ExprKind::Unary(op, Box::new(operand));
        self.make(kind, start.to(self.before()), depth)
    }

    /// Whether the parenthesis at hand opens the type of a cast, as far as can be told without
    /// knowing the types: `(x)` alone is one if the name looks like a type's, or if what follows
    /// can't go on after a value.
    fn is_cast(&self) -> bool {
        match self.in_parentheses() {
            Inside::Type => true,
            Inside::Other => false,
            Inside::Name(name) => {
                let after = self.look_ahead(3).kind;
                type_name::looks_like_typedef(name)
                    || matches!(
                        after,
                        TokenKind::Name
                            | TokenKind::Variable
                            | TokenKind::Integer(_)
                            | TokenKind::Character(_)
                            | TokenKind::Symbol("(" | "!" | "~")
                    )
            }
        }
    }

    /// What the parentheses that open here may hold.
    fn in_parentheses(&self) -> Inside<'a> {
        let first = self.look_ahead(1);
        if !self.is_at("(") || first.kind != TokenKind::Name {
            return Inside::Other;
        }
        let name = self.text_at(first.span);
        if type_name::starts_type(name) {
            return Inside::Type;
        }
        let mut at = 2;
        while self.look_ahead(at).kind == TokenKind::Symbol("*") {
            at += 1;
        }
        match (self.look_ahead(at).kind, at) {
            (TokenKind::Symbol(")"), 2) => Inside::Name(name),
            (TokenKind::Symbol(")"), _) => Inside::Type,
            _ => Inside::Other,
        }
    }

    fn cast(&mut self) -> Result<Expr, Reported> {
        let start = self.peek().span;
        self.expect("(", "a cast")?;
        let type_name = self.type_name()?;
        self.expect(")", "the end of the cast")?;
        let operand = self.nested(Self::unary)?;
        let depth = operand.depth;
        let kind = ExprKind::Cast(type_name, Box::new(operand));
        self.make(kind, start.to(self.before()), depth)
    }

    fn sizeof(&mut self) -> Result<Expr, Reported> {
        let start = self.advance().span;
        // `sizeof(x)` with a plain name may be either; who knows the types decides.
        let is_type = match self.in_parentheses() {
            Inside::Type => true,
            Inside::Name(name) => type_name::looks_like_typedef(name),
            Inside::Other => false,
        };
        if is_type {
            self.expect("(", "a type")?;
            let type_name = self.type_name()?;
            self.expect(")", "the end of the type")?;
            let span = start.to(self.before());
            return self.make(ExprKind::SizeofType(type_name), span, 0);
        }
        let operand = self.nested(Self::unary)?;
        let depth = operand.depth;
        let span = start.to(self.before());
        self.make(ExprKind::SizeofExpr(Box::new(operand)), span, depth)
    }

    fn postfix(&mut self) -> Result<Expr, Reported> {
        let start = self.peek().span;
        let mut expr = self.primary()?;
        loop {
            let depth = expr.depth;
            let (kind, depth) = match self.peek().kind {
                TokenKind::Symbol(symbol @ ("." | "->")) => {
                    self.advance();
                    let token = self.peek();
                    if token.kind != TokenKind::Name {
                        return Err(self.expected("the name of a member", ""));
                    }
                    self.advance();
                    let member = Name {
                        text: self.text_at(token.span).to_owned(),
                        span: token.span,
                    };
                    let kind = ExprKind::Member {
                        base: Box::new(expr),
                        member,
                        is_arrow: symbol == "->",
                    };
                    (kind, depth)
                }
                TokenKind::Symbol("[") => {
                    self.advance();
                    let index = self.expression()?;
                    if !self.take("]") {
                        return Err(self.expected("`]`", ""));
                    }
                    let depth = depth.max(index.depth);
                    (ExprKind::Index(Box::new(expr), Box::new(index)), depth)
                }
                TokenKind::Symbol("@") => {
                    self.advance();
                    if self.word() != "user" {
                        return Err(self.expected("`user` after `@`", "write `@user`"));
                    }
                    self.advance();
                    (ExprKind::User(Box::new(expr)), depth)
                }
                TokenKind::Symbol("(") => {
                    let span = self.peek().span;
                    let problem = TraceProblem::Expected {
                        expected: "an operator",
                        found: "`(`".to_owned(),
                    };
                    return Err(self.report(problem, span, "functions can't be called"));
                }
                _ => return Ok(expr),
            };
            expr = self.make(kind, start.to(self.before()), depth)?;
        }
    }

    fn primary(&mut self) -> Result<Expr, Reported> {
        let token = self.peek();
        let kind = match token.kind {
            TokenKind::Integer(literal) => ExprKind::Integer(literal),
            TokenKind::Character(value) => ExprKind::Character(value),
            TokenKind::Text => {
                self.advance();
                let text = self.decode(token.span)?;
                return self.make(ExprKind::Text(text), token.span, 0);
            }
            TokenKind::Variable => return self.variable(),
            TokenKind::Name if self.text_at(token.span) == "STRCMP" => {
                return self.string_compare();
            }
            TokenKind::Name => name(self.text_at(token.span)),
            TokenKind::Symbol("(") => {
                self.advance();
                let inside = self.expression()?;
                if !self.is_at(")") {
                    if self.peek().kind == TokenKind::End {
                        return Err(self.report(TraceProblem::Unmatched('('), token.span, ""));
                    }
                    return Err(self.expected("`)` or an operator", ""));
                }
                self.advance();
                return Ok(inside);
            }
            _ => return Err(self.expected("an expression", "")),
        };
        self.advance();
        self.make(kind, token.span, 0)
    }

    /// The bytes of the text constant at `span`.
    pub(super) fn decode(&mut self, span: Span) -> Result<Vec<u8>, Reported> {
        let inside = inside_quotes(span);
        decode_escapes(inside.of(self.text)).map_err(|(at, escape)| {
            let start = inside.start + at;
            let place = Span::from(start..start + escape.len());
            self.mistakes.push(unknown_escape(self.text, place));
            Reported
        })
    }

    fn variable(&mut self) -> Result<Expr, Reported> {
        let span = self.advance().span;
        let name = &self.text_at(span)[1..];
        if name == "entry" {
            self.expect("(", "`(` after `$entry`")?;
            let operand = self.expression()?;
            if !self.take(")") {
                return Err(self.expected("`)` after the expression of `$entry`", ""));
            }
            let depth = operand.depth;
            let kind = ExprKind::Entry(Box::new(operand));
            return self.make(kind, span.to(self.before()), depth);
        }
        let Some(variable) = Variable::from_name(name) else {
            let mut known: Vec<String> = Variable::ALL
                .iter()
                .map(|(name, _)| format!("${name}"))
                .collect();
            known.push("$entry(…)".to_owned());
            let problem = TraceProblem::UnknownVariable(name.to_owned());
            return Err(self.report(problem, span, format!("there are {}", known.join(", "))));
        };
        self.make(ExprKind::Variable(variable), span, 0)
    }

    /// `STRCMP("text", x)`; bcc has the text first, and either order is clear.
    fn string_compare(&mut self) -> Result<Expr, Reported> {
        const FORM: &str = "write `STRCMP(\"text\", expression)`";
        let start = self.advance().span;
        if !self.take("(") {
            return Err(self.expected("`(` after STRCMP", FORM));
        }
        let first = self.expression()?;
        if !self.take(",") {
            return Err(self.expected("`,` in STRCMP", FORM));
        }
        let second = self.expression()?;
        if !self.take(")") {
            return Err(self.expected("`)` after STRCMP", FORM));
        }
        let span = start.to(self.before());
        let (mut text, place, operand) = match (first.kind, second.kind) {
            (ExprKind::Text(text), kind) => (text, first.span, Expr { kind, ..second }),
            (kind, ExprKind::Text(text)) => (text, second.span, Expr { kind, ..first }),
            _ => {
                let problem = TraceProblem::Expected {
                    expected: "a text in STRCMP",
                    found: "two expressions".to_owned(),
                };
                return Err(self.report(problem, span, FORM));
            }
        };
        let is_prefix = ends_with_plain_star(self.text_at(inside_quotes(place)));
        if is_prefix {
            text.pop();
        }
        let depth = operand.depth;
        let kind = ExprKind::StringCompare {
            text,
            is_prefix,
            operand: Box::new(operand),
        };
        self.make(kind, span, depth)
    }
}

/// What a pair of parentheses holds, as far as can be told without knowing the types.
enum Inside<'a> {
    /// A type.
    Type,
    /// A name alone: of a type or of a value.
    Name(&'a str),
    /// Something else.
    Other,
}

fn inside_quotes(span: Span) -> Span {
    Span::from(span.start + 1..span.end.saturating_sub(1))
}

fn name(word: &str) -> ExprKind {
    let number = word.strip_prefix("arg").filter(|digits| {
        !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
    });
    match number {
        // A number that does not fit is one that no probe has.
        Some(digits) => ExprKind::Argument(digits.parse().unwrap_or(u32::MAX)),
        None if word == "retval" => ExprKind::Retval,
        None => ExprKind::Name(word.to_owned()),
    }
}
