//! Functions of programs and libraries.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _, sync::Arc};

use super::{
    AttachPoint, Error, FileOffset, Probe, Scope, TargetFile, UserPoint, VirtAddr,
    binary::{self, MappedFile},
    elf::{
        DebugSymbols, Elf, FunctionKind, FunctionSymbol, Image, Site, implementations_in_use,
        would_break,
    },
    found::Found,
    suggest,
};
use crate::{
    attach::Skipped,
    spec::{Function, Moment},
};

/// Finds the functions that `function` means in `binary`, for each process of the scope.
///
/// # Errors
///
/// When the binary is not there or can't be read, or none of its functions is meant.
pub(super) fn find(binary: &str, function: &Function, scope: &Scope) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut points: BTreeMap<String, Vec<AttachPoint>> = BTreeMap::new();
    for pid in scope.rounds() {
        let file = binary::find(binary, pid)?;
        let image = Image::open_as(&file.path, &file.shown)?;
        let search = Search {
            elf: image.elf()?,
            file: Arc::new(scope.confine(file)),
            pid,
            function,
        };
        search.add_to(&mut points, &mut found)?;
    }
    found.notes.sort();
    found.notes.dedup();
    let probes = points
        .into_iter()
        .map(|(name, points)| Probe::new(name, points));
    found.probes.extend(probes);
    Ok(found)
}

/// The search for functions in one file.
struct Search<'a> {
    elf: Elf<'a>,
    file: Arc<TargetFile>,
    pid: Option<u32>,
    function: &'a Function,
}

impl Search<'_> {
    fn add_to(
        &self,
        points: &mut BTreeMap<String, Vec<AttachPoint>>,
        found: &mut Found,
    ) -> Result<(), Error> {
        self.refuse_go_returns()?;
        let debug = self.file.debug_symbols(&self.elf);
        let mut in_file = self.elf.find_functions(&self.function.name, &debug)?;
        if in_file.functions.is_empty() {
            return Err(self.nothing_found(&debug));
        }
        self.narrow_ifuncs(&mut in_file.functions, &mut in_file.notes);
        found.notes.append(&mut in_file.notes);
        for site in in_file.sites(&self.elf) {
            if let Some(reason) = self.unfit(site)? {
                found.left_out.push(Skipped {
                    name: format!("{}:{}", self.shown(), site.function.symbol),
                    reason: reason.to_owned(),
                });
                continue;
            }
            let point = AttachPoint::User(UserPoint {
                file: Arc::clone(&self.file),
                offset: FileOffset(site.offset.0 + self.function.offset),
                semaphore: None,
                moment: self.function.moment,
                is_function_start: self.function.offset == 0
                    && self.function.moment == Moment::Entry,
                operands: Vec::new(),
                symbol: site.function.symbol.clone(),
            });
            points
                .entry(site.function.name.clone())
                .or_default()
                .push(point);
        }
        Ok(())
    }

    fn refuse_go_returns(&self) -> Result<(), Error> {
        if self.function.moment == Moment::Return && self.elf.is_go_binary() {
            let file = self.shown();
            return Err(Error::GoReturn { file });
        }
        Ok(())
    }

    /// Why a place that is meant can't be probed as asked.
    fn unfit(&self, site: Site<'_>) -> Result<Option<&'static str>, Error> {
        let Function { offset, moment, .. } = *self.function;
        if moment == Moment::Return && site.function.kind == FunctionKind::ColdPart {
            return Ok(Some("it is a part that is jumped to, and never returns"));
        }
        if offset != 0 && !self.elf.instruction_starts_at(site.function, offset)? {
            return Err(Error::NotAnInstruction {
                function: site.function.name.clone(),
                offset,
            });
        }
        let place = VirtAddr(site.address.0.wrapping_add(offset));
        Ok(self.elf.code_at(place).and_then(would_break))
    }

    /// With a process at hand, an IFUNC stands for the implementation that it uses.
    fn narrow_ifuncs(&self, functions: &mut [FunctionSymbol], notes: &mut Vec<String>) {
        let Some(process) = self.pid.and_then(Process::open) else {
            return;
        };
        for function in functions {
            let FunctionKind::Ifunc { candidates } = &mut function.kind else {
                continue;
            };
            let in_use =
                process.implementations(&self.elf, &self.file, &function.symbol, function.address);
            if in_use.is_empty() {
                notes.push(format!(
                    "{}: process {} has not chosen an implementation yet; all of them are probed",
                    function.name, process.pid
                ));
            } else {
                *candidates = in_use;
            }
        }
    }

    fn nothing_found(&self, debug: &DebugSymbols) -> Error {
        let names: Vec<&str> = self
            .elf
            .functions(debug)
            .map(|symbol| symbol.name)
            .collect();
        let pattern = self.function.name.to_string();
        let hint = if names.is_empty() {
            "; it is stripped of its symbols, and no debug file was found".to_owned()
        } else {
            suggest(&pattern, names)
        };
        Error::NoFunction {
            file: self.shown(),
            pattern,
            hint,
        }
    }

    fn shown(&self) -> String {
        self.file.shown.display().to_string()
    }
}

/// A process whose memory tells which implementations it uses.
struct Process {
    pid: u32,
    memory: File,
    files: Vec<MappedFile>,
}

impl Process {
    fn open(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            memory: File::open(format!("/proc/{pid}/mem")).ok()?,
            files: binary::mapped_files(pid).ok()?,
        })
    }

    /// The implementations of an IFUNC of `elf` that the process calls, from the words that the
    /// loader has filled: those of the resolver itself, and those of all files that import it.
    fn implementations(
        &self,
        elf: &Elf<'_>,
        file: &TargetFile,
        symbol: &str,
        resolver: VirtAddr,
    ) -> Vec<VirtAddr> {
        let Some(home) = self
            .files
            .iter()
            .find(|mapped| mapped.target.shown == file.shown)
        else {
            return Vec::new();
        };
        let mut in_use: Vec<VirtAddr> = self
            .files
            .iter()
            .filter_map(|mapped| self.slots_in(mapped, home, elf, symbol, resolver))
            .flatten()
            .collect();
        in_use.sort_unstable();
        in_use.dedup();
        in_use.retain(|address| elf.file_offset(*address).is_some());
        in_use
    }

    fn slots_in(
        &self,
        mapped: &MappedFile,
        home: &MappedFile,
        elf: &Elf<'_>,
        symbol: &str,
        resolver: VirtAddr,
    ) -> Option<Vec<VirtAddr>> {
        let image = Image::open_as(&mapped.target.path, &mapped.target.shown).ok()?;
        let module = image.elf().ok()?;
        let own = module
            .irelative_slots()
            .filter(|slot| mapped.target.shown == home.target.shown && slot.resolver == resolver)
            .map(|slot| slot.slot);
        let slots: Vec<VirtAddr> = own.chain(module.got_slots_of(symbol)).collect();
        let home_bias = home.load_bias(elf)?;
        let implementation = |address| {
            home.contains(address)
                .then(|| VirtAddr(address.wrapping_sub(home_bias)))
        };
        let bias = mapped.load_bias(&module)?;
        let mut found = implementations_in_use(slots, bias, |at| self.word(at), implementation);
        // Before its first call a slot leads to code that looks the function up, or to the resolver.
        found.retain(|address| *address != resolver);
        Some(found)
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.memory.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }
}
