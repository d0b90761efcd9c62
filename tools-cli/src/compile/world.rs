//! Types for tests and for the fuzzer: a small kernel.

#![cfg_attr(not(test), expect(dead_code, reason = "the tests use more of it"))]

use std::collections::HashMap;

use crate::{
    compile::{
        Field, FunctionSite, Location, Operand, OperandPlace, Site, Space, TracepointSite, UsdtSite,
    },
    types::{
        Composite, Enum, Error, Float, Int, Keyword, Member, Parameter, Prototype, Type, TypeId,
        TypeSource,
    },
};

/// A description of types that is made in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    types: Vec<Type>,
    named: HashMap<(Keyword, String), TypeId>,
    functions: HashMap<String, Prototype>,
}

impl TypeSource for World {
    fn get(&self, id: TypeId) -> Result<Type, Error> {
        let found = self.types.get(id.0 as usize).cloned();
        found.ok_or_else(|| Error::Damaged {
            what: "the test".to_owned(),
            reason: format!("no type {}", id.0),
        })
    }

    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<TypeId>, Error> {
        Ok(self.named.get(&(keyword, name.to_owned())).copied())
    }

    fn prototype(&self, function: &str) -> Result<Option<Prototype>, Error> {
        Ok(self.functions.get(function).cloned())
    }

    fn constant(&self, name: &str) -> Result<Option<(TypeId, i64)>, Error> {
        Ok(self.types.iter().enumerate().find_map(|(id, ty)| {
            let Type::Enum(described) = ty else {
                return None;
            };
            let found = described
                .constants
                .iter()
                .find(|(known, _)| known == name)?;
            Some((TypeId(id as u64), found.1))
        }))
    }

    fn names(&self, keyword: Keyword) -> Vec<String> {
        let named = self.named.keys().filter(|(known, _)| *known == keyword);
        named.map(|(_, name)| name.clone()).collect()
    }
}

/// Types of the small kernel by short names.
pub(crate) struct Ids {
    pub(crate) void: TypeId,
    pub(crate) char: TypeId,
    pub(crate) float: TypeId,
    pub(crate) ints: HashMap<(u64, bool), TypeId>,
    pub(crate) char_pointer: TypeId,
    pub(crate) color: TypeId,
    pub(crate) thing_pointer: TypeId,
    pub(crate) sock_pointer: TypeId,
    pub(crate) array16: TypeId,
    pub(crate) ints_array: TypeId,
    pub(crate) big: TypeId,
    /// A structure that fits in two registers.
    pub(crate) pair: TypeId,
    /// One that is passed in floating-point registers.
    pub(crate) point: TypeId,
}

impl Ids {
    pub(crate) fn int(&self, bytes: u64, is_signed: bool) -> TypeId {
        self.ints[&(bytes, is_signed)]
    }
}

fn member(name: &str, type_id: TypeId, byte: u64) -> Member {
    Member {
        name: (!name.is_empty()).then(|| name.to_owned()),
        type_id,
        bit_offset: byte * 8,
        bits: None,
        alignment: 1,
    }
}

fn bit_field(name: &str, type_id: TypeId, bit_offset: u64, bits: u32) -> Member {
    Member {
        bit_offset,
        bits: Some(bits),
        ..member(name, type_id, 0)
    }
}

impl World {
    fn add(&mut self, ty: Type) -> TypeId {
        self.types.push(ty);
        TypeId(self.types.len() as u64 - 1)
    }

    fn pointer(&mut self, target: TypeId) -> TypeId {
        let is_user = false;
        self.add(Type::Pointer { target, is_user })
    }

    fn composite(&mut self, name: &str, bytes: u64, members: Vec<Member>) -> TypeId {
        let is_union = name.starts_with("union ");
        let plain = name.trim_start_matches("union ");
        let id = self.add(Type::Composite(Composite {
            name: (!plain.is_empty()).then(|| plain.to_owned()),
            is_union,
            bytes,
            alignment: 1,
            is_by_reference: false,
            members,
        }));
        let keyword = if is_union {
            Keyword::Union
        } else {
            Keyword::Struct
        };
        self.named.insert((keyword, plain.to_owned()), id);
        id
    }

    /// The small kernel:
    ///
    /// ```c
    /// enum color { RED, GREEN = 5, BLUE = -1 };
    /// enum level { LOW, MIDDLE, HIGH };                                  // unsigned, as GCC has it
    /// struct tangled { struct tangled, eight times; int deep; };         // damaged
    /// struct inner { short a; int numbers[4]; char name[16]; };          // 0, 4, 20; 36 bytes
    /// struct thing {
    ///     char c; u8 uc; short s; u16 us;                                // 0, 1, 2, 4
    ///     int i; unsigned u; long l; unsigned long ul;                   // 8, 12, 16, 24
    ///     struct thing *next; char *text; char *user_text (user);        // 32, 40, 48
    ///     struct inner in; enum color color;                             // 56, 92
    ///     int b3:3; unsigned b5:5; long b40:40; enum level level:2;      // bits 768, 771, 776, 816
    ///     union { int left; unsigned right; };                           // 104
    ///     bool flag; float f; struct opaque *opaque;                     // 108, 112, 120
    /// };                                                                 // 128
    /// ```
    pub(crate) fn kernel() -> (Self, Ids) {
        let mut world = Self::default();
        let void = world.add(Type::Void);
        let mut ints = HashMap::new();
        for (bytes, is_signed, name) in [
            (1, true, "s8"),
            (1, false, "u8"),
            (2, true, "s16"),
            (2, false, "u16"),
            (4, true, "int"),
            (4, false, "u32"),
            (8, true, "long"),
            (8, false, "u64"),
            (16, true, "__int128"),
        ] {
            let id = world.add(Type::Int(Int {
                name: name.to_owned(),
                bytes,
                is_signed,
                is_char: false,
                is_bool: false,
            }));
            world.named.insert((Keyword::None, name.to_owned()), id);
            ints.insert((bytes, is_signed), id);
        }
        let special = |is_char, is_bool| {
            Type::Int(Int {
                name: if is_char { "char" } else { "_Bool" }.to_owned(),
                bytes: 1,
                is_signed: is_char,
                is_char,
                is_bool,
            })
        };
        let char = world.add(special(true, false));
        let bool = world.add(special(false, true));
        let float = world.add(Type::Float(Float {
            name: "double".to_owned(),
            bytes: 8,
            is_complex: false,
        }));
        let char_pointer = world.pointer(char);
        let user_char_pointer = world.add(Type::Pointer {
            target: char,
            is_user: true,
        });
        let color = world.add(Type::Enum(Enum {
            name: Some("color".to_owned()),
            bytes: 4,
            is_signed: true,
            constants: [("RED", 0), ("GREEN", 5), ("BLUE", -1)]
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
        }));
        let level = world.add(Type::Enum(Enum {
            name: Some("level".to_owned()),
            bytes: 4,
            is_signed: false,
            constants: [("LOW", 0), ("MIDDLE", 1), ("HIGH", 2)]
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
        }));
        world
            .named
            .insert((Keyword::Enum, "color".to_owned()), color);
        let array = |element, count| Type::Array { element, count };
        let array16 = world.add(array(char, 16));
        let int = ints[&(4, true)];
        let ints_array = world.add(array(int, 4));
        let short = ints[&(2, true)];
        let inner = world.composite(
            "inner",
            36,
            vec![
                member("a", short, 0),
                member("numbers", ints_array, 4),
                member("name", array16, 20),
            ],
        );
        let (unsigned, long) = (ints[&(4, false)], ints[&(8, true)]);
        let choice = world.composite(
            "union ",
            4,
            vec![member("left", int, 0), member("right", unsigned, 0)],
        );
        // The pointer to the structure itself is the type after it.
        let thing_pointer = TypeId(world.types.len() as u64 + 3);
        let opaque = world.add(Type::Forward {
            name: "opaque".to_owned(),
            is_union: false,
        });
        let opaque = world.pointer(opaque);
        let thing = world.composite(
            "thing",
            128,
            vec![
                member("c", char, 0),
                member("uc", ints[&(1, false)], 1),
                member("s", short, 2),
                member("us", ints[&(2, false)], 4),
                member("i", int, 8),
                member("u", unsigned, 12),
                member("l", long, 16),
                member("ul", ints[&(8, false)], 24),
                member("next", thing_pointer, 32),
                member("text", char_pointer, 40),
                member("user_text", user_char_pointer, 48),
                member("in", inner, 56),
                member("color", color, 92),
                bit_field("b3", int, 768, 3),
                bit_field("b5", unsigned, 771, 5),
                bit_field("b40", long, 776, 40),
                bit_field("level", level, 816, 2),
                member("", choice, 104),
                member("flag", bool, 108),
                member("f", float, 112),
                member("opaque", opaque, 120),
            ],
        );
        assert_eq!(world.pointer(thing), thing_pointer);
        let tangled = TypeId(world.types.len() as u64);
        let mut members = vec![member("", tangled, 0); 8];
        members.push(member("deep", int, 0));
        assert_eq!(world.composite("tangled", 4, members), tangled);
        world.composite("task_struct", 64, vec![member("pid", int, 16)]);
        let common = world.composite(
            "sock_common",
            32,
            vec![member("skc_dport", ints[&(2, false)], 12)],
        );
        let sock = world.composite("sock", 64, vec![member("__sk_common", common, 0)]);
        let sock_pointer = world.pointer(sock);
        world.composite("pt_regs", 168, vec![member("di", ints[&(8, false)], 112)]);
        let big = world.composite("big", 24, vec![member("x", long, 0)]);
        let pair = world.composite(
            "pair",
            16,
            vec![
                member("first", int, 0),
                bit_field("low", int, 32, 3),
                bit_field("high", unsigned, 35, 5),
                member("array", ints[&(2, true)], 6),
                member("name", char_pointer, 8),
            ],
        );
        let point = world.composite(
            "point",
            16,
            vec![member("x", float, 0), member("y", float, 8)],
        );
        let ids = Ids {
            void,
            char,
            float,
            ints,
            char_pointer,
            color,
            thing_pointer,
            sock_pointer,
            array16,
            ints_array,
            big,
            pair,
            point,
        };
        (world, ids)
    }
}

/// A kernel function with these parameters and result.
pub(crate) fn function(parameters: &[(&str, TypeId)], returns: TypeId) -> FunctionSite {
    FunctionSite {
        prototype: Some(Prototype {
            parameters: parameters
                .iter()
                .map(|(name, type_id)| Parameter {
                    name: Some((*name).to_owned()),
                    type_id: *type_id,
                })
                .collect(),
            returns,
            is_variadic: false,
        }),
        at_return: false,
        space: Space::Kernel,
        wrapper: None,
    }
}

/// A function of which nothing is known.
pub(crate) fn unknown_function(space: Space, at_return: bool) -> Site {
    Site::Function(FunctionSite {
        prototype: None,
        at_return,
        space,
        wrapper: None,
    })
}

/// A tracepoint with a field of each kind.
pub(crate) fn tracepoint(ids: &Ids, is_syscall: bool) -> Site {
    let field = |name: &str, type_id, offset_bytes, bytes, location| Field {
        name: name.to_owned(),
        type_id,
        offset_bytes,
        bytes,
        is_signed: false,
        location,
    };
    Site::Tracepoint(TracepointSite {
        fields: vec![
            field("common_pid", ids.int(4, true), 4, 4, Location::Here),
            field("nr", ids.int(4, true), 8, 4, Location::Here),
            field("size", ids.int(8, false), 16, 8, Location::Here),
            field("odd", ids.int(4, true), 26, 4, Location::Here),
            field("comm", ids.array16, 32, 16, Location::Here),
            field("numbers", ids.ints_array, 48, 16, Location::Here),
            field("name", ids.char, 64, 4, Location::Elsewhere),
            field("behind", ids.char, 68, 4, Location::Behind),
            field("filename", ids.char_pointer, 72, 8, Location::Here),
            field("color", ids.color, 80, 4, Location::Here),
            field("list", ids.int(4, true), 84, 4, Location::Elsewhere),
        ],
        is_syscall,
    })
}

/// A USDT probe with these operands.
pub(crate) fn usdt(operands: &[(u8, bool, OperandPlace)]) -> Site {
    let operand = |(bytes, is_signed, place): &(u8, bool, OperandPlace)| Operand {
        bytes: *bytes,
        is_signed: *is_signed,
        place: place.clone(),
    };
    Site::Usdt(UsdtSite {
        operands: operands.iter().map(operand).collect(),
    })
}
