//! Files that are damaged or made to do harm: they never panic, and they end.

use std::{path::Path, sync::LazyLock};

use proptest::prelude::*;

use super::{test_programs::Folder, *};
use crate::spec::Pattern;

const SOURCE: &str = r#"
#include <string.h>
static int one(int n) { return n; }
static int two(int n) { return n * 2; }
static void *pick(void) { __builtin_cpu_init(); return __builtin_cpu_supports("avx2") ? one : two; }
int chosen(int n) __attribute__((ifunc("pick")));
int _ZN2ns3fooEi(int n) { return chosen(n); }
int main(int c, char **v) {
  __asm__ volatile("990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n"
    ".4byte 8, 994f-993f, 3\n.asciz \"stapsdt\"\n993: .8byte 990b, 0, 0\n"
    ".asciz \"app\"\n.asciz \"start\"\n.asciz \"4@%edi\"\n994: .balign 4\n.popsection\n");
  return _ZN2ns3fooEi(c) + (int)strlen(v[0]);
}
"#;

/// A program with everything in it that is read, the compressed symbols among it.
static PROGRAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = Folder::new("hostile");
    let make = "gcc -O1 -nostartfiles -Wl,-e,main -Wl,-z,noseparate-code -o full source.c -lc \
        && objcopy --only-keep-debug full mini && xz -k mini && cp full program && strip program \
        && objcopy --add-section .gnu_debugdata=mini.xz --add-gnu-debuglink=mini program";
    folder.compile(SOURCE, make).data().to_vec()
});

/// The same with its symbols as they stand.
static FULL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = Folder::new("hostile-full");
    folder
        .compile(
            SOURCE,
            "gcc -O1 -nostartfiles -Wl,-e,main -o program source.c -lc",
        )
        .data()
        .to_vec()
});

/// Reads everything there is to read; gives the number of functions and probes.
fn read_all(bytes: Vec<u8>, debug_file: &[u8]) -> (usize, usize) {
    let image = Image::from_bytes(Path::new("/hostile"), bytes);
    let Ok(elf) = image.elf() else { return (0, 0) };
    let open = |path: &Path| Ok(Image::from_bytes(path, debug_file.to_vec()));
    let search = DebugSearch {
        root: Path::new("/"),
        file: Path::new("/hostile"),
        open: &open,
    };
    let mut functions = 0;
    for debug in [DebugSymbols::none(), DebugSymbols::find(&elf, search)] {
        let found = elf
            .find_functions(&Pattern::glob("*"), &debug)
            .unwrap_or_default();
        functions = functions.max(found.sites(&elf).len());
        for function in &found.functions {
            let _ = elf.instruction_starts_at(function, 7);
        }
    }
    let probes = elf.usdt_probes().sites.len();
    let _ = (
        elf.irelative_slots().count(),
        elf.got_slots_of("strlen").count(),
    );
    let _ = (elf.is_go_binary(), elf.build_id());
    (functions, probes)
}

#[test]
fn undamaged_everything_is_found() {
    let (functions, probes) = read_all(PROGRAM.clone(), b"");
    assert!(functions >= 4, "{functions}");
    assert_eq!(probes, 1);
    assert_eq!(read_all(FULL.clone(), &FULL), (functions, probes));
}

/// Where damage does most: the headers, the section headers at the end, anywhere.
fn places() -> impl Strategy<Value = (u8, prop::sample::Index)> {
    (0u8..3, any::<prop::sample::Index>())
}

fn damage(bytes: &mut [u8], changes: &[((u8, prop::sample::Index), u8)]) {
    for ((area, index), value) in changes {
        let length = bytes.len();
        let at = match area {
            0 => index.index(length.min(1024)),
            1 => length - 1 - index.index(length.min(2304)),
            _ => index.index(length),
        };
        bytes[at] = *value;
    }
}

proptest! {
    #![proptest_config(crate::property::cases(2000))]

    #[test]
    fn cut_off_anywhere(full in any::<bool>(), length in any::<prop::sample::Index>()) {
        let program = if full { &*FULL } else { &*PROGRAM };
        read_all(program[..length.index(program.len())].to_vec(), program);
    }

    #[test]
    fn damaged_anywhere(
        full in any::<bool>(),
        changes in prop::collection::vec((places(), prop::sample::select(vec![0u8, 1, 7, 8, 0x7f, 0x80, 0xff])), 1..12),
    ) {
        let mut program = if full { FULL.clone() } else { PROGRAM.clone() };
        damage(&mut program, &changes);
        let whole = program.clone();
        read_all(program, &whole);
    }

    #[test]
    fn arbitrary_bytes_behind_a_good_header(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut program = FULL[..64].to_vec();
        program.extend(bytes);
        read_all(program, b"\x7fELF");
    }
}
