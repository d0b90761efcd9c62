//! Expressions after their types have been worked out: operations on 64-bit words.
//!
//! A word always holds the value of its C type extended to 64 bits, with its sign if it has one.
//! So operations on words need no widths; what may leave the range of its type is followed by an
//! [`Op::Extend`]. The functions here fold what is constant.

use super::site::Space;
use crate::spec::expr::Span;

/// An operation with its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) op: Op,
    /// The expression it comes from.
    pub(super) span: Span,
    /// Whether helpers are called for it, which overwrite the registers 0 to 5.
    pub(super) calls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Constant(i64),
    /// Bytes of the context, which are read without a call.
    Context {
        offset: u32,
        bytes: u8,
    },
    /// The address of a byte of the context, as a number.
    ContextAddress(u32),
    /// What a helper tells about the task or the CPU.
    Ask(Question),
    /// A value that was saved when the function was entered; its number.
    Saved(u32),
    /// Nanoseconds since the function was entered.
    Latency,
    /// Bytes of memory, checked.
    Load {
        address: Box<Node>,
        bytes: u8,
        space: Space,
    },
    /// The lowest bytes, extended.
    Extend {
        value: Box<Node>,
        bytes: u8,
        is_signed: bool,
    },
    /// Bits from `first` on, `count` of them, extended.
    Bits {
        value: Box<Node>,
        first: u8,
        count: u8,
        is_signed: bool,
    },
    Negate(Box<Node>),
    Complement(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// 1 for 0 and 0 for all else.
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Choose(Box<Node>, Box<Node>, Box<Node>),
    CompareText {
        source: TextSource,
        text: Vec<u8>,
        ends: bool,
    },
}

/// What helpers can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Uid,
    Gid,
    Pid,
    Tgid,
    Cpu,
    Task,
}

/// Where a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextSource {
    Memory { address: Box<Node>, space: Space },
    Comm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide { is_signed: bool },
    Remainder { is_signed: bool },
    ShiftLeft,
    ShiftRight { is_signed: bool },
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) order: Order,
    pub(super) is_signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    /// The order that holds exactly when this one does not.
    pub(super) const fn inverse(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
        }
    }

    /// The order of the operands exchanged.
    pub(super) const fn exchanged(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}

impl Comparison {
    fn holds(self, left: i64, right: i64) -> bool {
        let ordering = if self.is_signed {
            left.cmp(&right)
        } else {
            left.cast_unsigned().cmp(&right.cast_unsigned())
        };
        match self.order {
            Order::Equal => ordering.is_eq(),
            Order::NotEqual => ordering.is_ne(),
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// The lowest `bytes` of `value`, extended.
pub(super) const fn extend(value: i64, bytes: u8, is_signed: bool) -> i64 {
    match (bytes, is_signed) {
        (1, true) => value as i8 as i64,
        (1, false) => value as u8 as i64,
        (2, true) => value as i16 as i64,
        (2, false) => value as u16 as i64,
        (4, true) => value as i32 as i64,
        (4, false) => value as u32 as i64,
        _ => value,
    }
}

impl Node {
    fn new(op: Op, span: Span, calls: bool) -> Self {
        Self { op, span, calls }
    }

    pub(super) fn constant(value: i64, span: Span) -> Self {
        Self::new(Op::Constant(value), span, false)
    }

    pub(super) fn context(offset: u32, bytes: u8, span: Span) -> Self {
        Self::new(Op::Context { offset, bytes }, span, false)
    }

    pub(super) fn context_address(offset: u32, span: Span) -> Self {
        Self::new(Op::ContextAddress(offset), span, false)
    }

    pub(super) fn ask(question: Question, span: Span) -> Self {
        Self::new(Op::Ask(question), span, true)
    }

    pub(super) fn saved(number: u32, span: Span) -> Self {
        Self::new(Op::Saved(number), span, false)
    }

    pub(super) fn latency(span: Span) -> Self {
        Self::new(Op::Latency, span, false)
    }

    pub(super) fn load(address: Self, bytes: u8, space: Space, span: Span) -> Self {
        let address = Box::new(address);
        let op = Op::Load {
            address,
            bytes,
            space,
        };
        Self::new(op, span, true)
    }

    pub(super) fn compare_text(source: TextSource, text: Vec<u8>, ends: bool, span: Span) -> Self {
        Self::new(Op::CompareText { source, text, ends }, span, true)
    }

    /// Whether it is an address within what the program was called with.
    pub(super) fn is_in_context(&self) -> bool {
        match &self.op {
            Op::ContextAddress(_) => true,
            Op::Arithmetic(_, left, right) => left.is_in_context() || right.is_in_context(),
            _ => false,
        }
    }

    /// What the operation is applied to.
    pub(super) fn operands(&self) -> impl Iterator<Item = &Self> {
        let operands: [Option<&Self>; 3] = match &self.op {
            Op::Constant(_)
            | Op::Context { .. }
            | Op::ContextAddress(_)
            | Op::Ask(_)
            | Op::Saved(_)
            | Op::Latency
            | Op::CompareText {
                source: TextSource::Comm,
                ..
            } => [None; 3],
            Op::Load { address: value, .. }
            | Op::Extend { value, .. }
            | Op::Bits { value, .. }
            | Op::Negate(value)
            | Op::Complement(value)
            | Op::Not(value)
            | Op::CompareText {
                source: TextSource::Memory { address: value, .. },
                ..
            } => [Some(value), None, None],
            Op::Arithmetic(_, left, right)
            | Op::Compare(_, left, right)
            | Op::And(left, right)
            | Op::Or(left, right) => [Some(left), Some(right), None],
            Op::Choose(condition, first, second) => [Some(condition), Some(first), Some(second)],
        };
        operands.into_iter().flatten()
    }

    pub(super) const fn as_constant(&self) -> Option<i64> {
        match self.op {
            Op::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the result can only be 0 or 1.
    pub(super) const fn is_truth(&self) -> bool {
        matches!(
            self.op,
            Op::Compare(..)
                | Op::Not(_)
                | Op::And(..)
                | Op::Or(..)
                | Op::CompareText { .. }
                | Op::Constant(0 | 1)
        )
    }

    pub(super) fn extend(self, bytes: u8, is_signed: bool) -> Self {
        if bytes >= 8 {
            return self;
        }
        let (span, calls) = (self.span, self.calls);
        match self.op {
            Op::Constant(value) => Self::constant(extend(value, bytes, is_signed), span),
            // The lowest bytes are the first: little-endian.
            Op::Load {
                address,
                bytes: loaded,
                space,
            } if !is_signed => Self::load(*address, loaded.min(bytes), space, span),
            Op::Context {
                offset,
                bytes: loaded,
            } if !is_signed && loaded <= bytes => Self::context(offset, loaded, span),
            op => {
                let value = Box::new(Self { op, span, calls });
                let op = Op::Extend {
                    value,
                    bytes,
                    is_signed,
                };
                Self::new(op, span, calls)
            }
        }
    }

    pub(super) fn bits(self, first: u8, count: u8, is_signed: bool) -> Self {
        let (span, calls) = (self.span, self.calls);
        let value = Box::new(self);
        let op = Op::Bits {
            value,
            first,
            count,
            is_signed,
        };
        Self::new(op, span, calls)
    }

    pub(super) fn negate(self, span: Span) -> Self {
        let calls = self.calls;
        match self.op {
            Op::Constant(value) => Self::constant(value.wrapping_neg(), span),
            _ => Self::new(Op::Negate(Box::new(self)), span, calls),
        }
    }

    pub(super) fn complement(self, span: Span) -> Self {
        let calls = self.calls;
        match self.op {
            Op::Constant(value) => Self::constant(!value, span),
            _ => Self::new(Op::Complement(Box::new(self)), span, calls),
        }
    }

    pub(super) fn arithmetic(operation: Arithmetic, left: Self, right: Self, span: Span) -> Self {
        use Arithmetic::{Add, And, Multiply, Or, ShiftLeft, ShiftRight, Subtract, Xor};

        match (operation, left.as_constant(), right.as_constant()) {
            (_, Some(left), Some(right)) => {
                if let Some(value) = fold(operation, left, right) {
                    return Self::constant(value, span);
                }
            }
            // Constants to the right, where instructions can hold them.
            (Add | Multiply | And | Or | Xor, Some(_), None) => {
                return Self::arithmetic(operation, right, left, span);
            }
            (Add | Subtract | Or | Xor | ShiftLeft | ShiftRight { .. }, _, Some(0))
            | (Multiply, _, Some(1)) => return Self { span, ..left },
            // (x + 8) + 16, as in a structure within a structure.
            (Add, None, Some(more)) => {
                if let Op::Arithmetic(Add, inner, constant) = &left.op
                    && let Some(constant) = constant.as_constant()
                {
                    let sum = Self::constant(constant.wrapping_add(more), span);
                    return Self::arithmetic(Add, (**inner).clone(), sum, span);
                }
            }
            _ => {}
        }
        let calls = left.calls || right.calls;
        let op = Op::Arithmetic(operation, Box::new(left), Box::new(right));
        Self::new(op, span, calls)
    }

    pub(super) fn add_constant(self, value: i64) -> Self {
        let span = self.span;
        Self::arithmetic(Arithmetic::Add, self, Self::constant(value, span), span)
    }

    pub(super) fn compare(comparison: Comparison, left: Self, right: Self, span: Span) -> Self {
        match (left.as_constant(), right.as_constant()) {
            (Some(left), Some(right)) => {
                return Self::constant(comparison.holds(left, right).into(), span);
            }
            (Some(_), None) => {
                let comparison = Comparison {
                    order: comparison.order.exchanged(),
                    ..comparison
                };
                return Self::compare(comparison, right, left, span);
            }
            _ => {}
        }
        let calls = left.calls || right.calls;
        let op = Op::Compare(comparison, Box::new(left), Box::new(right));
        Self::new(op, span, calls)
    }

    pub(super) fn not(self, span: Span) -> Self {
        let calls = self.calls;
        match self.op {
            Op::Constant(value) => Self::constant((value == 0).into(), span),
            _ => Self::new(Op::Not(Box::new(self)), span, calls),
        }
    }

    /// 0 for 0 and 1 for all else.
    pub(super) fn truth(self, span: Span) -> Self {
        if self.is_truth() {
            return self;
        }
        self.not(span).not(span)
    }

    pub(super) fn and(left: Self, right: Self, span: Span) -> Self {
        match (left.as_constant(), right.as_constant()) {
            (Some(0), _) => Self::constant(0, span),
            (Some(_), _) => right.truth(span),
            (_, Some(1..)) => left.truth(span),
            // A fault on the left is still a fault.
            _ => {
                let calls = left.calls || right.calls;
                Self::new(Op::And(Box::new(left), Box::new(right)), span, calls)
            }
        }
    }

    pub(super) fn or(left: Self, right: Self, span: Span) -> Self {
        match (left.as_constant(), right.as_constant()) {
            (Some(0), _) => right.truth(span),
            (_, Some(0)) => left.truth(span),
            (Some(_), _) => Self::constant(1, span),
            // A fault on the left is still a fault.
            _ => {
                let calls = left.calls || right.calls;
                Self::new(Op::Or(Box::new(left), Box::new(right)), span, calls)
            }
        }
    }

    pub(super) fn choose(condition: Self, first: Self, second: Self, span: Span) -> Self {
        match condition.as_constant() {
            Some(0) => second,
            Some(_) => first,
            None => {
                let calls = condition.calls || first.calls || second.calls;
                let [condition, first, second] = [condition, first, second].map(Box::new);
                Self::new(Op::Choose(condition, first, second), span, calls)
            }
        }
    }
}

/// What the operation gives; `None` for a division by zero.
fn fold(operation: Arithmetic, left: i64, right: i64) -> Option<i64> {
    let (unsigned_left, unsigned_right) = (left.cast_unsigned(), right.cast_unsigned());
    // Counts are within the type's width by now.
    let count = u32::try_from(right & 63).unwrap_or(0);
    Some(match operation {
        Arithmetic::Add => left.wrapping_add(right),
        Arithmetic::Subtract => left.wrapping_sub(right),
        Arithmetic::Multiply => left.wrapping_mul(right),
        Arithmetic::Divide { .. } | Arithmetic::Remainder { .. } if right == 0 => return None,
        Arithmetic::Divide { is_signed: true } => left.wrapping_div(right),
        Arithmetic::Divide { is_signed: false } => (unsigned_left / unsigned_right).cast_signed(),
        Arithmetic::Remainder { is_signed: true } => left.wrapping_rem(right),
        Arithmetic::Remainder { is_signed: false } => {
            (unsigned_left % unsigned_right).cast_signed()
        }
        Arithmetic::ShiftLeft => left.wrapping_shl(count),
        Arithmetic::ShiftRight { is_signed: true } => left.wrapping_shr(count),
        Arithmetic::ShiftRight { is_signed: false } => {
            unsigned_left.wrapping_shr(count).cast_signed()
        }
        Arithmetic::And => left & right,
        Arithmetic::Or => left | right,
        Arithmetic::Xor => left ^ right,
    })
}
