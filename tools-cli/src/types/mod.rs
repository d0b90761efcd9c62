//! Types of C, from whatever describes them: the kernel's BTF, a program's DWARF, a tracepoint's
//! format.
//!
//! A [`TypeSource`] is one such description: [`Btf`] or [`Dwarf`]. It is asked for what is needed and
//! reads no more than that: the kernel describes a hundred thousand types, and an expression uses
//! three of them. A tracepoint has only fields to be looked up: its [`TracepointFormat`] lists them.

mod btf;
mod declaration;
mod dwarf;
mod record;
mod spelling;
mod tracefs;

pub use btf::Btf;
pub use declaration::{Declaration, Declared};
pub use dwarf::Dwarf;
pub use record::RecordTypes;
pub use tracefs::{Element, Field, FieldKind, TracepointFormat};

/// A type's number within its [`TypeSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u64);

/// A type. Qualifiers (`const`, `volatile`, `restrict`) have been dropped, and a typedef stands for
/// what it names, since neither changes what an expression means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `void`, and whatever a description leaves out.
    Void,
    /// An integer.
    Int(Int),
    /// A floating-point number; expressions can't use it, but errors name it.
    Float(Float),
    /// What expressions can't use either.
    Opaque(Opaque),
    /// A pointer.
    Pointer {
        /// What it points to.
        target: TypeId,
        /// Whether the description says that it points to memory of user space (`__user`, which BTF
        /// has as a type tag since Linux 5.17 when it was built by clang).
        is_user: bool,
    },
    /// An array.
    Array {
        /// The type of its elements.
        element: TypeId,
        /// How many; 0 for a flexible one.
        count: u64,
    },
    /// A structure or union.
    Composite(Composite),
    /// An enumeration.
    Enum(Enum),
    /// A function; only pointers to it have a value.
    Function,
    /// A structure or union that is declared and described nowhere in this source.
    Forward {
        /// Its name.
        name: String,
        /// Whether it is a union.
        is_union: bool,
    },
}

/// An integer type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Int {
    /// As C writes it.
    pub name: String,
    /// Its size: 1, 2, 4, 8 or 16.
    pub bytes: u64,
    /// Whether it has a sign.
    pub is_signed: bool,
    /// Whether it stands for text (`char`), rather than for a small number (`u8`).
    pub is_char: bool,
    /// Whether it is `bool`.
    pub is_bool: bool,
}

/// A floating-point type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Float {
    /// As C writes it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it is two numbers, one after the other.
    pub is_complex: bool,
}

/// A type that C has not. Of its values no more is known than how they are passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// Several numbers in one register (SIMD), with so many bytes together.
    Vector(u64),
    /// A pointer to a member function of C++: two words.
    MemberFunction,
    /// Whatever else a description calls by that name; not even how it is passed is known.
    Unknown(String),
}

/// A structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    /// Its name; `None` for an anonymous one.
    pub name: Option<String>,
    /// Whether it is a union.
    pub is_union: bool,
    /// Its size.
    pub bytes: u64,
    /// The alignment that it was given, if it is more than its members need; else 1.
    pub alignment: u64,
    /// Whether functions are passed the address of a copy that the caller has made: a class of C++
    /// that is not trivial to copy or to destroy. One that has members of that kind is the same.
    pub is_by_reference: bool,
    /// Its members, in order.
    pub members: Vec<Member>,
}

/// A member of a structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name; `None` for an anonymous structure or union, whose members count as its owner's.
    pub name: Option<String>,
    /// Its type.
    pub type_id: TypeId,
    /// Where it begins, in bits from the start of its owner.
    pub bit_offset: u64,
    /// How many bits it has, if it is a bit field.
    pub bits: Option<u32>,
    /// The alignment that it was given, if it is more than its type needs; else 1.
    pub alignment: u64,
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enum {
    /// Its name; `None` for an anonymous one.
    pub name: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Whether its values have a sign.
    pub is_signed: bool,
    /// Its constants, in order.
    pub constants: Vec<(String, i64)>,
}

/// What a function takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    /// What it returns.
    pub returns: TypeId,
    /// Whether more arguments may follow.
    pub is_variadic: bool,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its type.
    pub type_id: TypeId,
}

/// What a name of a type is preceded by in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// `struct`.
    Struct,
    /// `union`.
    Union,
    /// `enum`.
    Enum,
    /// Nothing: a typedef, or a basic type such as `unsigned int`.
    None,
}

/// Why a description can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error("failed to read {what}: {error}")]
    Read {
        /// The file.
        what: String,
        /// What the system says.
        error: String,
    },
    /// It contradicts itself.
    #[error("the type information of {what} is damaged: {reason}")]
    Damaged {
        /// The file.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

/// A description of types.
pub trait TypeSource {
    /// The type with this number, which the same source has given out.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    fn get(&self, id: TypeId) -> Result<Type, Error>;

    /// The type of that name.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<TypeId>, Error>;

    /// The prototype of a function.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    fn prototype(&self, function: &str) -> Result<Option<Prototype>, Error>;

    /// The value of a constant of any enumeration.
    ///
    /// # Errors
    ///
    /// When the description is damaged somewhere.
    fn constant(&self, name: &str) -> Result<Option<(TypeId, i64)>, Error>;

    /// The names of all types with that keyword, for errors that tell the nearest.
    fn names(&self, keyword: Keyword) -> Vec<String>;

    /// Where a structure has a member, in bytes from its start.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    fn offset_of(&self, structure: &str, member: &str) -> Result<Option<u64>, Error> {
        let Some(id) = self.find(Keyword::Struct, structure)? else {
            return Ok(None);
        };
        let Type::Composite(composite) = self.get(id)? else {
            return Ok(None);
        };
        let mut members = composite.members.iter();
        let found = members.find(|found| found.name.as_deref() == Some(member));
        Ok(found.map(|found| found.bit_offset / 8))
    }
}
