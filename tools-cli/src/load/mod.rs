//! From the embedded object file to loaded programs.
//!
//! The object is the same for every probe and every kernel; what differs is chosen here: the sizes
//! of the maps, the settings, the type a program is loaded as, and, where the kernel has no attach
//! cookies, the number of the probe that a program is for.

mod maps;

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{BPF_DW, BPF_IMM, BPF_LD, bpf_insn};
use probes_common::{PROBE_INDEX_PLACEHOLDER, Settings};

pub use self::maps::{MapName, MapSizes, Maps};
use crate::kernel::bpf::{self, LoadError, ProgramKind};

/// The programs, as compiled by `cargo xtask bytecode`.
static BYTECODE: &[u8] = aya::include_bytes_aligned!("../../bytecode/probes.bpf.o");

/// The function of the object that a program is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Counts its probe.
    Count,
    /// Remembers the children of followed processes.
    FollowFork,
    /// Forgets them.
    ForgetTask,
}

impl Body {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::FollowFork => "follow_fork",
            Self::ForgetTask => "forget_task",
        }
    }
}

/// Why a program could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The embedded object is not what this code expects.
    #[error("failed to read the embedded BPF object: {0}; build it anew: cargo xtask bytecode")]
    Object(String),
    /// A map could not be created.
    #[error("failed to create the map {name}: {error}{}", privilege_hint(error))]
    Map {
        /// The map.
        name: String,
        /// The kernel's error.
        error: io::Error,
    },
    /// The kernel refused a program.
    #[error("failed to load the program {name}: {error}{}", privilege_hint(&error.error))]
    Program {
        /// The function in the object.
        name: &'static str,
        /// The kernel's error.
        error: LoadError,
    },
}

/// What to do about an error that stands for missing privileges.
fn privilege_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if is_root() => {
            "; the kernel forbids it even to root: it may be locked down, or built without it"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "; run as root, or with CAP_BPF and CAP_PERFMON (before Linux 5.8: CAP_SYS_ADMIN)"
        }
        _ => "",
    }
}

fn is_root() -> bool {
    // SAFETY: the call has no conditions.
    unsafe { libc::geteuid() == 0 }
}

/// Makes programs: one object, one set of maps.
#[derive(Debug)]
pub struct Loader {
    object: aya_obj::Object,
    maps: Maps,
    settings: Settings,
    linked: RefCell<HashMap<(Body, Variant), Vec<bpf_insn>>>,
    read_only: RefCell<Vec<OwnedFd>>,
}

/// What the settings say of one kind of program, beside what they say of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    has_cookie: bool,
    preemptible: bool,
}

impl Loader {
    /// Reads the object and creates its maps.
    ///
    /// # Errors
    ///
    /// When the kernel creates no maps for us.
    pub fn new(settings: Settings, sizes: &MapSizes) -> Result<Self, Error> {
        let mut object =
            aya_obj::Object::parse(BYTECODE).map_err(|error| Error::Object(error.to_string()))?;
        // Programs are loaded without type information: nothing in them needs it, and the kernel
        // then checks functions within their callers.
        object.btf = None;
        object.btf_ext = None;
        let maps = Maps::create(&object.maps, sizes)?;
        Ok(Self {
            object,
            maps,
            settings,
            linked: RefCell::default(),
            read_only: RefCell::default(),
        })
    }

    /// The maps that all programs share.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Loads `body` as a program that learns from the attach cookie which probe fired.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn load(&self, body: Body, kind: ProgramKind) -> Result<OwnedFd, Error> {
        let instructions = self.link(body, Variant::new(kind, true))?;
        submit(body, kind, &instructions)
    }

    /// Loads `body` as a program for the probe number `index` alone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn load_for(&self, body: Body, kind: ProgramKind, index: u32) -> Result<OwnedFd, Error> {
        let mut instructions = self.link(body, Variant::new(kind, false))?;
        set_probe_index(&mut instructions, index);
        submit(body, kind, &instructions)
    }

    /// The instructions of `body`, one a line, for people to read.
    ///
    /// # Errors
    ///
    /// When the object does not have it.
    pub fn disassemble(&self, body: Body) -> Result<String, Error> {
        let instructions = self.link(body, Variant::new(ProgramKind::Kprobe, true))?;
        let bytes: Vec<u8> = instructions.iter().flat_map(bytes_of).collect();
        let lines = rbpf::disassembler::to_insn_vec(&bytes);
        Ok(lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("{at:5}: {}\n", line.desc))
            .collect())
    }

    /// The instructions of `body`, with maps and calls in place.
    fn link(&self, body: Body, variant: Variant) -> Result<Vec<bpf_insn>, Error> {
        if let Some(instructions) = self.linked.borrow().get(&(body, variant)) {
            return Ok(instructions.clone());
        }
        let mut object = self.object.clone();
        self.write_settings(&mut object, variant)?;
        let read_only = maps::create_frozen(&object.maps)?;
        relocate(&mut object, |name| {
            let map = self.maps.get(name);
            map.map_or_else(|| read_only.as_raw_fd(), |map| map.as_raw_fd())
        })
        .map_err(Error::Object)?;
        // The programs hold the map once they are loaded; until then, we do.
        self.read_only.borrow_mut().push(read_only);
        let instructions = take_program(&object, body)?;
        let mut linked = self.linked.borrow_mut();
        linked.insert((body, variant), instructions.clone());
        Ok(instructions)
    }

    fn write_settings(&self, object: &mut aya_obj::Object, variant: Variant) -> Result<(), Error> {
        let settings = Settings {
            has_cookie: variant.has_cookie.into(),
            preemptible: variant.preemptible.into(),
            ..self.settings
        };
        let globals = [("SETTINGS", (maps::settings_bytes(&settings), true))];
        object
            .patch_map_data(globals.into_iter().collect())
            .map_err(|error| Error::Object(error.to_string()))
    }
}

impl Variant {
    const fn new(kind: ProgramKind, has_cookie: bool) -> Self {
        Self {
            has_cookie,
            // Kprobes and tracepoints run without preemption and one at a time on a CPU; programs
            // under uprobes and trampolines may be preempted (`bpf_prog_run_array_uprobe` in
            // include/linux/bpf.h, `__bpf_prog_enter_recur` in kernel/bpf/trampoline.c). A kprobe
            // program can also sit on a perf-event uprobe, so it counts as preemptible as well.
            preemptible: !matches!(kind, ProgramKind::KprobeMulti | ProgramKind::Tracepoint),
        }
    }
}

fn relocate(object: &mut aya_obj::Object, fd_of: impl Fn(&str) -> RawFd) -> Result<(), String> {
    let text_sections = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    let definitions = std::mem::take(&mut object.maps);
    let maps = definitions
        .iter()
        .map(|(name, map)| (name.as_str(), fd_of(name), map));
    object
        .relocate_maps(maps, &text_sections)
        .map_err(|error| error.to_string())?;
    object
        .relocate_calls(&text_sections)
        .map_err(|error| error.to_string())
}

fn take_program(object: &aya_obj::Object, body: Body) -> Result<Vec<bpf_insn>, Error> {
    object
        .programs
        .get(body.symbol())
        .and_then(|program| object.functions.get(&program.function_key()))
        .map(|function| function.instructions.clone())
        .ok_or_else(|| Error::Object(format!("it has no program {}", body.symbol())))
}

/// Writes the number of the probe over the placeholder.
fn set_probe_index(instructions: &mut [bpf_insn], index: u32) {
    let [low, high] = [PROBE_INDEX_PLACEHOLDER, PROBE_INDEX_PLACEHOLDER >> 32]
        .map(|word| (word as u32).cast_signed());
    for at in 1..instructions.len() {
        let is_placeholder = u32::from(instructions[at - 1].code) == BPF_LD | BPF_DW | BPF_IMM
            && (instructions[at - 1].imm, instructions[at].imm) == (low, high);
        if is_placeholder {
            instructions[at - 1].imm = index.cast_signed();
            instructions[at].imm = 0;
        }
    }
}

/// An instruction as the kernel reads it (`struct bpf_insn`, include/uapi/linux/bpf.h).
fn bytes_of(instruction: &bpf_insn) -> [u8; 8] {
    let [o0, o1] = instruction.off.to_le_bytes();
    let [i0, i1, i2, i3] = instruction.imm.to_le_bytes();
    let registers = instruction.src_reg() << 4 | instruction.dst_reg();
    [instruction.code, registers, o0, o1, i0, i1, i2, i3]
}

fn submit(body: Body, kind: ProgramKind, instructions: &[bpf_insn]) -> Result<OwnedFd, Error> {
    bpf::load_program(body.symbol(), kind, instructions).map_err(|error| Error::Program {
        name: body.symbol(),
        error,
    })
}
