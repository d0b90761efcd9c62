//! BTF made by hand, whole and damaged.

use proptest::prelude::*;

use super::{test_builder::*, *};

fn id(number: u32) -> TypeId {
    TypeId(number.into())
}

fn member(name: &str, type_id: u32, bit_offset: u64, bits: Option<u32>) -> Member {
    Member {
        name: (!name.is_empty()).then(|| name.to_owned()),
        type_id: id(type_id),
        bit_offset,
        bits,
        alignment: 1,
    }
}

fn found(btf: &Btf, keyword: Keyword, name: &str) -> Option<TypeId> {
    btf.find(keyword, name).expect("undamaged")
}

fn composite(btf: &Btf, number: u32) -> Composite {
    match btf.get(id(number)).expect("undamaged") {
        Type::Composite(composite) => composite,
        other => panic!("{other:?}"),
    }
}

fn damage(result: Result<Type, Error>) -> String {
    match result.expect_err("damaged") {
        Error::Damaged { what, reason } => format!("{what}: {reason}"),
        other => panic!("{other}"),
    }
}

#[test]
fn integers_have_size_sign_and_purpose() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let char = builder.int("char", 1, 1);
    let byte = builder.int("unsigned char", 1, 0);
    let bool = builder.int("_Bool", 1, 4);
    let wide = builder.int("__int128", 16, 1);
    let float = builder.add(FLOAT, "double", 8, 0, &[]);
    let odd = builder.int("odd", 3, 0);
    let btf = builder.btf();
    let expect = |number, name: &str, bytes, is_signed, is_char, is_bool| {
        let int = Int {
            name: name.to_owned(),
            bytes,
            is_signed,
            is_char,
            is_bool,
        };
        assert_eq!(btf.get(id(number)), Ok(Type::Int(int)));
    };
    expect(int, "int", 4, true, false, false);
    expect(char, "char", 1, true, true, false);
    expect(byte, "unsigned char", 1, false, false, false);
    expect(bool, "_Bool", 1, false, false, true);
    expect(wide, "__int128", 16, true, false, false);
    let double = Type::Float(Float {
        name: "double".to_owned(),
        bytes: 8,
        is_complex: false,
    });
    assert_eq!(btf.get(id(float)), Ok(double));
    assert_eq!(
        damage(btf.get(id(odd))),
        "test: an integer has 3 bytes: odd"
    );
    assert_eq!(btf.get(id(0)), Ok(Type::Void));
    assert_eq!(damage(btf.get(id(99))), "test: there is no type 99");
    assert_eq!(
        damage(btf.get(TypeId(1 << 32))),
        "test: there is no type 4294967296"
    );
    assert_eq!(found(&btf, Keyword::None, "signed int"), Some(id(int)));
    assert_eq!(found(&btf, Keyword::None, "bool"), Some(id(bool)));
    assert_eq!(found(&btf, Keyword::None, "void"), Some(id(0)));
    assert_eq!(found(&btf, Keyword::Struct, "int"), None);
}

#[test]
fn typedefs_and_qualifiers_are_what_they_name() {
    let mut builder = Builder::new();
    let char = builder.int("char", 1, 1);
    let user = builder.add(TYPE_TAG, "user", char, 0, &[]);
    let constant = builder.add(CONST, "", user, 0, &[]);
    let volatile = builder.add(VOLATILE, "", constant, 0, &[]);
    let alias = builder.add(TYPEDEF, "text", volatile, 0, &[]);
    let pointer = builder.add(PTR, "", alias, 0, &[]);
    let restrict = builder.add(RESTRICT, "", pointer, 0, &[]);
    let other = builder.add(TYPE_TAG, "rcu", char, 0, &[]);
    let plain = builder.add(PTR, "", other, 0, &[]);
    let nothing = builder.add(PTR, "", 0, 0, &[]);
    let btf = builder.btf();
    let pointer_to = |target, is_user| {
        Ok(Type::Pointer {
            target: id(target),
            is_user,
        })
    };
    assert_eq!(btf.get(id(restrict)), pointer_to(char, true));
    assert_eq!(btf.get(id(plain)), pointer_to(char, false));
    assert_eq!(btf.get(id(nothing)), pointer_to(0, false));
    assert_eq!(btf.get(id(alias)), btf.get(id(char)));
    assert_eq!(found(&btf, Keyword::None, "text"), Some(id(char)));
    assert_eq!(btf.names(Keyword::None), ["char", "text"]);
}

#[test]
fn members_have_places_and_bit_fields_their_bits() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let three = builder.add(INT, "unsigned int", 4, 0, &[(5 << 16) | 3]);
    let alias = builder.add(TYPEDEF, "three", three, 0, &[]);
    let inner = builder.composite(UNION, "", 4, &[("a", int, 0), ("b", int, 0)]);
    let members = [("x", int, 0), ("", inner, 32), ("y", int, (2 << 24) | 64)];
    let new = builder.composite(STRUCT | FLAG, "new", 12, &members);
    let old = builder.composite(STRUCT, "old", 8, &[("x", int, 0), ("y", alias, 32)]);
    let btf = builder.btf();
    assert_eq!(
        composite(&btf, new),
        Composite {
            name: Some("new".to_owned()),
            is_union: false,
            bytes: 12,
            alignment: 1,
            is_by_reference: false,
            members: vec![
                member("x", int, 0, None),
                member("", inner, 32, None),
                member("y", int, 64, Some(2)),
            ],
        }
    );
    let expected = [member("x", int, 0, None), member("y", three, 37, Some(3))];
    assert_eq!(composite(&btf, old).members, expected);
    assert!(composite(&btf, inner).is_union && composite(&btf, inner).name.is_none());
    assert_eq!(found(&btf, Keyword::Struct, "new"), Some(id(new)));
    assert_eq!(found(&btf, Keyword::Struct, "ne"), None);
    assert_eq!(found(&btf, Keyword::Struct, "ew"), None);
    assert_eq!(found(&btf, Keyword::Union, "new"), None);
    assert_eq!(btf.names(Keyword::Struct), ["new", "old"]);
}

#[test]
fn members_are_declared_as_they_were_written() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let alias = builder.add(TYPEDEF, "pid_t", int, 0, &[]);
    let pointer = builder.add(PTR, "", alias, 0, &[]);
    let part = builder.composite(UNION, "", 8, &[("pid", alias, 0), ("where", pointer, 0)]);
    let bits = ("few", int, (2 << 24) | 64);
    let whole = builder.composite(STRUCT | FLAG, "x", 12, &[("", part, 0), bits]);
    // Twice in itself.
    let circle = builder.composite(STRUCT, "c", 8, &[("", whole + 1, 0), ("", whole + 1, 0)]);
    let btf = builder.btf();
    let texts = |number| {
        let members = btf.members(id(number)).expect("sound");
        members
            .into_iter()
            .map(|member| member.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(whole), ["pid_t pid", "pid_t *where", "int few : 2"]);
    assert_eq!(texts(int), [""; 0]);
    assert_eq!(circle, whole + 1);
    assert_eq!(texts(circle).len(), MEMBERS_UP_TO);
}

#[test]
fn arrays_have_dimensions_and_an_end() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let row = builder.add(ARRAY, "", 0, 0, &[int, int, 3]);
    let table = builder.add(ARRAY, "", 0, 0, &[row, int, 2]);
    let flexible = builder.add(ARRAY, "", 0, 0, &[int, int, 0]);
    let endless = builder.add(ARRAY, "", 0, 0, &[5, int, 1]);
    let void = builder.add(ARRAY, "", 0, 0, &[0, int, 1]);
    let btf = builder.btf();
    let array = |element, count| {
        Ok(Type::Array {
            element: id(element),
            count,
        })
    };
    assert_eq!(btf.get(id(table)), array(row, 2));
    assert_eq!(btf.get(id(row)), array(int, 3));
    assert_eq!(btf.get(id(flexible)), array(int, 0));
    assert_eq!(btf.get(id(void)), array(0, 1));
    assert_eq!(
        damage(btf.get(id(endless))),
        "test: an array is an element of itself"
    );
}

fn enumeration(btf: &Btf, number: u32) -> (bool, Vec<i64>) {
    match btf.get(id(number)).expect("undamaged") {
        Type::Enum(e) => (e.is_signed, e.constants.iter().map(|c| c.1).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn enumerations_have_signs_also_where_nothing_tells() {
    let minus = u32::MAX;
    let mut builder = Builder::new();
    let (a, b, c) = (builder.name("A"), builder.name("B"), builder.name("C"));
    let old = builder.add(ENUM, "old", 4, 2, &[a, 1, b, minus]);
    let plain = builder.add(ENUM, "", 4, 1, &[c, 5]);
    let btf = builder.btf();
    assert_eq!(enumeration(&btf, old), (true, vec![1, -1]));
    assert_eq!(enumeration(&btf, plain), (false, vec![5]));
    assert_eq!(btf.constant("B"), Ok(Some((id(old), -1))));
    assert_eq!(btf.constant("C"), Ok(Some((id(plain), 5))));
    assert_eq!(btf.constant("D"), Ok(None));

    let d = builder.name("D");
    let signed = builder.add(ENUM | FLAG, "new", 4, 1, &[d, minus]);
    let wide = builder.add(ENUM64, "wide", 8, 1, &[d, 2, 1]);
    let negative = builder.add(ENUM64 | FLAG, "", 8, 1, &[d, minus, minus]);
    let btf = builder.btf();
    assert_eq!(enumeration(&btf, old), (false, vec![1, i64::from(minus)]));
    assert_eq!(enumeration(&btf, signed), (true, vec![-1]));
    assert_eq!(enumeration(&btf, wide), (false, vec![0x1_0000_0002]));
    assert_eq!(enumeration(&btf, negative), (true, vec![-1]));
    assert_eq!(found(&btf, Keyword::Enum, "wide"), Some(id(wide)));
    assert_eq!(btf.names(Keyword::Enum), ["old", "new", "wide"]);
}

#[test]
fn functions_have_prototypes_unless_they_contradict_each_other() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let long = builder.int("long int", 8, 1);
    let function = builder.function("open", int, &[("path", long), ("", int), ("", 0)]);
    builder.function("twin", int, &[("a", int)]);
    builder.function("twin", int, &[("a", int)]);
    builder.function("differing", int, &[("a", int)]);
    builder.function("differing", int, &[("a", long)]);
    builder.add(FUNC, "broken", int, 0, &[]);
    let btf = builder.btf();
    let open = btf.prototype("open").expect("undamaged").expect("there");
    assert_eq!(open.returns, id(int));
    assert!(open.is_variadic);
    let parameters: Vec<_> = open
        .parameters
        .iter()
        .map(|parameter| (parameter.name.as_deref(), parameter.type_id))
        .collect();
    assert_eq!(parameters, [(Some("path"), id(long)), (None, id(int))]);
    assert_eq!(btf.get(id(function)), Ok(Type::Function));
    let twin = btf
        .prototype("twin")
        .expect("undamaged")
        .expect("they agree");
    assert!(!twin.is_variadic);
    assert_eq!(btf.prototype("differing"), Ok(None));
    assert_eq!(btf.prototype("ope"), Ok(None));
    let error = btf.prototype("broken").expect_err("damaged").to_string();
    assert!(
        error.ends_with("type 1 is not that of a function"),
        "{error}"
    );
}

#[test]
fn declarations_are_completed_by_definitions() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let declared = builder.add(FWD, "thing", 0, 0, &[]);
    let unknown = builder.add(FWD | FLAG, "unknown", 0, 0, &[]);
    let thing = builder.composite(STRUCT, "thing", 4, &[("n", int, 0)]);
    let btf = builder.btf();
    assert_eq!(btf.get(id(declared)), btf.get(id(thing)));
    assert_eq!(found(&btf, Keyword::Struct, "thing"), Some(id(thing)));
    let forward = Type::Forward {
        name: "unknown".to_owned(),
        is_union: true,
    };
    assert_eq!(btf.get(id(unknown)), Ok(forward));
    assert_eq!(found(&btf, Keyword::Union, "unknown"), Some(id(unknown)));
    assert_eq!(found(&btf, Keyword::Struct, "unknown"), None);
}

#[test]
fn what_describes_no_types_is_passed_over() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let variable = builder.add(VAR, "counter", int, 0, &[1]);
    let section = builder.add(DATASEC, ".data", 4, 1, &[variable, 0, 4]);
    let tag = builder.add(DECL_TAG, "bpf_kfunc", int, 0, &[u32::MAX]);
    builder.add(20, "", 8, 2, &[0x28, 6, 16]);
    builder.add(21, "", 0, 1, &[5]);
    builder.add(22, "inline.text", 0, 1, &[1, 6, 64]);
    let after = builder.composite(STRUCT, "after", 4, &[("n", int, 0)]);
    let btf = builder.btf();
    assert_eq!(btf.get(id(variable)), btf.get(id(int)));
    assert_eq!(damage(btf.get(id(section))), "test: type 3 is not a type");
    assert_eq!(damage(btf.get(id(tag))), "test: type 4 is not a type");
    assert_eq!(found(&btf, Keyword::Struct, "after"), Some(id(after)));
}

#[test]
fn kinds_of_later_kernels_are_measured_by_the_layout() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    builder.add(30, "", 0, 2, &[1, 2, 3]);
    let after = builder.composite(STRUCT, "after", 4, &[("n", int, 0)]);
    let error = Btf::from_bytes("test", builder.bytes(), None).expect_err("unknown");
    assert!(
        error.to_string().ends_with("type 2 is of an unknown kind"),
        "{error}"
    );
    builder.layout = vec![0; 4 * 31];
    builder.layout[4 * 30..].copy_from_slice(&[4, 4, 0, 0]);
    assert_eq!(
        found(&builder.btf(), Keyword::Struct, "after"),
        Some(id(after))
    );
}

#[test]
fn modules_continue_the_kernels_types() {
    let mut kernel = Builder::new();
    let int = kernel.int("int", 4, 1);
    let shared = kernel.composite(STRUCT, "shared", 4, &[("n", int, 0)]);
    let (yes, declared) = (kernel.name("YES"), kernel.add(FWD, "late", 0, 0, &[]));
    let answer = kernel.add(ENUM, "answer", 4, 1, &[yes, 1]);
    kernel.function("common", int, &[("kernel", int)]);
    let mut module = kernel.split();
    let own = module.composite(STRUCT, "own", 8, &[("s", shared, 0), ("n", int, 32)]);
    let late = module.composite(STRUCT, "late", 4, &[("n", int, 0)]);
    let forward = module.add(FWD, "shared", 0, 0, &[]);
    module.function("common", int, &[("module", int)]);
    module.function("probe", own, &[("n", int)]);

    let base = Arc::new(kernel.btf());
    let btf = Btf::from_bytes("module", module.bytes(), Some(base)).expect("valid");
    assert_eq!(found(&btf, Keyword::Struct, "own"), Some(id(own)));
    assert_eq!(found(&btf, Keyword::Struct, "shared"), Some(id(shared)));
    assert_eq!(found(&btf, Keyword::Struct, "late"), Some(id(late)));
    assert_eq!(
        composite(&btf, own).members[0],
        member("s", shared, 0, None)
    );
    assert_eq!(btf.get(id(forward)), btf.get(id(shared)));
    let forward = btf.get(id(declared)).expect("undamaged");
    assert!(matches!(forward, Type::Composite(_)), "{forward:?}");
    assert_eq!(btf.constant("YES"), Ok(Some((id(answer), 1))));
    let common = btf.prototype("common").expect("undamaged").expect("there");
    assert_eq!(common.parameters[0].name.as_deref(), Some("module"));
    assert_eq!(btf.names(Keyword::Struct), ["own", "late", "shared"]);
    assert_eq!(damage(btf.get(id(99))), "module: there is no type 99");
}

#[test]
fn circles_end() {
    let mut builder = Builder::new();
    let first = builder.add(TYPEDEF, "a", 2, 0, &[]);
    builder.add(CONST, "", first, 0, &[]);
    let pointer = builder.add(PTR, "", first, 0, &[]);
    let list = builder.add(PTR, "", 5, 0, &[]);
    builder.composite(STRUCT, "list", 8, &[("next", list, 0)]);
    builder.function("f", first, &[]);
    let btf = builder.btf();
    for number in [first, pointer] {
        let reason = damage(btf.get(id(number)));
        assert!(reason.ends_with("is a typedef of itself"), "{reason}");
    }
    assert!(btf.find(Keyword::None, "a").is_err());
    assert!(btf.prototype("f").is_err());
    assert_eq!(composite(&btf, 5).members.len(), 1);
}

#[test]
fn damaged_headers_and_names_are_told() {
    let mut builder = Builder::new();
    builder.int("int", 4, 1);
    let whole = builder.bytes();
    let reason = |bytes: Vec<u8>| match Btf::from_bytes("x", bytes, None) {
        Err(Error::Damaged { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(Vec::new()), "it does not begin as BTF does");
    assert_eq!(reason(whole[..6].to_vec()), "its header is cut off");
    assert_eq!(reason(whole[..30].to_vec()), "its types are cut off");
    assert_eq!(
        reason(whole[..whole.len() - 1].to_vec()),
        "its strings are cut off"
    );
    let mut swapped = whole.clone();
    swapped.swap(0, 1);
    assert_eq!(reason(swapped), "it is for the other byte order");
    let mut short = Builder::new();
    short.add(INT, "int", 4, 0, &[]);
    assert_eq!(reason(short.bytes()), "type 1 is cut off");

    let mut names = Builder::new();
    names.int("\u{fffd}", 4, 1);
    let mut bytes = names.bytes();
    let last = bytes.len() - 2;
    bytes[last] = b'x';
    let btf = Btf::from_bytes("x", bytes.clone(), None).expect("the rest is valid");
    assert_eq!(damage(btf.get(id(1))), "x: a name is not text");
    bytes[last + 1] = b'x';
    let btf = Btf::from_bytes("x", bytes.clone(), None).expect("the rest is valid");
    assert_eq!(damage(btf.get(id(1))), "x: a name has no end");
    bytes[24] = 200;
    let btf = Btf::from_bytes("x", bytes, None).expect("the rest is valid");
    assert_eq!(
        damage(btf.get(id(1))),
        "x: a name is outside of the strings"
    );
}

#[test]
fn no_path_is_taken_for_a_modules_name() {
    let kernel = Arc::new(Builder::new().btf());
    for name in ["", "..", "../../etc/passwd"] {
        let error = Btf::of_module(name, Arc::clone(&kernel)).expect_err(name);
        assert!(
            error.to_string().contains("no module has such a name"),
            "{error}"
        );
    }
    let missing = Btf::open(Path::new("/nonexistent"), None).expect_err("missing");
    assert_eq!(
        missing.to_string(),
        "failed to read /nonexistent: No such file or directory (os error 2)"
    );
}

/// Something of every kind.
fn everything() -> Builder {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, 1);
    let name = builder.name("A");
    let alias = builder.add(TYPEDEF, "alias", int, 0, &[]);
    let tag = builder.add(TYPE_TAG, "user", alias, 0, &[]);
    let pointer = builder.add(PTR, "", tag, 0, &[]);
    let array = builder.add(ARRAY, "", 0, 0, &[pointer, int, 3]);
    builder.add(FWD, "s", 0, 0, &[]);
    builder.composite(
        STRUCT | FLAG,
        "s",
        40,
        &[("a", array, 0), ("b", int, (2 << 24) | 256)],
    );
    builder.add(ENUM, "e", 4, 1, &[name, 7]);
    builder.add(ENUM64, "e64", 8, 1, &[name, 7, 7]);
    builder.add(FLOAT, "float", 4, 0, &[]);
    builder.function("f", int, &[("p", pointer), ("", 0)]);
    let variable = builder.add(VAR, "v", int, 0, &[1]);
    builder.add(DATASEC, ".data", 4, 1, &[variable, 0, 4]);
    builder.add(DECL_TAG, "tag", variable, 0, &[0]);
    builder
}

/// Asks for all there is; gives how many types could be read.
fn read_all(bytes: Vec<u8>) -> usize {
    let Ok(btf) = Btf::from_bytes("hostile", bytes, None) else {
        return 0;
    };
    for keyword in [
        Keyword::Struct,
        Keyword::Union,
        Keyword::Enum,
        Keyword::None,
    ] {
        for name in btf.names(keyword) {
            let _ = btf.find(keyword, &name);
        }
        let _ = btf.find(keyword, "nonesuch");
    }
    let _ = (btf.prototype("f"), btf.constant("A"));
    let count = u64::try_from(btf.blob.count()).expect("small");
    (0..=count)
        .filter(|&id| btf.get(TypeId(id)).is_ok())
        .count()
}

#[test]
fn what_the_hostile_tests_change_is_valid() {
    assert_eq!(read_all(everything().bytes()), 14);
}

proptest! {
    #![proptest_config(crate::property::cases(256))]

    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = everything().bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(bytes.clone());
        bytes.truncate(cut.index(bytes.len()));
        read_all(bytes);
    }

    #[test]
    fn random_types_do_no_harm(
        words in prop::collection::vec(prop_oneof![0u32..24, any::<u32>(), (0u32..24).prop_map(|kind| (kind << 24) | 1)], 0..64),
    ) {
        let mut builder = everything();
        builder.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        read_all(builder.bytes());
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut with_header = everything().bytes()[..24].to_vec();
        with_header.extend(&bytes);
        read_all(with_header);
        read_all(bytes);
    }
}
