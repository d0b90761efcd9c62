//! Types of programs and libraries, from DWARF.
//!
//! Nothing is read but what is asked for. A function is found by the address of its symbol: the
//! table of address ranges tells the unit, and only that is searched. A type's name is looked for
//! in the unit of the latest function first, then in all others.

mod copying;
mod scan;
mod shape;
mod unit;

use std::sync::atomic::{AtomicUsize, Ordering};

use gimli::SectionId;

use self::{
    scan::Wanted,
    unit::{Damage, Index, Place, Reader, Sections, borrow, is_needed},
};
use super::{
    Declaration, Error, Keyword, Parameter, Prototype, Type, TypeId, TypeSource,
    declaration::{self, Layer, Written},
};
use crate::{
    resolve::{
        FileOffset, TargetFile, VirtAddr,
        elf::{DebugSection, DebugSymbols, FunctionKind, FunctionSymbol, Image},
    },
    spec::Pattern,
};

/// Types of a program or library.
#[derive(Debug)]
pub struct Dwarf {
    program: Image,
    debug: DebugSymbols,
    /// Whether the sections are from the debug file, not from the program itself.
    is_separate: bool,
    sections: Sections,
    index: Index,
    /// The unit of the latest function; a number that no unit has if there was none.
    latest_unit: AtomicUsize,
}

impl Dwarf {
    /// Types of `program`: from its own sections, or else from those of its debug file. Nothing if
    /// neither has any.
    ///
    /// # Errors
    ///
    /// When they can't be unpacked, or are damaged where the units begin.
    pub fn open(program: Image, debug: DebugSymbols) -> Result<Option<Self>, Error> {
        let from = |image: &Image| -> Result<Option<(Sections, Index)>, Error> {
            let Some(sections) = load(image)? else {
                return Ok(None);
            };
            let index = Index::new(&borrow(&sections, image.data()));
            let index = index.map_err(|error| damaged(image, error))?;
            Ok(Some((sections, index)))
        };
        let (is_separate, found) = match (from(&program)?, debug.image()) {
            (None, Some(image)) => (true, from(image)?),
            (found, _) => (false, found),
        };
        Ok(found.map(|(sections, index)| Self {
            program,
            debug,
            is_separate,
            sections,
            index,
            latest_unit: AtomicUsize::new(usize::MAX),
        }))
    }

    /// Types of the program or library in `file`, whose debug file is looked for where its process
    /// would. Nothing if there are none, or none that can be used.
    #[must_use]
    pub fn of_file(file: &TargetFile) -> Option<Self> {
        let program = Image::open_as(&file.path, &file.shown).ok()?;
        let debug = file.debug_symbols(&program.elf().ok()?);
        Self::open(program, debug).ok().flatten()
    }

    /// The file that the types are from.
    #[must_use]
    pub fn image(&self) -> &Image {
        match self.debug.image() {
            Some(image) if self.is_separate => image,
            _ => &self.program,
        }
    }

    /// The prototype of the function whose code begins at the address. Unlike its name, that is
    /// never that of several functions.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    pub fn prototype_at(&self, address: VirtAddr) -> Result<Option<Prototype>, Error> {
        let reader = self.reader();
        let Some(function) = self.function_at(&reader, address)? else {
            return Ok(None);
        };
        let prototype = reader.prototype(function).map(Some);
        prototype.map_err(|error| self.damaged(error))
    }

    /// The prototype of the function whose code begins at that place of the program.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    pub fn prototype_of(&self, code: FileOffset) -> Result<Option<Prototype>, Error> {
        match self.address_of(code) {
            Some(address) => self.prototype_at(address),
            None => Ok(None),
        }
    }

    /// The declaration of that function.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    pub fn declaration_of(&self, code: FileOffset) -> Result<Option<Declaration>, Error> {
        match self.address_of(code) {
            Some(address) => self.declaration_at(address),
            None => Ok(None),
        }
    }

    /// Not by the file that the types are from: a debug file has no code.
    fn address_of(&self, code: FileOffset) -> Option<VirtAddr> {
        self.program.elf().ok()?.address_at(code)
    }

    /// The declaration of the function whose code begins at the address.
    ///
    /// # Errors
    ///
    /// When the description is damaged there.
    pub fn declaration_at(&self, address: VirtAddr) -> Result<Option<Declaration>, Error> {
        let reader = self.reader();
        let Some(function) = self.function_at(&reader, address)? else {
            return Ok(None);
        };
        let written = reader.written_prototype(function);
        let written = written.map_err(|error| self.damaged(error))?;
        declaration::declare(&Entries(self, &reader), &written).map(Some)
    }

    fn function_at(&self, reader: &Reader<'_>, address: VirtAddr) -> Result<Option<Place>, Error> {
        let find = || -> Result<_, Damage> {
            let Some(unit) = reader.unit_with_code(address.0)? else {
                return Ok(None);
            };
            let Some(function) = reader.search_function(unit, address.0)? else {
                return Ok(None);
            };
            self.latest_unit.store(unit, Ordering::Relaxed);
            Ok(Some(function))
        };
        find().map_err(|error| self.damaged(error))
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.sections, self.image().data(), &self.index)
    }

    fn search(&self, wanted: &Wanted<'_>) -> Result<Option<TypeId>, Error> {
        let reader = self.reader();
        let latest = self.latest_unit.load(Ordering::Relaxed);
        let latest = (latest < self.index.count()).then_some(latest);
        let find = || -> Result<_, Damage> {
            match reader.search(wanted, latest)? {
                Some(place) => reader.resolved(Some(place)).map(Some),
                None => Ok(None),
            }
        };
        find().map_err(|error| self.damaged(error))
    }

    fn damaged(&self, error: Damage) -> Error {
        damaged(self.image(), error)
    }
}

fn damaged(image: &Image, error: Damage) -> Error {
    Error::Damaged {
        what: image.path().display().to_string(),
        reason: error.to_string(),
    }
}

/// The sections that are needed; nothing if the file has no DWARF.
fn load(image: &Image) -> Result<Option<Sections>, Error> {
    let error = |reason: String| Error::Damaged {
        what: image.path().display().to_string(),
        reason,
    };
    let elf = image.elf().map_err(|source| error(source.to_string()))?;
    let load = |id: SectionId| match elf.debug_section(id.name()) {
        _ if !is_needed(id) => Ok(DebugSection::default()),
        Ok(section) => Ok(section.unwrap_or_default()),
        Err(reason) => Err(error(reason)),
    };
    let sections = Sections::load(load)?;
    let dwarf = borrow(&sections, image.data());
    let has_info = !gimli::Section::reader(&dwarf.debug_info).is_empty();
    Ok(has_info.then_some(sections))
}

/// Entries as they are written, through a reader that remembers the units that it has read.
struct Entries<'a, 'r>(&'a Dwarf, &'a Reader<'r>);

impl Written for Entries<'_, '_> {
    fn layer(&self, id: TypeId) -> Result<Layer, Error> {
        self.1.layer(id).map_err(|error| self.0.damaged(error))
    }
}

impl TypeSource for Dwarf {
    fn get(&self, id: TypeId) -> Result<Type, Error> {
        self.reader().get(id).map_err(|error| self.damaged(error))
    }

    /// The first definition of that name; `name` may have scopes in front (`ns::Box`), and needs
    /// none to be found.
    fn find(&self, keyword: Keyword, name: &str) -> Result<Option<TypeId>, Error> {
        if keyword == Keyword::None && name == "void" {
            return Ok(Some(unit::VOID));
        }
        self.search(&Wanted::named(keyword, name))
    }

    /// By any name that the function's symbol has. A function in assembly, and one of which the
    /// dynamic loader chooses an implementation (IFUNC), is known by declarations only, which name
    /// no parameters. `None` also when several functions of that name differ: see
    /// [`Dwarf::prototype_at`].
    fn prototype(&self, function: &str) -> Result<Option<Prototype>, Error> {
        let mut found: Option<Prototype> = None;
        for function in self.functions(function)? {
            let described = match function.kind {
                FunctionKind::Function => self.prototype_at(function.address)?,
                FunctionKind::ColdPart => continue,
                // At the address is what chooses.
                FunctionKind::Ifunc { .. } => None,
            };
            let described = match described {
                None => self.declared(&function.symbol)?,
                described => described,
            };
            let Some(prototype) = described else { continue };
            match &found {
                Some(other) if !self.agree(other, &prototype)? => return Ok(None),
                _ => found = Some(prototype),
            }
        }
        Ok(found)
    }

    fn constant(&self, name: &str) -> Result<Option<(TypeId, i64)>, Error> {
        let wanted = Wanted::constant(name);
        let Some(id) = self.search(&wanted)? else {
            return Ok(None);
        };
        let Type::Enum(found) = self.get(id)? else {
            return Ok(None);
        };
        let last = wanted.last_name();
        let constant = found.constants.into_iter().find(|(name, _)| name == last);
        Ok(constant.map(|(_, value)| (id, value)))
    }

    fn names(&self, keyword: Keyword) -> Vec<String> {
        self.reader().all_names(keyword).into_iter().collect()
    }
}

impl Dwarf {
    fn functions(&self, name: &str) -> Result<Vec<FunctionSymbol>, Error> {
        let pattern = Pattern::Literal(name.to_owned());
        self.program
            .elf()
            .and_then(|elf| elf.find_functions(&pattern, &self.debug))
            .map(|found| found.functions)
            .map_err(|error| Error::Damaged {
                what: self.program.path().display().to_string(),
                reason: error.to_string(),
            })
    }

    fn declared(&self, symbol: &str) -> Result<Option<Prototype>, Error> {
        let reader = self.reader();
        let find = || -> Result<_, Damage> {
            match reader.search(&Wanted::declaration(symbol), None)? {
                Some(place) => reader.prototype(place).map(Some),
                None => Ok(None),
            }
        };
        find().map_err(|error| self.damaged(error))
    }

    /// Whether two prototypes have the same names, where both have them, and types of the same shape;
    /// each unit describes its types anew.
    fn agree(&self, one: &Prototype, other: &Prototype) -> Result<bool, Error> {
        let is_same_name = |(one, other): (&Parameter, &Parameter)| {
            one.name == other.name || one.name.is_none() || other.name.is_none()
        };
        if one.parameters.len() != other.parameters.len()
            || !one
                .parameters
                .iter()
                .zip(&other.parameters)
                .all(is_same_name)
            || one.is_variadic != other.is_variadic
        {
            return Ok(false);
        }
        let types = |prototype: &Prototype| -> Vec<TypeId> {
            let parameters = prototype.parameters.iter();
            let parameters = parameters.map(|parameter| parameter.type_id);
            parameters.chain([prototype.returns]).collect()
        };
        for (one, other) in types(one).into_iter().zip(types(other)) {
            if !self.are_alike(one, other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether two types are called the same; what pointers point to is compared likewise.
    fn are_alike(&self, one: TypeId, other: TypeId) -> Result<bool, Error> {
        let (mut one, mut other) = (one, other);
        for _ in 0..unit::STEPS_UP_TO {
            if one == other {
                return Ok(true);
            }
            match (self.get(one)?, self.get(other)?) {
                (Type::Pointer { target: a, .. }, Type::Pointer { target: b, .. }) => {
                    (one, other) = (a, b);
                }
                (
                    Type::Array { element: a, count },
                    Type::Array {
                        element: b,
                        count: n,
                    },
                ) => {
                    if count != n {
                        return Ok(false);
                    }
                    (one, other) = (a, b);
                }
                (Type::Composite(a), Type::Composite(b)) => {
                    return Ok(a.name == b.name && a.bytes == b.bytes);
                }
                (Type::Enum(a), Type::Enum(b)) => return Ok(a.constants == b.constants),
                (a, b) => return Ok(a == b),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
