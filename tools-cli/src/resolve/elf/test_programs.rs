//! Real programs, made by the system's compiler, and what is found in them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::*;
use crate::{resolve::address::VirtAddr, spec::Pattern};

pub(super) const C_PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
static int __attribute__((noinline)) hidden(int n) { return n * 3 + (int)strlen("x"); }
int visible(int n) { return hidden(n) + 1; }
int same_place(int n) __attribute__((alias("visible")));
int __same_place(int n) __attribute__((alias("visible")));
static int slow(int n) { return n + 1; }
static int fast(int n) { return n + 2; }
static void *pick(void) { __builtin_cpu_init(); return __builtin_cpu_supports("avx2") ? fast : slow; }
int chosen(int n) __attribute__((ifunc("pick")));
int main(int argc, char **argv) { printf("%d\n", visible(argc) + chosen(argc)); return 0; }
"#;

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("probekit-elf-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a command in the folder and gives what it prints.
    pub(crate) fn run(&self, command: &str) -> String {
        let output = Command::new("sh")
            .arg("-ec")
            .arg(command)
            .current_dir(&self.0)
            .output();
        let output = output.expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn compile(&self, source: &str, command: &str) -> Image {
        fs::write(self.path("source.c"), source).expect("writable");
        self.run(command);
        Image::open(&self.path("program")).expect("compiled")
    }

    /// The debug symbols of a program, looked for with the folder as the root directory.
    pub(crate) fn debug(&self, elf: &Elf<'_>, file: &str) -> DebugSymbols {
        let search = DebugSearch {
            root: &self.0,
            file: Path::new(file),
            open: &Image::open,
        };
        DebugSymbols::find(elf, search)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it; a test that fails should fail for its own reason.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn find(elf: &Elf<'_>, pattern: &str, debug: &DebugSymbols) -> Found {
    elf.find_functions(&Pattern::glob(pattern), debug)
        .expect("readable")
}

pub(super) fn names(found: &Found) -> Vec<&str> {
    found
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .collect()
}

/// The address of a symbol as `nm` has it.
pub(super) fn nm(folder: &Folder, file: &str, symbol: &str) -> VirtAddr {
    let line = folder.run(&format!("nm {file} | grep -E ' {symbol}$'"));
    let address = line.split_whitespace().next().expect("an address");
    VirtAddr(u64::from_str_radix(address, 16).expect("hexadecimal"))
}

#[test]
fn a_program_with_symbols_has_them_all() {
    let folder = Folder::new("symbols");
    let image = folder.compile(C_PROGRAM, "gcc -O1 -o program source.c");
    let elf = image.elf().expect("valid");
    let debug = DebugSymbols::none();
    let hidden = find(&elf, "hidden", &debug);
    assert_eq!(names(&hidden), ["hidden"]);
    assert_eq!(
        hidden.functions[0].address,
        nm(&folder, "program", "hidden")
    );
    let code = elf.code_at(hidden.functions[0].address).expect("code");
    let offset = usize::try_from(hidden.functions[0].offset.0).expect("small");
    assert!(image.data()[offset..].starts_with(&code[..4]));
    assert_eq!(names(&find(&elf, "nonesuch", &debug)), [""; 0]);
    assert_eq!(
        names(&find(&elf, "printf", &debug)),
        [""; 0],
        "defined elsewhere"
    );
    assert!(!elf.is_go_binary());
}

#[test]
fn several_names_of_one_address_are_one_function() {
    let folder = Folder::new("aliases");
    let image = folder.compile(C_PROGRAM, "gcc -O1 -o program source.c");
    let elf = image.elf().expect("valid");
    let debug = DebugSymbols::none();
    assert_eq!(names(&find(&elf, "same_place", &debug)), ["same_place"]);
    assert_eq!(names(&find(&elf, "__same_place", &debug)), ["__same_place"]);
    assert_eq!(
        names(&find(&elf, "*same_place", &debug)),
        ["same_place"],
        "no underscores"
    );
    assert_eq!(
        names(&find(&elf, "*s*i*e", &debug)),
        ["visible"],
        "visible alone fits"
    );
    let everything = find(&elf, "*", &debug);
    let of_visible = nm(&folder, "program", "visible");
    let shown: Vec<_> = everything
        .functions
        .iter()
        .filter(|f| f.address == of_visible)
        .map(|f| &f.name)
        .collect();
    assert_eq!(shown, ["visible"], "the shortest");
    assert!(
        everything
            .functions
            .is_sorted_by(|a, b| a.address < b.address)
    );
}

#[test]
fn static_functions_of_one_name_are_several_functions() {
    let folder = Folder::new("static");
    fs::write(folder.path("b.c"), "static __attribute__((noinline)) int twin(int n){return n*7;} int b(int n){return twin(n)+twin(n+1);}").expect("writable");
    let source = "int b(int); static __attribute__((noinline)) int twin(int n){return n*5;} int main(int c,char**v){return twin(c)+b(c);}";
    let image = folder.compile(source, "gcc -O0 -o program source.c b.c");
    let elf = image.elf().expect("valid");
    assert_eq!(
        names(&find(&elf, "twin", &DebugSymbols::none())),
        ["twin", "twin"]
    );
}

#[test]
fn a_stripped_program_takes_its_symbols_from_the_debug_file() {
    let folder = Folder::new("debuglink");
    let make = "gcc -g -O1 -Wl,--build-id=none -o program source.c \
        && objcopy --only-keep-debug program program.debug \
        && strip --strip-all --remove-section=.comment program \
        && objcopy --add-gnu-debuglink=program.debug program";
    let image = folder.compile(C_PROGRAM, make);
    let elf = image.elf().expect("valid");
    assert_eq!(
        names(&find(&elf, "hidden", &DebugSymbols::none())),
        [""; 0],
        "stripped"
    );
    let expected = nm(&folder, "program.debug", "hidden");
    for place in [".", ".debug", "usr/lib/debug"] {
        folder.run(&format!(
            "mkdir -p {place}; [ {place} = . ] || mv $(find . -name program.debug) {place}/"
        ));
        let debug = folder.debug(&elf, "/program");
        let found = find(&elf, "hidden", &debug);
        assert_eq!(names(&found), ["hidden"], "{place}: {:?}", debug.notes());
        assert_eq!(found.functions[0].address, expected);
        assert!(found.notes.is_empty());
    }
    folder.run("echo >> usr/lib/debug/program.debug");
    let notes = folder.debug(&elf, "/program").notes().join("\n");
    assert!(notes.contains("neither build-id nor checksum"), "{notes}");
}

#[test]
fn a_debug_file_is_found_by_build_id_and_another_build_is_refused() {
    let folder = Folder::new("buildid");
    let make = "gcc -g -O1 -Wl,--build-id=0xabcdef0123 -o program source.c \
        && mkdir -p usr/lib/debug/.build-id/ab \
        && objcopy --only-keep-debug program usr/lib/debug/.build-id/ab/cdef0123.debug \
        && strip program";
    let image = folder.compile(C_PROGRAM, make);
    let elf = image.elf().expect("valid");
    assert_eq!(elf.build_id(), Some(&[0xab, 0xcd, 0xef, 0x01, 0x23][..]));
    let debug = folder.debug(&elf, "/program");
    assert_eq!(
        debug.path(),
        Some(&*folder.path("usr/lib/debug/.build-id/ab/cdef0123.debug"))
    );
    assert_eq!(names(&find(&elf, "hidden", &debug)), ["hidden"]);
    folder.run(
        "gcc -g -Wl,--build-id=0xabcdef0124 -o usr/lib/debug/.build-id/ab/cdef0123.debug source.c",
    );
    let found = find(&elf, "hidden", &folder.debug(&elf, "/program"));
    assert!(found.functions.is_empty());
    assert!(
        found.notes[0].ends_with("is ignored: its build-id differs"),
        "{:?}",
        found.notes
    );
}

#[test]
fn a_link_to_the_file_itself_ends_the_search() {
    let folder = Folder::new("cycle");
    let make = "gcc -O1 -o program source.c && strip program && cp program other \
        && objcopy --add-gnu-debuglink=other program && cp program other";
    let image = folder.compile(C_PROGRAM, make);
    let debug = folder.debug(&image.elf().expect("valid"), "/other");
    assert_eq!(debug.path(), None);
    assert!(
        debug.notes()[0].ends_with("it has no symbol table"),
        "{:?}",
        debug.notes()
    );
}

#[test]
fn gnu_debugdata_is_unpacked_if_nothing_else_has_symbols() {
    let folder = Folder::new("mini");
    let make = "gcc -g -O1 -o full source.c && objcopy --only-keep-debug full mini \
        && objcopy -S --remove-section=.comment --keep-symbol=hidden mini && xz -k mini \
        && cp full program && strip program && objcopy --add-section .gnu_debugdata=mini.xz program";
    let image = folder.compile(C_PROGRAM, make);
    let elf = image.elf().expect("valid");
    let found = find(&elf, "hidden", &folder.debug(&elf, "/program"));
    assert_eq!(names(&found), ["hidden"], "{:?}", found.notes);
    assert_eq!(found.functions[0].address, nm(&folder, "full", "hidden"));

    folder.run("head -c 200 mini.xz > cut.xz; cp full program; strip program; objcopy --add-section .gnu_debugdata=cut.xz program");
    let image = Image::open(&folder.path("program")).expect("there");
    let elf = image.elf().expect("valid");
    let debug = folder.debug(&elf, "/program");
    assert_eq!(debug.path(), None);
    assert!(
        debug.notes()[0].contains("program[.gnu_debugdata] is ignored"),
        "{:?}",
        debug.notes()
    );
}

#[test]
fn cpp_functions_are_found_by_all_their_names() {
    let folder = Folder::new("cpp");
    let source = "namespace ns { struct Box { int n; __attribute__((noinline)) int get(int k) const; };\n\
        int Box::get(int k) const { return n + k; } __attribute__((noinline)) int get(long k) { return (int)k; } }\n\
        int main(int c, char**) { ns::Box b{c}; return b.get(c) + ns::get(c); }";
    let image = folder.compile(source, "g++ -x c++ -O1 -o program source.c");
    let elf = image.elf().expect("valid");
    let debug = DebugSymbols::none();
    for pattern in [
        "_ZNK2ns3Box3getEi",
        "ns::Box::get",
        "ns::Box::get(int) const",
        "ns::Box::*",
    ] {
        assert_eq!(
            names(&find(&elf, pattern, &debug)),
            ["ns::Box::get(int) const"],
            "{pattern}"
        );
    }
    assert_eq!(find(&elf, "ns::*get*", &debug).functions.len(), 2);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn instructions_start_where_objdump_says() {
    let folder = Folder::new("instructions");
    let image = folder.compile(C_PROGRAM, "gcc -O1 -o program source.c");
    let elf = image.elf().expect("valid");
    let found = find(&elf, "main", &DebugSymbols::none());
    let function = &found.functions[0];
    let listing = folder.run("objdump -d --disassemble=main --no-show-raw-insn program | grep -E '^ +[0-9a-f]+:' | cut -d: -f1");
    let expected: Vec<u64> = listing
        .lines()
        .map(|line| u64::from_str_radix(line.trim(), 16).expect("hexadecimal") - function.address.0)
        .filter(|&offset| offset < function.size)
        .collect();
    let starts: Vec<u64> = (0..function.size)
        .filter(|&offset| {
            elf.instruction_starts_at(function, offset)
                .expect("decodable")
        })
        .collect();
    assert_eq!(starts, expected);
    let outside = elf
        .instruction_starts_at(function, function.size)
        .expect_err("outside");
    assert!(
        outside.to_string().ends_with("failed to decode main"),
        "{outside}"
    );
}

#[test]
fn parts_that_are_jumped_to_are_found_only_if_asked_for() {
    let folder = Folder::new("cold");
    let source = "int foo(int n){return n;}\n\
        __asm__(\".text\\n.type foo.cold, @function\\nfoo.cold: ret\\n.size foo.cold, 1\\n\");\n\
        int main(int c,char**v){return foo(c);}";
    let image = folder.compile(source, "gcc -O0 -o program source.c");
    let elf = image.elf().expect("valid");
    let debug = DebugSymbols::none();
    assert_eq!(names(&find(&elf, "foo", &debug)), ["foo"]);
    assert_eq!(names(&find(&elf, "foo*", &debug)), ["foo"]);
    let cold = find(&elf, "foo.cold", &debug);
    assert_eq!(names(&cold), ["foo.cold"]);
    assert_eq!(cold.functions[0].kind, FunctionKind::ColdPart);
}

#[test]
fn without_section_headers_the_segments_say_what_they_can() {
    let folder = Folder::new("sections");
    let image = folder.compile(
        C_PROGRAM,
        "gcc -Wl,--build-id=0xabcdef0123 -o program source.c",
    );
    let mut bytes = image.data().to_vec();
    bytes[40..48].fill(0); // e_shoff
    bytes[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
    let bare = Image::from_bytes(Path::new("/bare"), bytes);
    let (elf, bare) = (image.elf().expect("valid"), bare.elf().expect("valid"));
    assert_eq!(bare.build_id(), elf.build_id());
    assert!(bare.build_id().is_some());
    let main = nm(&folder, "program", "main");
    assert_eq!(bare.file_offset(main), elf.file_offset(main));
    assert!(find(&bare, "*", &DebugSymbols::none()).functions.is_empty());
}

#[test]
fn programs_of_the_go_compiler_are_known_by_their_sections() {
    let folder = Folder::new("go");
    let make = "gcc -o program source.c && objcopy --add-section .go.buildinfo=source.c program";
    let image = folder.compile(C_PROGRAM, make);
    assert!(image.elf().expect("valid").is_go_binary());
}

#[test]
fn what_a_file_was_cut_off_before_has_no_place_in_it() {
    let folder = Folder::new("cut");
    let image = folder.compile(C_PROGRAM, "gcc -o program source.c");
    let main = nm(&folder, "program", "main");
    let offset = image.elf().expect("valid").file_offset(main).expect("code");
    let offset = usize::try_from(offset.0).expect("small");
    for (length, expected) in [(offset, None), (offset + 1, Some(1))] {
        let cut = Image::from_bytes(Path::new("/cut"), image.data()[..length].to_vec());
        let elf = cut.elf().expect("valid");
        assert_eq!(elf.file_offset(main).is_some(), expected.is_some());
        assert_eq!(elf.code_at(main).map(<[u8]>::len), expected);
    }
}
