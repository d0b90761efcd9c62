//! From entries of DWARF to types.

use gimli::{AttributeValue, constants as dw};

use super::{
    copying::Copying,
    scan::Wanted,
    unit::{DIMENSIONS_UP_TO, Damage, Entry, Place, Reader, Result, STEPS_UP_TO, Unit, VOID},
};
use crate::types::{
    Composite, Enum, Float, Int, Keyword, Member, Opaque, Parameter, Prototype, Type, TypeId,
    declaration::Layer,
};

/// More members, constants or parameters than these are taken for damage.
const CHILDREN_UP_TO: usize = 1 << 20;

impl<'a> Reader<'a> {
    /// The type with that number.
    pub fn get(&self, id: TypeId) -> Result<Type> {
        let Some((place, dimension)) = self.place(id)? else {
            return Ok(Type::Void);
        };
        let Some(place) = self.behind(Some(place))? else {
            return Ok(Type::Void);
        };
        let (unit, entry) = self.entry(place)?;
        match entry.tag() {
            dw::DW_TAG_base_type => self.base(&unit, &entry),
            dw::DW_TAG_pointer_type
            | dw::DW_TAG_reference_type
            | dw::DW_TAG_rvalue_reference_type => Ok(Type::Pointer {
                target: self.type_of(place.unit, &entry)?,
                is_user: false,
            }),
            dw::DW_TAG_ptr_to_member_type => self.pointer_to_member(place, &entry),
            dw::DW_TAG_array_type if is_flag(&entry, dw::DW_AT_GNU_vector) => {
                self.vector(place, &entry)
            }
            dw::DW_TAG_array_type => self.array(place, &entry, dimension),
            dw::DW_TAG_structure_type
            | dw::DW_TAG_class_type
            | dw::DW_TAG_interface_type
            | dw::DW_TAG_union_type => self.composite(place, &unit, &entry),
            dw::DW_TAG_enumeration_type => self.enumeration(place, &unit, &entry),
            dw::DW_TAG_subroutine_type | dw::DW_TAG_subprogram => Ok(Type::Function),
            _ => {
                let name = self.name(&unit, &entry)?;
                Ok(match name.as_deref() {
                    // It is passed as a pointer is.
                    Some("decltype(nullptr)") => Type::Pointer {
                        target: VOID,
                        is_user: false,
                    },
                    _ => unknown(name),
                })
            }
        }
    }

    /// The type itself, behind typedefs and qualifiers; nothing for `void`.
    fn behind(&self, start: Option<Place>) -> Result<Option<Place>> {
        let mut at = start;
        for _ in 0..STEPS_UP_TO {
            let Some(place) = at else {
                return Ok(None);
            };
            let (_, entry) = self.entry(place)?;
            let next = match entry.tag() {
                dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_atomic_type
                | dw::DW_TAG_immutable_type
                | dw::DW_TAG_packed_type
                | dw::DW_TAG_shared_type
                | dw::DW_TAG_template_alias
                | dw::DW_TAG_subrange_type => dw::DW_AT_type,
                // What stands for a type that is in a unit of its own.
                _ if entry.has_attr(dw::DW_AT_signature) => dw::DW_AT_signature,
                _ => return Ok(at),
            };
            at = self.follow(place.unit, &entry, next)?;
        }
        Err(Damage::Circle)
    }

    /// The number of the type itself.
    pub fn resolved(&self, start: Option<Place>) -> Result<TypeId> {
        Ok(self.behind(start)?.map_or(VOID, |place| self.id(place, 0)))
    }

    pub(super) fn type_of(&self, unit: usize, entry: &Entry<'a>) -> Result<TypeId> {
        self.resolved(self.follow(unit, entry, dw::DW_AT_type)?)
    }

    fn base(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Type> {
        let name = self.name(unit, entry)?.unwrap_or_default();
        let bytes = number(entry, dw::DW_AT_byte_size).unwrap_or(0);
        let encoding = match entry.attr_value(dw::DW_AT_encoding) {
            Some(AttributeValue::Encoding(encoding)) => encoding,
            _ => dw::DW_ATE_unsigned,
        };
        let is_signed = match encoding {
            dw::DW_ATE_signed | dw::DW_ATE_signed_char => true,
            dw::DW_ATE_unsigned
            | dw::DW_ATE_unsigned_char
            | dw::DW_ATE_UTF
            | dw::DW_ATE_boolean
            | dw::DW_ATE_address => false,
            dw::DW_ATE_float
            | dw::DW_ATE_complex_float
            | dw::DW_ATE_imaginary_float
            | dw::DW_ATE_decimal_float => {
                return Ok(Type::Float(Float {
                    name,
                    bytes,
                    is_complex: encoding == dw::DW_ATE_complex_float,
                }));
            }
            _ => return Ok(unknown(Some(name))),
        };
        match bytes {
            1 | 2 | 4 | 8 | 16 => {}
            // Rust's `()` and `!`.
            0 => return Ok(Type::Void),
            _ => return Ok(unknown(Some(name))),
        }
        Ok(Type::Int(Int {
            bytes,
            is_signed,
            // By the name: `signed char` and `unsigned char` are for small numbers, but have the
            // encodings of characters, and the `char8_t` of gcc 12 has not.
            is_char: bytes == 1 && matches!(&*name, "char" | "char8_t"),
            is_bool: encoding == dw::DW_ATE_boolean,
            name,
        }))
    }

    /// To data, it is the number of bytes from the start of an object.
    fn pointer_to_member(&self, place: Place, entry: &Entry<'a>) -> Result<Type> {
        if self.get_kind(self.type_of(place.unit, entry)?)? == Some(dw::DW_TAG_subroutine_type) {
            return Ok(Type::Opaque(Opaque::MemberFunction));
        }
        Ok(Type::Int(Int {
            name: "a pointer to a member".to_owned(),
            bytes: 8,
            is_signed: true,
            is_char: false,
            is_bool: false,
        }))
    }

    /// Its size is in its entry only if it is more than that of its elements.
    fn vector(&self, place: Place, entry: &Entry<'a>) -> Result<Type> {
        let counts = self.dimensions(place)?;
        let element = self.bytes(self.type_of(place.unit, entry)?)?;
        let together = counts.into_iter().fold(element, u64::saturating_mul);
        let bytes = number(entry, dw::DW_AT_byte_size).unwrap_or(together);
        Ok(match bytes.checked_next_power_of_two() {
            Some(bytes) if together > 0 => Type::Opaque(Opaque::Vector(bytes)),
            _ => unknown(self.name(&*self.unit(place.unit)?, entry)?),
        })
    }

    fn array(&self, place: Place, entry: &Entry<'a>, gone: usize) -> Result<Type> {
        let counts = self.dimensions(place)?;
        let element = if gone + 1 < counts.len() {
            self.id(place, gone + 1)
        } else {
            let element = self.type_of(place.unit, entry)?;
            self.check_innermost(element)?;
            element
        };
        Ok(Type::Array {
            element,
            count: counts.get(gone).copied().unwrap_or(0),
        })
    }

    /// How many elements each dimension of an array has.
    fn dimensions(&self, place: Place) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        self.children(place, |_, _, child| {
            if child.tag() == dw::DW_TAG_subrange_type && counts.len() < DIMENSIONS_UP_TO {
                counts.push(count(child));
            }
            Ok(())
        })?;
        Ok(counts)
    }

    /// Whoever asks for the size goes through all arrays and relies on there being an end.
    fn check_innermost(&self, element: TypeId) -> Result<()> {
        let mut innermost = element;
        for _ in 0..STEPS_UP_TO {
            let Some((place, _)) = self.place(innermost)? else {
                return Ok(());
            };
            let (_, entry) = self.entry(place)?;
            if entry.tag() != dw::DW_TAG_array_type {
                return Ok(());
            }
            innermost = self.type_of(place.unit, &entry)?;
        }
        Err(Damage::Circle)
    }

    fn composite(&self, place: Place, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Type> {
        let name = self.name(unit, entry)?;
        let is_union = entry.tag() == dw::DW_TAG_union_type;
        if is_declaration(entry) {
            let keyword = if is_union {
                Keyword::Union
            } else {
                Keyword::Struct
            };
            let name = name.unwrap_or_default();
            let wanted = Wanted::definition(keyword, &name);
            return match self.search(&wanted, Some(place.unit))? {
                Some(defined) if defined != place => {
                    let (unit, entry) = self.entry(defined)?;
                    if is_declaration(&entry) {
                        return Ok(Type::Forward { name, is_union });
                    }
                    self.composite(defined, &unit, &entry)
                }
                _ => Ok(Type::Forward { name, is_union }),
            };
        }
        let mut members = Vec::new();
        let mut copying = Copying::new(entry, name.as_deref());
        self.children(place, |unit, number, child| {
            members.extend(self.member(unit, number, child)?);
            self.note_copying(&mut copying, place, unit, child)
        })?;
        Ok(Type::Composite(Composite {
            is_by_reference: copying.is_by_reference(),
            name,
            is_union,
            bytes: number(entry, dw::DW_AT_byte_size).unwrap_or(0),
            alignment: alignment(entry),
            members,
        }))
    }

    fn member(
        &self,
        unit: &Unit<'a>,
        number_of_unit: usize,
        entry: &Entry<'a>,
    ) -> Result<Option<Member>> {
        let name = match entry.tag() {
            // What is static has no place in the structure.
            dw::DW_TAG_member if is_flag(entry, dw::DW_AT_external) || is_declaration(entry) => {
                return Ok(None);
            }
            dw::DW_TAG_member => self.name(unit, entry)?,
            // The members of a base class count as those of the class that is derived from it.
            dw::DW_TAG_inheritance => None,
            _ => return Ok(None),
        };
        let Some(place) = self.follow(number_of_unit, entry, dw::DW_AT_type)? else {
            return Ok(None);
        };
        let type_id = self.resolved(Some(place))?;
        let Some((bit_offset, bits)) = self.location(unit, entry, type_id)? else {
            return Ok(None);
        };
        Ok(Some(Member {
            name,
            type_id,
            bit_offset,
            bits,
            alignment: alignment(entry),
        }))
    }

    /// Where a member begins in bits, and how many it has if it is a bit field; nothing if it is
    /// found only at run time, as virtual base classes are.
    fn location(
        &self,
        unit: &Unit<'a>,
        entry: &Entry<'a>,
        type_id: TypeId,
    ) -> Result<Option<(u64, Option<u32>)>> {
        let bits = number(entry, dw::DW_AT_bit_size).and_then(|bits| u32::try_from(bits).ok());
        if let Some(offset) = number(entry, dw::DW_AT_data_bit_offset) {
            return Ok(Some((offset, bits)));
        }
        let bytes = match entry.attr_value(dw::DW_AT_data_member_location) {
            None => 0,
            Some(AttributeValue::Exprloc(expression)) => {
                // DWARF 2 and 3 can't say it without a program: add this to the address.
                let mut operations = expression.operations(unit.encoding());
                match (operations.next()?, operations.next()?) {
                    (Some(gimli::Operation::PlusConstant { value }), None) => value,
                    _ => return Ok(None),
                }
            }
            Some(value) => match value.udata_value() {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        let start = bytes.saturating_mul(8);
        let (Some(width), Some(left)) = (bits, number(entry, dw::DW_AT_bit_offset)) else {
            return Ok(Some((start, bits)));
        };
        // Before DWARF 4: bits to the left of it in a unit of storage, whatever the byte order.
        let storage_bytes = match number(entry, dw::DW_AT_byte_size) {
            Some(bytes) => bytes,
            None => self.bytes(type_id)?,
        };
        let from_start = if cfg!(target_endian = "little") {
            let after = left.saturating_add(width.into());
            storage_bytes.saturating_mul(8).checked_sub(after)
        } else {
            Some(left)
        };
        Ok(from_start.map(|from_start| (start.saturating_add(from_start), bits)))
    }

    /// The size that the entry of a type has itself.
    fn bytes(&self, id: TypeId) -> Result<u64> {
        let Some((place, _)) = self.place(id)? else {
            return Ok(0);
        };
        let (_, entry) = self.entry(place)?;
        Ok(number(&entry, dw::DW_AT_byte_size).unwrap_or(0))
    }

    fn enumeration(&self, place: Place, unit: &Unit<'a>, entry: &Entry<'a>) -> Result<Type> {
        let underlying = match self.type_of(place.unit, entry)? {
            VOID => None,
            id => Some(self.get_int(id)?).flatten(),
        };
        let bytes = number(entry, dw::DW_AT_byte_size)
            .or(underlying.as_ref().map(|int| int.bytes))
            .unwrap_or(4);
        let mut found = Vec::new();
        self.children(place, |unit, _, child| {
            if child.tag() == dw::DW_TAG_enumerator
                && let Some(value) = child.attr_value(dw::DW_AT_const_value)
            {
                let is_negative = matches!(value, AttributeValue::Sdata(value) if value < 0);
                found.push((
                    self.name(unit, child)?.unwrap_or_default(),
                    value,
                    is_negative,
                ));
            }
            Ok(())
        })?;
        let is_signed = match (&underlying, entry.attr_value(dw::DW_AT_encoding)) {
            (Some(int), _) => int.is_signed,
            (None, Some(AttributeValue::Encoding(encoding))) => encoding == dw::DW_ATE_signed,
            // Older compilers say nothing.
            _ => found.iter().any(|(_, _, is_negative)| *is_negative),
        };
        let constants = found
            .into_iter()
            .map(|(name, value, _)| (name, constant(&value, bytes, is_signed)))
            .collect();
        Ok(Type::Enum(Enum {
            name: self.name(unit, entry)?,
            bytes,
            is_signed,
            constants,
        }))
    }

    /// What an entry of a type describes; nothing for `void`.
    fn get_kind(&self, id: TypeId) -> Result<Option<gimli::DwTag>> {
        Ok(match self.place(id)? {
            Some((place, _)) => Some(self.entry(place)?.1.tag()),
            None => None,
        })
    }

    fn get_int(&self, id: TypeId) -> Result<Option<Int>> {
        let Some((place, _)) = self.place(id)? else {
            return Ok(None);
        };
        let (unit, entry) = self.entry(place)?;
        if entry.tag() != dw::DW_TAG_base_type {
            return Ok(None);
        }
        Ok(match self.base(&unit, &entry)? {
            Type::Int(int) => Some(int),
            _ => None,
        })
    }

    /// What a function takes and gives.
    pub fn prototype(&self, function: Place) -> Result<Prototype> {
        let mut prototype = self.written_prototype(function)?;
        let types = prototype.parameters.iter_mut().map(|it| &mut it.type_id);
        for id in types.chain([&mut prototype.returns]) {
            *id = self.resolved(self.place(*id)?.map(|(place, _)| place))?;
        }
        Ok(prototype)
    }

    /// The same with typedefs and qualifiers: its parameters are described where it is compiled, or
    /// where it is declared, or once for all places where it is inlined.
    pub fn written_prototype(&self, function: Place) -> Result<Prototype> {
        let mut at = Some(function);
        let mut prototype: Option<Prototype> = None;
        for _ in 0..STEPS_UP_TO {
            let Some(place) = at else { break };
            let (_, entry) = self.entry(place)?;
            at = match self.follow(place.unit, &entry, dw::DW_AT_abstract_origin)? {
                Some(origin) => Some(origin),
                None => self.follow(place.unit, &entry, dw::DW_AT_specification)?,
            };
            // A place where the compiler has put it may lack parameters that it has no use for.
            if entry.has_attr(dw::DW_AT_abstract_origin) && at.is_some() {
                continue;
            }
            let described = self.described(place, &entry)?;
            match &mut prototype {
                None => prototype = Some(described),
                Some(known) => {
                    if known.returns == VOID {
                        known.returns = described.returns;
                    }
                    if known.parameters.is_empty() {
                        known.parameters = described.parameters;
                        known.is_variadic |= described.is_variadic;
                    }
                }
            }
        }
        prototype.ok_or(Damage::Circle)
    }

    fn described(&self, place: Place, entry: &Entry<'a>) -> Result<Prototype> {
        let mut parameters = Vec::new();
        let mut is_variadic = false;
        self.children(place, |unit, number, child| {
            match child.tag() {
                dw::DW_TAG_formal_parameter => {
                    parameters.push(self.parameter(unit, number, child)?);
                }
                dw::DW_TAG_unspecified_parameters => is_variadic = true,
                _ => {}
            }
            Ok(())
        })?;
        Ok(Prototype {
            parameters,
            returns: self.written_type(place.unit, entry)?,
            is_variadic,
        })
    }

    fn parameter(&self, unit: &Unit<'a>, number: usize, entry: &Entry<'a>) -> Result<Parameter> {
        let mut parameter = Parameter {
            name: self.name(unit, entry)?,
            type_id: self.written_type(number, entry)?,
        };
        let mut at = self.follow(number, entry, dw::DW_AT_abstract_origin)?;
        for _ in 0..STEPS_UP_TO {
            let Some(place) = at else { break };
            let (unit, entry) = self.entry(place)?;
            if parameter.name.is_none() {
                parameter.name = self.name(&unit, &entry)?;
            }
            if parameter.type_id == VOID {
                parameter.type_id = self.written_type(place.unit, &entry)?;
            }
            at = self.follow(place.unit, &entry, dw::DW_AT_abstract_origin)?;
        }
        Ok(parameter)
    }

    /// The number of the type of an entry as it is written, typedefs and qualifiers included.
    fn written_type(&self, unit: usize, entry: &Entry<'a>) -> Result<TypeId> {
        let place = self.follow(unit, entry, dw::DW_AT_type)?;
        Ok(place.map_or(VOID, |place| self.id(place, 0)))
    }

    /// The outermost part of a type as it is written.
    pub fn layer(&self, id: TypeId) -> Result<Layer> {
        let Some((place, dimension)) = self.place(id)? else {
            return Ok(Layer::Name("void".to_owned()));
        };
        let (unit, entry) = self.entry(place)?;
        let inner = self.written_type(place.unit, &entry)?;
        Ok(match entry.tag() {
            dw::DW_TAG_pointer_type => Layer::Pointer("*", inner),
            dw::DW_TAG_reference_type => Layer::Pointer("&", inner),
            dw::DW_TAG_rvalue_reference_type => Layer::Pointer("&&", inner),
            dw::DW_TAG_const_type => Layer::Qualifier("const", inner),
            dw::DW_TAG_volatile_type => Layer::Qualifier("volatile", inner),
            dw::DW_TAG_restrict_type => Layer::Qualifier("restrict", inner),
            dw::DW_TAG_atomic_type => Layer::Qualifier("_Atomic", inner),
            dw::DW_TAG_array_type => {
                let counts = self.dimensions(place)?;
                let element = match dimension + 1 < counts.len() {
                    true => self.id(place, dimension + 1),
                    false => inner,
                };
                Layer::Array(element, counts.get(dimension).copied().unwrap_or(0))
            }
            dw::DW_TAG_subroutine_type => Layer::Function(self.described(place, &entry)?),
            tag => {
                let keyword = match tag {
                    _ if !self.is_c(&unit) => "",
                    dw::DW_TAG_structure_type => "struct ",
                    dw::DW_TAG_union_type => "union ",
                    dw::DW_TAG_enumeration_type => "enum ",
                    _ => "",
                };
                let name = self.name(&unit, &entry)?;
                Layer::Name(format!("{keyword}{}", name.as_deref().unwrap_or("{…}")))
            }
        })
    }

    /// Calls `visit` with each child of an entry.
    pub(super) fn children(
        &self,
        place: Place,
        mut visit: impl FnMut(&Unit<'a>, usize, &Entry<'a>) -> Result<()>,
    ) -> Result<()> {
        let unit = self.unit(place.unit)?;
        let mut tree = unit.entries_tree(Some(place.offset))?;
        let mut children = tree.root()?.children();
        let mut left = CHILDREN_UP_TO;
        while let Some(child) = children.next()? {
            left = left.checked_sub(1).ok_or(Damage::TooMany)?;
            visit(&unit, place.unit, child.entry())?;
        }
        Ok(())
    }
}

fn unknown(name: Option<String>) -> Type {
    let name = name.unwrap_or_else(|| "a type that is not known".to_owned());
    Type::Opaque(Opaque::Unknown(name))
}

fn alignment(entry: &Entry<'_>) -> u64 {
    number(entry, dw::DW_AT_alignment).unwrap_or(1).max(1)
}

pub(super) fn number(entry: &Entry<'_>, attribute: gimli::DwAt) -> Option<u64> {
    entry.attr_value(attribute)?.udata_value()
}

pub(super) fn is_flag(entry: &Entry<'_>, attribute: gimli::DwAt) -> bool {
    matches!(
        entry.attr_value(attribute),
        Some(AttributeValue::Flag(true))
    )
}

pub(super) fn is_declaration(entry: &Entry<'_>) -> bool {
    is_flag(entry, dw::DW_AT_declaration)
}

/// How many elements a dimension has; 0 if that is open or found only at run time.
fn count(range: &Entry<'_>) -> u64 {
    if let Some(count) = number(range, dw::DW_AT_count) {
        return count;
    }
    // The bound of an array without a length is -1, or not there.
    let last = range
        .attr_value(dw::DW_AT_upper_bound)
        .and_then(|value| match value {
            AttributeValue::Sdata(last) => u64::try_from(last).ok(),
            value => value.udata_value(),
        });
    last.filter(|&last| last < u64::from(u32::MAX))
        .map_or(0, |last| last + 1)
}

/// The value of a constant. gcc writes small ones without a sign, whatever the type's.
fn constant(value: &AttributeValue<super::unit::Slice<'_>>, bytes: u64, is_signed: bool) -> i64 {
    let wide = match *value {
        AttributeValue::Data1(value) => value.into(),
        AttributeValue::Data2(value) => value.into(),
        AttributeValue::Data4(value) => value.into(),
        AttributeValue::Data8(value) | AttributeValue::Udata(value) => value.cast_signed(),
        AttributeValue::Sdata(value) => value,
        _ => 0,
    };
    match bytes {
        4 if is_signed => i64::from(wide as i32),
        4 => i64::from(wide as u32),
        2 if is_signed => i64::from(wide as i16),
        2 => i64::from(wide as u16),
        1 if is_signed => i64::from(wide as i8),
        1 => i64::from(wide as u8),
        _ => wide,
    }
}
