//! The functions that a pattern means, one for each place in the code.

use super::{
    ElfError,
    aliases::rank,
    debug_file::DebugSymbols,
    ifunc::Implementations,
    image::Elf,
    names::{self, Matcher},
    symbols::Symbol,
};
use crate::{
    resolve::address::{FileOffset, VirtAddr},
    spec::Pattern,
};

/// What the names of the functions found may take; the largest programs have a tenth of that.
const NAMES_UP_TO_BYTES: usize = 1 << 30;

/// What a pattern means in a file.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The functions, by address; each address once.
    pub functions: Vec<FunctionSymbol>,
    /// What the user should know, as whole sentences without a full stop.
    pub notes: Vec<String>,
}

/// A function that a pattern means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSymbol {
    /// The name that reports show: demangled, with parameters. Static functions of the same name
    /// in several places are several functions with one name.
    pub name: String,
    /// The name as the symbol table has it.
    pub symbol: String,
    /// Where it starts.
    pub address: VirtAddr,
    /// The same place in the file.
    pub offset: FileOffset,
    /// Its length in bytes; 0 if unknown.
    pub size: u64,
    /// What kind of function it is.
    pub kind: FunctionKind,
}

/// What kind of function it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One that is called at its address.
    Function,
    /// What is at the address is a resolver, which the dynamic loader calls once to choose one of
    /// several implementations.
    Ifunc {
        /// The implementations that the resolver can choose from, by address; empty if they could
        /// not be found out.
        candidates: Vec<VirtAddr>,
    },
    /// A part of a function that is jumped to (`foo.cold`). It has no return address, so a return
    /// probe there would break the program.
    ColdPart,
}

/// A place to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site<'found> {
    /// The function that is counted there.
    pub function: &'found FunctionSymbol,
    /// Where it starts; for an IFUNC, where one of its implementations does.
    pub address: VirtAddr,
    /// The same place in the file.
    pub offset: FileOffset,
}

impl Found {
    /// The places to attach to if it is not known which implementation of an IFUNC is in use: the
    /// functions, and all candidates of IFUNCs. Each address comes once: an implementation that
    /// several share (memcpy and memmove do) or that was itself found goes to the first, in this
    /// order: itself, then the IFUNC with the lowest address.
    #[must_use]
    pub fn sites(&self, elf: &Elf<'_>) -> Vec<Site<'_>> {
        let mut sites = Vec::with_capacity(self.functions.len());
        for function in &self.functions {
            match &function.kind {
                FunctionKind::Ifunc { candidates } => {
                    sites.extend(candidates.iter().filter_map(|&address| {
                        let offset = elf.file_offset(address)?;
                        Some(Site {
                            function,
                            address,
                            offset,
                        })
                    }));
                }
                _ => {
                    let (address, offset) = (function.address, function.offset);
                    sites.push(Site {
                        function,
                        address,
                        offset,
                    });
                }
            }
        }
        sites.sort_by_key(|site| (site.address, site.function.address != site.address));
        sites.dedup_by_key(|site| site.address);
        sites
    }
}

impl Elf<'_> {
    /// The functions that `pattern` means by any of their names, in the order of their addresses.
    ///
    /// Several names of one address are one function; it is shown by the name that the pattern
    /// spells out, or else by the plainest of those that match. Damaged symbol tables are passed
    /// over as far as they are damaged.
    ///
    /// # Errors
    ///
    /// When the names of what matches fill the memory.
    pub fn find_functions(
        &self,
        pattern: &Pattern,
        debug: &DebugSymbols,
    ) -> Result<Found, ElfError> {
        let matcher = Matcher::new(pattern);
        let mut matching: Vec<Symbol<'_>> = self
            .functions(debug)
            .filter(|symbol| matcher.matches(symbol.name))
            .collect();
        matching.sort_by_cached_key(|symbol| {
            (symbol.address, rank(symbol, pattern.literal().as_slice()))
        });

        let mut found = Found {
            functions: Vec::new(),
            notes: debug.notes().to_vec(),
        };
        let mut implementations = Implementations::new(self, debug);
        let mut not_code = Vec::new();
        let mut names_bytes = 0;
        for symbols in matching.chunk_by(|a, b| a.address == b.address) {
            let Some(function) = self.function(symbols, &mut implementations) else {
                not_code.push(symbols[0].name);
                continue;
            };
            // Symbols may share one long name; here each gets its own copy.
            names_bytes += function.name.len() + function.symbol.len();
            if names_bytes > NAMES_UP_TO_BYTES {
                let limit_bytes = NAMES_UP_TO_BYTES;
                return Err(ElfError::TooManyNames {
                    path: self.path.to_owned(),
                    limit_bytes,
                });
            }
            found.functions.push(function);
        }
        found.notes.extend(self.not_code_note(&not_code));
        found.notes.extend(self.ifunc_note(&found.functions));
        Ok(found)
    }

    /// One function of the symbols at one address, the best first; nothing if it is not code.
    fn function(
        &self,
        symbols: &[Symbol<'_>],
        implementations: &mut Implementations<'_>,
    ) -> Option<FunctionSymbol> {
        let best = symbols.first()?;
        let offset = self.file_offset(best.address)?;
        let kind = if best.ifunc {
            FunctionKind::Ifunc {
                candidates: implementations.of(best),
            }
        } else if names::is_cold_part(best.name) {
            FunctionKind::ColdPart
        } else {
            FunctionKind::Function
        };
        Some(FunctionSymbol {
            name: names::shown(best.name).into_owned(),
            symbol: best.name.to_owned(),
            address: best.address,
            offset,
            size: symbols.iter().map(|symbol| symbol.size).max().unwrap_or(0),
            kind,
        })
    }

    fn not_code_note(&self, names: &[&str]) -> Option<String> {
        let subject = first_and_more(names)?;
        let path = self.path.display();
        Some(format!(
            "{subject} left out: not in a part of {path} that is executed"
        ))
    }

    fn ifunc_note(&self, functions: &[FunctionSymbol]) -> Option<String> {
        let unknown = |function: &&FunctionSymbol| {
            function.kind
                == FunctionKind::Ifunc {
                    candidates: Vec::new(),
                }
        };
        let names: Vec<&str> = functions
            .iter()
            .filter(unknown)
            .map(|function| &*function.name)
            .collect();
        let subject = first_and_more(&names)?;
        Some(format!(
            "{subject}: which implementations the resolver chooses from can't be read from {}; \
             with a process, the one in use can be read from its memory",
            self.path.display()
        ))
    }
}

fn first_and_more(names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [name] => Some((*name).to_owned()),
        [first, others @ ..] => Some(format!("{first} and {} more", others.len())),
    }
}
