//! The members of structures and unions, in anonymous members too.

use std::collections::HashSet;

use crate::{
    compile::ty::{Origin, Sources, Ty},
    types::{self, Composite, Member, TypeId},
};

/// A member that has a name.
pub(super) struct Named<'m> {
    pub(super) name: &'m str,
    pub(super) member: &'m Member,
    /// Whose numbers its type has.
    pub(super) origin: Origin,
    /// Where it begins, in bits from the start of the structure that was asked for.
    pub(super) bit_offset: u64,
}

/// A walk over the members of a structure.
pub(super) struct Members<'a> {
    sources: Sources<'a>,
    /// The types of anonymous members that have been gone through. No name is in a structure twice,
    /// and types that are damaged may contain themselves, each many times.
    seen: HashSet<(Origin, TypeId)>,
}

impl<'a> Members<'a> {
    pub(super) fn new(sources: Sources<'a>) -> Self {
        Self {
            sources,
            seen: HashSet::new(),
        }
    }

    /// What `take` makes of the first member of `composite` that it makes something of.
    pub(super) fn find<T>(
        &mut self,
        composite: &Composite,
        origin: Origin,
        take: &mut dyn FnMut(&Named<'_>) -> Option<T>,
    ) -> Result<Option<T>, types::Error> {
        self.find_from(composite, origin, 0, 0, take)
    }

    fn find_from<T>(
        &mut self,
        composite: &Composite,
        origin: Origin,
        first_bit: u64,
        depth: u32,
        take: &mut dyn FnMut(&Named<'_>) -> Option<T>,
    ) -> Result<Option<T>, types::Error> {
        /// More than anybody nests; types that are damaged may do so without end.
        const DEEPEST: u32 = 16;
        for member in &composite.members {
            let bit_offset = first_bit.saturating_add(member.bit_offset);
            let found = match &member.name {
                Some(name) => take(&Named {
                    name,
                    member,
                    origin,
                    bit_offset,
                }),
                None if depth < DEEPEST && self.seen.insert((origin, member.type_id)) => {
                    let inner = self.sources.open(&Ty::Named(origin, member.type_id))?;
                    match inner {
                        Ty::Composite(inner, origin) => {
                            self.find_from(&inner, origin, bit_offset, depth + 1, take)?
                        }
                        _ => None,
                    }
                }
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
