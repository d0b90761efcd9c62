//! What can be wrong with the expressions of a probe.

use crate::{snippet::escape, types};

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A member that the structure or union does not have.
    #[error("unknown field `{}` of {}", escape(.field), escape(.owner))]
    UnknownField {
        /// The member.
        field: String,
        /// The structure, union, or tracepoint's record.
        owner: String,
    },
    /// A member of something that has none.
    #[error("`{}` of {}, which is not a structure or union", escape(.field), escape(.of))]
    NotAStruct {
        /// The member.
        field: String,
        /// The type.
        of: String,
    },
    /// `.` for `->`, or the other way round.
    #[error("`{found}` where `{expected}` belongs")]
    WrongArrow {
        /// As it is written.
        found: &'static str,
        /// As it should be.
        expected: &'static str,
    },
    /// A structure that is declared and nowhere described.
    #[error("{} is described nowhere", escape(.0))]
    Incomplete(String),
    /// A name that means nothing.
    #[error("unknown name `{}`", escape(.0))]
    UnknownName(String),
    /// A type that no description has.
    #[error("unknown type `{}`", escape(.0))]
    UnknownType(String),
    /// An argument that the event does not have.
    #[error("`{name}` is not available: {reason}")]
    NotAvailable {
        /// As it is written.
        name: String,
        /// Why.
        reason: String,
    },
    /// A value that can't be printed like that.
    #[error("`{conversion}` of {}", escape(.of))]
    WrongConversion {
        /// As it is written.
        conversion: String,
        /// The value's type.
        of: String,
    },
    /// A value of a type that can't take part in an operation.
    #[error("{} where {expected} is needed", escape(.found))]
    WrongType {
        /// The type.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A floating-point number.
    #[error("floating-point numbers ({}) can't be read", escape(.0))]
    Float(String),
    /// Division by a constant 0.
    #[error("division by zero")]
    DivisionByZero,
    /// The address of something that has none.
    #[error("{0} has no address")]
    NoAddress(&'static str),
    /// The expressions need more than a program may have.
    #[error("too much for one program: {0}")]
    TooBig(&'static str),
    /// The description of types can't be used.
    #[error(transparent)]
    Types(#[from] types::Error),
}
