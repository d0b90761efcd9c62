//! Works out the types of expressions, and turns them into operations on words.

mod access;
mod arguments;
mod members;
mod names;
mod operators;

use std::rc::Rc;

use probes_common::SAVED_VALUES;

pub(super) use self::arguments::Known;
use super::{
    error::Problem,
    ir::{Node, Question, TextSource},
    site::{Context, Site, Space},
    ty::{IntKind, IntTy, Sources, Ty},
};
use crate::spec::{
    Mistake,
    expr::{Expr, ExprKind, IntegerLiteral, Span, TypeName, Variable},
};

/// Says that a mistake was found and has been noted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// A value: a word and what it means.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) node: Node,
    pub(super) ty: Ty,
    /// Whose memory it points to, as far as its origin tells.
    pub(super) space: Option<Space>,
}

/// What an expression stands for.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Value(Value),
    Place(Place),
    /// `$comm`.
    Comm,
}

/// A place in memory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) at: At,
    pub(super) ty: Ty,
    /// For a bit field, how many bits from the first of the place, and how many.
    pub(super) bits: Option<(u64, u32)>,
}

#[derive(Clone, Debug)]
pub(super) enum At {
    /// An address in memory.
    Memory(Node, Space),
    /// Bytes from the start of the context.
    Record(u32),
    /// Bytes from the start of a structure that is in registers.
    Words {
        /// Its 8 bytes each.
        words: Vec<Node>,
        offset_bytes: u64,
        /// Whose memory its pointers are addresses of.
        space: Space,
    },
}

/// Checks the expressions of one probe.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) site: &'a Site,
    pub(super) context: Context,
    pub(super) sources: Sources<'a>,
    pub(super) known: Known,
    pub(super) mistakes: Vec<Mistake<Problem>>,
    /// Inside of `$entry(…)`.
    pub(super) is_in_entry: bool,
    /// What must be saved at the function's entry.
    pub(super) entry_values: Vec<Node>,
    pub(super) uses_latency: bool,
}

impl Checker<'_> {
    /// Notes a mistake.
    pub(super) fn report(
        &mut self,
        problem: impl Into<Problem>,
        span: Span,
        note: impl Into<String>,
    ) -> Reported {
        let mistake = Mistake::new(self.text, problem.into(), span, note);
        self.mistakes.push(mistake);
        Reported
    }

    /// `ty` with its parts laid open.
    pub(super) fn open(&mut self, ty: &Ty, span: Span) -> Result<Ty, Reported> {
        let opened = self.sources.open(ty);
        opened.map_err(|error| self.report(error, span, ""))
    }

    pub(super) fn size_bytes(&mut self, ty: &Ty, span: Span) -> Result<u64, Reported> {
        match self.sources.size_bytes(ty) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let problem = Problem::Incomplete(self.sources.describe(ty));
                Err(self.report(problem, span, ""))
            }
            Err(error) => Err(self.report(error, span, "")),
        }
    }

    /// Whose memory addresses are of whose origin nothing is known.
    pub(super) fn default_space(&self) -> Space {
        match self.site {
            Site::Function(function) => function.space,
            Site::Tracepoint(_) => Space::Kernel,
            Site::Usdt(_) => Space::User,
        }
    }

    /// A condition.
    pub(super) fn condition(&mut self, expr: &Expr) -> Result<Node, Reported> {
        let value = self.scalar(expr)?;
        Ok(value.node.truth(expr.span))
    }

    /// The value of an expression; arrays are pointers to their first element.
    pub(super) fn value(&mut self, expr: &Expr) -> Result<Value, Reported> {
        let term = self.term(expr)?;
        self.value_of(term, expr.span)
    }

    pub(super) fn value_of(&mut self, term: Term, span: Span) -> Result<Value, Reported> {
        match term {
            Term::Value(value) => Ok(value),
            Term::Place(place) => self.read(place, span),
            Term::Comm => {
                let problem = Problem::WrongType {
                    found: "the text $comm".to_owned(),
                    expected: "a number",
                };
                let note = "print it with %s, or compare it: STRCMP(\"name\", $comm)";
                Err(self.report(problem, span, note))
            }
        }
    }

    /// An integer or pointer.
    pub(super) fn scalar(&mut self, expr: &Expr) -> Result<Value, Reported> {
        let value = self.value(expr)?;
        if value.ty.as_int().is_some() || matches!(value.ty, Ty::Pointer { .. }) {
            return Ok(value);
        }
        let found = self.sources.describe(&value.ty);
        let problem = Problem::WrongType {
            found,
            expected: "a number or pointer",
        };
        Err(self.report(problem, expr.span, ""))
    }

    /// An integer.
    pub(super) fn integer(&mut self, expr: &Expr) -> Result<(Value, IntTy), Reported> {
        let value = self.value(expr)?;
        if let Some(int) = value.ty.as_int() {
            return Ok((value, int));
        }
        let problem = Problem::WrongType {
            found: self.sources.describe(&value.ty),
            expected: "an integer",
        };
        Err(self.report(problem, expr.span, "cast it: `(long)`"))
    }

    /// What an expression stands for.
    pub(super) fn term(&mut self, expr: &Expr) -> Result<Term, Reported> {
        let span = expr.span;
        let value = match &expr.kind {
            ExprKind::Integer(literal) => int_value(literal_node(*literal, span), ty_of(*literal)),
            ExprKind::Character(value) => {
                let node = Node::constant((*value).into(), span);
                int_value(node, IntTy::INT)
            }
            ExprKind::Text(_) => {
                let problem = Problem::WrongType {
                    found: "a text".to_owned(),
                    expected: "a number",
                };
                let note = "compare texts with STRCMP(\"text\", expression)";
                return Err(self.report(problem, span, note));
            }
            ExprKind::Argument(number) => self.argument(*number, span)?,
            ExprKind::Retval => return self.retval_as_written(span),
            ExprKind::Variable(Variable::Comm) => return Ok(Term::Comm),
            ExprKind::Variable(variable) => self.variable(*variable, span)?,
            ExprKind::Entry(operand) => self.entry(operand, span)?,
            ExprKind::Name(name) => return self.name(name, span),
            ExprKind::Unary(op, operand) => return self.unary(*op, operand, span),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right, span)?,
            ExprKind::Conditional(condition, first, second) => {
                self.conditional(condition, first, second, span)?
            }
            ExprKind::Cast(type_name, operand) => self.cast(type_name, operand, span)?,
            ExprKind::SizeofType(type_name) => {
                let ty = self.type_named(type_name)?;
                self.size_value(&ty, span)?
            }
            ExprKind::SizeofExpr(operand) => self.sizeof(operand, span)?,
            ExprKind::Member {
                base,
                member,
                is_arrow,
            } => return self.member(base, member, *is_arrow),
            ExprKind::Index(base, index) => return self.index(base, index, span),
            ExprKind::StringCompare {
                text,
                is_prefix,
                operand,
            } => self.string_compare(text, *is_prefix, operand, span)?,
            ExprKind::User(operand) => {
                return match self.term(operand)? {
                    // A place in the kernel's memory stays there; what it holds points elsewhere.
                    term @ (Term::Value(_) | Term::Place(_)) => {
                        let mut value = self.value_of(term, span)?;
                        value.space = Some(Space::User);
                        Ok(Term::Value(value))
                    }
                    Term::Comm => self.value_of(Term::Comm, span).map(Term::Value),
                };
            }
        };
        Ok(Term::Value(value))
    }

    fn variable(&mut self, variable: Variable, span: Span) -> Result<Value, Reported> {
        let unsigned = |question| int_value(Node::ask(question, span), IntTy::UNSIGNED);
        Ok(match variable {
            Variable::Uid => unsigned(Question::Uid),
            Variable::Gid => unsigned(Question::Gid),
            Variable::Pid => unsigned(Question::Pid),
            Variable::Tgid => unsigned(Question::Tgid),
            Variable::Cpu => unsigned(Question::Cpu),
            Variable::Task => return self.task(span),
            Variable::Comm => return self.value_of(Term::Comm, span),
            Variable::Latency => {
                self.needs_return("$latency", span)?;
                self.uses_latency = true;
                int_value(Node::latency(span), IntTy::UNSIGNED_LONG)
            }
        })
    }

    /// `$entry(…)` and `$latency` need a function's return.
    fn needs_return(&mut self, name: &str, span: Span) -> Result<(), Reported> {
        if matches!(self.site, Site::Function(function) if function.at_return) && !self.is_in_entry
        {
            return Ok(());
        }
        let (reason, note) = if self.is_in_entry {
            ("it is inside of $entry(…)", "remove it")
        } else {
            (
                "this is not a return probe",
                "write a probe that begins with `r:`",
            )
        };
        let problem = Problem::NotAvailable {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        Err(self.report(problem, span, note))
    }

    fn entry(&mut self, operand: &Expr, span: Span) -> Result<Value, Reported> {
        self.needs_return("$entry", span)?;
        self.is_in_entry = true;
        let value = self.scalar(operand);
        self.is_in_entry = false;
        let value = value?;
        // The same expression is saved once, wherever it is written.
        let written = operand.span.of(self.text);
        let mut known = self.entry_values.iter();
        let known = known.position(|node| node.span.of(self.text) == written);
        if known.is_none() && self.entry_values.len() >= SAVED_VALUES {
            let problem = Problem::TooBig("at most 16 values are saved at entry");
            return Err(self.report(problem, span, ""));
        }
        let number = known.unwrap_or_else(|| {
            self.entry_values.push(Node {
                span: operand.span,
                ..value.node.clone()
            });
            self.entry_values.len() - 1
        });
        let node = Node::saved(u32::try_from(number).unwrap_or(u32::MAX), span);
        Ok(Value { node, ..value })
    }

    pub(super) fn type_named(&mut self, name: &TypeName) -> Result<Ty, Reported> {
        match self.sources.named(name) {
            Ok(Some(ty)) => Ok(ty),
            Ok(None) => Err(self.unknown_type(name)),
            Err(error) => Err(self.report(error, name.span, "")),
        }
    }

    fn sizeof(&mut self, operand: &Expr, span: Span) -> Result<Value, Reported> {
        // Of `sizeof(x)` the parser can't tell whether it is a type.
        if let ExprKind::Name(name) = &operand.kind
            && let Some(ty) = self.typedef_only(name, operand.span)
        {
            return self.size_value(&ty, span);
        }
        match self.term(operand)? {
            Term::Value(value) => self.size_value(&value.ty, span),
            Term::Place(place) => self.size_value(&place.ty, span),
            Term::Comm => Ok(int_value(Node::constant(16, span), IntTy::UNSIGNED_LONG)),
        }
    }

    fn size_value(&mut self, ty: &Ty, span: Span) -> Result<Value, Reported> {
        let bytes = self.size_bytes(ty, span)?;
        let node = Node::constant(bytes.cast_signed(), span);
        Ok(int_value(node, IntTy::UNSIGNED_LONG))
    }

    fn string_compare(
        &mut self,
        text: &[u8],
        is_prefix: bool,
        operand: &Expr,
        span: Span,
    ) -> Result<Value, Reported> {
        let mut text = text.to_vec();
        // C ends a text at its first NUL.
        if let Some(end) = text.iter().position(|&byte| byte == 0) {
            text.truncate(end);
        }
        let mut ends = !is_prefix;
        let source = match self.term(operand)? {
            Term::Comm => {
                if text.len() >= 16 {
                    return Ok(int_value(Node::constant(0, span), IntTy::INT));
                }
                TextSource::Comm
            }
            term => {
                let capacity = self.text_capacity(&term, operand.span)?;
                let Some((address, space)) = self.text_address(term, operand.span)? else {
                    let term = self.term(operand)?;
                    let problem = Problem::WrongType {
                        found: self.describe(&term),
                        expected: "a text",
                    };
                    let note = "cast it if it points to one: `(char *)`";
                    return Err(self.report(problem, operand.span, note));
                };
                match capacity {
                    Some(capacity) if text.len() as u64 > capacity => {
                        return Ok(int_value(Node::constant(0, span), IntTy::INT));
                    }
                    // An array that is full of text has no NUL.
                    Some(capacity) if text.len() as u64 == capacity => ends = false,
                    _ => {}
                }
                let address = Box::new(address);
                TextSource::Memory { address, space }
            }
        };
        let node = Node::compare_text(source, text, ends, span);
        Ok(int_value(node, IntTy::INT))
    }

    /// How many bytes of text an array has room for.
    fn text_capacity(&mut self, term: &Term, span: Span) -> Result<Option<u64>, Reported> {
        let Term::Place(place) = term else {
            return Ok(None);
        };
        Ok(match self.open(&place.ty, span)? {
            Ty::Array { count, .. } if count > 0 => Some(count),
            _ => None,
        })
    }

    /// The address of the text that `term` stands for, if it can stand for one.
    pub(super) fn text_address(
        &mut self,
        term: Term,
        span: Span,
    ) -> Result<Option<(Node, Space)>, Reported> {
        let is_text = match &term {
            Term::Value(value) => self.points_to_text(&value.ty, span)?,
            Term::Place(place) => match self.open(&place.ty, span)? {
                Ty::Array { element, .. } => self.is_text(&element, span)?,
                other => self.points_to_text(&other, span)?,
            },
            Term::Comm => false,
        };
        if !is_text {
            return Ok(None);
        }
        let value = self.value_of(term, span)?;
        let space = self.space_of(&value);
        Ok(Some((value.node, space)))
    }

    fn points_to_text(&mut self, ty: &Ty, span: Span) -> Result<bool, Reported> {
        match ty.target() {
            // Whether more is known depends on what else has been asked for.
            _ if ty.is_unknown() => Ok(true),
            Some(target) => self.is_text(target, span),
            None => Ok(false),
        }
    }

    /// Whether values of that type, one after the other, can be text.
    fn is_text(&mut self, ty: &Ty, span: Span) -> Result<bool, Reported> {
        let opened = self.open(ty, span)?;
        Ok(match opened {
            Ty::Void => true,
            Ty::Int(int) => int.bytes == 1 && int.kind != IntKind::Bool,
            _ => false,
        })
    }

    /// Whose memory a pointer points to.
    pub(super) fn space_of(&self, value: &Value) -> Space {
        if value.ty.points_to_user() {
            return Space::User;
        }
        value.space.unwrap_or_else(|| self.default_space())
    }

    /// The type of what a term stands for, as C writes it.
    pub(super) fn describe(&self, term: &Term) -> String {
        match term {
            Term::Value(value) => self.sources.describe(&value.ty),
            Term::Place(place) => self.sources.describe(&place.ty),
            Term::Comm => "the text $comm".to_owned(),
        }
    }
}

pub(super) fn int_value(node: Node, ty: IntTy) -> Value {
    Value {
        node,
        ty: Ty::Int(ty),
        space: None,
    }
}

fn literal_node(literal: IntegerLiteral, span: Span) -> Node {
    Node::constant(literal.value.cast_signed(), span)
}

/// C takes the first type that the number fits in; those without sign only if the number is not
/// decimal or says so.
fn ty_of(literal: IntegerLiteral) -> IntTy {
    let types = [
        (IntTy::INT, i32::MAX as u64),
        (IntTy::UNSIGNED, u32::MAX.into()),
        (IntTy::LONG, i64::MAX as u64),
        (IntTy::UNSIGNED_LONG, u64::MAX),
    ];
    let fits = |(ty, most): &(IntTy, u64)| {
        let sign_suits = if literal.is_unsigned {
            !ty.is_signed
        } else {
            ty.is_signed || !literal.is_decimal
        };
        literal.value <= *most && sign_suits && (ty.bytes == 8 || !literal.is_long)
    };
    let found = types.iter().find(|ty| fits(ty));
    // Too big for any type with a sign: GCC takes it without.
    found.map_or(IntTy::UNSIGNED_LONG, |(ty, _)| *ty)
}

/// A pointer to `target`, to memory of `space`.
pub(super) fn pointer_value(node: Node, target: Ty, space: Space) -> Value {
    Value {
        node,
        ty: Ty::Pointer {
            target: Rc::new(target),
            is_user: space == Space::User,
        },
        space: Some(space),
    }
}
