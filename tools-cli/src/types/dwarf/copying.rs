//! Which classes of C++ are not simply copied into registers or onto the stack.
//!
//! A class that is "non-trivial for the purposes of calls" (Itanium C++ ABI, 1.1) is passed as the
//! address of a copy. Clang says of each class whether it is (DW_AT_calling_convention); gcc (12)
//! does not, so that it is told from what is declared: a destructor or a constructor
//! that copies or moves, neither of them defaulted where it is declared, or something virtual. A
//! compiler that does not tell what is defaulted (before DWARF 5, if it must be strict about it) is
//! taken to mean that nothing is: whoever declares such a function mostly has it do something.

use gimli::{AttributeValue, constants as dw};

use super::{
    shape::{is_flag, number},
    unit::{Entry, Place, Reader, Result, Unit},
};

/// What a class tells of how it is copied.
#[derive(Debug)]
pub(super) struct Copying {
    /// What the compiler says.
    said: Option<bool>,
    /// What its constructors are called: its own name without arguments of a template.
    constructor: Option<String>,
    /// Whether something that copies, moves or destroys it is not trivial.
    is_special: bool,
    /// Whether a constructor that copies or moves it is deleted.
    is_deleted: bool,
    /// Whether there is a trivial one.
    is_copied: bool,
}

impl Copying {
    /// Of the class in `entry`, before its members are known.
    pub fn new(entry: &Entry<'_>, name: Option<&str>) -> Self {
        let said = match entry.attr_value(dw::DW_AT_calling_convention) {
            Some(AttributeValue::CallingConvention(dw::DW_CC_pass_by_reference)) => Some(true),
            Some(AttributeValue::CallingConvention(dw::DW_CC_pass_by_value)) => Some(false),
            _ => None,
        };
        let constructor = name.and_then(|name| name.split('<').next());
        Self {
            said,
            constructor: constructor.map(str::to_owned),
            is_special: false,
            is_deleted: false,
            is_copied: false,
        }
    }

    /// Whether functions are passed the address of a copy.
    pub const fn is_by_reference(&self) -> bool {
        match self.said {
            Some(said) => said,
            // What can't be copied at all is passed like that, too.
            None => self.is_special || (self.is_deleted && !self.is_copied),
        }
    }
}

impl<'a> Reader<'a> {
    /// Notes what a part of the class at `class` tells.
    pub(super) fn note_copying(
        &self,
        copying: &mut Copying,
        class: Place,
        unit: &Unit<'a>,
        part: &Entry<'a>,
    ) -> Result<()> {
        if copying.said.is_some() {
            return Ok(());
        }
        // A base class, or a member function.
        if is_virtual(part) {
            copying.is_special = true;
            return Ok(());
        }
        if part.tag() != dw::DW_TAG_subprogram {
            return Ok(());
        }
        let Some(name) = self.name(unit, part)? else {
            return Ok(());
        };
        let is_destructor = name.starts_with('~');
        if !is_destructor
            && (copying.constructor.as_deref() != Some(&*name)
                || !self.takes_another(class, part)?)
        {
            return Ok(());
        }
        if is_trivial(part) {
            copying.is_copied |= !is_destructor;
        } else if is_flag(part, dw::DW_AT_deleted) {
            copying.is_deleted |= !is_destructor;
        } else {
            copying.is_special = true;
        }
        Ok(())
    }

    /// Whether the only parameter of a constructor is a reference to one of the same class.
    fn takes_another(&self, class: Place, constructor: &Entry<'a>) -> Result<bool> {
        let place = Place {
            offset: constructor.offset(),
            ..class
        };
        let mut taken = Vec::new();
        self.children(place, |_, number, child| {
            if child.tag() == dw::DW_TAG_formal_parameter && !is_flag(child, dw::DW_AT_artificial) {
                taken.push(self.type_of(number, child)?);
            }
            Ok(())
        })?;
        let [only] = taken[..] else {
            return Ok(false);
        };
        let Some((reference, _)) = self.place(only)? else {
            return Ok(false);
        };
        let (_, entry) = self.entry(reference)?;
        let is_reference = matches!(
            entry.tag(),
            dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type
        );
        Ok(is_reference && self.type_of(reference.unit, &entry)? == self.id(class, 0))
    }
}

fn is_virtual(part: &Entry<'_>) -> bool {
    matches!(
        part.attr_value(dw::DW_AT_virtuality),
        Some(AttributeValue::Virtuality(kind)) if kind != dw::DW_VIRTUALITY_none
    )
}

/// Whether a function is as if it had not been declared.
fn is_trivial(function: &Entry<'_>) -> bool {
    const IN_CLASS: u64 = dw::DW_DEFAULTED_in_class.0 as u64;
    is_flag(function, dw::DW_AT_artificial)
        || number(function, dw::DW_AT_defaulted) == Some(IN_CLASS)
}
