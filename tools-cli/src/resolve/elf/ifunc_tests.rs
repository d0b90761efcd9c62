//! IFUNCs of real programs and of this machine's libc.

use std::path::Path;

use super::{
    test_programs::{C_PROGRAM, Folder, find, nm},
    *,
};
use crate::resolve::address::VirtAddr;

#[test]
#[cfg(target_arch = "x86_64")]
fn an_ifunc_has_the_implementations_that_its_resolver_returns() {
    let folder = Folder::new("ifunc");
    for flags in [
        "-O0",
        "-O2",
        "-O2 -no-pie",
        "-O2 -static",
        "-O2 -static-pie",
    ] {
        let image = folder.compile(C_PROGRAM, &format!("gcc {flags} -o program source.c"));
        let elf = image.elf().expect("valid");
        let found = find(&elf, "chosen", &DebugSymbols::none());
        let expected = ["slow", "fast"].map(|name| nm(&folder, "program", name));
        let FunctionKind::Ifunc { candidates } = &found.functions[0].kind else {
            panic!("{flags}: {:?}", found.functions)
        };
        for address in expected {
            assert!(
                candidates.contains(&address),
                "{flags}: {candidates:x?} {address:x?}"
            );
        }
        assert_eq!(candidates.len(), 2, "{flags}");
        assert_eq!(found.sites(&elf).len(), 2, "{flags}");
        let resolver = find(&elf, "pick", &DebugSymbols::none());
        assert_eq!(
            resolver.functions[0].kind,
            FunctionKind::Function,
            "spelled out"
        );
        let all = find(&elf, "*", &DebugSymbols::none());
        assert!(
            all.functions.contains(&found.functions[0]),
            "{flags}: not the resolver's name"
        );
        let slots = elf
            .irelative_slots()
            .filter(|slot| slot.resolver == found.functions[0].address);
        assert!(slots.count() > 0, "{flags}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn resolvers_that_load_addresses_from_slots_are_read_too() {
    let folder = Folder::new("slots");
    let source = "int slow(int n){return n+1;} int fast(int n){return n+2;}\n\
        static void *pick(void){__builtin_cpu_init(); return __builtin_cpu_supports(\"avx2\") ? fast : slow;}\n\
        int chosen(int n) __attribute__((ifunc(\"pick\")));";
    let image = folder.compile(source, "gcc -O2 -fPIC -shared -o program source.c");
    let elf = image.elf().expect("valid");
    let found = find(&elf, "chosen", &DebugSymbols::none());
    let mut expected = ["slow", "fast"].map(|name| nm(&folder, "program", name));
    expected.sort_unstable();
    assert_eq!(
        found.functions[0].kind,
        FunctionKind::Ifunc {
            candidates: expected.to_vec()
        }
    );
}

const PRINT_ADDRESSES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static void show(const char *name, void *address) {
  Dl_info info; dladdr(address, &info);
  printf("%s %s %lx\n", info.dli_fname, name, (unsigned long)address - (unsigned long)info.dli_fbase);
}
#define SHOW(f) show(#f, (void *)f)
int main(void) {
  SHOW(strlen); SHOW(memcpy); SHOW(memmove); SHOW(strchr); SHOW(memset); SHOW(strcmp);
  SHOW(memcmp); SHOW(strstr); SHOW(strcasecmp); SHOW(strspn);
  return 0;
}
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn the_implementations_that_libc_uses_are_among_the_candidates() {
    let folder = Folder::new("libc");
    folder.compile(PRINT_ADDRESSES, "gcc -O0 -fno-builtin -o program source.c");
    let printed = folder.run("./program");
    let path = printed.split(' ').next().expect("libc");
    let image = Image::open(Path::new(path)).expect("libc");
    let elf = image.elf().expect("valid");
    assert_eq!(printed.lines().count(), 10);
    for line in printed.lines() {
        let [_, name, address] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let used = VirtAddr(u64::from_str_radix(address, 16).expect("hexadecimal"));
        let found = find(&elf, name, &DebugSymbols::none());
        assert!(
            found.sites(&elf).iter().any(|site| site.address == used),
            "{name} {used:x?} {found:x?}"
        );
    }
}

#[test]
fn slots_of_imported_functions_are_found_by_name() {
    let folder = Folder::new("got");
    let image = folder.compile(C_PROGRAM, "gcc -O1 -fno-builtin -o program source.c");
    let elf = image.elf().expect("valid");
    let slots: Vec<_> = elf.got_slots_of("strlen").collect();
    let line = folder.run("readelf -rW program | grep strlen");
    let expected = u64::from_str_radix(line.split(' ').next().expect("an address"), 16);
    assert_eq!(slots, [VirtAddr(expected.expect("hexadecimal"))]);
    assert_eq!(elf.got_slots_of("nonesuch").count(), 0);
}

#[test]
fn implementations_are_read_from_slots() {
    let memory = |address| {
        [(0x1010, 0x7000), (0x1020, 0x7000), (0x1030, 0x50)]
            .into_iter()
            .find(|(at, _)| *at == address)
            .map(|(_, value)| value)
    };
    let libc = |address: u64| address.checked_sub(0x6000).map(VirtAddr);
    let slots = [0x10, 0x20, 0x30, 0x40].map(VirtAddr);
    assert_eq!(
        implementations_in_use(slots, 0x1000, memory, libc),
        [VirtAddr(0x1000)]
    );
}
