//! Names for the frames of stacks.
//!
//! blazesym reads symbol tables, DWARF and kallsyms; which file to ask, and what a runtime has
//! compiled, is found out here.

mod files;
pub(crate) mod modules;
pub(crate) mod perf_map;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use blazesym::{
    MaybeDefault,
    symbolize::{
        Input, Sym, Symbolized,
        source::{Elf, Kernel, Source},
    },
};

use self::{files::SymbolFile, modules::Modules, perf_map::PerfMap};
use crate::{
    collect::{Code, FileId, Location, SpaceId},
    resolve::{
        VirtAddr,
        elf::{Extent, shown_name},
        kernel::kallsyms,
    },
    snippet::escape,
};

/// How names are to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// C++ and Rust names as people write them.
    pub demangle: bool,
    /// Functions that were inlined are frames of their own, as far as DWARF tells.
    pub inlined: bool,
}

/// A frame to be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// Where its code is.
    pub location: Location,
    /// Whether that is where a call returns to, so that the call itself lies before it.
    pub is_return: bool,
}

/// A frame's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The function; `None` if nobody knows.
    pub name: Option<String>,
    /// Bytes from its start, of the file if the name is not known.
    pub offset: u64,
    /// The program, library or kernel module; nothing for the kernel proper.
    pub module: Option<String>,
    /// Whether the function was inlined into the next.
    pub is_inlined: bool,
}

/// Finds names, and remembers them.
pub struct Symbolizer {
    options: Options,
    /// Functions that the user has named.
    asked_for: Vec<String>,
    blazesym: blazesym::symbolize::Symbolizer,
    names: HashMap<Frame, Arc<[Symbol]>>,
    compiled: HashMap<SpaceId, Compiled>,
    files: HashMap<FileId, Option<SymbolFile>>,
    /// The page of code that the kernel gives to each process, once it was asked for.
    vdso: OnceCell<Option<SymbolFile>>,
}

/// What is known of code that a process has compiled, as long as it writes no more of it.
#[derive(Default)]
struct Compiled {
    map: PerfMap,
    names: HashMap<Frame, Arc<[Symbol]>>,
}

impl Symbolizer {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let blazesym = blazesym::symbolize::Symbolizer::builder()
            // Inlined functions are looked for with their lines or not at all.
            .enable_code_info(options.inlined)
            .enable_inlined_fns(options.inlined)
            .enable_demangling(options.demangle)
            // Files are given by what they are, and are not replaced meanwhile.
            .enable_auto_reload(false)
            .build();
        Self {
            options,
            asked_for: Vec::new(),
            blazesym,
            names: HashMap::new(),
            compiled: HashMap::new(),
            files: HashMap::new(),
            vdso: OnceCell::new(),
        }
    }

    /// Prefers these names, which the user has written, to others of the same function.
    #[must_use]
    pub fn preferring(mut self, asked_for: Vec<String>) -> Self {
        self.asked_for = asked_for;
        self
    }

    /// Finds the names of all frames that have none yet; together, since that is faster.
    pub fn find(&mut self, frames: impl Iterator<Item = Frame>, code: &Code) {
        let mut kernel = Vec::new();
        let mut vdso = Vec::new();
        let mut files: BTreeMap<FileId, Vec<(Frame, u64)>> = BTreeMap::new();
        let mut spaces: BTreeMap<SpaceId, Vec<(Frame, u64)>> = BTreeMap::new();
        let new: BTreeSet<Frame> = frames
            .filter(|frame| !self.names.contains_key(frame))
            .collect();
        for frame in new {
            let back = u64::from(frame.is_return);
            match frame.location {
                Location::Kernel(address) => kernel.push((frame, address.wrapping_sub(back))),
                Location::Vdso(offset) => vdso.push((frame, offset.wrapping_sub(back))),
                Location::File(id, offset) => {
                    let frames = files.entry(id).or_default();
                    frames.push((frame, offset.wrapping_sub(back)));
                }
                Location::Process(id, address) => {
                    let frames = spaces.entry(id).or_default();
                    frames.push((frame, address.wrapping_sub(back)));
                }
            }
        }
        self.find_in_kernel(&kernel);
        self.find_in_vdso(&vdso);
        for (id, frames) in files {
            self.find_in_file(id, &frames, code);
        }
        for (id, frames) in spaces {
            self.find_compiled(id, &frames, code);
        }
    }

    /// The names of a frame, inlined functions before what they were inlined into; none before it
    /// was given to [`Symbolizer::find`].
    #[must_use]
    pub fn names(&self, frame: &Frame) -> &[Symbol] {
        let names = match frame.location {
            Location::Process(id, _) => self.compiled.get(&id).map(|compiled| &compiled.names),
            _ => Some(&self.names),
        };
        names
            .and_then(|names| names.get(frame))
            .map_or(&[], |names| names)
    }

    /// Forgets what processes had compiled that are gone.
    pub fn forget(&mut self, gone: &[SpaceId]) {
        for id in gone {
            self.compiled.remove(id);
        }
    }

    /// What is to be said if functions of the kernel have no names because it hides where they are.
    #[must_use]
    pub fn hidden_kernel(&self) -> Option<&'static str> {
        let in_kernel = |frame: &Frame| matches!(frame.location, Location::Kernel(_));
        let mut found = self.names.iter().filter(|(frame, _)| in_kernel(frame));
        let mut names = found
            .by_ref()
            .map(|(_, symbols)| &symbols[0].name)
            .peekable();
        let is_nameless = names.peek().is_some() && names.all(Option::is_none);
        (is_nameless && !kallsyms::shows_addresses()).then_some(
            "note: functions of the kernel have no names: it hides where they are; run it as root, \
             with sysctl kernel.kptr_restrict=1",
        )
    }

    fn find_in_kernel(&mut self, frames: &[(Frame, u64)]) {
        if frames.is_empty() {
            return;
        }
        let source = Source::Kernel(Kernel {
            // An image on disk need not be that of the kernel that runs.
            vmlinux: MaybeDefault::None,
            debug_syms: false,
            ..Kernel::default()
        });
        let modules = Modules::read();
        let found = self.ask(&source, None, frames, &|address| modules.find(address));
        self.names.extend(found);
    }

    fn find_in_vdso(&mut self, frames: &[(Frame, u64)]) {
        let vdso = self.vdso.get_or_init(|| SymbolFile::vdso().ok().flatten());
        let Some(vdso) = vdso else {
            return self.names.extend(unknown(frames, Some("[vdso]")));
        };
        let module = |_| Some("[vdso]".to_owned());
        let found = self.ask(&elf(vdso, false), Some(vdso), frames, &module);
        self.names.extend(found);
    }

    fn find_in_file(&mut self, id: FileId, frames: &[(Frame, u64)], code: &Code) {
        let Some(file) = code.file(id) else {
            return self.names.extend(unknown(frames, None));
        };
        let shown = file.shown.to_string_lossy();
        let module = Some(shown.as_ref());
        self.files
            .entry(id)
            .or_insert_with(|| SymbolFile::open(file));
        let Some(Some(opened)) = self.files.get(&id) else {
            return self.names.extend(unknown(frames, module));
        };
        let mut known = Vec::new();
        let mut not_loaded = Vec::new();
        for &(frame, offset) in frames {
            match opened.address(offset) {
                Some(address) => known.push((frame, address)),
                None => not_loaded.push((frame, offset)),
            }
        }
        let source = elf(opened, self.options.inlined);
        let of_all = module.map(str::to_owned);
        let found = self.ask(&source, Some(opened), &known, &|_| of_all.clone());
        self.names.extend(found);
        self.names.extend(unknown(&not_loaded, module));
    }

    /// Asks for the symbols at addresses, all at once; those of `file`, if they are in one.
    fn ask(
        &self,
        source: &Source<'_>,
        file: Option<&SymbolFile>,
        frames: &[(Frame, u64)],
        module: &dyn Fn(u64) -> Option<String>,
    ) -> Vec<(Frame, Arc<[Symbol]>)> {
        if frames.is_empty() {
            return Vec::new();
        }
        let addresses: Vec<u64> = frames.iter().map(|(_, address)| *address).collect();
        let input = match source {
            Source::Kernel(_) => Input::AbsAddr(addresses.as_slice()),
            _ => Input::VirtOffset(addresses.as_slice()),
        };
        // A file without symbols is an error to the library, and no names to us.
        let found = self.blazesym.symbolize(source, input).unwrap_or_default();
        let functions = found.iter().filter_map(Symbolized::as_sym).map(extent);
        // Of several names of a function the library takes any.
        let best = file.map(|file| file.best_names(&functions.collect(), &self.asked_for));
        let name = |symbol: &Sym<'_>| -> String {
            let best = best.as_ref().and_then(|best| best.get(&extent(symbol)));
            match best {
                Some(name) if self.options.demangle => shown_name(name).into_owned(),
                Some(name) => name.clone(),
                None => symbol.name.clone().into_owned(),
            }
        };
        let mut found = found.iter();
        let named = frames.iter().map(|&(frame, address)| {
            let back = u64::from(frame.is_return);
            let module = module(address);
            let symbols = match found.next() {
                Some(Symbolized::Sym(symbol)) => {
                    named(symbol, name(symbol), back, module.as_deref())
                }
                _ => [Symbol::unknown(frame, module.as_deref())].into(),
            };
            (frame, symbols)
        });
        named.collect()
    }

    /// Finds what a runtime says that it has compiled there.
    fn find_compiled(&mut self, id: SpaceId, frames: &[(Frame, u64)], code: &Code) {
        let compiled = self.compiled.entry(id).or_default();
        let Some(space) = code.space(id) else {
            return compiled.names.extend(unknown(frames, None));
        };
        // What can't be read now has no names.
        let file = space.perf_map.get();
        if file.is_some_and(|file| compiled.map.update(file).unwrap_or(false)) {
            // What it had not told yet, it may have told now, and it uses memory again.
            compiled.names.clear();
        }
        for &(frame, address) in frames {
            let map = &compiled.map;
            compiled.names.entry(frame).or_insert_with(|| {
                let Some((name, offset)) = map.find(address) else {
                    return [Symbol::unknown(frame, space.mapping.as_deref())].into();
                };
                [Symbol {
                    name: Some(name.to_owned()),
                    offset: offset + u64::from(frame.is_return),
                    module: Some(format!("perf-{}.map", space.pid)),
                    is_inlined: false,
                }]
                .into()
            });
        }
    }
}

impl fmt::Display for Symbol {
    /// The function, how far into it, and the module: what a single address is shown as.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if self.is_inlined => write!(f, "{}", escape(name))?,
            Some(name) => write!(f, "{}+{:#x}", escape(name), self.offset)?,
            None => write!(f, "[unknown] {:#x}", self.offset)?,
        }
        match &self.module {
            Some(module) => write!(f, " [{}]", escape(module)),
            None => Ok(()),
        }
    }
}

impl Symbol {
    /// What it is shown by when offsets are not: one without a name is where it is.
    #[must_use]
    pub fn identity(&self) -> (Option<&str>, Option<&str>, u64, bool) {
        let offset = if self.name.is_some() { 0 } else { self.offset };
        let module = self.module.as_deref();
        (self.name.as_deref(), module, offset, self.is_inlined)
    }

    /// That of a frame which nobody knows.
    fn unknown(frame: Frame, module: Option<&str>) -> Self {
        let (Location::Kernel(place)
        | Location::File(_, place)
        | Location::Vdso(place)
        | Location::Process(_, place)) = frame.location;
        Self {
            name: None,
            offset: place,
            module: module.map(str::to_owned),
            is_inlined: false,
        }
    }
}

/// That nobody knows these frames.
fn unknown(
    frames: &[(Frame, u64)],
    module: Option<&str>,
) -> impl Iterator<Item = (Frame, Arc<[Symbol]>)> {
    frames
        .iter()
        .map(move |&(frame, _)| (frame, [Symbol::unknown(frame, module)].into()))
}

/// How many of a kernel stack's innermost frames are of our program, and of what calls it under
/// fentry.
#[must_use]
pub fn count_ours<'a>(innermost_first: impl Iterator<Item = &'a Symbol>) -> usize {
    let is_ours = |symbol: &&Symbol| {
        let name = symbol.name.as_deref().unwrap_or_default();
        name.starts_with("bpf_prog_") || name.starts_with("bpf_trampoline_")
    };
    innermost_first.take_while(is_ours).count()
}

/// The function, after those that were inlined into it.
fn named(symbol: &Sym<'_>, name: String, back: u64, module: Option<&str>) -> Arc<[Symbol]> {
    let one = |name: String, is_inlined| Symbol {
        name: Some(name),
        offset: symbol.offset as u64 + back,
        module: module.map(str::to_owned),
        is_inlined,
    };
    let inlined = symbol
        .inlined
        .iter()
        .rev()
        .map(|inlined| one(inlined.name.clone().into_owned(), true));
    inlined.chain([one(name, false)]).collect()
}

/// Where a function starts, and its length; 0 if the symbol table doesn't say.
fn extent(symbol: &Sym<'_>) -> Extent {
    (
        VirtAddr(symbol.addr),
        symbol.size.map_or(0, |size| size as u64),
    )
}

fn elf(file: &SymbolFile, debug_syms: bool) -> Source<'static> {
    let mut elf = Elf::new(file.symbols());
    elf.debug_syms = debug_syms;
    Source::Elf(elf)
}
