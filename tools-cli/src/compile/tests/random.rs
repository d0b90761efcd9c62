//! Random expressions: what the compiled function gives is what a plain evaluator of C gives.

use proptest::prelude::*;

use super::{
    Context, Machine, compile_at,
    machine::Output,
    shape,
    world::{Ids, World, function},
};
use crate::compile::Site;

const THING: u64 = 0xffff_8880_0000_1000;
const NEXT: u64 = 0xffff_8880_0000_2000;

/// An integer type of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Type {
    bytes: u32,
    is_signed: bool,
}

const fn ty(bytes: u32, is_signed: bool) -> Type {
    Type { bytes, is_signed }
}

const INT: Type = ty(4, true);

/// A number with its type, within its range.
#[derive(Clone, Copy, Debug)]
struct Number {
    ty: Type,
    value: i128,
}

impl Type {
    fn bits(self) -> u32 {
        self.bytes * 8
    }

    /// The number of this type that is equal to `value` in its lowest bits.
    fn wrap(self, value: i128) -> Number {
        let modulus = 1_i128 << self.bits();
        let value = value.rem_euclid(modulus);
        let is_negative = self.is_signed && value >= modulus / 2;
        let value = if is_negative { value - modulus } else { value };
        Number { ty: self, value }
    }

    fn promote(self) -> Self {
        if self.bytes < 4 { INT } else { self }
    }

    /// The usual arithmetic conversions, written as in the standard.
    fn common(self, other: Self) -> Self {
        let (one, two) = (self.promote(), other.promote());
        if one.is_signed == two.is_signed {
            return if one.bytes >= two.bytes { one } else { two };
        }
        let (signed, unsigned) = if one.is_signed {
            (one, two)
        } else {
            (two, one)
        };
        if unsigned.bytes >= signed.bytes {
            unsigned
        } else {
            signed
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Expr {
    Literal {
        value: u64,
        is_hex: bool,
        suffix: &'static str,
    },
    Parameter(usize),
    Field {
        name: &'static str,
        through_next: bool,
    },
    Element(Box<Expr>),
    Unary(char, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Choose(Box<Expr>, Box<Expr>, Box<Expr>),
    Cast(&'static str, Box<Expr>),
}

const OPERATORS: [(&str, u8); 18] = [
    ("||", 1),
    ("&&", 2),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("==", 6),
    ("!=", 6),
    ("<", 7),
    (">", 7),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

const CASTS: [(&str, Type); 10] = [
    ("char", ty(1, true)),
    ("u8", ty(1, false)),
    ("short int", ty(2, true)),
    ("u16", ty(2, false)),
    ("int", INT),
    ("unsigned", ty(4, false)),
    ("long", ty(8, true)),
    ("unsigned long long", ty(8, false)),
    ("bool", ty(1, false)),
    ("size_t", ty(8, false)),
];

/// Name, type, first bit and number of bits of the numbers in a `struct thing`.
const FIELDS: [(&str, Type, usize, u32); 18] = [
    ("c", ty(1, true), 0, 8),
    ("uc", ty(1, false), 8, 8),
    ("s", ty(2, true), 16, 16),
    ("us", ty(2, false), 32, 16),
    ("i", INT, 64, 32),
    ("u", ty(4, false), 96, 32),
    ("l", ty(8, true), 128, 64),
    ("ul", ty(8, false), 192, 64),
    ("in.a", ty(2, true), 448, 16),
    ("in.numbers[3]", INT, 576, 32),
    ("in.name[2]", ty(1, true), 624, 8),
    ("color", INT, 736, 32),
    ("b3", INT, 768, 3),
    ("b5", ty(4, false), 771, 5),
    ("b40", ty(8, true), 776, 40),
    ("left", INT, 832, 32),
    ("right", ty(4, false), 832, 32),
    ("flag", ty(1, false), 864, 8),
];

const PARAMETER_TYPES: [Type; 8] = [
    ty(1, true),
    ty(1, false),
    ty(2, true),
    ty(2, false),
    INT,
    ty(4, false),
    ty(8, true),
    ty(8, false),
];

const PARAMETERS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What the event brings.
#[derive(Clone, Debug)]
pub(super) struct Event {
    registers: [u64; 5],
    types: [usize; 5],
    thing: Vec<u8>,
    next: Vec<u8>,
    has_next: bool,
}

impl Expr {
    /// How strongly the outermost operator binds.
    fn strength(&self) -> u8 {
        match self {
            Self::Choose(..) => 0,
            Self::Binary(op, ..) => OPERATORS.iter().find(|(known, _)| known == op).unwrap().1,
            Self::Unary(..) | Self::Cast(..) => 11,
            _ => 12,
        }
    }

    /// As C, with no more parentheses than it needs.
    pub(super) fn write(&self, at_least: u8) -> String {
        let text = match self {
            Self::Literal {
                value,
                is_hex,
                suffix,
            } if *is_hex => format!("{value:#x}{suffix}"),
            Self::Literal { value, suffix, .. } => format!("{value}{suffix}"),
            Self::Parameter(number) => PARAMETERS[*number].to_owned(),
            Self::Field { name, through_next } => {
                let pointer = if *through_next { "t->next" } else { "t" };
                format!("{pointer}->{name}")
            }
            Self::Element(index) => format!("t->in.numbers[{} & 3]", index.write(6)),
            // A space, because `- -x` is not `--x`.
            Self::Unary(op, operand) => format!("{op} {}", operand.write(11)),
            Self::Binary(op, left, right) => {
                let strength = self.strength();
                let (left, right) = (left.write(strength), right.write(strength + 1));
                format!("{left} {op} {right}")
            }
            Self::Choose(condition, first, second) => {
                let (first, second) = (first.write(0), second.write(0));
                format!("{} ? {first} : {second}", condition.write(1))
            }
            Self::Cast(name, operand) => format!("({name}){}", operand.write(11)),
        };
        if self.strength() < at_least {
            format!("({text})")
        } else {
            text
        }
    }

    /// The type, which C knows without the values.
    fn ty(&self, event: &Event) -> Type {
        match self {
            Self::Literal {
                value,
                is_hex,
                suffix,
            } => literal_type(*value, *is_hex, suffix),
            Self::Parameter(number) => PARAMETER_TYPES[event.types[*number]],
            Self::Field { name, .. } => {
                let (_, ty, _, bits) = field(name);
                // Whether or not it has a sign: an `int` has room for it.
                if bits < 32 { INT } else { ty }
            }
            Self::Element(_) => INT,
            Self::Unary('!', _) => INT,
            Self::Unary(_, operand) => operand.ty(event).promote(),
            Self::Binary(op, left, right) => match *op {
                "||" | "&&" | "==" | "!=" | "<" | ">" | "<=" | ">=" => INT,
                "<<" | ">>" => left.ty(event).promote(),
                _ => left.ty(event).common(right.ty(event)),
            },
            Self::Choose(_, first, second) => first.ty(event).common(second.ty(event)),
            Self::Cast(name, _) => cast(name),
        }
    }

    /// The value; `None` if something can't be read.
    fn evaluate(&self, event: &Event) -> Option<Number> {
        let ty = self.ty(event);
        Some(match self {
            Self::Literal { value, .. } => ty.wrap((*value).into()),
            Self::Parameter(number) => ty.wrap(event.registers[*number].into()),
            Self::Field { name, through_next } => {
                if *through_next && !event.has_next {
                    return None;
                }
                let bytes = if *through_next {
                    &event.next
                } else {
                    &event.thing
                };
                let (_, declared, first, count) = field(name);
                let value = bits(bytes, first, count, declared).value;
                Number { ty, value }
            }
            Self::Element(index) => {
                let index = index.evaluate(event)?.value & 3;
                let first = (60 + usize::try_from(index).ok()? * 4) * 8;
                bits(&event.thing, first, 32, INT)
            }
            Self::Unary(op, operand) => {
                let operand = operand.evaluate(event)?;
                ty.wrap(match op {
                    '-' => -operand.value,
                    '~' => !operand.value,
                    '!' => (operand.value == 0).into(),
                    _ => operand.value,
                })
            }
            Self::Binary(op, left, right) => return binary(op, left, right, ty, event),
            Self::Choose(condition, first, second) => {
                let is_first = condition.evaluate(event)?.value != 0;
                let chosen = if is_first { first } else { second };
                ty.wrap(chosen.evaluate(event)?.value)
            }
            Self::Cast(name, operand) => {
                let operand = operand.evaluate(event)?.value;
                match *name {
                    "bool" => ty.wrap((operand != 0).into()),
                    _ => ty.wrap(operand),
                }
            }
        })
    }
}

fn binary(op: &str, left: &Expr, right: &Expr, ty: Type, event: &Event) -> Option<Number> {
    let one = left.evaluate(event)?;
    match op {
        "&&" if one.value == 0 => return Some(ty.wrap(0)),
        "||" if one.value != 0 => return Some(ty.wrap(1)),
        _ => {}
    }
    let two = right.evaluate(event)?;
    let common = one.ty.common(two.ty);
    let (a, b) = (common.wrap(one.value).value, common.wrap(two.value).value);
    Some(ty.wrap(match op {
        "&&" | "||" => (two.value != 0).into(),
        "==" => (a == b).into(),
        "!=" => (a != b).into(),
        "<" => (a < b).into(),
        ">" => (a > b).into(),
        "<=" => (a <= b).into(),
        ">=" => (a >= b).into(),
        "<<" => one.value << (two.value & i128::from(ty.bits() - 1)),
        ">>" => one.value >> (two.value & i128::from(ty.bits() - 1)),
        "|" => a | b,
        "^" => a ^ b,
        "&" => a & b,
        "+" => a + b,
        "-" => a - b,
        "*" => a.wrapping_mul(b),
        _ if b == 0 => return None,
        "/" => a / b,
        _ => a % b,
    }))
}

fn literal_type(value: u64, is_hex: bool, suffix: &str) -> Type {
    let fits = |bits: u32| value < 1 << bits;
    match suffix {
        "u" if value <= u32::MAX.into() => ty(4, false),
        "u" | "ul" => ty(8, false),
        "" if fits(31) => INT,
        "" if is_hex && fits(32) => ty(4, false),
        _ if fits(63) => ty(8, true),
        _ => ty(8, false),
    }
}

fn field(name: &str) -> (&'static str, Type, usize, u32) {
    *FIELDS.iter().find(|(known, ..)| *known == name).unwrap()
}

fn cast(name: &str) -> Type {
    CASTS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Bits of memory, one by one.
fn bits(bytes: &[u8], first: usize, count: u32, ty: Type) -> Number {
    let bit = |at: u32| {
        let at = first + at as usize;
        i128::from(bytes[at / 8] >> (at % 8) & 1)
    };
    let value = (0..count).map(|at| bit(at) << at).sum::<i128>();
    let is_negative = ty.is_signed && bit(count - 1) == 1;
    let value = if is_negative {
        value - (1 << count)
    } else {
        value
    };
    Number { ty, value }
}

/// Numbers near to where types end are the interesting ones.
fn interesting() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..10_u64,
        1 => any::<u64>(),
        2 => (0..64_u32, -2..3_i64).prop_map(|(bit, by)| (1_u64 << bit).wrapping_add_signed(by)),
        2 => (0..64_u32, -2..3_i64)
            .prop_map(|(bit, by)| (1_u64 << bit).wrapping_neg().wrapping_add_signed(by)),
    ]
}

pub(super) fn expressions() -> impl Strategy<Value = Expr> {
    let literal = (
        interesting(),
        any::<bool>(),
        prop::sample::select(&["", "u", "l", "ul"][..]),
    )
        .prop_map(|(value, is_hex, suffix)| Expr::Literal {
            value,
            is_hex,
            suffix,
        });
    let field = (prop::sample::select(&FIELDS[..]), prop::bool::weighted(0.2))
        .prop_map(|((name, ..), through_next)| Expr::Field { name, through_next });
    let leaf = prop_oneof![
        2 => literal,
        3 => (0..PARAMETERS.len()).prop_map(Expr::Parameter),
        2 => field,
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            1 => boxed().prop_map(Expr::Element),
            2 => (prop::sample::select(&['-', '~', '!', '+'][..]), boxed())
                .prop_map(|(op, operand)| Expr::Unary(op, operand)),
            8 => (prop::sample::select(&OPERATORS[..]), boxed(), boxed())
                .prop_map(|((op, _), left, right)| Expr::Binary(op, left, right)),
            1 => (boxed(), boxed(), boxed())
                .prop_map(|(condition, first, second)| Expr::Choose(condition, first, second)),
            2 => (prop::sample::select(&CASTS[..]), boxed())
                .prop_map(|((name, _), operand)| Expr::Cast(name, operand)),
        ]
    })
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let things = || prop::collection::vec(any::<u8>(), 128);
    (
        prop::array::uniform5(interesting()),
        prop::array::uniform5(0..PARAMETER_TYPES.len()),
        things(),
        things(),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(registers, types, mut thing, mut next, has_next)| {
            let pointer = if has_next { NEXT } else { 0 };
            for thing in [&mut thing, &mut next] {
                thing[32..40].copy_from_slice(&pointer.to_le_bytes());
                thing[108] &= 1;
            }
            Event {
                registers,
                types,
                thing,
                next,
                has_next,
            }
        })
}

fn machine(event: &Event) -> Machine {
    let mut args = vec![THING];
    args.extend(event.registers);
    let machine = Machine::new(168).kernel(THING, &event.thing).args(&args);
    if event.has_next {
        machine.kernel(NEXT, &event.next)
    } else {
        machine
    }
}

pub(super) fn site(ids: &Ids, event: &Event) -> Site {
    let mut parameters = vec![("t", ids.thing_pointer)];
    let types = event.types.iter().map(|&number| PARAMETER_TYPES[number]);
    let typed = types.map(|ty| ids.int(ty.bytes.into(), ty.is_signed));
    parameters.extend(PARAMETERS.into_iter().zip(typed));
    Site::Function(function(&parameters, ids.void))
}

proptest! {
    #![proptest_config(crate::property::cases(4000))]

    #[test]
    fn compiled_expressions_give_what_c_gives(expr in expressions(), event in events()) {
        let (world, ids) = World::kernel();
        let site = site(&ids, &event);
        let written = expr.write(0);
        let text = format!("f ({written}) \"%lld\", {written}");
        let compiled = match compile_at(&text, &site, &world, Context::PtRegs) {
            Ok(compiled) => compiled,
            // A constant that is 0: the compiler is right, if it may be.
            Err(error) if error.starts_with("division by zero") => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error)),
        };
        shape::check_all(&compiled);
        let expected = expr.evaluate(&event);
        let mut machine = machine(&event);
        let passes = machine.predicate(&compiled);
        prop_assert_eq!(passes, expected.is_some_and(|number| number.value != 0), "{}", text);
        let expected = expected.map_or(Output::Fault, |number| {
            // What does not fit is an `unsigned long`, which is stored as it is.
            Output::Number(number.value as u64 as i64)
        });
        let values = machine.values(&compiled);
        prop_assert_eq!(values, [expected], "{}", text);
    }
}
