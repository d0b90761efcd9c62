//! The records of tracepoints, as their `format` files in tracefs describe them.
//!
//! The kernel writes a line for each field (`f_show` in kernel/trace/trace_events.c):
//!
//! ```text
//! field:__data_loc char[] name;   offset:8;   size:4;   signed:0;
//! ```
//!
//! Offsets, sizes and signs are the kernel's own and can be relied on. The type is the text of a
//! macro's argument in the kernel's source: mostly a C type, but nothing holds it to that.

use super::Error;

/// What a tracepoint records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracepointFormat {
    /// The event's name, without its category.
    pub name: String,
    /// The kernel's number for it, which `perf_event_open` takes.
    pub id: u64,
    /// The fields in the order of the file, those that all events have (`common_type`…) first.
    pub fields: Vec<Field>,
}

/// A field of a tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type as the kernel's source has it, without the brackets of an array and without
    /// `__data_loc`: `const char *`, `pid_t`, `struct file_lock_core *`.
    pub type_name: String,
    /// Bytes from the start of the record.
    pub offset_bytes: u32,
    /// Its size in the record; of a [`FieldKind::DataLoc`] that of the place, not of the data.
    pub size_bytes: u32,
    /// What the bytes mean.
    pub kind: FieldKind,
}

/// What the bytes of a field mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A number, also that of an `enum` or a `bool`.
    Integer {
        /// Its size: 1, 2, 4 or 8.
        bytes: u64,
        /// Whether it has a sign.
        is_signed: bool,
        /// Whether it is a character (`char`) rather than a small number (`u8`).
        is_char: bool,
    },
    /// An address. The description does not say of which memory: a system call's are in that of
    /// the user, almost all others in that of the kernel.
    Pointer,
    /// An array within the record.
    Array {
        /// Its elements.
        element: Element,
        /// How many; 0 if it takes up all of the record that follows, or if their size is unknown.
        count: u64,
    },
    /// An array of any length behind the fixed part of the record. The field is a `u32` with the
    /// length of the data in bytes in the upper half (of text with its NUL), and in the lower half
    /// where it begins (`__dynamic_array`, include/trace/stages/ in the kernel's source).
    DataLoc {
        /// The array's elements.
        element: Element,
        /// Whether it begins that many bytes behind the end of this field (`__rel_loc`, Linux
        /// 5.17), rather than behind the start of the record.
        is_relative: bool,
    },
    /// A structure, or what else has no size of a number.
    Opaque,
}

/// The elements of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The size of each; 0 if the description doesn't tell, because it names a type of the kernel.
    pub bytes: u64,
    /// Whether they have a sign.
    pub is_signed: bool,
    /// Whether they are text.
    pub is_char: bool,
}

impl TracepointFormat {
    /// Reads a `format` file; errors call it `what`.
    ///
    /// # Errors
    ///
    /// When it has no number or a field that can't be understood.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged {
            what: what.to_owned(),
            reason,
        };
        let mut format = Self {
            name: String::new(),
            id: 0,
            fields: Vec::new(),
        };
        let mut has_id = false;
        for line in text.lines() {
            let line = line.trim();
            if let Some(name) = line.strip_prefix("name:") {
                name.trim().clone_into(&mut format.name);
            } else if let Some(id) = line.strip_prefix("ID:") {
                format.id = id
                    .trim()
                    .parse()
                    .map_err(|_| damaged(format!("`{line}` has no number")))?;
                has_id = true;
            } else if line.starts_with("print fmt:") {
                // The last entry; what it says is for people, and may take several lines.
                break;
            } else if let Some(field) = line.strip_prefix("field:") {
                let field =
                    Field::parse(field).ok_or_else(|| damaged(format!("no field: `{line}`")))?;
                format.fields.push(field);
            }
        }
        if !has_id {
            return Err(damaged("it has no ID".to_owned()));
        }
        Ok(format)
    }

    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Field {
    /// Whether programs of the type `BPF_PROG_TYPE_TRACEPOINT` may read it: the first eight bytes
    /// of their record hold a pointer of the kernel's (`tp_prog_is_valid_access`,
    /// kernel/trace/bpf_trace.c), which shadows the fields that all events have.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.offset_bytes >= 8
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';').map(str::trim);
        let declaration = parts.next()?;
        let (mut offset_bytes, mut size_bytes, mut is_signed) = (None, None, false);
        for part in parts {
            match part.split_once(':') {
                Some(("offset", number)) => offset_bytes = Some(number.parse().ok()?),
                Some(("size", number)) => size_bytes = Some(number.parse().ok()?),
                Some(("signed", flag)) => is_signed = flag == "1",
                _ => {}
            }
        }
        let declaration = Declaration::parse(declaration)?;
        let size_bytes = size_bytes?;
        Some(Self {
            kind: declaration.kind(size_bytes, is_signed),
            name: declaration.name.to_owned(),
            type_name: declaration.type_name.to_owned(),
            offset_bytes: offset_bytes?,
            size_bytes,
        })
    }
}

/// `char comm[16]`, `__data_loc char[] name`, taken apart.
struct Declaration<'text> {
    name: &'text str,
    type_name: &'text str,
    /// What is in the brackets, if there are any.
    length: Option<&'text str>,
    /// Whether the data is elsewhere, and then whether that is relative to the field.
    location: Option<bool>,
}

impl<'text> Declaration<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (text, location) = [("__data_loc ", false), ("__rel_loc ", true)]
            .into_iter()
            .find_map(|(word, is_relative)| Some((text.strip_prefix(word)?, Some(is_relative))))
            .unwrap_or((text, None));
        let (type_name, name) = split_name(text)?;
        // An array that is elsewhere has its brackets at the type, another one at the name.
        let (name, of_name) = split_brackets(name);
        let (type_name, of_type) = split_brackets(type_name);
        (!name.is_empty()).then_some(Self {
            name,
            type_name,
            length: of_name.or(of_type),
            location,
        })
    }

    fn kind(&self, size_bytes: u32, is_signed: bool) -> FieldKind {
        let size = u64::from(size_bytes);
        let is_char = is_text(self.type_name);
        if let Some(is_relative) = self.location {
            let element = Element {
                bytes: known_bytes(self.type_name),
                is_signed,
                is_char,
            };
            return FieldKind::DataLoc {
                element,
                is_relative,
            };
        }
        if let Some(length) = self.length {
            // The length may be the name of a constant; the size is always a number.
            let count = length.trim().parse().unwrap_or(0);
            let bytes = match known_bytes(self.type_name) {
                0 => size.checked_div(count).unwrap_or(0),
                bytes => bytes,
            };
            let element = Element {
                bytes,
                is_signed,
                is_char,
            };
            return FieldKind::Array {
                element,
                count: size.checked_div(bytes).unwrap_or(0),
            };
        }
        if is_pointer(self.type_name) && size == 8 {
            return FieldKind::Pointer;
        }
        match size {
            1 | 2 | 4 | 8 if !is_composite(self.type_name) => FieldKind::Integer {
                bytes: size,
                is_signed,
                is_char,
            },
            _ => FieldKind::Opaque,
        }
    }
}

/// Splits `const char *name[4]` in front of the name, and `int (*name)(long)` around it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(start) = text.find("(*") {
        let name = text[start + 2..].split(')').next()?.trim();
        // The type is cut off there, but all that follows from it is that this is a pointer.
        return Some((&text[..start + 2], name));
    }
    let brackets = if text.ends_with(']') {
        text.rfind('[')?
    } else {
        text.len()
    };
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let before = text[..brackets].trim_end().trim_end_matches(is_of_name);
    Some((before.trim_end(), text[before.len()..].trim()))
}

/// Splits `comm[16]` into `comm` and `16`.
fn split_brackets(text: &str) -> (&str, Option<&str>) {
    match text.split_once('[') {
        Some((before, rest)) => (before.trim_end(), Some(rest.trim_end_matches(']'))),
        None => (text, None),
    }
}

fn is_pointer(type_name: &str) -> bool {
    let without = type_name
        .trim_end_matches("const")
        .trim_end_matches("volatile");
    without.trim_end().ends_with('*')
}

fn is_composite(type_name: &str) -> bool {
    !is_pointer(type_name) && unqualified(type_name).any(|word| word == "struct" || word == "union")
}

/// Whether values of this type are characters; `u8`, `unsigned char` and the like are numbers.
fn is_text(type_name: &str) -> bool {
    unqualified(type_name).eq(["char"])
}

fn unqualified(type_name: &str) -> impl Iterator<Item = &str> {
    type_name
        .split_whitespace()
        .filter(|word| !matches!(*word, "const" | "volatile"))
}

/// The size of the elements of an array, where their type's name tells; else 0.
fn known_bytes(type_name: &str) -> u64 {
    if is_pointer(type_name) {
        return 8;
    }
    let words: Vec<&str> = unqualified(type_name)
        .filter(|word| !matches!(*word, "unsigned" | "signed"))
        .collect();
    match words.as_slice() {
        ["char" | "u8" | "s8" | "__u8" | "__s8" | "uint8_t" | "int8_t" | "bool"] => 1,
        ["short" | "u16" | "s16" | "__u16" | "__s16" | "uint16_t" | "int16_t"] => 2,
        ["short", "int"] => 2,
        // Nothing is left of `unsigned`.
        [] if !type_name.is_empty() => 4,
        ["int" | "u32" | "s32" | "__u32" | "__s32" | "uint32_t" | "int32_t"] => 4,
        ["u64" | "s64" | "__u64" | "__s64" | "uint64_t" | "int64_t"] => 8,
        // A set of CPUs is an array of these: `__cpumask` in include/trace/stages/.
        ["long" | "cpumask_t" | "size_t" | "ssize_t" | "loff_t"] => 8,
        ["long", "int"] | ["long", "long"] | ["long", "long", "int"] => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORK: &str = "name: sched_process_fork\nID: 315\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
        \tfield:__data_loc char[] child_comm;\toffset:24;\tsize:4;\tsigned:0;\n\
        \tfield:const char * filename;\toffset:32;\tsize:8;\tsigned:0;\n\
        \tfield:pid_t child_pid;\toffset:44;\tsize:4;\tsigned:1;\n\n\
        print fmt: \"field:int x;\\toffset:1;\", REC->parent_comm\n";

    fn kind(declaration: &str, size: u32, signed: u8) -> (String, String, FieldKind) {
        let line = format!("{declaration};\toffset:8;\tsize:{size};\tsigned:{signed};");
        let field = Field::parse(&line).expect("a field");
        (field.name, field.type_name, field.kind)
    }

    fn integer(bytes: u64, is_signed: bool, is_char: bool) -> FieldKind {
        FieldKind::Integer {
            bytes,
            is_signed,
            is_char,
        }
    }

    fn array(bytes: u64, count: u64, is_signed: bool, is_char: bool) -> FieldKind {
        let element = Element {
            bytes,
            is_signed,
            is_char,
        };
        FieldKind::Array { element, count }
    }

    fn elsewhere(bytes: u64, is_char: bool, is_relative: bool) -> FieldKind {
        let element = Element {
            bytes,
            is_signed: false,
            is_char,
        };
        FieldKind::DataLoc {
            element,
            is_relative,
        }
    }

    #[test]
    fn a_file_is_a_name_a_number_and_fields() {
        let format = TracepointFormat::parse("format", FORK).expect("valid");
        assert_eq!((&*format.name, format.id), ("sched_process_fork", 315));
        let names: Vec<&str> = format.fields.iter().map(|field| &*field.name).collect();
        let expected = [
            "common_type",
            "common_pid",
            "parent_comm",
            "child_comm",
            "filename",
            "child_pid",
        ];
        assert_eq!(names, expected);
        let pid = format.field("child_pid").expect("there");
        assert_eq!((pid.offset_bytes, pid.size_bytes), (44, 4));
        assert!(pid.is_readable() && !format.field("common_pid").expect("there").is_readable());
        assert_eq!(format.field("pid"), None);
    }

    #[test]
    fn numbers_have_their_size_and_sign_and_text_is_told_apart() {
        let named =
            |name: &str, type_name: &str, kind| (name.to_owned(), type_name.to_owned(), kind);
        let cases = [
            (
                "pid_t pid",
                4,
                1,
                named("pid", "pid_t", integer(4, true, false)),
            ),
            (
                "unsigned flags",
                4,
                0,
                named("flags", "unsigned", integer(4, false, false)),
            ),
            (
                "char state",
                1,
                1,
                named("state", "char", integer(1, true, true)),
            ),
            ("u8 n", 1, 0, named("n", "u8", integer(1, false, false))),
            (
                "enum x what",
                4,
                0,
                named("what", "enum x", integer(4, false, false)),
            ),
            ("void * p", 8, 0, named("p", "void *", FieldKind::Pointer)),
            (
                "const void* p",
                8,
                0,
                named("p", "const void*", FieldKind::Pointer),
            ),
            (
                "const struct a *const p",
                8,
                0,
                named("p", "const struct a *const", FieldKind::Pointer),
            ),
            (
                "void __seg_gs * p",
                8,
                0,
                named("p", "void __seg_gs *", FieldKind::Pointer),
            ),
            (
                "int (*fn)(void *)",
                8,
                0,
                named("fn", "int (*", FieldKind::Pointer),
            ),
            (
                "struct a s",
                8,
                0,
                named("s", "struct a", FieldKind::Opaque),
            ),
            ("guid_t s", 16, 0, named("s", "guid_t", FieldKind::Opaque)),
        ];
        for (declaration, size, signed, expected) in cases {
            assert_eq!(kind(declaration, size, signed), expected, "{declaration}");
        }
    }

    #[test]
    fn arrays_are_in_the_record_or_behind_it() {
        let cases = [
            ("char comm[16]", 16, array(1, 16, false, true)),
            ("char comm[TASK_COMM_LEN]", 16, array(1, 16, false, true)),
            ("u8 addr[4]", 4, array(1, 4, false, false)),
            ("unsigned long args[6]", 48, array(8, 6, false, false)),
            ("odd_t args[6]", 24, array(4, 6, false, false)),
            ("odd_t args[N]", 24, array(0, 0, false, false)),
            ("unsigned args[0]", 0, array(4, 0, false, false)),
            ("char buf[]", 0, array(1, 0, false, true)),
            ("__data_loc char[] name", 4, elsewhere(1, true, false)),
            ("__rel_loc char[] name", 4, elsewhere(1, true, true)),
            ("__data_loc const char[] name", 4, elsewhere(1, true, false)),
            ("__data_loc u64[] v", 4, elsewhere(8, false, false)),
            ("__data_loc unsigned int[] v", 4, elsewhere(4, false, false)),
            ("__data_loc struct a *[] v", 4, elsewhere(8, false, false)),
            ("__data_loc struct a[] v", 4, elsewhere(0, false, false)),
            ("__data_loc cpumask_t mask", 4, elsewhere(8, false, false)),
        ];
        for (declaration, size, expected) in cases {
            assert_eq!(kind(declaration, size, 0).2, expected, "{declaration}");
        }
    }

    #[test]
    fn what_is_no_format_is_an_error() {
        let cases = [
            ("", "it has no ID"),
            ("ID: x\n", "`ID: x` has no number"),
            ("ID: 1\nfield:int x;\n", "no field: `field:int x;`"),
            ("ID: 1\nfield:;\toffset:8;\tsize:4;\n", "no field: `field:;"),
            (
                "ID: 1\nfield:int x;\toffset:-8;\tsize:4;\n",
                "no field: `field:int x;",
            ),
        ];
        for (text, expected) in cases {
            let error = TracepointFormat::parse("x", text).expect_err("damaged");
            let error = error.to_string();
            assert!(
                error.starts_with("the type information of x is damaged"),
                "{error}"
            );
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #![proptest_config(crate::property::cases(256))]

        #[test]
        fn no_text_does_harm(text in "(?s).*", field in "[ -~]{0,60}", cut in 0usize..400) {
            let _ = TracepointFormat::parse("random", &text);
            let _ = TracepointFormat::parse("random", &format!("ID: 1\nfield:{field};\toffset:8;\tsize:4;"));
            let _ = TracepointFormat::parse("cut off", &FORK[..cut.min(FORK.len())]);
        }

        #[test]
        fn changed_bytes_do_no_harm(changes in prop::collection::vec((0..FORK.len(), 0u8..128), 1..6)) {
            let mut bytes = FORK.as_bytes().to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let text = String::from_utf8(bytes).expect("ASCII");
            let _ = TracepointFormat::parse("changed", &text);
        }
    }
}
