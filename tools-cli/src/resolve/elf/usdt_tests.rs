//! USDT probes of real programs; the notes are written as systemtap's sys/sdt.h writes them.

use std::path::Path;

use super::{
    test_programs::{Folder, nm},
    *,
};

const USDT_PROGRAM: &str = r#"
__attribute__((section(".probes"), used)) unsigned short app_start_semaphore;
__attribute__((used)) unsigned short in_bss;
#define NOTE(provider, name, semaphore, arguments) \
  __asm__ volatile("990: nop\n" \
    ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n" \
    ".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n" \
    "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte " semaphore "\n" \
    ".asciz \"" provider "\"\n.asciz \"" name "\"\n.asciz \"" arguments "\"\n" \
    "994: .balign 4\n.popsection\n" \
    ".ifndef _.stapsdt.base\n" \
    ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
    ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n" \
    ".size _.stapsdt.base,1\n.popsection\n.endif\n")
int main(void) {
  NOTE("app", "start", "app_start_semaphore", "-4@%edi 8@16(%rsp)");
  NOTE("app", "start", "app_start_semaphore", "-4@$1 8@%rax");
  NOTE("app", "lost", "in_bss", "");
  NOTE("app", "plain", "0", "");
  return 0;
}
"#;

#[test]
fn usdt_probes_are_found_with_their_semaphores() {
    let folder = Folder::new("usdt");
    for flags in ["", "-no-pie", "-static"] {
        let image = folder.compile(
            USDT_PROGRAM,
            &format!("gcc -O0 {flags} -o program source.c"),
        );
        let elf = image.elf().expect("valid");
        let found = elf.usdt_probes();
        let app: Vec<_> = found
            .sites
            .iter()
            .filter(|site| site.provider == "app")
            .collect();
        let texts: Vec<_> = app
            .iter()
            .map(|site| (&*site.name, &*site.arguments))
            .collect();
        assert_eq!(
            texts,
            [
                ("start", "-4@%edi 8@16(%rsp)"),
                ("start", "-4@$1 8@%rax"),
                ("lost", ""),
                ("plain", "")
            ]
        );
        for site in &app {
            let offset = usize::try_from(site.offset.0).expect("small");
            assert_eq!(image.data()[offset], 0x90, "a nop");
        }
        let semaphore = nm(&folder, "program", "app_start_semaphore");
        assert_eq!(app[0].semaphore, elf.data_offset(semaphore));
        assert!(app[0].semaphore.is_some());
        assert_eq!((app[2].semaphore, app[3].semaphore), (None, None));
        assert!(
            found
                .notes
                .iter()
                .any(|note| note.starts_with("app:lost: its semaphore")),
            "{:?}",
            found.notes
        );
        assert_eq!(found.notes.len(), 1);
    }
}

#[test]
fn prelinked_probes_are_moved_with_their_base() {
    let folder = Folder::new("prelink");
    let image = folder.compile(USDT_PROGRAM, "gcc -O0 -o program source.c");
    let before = image.elf().expect("valid").usdt_probes().sites;
    // What prelink does, the other way round: the notes were written for another address.
    let mut bytes = image.data().to_vec();
    let starts: Vec<usize> = (0..bytes.len() - 8)
        .filter(|&at| bytes[at..].starts_with(b"stapsdt\0"))
        .collect();
    for start in starts {
        for word in [8, 16, 24] {
            let at = start + word;
            let value = u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight"));
            let moved = if value == 0 { 0 } else { value + 0x10_0000 };
            bytes[at..at + 8].copy_from_slice(&moved.to_ne_bytes());
        }
    }
    let moved = Image::from_bytes(Path::new("/moved"), bytes);
    assert_eq!(moved.elf().expect("valid").usdt_probes().sites, before);
    assert!(!before.is_empty());
}
