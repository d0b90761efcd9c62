//! Damaged DWARF: it never panics, and reading it ends.

use std::{collections::BTreeSet, ops::Range, path::Path, sync::LazyLock};

use proptest::prelude::*;

use super::*;
use crate::resolve::elf::test_programs::Folder;

const SOURCE: &str = "
    enum color { RED, GREEN = -5 };
    struct list { struct list *next; int table[2][3]; unsigned a : 3; enum color color; };
    typedef const struct list list_t;
    typedef int (*callback_t)(void *, ...);
    union both { list_t list; double d; char text[3]; };
    static inline int inner(list_t *list) { return list->a; }
    __attribute__((noinline)) int handle(list_t *list, callback_t back, union both *both) {
      return inner(list) + back(both);
    }
    int main(int argc, char **argv) { return argc > 9 ? handle(0, 0, 0) : inner(0); }";

/// Programs with all versions of DWARF, and where the debug sections are in them.
static PROGRAMS: LazyLock<Vec<(Vec<u8>, Vec<usize>)>> = LazyLock::new(|| {
    let flags = [
        "-gdwarf-5 -O2",
        "-gdwarf-4 -fdebug-types-section",
        "-gdwarf-2",
    ];
    let compiled = flags.iter().enumerate().map(|(number, flags)| {
        let folder = Folder::new(&format!("dwarf-hostile-{number}"));
        let image = folder.compile(SOURCE, &format!("gcc {flags} -o program source.c"));
        let elf = image.elf().expect("valid");
        let sections = [
            "info", "abbrev", "str", "types", "aranges", "rnglists", "ranges",
        ];
        let places =
            sections
                .iter()
                .flat_map(|name| match elf.debug_section(&format!(".debug_{name}")) {
                    Ok(Some(DebugSection::InFile(range))) => range,
                    _ => Range::default(),
                });
        (image.data().to_vec(), places.collect())
    });
    compiled.collect()
});

/// Asks for all there is; gives how many types were read.
fn read_all(bytes: Vec<u8>) -> usize {
    let image = Image::from_bytes(Path::new("/hostile"), bytes);
    let Ok(Some(dwarf)) = Dwarf::open(image, DebugSymbols::none()) else {
        return 0;
    };
    let mut ids = BTreeSet::new();
    for keyword in [
        Keyword::Struct,
        Keyword::Union,
        Keyword::Enum,
        Keyword::None,
    ] {
        for name in dwarf.names(keyword) {
            ids.extend(dwarf.find(keyword, &name).ok().flatten());
        }
        ids.extend(dwarf.find(keyword, "nonesuch").ok().flatten());
    }
    let _ = dwarf.constant("GREEN");
    for function in ["handle", "inner", "main"] {
        if let Ok(Some(prototype)) = dwarf.prototype(function) {
            ids.insert(prototype.returns);
            ids.extend(
                prototype
                    .parameters
                    .iter()
                    .map(|parameter| parameter.type_id),
            );
        }
    }
    follow(&dwarf, ids)
}

/// Reads these types and those that they are made of, until they are many.
fn follow(dwarf: &Dwarf, ids: BTreeSet<TypeId>) -> usize {
    const ENOUGH: usize = 200;
    let mut seen = BTreeSet::new();
    let mut left: Vec<TypeId> = ids.into_iter().collect();
    while let Some(id) = left.pop() {
        if seen.len() > ENOUGH || !seen.insert(id) {
            continue;
        }
        match dwarf.get(id) {
            Ok(Type::Pointer { target, .. }) => left.push(target),
            Ok(Type::Array { element, .. }) => left.push(element),
            Ok(Type::Composite(composite)) => {
                left.extend(composite.members.iter().map(|member| member.type_id));
            }
            _ => {}
        }
    }
    seen.len()
}

#[test]
fn what_the_hostile_tests_change_is_valid() {
    for (bytes, places) in PROGRAMS.iter() {
        assert!(places.len() > 500);
        let types = read_all(bytes.clone());
        assert!(types > 12, "{types}");
    }
}

/// Single bytes all over the sections, with several values: a thousand programs.
#[test]
fn single_changed_bytes_do_no_harm() {
    for (bytes, places) in PROGRAMS.iter() {
        for (number, &place) in places.iter().step_by(3).enumerate() {
            let mut changed = bytes.clone();
            changed[place] = match number % 4 {
                0 => 0,
                1 => 0xff,
                2 => changed[place].wrapping_add(1),
                _ => changed[place] ^ 0x80,
            };
            read_all(changed);
        }
    }
}

proptest! {
    #![proptest_config(crate::property::cases(256))]

    #[test]
    fn changed_bytes_do_no_harm(
        program in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (bytes, places) = program.get(&PROGRAMS);
        let mut bytes = bytes.clone();
        for (at, byte) in changes {
            bytes[*at.get(places)] = byte;
        }
        read_all(bytes);
    }

    #[test]
    fn random_sections_do_no_harm(
        program in any::<prop::sample::Index>(),
        start in any::<prop::sample::Index>(),
        random in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (bytes, places) = program.get(&PROGRAMS);
        let mut bytes = bytes.clone();
        let start = start.index(places.len());
        for (place, byte) in places[start..].iter().zip(random) {
            bytes[*place] = byte;
        }
        read_all(bytes);
    }
}
