//! From the embedded object file to loaded programs.
//!
//! The object is the same for every probe and every kernel; what differs is chosen here: the sizes
//! of the maps, the settings, the type a program is loaded as, and, where the kernel has no attach
//! cookies, the number of the probe that a program is for.

mod maps;
mod splice;

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{BPF_DW, BPF_IMM, BPF_LD, bpf_insn};
use probes_common::{COOKIE_PLACEHOLDER, Settings};

pub use self::maps::{MapName, MapSizes, Maps};
use crate::{
    compile::{Compiled, Context, abi, bytes_of},
    kernel::{
        bpf::{self, LoadError, ProgramKind},
        lockdown,
        release::Release,
    },
    privilege,
};

/// The programs, as compiled by `cargo xtask bytecode`.
static BYTECODE: &[u8] = aya::include_bytes_aligned!("../../bytecode/probes.bpf.o");

/// The function of the object that a program is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Counts its probe.
    Count,
    /// Counts its probe for each process, thread, CPU or command name.
    CountBy,
    /// Counts the stack that led to its probe.
    Stack,
    /// Sends what the generated functions of this number tell of its probe.
    Trace(usize),
    /// Saves at a function's entry what the generated functions of this number need at its return.
    Entry(usize),
    /// Remembers the children of followed processes.
    FollowFork,
    /// Forgets them.
    ForgetTask,
}

impl Body {
    const fn symbol(self, variant: Variant) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountBy => "count_by",
            Self::Stack if variant.preemptible => "stack_preemptible",
            Self::Stack => "stack",
            Self::Trace(_) => "trace",
            Self::Entry(_) => "enter",
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
    /// The kernel's version can't be told.
    #[error("failed to tell the kernel's version: {0}; is /proc mounted?")]
    Release(io::Error),
    /// A map could not be created.
    #[error(
        "failed to create the map {name}: {error}{}",
        privilege::for_bpf(error)
    )]
    Map {
        /// The map.
        name: String,
        /// The kernel's error.
        error: io::Error,
    },
    /// The kernel has no instruction that a program needs.
    #[error("failed to load the program {name}: it needs Linux {needed}")]
    TooOld {
        /// The function in the object.
        name: &'static str,
        /// Since when kernels have it.
        needed: Release,
    },
    /// What the probe asks for can't be read where a program of this kind runs.
    #[error("what is asked for can't be read this way")]
    NoFunction,
    /// The kernel refused a program.
    #[error("failed to load the program {name}: {error}{}", refused(error))]
    Program {
        /// The function in the object.
        name: &'static str,
        /// The kernel's error.
        error: LoadError,
    },
}

/// What the verifier does not say of its reasons; its errors have the same numbers as those that
/// privileges are missing for.
fn refused(error: &LoadError) -> String {
    if error.log.is_empty() {
        return privilege::for_bpf(&error.error);
    }
    // To it, locked down kernels have no such function (`bpf_tracing_func_proto`).
    let reads_kernel = error.log.contains("bpf_probe_read_kernel");
    if reads_kernel && lockdown::is_confidential() {
        return "; the kernel is locked down for confidentiality, which keeps its memory from programs"
            .to_owned();
    }
    String::new()
}

/// Since this release programs learn the registers that a task had in user space (commit
/// dd6e10fbd9fb).
const TASK_REGISTERS: Release = Release {
    major: 5,
    minor: 15,
};

/// `bp` of `struct pt_regs` (arch/x86/include/asm/ptrace.h).
const FRAME_POINTER_OFFSET: u32 = 32;

/// Since this release there are atomic operations that give the old value (commit 5ffa25502b5a).
const ATOMIC_FETCH: Release = Release {
    major: 5,
    minor: 12,
};

/// Since this release the program of a uprobe may be preempted (commit 8c7dcb84e3b7).
const UPROBES_PREEMPTIBLE: Release = Release { major: 6, minor: 0 };

/// Makes programs: one object, one set of maps.
#[derive(Debug)]
pub struct Loader {
    release: Release,
    functions: Vec<Functions>,
    object: aya_obj::Object,
    maps: Maps,
    settings: Settings,
    /// Up to which level programs tell what goes wrong: aya-log's.
    log_level: u8,
    linked: RefCell<HashMap<(Body, Variant), Vec<bpf_insn>>>,
    /// What each body was loaded as, the last time that it was.
    loaded: RefCell<HashMap<Body, Vec<bpf_insn>>>,
    read_only: RefCell<Vec<OwnedFd>>,
}

/// What a probe has been compiled to, for each kind of program it may become.
pub type Functions = Vec<(Context, Compiled)>;

/// What the settings say of one kind of program, beside what they say of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Variant {
    has_cookie: bool,
    preemptible: bool,
    context: Context,
}

impl Loader {
    /// Reads the object and creates its maps. `functions` is what [`Body::Trace`] counts.
    ///
    /// # Errors
    ///
    /// When the kernel creates no maps for us.
    pub fn new(
        settings: Settings,
        sizes: &MapSizes,
        functions: Vec<Functions>,
    ) -> Result<Self, Error> {
        let mut object =
            aya_obj::Object::parse(BYTECODE).map_err(|error| Error::Object(error.to_string()))?;
        // Programs are loaded without type information: nothing in them needs it, and the kernel
        // then checks functions within their callers.
        object.btf = None;
        object.btf_ext = None;
        let maps = Maps::create(&object.maps, sizes)?;
        Ok(Self {
            release: Release::current().map_err(Error::Release)?,
            functions,
            object,
            maps,
            settings,
            log_level: match sizes.log_bytes {
                0 => 0,
                _ => aya_log::Level::Debug.into(),
            },
            linked: RefCell::default(),
            loaded: RefCell::default(),
            read_only: RefCell::default(),
        })
    }

    /// The maps that all programs share.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// What the run asks of the programs.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Loads `body` as a program that learns from the attach cookie which probe fired.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn load(&self, body: Body, kind: ProgramKind) -> Result<OwnedFd, Error> {
        let variant = self.variant(kind, true);
        self.check_release(body, variant)?;
        let instructions = self.link(body, variant)?;
        self.submit(body, variant, kind, instructions)
    }

    /// Loads `body` as a program for probes with this cookie alone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn load_for(&self, body: Body, kind: ProgramKind, cookie: u64) -> Result<OwnedFd, Error> {
        let variant = self.variant(kind, false);
        self.check_release(body, variant)?;
        let mut instructions = self.link(body, variant)?;
        set_cookie(&mut instructions, cookie);
        self.submit(body, variant, kind, instructions)
    }

    fn submit(
        &self,
        body: Body,
        variant: Variant,
        kind: ProgramKind,
        instructions: Vec<bpf_insn>,
    ) -> Result<OwnedFd, Error> {
        let name = body.symbol(variant);
        let program = bpf::load_program(name, kind, &instructions)
            .map_err(|error| Error::Program { name, error })?;
        self.loaded.borrow_mut().insert(body, instructions);
        Ok(program)
    }

    /// Programs that preempt each other take buffers by instructions that old kernels do not have.
    fn check_release(&self, body: Body, variant: Variant) -> Result<(), Error> {
        if body == Body::Stack && variant.preemptible && self.release < ATOMIC_FETCH {
            return Err(Error::TooOld {
                name: body.symbol(variant),
                needed: ATOMIC_FETCH,
            });
        }
        Ok(())
    }

    /// The instructions that the kernel was given for `body`, one a line, for people to read; of the
    /// last program, if it was loaded several times. `None` before the first.
    #[must_use]
    pub fn disassemble(&self, body: Body) -> Option<String> {
        let bytes = bytes_of(self.loaded.borrow().get(&body)?);
        let lines = rbpf::disassembler::to_insn_vec(&bytes);
        let numbered = lines.iter().enumerate();
        Some(
            numbered
                .map(|(at, line)| format!("{at:5}: {}\n", line.desc))
                .collect(),
        )
    }

    fn variant(&self, kind: ProgramKind, has_cookie: bool) -> Variant {
        Variant {
            has_cookie,
            context: match kind {
                ProgramKind::Kprobe | ProgramKind::KprobeMulti | ProgramKind::UprobeMulti => {
                    Context::PtRegs
                }
                ProgramKind::Tracepoint => Context::Record,
                ProgramKind::Fentry(_) | ProgramKind::Fexit(_) => Context::Trampoline,
            },
            preemptible: match kind {
                // One at a time on a CPU (`bpf_prog_active` in kernel/trace/bpf_trace.c).
                ProgramKind::KprobeMulti | ProgramKind::Tracepoint => false,
                // `bpf_prog_run_array_uprobe` in include/linux/bpf.h. A kprobe program can also sit
                // on a kernel probe, where it is not; that does no harm.
                ProgramKind::Kprobe | ProgramKind::UprobeMulti => {
                    self.release >= UPROBES_PREEMPTIBLE
                }
                // `__bpf_prog_enter_recur` in kernel/bpf/trampoline.c.
                ProgramKind::Fentry(_) | ProgramKind::Fexit(_) => true,
            },
        }
    }

    /// The generated functions of `body`, if it has some.
    fn function(&self, body: Body, context: Context) -> Result<Option<&Compiled>, Error> {
        let (Body::Trace(number) | Body::Entry(number)) = body else {
            return Ok(None);
        };
        let mut functions = self.functions.get(number).into_iter().flatten();
        let function = functions.find(|(for_context, _)| *for_context == context);
        match function {
            Some((_, function)) => Ok(Some(function)),
            None => Err(Error::NoFunction),
        }
    }

    /// The instructions of `body`, with maps and calls in place.
    fn link(&self, body: Body, variant: Variant) -> Result<Vec<bpf_insn>, Error> {
        if let Some(instructions) = self.linked.borrow().get(&(body, variant)) {
            return Ok(instructions.clone());
        }
        let function = self.function(body, variant.context)?;
        let mut object = self.object.clone();
        self.write_settings(&mut object, variant, function)?;
        let read_only = maps::create_frozen(&object.maps)?;
        relocate(&mut object, |name| {
            let map = self.maps.get(name);
            map.map_or_else(|| read_only.as_raw_fd(), |map| map.as_raw_fd())
        })
        .map_err(Error::Object)?;
        // The programs hold the map once they are loaded; until then, we do.
        self.read_only.borrow_mut().push(read_only);
        let mut instructions = take_program(&object, body.symbol(variant))?;
        if let Some(function) = function {
            splice::insert(&mut instructions, body, function)?;
        }
        let mut linked = self.linked.borrow_mut();
        linked.insert((body, variant), instructions.clone());
        Ok(instructions)
    }

    fn write_settings(
        &self,
        object: &mut aya_obj::Object,
        variant: Variant,
        function: Option<&Compiled>,
    ) -> Result<(), Error> {
        let settings = Settings {
            has_cookie: variant.has_cookie.into(),
            preemptible: variant.preemptible.into(),
            has_registers: (variant.context == Context::PtRegs).into(),
            has_record: (variant.context == Context::Record).into(),
            value_bytes: function.map_or(0, |function| function.layout.bytes),
            walk_ourselves: self.settings.walk_ourselves
                & u32::from(self.release >= TASK_REGISTERS),
            frame_pointer_offset: FRAME_POINTER_OFFSET,
            stack_pointer_offset: match function.and_then(|function| function.entry.as_ref()) {
                Some(_) => abi::STACK_POINTER,
                None => 0,
            },
            ..self.settings
        };
        let log_level = [self.log_level];
        let globals = [
            ("SETTINGS", (maps::settings_bytes(&settings), true)),
            (aya_log::LEVEL, (&log_level[..], true)),
        ];
        object
            .patch_map_data(globals.into_iter().collect())
            .map_err(|error| Error::Object(error.to_string()))
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

fn take_program(object: &aya_obj::Object, symbol: &str) -> Result<Vec<bpf_insn>, Error> {
    object
        .programs
        .get(symbol)
        .and_then(|program| object.functions.get(&program.function_key()))
        .map(|function| function.instructions.clone())
        .ok_or_else(|| Error::Object(format!("it has no program {symbol}")))
}

/// Writes the cookie over the placeholder.
fn set_cookie(instructions: &mut [bpf_insn], cookie: u64) {
    let halves = |word: u64| [word, word >> 32].map(|half| (half as u32).cast_signed());
    for at in 1..instructions.len() {
        let is_placeholder = u32::from(instructions[at - 1].code) == BPF_LD | BPF_DW | BPF_IMM
            && [instructions[at - 1].imm, instructions[at].imm] == halves(COOKIE_PLACEHOLDER);
        if is_placeholder {
            [instructions[at - 1].imm, instructions[at].imm] = halves(cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::STACK_BYTES;

    /// The room that a program takes of the stack: the lowest place that it uses directly, or takes
    /// the address of.
    fn frame_bytes(instructions: &[bpf_insn]) -> u32 {
        const ADD_CONSTANT: u8 = 0x07;
        const FRAME_POINTER: u8 = 10;
        let offsets = instructions.iter().map(|instruction| {
            let base = match instruction.code & 7 {
                1 => instruction.src_reg(),
                2 | 3 => instruction.dst_reg(),
                _ => 0,
            };
            match instruction.code {
                ADD_CONSTANT => instruction.imm,
                _ if base == FRAME_POINTER => instruction.off.into(),
                _ => 0,
            }
        });
        offsets.min().unwrap_or(0).min(0).unsigned_abs()
    }

    #[test]
    fn the_stack_has_room_for_generated_functions() {
        const KERNEL_BYTES: u32 = 512;
        let object = aya_obj::Object::parse(BYTECODE).expect("it is our own");
        for program in ["trace", "enter"] {
            let frame = frame_bytes(&take_program(&object, program).expect("it is there"));
            assert!(
                frame > 64,
                "{program} has a record's start on the stack: {frame}"
            );
            let all = frame.next_multiple_of(32) + u32::from(STACK_BYTES).next_multiple_of(32);
            assert!(
                all <= KERNEL_BYTES,
                "{program} and what it calls take {all}"
            );
        }
    }
}
