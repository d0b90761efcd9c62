//! Where compiled functions have their parameters and results, by what the compiler tells of them.

use super::{Machine, Options, Sources, compile, machine::Output};
use crate::{
    compile::{Context, FunctionSite, Site, Space},
    resolve::elf::{DebugSymbols, test_programs::Folder},
    spec::TraceSpec,
    types::{Dwarf, TypeSource as _},
};

const STACK: u64 = 0x7fff_0000_5000;

/// What the integer register of a number holds: the address of the numbers of [`pointed_to`].
const fn register(number: u64) -> i64 {
    0x6000 + 0x100 * number.cast_signed()
}

const fn pointed_to(register: u64, word: u64) -> i64 {
    (100 * (register + 1) + word).cast_signed()
}

/// What lies so many words behind the return address.
const fn stack(word: u64) -> i64 {
    9000 + word.cast_signed()
}

fn words(word: impl Fn(u64) -> i64, count: u64) -> Vec<u8> {
    (0..count).flat_map(|at| word(at).to_le_bytes()).collect()
}

/// A machine in which each word that an argument may be is another.
fn machine() -> Machine {
    let registers: Vec<u64> = (0..6).map(|it| register(it).cast_unsigned()).collect();
    let on_stack = [vec![0; 8], words(stack, 64)].concat();
    let machine = Machine::new(168)
        .args(&registers)
        .context(152, &STACK.to_le_bytes())
        .user(STACK, &on_stack);
    (0..6).fold(machine, |machine, it| {
        machine.user(registers[it as usize], &words(|at| pointed_to(it, at), 8))
    })
}

struct Program {
    dwarf: Dwarf,
    _folder: Folder,
}

impl Program {
    fn new(name: &str, source: &str, flags: &str) -> Self {
        let folder = Folder::new(name);
        let make = format!("g++ -shared -fPIC -w -o program -x c++ {flags} source.c");
        let image = folder.compile(source, &make);
        let dwarf = Dwarf::open(image, DebugSymbols::none());
        Self {
            dwarf: dwarf.expect("undamaged").expect("it is described"),
            _folder: folder,
        }
    }

    /// The value of an expression of a function, at whose return it is read if `at_return`.
    fn value(&self, function: &str, expression: &str, at_return: bool) -> Result<i64, String> {
        let site = Site::Function(FunctionSite {
            prototype: self.dwarf.prototype(function).expect("undamaged"),
            at_return,
            space: Space::User,
            wrapper: None,
        });
        let probe = if at_return { "r" } else { "p" };
        let text = format!("{probe}:c:{function} \"%ld\", {expression}");
        let spec = TraceSpec::parse(&text).expect("it parses");
        let sources = Sources {
            kernel: None,
            site: Some(&self.dwarf),
        };
        let options = Options {
            context: Context::PtRegs,
            text_bytes: Options::DEFAULT_TEXT_BYTES,
            pid_namespace: None,
        };
        let compiled = compile(&spec, &site, sources, &options).map_err(|it| it.to_string())?;
        let mut machine = machine();
        if at_return {
            machine = machine
                .context(80, &register(0).to_le_bytes())
                .context(96, &register(1).to_le_bytes());
        }
        match machine.values(&compiled)[..] {
            [Output::Number(number)] => Ok(number),
            ref other => Err(format!("{other:?}")),
        }
    }

    #[track_caller]
    fn expect(&self, function: &str, expected: &[(&str, i64)]) {
        for (expression, expected) in expected {
            let value = self.value(function, expression, false);
            assert_eq!(value, Ok(*expected), "{expression} of {function}");
        }
    }

    #[track_caller]
    fn expect_returned(&self, function: &str, expression: &str, expected: i64) {
        let value = self.value(function, expression, true);
        assert_eq!(value, Ok(expected), "{expression} of {function}");
    }

    /// Expects that error, and its caret under that part of the probe.
    #[track_caller]
    fn refuse(&self, function: &str, expression: &str, at_return: bool, expected: [&str; 2]) {
        let error = self.value(function, expression, at_return);
        let error = error.expect_err("it can't be read");
        let lines: Vec<&str> = error.lines().collect();
        let start = lines[2].find('^').expect("a caret");
        let carets = lines[2].bytes().filter(|byte| *byte == b'^').count();
        let found = [lines[0], &lines[1][start..start + carets]];
        assert_eq!(found, expected, "{error}");
    }
}

#[test]
fn classes_that_are_not_trivial_are_passed_by_reference() {
    let source = r#"
        #define F extern "C" long
        struct Tiny { long v; ~Tiny() {} };
        struct Two { long a, b; Two(const Two &o); };
        struct Moved { long a, b; Moved(Moved &&o); };
        struct Only { long a; Only(Only &&) = delete; Only(const Only &) = delete; };
        struct Virtual { virtual void f() {} long v; };
        struct Base { long b; };
        struct Shared : virtual Base { long v; };
        struct Holder { long k; Tiny t; };
        struct Several { long k; Two array[3]; };
        struct Empty { ~Empty() {} };
        template <class T> struct Box { T v; Box(const Box &o) : v(o.v) {} };
        // These are trivial.
        struct Plain { long a, b; ~Plain() = default; Plain(const Plain &) = default; };
        struct Handed { long a; Handed(Handed &&) = default; Handed(const Handed &) = delete; };
        struct Child { long v; Child(const Child &parent, int depth); Child(long); long get(); };
        struct Nothing {};
        struct Derived : Nothing { long v; };
        // Described only where it is made.
        Virtual *make() { return new Virtual; }
        Shared *make_shared() { return new Shared; }
        F tiny(Tiny t, long x) { return t.v + x; }
        F two(Two t, long x) { return t.a + x; }
        F moved(Moved t, long x) { return t.a + x; }
        F only(Only t, long x) { return t.a + x; }
        F with_virtual(Virtual t, long x) { return t.v + x; }
        F shared(Shared t, long x) { return t.v + x; }
        F holder(Holder t, long x) { return t.k + x; }
        F several(Several t, long x) { return t.k + x; }
        F empty(Empty t, long x) { return x; }
        F box(Box<long> t, long x) { return t.v + x; }
        F on_stack(long a, long b, long c, long d, long e, long f, Two t, long x) { return x; }
        F plain(Plain t, long x) { return t.a + x; }
        F handed(Handed t, long x) { return t.a + x; }
        F child(Child t, long x) { return t.v + x; }
        F nothing(Nothing t, long x) { return x; }
        F derived(Derived t, long x) { return t.v + x; }
        F null(decltype(nullptr), long x) { return x; }
        extern "C" Tiny give(long x) { return Tiny{x}; }
        extern "C" Plain give_plain(long x);
        extern "C" Plain give_plain(long x) { return *(Plain *)x; }"#;
    let program = Program::new("conventions-classes", source, "-g");
    let (first, second) = (register(0), register(1));
    for (function, member, expected) in [
        ("tiny", "t.v", pointed_to(0, 0)),
        ("two", "t.b", pointed_to(0, 1)),
        ("moved", "t.b", pointed_to(0, 1)),
        ("only", "t.a", pointed_to(0, 0)),
        ("with_virtual", "t.v", pointed_to(0, 1)),
        ("shared", "t.v", pointed_to(0, 1)),
        ("holder", "t.t.v", pointed_to(0, 1)),
        ("several", "t.array[1].a", pointed_to(0, 3)),
        ("empty", "x", second),
        ("box", "t.v", pointed_to(0, 0)),
        ("handed", "t.a", first),
        ("child", "t.v", first),
        ("derived", "t.v", first),
        ("null", "x", second),
    ] {
        program.expect(function, &[(member, expected), ("x", second)]);
    }
    program.expect("plain", &[("t.b", second), ("x", register(2))]);
    program.expect("nothing", &[("x", first)]);
    program.expect("on_stack", &[("f", register(5)), ("x", stack(1))]);
    program.expect("give", &[("x", second)]);
    program.expect("give_plain", &[("x", first)]);
    program.expect_returned("give", "retval.v", pointed_to(0, 0));
    program.expect_returned("give_plain", "retval.b", second);
}

#[test]
fn vectors_are_in_registers_of_their_own() {
    let source = r#"
        #define F extern "C" long
        typedef int Vector __attribute__((vector_size(16)));
        typedef int Wide __attribute__((vector_size(32)));
        struct Holder { Vector v; };
        F vector(Vector v, long x) { return x; }
        F holder(Holder v, long x) { return x; }
        F wide(Wide v, long x, long b, long c, long d, long e, long f, long g) { return x; }
        extern "C" Vector give(long x) { return Vector{}; }
        extern "C" Wide give_wide(long x) { return Wide{}; }"#;
    let program = Program::new("conventions-vectors", source, "-g");
    for function in ["vector", "holder", "wide", "give"] {
        program.expect(function, &[("x", register(0))]);
    }
    let expected = "a vector of 16 bytes passed by value where a number or pointer is needed";
    program.refuse("vector", "v", false, [expected, "v"]);
    let expected = "a vector of 16 bytes where a number or pointer is needed";
    program.refuse("holder", "v.v", false, [expected, "v.v"]);
    // It depends on the CPU that it is compiled for.
    let expected = "`g` is not available: it comes after `v`, and how a vector of 32 bytes is passed \
                    is not known";
    program.refuse("wide", "g", false, [expected, "g"]);
    program.expect("wide", &[("f", register(5))]);
    let expected = "`x` is not available: how the function's result is returned is not known";
    program.refuse("give_wide", "x", false, [expected, "x"]);
}

#[test]
fn what_is_wide_is_aligned_on_the_stack() {
    let source = r#"
        #define F extern "C" long
        #define SIX long a, long b, long c, long d, long e, long f
        struct Aligned { alignas(16) long a; long b; };
        struct alignas(32) Big { long a; };
        struct Real { long double v; };
        struct Long { __int128 wide; long a; };
        struct __attribute__((packed)) Packed { __int128 wide; long a; };
        F real(long double v, SIX, long g) { return g; }
        F real_after(SIX, long g, long double v, long h) { return h; }
        F real_struct(SIX, long g, Real v, long h) { return h; }
        F complex(SIX, long g, _Complex long double v, long h) { return h; }
        F quadruple(__float128 v, SIX, long g) { return g; }
        F wide(SIX, long g, __int128 h, long i) { return i; }
        F wide_registers(__int128 h, long i) { return i; }
        F wide_left(long a, long b, long c, long d, long e, __int128 h, long i, long j) { return j; }
        F aligned(SIX, long g, Aligned s, long i) { return i; }
        F big(SIX, long g, Big s, long i) { return i; }
        F with_wide(SIX, long g, Long s, long i) { return i; }
        F with_packed(SIX, long g, Packed s, long i) { return i; }
        extern "C" long double give(long x) { return x; }
        extern "C" _Complex long double give_complex(long x) { return x; }
        extern "C" Real give_real(long x) { return Real(); }"#;
    for flags in ["-g", "-gdwarf-4"] {
        let program = Program::new("conventions-wide", source, flags);
        program.expect("real", &[("a", register(0)), ("g", stack(2))]);
        program.expect("real_after", &[("g", stack(0)), ("h", stack(4))]);
        program.expect("real_struct", &[("g", stack(0)), ("h", stack(4))]);
        program.expect("complex", &[("g", stack(0)), ("h", stack(6))]);
        program.expect("quadruple", &[("f", register(5)), ("g", stack(0))]);
        program.expect("wide", &[("g", stack(0)), ("i", stack(4))]);
        program.expect("wide_registers", &[("i", register(2))]);
        program.expect("wide_left", &[("i", register(5)), ("j", stack(2))]);
        let expected = [("s.a", stack(2)), ("s.b", stack(3)), ("i", stack(4))];
        program.expect("aligned", &expected);
        program.expect("big", &[("s.a", stack(4)), ("i", stack(8))]);
        program.expect("with_wide", &[("s.a", stack(4)), ("i", stack(6))]);
        program.expect("with_packed", &[("s.a", stack(3)), ("i", stack(4))]);
        for function in ["give", "give_complex", "give_real"] {
            program.expect(function, &[("x", register(0))]);
        }
    }
}

#[test]
fn structures_with_members_that_are_not_aligned_are_on_the_stack() {
    let source = r#"
        #define F extern "C" long
        struct __attribute__((packed)) Packed { char a; long b; };
        struct __attribute__((packed)) Harmless { long a; int b; };
        struct __attribute__((packed)) Bits { long a : 60; long b : 20; };
        F packed(Packed p, long x) { return x; }
        F harmless(Harmless p, long x) { return x; }
        F bits(Bits p, long x) { return x; }
        extern "C" Packed give(long x) { return Packed(); }"#;
    let program = Program::new("conventions-packed", source, "-g");
    program.expect("packed", &[("x", register(0))]);
    program.expect("harmless", &[("p.a", register(0)), ("x", register(2))]);
    program.expect("bits", &[("x", register(2))]);
    program.expect("give", &[("x", register(1))]);
}

#[test]
fn pointers_to_members() {
    let source = r#"
        struct S { long m; long f(); };
        typedef long S::*Data;
        typedef long (S::*Function)();
        extern "C" long data(Data d, long x) { return x; }
        extern "C" long function(Function f, long x) { return x; }"#;
    let program = Program::new("conventions-members", source, "-g");
    program.expect("data", &[("d", register(0)), ("x", register(1))]);
    program.expect("function", &[("x", register(2))]);
    let expected =
        "a pointer to a member function passed by value where a number or pointer is needed";
    program.refuse("function", "f", false, [expected, "f"]);
}

#[test]
fn parameters_behind_one_of_an_unknown_type_are_not_guessed() {
    let source = r#"
        extern "C" long f(long a, _Complex int odd, long x) { return x; }"#;
    let program = Program::new("conventions-unknown", source, "-g");
    program.expect("f", &[("a", register(0)), ("arg3", register(2))]);
    let expected = "`odd` is not available: how complex int is passed is not known";
    program.refuse("f", "odd", false, [expected, "odd"]);
    let expected =
        "`x` is not available: it comes after `odd`, and how complex int is passed is not known";
    program.refuse("f", "x", false, [expected, "x"]);
}

#[test]
fn integers_beside_floating_point_numbers() {
    let source = r#"
        #define F extern "C" long
        struct Half { double d; int i; };
        struct Other { long i; float d[2]; };
        struct Mixed { float a; int b; double c; };
        struct Padded { alignas(16) long a; };
        F half(Half m, long x) { return x; }
        F other(long x, Other m, long y) { return x; }
        F mixed(Mixed m, long x) { return x; }
        F padded(Padded m, long x) { return x; }
        extern "C" Half give(long x) { return Half(); }"#;
    let program = Program::new("conventions-halves", source, "-g");
    program.expect("half", &[("m.i", register(0)), ("x", register(1))]);
    program.expect("other", &[("m.i", register(1)), ("y", register(2))]);
    program.expect("mixed", &[("m.b", 0), ("x", register(1))]);
    program.expect("padded", &[("m.a", register(0)), ("x", register(1))]);
    program.expect_returned("give", "retval.i", register(0));
    let expected = "floating-point numbers (double) can't be read";
    program.refuse("half", "m.d", false, [expected, "m.d"]);
    program.refuse("give", "retval.d", true, [expected, "retval.d"]);
    let expected = "floating-point numbers (float) can't be read";
    program.refuse("other", "1 + m.d[1]", false, [expected, "m.d[1]"]);
}

/// Each dimension would make it take eight times as long.
#[test]
fn dimensions_of_nothing_are_soon_seen_through() {
    let dimensions = "[8]".repeat(13);
    let source = format!(
        "struct E {{}};
        struct X {{ struct E a{dimensions}; char c[9]; }};
        long f(struct X x, long y) {{ return y; }}"
    );
    let program = Program::new("conventions-dimensions", &source, "-g -x c");
    program.expect("f", &[("y", register(2))]);
}
