//! Searches in DWARF: one pass over the entries, most of them skipped unread.

use std::collections::BTreeSet;

use gimli::{AttributeValue, constants as dw};

use super::unit::{Place, Reader, Result, Slice, Unit, Value};
use crate::types::{Keyword, spelling};

/// What is looked for.
pub(super) struct Wanted<'name> {
    what: What,
    /// As compilers spell it, without the scopes in front.
    names: Vec<&'name str>,
    /// The namespaces and classes that are told, the outermost first.
    scopes: Vec<&'name str>,
    /// Whether a declaration will do where there is no definition.
    or_declaration: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Type(Keyword),
    Constant,
    /// The function whose code begins at the address.
    Function(u64),
    /// A declaration of a function that tells its parameters.
    Declaration,
}

impl<'name> Wanted<'name> {
    /// The type of a name, or a declaration of it if there is nothing else.
    pub fn named(keyword: Keyword, name: &'name str) -> Self {
        Self {
            or_declaration: true,
            ..Self::definition(keyword, name)
        }
    }

    /// The definition of the type of a name.
    pub fn definition(keyword: Keyword, name: &'name str) -> Self {
        let mut scopes = split_scopes(name);
        let last = scopes.pop().unwrap_or(name);
        Self {
            what: What::Type(keyword),
            names: spelling::variants(last),
            scopes,
            or_declaration: false,
        }
    }

    /// A constant of an enumeration.
    pub fn constant(name: &'name str) -> Self {
        Self {
            what: What::Constant,
            ..Self::definition(Keyword::None, name)
        }
    }

    /// The function whose code begins at the address.
    pub fn function(address: u64) -> Self {
        Self {
            what: What::Function(address),
            names: Vec::new(),
            scopes: Vec::new(),
            or_declaration: false,
        }
    }

    /// A declaration of the function with this symbol.
    pub fn declaration(symbol: &'name str) -> Self {
        Self {
            what: What::Declaration,
            names: vec![symbol],
            scopes: Vec::new(),
            or_declaration: false,
        }
    }

    /// The name without scopes.
    pub fn last_name(&self) -> &'name str {
        self.names.first().copied().unwrap_or_default()
    }

    fn is_wanted(&self, tag: gimli::DwTag, is_c: bool) -> bool {
        match self.what {
            What::Type(keyword) => is_of(keyword, tag, is_c),
            What::Constant => tag == dw::DW_TAG_enumerator,
            What::Function(_) | What::Declaration => tag == dw::DW_TAG_subprogram,
        }
    }

    /// Whether what is looked for may be within such an entry.
    fn may_be_within(&self, tag: gimli::DwTag, is_c: bool) -> bool {
        match tag {
            dw::DW_TAG_compile_unit
            | dw::DW_TAG_partial_unit
            | dw::DW_TAG_type_unit
            | dw::DW_TAG_namespace
            | dw::DW_TAG_module => true,
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => !is_c,
            dw::DW_TAG_enumeration_type => self.what == What::Constant,
            _ => false,
        }
    }
}

/// Whether a type with such an entry is written with the keyword; outside of C, the names of
/// classes and enumerations need none.
fn is_of(keyword: Keyword, tag: gimli::DwTag, is_c: bool) -> bool {
    match tag {
        dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_interface_type => {
            keyword == Keyword::Struct || (keyword == Keyword::None && !is_c)
        }
        dw::DW_TAG_union_type => keyword == Keyword::Union || (keyword == Keyword::None && !is_c),
        dw::DW_TAG_enumeration_type => {
            keyword == Keyword::Enum || (keyword == Keyword::None && !is_c)
        }
        dw::DW_TAG_typedef | dw::DW_TAG_base_type | dw::DW_TAG_template_alias => {
            keyword == Keyword::None
        }
        _ => false,
    }
}

/// What is known of an entry after its attributes have been read.
#[derive(Default)]
struct Found<'a> {
    name: Option<Value<'a>>,
    /// Its name for the linker, if that is another one.
    linkage_name: Option<Value<'a>>,
    sibling: Option<gimli::UnitOffset>,
    is_declaration: bool,
    /// Whether it is declared as `f(void)` or with parameters, not as `f()` in C.
    is_prototyped: bool,
    /// Where its code begins, or the ranges that it is in.
    code: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
}

impl Found<'_> {
    /// C++ has no functions without prototypes, and marks none.
    fn tells_parameters(&self, symbol: &str) -> bool {
        self.is_prototyped || symbol.starts_with("_Z")
    }
}

/// An entry on the way from the root to the current one.
struct Scope {
    depth: isize,
    place: Place,
}

impl<'a> Reader<'a> {
    /// Looks through all units, the given one first; for a constant the place is that of its
    /// enumeration.
    pub fn search(&self, wanted: &Wanted<'_>, first: Option<usize>) -> Result<Option<Place>> {
        let mut declared = None;
        let mut damage = None;
        let others = (0..self.index.count()).filter(|number| Some(*number) != first);
        for number in first.into_iter().chain(others) {
            let mut found = None;
            let result = self.search_unit(number, wanted, &mut |place, is_declaration| {
                if !is_declaration {
                    found = Some(place);
                } else if declared.is_none() {
                    declared = Some(place);
                }
                found.is_some()
            });
            if found.is_some() {
                return Ok(found);
            }
            // What is damaged in one unit says nothing about the others.
            damage = damage.or(result.err());
        }
        match (declared.filter(|_| wanted.or_declaration), damage) {
            (None, Some(damage)) => Err(damage),
            (declared, _) => Ok(declared),
        }
    }

    /// Looks for a function in one unit only.
    pub fn search_function(&self, unit: usize, address: u64) -> Result<Option<Place>> {
        let mut found = None;
        self.search_unit(unit, &Wanted::function(address), &mut |place, _| {
            found = Some(place);
            true
        })?;
        Ok(found)
    }

    /// The names of all types with that keyword.
    pub fn all_names(&self, keyword: Keyword) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for number in 0..self.index.count() {
            let Ok(unit) = self.unit(number) else {
                continue;
            };
            let is_c = self.is_c(&unit);
            // As with the searches: one that is damaged doesn't hide the others.
            let _ = self.walk(
                number,
                &unit,
                &|tag| is_of(keyword, tag, is_c),
                &|tag| Wanted::definition(keyword, "").may_be_within(tag, is_c),
                &mut |_, found, _| {
                    let name = found.name;
                    let name = name.and_then(|name| self.dwarf.attr_string(&unit, name).ok());
                    let name = name.map(|name| name.to_string_lossy().into_owned());
                    // What has none may be written as having an empty one.
                    names.extend(name.filter(|name| !name.is_empty()));
                    false
                },
            );
        }
        names
    }

    /// Calls `visit` with the place of each entry that is wanted and whether it is a declaration,
    /// until that says to stop.
    fn search_unit(
        &self,
        number: usize,
        wanted: &Wanted<'_>,
        visit: &mut dyn FnMut(Place, bool) -> bool,
    ) -> Result<()> {
        let unit = self.unit(number)?;
        let is_c = self.is_c(&unit);
        let mut check = |place: Place, found: &Found<'a>, scopes: &[Scope]| {
            if let What::Function(address) = wanted.what {
                return self.begins_at(&unit, found, address) && visit(place, found.is_declaration);
            }
            let mut names = [found.name, None];
            if wanted.what == What::Declaration {
                if !found.is_declaration || !found.tells_parameters(wanted.last_name()) {
                    return false;
                }
                // Outside of C, several functions share the name that people write.
                names = [found.name.filter(|_| is_c), found.linkage_name];
            }
            let is_it = |name| {
                let mut wanted = wanted.names.iter();
                wanted.any(|wanted| self.is_text(&unit, name, wanted))
            };
            if !names.into_iter().flatten().any(is_it) {
                return false;
            }
            if !self.is_there(&unit, place, scopes, wanted).unwrap_or(false) {
                return false;
            }
            let place = match wanted.what {
                What::Constant => scopes.last().map_or(place, |scope| scope.place),
                _ => place,
            };
            // Where one is looked for, none is better than another.
            visit(
                place,
                found.is_declaration && wanted.what != What::Declaration,
            )
        };
        self.walk(
            number,
            &unit,
            &|tag| wanted.is_wanted(tag, is_c),
            &|tag| wanted.may_be_within(tag, is_c),
            &mut check,
        )
    }

    fn begins_at(&self, unit: &Unit<'a>, found: &Found<'a>, address: u64) -> bool {
        if let Some(code) = &found.code {
            let begin = self.dwarf.attr_address(unit, *code);
            return begin.is_ok_and(|begin| begin == Some(address));
        }
        let ranges = found
            .ranges
            .map(|value| self.dwarf.attr_ranges(unit, value));
        let Some(Ok(Some(mut ranges))) = ranges else {
            return false;
        };
        while let Ok(Some(range)) = ranges.next() {
            if range.begin == address {
                return true;
            }
        }
        false
    }

    /// Whether the innermost of the scopes around `place` are those that are told.
    fn is_there(
        &self,
        unit: &Unit<'a>,
        place: Place,
        scopes: &[Scope],
        wanted: &Wanted<'_>,
    ) -> Result<bool> {
        if wanted.scopes.is_empty() {
            return Ok(true);
        }
        // What is defined apart from the namespace that it is declared in has none around it.
        let outermost = scopes.first().map_or(place, |scope| scope.place);
        let entry = unit.entry(outermost.offset)?;
        let mut places = match self.follow(place.unit, &entry, dw::DW_AT_specification)? {
            Some(declaration) if declaration.unit == place.unit => {
                self.scopes_around(unit, declaration)?
            }
            _ => Vec::new(),
        };
        places.extend(scopes.iter().map(|scope| scope.place));
        if self.are_scopes(unit, &places, &wanted.scopes)? {
            return Ok(true);
        }
        // The constants of an enumeration are in the scope around it, too.
        let is_constant = wanted.what == What::Constant && places.pop().is_some();
        Ok(is_constant && self.are_scopes(unit, &places, &wanted.scopes)?)
    }

    /// Whether the innermost of the places have these names.
    fn are_scopes(&self, unit: &Unit<'a>, places: &[Place], names: &[&str]) -> Result<bool> {
        let mut places = places.iter().rev();
        for name in names.iter().rev() {
            match places.next() {
                Some(place) if self.is_scope(unit, *place, name)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The scopes that an entry is in, the outermost first.
    fn scopes_around(&self, unit: &Unit<'a>, wanted: Place) -> Result<Vec<Place>> {
        let mut found = Vec::new();
        let is_scope = |tag| Wanted::definition(Keyword::Struct, "").may_be_within(tag, false);
        self.walk(
            wanted.unit,
            unit,
            &|_| true,
            &is_scope,
            &mut |place, _, scopes| {
                let is_it = place == wanted;
                if is_it {
                    found = scopes.iter().map(|scope| scope.place).collect();
                }
                is_it
            },
        )?;
        Ok(found)
    }

    fn is_scope(&self, unit: &Unit<'a>, place: Place, name: &str) -> Result<bool> {
        let entry = unit.entry(place.offset)?;
        if let Some(value) = entry.attr_value(dw::DW_AT_name) {
            return Ok(self.is_text(unit, value, name));
        }
        // A class with a unit of its own has its name there.
        let Some(place) = self.follow(place.unit, &entry, dw::DW_AT_signature)? else {
            return Ok(false);
        };
        let (unit, entry) = self.entry(place)?;
        let value = entry.attr_value(dw::DW_AT_name);
        Ok(value.is_some_and(|value| self.is_text(&unit, value, name)))
    }

    /// Goes through the entries of a unit: `visit`s those with a wanted tag, until that says to
    /// stop, and jumps over the contents of those that hold nothing of interest, where the
    /// compiler has written down how far.
    fn walk(
        &self,
        number: usize,
        unit: &Unit<'a>,
        is_wanted: &dyn Fn(gimli::DwTag) -> bool,
        is_entered: &dyn Fn(gimli::DwTag) -> bool,
        visit: &mut dyn FnMut(Place, &Found<'a>, &[Scope]) -> bool,
    ) -> Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut depth_before = 0;
        let mut scopes: Vec<Scope> = Vec::new();
        while !entries.is_empty() {
            let offset = entries.next_offset();
            let depth = depth_before + entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            let tag = abbreviation.tag();
            let (wanted, entered) = (is_wanted(tag), is_entered(tag));
            if !wanted && (entered || !abbreviation.has_children()) {
                entries.skip_attributes(abbreviation.attributes())?;
            } else {
                let found = read(&mut entries, abbreviation.attributes())?;
                while scopes.last().is_some_and(|scope| scope.depth >= depth) {
                    scopes.pop();
                }
                let place = Place {
                    unit: number,
                    offset,
                };
                if wanted && visit(place, &found, &scopes) {
                    return Ok(());
                }
                let next = found.sibling.filter(|next| *next > entries.next_offset());
                if !entered
                    && abbreviation.has_children()
                    && let Some(next) = next
                {
                    entries = unit.entries_raw(Some(next))?;
                    depth_before = depth;
                    continue;
                }
            }
            if entered && abbreviation.has_children() && depth > 0 {
                while scopes.last().is_some_and(|scope| scope.depth >= depth) {
                    scopes.pop();
                }
                let place = Place {
                    unit: number,
                    offset,
                };
                scopes.push(Scope { depth, place });
            }
        }
        Ok(())
    }
}

fn read<'a>(
    entries: &mut gimli::EntriesRaw<'_, Slice<'a>>,
    attributes: &[gimli::AttributeSpecification],
) -> Result<Found<'a>> {
    let mut found = Found::default();
    for &attribute in attributes {
        let value = entries.read_attribute(attribute)?;
        match attribute.name() {
            dw::DW_AT_name => found.name = Some(value.value()),
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => {
                found.linkage_name = Some(value.value());
            }
            dw::DW_AT_low_pc => found.code = Some(value.value()),
            dw::DW_AT_ranges => found.ranges = Some(value.value()),
            dw::DW_AT_declaration => {
                found.is_declaration = matches!(value.value(), AttributeValue::Flag(true));
            }
            dw::DW_AT_prototyped => {
                found.is_prototyped = matches!(value.value(), AttributeValue::Flag(true));
            }
            dw::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = value.value() {
                    found.sibling = Some(offset);
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// `a::b<c::d>::e` without the separators between its parts.
fn split_scopes(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0i32);
    for (at, c) in name.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ':' if depth == 0 && at >= start && name[at..].starts_with("::") => {
                if at > start {
                    parts.push(&name[start..at]);
                }
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&name[start..]);
    parts
}
