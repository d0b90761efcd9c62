//! Members, elements, dereferences: places in memory, and how they are read.

use super::{At, Checker, Place, Problem, Reported, Term, Value, members::Members, pointer_value};
use crate::{
    compile::{
        ir::{Arithmetic, Node},
        site::{Context, Space},
        ty::{IntKind, IntTy, Origin, Ty},
    },
    spec::expr::{Expr, ExprKind, Name, Span},
    suggest,
    types::{Composite, Member},
};

/// Names that the kernel's headers define as macros for members of inner structures
/// (include/net/sock.h, include/linux/fs.h).
const ALIASES: [(&str, &str, &str); 17] = [
    ("sock", "sk_dport", "__sk_common.skc_dport"),
    ("sock", "sk_num", "__sk_common.skc_num"),
    ("sock", "sk_daddr", "__sk_common.skc_daddr"),
    ("sock", "sk_rcv_saddr", "__sk_common.skc_rcv_saddr"),
    ("sock", "sk_family", "__sk_common.skc_family"),
    ("sock", "sk_state", "__sk_common.skc_state"),
    ("sock", "sk_reuse", "__sk_common.skc_reuse"),
    ("sock", "sk_reuseport", "__sk_common.skc_reuseport"),
    ("sock", "sk_ipv6only", "__sk_common.skc_ipv6only"),
    ("sock", "sk_bound_dev_if", "__sk_common.skc_bound_dev_if"),
    ("sock", "sk_net", "__sk_common.skc_net"),
    ("sock", "sk_prot", "__sk_common.skc_prot"),
    ("sock", "sk_hash", "__sk_common.skc_hash"),
    ("sock", "sk_cookie", "__sk_common.skc_cookie"),
    ("sock", "sk_v6_daddr", "__sk_common.skc_v6_daddr"),
    ("sock", "sk_v6_rcv_saddr", "__sk_common.skc_v6_rcv_saddr"),
    ("inet_sock", "inet_daddr", "sk.__sk_common.skc_daddr"),
];

/// Where a member is in its structure.
struct Found {
    ty: Ty,
    bit_offset: u64,
    bits: Option<u32>,
}

impl Checker<'_> {
    /// The value at a place.
    pub(super) fn read(&mut self, place: Place, span: Span) -> Result<Value, Reported> {
        let ty = self.open(&place.ty, span)?;
        let space = match place.at {
            At::Memory(_, space) => Some(space),
            At::Record(_) => Some(self.record_space()),
            At::Words { space, .. } => Some(space),
        };
        let int = match &ty {
            Ty::Array { element, .. } => {
                let target = (**element).clone();
                let (node, space) = self.address_of(place.at, span)?;
                return Ok(pointer_value(node, target, space));
            }
            Ty::Int(int) => *int,
            Ty::Enum(_) => ty.as_int().unwrap_or(IntTy::INT),
            Ty::Pointer { .. } => IntTy::UNSIGNED_LONG,
            Ty::Float(float) => {
                return Err(self.report(Problem::Float(float.name.clone()), span, ""));
            }
            other => {
                let found = self.sources.describe(other);
                let note = match other {
                    Ty::Composite(..) => "read one of its members",
                    _ => "",
                };
                let expected = "a number or pointer";
                let problem = Problem::WrongType { found, expected };
                return Err(self.report(problem, span, note));
            }
        };
        self.fits_word(int, span)?;
        let (node, ty) = match place.bits {
            Some((first, count)) => {
                let node = self.read_bits(&place.at, first, count, int, span)?;
                (node, promoted_bits(ty, int, count))
            }
            None => (self.load(place.at, int.bytes, span)?.extend_if(int), ty),
        };
        let node = Node { span, ..node };
        Ok(Value { node, ty, space })
    }

    /// Registers hold no more than 8 bytes.
    pub(super) fn fits_word(&mut self, int: IntTy, span: Span) -> Result<(), Reported> {
        if int.bytes <= 8 && int.bytes.is_power_of_two() {
            return Ok(());
        }
        let problem = Problem::WrongType {
            found: format!("an integer of {} bytes", int.bytes),
            expected: "one of at most 8",
        };
        Err(self.report(problem, span, ""))
    }

    fn load(&mut self, at: At, bytes: u8, span: Span) -> Result<Node, Reported> {
        Ok(match at {
            At::Memory(address, space) => Node::load(address, bytes, space, span),
            At::Words {
                words,
                offset_bytes,
                ..
            } => return self.part_of_words(&words, offset_bytes, bytes, span),
            At::Record(offset) => {
                let is_direct = offset.is_multiple_of(bytes.into())
                    && (self.context != Context::Record || offset >= 8);
                if is_direct {
                    return Ok(Node::context(offset, bytes, span));
                }
                let address = Node::context_address(offset, span);
                Node::load(address, bytes, Space::Kernel, span)
            }
        })
    }

    /// `bytes` bytes of a structure in registers.
    fn part_of_words(
        &mut self,
        words: &[Node],
        offset_bytes: u64,
        bytes: u8,
        span: Span,
    ) -> Result<Node, Reported> {
        let (word, first) = (offset_bytes / 8, offset_bytes % 8);
        let word = usize::try_from(word).ok().and_then(|word| words.get(word));
        let (Some(word), true) = (word, first + u64::from(bytes) <= 8) else {
            let problem = Problem::WrongType {
                found: "a member that lies in several registers".to_owned(),
                expected: "one in a single register",
            };
            return Err(self.report(problem, span, ""));
        };
        Ok(match bytes {
            8 => word.clone(),
            _ => word.clone().bits(first as u8 * 8, bytes * 8, false),
        })
    }

    fn read_bits(
        &mut self,
        at: &At,
        first: u64,
        count: u32,
        int: IntTy,
        span: Span,
    ) -> Result<Node, Reported> {
        let too_wide = || Problem::WrongType {
            found: format!("a bit field of {count} bits that is not aligned"),
            expected: "one within 8 bytes",
        };
        let end = first.saturating_add(count.into());
        // The smallest aligned word that has all of it; a packed field may need odd bytes.
        let aligned = [1_u64, 2, 4, 8].into_iter().find_map(|bytes| {
            let start = first / 8 / bytes * bytes;
            (end.div_ceil(8) <= start + bytes).then_some((start, bytes))
        });
        let start = first / 8;
        let (start, bytes) = aligned.unwrap_or((start, end.div_ceil(8) - start));
        let (Ok(bytes), Ok(start), Ok(shift), Ok(count)) = (
            u8::try_from(bytes),
            u32::try_from(start),
            u8::try_from(first - start * 8),
            u8::try_from(count),
        ) else {
            return Err(self.report(too_wide(), span, ""));
        };
        if bytes > 8 || count == 0 {
            return Err(self.report(too_wide(), span, ""));
        }
        let at = shifted(at.clone(), start.into());
        Ok(self
            .load(at, bytes, span)?
            .bits(shift, count, int.is_signed))
    }

    /// The address of a place as a number.
    fn address_of(&mut self, at: At, span: Span) -> Result<(Node, Space), Reported> {
        match at {
            At::Memory(address, space) => Ok((Node { span, ..address }, space)),
            At::Record(offset) => Ok((Node::context_address(offset, span), Space::Kernel)),
            At::Words { .. } => {
                let problem = Problem::NoAddress("what is in registers");
                Err(self.report(problem, span, "read its members or elements"))
            }
        }
    }

    /// `&x`.
    pub(super) fn address(&mut self, operand: &Expr, span: Span) -> Result<Term, Reported> {
        match self.term(operand)? {
            Term::Place(Place { bits: Some(_), .. }) => {
                Err(self.report(Problem::NoAddress("a bit field"), span, ""))
            }
            Term::Place(place) => {
                let (node, space) = self.address_of(place.at, span)?;
                Ok(Term::Value(pointer_value(node, place.ty, space)))
            }
            Term::Value(_) | Term::Comm => {
                let problem = Problem::NoAddress("what is not in memory");
                Err(self.report(problem, operand.span, "remove the `&`"))
            }
        }
    }

    /// `*x`.
    pub(super) fn dereference(&mut self, operand: &Expr, span: Span) -> Result<Term, Reported> {
        let value = self.value(operand)?;
        let (target, space) = self.target(&value, operand)?;
        let at = At::Memory(Node { span, ..value.node }, space);
        Ok(Term::Place(Place {
            at,
            ty: target,
            bits: None,
        }))
    }

    /// What a pointer points to.
    fn target(&mut self, value: &Value, expr: &Expr) -> Result<(Ty, Space), Reported> {
        if let Some(target) = value.ty.target() {
            let target = self.open(target, expr.span)?;
            return Ok((target, self.space_of(value)));
        }
        let problem = Problem::WrongType {
            found: self.sources.describe(&value.ty),
            expected: "a pointer",
        };
        let note = format!("cast it: `{}`", self.with_cast(expr));
        Err(self.report(problem, expr.span, note))
    }

    /// How to write `expr` as a pointer to a structure. A cast binds more strongly than operators
    /// between operands do.
    fn with_cast(&self, expr: &Expr) -> String {
        let written = expr.span.of(self.text);
        if expr.is_primary_or_postfix() {
            format!("((struct x *){written})")
        } else {
            format!("((struct x *)({written}))")
        }
    }

    /// `x[y]`.
    pub(super) fn index(
        &mut self,
        base: &Expr,
        index: &Expr,
        span: Span,
    ) -> Result<Term, Reported> {
        let (base_term, index_value) = (self.term(base), self.integer(index));
        let (base_term, (index_value, _)) = (base_term?, index_value?);
        // A constant element of an array in a tracepoint's record needs no call, and one in registers
        // has no address.
        if let Term::Place(Place {
            at: at @ (At::Record(_) | At::Words { .. }),
            ty,
            bits: None,
        }) = &base_term
            && let Ty::Array { element, count } = self.open(ty, span)?
            && let Some(number) = index_value.node.as_constant()
            && let Ok(number) = u64::try_from(number)
            && number < count
        {
            let bytes = self.size_bytes(&element, span)?;
            let ty = self.open(&element, span)?;
            let at = shifted(at.clone(), number.saturating_mul(bytes));
            return Ok(Term::Place(Place { at, ty, bits: None }));
        }
        let pointer = self.value_of(base_term, base.span)?;
        let (target, space) = self.target(&pointer, base)?;
        let bytes = self.size_bytes(&target, span)?;
        let scaled = scale(index_value.node, bytes, span);
        let address = Node::arithmetic(Arithmetic::Add, pointer.node, scaled, span);
        Ok(Term::Place(Place {
            at: At::Memory(address, space),
            ty: target,
            bits: None,
        }))
    }

    /// `x.member`, `x->member`.
    pub(super) fn member(
        &mut self,
        base: &Expr,
        member: &Name,
        is_arrow: bool,
    ) -> Result<Term, Reported> {
        if let ExprKind::Name(name) = &base.kind
            && name == "args"
            && !self.has_parameter(name)
        {
            return self.record_field(base.span, member);
        }
        let span = base.span.to(member.span);
        let owner = match is_arrow {
            true => self.pointed_to(base, member)?,
            false => self.held(base, member)?,
        };
        let Ty::Composite(composite, origin) = &owner.ty else {
            return Err(self.not_a_struct(base, &owner.ty, member));
        };
        let Some(found) = self.find_member(composite, *origin, member)? else {
            return Err(self.unknown_field(composite, *origin, member));
        };
        let (at, bits) = part(owner.at, found.bit_offset, found.bits);
        let at = match at {
            At::Memory(address, space) => At::Memory(Node { span, ..address }, space),
            elsewhere @ (At::Record(_) | At::Words { .. }) => elsewhere,
        };
        Ok(Term::Place(Place {
            at,
            ty: found.ty,
            bits,
        }))
    }

    /// What `base.member` means a member of.
    fn held(&mut self, base: &Expr, member: &Name) -> Result<Place, Reported> {
        let ty = match self.term(base)? {
            Term::Place(place) => match self.open(&place.ty, base.span)? {
                pointer @ Ty::Pointer { .. } => pointer,
                ty => return Ok(Place { ty, ..place }),
            },
            term => self.value_of(term, base.span)?.ty,
        };
        Err(match ty {
            ty if ty.target().is_some() => self.wrong_arrow(base, member, "."),
            ty => self.not_a_struct(base, &ty, member),
        })
    }

    /// What `base->member` means a member of.
    fn pointed_to(&mut self, base: &Expr, member: &Name) -> Result<Place, Reported> {
        let term = self.term(base)?;
        if let Term::Place(place) = &term
            && let Ty::Composite(..) = self.open(&place.ty, base.span)?
        {
            return Err(self.wrong_arrow(base, member, "->"));
        }
        let value = self.value_of(term, base.span)?;
        if value.ty.target().is_none() {
            return Err(self.not_a_struct(base, &value.ty, member));
        }
        let (ty, space) = self.target(&value, base)?;
        Ok(Place {
            at: At::Memory(value.node, space),
            ty,
            bits: None,
        })
    }

    fn wrong_arrow(&mut self, base: &Expr, member: &Name, found: &'static str) -> Reported {
        let expected = if found == "." { "->" } else { "." };
        let place = Span::from(base.span.end..member.span.start);
        let note = format!("write `{expected}`");
        let problem = Problem::WrongArrow { found, expected };
        let written = place.of(self.text);
        let before = written.find(found).unwrap_or(0);
        let start = place.start + before;
        self.report(problem, Span::from(start..start + found.len()), note)
    }

    fn not_a_struct(&mut self, base: &Expr, ty: &Ty, member: &Name) -> Reported {
        let described = self.sources.describe(ty);
        if let Ty::Forward { .. } = ty {
            return self.report(Problem::Incomplete(described), base.span, "");
        }
        let note = if ty.as_int().is_some_and(|int| int.bytes == 8) {
            format!("cast it: `{}->{}`", self.with_cast(base), member.text)
        } else {
            String::new()
        };
        let problem = Problem::NotAStruct {
            field: member.text.clone(),
            of: described,
        };
        self.report(problem, base.span, note)
    }

    /// The members that have names, of a structure in registers; none of any other place.
    pub(in super::super) fn members_in_registers(&self, place: &Place) -> Vec<(String, Place)> {
        let (At::Words { .. }, Ty::Composite(composite, origin)) = (&place.at, &place.ty) else {
            return Vec::new();
        };
        let named = |member: &Member| {
            let ty = Ty::Named(*origin, member.type_id);
            let (at, bits) = part(place.at.clone(), member.bit_offset, member.bits);
            Some((member.name.clone()?, Place { at, ty, bits }))
        };
        composite.members.iter().filter_map(named).collect()
    }

    /// The member of that name, in anonymous members too, or by a name that a macro gives it.
    fn find_member(
        &mut self,
        composite: &Composite,
        origin: Origin,
        member: &Name,
    ) -> Result<Option<Found>, Reported> {
        if let Some(found) = self.find_plain(composite, origin, &member.text, member.span)? {
            return Ok(Some(found));
        }
        let alias = ALIASES.iter().find(|(owner, name, _)| {
            composite.name.as_deref() == Some(*owner) && *name == member.text
        });
        let Some((_, _, path)) = alias else {
            return Ok(None);
        };
        let mut bit_offset = 0_u64;
        let mut ty = Ty::Composite(composite.clone().into(), origin);
        let mut bits = None;
        for name in path.split('.') {
            let Ty::Composite(composite, origin) = self.open(&ty, member.span)? else {
                return Ok(None);
            };
            let Some(found) = self.find_plain(&composite, origin, name, member.span)? else {
                return Ok(None);
            };
            bit_offset = found.bit_offset.saturating_add(bit_offset);
            (ty, bits) = (found.ty, found.bits);
        }
        Ok(Some(Found {
            ty,
            bit_offset,
            bits,
        }))
    }

    fn find_plain(
        &mut self,
        composite: &Composite,
        origin: Origin,
        name: &str,
        span: Span,
    ) -> Result<Option<Found>, Reported> {
        let mut members = Members::new(self.sources);
        let found = members.find(composite, origin, &mut |named| {
            (named.name == name).then_some(Found {
                ty: Ty::Named(named.origin, named.member.type_id),
                bit_offset: named.bit_offset,
                bits: named.member.bits,
            })
        });
        found.map_err(|error| self.report(error, span, ""))
    }

    fn unknown_field(&mut self, composite: &Composite, origin: Origin, member: &Name) -> Reported {
        let mut names = Vec::new();
        let mut members = Members::new(self.sources);
        let all = members.find(composite, origin, &mut |named| {
            names.push(named.name.to_owned());
            None::<()>
        });
        if let Err(error) = all {
            return self.report(error, member.span, "");
        }
        let owner = Ty::Composite(composite.clone().into(), origin);
        let problem = Problem::UnknownField {
            field: member.text.clone(),
            owner: self.sources.describe(&owner),
        };
        let nearest = suggest::nearest(&member.text, names.iter().map(String::as_str), 3);
        let note = match nearest.as_slice() {
            [] if names.len() <= 12 => format!("it has {}", names.join(", ")),
            nearest => suggest::did_you_mean(nearest),
        };
        self.report(problem, member.span, note)
    }
}

/// `index` elements of `bytes` bytes each, in bytes.
pub(super) fn scale(index: Node, bytes: u64, span: Span) -> Node {
    let bytes = Node::constant(bytes.cast_signed(), span);
    Node::arithmetic(Arithmetic::Multiply, index, bytes, span)
}

/// Where the member of a structure is, and which bits of that it has. A bit field is read in a word that
/// is aligned as its owner is.
fn part(owner: At, bit_offset: u64, bits: Option<u32>) -> (At, Option<(u64, u32)>) {
    match bits {
        Some(bits) => (owner, Some((bit_offset, bits))),
        None => (shifted(owner, bit_offset / 8), None),
    }
}

fn shifted(at: At, bytes: u64) -> At {
    match at {
        At::Memory(address, space) => At::Memory(address.add_constant(bytes.cast_signed()), space),
        At::Record(offset) => {
            At::Record(offset.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)))
        }
        At::Words {
            words,
            offset_bytes,
            space,
        } => At::Words {
            words,
            offset_bytes: offset_bytes.saturating_add(bytes),
            space,
        },
    }
}

/// The type that a bit field's value has. To C it has no more values than fit in its bits, so in
/// operations one without sign is an `int` too if that has room for them all.
fn promoted_bits(ty: Ty, int: IntTy, count: u32) -> Ty {
    if count >= 32 && (count != 32 || !int.is_signed) {
        return ty;
    }
    match ty {
        // Its constants have names still.
        Ty::Enum(described) => {
            let mut described = (*described).clone();
            described.bytes = IntTy::INT.bytes.into();
            described.is_signed = true;
            Ty::Enum(described.into())
        }
        _ => Ty::Int(IntTy::INT),
    }
}

impl Node {
    /// What was loaded as `int`, extended if it has a sign; without one it comes extended.
    fn extend_if(self, int: IntTy) -> Self {
        if int.is_signed && int.kind != IntKind::Bool {
            self.extend(int.bytes, true)
        } else {
            self
        }
    }
}
