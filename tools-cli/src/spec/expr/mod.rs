//! Expressions of the C language, as they are written in the text of a trace probe.

mod lexer;
mod parser;
mod type_name;

use std::ops::Range;

pub(super) use self::{
    lexer::{Token, TokenKind, decode_escapes, tokens},
    parser::Parser,
};

/// A place in the text of a probe, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From the start of this place to the end of `other`.
    #[must_use]
    pub const fn to(self, other: Self) -> Self {
        Self {
            start: self.start,
            end: other.end,
        }
    }

    /// The bytes as a range.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The text at this place; empty if it is not a place of `text`.
    #[must_use]
    pub fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// A name and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// An expression and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place, without parentheses around it.
    pub span: Span,
    /// How many expressions are nested in it, itself included; the parser keeps it below
    /// [`Expr::MAX_DEPTH`], so that walks over it may be recursive.
    pub(super) depth: usize,
}

impl Expr {
    /// The deepest nesting that the parser lets pass.
    pub const MAX_DEPTH: usize = 100;
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprKind {
    /// `42`, `0x2a`, `052`, `42ul`.
    Integer(IntegerLiteral),
    /// `'a'`, `'\n'`: an `int` in C.
    Character(i8),
    /// `"text"`; only STRCMP has a use for it.
    Text(Vec<u8>),
    /// `arg1` and on, counted from 1.
    Argument(u32),
    /// `retval`.
    Retval,
    /// `$uid` and the like.
    Variable(Variable),
    /// `$entry(expression)`: its value when the function was entered.
    Entry(Box<Expr>),
    /// A parameter, an enumeration's constant, or `args`.
    Name(String),
    /// `-x`.
    Unary(UnaryOp, Box<Expr>),
    /// `x + y`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x ? y : z`.
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `(type)x`.
    Cast(TypeName, Box<Expr>),
    /// `sizeof(type)`.
    SizeofType(TypeName),
    /// `sizeof x`; also `sizeof(x)` where `x` may be the name of a type.
    SizeofExpr(Box<Expr>),
    /// `x.member`, `x->member`.
    Member {
        /// The structure or union, or the pointer to it.
        base: Box<Expr>,
        /// The member.
        member: Name,
        /// Whether it is written with `->`.
        is_arrow: bool,
    },
    /// `x[y]`.
    Index(Box<Expr>, Box<Expr>),
    /// `STRCMP("text", x)`: 1 if `x` points to that text, 0 if to another.
    StringCompare {
        /// The text.
        text: Vec<u8>,
        /// Whether more may follow it (`STRCMP("text*", x)`).
        is_prefix: bool,
        /// What is compared with it.
        operand: Box<Expr>,
    },
    /// `x@user`: the address `x` is one of user space.
    User(Box<Expr>),
}

impl Expr {
    /// Whether no operator that is not behind its operand is outermost in it, so that an operator
    /// before it has all of it for its operand.
    #[must_use]
    pub fn is_primary_or_postfix(&self) -> bool {
        !matches!(
            self.kind,
            ExprKind::Unary(..)
                | ExprKind::Binary(..)
                | ExprKind::Conditional(..)
                | ExprKind::Cast(..)
                | ExprKind::SizeofType(_)
                | ExprKind::SizeofExpr(_)
        )
    }

    /// Whether it has names of parameters, types or members, or goes where something points to:
    /// what that is somebody must describe.
    #[must_use]
    pub fn names_something(&self) -> bool {
        match &self.kind {
            ExprKind::Name(_)
            | ExprKind::Cast(..)
            | ExprKind::SizeofType(_)
            | ExprKind::SizeofExpr(_)
            | ExprKind::Variable(Variable::Task)
            | ExprKind::Unary(UnaryOp::Dereference, _)
            | ExprKind::Index(..)
            | ExprKind::Member { .. } => true,
            ExprKind::Integer(_)
            | ExprKind::Character(_)
            | ExprKind::Text(_)
            | ExprKind::Argument(_)
            | ExprKind::Retval
            | ExprKind::Variable(_) => false,
            ExprKind::Entry(inner) | ExprKind::Unary(_, inner) | ExprKind::User(inner) => {
                inner.names_something()
            }
            ExprKind::StringCompare { operand, .. } => operand.names_something(),
            ExprKind::Binary(_, left, right) => left.names_something() || right.names_something(),
            ExprKind::Conditional(condition, first, second) => {
                let parts = [condition, first, second];
                parts.into_iter().any(|part| part.names_something())
            }
        }
    }
}

/// An integer as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerLiteral {
    /// Its value.
    pub value: u64,
    /// Whether it is written in base 10; other bases may stand for unsigned types on their own.
    pub is_decimal: bool,
    /// Whether it has the suffix `u`.
    pub is_unsigned: bool,
    /// Whether it has the suffix `l` or `ll`.
    pub is_long: bool,
}

/// What every event has, whatever the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `$uid`: the real user.
    Uid,
    /// `$gid`: the real group.
    Gid,
    /// `$pid`: the thread.
    Pid,
    /// `$tgid`: the process.
    Tgid,
    /// `$cpu`: the CPU's number.
    Cpu,
    /// `$task`: the kernel's `struct task_struct *`.
    Task,
    /// `$comm`: the command's name.
    Comm,
    /// `$latency`: nanoseconds since the function was entered.
    Latency,
}

impl Variable {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 8] = [
        ("uid", Self::Uid),
        ("gid", Self::Gid),
        ("pid", Self::Pid),
        ("tgid", Self::Tgid),
        ("cpu", Self::Cpu),
        ("task", Self::Task),
        ("comm", Self::Comm),
        ("latency", Self::Latency),
    ];

    /// The variable of that name, written without the `$`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, variable)| *variable)
    }
}

/// An operator before its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `+x`
    Plus,
    /// `-x`
    Minus,
    /// `!x`
    Not,
    /// `~x`
    Complement,
    /// `*x`
    Dereference,
    /// `&x`
    AddressOf,
}

/// An operator between its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `&`
    And,
    /// `^`
    Xor,
    /// `|`
    Or,
    /// `&&`
    LogicalAnd,
    /// `||`
    LogicalOr,
}

impl BinaryOp {
    /// Each operator as C writes it, with how strongly it binds.
    const TABLE: [(&'static str, Self, u8); 18] = [
        ("*", Self::Multiply, 10),
        ("/", Self::Divide, 10),
        ("%", Self::Remainder, 10),
        ("+", Self::Add, 9),
        ("-", Self::Subtract, 9),
        ("<<", Self::ShiftLeft, 8),
        (">>", Self::ShiftRight, 8),
        ("<", Self::Less, 7),
        ("<=", Self::LessOrEqual, 7),
        (">", Self::Greater, 7),
        (">=", Self::GreaterOrEqual, 7),
        ("==", Self::Equal, 6),
        ("!=", Self::NotEqual, 6),
        ("&", Self::And, 5),
        ("^", Self::Xor, 4),
        ("|", Self::Or, 3),
        ("&&", Self::LogicalAnd, 2),
        ("||", Self::LogicalOr, 1),
    ];

    /// The operator that C writes so, and how strongly it binds: 1 (`||`) to 10 (`*`).
    pub(super) fn from_symbol(symbol: &str) -> Option<(Self, u8)> {
        let found = Self::TABLE.iter().find(|(known, ..)| *known == symbol);
        found.map(|&(_, op, strength)| (op, strength))
    }

    /// As C writes it.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        let found = Self::TABLE.iter().find(|(_, op, _)| *op == self);
        found.map_or("?", |(symbol, ..)| symbol)
    }

    /// Whether its result is 0 or 1 for a comparison of its operands' values.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Less
                | Self::LessOrEqual
                | Self::Greater
                | Self::GreaterOrEqual
                | Self::Equal
                | Self::NotEqual
        )
    }
}

/// A type as it is written, in a cast, after `sizeof`, or in a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// What it is before the stars.
    pub base: BaseType,
    /// How many stars follow; one more for a parameter that is an array.
    pub pointers: u32,
    /// For a parameter that is an array of arrays (`int m[3][4]`), how many elements each of those has
    /// (4): they are what the last pointer points to.
    pub rows: Vec<u64>,
    /// Whether the pointer is one to memory of user space (`__user`).
    pub is_user: bool,
    /// Its place.
    pub span: Span,
}

/// A type as it is written, without stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseType {
    /// `void`.
    Void,
    /// `unsigned long` and the like.
    Basic(BasicInt),
    /// `float`, `double`, `long double`.
    Float,
    /// `struct x`, `union x`, `enum x`.
    Tagged(Tag, Name),
    /// A typedef.
    Typedef(Name),
}

/// The word before the name of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum`
    Enum,
}

/// An integer type that C has by itself, as on all 64-bit Linux: `long` has 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BasicInt {
    /// 1, 2, 4, 8 or 16.
    pub bytes: u8,
    /// Whether it has a sign.
    pub is_signed: bool,
    /// Whether it is `char`, with or without a sign.
    pub is_char: bool,
    /// Whether it is `_Bool`.
    pub is_bool: bool,
}

/// The parameters of a function as the user gives them: `(struct sock *sk, size_t len)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// They, in order; empty for `(void)` and `()`.
    pub parameters: Vec<SignatureParameter>,
    /// From parenthesis to parenthesis.
    pub span: Span,
}

/// One parameter of a [`Signature`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureParameter {
    /// Its type; arrays and functions are pointers here, as in C.
    pub type_name: TypeName,
    /// Its name, if it has one.
    pub name: Option<Name>,
}
