//! What compilers say of small programs.

use std::path::Path;

use super::*;
use crate::{
    resolve::elf::test_programs::Folder,
    types::{Composite, Float, Int, Member},
};

const C_PROGRAM: &str = r#"
enum color { RED, GREEN = -5, BLUE = 200 };
enum plain { ONE = 1, BIG = 0x80000000u };
struct point { int x, y; unsigned a : 3, b : 7; signed long c : 20; };
struct request {
  const char *name;
  struct point points[3][4];
  union { int i; double d; };
  enum color color;
  struct elsewhere *next;
  struct nowhere *lost;
  void (*callback)(int);
  volatile _Bool flag;
  unsigned char small;
  char text[];
};
typedef const struct request request_t;
typedef unsigned long count_t;
enum plain kind;
struct elsewhere *link;
__attribute__((noinline)) int handle(request_t *req, count_t n, char c, float f, ...) {
  return req->color + n + c + f + kind + (link != 0);
}
static inline __attribute__((always_inline)) int inner(int depth, void *data) { return depth + (data != 0); }
__attribute__((noinline)) static int twin(int only_here) { return only_here * 3; }
int other(int), both(void);
int first(void) { return twin(1); }
int inner_too(int n) { return inner(n, &n); }
static __attribute__((noinline)) void no_result(void) { __asm__ volatile(""); }
int main(int argc, char **argv) {
  request_t r = {0};
  no_result();
  return handle(&r, 1, 2, 3) + other(argc) + inner_too(argc) + first();
}
"#;

const OTHER_UNIT: &str = r#"
struct elsewhere { short n; struct elsewhere *self; };
struct elsewhere one;
static __attribute__((noinline)) int twin(long differs) { return differs * 5; }
static __attribute__((noinline)) int alike(struct elsewhere *p) { return p->n; }
__attribute__((noinline)) int other(int n) { return twin(n) + alike(&one); }
"#;

fn compile(name: &str, flags: &str) -> (Folder, Dwarf) {
    let folder = Folder::new(name);
    std::fs::write(folder.path("other.c"), OTHER_UNIT).expect("writable");
    let make = format!("gcc {flags} -o program source.c other.c");
    let image = folder.compile(C_PROGRAM, &make);
    let dwarf = open(image, DebugSymbols::none());
    (folder, dwarf)
}

fn open(image: Image, debug: DebugSymbols) -> Dwarf {
    Dwarf::open(image, debug)
        .expect("undamaged")
        .expect("debug information")
}

fn prototype(dwarf: &Dwarf, function: &str) -> Prototype {
    dwarf
        .prototype(function)
        .expect("undamaged")
        .unwrap_or_else(|| panic!("no prototype of {function}"))
}

#[test]
fn an_empty_name_is_not_offered() {
    const NAME: &[u8] = b"nameless_one";
    let folder = Folder::new("dwarf-empty-name");
    let make = "gcc -g -shared -nostdlib -o program source.c";
    let image = folder.compile("struct nameless_one { int n; } one;", make);
    let mut bytes = image.data().to_vec();
    let windows = bytes.windows(NAME.len());
    let places: Vec<usize> = windows
        .enumerate()
        .filter_map(|(at, window)| (window == NAME).then_some(at))
        .collect();
    for at in places {
        bytes[at] = 0;
    }
    let changed = Image::from_bytes(Path::new("/changed"), bytes);
    let names = |image| open(image, DebugSymbols::none()).names(Keyword::Struct);
    assert_eq!((names(image).len(), names(changed).len()), (1, 0));
}

#[test]
fn a_unit_that_ends_behind_all_addresses_has_no_code() {
    let folder = Folder::new("dwarf-endless-unit");
    let make = "gcc -g -gdwarf-5 -shared -nostdlib -o program source.c";
    let image = folder.compile("int f(void) { return 1; }", make);
    let elf = image.elf().expect("valid");
    let found = elf.find_functions(&Pattern::glob("f"), &DebugSymbols::none());
    let start = found.expect("readable").functions[0]
        .address
        .0
        .to_ne_bytes();
    let Ok(Some(DebugSection::InFile(info))) = elf.debug_section(".debug_info") else {
        panic!("it is not packed");
    };
    let mut bytes = image.data().to_vec();
    let unit = bytes[info.clone()]
        .windows(8)
        .position(|word| word == start);
    let size = info.start + unit.expect("it begins with the function") + 8;
    bytes[size..size + 8].fill(0xff);
    let changed = Image::from_bytes(Path::new("/changed"), bytes);
    let dwarf = open(changed, DebugSymbols::none());
    assert_eq!(dwarf.prototype_at(VirtAddr(u64::MAX)), Ok(None));
}

fn parameter_names(prototype: &Prototype) -> Vec<&str> {
    let parameters = prototype.parameters.iter();
    parameters
        .map(|parameter| parameter.name.as_deref().unwrap_or_default())
        .collect()
}

fn get(dwarf: &Dwarf, id: TypeId) -> Type {
    dwarf.get(id).expect("undamaged")
}

fn find(dwarf: &Dwarf, keyword: Keyword, name: &str) -> Type {
    let id = dwarf.find(keyword, name).expect("undamaged");
    get(dwarf, id.unwrap_or_else(|| panic!("no {name}")))
}

fn composite(dwarf: &Dwarf, keyword: Keyword, name: &str) -> Composite {
    match find(dwarf, keyword, name) {
        Type::Composite(composite) => composite,
        other => panic!("{name}: {other:?}"),
    }
}

fn target(dwarf: &Dwarf, id: TypeId) -> Type {
    match get(dwarf, id) {
        Type::Pointer { target, .. } => get(dwarf, target),
        other => panic!("{other:?}"),
    }
}

fn member<'a>(composite: &'a Composite, name: &str) -> &'a Member {
    let mut members = composite.members.iter();
    members
        .find(|member| member.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no {name} in {composite:?}"))
}

fn int(name: &str, bytes: u64, is_signed: bool) -> Int {
    Int {
        name: name.to_owned(),
        bytes,
        is_signed,
        is_char: name == "char",
        is_bool: name == "_Bool",
    }
}

/// Everything there is to know about the program; the same for all compilations of it.
fn check_c(dwarf: &Dwarf, flags: &str) {
    let handle = prototype(dwarf, "handle");
    assert_eq!(parameter_names(&handle), ["req", "n", "c", "f"], "{flags}");
    assert!(handle.is_variadic, "{flags}");
    assert_eq!(get(dwarf, handle.returns), Type::Int(int("int", 4, true)));
    let types: Vec<Type> = handle
        .parameters
        .iter()
        .map(|parameter| get(dwarf, parameter.type_id))
        .collect();
    assert_eq!(types[1], Type::Int(int("long unsigned int", 8, false)));
    assert_eq!(types[2], Type::Int(int("char", 1, true)));
    let float = Type::Float(Float {
        name: "float".to_owned(),
        bytes: 4,
        is_complex: false,
    });
    assert_eq!(types[3], float);

    let request = target(dwarf, handle.parameters[0].type_id);
    let request = match request {
        Type::Composite(request) => request,
        other => panic!("{flags}: {other:?}"),
    };
    assert_eq!(
        request,
        composite(dwarf, Keyword::Struct, "request"),
        "{flags}"
    );
    assert_eq!(
        request,
        composite(dwarf, Keyword::None, "request_t"),
        "{flags}"
    );
    check_request(dwarf, &request, flags);

    let point = composite(dwarf, Keyword::Struct, "point");
    let places: Vec<_> = point
        .members
        .iter()
        .map(|member| (member.bit_offset, member.bits))
        .collect();
    let expected = [
        (0, None),
        (32, None),
        (64, Some(3)),
        (67, Some(7)),
        (74, Some(20)),
    ];
    assert_eq!(places, expected, "{flags}");
    check_names(dwarf, flags);
}

fn check_request(dwarf: &Dwarf, request: &Composite, flags: &str) {
    let name = target(dwarf, member(request, "name").type_id);
    assert_eq!(name, Type::Int(int("char", 1, true)), "{flags}");
    let Type::Array { element, count: 3 } = get(dwarf, member(request, "points").type_id) else {
        panic!("{flags}: {request:?}");
    };
    let Type::Array { element, count: 4 } = get(dwarf, element) else {
        panic!("{flags}: {request:?}");
    };
    assert!(matches!(get(dwarf, element), Type::Composite(point) if point.bytes == 16));
    let nameless = request.members.iter().find(|member| member.name.is_none());
    match nameless.map(|member| get(dwarf, member.type_id)) {
        Some(Type::Composite(union)) => assert!(union.is_union && union.name.is_none()),
        other => panic!("{flags}: {other:?}"),
    }
    match get(dwarf, member(request, "color").type_id) {
        Type::Enum(color) => {
            assert!(color.is_signed, "{flags}");
            let expected = [("RED", 0), ("GREEN", -5), ("BLUE", 200)];
            let expected = expected.map(|(name, value)| (name.to_owned(), value));
            assert_eq!(color.constants, expected, "{flags}");
        }
        other => panic!("{flags}: {other:?}"),
    }
    match target(dwarf, member(request, "next").type_id) {
        Type::Composite(elsewhere) => assert_eq!(elsewhere.bytes, 16, "{flags}"),
        other => panic!("{flags}: {other:?}"),
    }
    let nowhere = Type::Forward {
        name: "nowhere".to_owned(),
        is_union: false,
    };
    assert_eq!(target(dwarf, member(request, "lost").type_id), nowhere);
    let callback = target(dwarf, member(request, "callback").type_id);
    assert_eq!(callback, Type::Function, "{flags}");
    let flag = get(dwarf, member(request, "flag").type_id);
    assert_eq!(flag, Type::Int(int("_Bool", 1, false)), "{flags}");
    let small = get(dwarf, member(request, "small").type_id);
    assert_eq!(small, Type::Int(int("unsigned char", 1, false)), "{flags}");
    let text = get(dwarf, member(request, "text").type_id);
    assert!(
        matches!(text, Type::Array { count: 0, .. }),
        "{flags}: {text:?}"
    );
}

fn check_names(dwarf: &Dwarf, flags: &str) {
    let constant = |name| {
        let found = dwarf.constant(name).expect("undamaged");
        found.map(|(_, value)| value)
    };
    assert_eq!(constant("GREEN"), Some(-5), "{flags}");
    assert_eq!(constant("BIG"), Some(0x8000_0000), "{flags}");
    assert_eq!(constant("nonesuch"), None, "{flags}");
    assert_eq!(
        find(dwarf, Keyword::None, "unsigned long"),
        find(dwarf, Keyword::None, "count_t")
    );
    assert_eq!(dwarf.find(Keyword::Struct, "nonesuch"), Ok(None));
    assert_eq!(dwarf.find(Keyword::Union, "point"), Ok(None), "{flags}");
    assert_eq!(dwarf.find(Keyword::None, "point"), Ok(None), "{flags}");
    assert_eq!(dwarf.find(Keyword::None, "void"), Ok(Some(TypeId(0))));
    assert_eq!(get(dwarf, TypeId(0)), Type::Void);
    let names = dwarf.names(Keyword::Struct);
    assert_eq!(
        names,
        ["elsewhere", "nowhere", "point", "request"],
        "{flags}"
    );
    assert_eq!(dwarf.names(Keyword::Enum), ["color", "plain"], "{flags}");

    assert_eq!(parameter_names(&prototype(dwarf, "other")), ["n"]);
    assert_eq!(parameter_names(&prototype(dwarf, "alike")), ["p"]);
    assert_eq!(parameter_names(&prototype(dwarf, "main")), ["argc", "argv"]);
    let no_result = prototype(dwarf, "no_result");
    assert_eq!(
        (no_result.parameters.len(), no_result.returns),
        (0, TypeId(0))
    );
    assert_eq!(
        dwarf.prototype("twin"),
        Ok(None),
        "{flags}: two that differ"
    );
    assert_eq!(dwarf.prototype("nonesuch"), Ok(None));
    assert_eq!(dwarf.prototype_at(VirtAddr(1)), Ok(None));
}

#[test]
fn all_versions_of_dwarf_tell_the_same() {
    for (number, flags) in [
        "-g -O0",
        "-gdwarf-5 -O1",
        "-gdwarf-4 -O2 -fno-ipa-sra",
        "-gdwarf-3 -gstrict-dwarf -O0",
        "-gdwarf-2 -gstrict-dwarf -O0",
        "-gdwarf-4 -fdebug-types-section -O0",
        "-gdwarf-5 -fdebug-types-section -O0",
        "-g -gz=zlib -O0",
        "-g -gz=zlib-gnu -O0",
        "-g -flto -O1 -fno-ipa-sra -fno-ipa-icf",
    ]
    .iter()
    .enumerate()
    {
        let (_folder, dwarf) = compile(&format!("dwarf-{number}"), flags);
        check_c(&dwarf, flags);
    }
}

#[test]
fn debug_files_are_used_and_packed_ones_unpacked() {
    for (number, packing) in ["none", "zlib", "zlib-gnu", "zstd"].into_iter().enumerate() {
        let folder = Folder::new(&format!("dwarf-packed-{number}"));
        std::fs::write(folder.path("other.c"), OTHER_UNIT).expect("writable");
        let make = format!(
            "gcc -g -O0 -o program source.c other.c \
             && objcopy --only-keep-debug program program.debug \
             && objcopy --compress-debug-sections={packing} program.debug \
             && strip program && objcopy --add-gnu-debuglink=program.debug program"
        );
        let image = folder.compile(C_PROGRAM, &make);
        let debug = folder.debug(&image.elf().expect("valid"), "/program");
        let dwarf = open(image, debug);
        assert!(dwarf.image().path().ends_with("program.debug"));
        check_c(&dwarf, packing);
    }
}

#[test]
fn without_debug_information_there_is_nothing() {
    let folder = Folder::new("dwarf-none");
    let image = folder.compile("int main(void) { return 0; }", "gcc -o program source.c");
    let dwarf = Dwarf::open(image, DebugSymbols::none()).expect("undamaged");
    assert!(dwarf.is_none());
}

#[test]
fn what_is_inlined_or_optimised_keeps_its_parameters() {
    let source = "
        static inline int inner(int depth, void *data) { return depth + (data != 0); }
        __attribute__((noinline)) int outer(int depth, void *unused, void *data) {
          return inner(depth, data) + inner(depth + 1, data);
        }
        int (*taken)(int, void *) = inner;
        int main(int argc, char **argv) { return outer(argc, argv, argv) + taken(argc, 0); }";
    let folder = Folder::new("dwarf-inlined");
    let image = folder.compile(source, "gcc -g -O2 -fno-ipa-sra -o program source.c");
    let dwarf = open(image, DebugSymbols::none());
    let outer = prototype(&dwarf, "outer");
    assert_eq!(parameter_names(&outer), ["depth", "unused", "data"]);
    let inner = prototype(&dwarf, "inner");
    assert_eq!(parameter_names(&inner), ["depth", "data"]);
    assert_eq!(get(&dwarf, inner.returns), Type::Int(int("int", 4, true)));
}

#[test]
fn functions_without_an_entry_are_known_by_their_declarations() {
    let source = r#"
        __asm__(".text\n.globl assembled\n.type assembled, @function\nassembled: ret\n.size assembled, 1\n");
        __asm__(".globl unknown\n.type unknown, @function\nunknown: ret\n.size unknown, 1\n");
        long assembled(const char *text, int n);
        int unknown();
        static int one(int n) { return n; }
        static void *pick(void) { return one; }
        int chosen(int n) __attribute__((ifunc("pick")));
        int main(int argc, char **argv) { return assembled(argv[0], 1) + chosen(argc) + unknown(1); }"#;
    let folder = Folder::new("dwarf-declared");
    let image = folder.compile(source, "gcc -g -O0 -o program source.c");
    let dwarf = open(image, DebugSymbols::none());
    let assembled = prototype(&dwarf, "assembled");
    assert_eq!(parameter_names(&assembled), ["", ""]);
    let n = get(&dwarf, assembled.parameters[1].type_id);
    assert_eq!(n, Type::Int(int("int", 4, true)));
    let result = get(&dwarf, assembled.returns);
    assert_eq!(result, Type::Int(int("long int", 8, true)));
    assert_eq!(dwarf.prototype("unknown"), Ok(None));
    // gcc does not describe it; its resolver, which is at its address, is another function.
    assert_eq!(dwarf.prototype("chosen"), Ok(None));
    assert_eq!(parameter_names(&prototype(&dwarf, "pick")), [""; 0]);
}

const CPP_PROGRAM: &str = r#"
namespace ns {
struct Base { long first; virtual ~Base() {} };
template <class T> struct Box : Base {
  enum class Color : short { Red = -1, Blue };
  enum { Plain = 7 };
  static int count;
  T value;
  Color color;
  int get(int k, const T &other) const;
  Box(T v, int seed);
};
template <class T> __attribute__((noinline)) int Box<T>::get(int k, const T &other) const { return k + value + other + Plain; }
template <class T> __attribute__((noinline)) Box<T>::Box(T v, int seed) : value(v), color(Color::Red) { first = seed; }
using Boxes = Box<int>;
__attribute__((noinline)) int use(Boxes &box, int &&moved) { return box.get(moved, 2) + (int)box.color; }
}
struct point { int x; };
__attribute__((noinline)) int plain(point *p, bool yes, char8_t *text, decltype(nullptr) nothing) { return p->x + yes; }
int main(int c, char **) { ns::Boxes b(c, 3); point p{c}; char8_t t[2] = {}; return ns::use(b, 4) + plain(&p, true, t, nullptr); }
"#;

#[test]
fn cpp_has_methods_references_bases_and_scopes() {
    for (number, flags) in [
        "-gdwarf-5 -O0",
        "-gdwarf-4 -O1",
        "-gdwarf-4 -fdebug-types-section -O0",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("dwarf-cpp-{number}"));
        let make = format!("g++ -std=c++20 -fno-ipa-sra {flags} -x c++ -o program source.c");
        let dwarf = open(folder.compile(CPP_PROGRAM, &make), DebugSymbols::none());
        let get_method = prototype(&dwarf, "ns::Box<int>::get(int, int const&) const");
        assert_eq!(
            parameter_names(&get_method),
            ["this", "k", "other"],
            "{flags}"
        );
        let mangled = prototype(&dwarf, "_ZNK2ns3BoxIiE3getEiRKi");
        assert_eq!(mangled, get_method, "{flags}");
        let other = target(&dwarf, get_method.parameters[2].type_id);
        assert_eq!(other, Type::Int(int("int", 4, true)), "{flags}");
        let Type::Composite(this) = target(&dwarf, get_method.parameters[0].type_id) else {
            panic!("{flags}: {get_method:?}");
        };
        let base = this.members.iter().find(|member| member.name.is_none());
        match base.map(|base| (base.bit_offset, get(&dwarf, base.type_id))) {
            Some((0, Type::Composite(base))) => {
                assert_eq!(member(&base, "first").bit_offset, 64, "{flags}");
            }
            other => panic!("{flags}: {other:?}"),
        }
        assert!(
            this.members
                .iter()
                .all(|member| member.name.as_deref() != Some("count"))
        );
        assert_eq!(member(&this, "value").bit_offset, 128, "{flags}");

        for (keyword, name) in [
            (Keyword::Struct, "ns::Box<int>"),
            (Keyword::Struct, "Box<int>"),
            (Keyword::None, "ns::Boxes"),
            (Keyword::None, "Box<int>"),
        ] {
            assert_eq!(composite(&dwarf, keyword, name), this, "{flags}: {name}");
        }
        assert_eq!(
            dwarf.find(Keyword::Struct, "other::Box<int>"),
            Ok(None),
            "{flags}"
        );
        let constant = |name| {
            let found = dwarf.constant(name).expect("undamaged");
            found.map(|(_, value)| value)
        };
        assert_eq!(constant("ns::Box<int>::Color::Red"), Some(-1), "{flags}");
        assert_eq!(constant("ns::Box<int>::Plain"), Some(7), "{flags}");
        assert_eq!(constant("Blue"), Some(0), "{flags}");

        let use_it = prototype(&dwarf, "ns::use");
        assert_eq!(parameter_names(&use_it), ["box", "moved"], "{flags}");
        let plain = prototype(&dwarf, "plain");
        assert_eq!(
            parameter_names(&plain),
            ["p", "yes", "text", "nothing"],
            "{flags}"
        );
        let yes = get(&dwarf, plain.parameters[1].type_id);
        assert!(matches!(yes, Type::Int(yes) if yes.is_bool), "{flags}");
        let text = target(&dwarf, plain.parameters[2].type_id);
        assert!(matches!(text, Type::Int(text) if text.is_char), "{flags}");
    }
}

#[test]
fn rust_programs_are_understood_as_far_as_c_goes() {
    let source = r#"
        #[repr(C)] pub struct Point { x: i32, y: u8, state: State, name: &'static str }
        #[derive(Clone, Copy)] #[repr(u8)] pub enum State { Off, On = 5 }
        #[inline(never)] #[unsafe(no_mangle)]
        pub extern "C" fn measure(point: &Point, scale: u64) -> bool {
            point.x as u64 + scale > point.y as u64 + point.state as u64 + point.name.len() as u64
        }
        fn main() {
            let point = Point { x: 1, y: 2, state: State::On, name: "n" };
            std::process::exit(i32::from(measure(std::hint::black_box(&point), 3)));
        }"#;
    let folder = Folder::new("dwarf-rust");
    let make = "rustc --edition 2024 -g -o program source.c 2>/dev/null";
    let dwarf = open(folder.compile(source, make), DebugSymbols::none());
    let measure = prototype(&dwarf, "measure");
    assert_eq!(parameter_names(&measure), ["point", "scale"]);
    let result = get(&dwarf, measure.returns);
    assert!(matches!(result, Type::Int(result) if result.is_bool && result.bytes == 1));
    let Type::Composite(point) = target(&dwarf, measure.parameters[0].type_id) else {
        panic!("{measure:?}");
    };
    let y = get(&dwarf, member(&point, "y").type_id);
    assert_eq!(y, Type::Int(int("u8", 1, false)));
    match get(&dwarf, member(&point, "state").type_id) {
        Type::Enum(state) => assert_eq!(state.constants[1], ("On".to_owned(), 5)),
        other => panic!("{other:?}"),
    }
    let found = composite(&dwarf, Keyword::Struct, "Point");
    assert!(
        found
            .members
            .iter()
            .any(|member| member.name.as_deref() == Some("state"))
    );
}
