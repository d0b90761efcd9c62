//! Types of the kernel and of its modules, from BTF (Documentation/bpf/btf.rst in the kernel's
//! source).
//!
//! Why not a library: measured on a kernel with 126,000 types, to open them and look up one function
//! takes 2 ms here; `aya-obj` makes an object of each type, which takes 6 ms before the lookup, and
//! can't read modules; `btf-rs` takes 100 ms. Here one pass notes where each type starts, and a
//! lookup compares names in place.

mod blob;

use std::{path::Path, sync::Arc};

use self::blob::{Blob, Kind, Record};
use super::{
    Composite, Declaration, Declared, Enum, Error, Float, Int, Keyword, Member, Parameter,
    Prototype, Type, TypeId, TypeSource,
    declaration::{self, Layer, Written},
    spelling,
};
use crate::resolve::elf::Image;

/// How many typedefs, qualifiers or dimensions of an array are followed until they are taken for a
/// circle; the kernel refuses more than 32 (`MAX_RESOLVE_DEPTH`, kernel/bpf/btf.c).
const STEPS_UP_TO: usize = 64;

/// How deep parts without a name are in each other, at most; damaged descriptions could go in circles.
const PARTS_UP_TO: usize = 16;

/// As many members are told; damaged descriptions could have a part in itself several times.
const MEMBERS_UP_TO: usize = 4096;

/// The number of `void`, which is nowhere described.
const VOID: u32 = 0;

/// Types in BTF.
#[derive(Debug)]
pub struct Btf {
    blob: Blob,
    /// Where the BTF of a module is continued from.
    base: Option<Arc<Btf>>,
    /// The number of the first type.
    first_id: u32,
    /// The offset of the first string.
    first_string: u32,
}

impl Btf {
    /// Types of the running kernel (since Linux 5.2, if it was built with them).
    ///
    /// # Errors
    ///
    /// When it has none, or they are damaged.
    pub fn of_kernel() -> Result<Self, Error> {
        Self::open(Path::new("/sys/kernel/btf/vmlinux"), None)
    }

    /// Types of a loaded module of the running kernel, on top of the kernel's own (Linux 5.11).
    ///
    /// # Errors
    ///
    /// When it has none, or they are damaged.
    pub fn of_module(name: &str, kernel: Arc<Self>) -> Result<Self, Error> {
        if name.is_empty() || name.contains(['/', '.']) {
            return Err(Error::Read {
                what: format!("the types of the module `{name}`"),
                error: "no module has such a name".to_owned(),
            });
        }
        Self::open(&Path::new("/sys/kernel/btf").join(name), Some(kernel))
    }

    /// Types from a file with raw BTF, continued from `base` if it is split.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is damaged.
    pub fn open(path: &Path, base: Option<Arc<Self>>) -> Result<Self, Error> {
        let image = Image::open(path).map_err(|error| Error::Read {
            what: path.display().to_string(),
            error: std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        })?;
        Self::from_image(image, base)
    }

    /// Types from raw BTF in memory, which errors call `what`.
    ///
    /// # Errors
    ///
    /// When it is damaged.
    pub fn from_bytes(what: &str, bytes: Vec<u8>, base: Option<Arc<Self>>) -> Result<Self, Error> {
        Self::from_image(Image::from_bytes(Path::new(what), bytes), base)
    }

    fn from_image(image: Image, base: Option<Arc<Self>>) -> Result<Self, Error> {
        let what = image.path().display().to_string();
        let damaged = |reason: String| Error::Damaged {
            what: what.clone(),
            reason,
        };
        let blob = Blob::new(image).map_err(damaged)?;
        let ends = base.as_ref().map_or(Some((1, 0)), |base| base.ends());
        let (first_id, first_string) =
            ends.ok_or_else(|| damaged("what it is based on is too large".to_owned()))?;
        Ok(Self {
            blob,
            base,
            first_id,
            first_string,
        })
    }

    /// The number behind its last type and the offset behind its last string.
    fn ends(&self) -> Option<(u32, u32)> {
        let id = self
            .first_id
            .checked_add(u32::try_from(self.blob.count()).ok()?)?;
        let string = u32::try_from(self.blob.strings_bytes()).ok()?;
        Some((id, self.first_string.checked_add(string)?))
    }

    /// The number of the function `name`; of a module, only its own are found.
    #[must_use]
    pub fn function_id(&self, name: &str) -> Option<u32> {
        self.own(|kind| kind == Kind::Func)
            .find(|(_, record)| self.is_name(record.name, name))
            .map(|(id, _)| id)
    }

    /// The names and numbers of all functions; of a module, only its own.
    pub fn functions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.own(|kind| kind == Kind::Func)
            .filter_map(|(id, record)| Some((self.name(record.name).ok()?, id)))
    }

    /// The declaration of the function with this number.
    ///
    /// # Errors
    ///
    /// When it is damaged, or the number is not that of a function.
    pub fn declaration(&self, function: u32) -> Result<Declaration, Error> {
        let prototype = self.record(function)?.size_or_type;
        let written = self.written_prototype(prototype)?;
        declaration::declare(self, &written)
    }

    /// The members of a structure or union as C declares them, in order; those of a part without a
    /// name stand for it. None if it is only declared.
    ///
    /// # Errors
    ///
    /// When it is damaged.
    pub fn members(&self, id: TypeId) -> Result<Vec<Declared>, Error> {
        let mut members = Vec::new();
        self.add_members(self.number(id)?, PARTS_UP_TO, &mut members)?;
        Ok(members)
    }

    fn add_members(&self, id: u32, depth: usize, members: &mut Vec<Declared>) -> Result<(), Error> {
        let record = self.record(id)?;
        if !is_composite(record.kind) {
            return Ok(());
        }
        for group in record.groups() {
            if members.len() >= MEMBERS_UP_TO {
                break;
            }
            let member = self.member(group, record.flag)?;
            let own = self.number(member.type_id)?;
            let is_part =
                member.name.is_none() && own != VOID && is_composite(self.record(own)?.kind);
            match depth.checked_sub(1).filter(|_| is_part) {
                Some(depth) => self.add_members(own, depth, members)?,
                None => members.push(self.declared(&member, group)?),
            }
        }
        Ok(())
    }

    /// A member with its type as it was written.
    fn declared(&self, member: &Member, group: [u32; 3]) -> Result<Declared, Error> {
        let [_, written, _] = group;
        let mut declared = declaration::declare_one(
            self,
            &Parameter {
                name: member.name.clone(),
                type_id: TypeId(written.into()),
            },
        )?;
        if let Some(bits) = member.bits {
            declared.text += &format!(" : {bits}");
        }
        Ok(declared)
    }

    fn record(&self, id: u32) -> Result<Record<'_>, Error> {
        let missing = || self.blob.damaged(format!("there is no type {id}"));
        match (id.checked_sub(self.first_id), &self.base) {
            (Some(index), _) => self.blob.record(index as usize).ok_or_else(missing),
            (None, Some(base)) => base.record(id),
            (None, None) => Err(missing()),
        }
    }

    fn name(&self, offset: u32) -> Result<&str, Error> {
        match (offset.checked_sub(self.first_string), &self.base) {
            (None, Some(base)) => base.name(offset),
            (own, _) => self
                .blob
                .name(own.unwrap_or(offset) as usize)
                .map_err(|reason| self.blob.damaged(reason)),
        }
    }

    /// The name at that place; `None` where the anonymous have theirs.
    fn optional_name(&self, offset: u32) -> Result<Option<String>, Error> {
        let name = self.name(offset)?;
        Ok((!name.is_empty()).then(|| name.to_owned()))
    }

    fn is_name(&self, offset: u32, name: &str) -> bool {
        match (offset.checked_sub(self.first_string), &self.base) {
            (None, Some(base)) => base.is_name(offset, name),
            (own, _) => self.blob.is_name(own.unwrap_or(offset) as usize, name),
        }
    }

    /// The types with these kinds, without those of the base.
    fn own(&self, wanted: impl Fn(Kind) -> bool) -> impl Iterator<Item = (u32, Record<'_>)> {
        self.blob
            .records()
            .filter(move |(_, record)| wanted(record.kind))
            .map(|(index, record)| (self.first_id + index as u32, record))
    }

    /// The first type that has one of these kinds and this name; a module's own come first.
    fn named(&self, name: &str, wanted: impl Fn(Kind) -> bool + Copy) -> Option<u32> {
        self.own(wanted)
            .find(|(_, record)| self.is_name(record.name, name))
            .map(|(id, _)| id)
            .or_else(|| self.base.as_ref()?.named(name, wanted))
    }

    /// The number of the type itself, behind typedefs and qualifiers, and whether one of them is
    /// the tag `user`.
    fn behind(&self, id: u32) -> Result<(u32, bool), Error> {
        let (mut id, mut is_user) = (id, false);
        for _ in 0..STEPS_UP_TO {
            if id == VOID {
                return Ok((id, is_user));
            }
            let record = self.record(id)?;
            match record.kind {
                Kind::Typedef | Kind::Volatile | Kind::Const | Kind::Restrict | Kind::Var => {}
                Kind::TypeTag => is_user |= self.is_name(record.name, "user"),
                _ => return Ok((id, is_user)),
            }
            id = record.size_or_type;
        }
        Err(self
            .blob
            .damaged(format!("type {id} is a typedef of itself")))
    }

    fn reference(&self, id: u32) -> Result<TypeId, Error> {
        Ok(TypeId(self.behind(id)?.0.into()))
    }

    fn pointer(&self, record: Record<'_>) -> Result<Type, Error> {
        let (target, is_user) = self.behind(record.size_or_type)?;
        Ok(Type::Pointer {
            target: TypeId(target.into()),
            is_user,
        })
    }

    fn array(&self, record: Record<'_>) -> Result<Type, Error> {
        let [element, _, count] = self.one(record)?;
        let element = self.behind(element)?.0;
        // Whoever asks for the size goes through all dimensions and relies on there being an end.
        let mut innermost = element;
        for _ in 0..STEPS_UP_TO {
            let record = match innermost {
                VOID => None,
                id => Some(self.record(id)?).filter(|record| record.kind == Kind::Array),
            };
            let Some(record) = record else {
                return Ok(Type::Array {
                    element: TypeId(element.into()),
                    count: count.into(),
                });
            };
            let [next, ..] = self.one::<3>(record)?;
            innermost = self.behind(next)?.0;
        }
        Err(self.blob.damaged("an array is an element of itself"))
    }

    fn one<const N: usize>(&self, record: Record<'_>) -> Result<[u32; N], Error> {
        record
            .groups()
            .next()
            .ok_or_else(|| self.blob.damaged("a type is cut off"))
    }

    fn int(&self, record: Record<'_>) -> Result<Type, Error> {
        let [encoding] = self.one(record)?;
        let name = self.name(record.name)?;
        let bytes = u64::from(record.size_or_type);
        if !matches!(bytes, 1 | 2 | 4 | 8 | 16) {
            return Err(self
                .blob
                .damaged(format!("an integer has {bytes} bytes: {name}")));
        }
        Ok(Type::Int(Int {
            bytes,
            is_signed: (encoding >> 24) & 1 != 0,
            // There is a bit for it, but neither pahole nor clang set it.
            is_char: bytes == 1 && name == "char",
            is_bool: (encoding >> 24) & 4 != 0,
            name: name.to_owned(),
        }))
    }

    fn composite(&self, record: Record<'_>) -> Result<Type, Error> {
        let members = record.groups().map(|group| self.member(group, record.flag));
        Ok(Type::Composite(Composite {
            name: self.optional_name(record.name)?,
            is_union: record.kind == Kind::Union,
            bytes: record.size_or_type.into(),
            // BTF does not tell.
            alignment: 1,
            is_by_reference: false,
            members: members.collect::<Result<_, _>>()?,
        }))
    }

    fn member(&self, group: [u32; 3], has_bit_fields: bool) -> Result<Member, Error> {
        let [name, type_id, offset] = group;
        let type_id = self.behind(type_id)?.0;
        let (bit_offset, bits) = if has_bit_fields {
            (
                offset & 0xff_ffff,
                Some(offset >> 24).filter(|&bits| bits != 0),
            )
        } else {
            // As it was before Linux 5.0: an integer that is smaller than its size.
            match self.partial(type_id)? {
                Some((into, bits)) => (offset.saturating_add(into), Some(bits)),
                None => (offset, None),
            }
        };
        Ok(Member {
            name: self.optional_name(name)?,
            type_id: TypeId(type_id.into()),
            bit_offset: bit_offset.into(),
            bits,
            alignment: 1,
        })
    }

    /// Offset and number of the bits of an integer that has fewer of them than its size tells.
    fn partial(&self, id: u32) -> Result<Option<(u32, u32)>, Error> {
        if id == VOID {
            return Ok(None);
        }
        let record = self.record(id)?;
        if record.kind != Kind::Int {
            return Ok(None);
        }
        let [encoding] = self.one(record)?;
        let (into, bits) = ((encoding >> 16) & 0xff, encoding & 0xff);
        let is_whole = into == 0 && u64::from(bits) == 8 * u64::from(record.size_or_type);
        Ok((!is_whole).then_some((into, bits)))
    }

    fn enumeration(&self, record: Record<'_>) -> Result<Type, Error> {
        let is_signed = self.has_sign(record);
        let constants = constants(record, is_signed)
            .map(|(name, value)| Ok((self.name(name)?.to_owned(), value)));
        Ok(Type::Enum(Enum {
            name: self.optional_name(record.name)?,
            bytes: record.size_or_type.into(),
            is_signed,
            constants: constants.collect::<Result<_, _>>()?,
        }))
    }

    /// Whether the values of an enumeration have a sign. Where nothing tells, because the kernel
    /// is older than 6.0, the highest bit of a value does: `-1` is far more common than `1 << 31`.
    fn has_sign(&self, record: Record<'_>) -> bool {
        let told =
            self.blob.tells_signs || self.base.as_ref().is_some_and(|base| base.blob.tells_signs);
        record.flag
            || !told
                && record.kind == Kind::Enum
                && record.groups().any(|[_, value]| value >> 31 == 1)
    }

    fn forward(&self, record: Record<'_>) -> Result<Type, Error> {
        let name = self.name(record.name)?;
        let defined = if record.flag {
            Kind::Union
        } else {
            Kind::Struct
        };
        match self.named(name, |kind| kind == defined) {
            Some(id) => self.composite(self.record(id)?),
            None => Ok(Type::Forward {
                name: name.to_owned(),
                is_union: record.flag,
            }),
        }
    }

    fn parse_prototype(&self, id: u32) -> Result<Prototype, Error> {
        let mut prototype = self.written_prototype(id)?;
        let types = prototype.parameters.iter_mut().map(|it| &mut it.type_id);
        for id in types.chain([&mut prototype.returns]) {
            *id = self.reference(self.number(*id)?)?;
        }
        Ok(prototype)
    }

    /// The prototype with typedefs and qualifiers, as it was written.
    fn written_prototype(&self, id: u32) -> Result<Prototype, Error> {
        let record = self.record(id)?;
        if record.kind != Kind::FuncProto {
            return Err(self
                .blob
                .damaged(format!("type {id} is not that of a function")));
        }
        let mut parameters = Vec::with_capacity(record.groups::<2>().len());
        let mut is_variadic = false;
        for [name, type_id] in record.groups() {
            // `...` is a last parameter with neither name nor type.
            is_variadic = name == 0 && type_id == VOID;
            if !is_variadic {
                parameters.push(Parameter {
                    name: self.optional_name(name)?,
                    type_id: TypeId(type_id.into()),
                });
            }
        }
        Ok(Prototype {
            parameters,
            returns: TypeId(record.size_or_type.into()),
            is_variadic,
        })
    }

    fn number(&self, id: TypeId) -> Result<u32, Error> {
        u32::try_from(id.0).map_err(|_| self.blob.damaged(format!("there is no type {}", id.0)))
    }

    /// The type behind tags other than `user`: what they say (`rcu`, `percpu`) is for the kernel's
    /// own checks.
    fn untagged(&self, start: u32) -> Result<u32, Error> {
        let mut id = start;
        for _ in 0..STEPS_UP_TO {
            if id == VOID {
                return Ok(id);
            }
            let record = self.record(id)?;
            if record.kind != Kind::TypeTag || self.is_name(record.name, "user") {
                return Ok(id);
            }
            id = record.size_or_type;
        }
        Err(self
            .blob
            .damaged(format!("type {start} is a tag of itself")))
    }

    fn tagged(&self, keyword: &str, name: u32) -> Result<Layer, Error> {
        let name = self.optional_name(name)?;
        let name = name.as_deref().unwrap_or("{…}");
        Ok(Layer::Name(format!("{keyword} {name}")))
    }
}

impl Written for Btf {
    fn layer(&self, id: TypeId) -> Result<Layer, Error> {
        let id = self.untagged(self.number(id)?)?;
        if id == VOID {
            return Ok(Layer::Name("void".to_owned()));
        }
        let record = self.record(id)?;
        let inner = TypeId(record.size_or_type.into());
        match record.kind {
            Kind::Ptr => Ok(Layer::Pointer("*", inner)),
            Kind::Const => Ok(Layer::Qualifier("const", inner)),
            Kind::Volatile => Ok(Layer::Qualifier("volatile", inner)),
            Kind::Restrict => Ok(Layer::Qualifier("restrict", inner)),
            Kind::TypeTag => Ok(Layer::Qualifier("__user", inner)),
            Kind::Array => {
                let [element, _, count] = self.one(record)?;
                Ok(Layer::Array(TypeId(element.into()), count.into()))
            }
            Kind::Struct => self.tagged("struct", record.name),
            Kind::Union => self.tagged("union", record.name),
            Kind::Enum | Kind::Enum64 => self.tagged("enum", record.name),
            Kind::Fwd if record.flag => self.tagged("union", record.name),
            Kind::Fwd => self.tagged("struct", record.name),
            Kind::FuncProto => Ok(Layer::Function(self.written_prototype(id)?)),
            Kind::Int | Kind::Float | Kind::Typedef => {
                Ok(Layer::Name(self.name(record.name)?.to_owned()))
            }
            _ => Err(self.blob.damaged(format!("type {id} is not a type"))),
        }
    }
}

/// Offsets of names, and values.
fn constants(record: Record<'_>, is_signed: bool) -> impl Iterator<Item = (u32, i64)> {
    let (narrow, wide) = match record.kind {
        Kind::Enum => (Some(record.groups()), None),
        _ => (None, Some(record.groups())),
    };
    let narrow = narrow.into_iter().flatten().map(move |[name, value]| {
        let signed = i64::from(value.cast_signed());
        (name, if is_signed { signed } else { value.into() })
    });
    let wide = wide.into_iter().flatten().map(|[name, low, high]| {
        let value = (u64::from(high) << 32) | u64::from(low);
        (name, value.cast_signed())
    });
    narrow.chain(wide)
}

fn is_composite(kind: Kind) -> bool {
    matches!(kind, Kind::Struct | Kind::Union)
}

fn is_enumeration(kind: Kind) -> bool {
    matches!(kind, Kind::Enum | Kind::Enum64)
}

impl TypeSource for Btf {
    fn get(&self, id: TypeId) -> Result<Type, Error> {
        let (number, _) = self.behind(self.number(id)?)?;
        if number == VOID {
            return Ok(Type::Void);
        }
        let record = self.record(number)?;
        match record.kind {
            Kind::Int => self.int(record),
            Kind::Float => Ok(Type::Float(Float {
                name: self.name(record.name)?.to_owned(),
                bytes: record.size_or_type.into(),
                is_complex: false,
            })),
            Kind::Ptr => self.pointer(record),
            Kind::Array => self.array(record),
            Kind::Struct | Kind::Union => self.composite(record),
            Kind::Enum | Kind::Enum64 => self.enumeration(record),
            Kind::Fwd => self.forward(record),
            Kind::Func | Kind::FuncProto => Ok(Type::Function),
            _ => Err(self.blob.damaged(format!("type {number} is not a type"))),
        }
    }

    /// The first one of that name, of several that differ: those of one name are described in the
    /// order in which the kernel's files were linked. A declaration is given only if there is no
    /// definition.
    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<TypeId>, Error> {
        let found = match keyword {
            Keyword::Struct => self.named(name, |kind| kind == Kind::Struct),
            Keyword::Union => self.named(name, |kind| kind == Kind::Union),
            Keyword::Enum => self.named(name, is_enumeration),
            Keyword::None if name == "void" => Some(VOID),
            Keyword::None => spelling::variants(name).iter().find_map(|name| {
                self.named(name, |kind| {
                    matches!(kind, Kind::Int | Kind::Typedef | Kind::Float)
                })
            }),
        };
        let found = found.or_else(|| {
            let is_union = keyword == Keyword::Union;
            let declared = matches!(keyword, Keyword::Struct | Keyword::Union);
            let mut all = self.own(|kind| declared && kind == Kind::Fwd);
            let own = all.find(|(_, r)| r.flag == is_union && self.is_name(r.name, name));
            own.map(|(id, _)| id)
        });
        match (found, &self.base) {
            (Some(id), _) => Ok(Some(self.reference(id)?)),
            // Its declarations have not been looked through yet.
            (None, Some(base)) => base.find(keyword, name),
            (None, None) => Ok(None),
        }
    }

    /// `None` also when there are several functions of that name and their prototypes differ: it
    /// can't be told which of them a probe is on, and a wrong one would give wrong values silently.
    fn prototype(&self, function: &str) -> Result<Option<Prototype>, Error> {
        let mut found: Option<Prototype> = None;
        let functions = self.own(|kind| kind == Kind::Func);
        for (_, record) in functions.filter(|(_, r)| self.is_name(r.name, function)) {
            let prototype = self.parse_prototype(record.size_or_type)?;
            match &found {
                Some(other) if *other != prototype => return Ok(None),
                _ => found = Some(prototype),
            }
        }
        match (found, &self.base) {
            (None, Some(base)) => base.prototype(function),
            (found, _) => Ok(found),
        }
    }

    fn constant(&self, name: &str) -> Result<Option<(TypeId, i64)>, Error> {
        for (id, record) in self.own(is_enumeration) {
            let is_signed = self.has_sign(record);
            let found = constants(record, is_signed).find(|&(at, _)| self.is_name(at, name));
            if let Some((_, value)) = found {
                return Ok(Some((TypeId(id.into()), value)));
            }
        }
        self.base
            .as_ref()
            .map_or(Ok(None), |base| base.constant(name))
    }

    fn names(&self, keyword: Keyword) -> Vec<String> {
        let wanted = |kind| match keyword {
            Keyword::Struct => kind == Kind::Struct,
            Keyword::Union => kind == Kind::Union,
            Keyword::Enum => is_enumeration(kind),
            Keyword::None => matches!(kind, Kind::Int | Kind::Typedef | Kind::Float),
        };
        let mut names: Vec<String> = self
            .own(wanted)
            .filter_map(|(_, record)| self.optional_name(record.name).ok()?)
            .collect();
        if let Some(base) = &self.base {
            names.extend(base.names(keyword));
        }
        names
    }
}

#[cfg(test)]
mod test_builder;
#[cfg(test)]
mod tests;
