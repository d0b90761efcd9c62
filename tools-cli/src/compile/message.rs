//! The values of a message: those of a format, or all that is known if there is none.

use super::{
    Options,
    check::{Checker, Place, Reported, Term, Value},
    emit::Recipe,
    error::Problem,
    ir::Node,
    layout::{FAULTS_BYTES, MAX_LAYOUT_BYTES, MAX_SLOTS, Piece, Slot, SlotKind},
    site::{Field, Location, Site, UsdtSite},
    ty::{IntKind, IntTy, Ty},
};
use crate::spec::{
    Message,
    expr::{Expr, Span},
    format::{self, Conversion, Flags, Form, Length},
};

/// Values with what they are read from, and the message they go into.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) slots: Vec<(Recipe, Slot)>,
    pub(super) pieces: Vec<Piece>,
    /// Size of all values.
    pub(super) bytes: u32,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            pieces: Vec::new(),
            bytes: FAULTS_BYTES.into(),
        }
    }
}

impl Reading {
    /// Adds a value; what it is printed with is added by the caller.
    fn add(&mut self, reading: OneValue, name: String) -> usize {
        let offset = self.bytes;
        self.bytes = offset.saturating_add(reading.kind.bytes());
        let slot = Slot {
            offset,
            kind: reading.kind,
            name,
            constants: reading.constants,
        };
        self.slots.push((reading.recipe, slot));
        self.slots.len() - 1
    }

    fn add_text(&mut self, text: &str) {
        if let Some(Piece::Text(last)) = self.pieces.last_mut() {
            last.extend_from_slice(text.as_bytes());
        } else {
            self.pieces.push(Piece::Text(text.as_bytes().to_vec()));
        }
    }
}

/// A value before it has its place.
struct OneValue {
    recipe: Recipe,
    kind: SlotKind,
    constants: Vec<(String, i64)>,
}

/// The values that a format asks for.
pub(super) fn formatted(
    checker: &mut Checker<'_>,
    message: &Message,
    options: &Options,
) -> Reading {
    let mut reading = Reading::default();
    let mut args = message.args.iter();
    for piece in &message.format {
        let conversion = match piece {
            format::Piece::Text(text) => {
                reading.pieces.push(Piece::Text(text.clone()));
                continue;
            }
            format::Piece::Value(conversion) => *conversion,
        };
        // The parser has counted them.
        let Some(expr) = args.next() else {
            continue;
        };
        let Ok(value) = converted(checker, expr, conversion, options) else {
            continue;
        };
        let name = expr.span.of(checker.text).to_owned();
        let slot = reading.add(value, name);
        reading.pieces.push(Piece::Value { slot, conversion });
        if slot >= MAX_SLOTS {
            let problem = Problem::TooBig("a message has at most 64 values");
            checker.report(problem, expr.span, "");
            break;
        }
    }
    reading
}

fn converted(
    checker: &mut Checker<'_>,
    expr: &Expr,
    conversion: Conversion,
    options: &Options,
) -> Result<OneValue, Reported> {
    let term = checker.term(expr)?;
    if conversion.form == Form::Text {
        return converted_to_text(checker, expr, term, conversion, options);
    }
    if is_text_alone(checker, expr, &term, conversion.form)? {
        let of = checker.describe(&term);
        return Err(wrong_conversion(
            checker,
            expr,
            conversion,
            of,
            "write `%s`",
        ));
    }
    let value = checker.value_of(term, expr.span)?;
    if let Ty::Composite(..) = value.ty {
        let of = checker.sources.describe(&value.ty);
        let note = "print its members";
        return Err(wrong_conversion(checker, expr, conversion, of, note));
    }
    Ok(number(value, Some(conversion)))
}

fn converted_to_text(
    checker: &mut Checker<'_>,
    expr: &Expr,
    term: Term,
    conversion: Conversion,
    options: &Options,
) -> Result<OneValue, Reported> {
    let ty = match &term {
        Term::Value(Value { ty, .. }) | Term::Place(Place { ty, .. }) => ty,
        Term::Comm => return Ok(comm(expr.span)),
    };
    let ty = checker.open(ty, expr.span)?;
    let of = checker.describe(&term);
    let value = text_or_constant(checker, term, &ty, expr.span, options)?;
    value.ok_or_else(|| {
        let note = match &ty {
            Ty::Pointer { .. } | Ty::Register { .. } => "write `%p`, or cast it: `(char *)`",
            Ty::Array { .. } | Ty::Composite(..) => "print its parts",
            Ty::Int(int) if int.is_signed => "write `%d`",
            Ty::Int(int) if int.bytes == 8 => "write `%lu`, or cast it: `(char *)`",
            _ => "write `%u`",
        };
        wrong_conversion(checker, expr, conversion, of, note)
    })
}

/// Whether it is a text that a conversion of this form, another than `%s`, has no number of.
fn is_text_alone(
    checker: &mut Checker<'_>,
    expr: &Expr,
    term: &Term,
    form: Form,
) -> Result<bool, Reported> {
    let ty = match term {
        Term::Value(Value { ty, .. }) | Term::Place(Place { ty, .. }) => ty,
        Term::Comm => return Ok(true),
    };
    let Ty::Array { element, .. } = checker.open(ty, expr.span)? else {
        return Ok(false);
    };
    // It has an address.
    if form == Form::Pointer {
        return Ok(false);
    }
    let int = checker.open(&element, expr.span)?.as_int();
    Ok(int.is_some_and(|int| int.kind == IntKind::Char))
}

fn wrong_conversion(
    checker: &mut Checker<'_>,
    expr: &Expr,
    conversion: Conversion,
    of: String,
    note: &str,
) -> Reported {
    let conversion = conversion.span.of(checker.text).to_owned();
    checker.report(Problem::WrongConversion { conversion, of }, expr.span, note)
}

fn comm(span: Span) -> OneValue {
    OneValue {
        recipe: Recipe::Comm(span),
        kind: SlotKind::Comm,
        constants: Vec::new(),
    }
}

/// What `%s` prints: text, or the name of an enumeration's constant.
fn text_or_constant(
    checker: &mut Checker<'_>,
    term: Term,
    ty: &Ty,
    span: Span,
    options: &Options,
) -> Result<Option<OneValue>, Reported> {
    if let Ty::Enum(_) = ty {
        let value = checker.value_of(term, span)?;
        return Ok(Some(number(value, None)));
    }
    let most = options.text_bytes.clamp(1, Options::MAX_TEXT_BYTES);
    let capacity = match ty {
        // A full array has no NUL of its own, and the helper adds one.
        Ty::Array { count, .. } if *count > 0 => {
            let count = u32::try_from(*count).unwrap_or(u32::MAX);
            most.min(count.saturating_add(1))
        }
        _ => most,
    };
    let address = checker.text_address(term, span)?;
    Ok(address.map(|(address, space)| OneValue {
        recipe: Recipe::Text { address, space },
        kind: SlotKind::Text { capacity },
        constants: Vec::new(),
    }))
}

/// A number of its type; one of unknown type is what the conversion says.
fn number(value: Value, conversion: Option<Conversion>) -> OneValue {
    let mut node: Node = value.node;
    let mut constants = Vec::new();
    let kind = match &value.ty {
        ty if ty.is_unknown() => {
            let int = conversion.map_or(IntTy::UNKNOWN, known_from);
            node = node.extend(int.bytes, int.is_signed);
            kind_of(int)
        }
        Ty::Pointer { .. } | Ty::Register { .. } => SlotKind::Pointer,
        other => {
            if let Ty::Enum(described) = other {
                constants.clone_from(&described.constants);
            }
            kind_of(other.as_int().unwrap_or(IntTy::UNSIGNED_LONG))
        }
    };
    OneValue {
        recipe: Recipe::Word(node),
        kind,
        constants,
    }
}

fn kind_of(int: IntTy) -> SlotKind {
    SlotKind::Integer {
        bytes: int.bytes,
        is_signed: int.is_signed,
    }
}

/// What a register of unknown type is taken for: what C takes an argument of that conversion for.
/// `%d`, `%u` and `%x` mean an `int`'s bytes, above which there is rubbish or zeros.
const fn known_from(conversion: Conversion) -> IntTy {
    let bytes = match (conversion.form, conversion.length) {
        (Form::Pointer | Form::KernelSymbol | Form::UserSymbol, _)
        | (_, Length::Long | Length::LongLong) => 8,
        (Form::Character, _) | (_, Length::Char) => 1,
        (_, Length::Short) => 2,
        (_, Length::Int) => 4,
    };
    IntTy::new(bytes, matches!(conversion.form, Form::Signed))
}

/// The event's arguments, fields or result, each by its name, as far as they are known.
pub(super) fn default(checker: &mut Checker<'_>, options: &Options) -> Reading {
    let mut listing = Listing {
        checker,
        options,
        reading: Reading::default(),
    };
    match listing.checker.site {
        Site::Function(function) if function.at_return => {
            if listing.checker.known.returns != Some(Ty::Void) {
                listing.add("retval", |checker| checker.retval(Span::default()));
            }
        }
        Site::Function(function) => {
            for (at, parameter) in listing.checker.known.parameters.clone().iter().enumerate() {
                let name = parameter.name.clone();
                let name = name.unwrap_or_else(|| format!("arg{}", at + 1));
                listing.add(&name, |checker| {
                    checker.parameter(parameter, function, Span::default())
                });
            }
        }
        Site::Tracepoint(tracepoint) => {
            for field in tracepoint
                .fields
                .iter()
                .filter(|field| field.offset_bytes >= 8)
            {
                listing.field(field);
            }
        }
        Site::Usdt(usdt) => listing.operands(usdt),
    }
    listing.reading
}

struct Listing<'a, 'b> {
    checker: &'a mut Checker<'b>,
    options: &'a Options,
    reading: Reading,
}

impl Listing<'_, '_> {
    /// Adds `name=value`, unless the value is one that can't be shown: nobody asked for it.
    fn add(&mut self, name: &str, term: impl FnOnce(&mut Checker<'_>) -> Result<Term, Reported>) {
        if self.reading.slots.len() >= MAX_SLOTS {
            return;
        }
        let mistakes = self.checker.mistakes.len();
        let added = term(self.checker).and_then(|term| self.add_parts(name, term));
        if added.is_err() {
            self.checker.mistakes.truncate(mistakes);
        }
    }

    /// Of a structure in registers, each member.
    fn add_parts(&mut self, name: &str, term: Term) -> Result<(), Reported> {
        let members = match &term {
            Term::Place(place) => self.checker.members_in_registers(place),
            Term::Value(_) | Term::Comm => Vec::new(),
        };
        if members.is_empty() {
            return self.add_term(name, term);
        }
        for (member, place) in members {
            self.add(&format!("{name}.{member}"), |_| Ok(Term::Place(place)));
        }
        Ok(())
    }

    fn add_term(&mut self, name: &str, term: Term) -> Result<(), Reported> {
        let span = Span::default();
        let ty = match &term {
            Term::Value(value) => self.checker.open(&value.ty, span)?,
            Term::Place(place) => self.checker.open(&place.ty, span)?,
            Term::Comm => Ty::Void,
        };
        let is_text = match &ty {
            Ty::Pointer { target, .. }
            | Ty::Array {
                element: target, ..
            } => {
                let target = self.checker.open(target, span)?;
                target.as_int().is_some_and(|int| int.kind == IntKind::Char)
            }
            _ => false,
        };
        let (value, conversion) = if is_text {
            let value = text_or_constant(self.checker, term, &ty, span, self.options)?;
            let Some(value) = value else { return Ok(()) };
            (value, plain(Form::Text))
        } else {
            // Of other arrays, the address would be shown.
            if let Term::Place(_) = &term
                && let Ty::Array { .. } = ty
            {
                return Ok(());
            }
            let value = self.checker.value_of(term, span)?;
            let conversion = conversion_for(&value.ty);
            (number(value, None), conversion)
        };
        let bytes = self.reading.bytes.saturating_add(value.kind.bytes());
        if bytes > MAX_LAYOUT_BYTES {
            return Ok(());
        }
        if !self.reading.slots.is_empty() {
            self.reading.add_text(", ");
        }
        self.reading.add_text(&format!("{name}="));
        let slot = self.reading.add(value, name.to_owned());
        self.reading.pieces.push(Piece::Value { slot, conversion });
        Ok(())
    }

    fn field(&mut self, field: &Field) {
        // What is elsewhere in the record has a length that is not known here; text has an end.
        let is_array_elsewhere = field.location != Location::Here;
        self.add(&field.name, |checker| {
            let term = checker.field(field, Span::default())?;
            match &term {
                Term::Value(value) if is_array_elsewhere => {
                    let Ty::Pointer { target, .. } = &value.ty else {
                        return Ok(term);
                    };
                    match checker.open(target, Span::default())? {
                        Ty::Int(int) if int.kind == IntKind::Char => Ok(term),
                        _ => Err(Reported),
                    }
                }
                _ => Ok(term),
            }
        });
    }

    fn operands(&mut self, usdt: &UsdtSite) {
        // With a signature, by its names.
        let parameters = self.checker.known.parameters.clone();
        for (at, operand) in usdt.operands.iter().enumerate() {
            let written = format!("arg{}", at + 1);
            let named = parameters.get(at).and_then(|known| known.name.clone());
            match named {
                Some(name) => self.add(&name, |checker| checker.name(&name, Span::default())),
                None => self.add(&written, |checker| {
                    let value = checker.operand(operand, &written, Span::default());
                    value.map(Term::Value)
                }),
            }
        }
    }
}

fn conversion_for(ty: &Ty) -> Conversion {
    let hex = Conversion {
        flags: Flags {
            alternate: true,
            ..Flags::default()
        },
        ..plain(Form::Hex)
    };
    match ty {
        Ty::Pointer { .. } => hex,
        Ty::Int(int) if int.kind == IntKind::Unknown => hex,
        Ty::Enum(_) => plain(Form::Text),
        Ty::Int(int) if int.is_signed => plain(Form::Signed),
        _ => plain(Form::Unsigned),
    }
}

/// A conversion that no format has asked for.
fn plain(form: Form) -> Conversion {
    Conversion {
        form,
        length: Length::default(),
        flags: Flags::default(),
        width: None,
        precision: None,
        span: Span::default(),
    }
}
