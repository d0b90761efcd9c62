//! The types of a tracepoint's fields, as a source: what its format tells, over the kernel's BTF.

use std::sync::Arc;

use super::{
    Btf, Error, FieldKind, Int, Keyword, Prototype, TracepointFormat, Type, TypeId, TypeSource,
};

/// Marks the numbers that are ours, not BTF's.
const OURS: u64 = 1 << 63;

/// The types of a tracepoint's record.
#[derive(Debug)]
pub struct RecordTypes {
    format: TracepointFormat,
    kernel: Option<Arc<Btf>>,
}

/// A type that belongs to a field.
#[derive(Clone, Copy)]
enum Part {
    /// The field's own.
    Whole,
    /// What its elements are, or what it points to.
    Inner,
}

impl RecordTypes {
    /// The types of `format`; those that it only names are looked up in the kernel's.
    #[must_use]
    pub const fn new(format: TracepointFormat, kernel: Option<Arc<Btf>>) -> Self {
        Self { format, kernel }
    }

    /// What the tracepoint records.
    #[must_use]
    pub const fn format(&self) -> &TracepointFormat {
        &self.format
    }

    /// The type of the field number `index`; of one that lies elsewhere in the record, that of what
    /// is there.
    #[must_use]
    pub fn field_type(&self, index: usize) -> TypeId {
        id(index, Part::Whole)
    }

    /// The type that the kernel gives an argument of a system call before it is widened to a
    /// register, as the record of the system call's tracepoint names it.
    #[must_use]
    pub fn argument_type(&self, index: usize) -> TypeId {
        let named = self.format.fields.get(index).and_then(|field| {
            let kernel = self.kernel.as_ref()?;
            let is_number = matches!(field.kind, FieldKind::Integer { .. });
            kernel
                .find(Keyword::None, &field.type_name)
                .ok()
                .flatten()
                .filter(|_| is_number)
        });
        named.unwrap_or_else(|| self.field_type(index))
    }

    fn own(&self, number: u64) -> Option<Type> {
        let index = usize::try_from((number & !OURS) >> 1).ok()?;
        let field = self.format.fields.get(index)?;
        let inner = id(index, Part::Inner);
        if number & 1 == 0 {
            return Some(match field.kind {
                FieldKind::Integer {
                    bytes,
                    is_signed,
                    is_char,
                } => integer(&field.type_name, bytes, is_signed, is_char),
                FieldKind::Pointer => Type::Pointer {
                    target: self.target(&field.type_name).unwrap_or(inner),
                    is_user: false,
                },
                FieldKind::Array { count, .. } => Type::Array {
                    element: inner,
                    count,
                },
                FieldKind::DataLoc { .. } => Type::Array {
                    element: inner,
                    count: 0,
                },
                FieldKind::Opaque => Type::Forward {
                    name: field.type_name.clone(),
                    is_union: false,
                },
            });
        }
        Some(match field.kind {
            FieldKind::Array { element, .. } | FieldKind::DataLoc { element, .. } => {
                match element.bytes {
                    0 => Type::Void,
                    bytes => integer(&field.type_name, bytes, element.is_signed, element.is_char),
                }
            }
            FieldKind::Pointer if pointed_to(&field.type_name) == Some("char") => {
                integer("char", 1, true, true)
            }
            _ => Type::Void,
        })
    }

    /// What a pointer to a structure of the kernel points to.
    fn target(&self, pointer: &str) -> Option<TypeId> {
        let kernel = self.kernel.as_ref()?;
        let (keyword, name) = match pointed_to(pointer)?.split_once(' ')? {
            ("struct", name) => (Keyword::Struct, name),
            ("union", name) => (Keyword::Union, name),
            _ => return None,
        };
        kernel.find(keyword, name).ok().flatten()
    }
}

impl TypeSource for RecordTypes {
    fn get(&self, id: TypeId) -> Result<Type, Error> {
        let found = match (id.0 & OURS, &self.kernel) {
            (0, Some(kernel)) => return kernel.get(id),
            (0, None) => None,
            _ => self.own(id.0),
        };
        found.ok_or_else(|| Error::Damaged {
            what: self.format.name.clone(),
            reason: format!("it has no type {:#x}", id.0),
        })
    }

    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<TypeId>, Error> {
        match &self.kernel {
            Some(kernel) => kernel.find(keyword, name),
            None => Ok(None),
        }
    }

    fn prototype(&self, function: &str) -> Result<Option<Prototype>, Error> {
        match &self.kernel {
            Some(kernel) => kernel.prototype(function),
            None => Ok(None),
        }
    }

    fn constant(&self, name: &str) -> Result<Option<(TypeId, i64)>, Error> {
        match &self.kernel {
            Some(kernel) => kernel.constant(name),
            None => Ok(None),
        }
    }

    fn names(&self, keyword: Keyword) -> Vec<String> {
        let kernel = self.kernel.as_ref();
        kernel.map_or_else(Vec::new, |kernel| kernel.names(keyword))
    }
}

fn id(field: usize, part: Part) -> TypeId {
    TypeId(OURS | (field as u64) << 1 | part as u64)
}

fn integer(name: &str, bytes: u64, is_signed: bool, is_char: bool) -> Type {
    Type::Int(Int {
        name: name.to_owned(),
        bytes,
        is_signed,
        is_char,
        is_bool: name == "bool",
    })
}

/// What is before the only `*` of a pointer's type, without qualifiers.
fn pointed_to(pointer: &str) -> Option<&str> {
    let (target, rest) = pointer.split_once('*')?;
    if rest.contains('*') {
        return None;
    }
    let target = target.trim();
    let target = target.strip_prefix("const ").unwrap_or(target);
    Some(target.strip_suffix(" const").unwrap_or(target).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_types_that_the_format_tells() {
        let text = "name: sys_enter_openat\nID: 1\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:const char * filename;\toffset:8;\tsize:8;\tsigned:0;\n\
            \tfield:char comm[16];\toffset:16;\tsize:16;\tsigned:1;\n\
            \tfield:__data_loc char[] text;\toffset:32;\tsize:4;\tsigned:1;\n\
            \tfield:struct file * file;\toffset:40;\tsize:8;\tsigned:0;\n\n\
            print fmt: \"\"\n";
        let format = TracepointFormat::parse("t", text).expect("valid");
        let types = RecordTypes::new(format, None);
        let get = |id| types.get(id).expect("ours");
        let is_char = |id| matches!(get(id), Type::Int(int) if int.is_char && int.bytes == 1);
        let Type::Pointer { target, .. } = get(types.field_type(1)) else {
            panic!("no pointer");
        };
        assert!(is_char(target));
        let Type::Array { element, count: 16 } = get(types.field_type(2)) else {
            panic!("no array");
        };
        assert!(is_char(element));
        let Type::Array { element, count: 0 } = get(types.field_type(3)) else {
            panic!("no array");
        };
        assert!(is_char(element));
        let Type::Pointer { target, .. } = get(types.field_type(4)) else {
            panic!("no pointer");
        };
        assert_eq!(get(target), Type::Void);
        assert!(types.get(types.field_type(99)).is_err());
    }
}
