//! From the text of a trace probe to a [`TraceSpec`].

#[cfg(test)]
mod tests;

use super::{
    ProbeSpec, Syntax,
    expr::{Expr, Parser, Signature, Span, TokenKind, tokens},
    format::{self, Piece},
    mistake::{Mistake, Mistakes, TraceProblem},
};

/// What the text of a trace probe says, before anything of it has been looked up:
/// `spec(signature) (predicate) "format", expression, …`, where all but the spec may be missing.
#[derive(Clone, Debug)]
pub struct TraceSpec {
    /// The text as it was given; all spans are places in it.
    pub text: String,
    /// What is probed.
    pub probe: ProbeSpec,
    /// The function's parameters as the user gives them.
    pub signature: Option<Signature>,
    /// Which events count; all if there is none.
    pub predicate: Option<Expr>,
    /// What is printed of an event; a message made of what is known if there is none.
    pub message: Option<Message>,
}

/// What is printed of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The text and the conversions in it.
    pub format: Vec<Piece>,
    /// An expression for each conversion, in order.
    pub args: Vec<Expr>,
}

impl TraceSpec {
    /// Whether anything in it, or the lack of a message, asks for types that somebody describes:
    /// reading a large program's takes longer than all the rest.
    #[must_use]
    pub fn needs_types(&self) -> bool {
        let Some(message) = &self.message else {
            return true;
        };
        let mut expressions = message.args.iter().chain(&self.predicate);
        self.signature.is_some() || expressions.any(Expr::names_something)
    }

    /// Whether its message has a symbol of the program in it (`%U`).
    #[must_use]
    pub fn names_user_symbols(&self) -> bool {
        let pieces = self.message.iter().flat_map(|message| &message.format);
        pieces.into_iter().any(|piece| {
            matches!(piece, Piece::Value(conversion) if conversion.form == format::Form::UserSymbol)
        })
    }

    /// Reads the text of a trace probe.
    ///
    /// # Errors
    ///
    /// All mistakes that don't follow from each other, in the order of their places.
    pub fn parse(text: &str) -> Result<Self, Mistakes<TraceProblem>> {
        let mut mistakes = Vec::new();
        let spec_end = end_of_spec(text);
        let probe = ProbeSpec::parse(&text[..spec_end], Syntax::Glob)
            .map_err(|error| {
                let span = error.snippet.span.into();
                let problem = TraceProblem::Spec(error.problem.to_string());
                mistakes.push(Mistake::new(text, problem, span, error.snippet.note));
            })
            .ok();
        let tokens = tokens(text, spec_end, &mut mistakes);
        let rest = {
            let mut reader = Reader {
                text,
                parser: Parser::new(text, &tokens, &mut mistakes),
            };
            reader.rest(spec_end)
        };
        let message = rest.message.map(|written| {
            let format = format::pieces(text, written.format, &mut mistakes);
            if written.is_list {
                match_arguments(text, &format, &written.args, &mut mistakes);
            }
            Message {
                format,
                args: written.args.into_iter().flatten().collect(),
            }
        });
        mistakes.sort_by_key(|mistake| mistake.snippet.span.start);
        match probe {
            Some(probe) if mistakes.is_empty() => Ok(Self {
                text: text.to_owned(),
                probe,
                signature: rest.signature,
                predicate: rest.predicate,
                message,
            }),
            _ => Err(Mistakes(mistakes)),
        }
    }
}

/// Where the spec ends: before white space, a parenthesis or the format.
fn end_of_spec(text: &str) -> usize {
    let end_from = |start: usize| {
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | '"');
        text[start..].find(ends).map_or(text.len(), |at| start + at)
    };
    let end = end_from(0);
    // C++ has functions of that name.
    let is_call_operator = text[..end].ends_with("operator") && text[end..].starts_with("()");
    if is_call_operator {
        return end_from(end + "()".len());
    }
    end
}

/// What follows the spec.
#[derive(Default)]
struct Rest {
    signature: Option<Signature>,
    predicate: Option<Expr>,
    message: Option<Written>,
}

/// A message as it is written.
struct Written {
    format: Span,
    /// An expression or a reported mistake for each argument.
    args: Vec<Option<Expr>>,
    /// Whether commas are between them, so that they can be counted.
    is_list: bool,
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a>,
}

impl Reader<'_> {
    fn rest(&mut self, spec_end: usize) -> Rest {
        let mut rest = Rest::default();
        if self.parser.is_at("(") && self.parser.peek().span.start == spec_end {
            rest.signature = self.signature();
        }
        if self.parser.is_at("(") {
            rest.predicate = self.predicate();
        }
        if self.parser.peek().kind == TokenKind::Text {
            rest.message = Some(self.message());
        } else if self.parser.peek().kind != TokenKind::End {
            let note = match self.parser.peek().kind {
                TokenKind::Symbol("(") => "there is one predicate; write `&&` between conditions",
                _ => "write a predicate in parentheses, a message in double quotes",
            };
            self.parser.expected("a format", note);
        }
        rest
    }

    fn signature(&mut self) -> Option<Signature> {
        let start = self.parser.peek().span;
        let after = self.parser.after_parentheses();
        let mut mistakes = Vec::new();
        let mut trial = self.parser.fork(&mut mistakes);
        let read = trial.signature();
        if read.is_err() && self.is_expression_until(after) {
            let problem = TraceProblem::Expected {
                expected: "a signature right after the spec",
                found: "an expression".to_owned(),
            };
            let note = "put a space before a predicate";
            self.parser.report(problem, start, note);
        } else if read.is_err() {
            self.parser.report_all(mistakes);
        }
        self.parser.skip_to(after);
        read.ok()
    }

    fn is_expression_until(&self, position: usize) -> bool {
        let mut ignored = Vec::new();
        let mut trial = self.parser.fork(&mut ignored);
        trial.expression().is_ok() && trial.position() == position
    }

    fn predicate(&mut self) -> Option<Expr> {
        let opening = self.parser.peek().span;
        let after = self.parser.after_parentheses();
        self.parser.advance();
        let result = self.parser.expression();
        if result.is_ok() && !self.parser.is_at(")") {
            if self.parser.peek().kind == TokenKind::End {
                self.parser
                    .report(TraceProblem::Unmatched('('), opening, "close the predicate");
            } else {
                self.parser.expected("`)` or an operator", "");
            }
        }
        self.parser.skip_to(after);
        result.ok()
    }

    fn message(&mut self) -> Written {
        let format = self.parser.advance().span;
        let mut args = Vec::new();
        let mut is_list = true;
        while self.parser.peek().kind != TokenKind::End {
            if !self.parser.take(",") {
                let place = self.parser.peek();
                if matches!(place.kind, TokenKind::Symbol(")" | "]")) {
                    let symbol = if place.span.of(self.text) == ")" {
                        ')'
                    } else {
                        ']'
                    };
                    self.parser
                        .report(TraceProblem::Unmatched(symbol), place.span, "remove it");
                } else {
                    self.parser.expected("`,` or an operator", "");
                }
                is_list = false;
                // One mistake; the expressions after it are read if they can be found.
                self.parser.advance();
                self.parser.skip_to_end_of_expression();
                continue;
            }
            match self.parser.expression() {
                Ok(expr) => args.push(Some(expr)),
                Err(_) => {
                    args.push(None);
                    self.parser.skip_to_end_of_expression();
                    // What closes more than was opened belongs to the same mistake.
                    while self.parser.take(")") || self.parser.take("]") {
                        self.parser.skip_to_end_of_expression();
                    }
                }
            }
        }
        Written {
            format,
            args,
            is_list,
        }
    }
}

/// Notes conversions without expression, and expressions without conversion.
fn match_arguments(
    text: &str,
    format: &[Piece],
    args: &[Option<Expr>],
    mistakes: &mut Vec<Mistake<TraceProblem>>,
) {
    let conversions: Vec<Span> = format
        .iter()
        .filter_map(|piece| match piece {
            Piece::Value(conversion) => Some(conversion.span),
            Piece::Text(_) => None,
        })
        .collect();
    let (wanted, given) = (conversions.len(), args.len());
    if let Some(&span) = conversions.get(given) {
        let found = span.of(text).to_owned();
        let note = match found.as_str() {
            "%K" | "%U" => "give it an address; the options -K and -U print stacks",
            _ => "add an expression after a `,`, or write `%%` for a percent sign",
        };
        let problem = TraceProblem::MissingArgument(found, wanted, given);
        mistakes.push(Mistake::new(text, problem, span, note));
    } else if let Some(Some(extra)) = args.get(wanted) {
        let found = extra.span.of(text).to_owned();
        let problem = TraceProblem::MissingConversion(found, wanted, given);
        mistakes.push(Mistake::new(
            text,
            problem,
            extra.span,
            "add a conversion such as `%d` to the format, or remove it",
        ));
    }
}
