//! ELF files, what is in them, and descriptions of types.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
    sync::Arc,
};

use crate::{
    resolve::elf::{
        DebugSearch, DebugSection, DebugSymbols, Elf, Extent, Found, Image, Operand, Place,
        debug_file, shown_name, usdt::RawNote,
    },
    spec::Pattern,
    types::{Btf, Dwarf, Keyword, Type, TypeId, TypeSource},
};

const KEYWORDS: [Keyword; 4] = [
    Keyword::Struct,
    Keyword::Union,
    Keyword::Enum,
    Keyword::None,
];

/// Of types, names and functions no more are looked at, so that time is spent on other inputs.
const ENOUGH: usize = 100;

const DEBUG_SECTIONS: [&str; 4] = [".debug_info", ".debug_abbrev", ".debug_str", ".debug_line"];

pub(super) fn elf(bytes: &[u8]) {
    let image = Image::from_bytes(Path::new("/made-up"), bytes.to_vec());
    let Ok(elf) = image.elf() else { return };
    // The file is its own debug file, which goes through all the checks for one.
    let open = |path: &Path| Ok(Image::from_bytes(path, bytes.to_vec()));
    let search = DebugSearch {
        root: Path::new("/"),
        file: Path::new("/made-up"),
        open: &open,
    };
    let length = bytes.len() as u64;
    for debug in [DebugSymbols::none(), DebugSymbols::find(&elf, search)] {
        let found = elf.find_functions(&Pattern::glob("*"), &debug);
        check_functions(&elf, &debug, &found.unwrap_or_default(), length);
        check_probes(&elf, &debug, length);
    }
    for section in DEBUG_SECTIONS {
        if let Ok(Some(DebugSection::InFile(range))) = elf.debug_section(section) {
            assert!(bytes.get(range).is_some());
        }
    }
    let slots = elf.irelative_slots().count() + elf.got_slots_of("strlen").count();
    assert!(slots <= bytes.len());
    let _ = (elf.is_go_binary(), elf.build_id());
}

fn check_functions(elf: &Elf<'_>, debug: &DebugSymbols, found: &Found, length: u64) {
    for site in found.sites(elf) {
        assert!(elf.file_offset(site.address) == Some(site.offset));
        let code = elf.code_at(site.address).expect("it is in the file");
        assert!(!code.is_empty() && site.offset.0 < length);
        let _ = elf.address_at(site.offset);
    }
    for function in found.functions.iter().take(ENOUGH) {
        let _ = elf.instruction_starts_at(function, 7);
        assert!(!shown_name(&function.symbol).is_empty());
    }
    let functions = found.functions.iter();
    let extents: HashSet<Extent> = functions
        .map(|function| (function.address, function.size))
        .collect();
    let _ = elf.best_names(debug, &extents, &["main"]);
}

fn check_probes(elf: &Elf<'_>, debug: &DebugSymbols, length: u64) {
    for site in elf.usdt_probes().sites {
        assert!(site.offset.0 < length);
        assert!(site.semaphore.is_none_or(|place| place.0 < length));
        for operand in elf.usdt_operands(&site, debug) {
            assert!(!matches!(operand.place, Place::Memory(memory) if memory.symbol.is_some()));
        }
    }
}

pub(super) fn debugdata(bytes: &[u8]) {
    let _ = debug_file::unpack(bytes);
}

pub(super) fn usdt_note(bytes: &[u8]) {
    if let Some(note) = RawNote::parse(bytes) {
        let texts = [note.provider, note.name, note.arguments];
        assert!(texts.concat().len() + 24 < bytes.len());
        assert!(!note.name.is_empty() && !texts.concat().contains(&0));
    }
}

pub(super) fn usdt_operands(bytes: &[u8]) {
    super::on_text(bytes, |text| {
        for operand in Operand::parse_all(text) {
            let is_part =
                matches!(operand.place, Place::Register { shift_bits, .. } if shift_bits != 0);
            if is_part || matches!(operand.place, Place::Unsupported(_)) {
                continue;
            }
            // The operand as it is shown is read as the same operand.
            let sign = if operand.is_signed { "-" } else { "" };
            let written = format!("{sign}{}@{}", operand.bytes, operand.place);
            assert_eq!(Operand::parse_all(&written), [operand], "{written}");
        }
    });
}

pub(super) fn btf(bytes: &[u8]) {
    let Ok(kernel) = Btf::from_bytes("made-up", bytes.to_vec(), None) else {
        return;
    };
    let kernel = Arc::new(kernel);
    // As types of a module they refer to themselves.
    let module = Btf::from_bytes("module", bytes.to_vec(), Some(Arc::clone(&kernel))).ok();
    for types in std::iter::once(&*kernel).chain(&module) {
        check_types(types);
        for (name, id) in types.functions().take(ENOUGH) {
            if let Ok(declaration) = types.declaration(id) {
                let text = declaration.of(name);
                assert!(text.len() < MOST_TEXT_BYTES, "{}", text.len());
            }
            let _ = types.prototype(name);
            assert!(types.function_id(name).is_some());
        }
        follow(types, (0..ENOUGH as u64).map(TypeId).collect());
    }
}

/// No declaration is that long: a type is written with 512 words at most, and a word is a name.
const MOST_TEXT_BYTES: usize = 16 << 20;

pub(super) fn dwarf(bytes: &[u8]) {
    let open = || {
        let image = Image::from_bytes(Path::new("/made-up"), bytes.to_vec());
        Dwarf::open(image, DebugSymbols::none())
    };
    let Ok(Some(types)) = open() else { return };
    check_types(&types);
    let _ = types.constant("GREEN");
    let elf = types.image().elf().expect("it has been read");
    let found = elf.find_functions(&Pattern::glob("*"), &DebugSymbols::none());
    let mut ids = Vec::new();
    for function in found.unwrap_or_default().functions.iter().take(ENOUGH) {
        if let Ok(Some(declaration)) = types.declaration_at(function.address) {
            assert!(declaration.of(&function.name).len() < MOST_TEXT_BYTES);
        }
        if let Ok(Some(prototype)) = types.prototype(&function.symbol) {
            ids.push(prototype.returns);
            let parameters = prototype.parameters.iter();
            ids.extend(parameters.map(|parameter| parameter.type_id));
        }
    }
    follow(&types, ids);
}

/// What is named can be found under its name, and looking for what is not there ends.
fn check_types(types: &dyn TypeSource) {
    for keyword in KEYWORDS {
        let _ = types.find(keyword, "nonesuch");
        for name in types.names(keyword).iter().take(ENOUGH) {
            assert!(!name.is_empty());
            if let Ok(Some(id)) = types.find(keyword, name) {
                follow(types, vec![id]);
            }
        }
    }
    let _ = (types.prototype("nonesuch"), types.constant("NONESUCH"));
    let _ = types.offset_of("list", "next");
}

/// Reads these types and those that they are made of, until they are many.
pub(super) fn follow(types: &dyn TypeSource, mut left: Vec<TypeId>) {
    let mut seen = BTreeSet::new();
    while let Some(id) = left.pop() {
        if seen.len() > ENOUGH || !seen.insert(id) {
            continue;
        }
        match types.get(id) {
            Ok(Type::Pointer { target, .. }) => left.push(target),
            Ok(Type::Array { element, .. }) => left.push(element),
            Ok(Type::Composite(composite)) => {
                left.extend(composite.members.iter().map(|member| member.type_id));
            }
            _ => {}
        }
    }
}
