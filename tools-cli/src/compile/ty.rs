//! Types of expressions, and where they are looked up.

use std::rc::Rc;

use crate::{
    spec::expr::{BaseType, BasicInt, Tag, TypeName},
    types::{self, Composite, Enum, Float, Keyword, Opaque, Type, TypeId, TypeSource},
};

/// The descriptions of types that a probe's expressions may refer to.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The running kernel's: for `$task`, and for kernel functions' casts and constants.
    pub kernel: Option<&'a dyn TypeSource>,
    /// That of the site, whose type numbers its prototype or fields have: the kernel's, a
    /// program's, or that of a tracepoint's format.
    pub site: Option<&'a dyn TypeSource>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("kernel", &self.kernel.is_some())
            .field("site", &self.site.is_some())
            .finish()
    }
}

/// Which of the [`Sources`] a type's number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    Kernel,
    Site,
}

/// A type of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ty {
    Void,
    Int(IntTy),
    Enum(Rc<Enum>),
    Pointer {
        target: Rc<Ty>,
        is_user: bool,
    },
    /// `argN` or `retval` that is declared as a pointer. To bcc it is a number, and so it is in
    /// arithmetic; what it points to is found as C finds it.
    Register {
        int: IntTy,
        pointer: Rc<Ty>,
    },
    Array {
        element: Rc<Ty>,
        count: u64,
    },
    Composite(Rc<Composite>, Origin),
    Float(Rc<Float>),
    Opaque(Opaque),
    Function,
    Forward {
        name: String,
        is_union: bool,
    },
    /// Not looked up yet: what pointers point to often never is.
    Named(Origin, TypeId),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IntTy {
    pub(super) bytes: u8,
    pub(super) is_signed: bool,
    pub(super) kind: IntKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntKind {
    Plain,
    Char,
    Bool,
    /// A register of which nothing is known: it may hold a number of any size, or an address.
    Unknown,
}

impl IntTy {
    pub(super) const INT: Self = Self::new(4, true);
    pub(super) const UNSIGNED: Self = Self::new(4, false);
    pub(super) const LONG: Self = Self::new(8, true);
    pub(super) const UNSIGNED_LONG: Self = Self::new(8, false);
    pub(super) const UNKNOWN: Self = Self {
        kind: IntKind::Unknown,
        ..Self::UNSIGNED_LONG
    };

    pub(super) const fn new(bytes: u8, is_signed: bool) -> Self {
        Self {
            bytes,
            is_signed,
            kind: IntKind::Plain,
        }
    }

    /// What C makes of it in an operation: at least an `int`.
    pub(super) const fn promoted(self) -> Self {
        match self.kind {
            _ if self.bytes < 4 => Self::INT,
            IntKind::Unknown => self,
            _ => Self::new(self.bytes, self.is_signed),
        }
    }

    /// The type in which C works with this one and `other`.
    pub(super) fn common(self, other: Self) -> Self {
        let (one, other) = (self.promoted(), other.promoted());
        // What is added to a number of any size leaves it one, unless that is wide itself.
        let may_be_any = |ty: Self| ty.is_unknown() || ty.bytes < 8;
        if (one.is_unknown() || other.is_unknown()) && may_be_any(one) && may_be_any(other) {
            return Self::UNKNOWN;
        }
        let bytes = one.bytes.max(other.bytes);
        // A type without sign counts if it is not the smaller one.
        let is_unsigned = |ty: Self| !ty.is_signed && ty.bytes == bytes;
        Self::new(bytes, !is_unsigned(one) && !is_unsigned(other))
    }

    pub(super) const fn is_unknown(self) -> bool {
        matches!(self.kind, IntKind::Unknown)
    }

    fn name(self) -> &'static str {
        match (self.kind, self.bytes, self.is_signed) {
            (IntKind::Bool, ..) => "bool",
            (IntKind::Char, _, true) => "char",
            (IntKind::Char, _, false) => "unsigned char",
            (IntKind::Unknown, ..) => "a register of unknown type",
            (_, 1, true) => "signed char",
            (_, 1, false) => "unsigned char",
            (_, 2, true) => "short",
            (_, 2, false) => "unsigned short",
            (_, 4, true) => "int",
            (_, 4, false) => "unsigned int",
            (_, 8, true) => "long",
            (_, 8, false) => "unsigned long",
            (_, _, true) => "__int128",
            (_, _, false) => "unsigned __int128",
        }
    }
}

impl From<BasicInt> for IntTy {
    fn from(basic: BasicInt) -> Self {
        let kind = if basic.is_bool {
            IntKind::Bool
        } else if basic.is_char {
            IntKind::Char
        } else {
            IntKind::Plain
        };
        Self {
            bytes: basic.bytes,
            is_signed: basic.is_signed,
            kind,
        }
    }
}

impl Ty {
    pub(super) fn pointer_to(target: Self) -> Self {
        Self::Pointer {
            target: Rc::new(target),
            is_user: false,
        }
    }

    /// As an integer, if it counts as one.
    pub(super) fn as_int(&self) -> Option<IntTy> {
        match self {
            Self::Int(int) | Self::Register { int, .. } => Some(*int),
            Self::Enum(described) => {
                let bytes = u8::try_from(described.bytes).ok()?;
                Some(IntTy::new(bytes, described.is_signed))
            }
            _ => None,
        }
    }

    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self, Self::Int(int) | Self::Register { int, .. } if int.is_unknown())
    }

    /// What it points to, for operators that go there.
    pub(super) fn target(&self) -> Option<&Rc<Self>> {
        match self {
            Self::Pointer { target, .. } => Some(target),
            Self::Register { pointer, .. } => pointer.target(),
            _ => None,
        }
    }

    /// Whether it says that it points to memory of user space.
    pub(super) fn points_to_user(&self) -> bool {
        match self {
            Self::Pointer { is_user, .. } => *is_user,
            Self::Register { pointer, .. } => pointer.points_to_user(),
            _ => false,
        }
    }
}

impl<'a> Sources<'a> {
    fn of(&self, origin: Origin) -> Option<&'a dyn TypeSource> {
        match origin {
            Origin::Kernel => self.kernel,
            Origin::Site => self.site,
        }
    }

    /// The sources in the order in which names are looked up.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (Origin, &'a dyn TypeSource)> + use<'a> {
        [(Origin::Site, self.site), (Origin::Kernel, self.kernel)]
            .into_iter()
            .filter_map(|(origin, source)| Some((origin, source?)))
    }

    /// `ty` with its parts laid open.
    pub(super) fn open(&self, ty: &Ty) -> Result<Ty, types::Error> {
        let Ty::Named(origin, id) = *ty else {
            return Ok(ty.clone());
        };
        let Some(source) = self.of(origin) else {
            return Ok(Ty::Void);
        };
        let named = |id| Rc::new(Ty::Named(origin, id));
        Ok(match source.get(id)? {
            Type::Void => Ty::Void,
            Type::Int(int) => Ty::Int(IntTy {
                bytes: u8::try_from(int.bytes).unwrap_or(u8::MAX),
                is_signed: int.is_signed,
                kind: match (int.is_bool, int.is_char) {
                    (true, _) => IntKind::Bool,
                    (_, true) => IntKind::Char,
                    _ => IntKind::Plain,
                },
            }),
            Type::Float(float) => Ty::Float(Rc::new(float)),
            Type::Opaque(opaque) => Ty::Opaque(opaque),
            Type::Pointer { target, is_user } => Ty::Pointer {
                target: named(target),
                is_user,
            },
            Type::Array { element, count } => Ty::Array {
                element: named(element),
                count,
            },
            Type::Composite(composite) => Ty::Composite(Rc::new(composite), origin),
            Type::Enum(described) => Ty::Enum(Rc::new(described)),
            Type::Function => Ty::Function,
            Type::Forward { name, is_union } => return self.complete(name, is_union, origin),
        })
    }

    /// A structure that is only declared in one source may be described in the other: a tracepoint
    /// names the kernel's.
    fn complete(&self, name: String, is_union: bool, not_in: Origin) -> Result<Ty, types::Error> {
        let keyword = if is_union {
            Keyword::Union
        } else {
            Keyword::Struct
        };
        for (origin, source) in self.in_order().filter(|(origin, _)| *origin != not_in) {
            if let Some(id) = source.find(keyword, &name)?
                && let Type::Composite(composite) = source.get(id)?
            {
                return Ok(Ty::Composite(Rc::new(composite), origin));
            }
        }
        Ok(Ty::Forward { name, is_union })
    }

    /// The size of a value of that type in bytes, if it has one.
    pub(super) fn size_bytes(&self, ty: &Ty) -> Result<Option<u64>, types::Error> {
        Ok(match self.open(ty)? {
            // As GCC has it, for pointers to bytes of any kind.
            Ty::Void | Ty::Function => Some(1),
            Ty::Int(int) => Some(int.bytes.into()),
            Ty::Enum(described) => Some(described.bytes),
            Ty::Pointer { .. } | Ty::Register { .. } => Some(8),
            Ty::Array { element, count } => self
                .size_bytes(&element)?
                .and_then(|bytes| bytes.checked_mul(count)),
            Ty::Composite(composite, _) => Some(composite.bytes),
            Ty::Float(float) => Some(float.bytes),
            Ty::Opaque(Opaque::Vector(bytes)) => Some(bytes),
            Ty::Opaque(Opaque::MemberFunction) => Some(16),
            Ty::Opaque(Opaque::Unknown(_)) | Ty::Forward { .. } | Ty::Named(..) => None,
        })
    }

    /// The type of that name; `None` if there is none.
    pub(super) fn named(&self, name: &TypeName) -> Result<Option<Ty>, types::Error> {
        let base = match &name.base {
            BaseType::Void => Ty::Void,
            BaseType::Basic(basic) => Ty::Int((*basic).into()),
            BaseType::Float => Ty::Float(Rc::new(Float {
                name: "double".to_owned(),
                bytes: 8,
                is_complex: false,
            })),
            BaseType::Tagged(tag, name) => match self.find(keyword(*tag), &name.text)? {
                Some(ty) => ty,
                None => return Ok(None),
            },
            BaseType::Typedef(name) => match self.find(Keyword::None, &name.text)? {
                Some(ty) => ty,
                None => match common_typedef(&name.text) {
                    Some(int) => Ty::Int(int),
                    None => return Ok(None),
                },
            },
        };
        let is_user = name.is_user;
        let pointer = |target: Ty| Ty::Pointer {
            target: Rc::new(target),
            is_user,
        };
        let to_rows = u32::from(!name.rows.is_empty());
        let element = (to_rows..name.pointers).fold(base, |target, _| pointer(target));
        let rows = name.rows.iter().rev().fold(element, |element, &count| {
            let element = Rc::new(element);
            Ty::Array { element, count }
        });
        Ok(Some((0..to_rows).fold(rows, |rows, _| pointer(rows))))
    }

    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<Ty>, types::Error> {
        for (origin, source) in self.in_order() {
            if let Some(id) = source.find(keyword, name)? {
                return Ok(Some(Ty::Named(origin, id)));
            }
        }
        Ok(None)
    }

    /// How C writes the type, for messages.
    pub(super) fn describe(&self, ty: &Ty) -> String {
        let tagged = |is_union: bool, name: Option<&str>| {
            let word = if is_union { "union" } else { "struct" };
            name.map_or(format!("an anonymous {word}"), |name| {
                format!("{word} {name}")
            })
        };
        match self.open(ty).unwrap_or(Ty::Void) {
            Ty::Void | Ty::Named(..) => "void".to_owned(),
            Ty::Int(int) => int.name().to_owned(),
            Ty::Enum(described) => match &described.name {
                Some(name) => format!("enum {name}"),
                None => "an anonymous enum".to_owned(),
            },
            Ty::Pointer { target, .. } => {
                let target = self.describe(&target);
                let space = if target.ends_with('*') { "" } else { " " };
                format!("{target}{space}*")
            }
            Ty::Register { pointer, .. } => self.describe(&pointer),
            Ty::Array { element, count } => format!("{}[{count}]", self.describe(&element)),
            Ty::Composite(composite, _) => tagged(composite.is_union, composite.name.as_deref()),
            Ty::Float(float) => float.name.clone(),
            Ty::Opaque(Opaque::Vector(bytes)) => format!("a vector of {bytes} bytes"),
            Ty::Opaque(Opaque::MemberFunction) => "a pointer to a member function".to_owned(),
            Ty::Opaque(Opaque::Unknown(name)) => name,
            Ty::Function => "a function".to_owned(),
            Ty::Forward { name, is_union } => tagged(is_union, Some(&name)),
        }
    }
}

pub(super) const fn keyword(tag: Tag) -> Keyword {
    match tag {
        Tag::Struct => Keyword::Struct,
        Tag::Union => Keyword::Union,
        Tag::Enum => Keyword::Enum,
    }
}

/// Typedefs that everybody expects, for programs that come without descriptions.
fn common_typedef(name: &str) -> Option<IntTy> {
    let int = IntTy::new;
    Some(match name {
        "u8" | "__u8" | "uint8_t" | "u_char" => int(1, false),
        "u16" | "__u16" | "uint16_t" | "ushort" => int(2, false),
        "u32" | "__u32" | "uint32_t" | "uint" | "uid_t" | "gid_t" | "mode_t" | "socklen_t" => {
            int(4, false)
        }
        "u64" | "__u64" | "uint64_t" | "size_t" | "uintptr_t" | "ulong" | "ino_t" | "dev_t" => {
            int(8, false)
        }
        "s8" | "__s8" | "int8_t" => int(1, true),
        "s16" | "__s16" | "int16_t" => int(2, true),
        "s32" | "__s32" | "int32_t" | "pid_t" | "key_t" | "clockid_t" => int(4, true),
        "s64" | "__s64" | "int64_t" | "ssize_t" | "off_t" | "loff_t" | "off64_t" | "intptr_t"
        | "ptrdiff_t" | "time_t" | "ktime_t" | "suseconds_t" => int(8, true),
        _ => return None,
    })
}
