//! Where the arguments of a USDT probe are on x86-64: `-4@%eax 8@-16(%rbp) 4@count(%rip)`.
//!
//! systemtap's `sys/sdt.h` makes the assembler write the operand down as the compiler gave it to
//! its inline assembly, behind the size (negative if signed), so what is read here is whatever
//! gcc and clang print in AT&T syntax.

use std::fmt;

use super::{DebugSymbols, Elf, UsdtSite};

/// An argument of a USDT probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// Its size: 1, 2, 4 or 8, unless the place is unsupported.
    pub bytes: u64,
    /// Whether it has a sign.
    pub is_signed: bool,
    /// Where it is.
    pub place: Place,
}

/// Where an argument is when its probe is hit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a register: the lowest bytes of it, behind the shift.
    Register {
        /// The register.
        register: Register,
        /// By how many bits it is to be shifted to the right: 8 for `%ah` and its like, else 0.
        shift_bits: u8,
    },
    /// In memory of the program.
    Memory(Memory),
    /// Always this, cut to the size of the argument.
    Constant(i64),
    /// Where probes can't read it; the reason, for messages.
    Unsupported(String),
}

/// A place in memory: `displacement + base + index × scale`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// What the displacement starts from, if that is a symbol; [`Elf::usdt_operands`] makes its
    /// address a part of the displacement. With the instruction pointer as base that is counted
    /// from the probe's own address, so it holds wherever the file is loaded.
    pub symbol: Option<String>,
    /// The first register.
    pub base: Option<Register>,
    /// The second one, and by what it is multiplied: 1, 2, 4 or 8.
    pub index: Option<(Register, u8)>,
    /// Bytes to be added.
    pub displacement_bytes: i64,
}

/// A register of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    /// Where programs find it: bytes from the start of `struct pt_regs` of x86-64
    /// (arch/x86/include/uapi/asm/ptrace.h in the kernel's source).
    pub pt_regs_offset_bytes: u16,
}

impl Register {
    /// The instruction pointer. When a probe is hit, it is that of the probed instruction
    /// (`handle_swbp`, kernel/events/uprobes.c).
    pub const INSTRUCTION_POINTER: Self = Self {
        pt_regs_offset_bytes: 128,
    };
}

/// The general registers: name of the 64 bits, `rax` without the letters around it for those that
/// have four names of the old kind, and the offset in `struct pt_regs`.
const REGISTERS: [(&str, u16); 16] = [
    ("r15", 0),
    ("r14", 8),
    ("r13", 16),
    ("r12", 24),
    ("bp", 32),
    ("b", 40),
    ("r11", 48),
    ("r10", 56),
    ("r9", 64),
    ("r8", 72),
    ("a", 80),
    ("c", 88),
    ("d", 96),
    ("si", 104),
    ("di", 112),
    ("sp", 152),
];

impl Operand {
    /// All arguments of a probe, from what its note says. What can't be understood is unsupported,
    /// so that it doesn't change the numbers of the others.
    #[must_use]
    pub fn parse_all(arguments: &str) -> Vec<Self> {
        split(arguments).into_iter().map(Self::parse).collect()
    }

    fn parse(text: &str) -> Self {
        let (size, place) = match text.split_once('@') {
            // `foo@PLT` without a size has its sign behind a name.
            Some((size, place)) if size.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                (Some(size), place.trim_start())
            }
            _ => (None, text),
        };
        let unsupported = |bytes, is_signed, reason: &str| Self {
            bytes,
            is_signed,
            place: Place::Unsupported(format!("`{text}` {reason}")),
        };
        let (bytes, is_signed) = match size.map(parse_size) {
            // The size was not written in the first years of these notes.
            None => (8, true),
            Some(Some(size)) => size,
            Some(None) if size.is_some_and(|size| size.ends_with('f')) => {
                return unsupported(8, true, "is a floating-point number");
            }
            Some(None) => return unsupported(8, true, "has no size that can be understood"),
        };
        if !matches!(bytes, 1 | 2 | 4 | 8) {
            return unsupported(bytes, is_signed, "is not of 1, 2, 4 or 8 bytes");
        }
        match parse_place(place) {
            Ok(Place::Constant(value)) => Self {
                bytes,
                is_signed,
                place: Place::Constant(cut(value, bytes, is_signed)),
            },
            Ok(place) => Self {
                bytes,
                is_signed,
                place,
            },
            Err(reason) => unsupported(bytes, is_signed, reason),
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::INSTRUCTION_POINTER {
            return f.write_str("%rip");
        }
        let is_it = |(_, offset): &&(_, u16)| *offset == self.pt_regs_offset_bytes;
        match REGISTERS.iter().find(is_it) {
            Some((name @ ("a" | "b" | "c" | "d"), _)) => write!(f, "%r{name}x"),
            Some((name, _)) if name.starts_with('r') => write!(f, "%{name}"),
            Some((name, _)) => write!(f, "%r{name}"),
            None => write!(f, "register at {}", self.pt_regs_offset_bytes),
        }
    }
}

/// As the assembler writes it, with the whole of a register in place of a part.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register {
                register,
                shift_bits: 0,
            } => write!(f, "{register}"),
            Self::Register {
                register,
                shift_bits,
            } => write!(f, "{register} >> {shift_bits}"),
            Self::Memory(memory) => write!(f, "{memory}"),
            Self::Constant(value) => write!(f, "${value}"),
            Self::Unsupported(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = self.base.is_none() && self.index.is_none();
        match &self.symbol {
            Some(symbol) => write!(f, "{symbol}{:+}", self.displacement_bytes)?,
            None if is_bare || self.displacement_bytes != 0 => {
                write!(f, "{}", self.displacement_bytes)?;
            }
            None => {}
        }
        let base = self.base.map_or(String::new(), |base| base.to_string());
        match self.index {
            Some((index, scale)) => write!(f, "({base},{index},{scale})"),
            None if base.is_empty() => Ok(()),
            None => write!(f, "({base})"),
        }
    }
}

impl Elf<'_> {
    /// The arguments of a probe of this file, with symbols looked up in it and in `debug`.
    #[must_use]
    pub fn usdt_operands(&self, site: &UsdtSite, debug: &DebugSymbols) -> Vec<Operand> {
        let mut operands = Operand::parse_all(&site.arguments);
        for operand in &mut operands {
            if let Place::Memory(memory) = &mut operand.place
                && let Some(symbol) = memory.symbol.take()
                && let Err(reason) = self.locate_symbol(&symbol, site, debug, memory)
            {
                operand.place = Place::Unsupported(format!("`{symbol}` {reason}"));
            }
        }
        operands
    }

    fn locate_symbol(
        &self,
        symbol: &str,
        site: &UsdtSite,
        debug: &DebugSymbols,
        memory: &mut Memory,
    ) -> Result<(), &'static str> {
        let address = self
            .variable(symbol, debug)
            .ok_or("is the name of no variable of the file, or of several")?;
        let from = match memory.base {
            Some(Register::INSTRUCTION_POINTER) => site.address.0,
            _ if self.is_loaded_anywhere() => return Err("has no fixed address"),
            _ => 0,
        };
        let symbol_bytes = address.0.wrapping_sub(from).cast_signed();
        memory.displacement_bytes = memory.displacement_bytes.wrapping_add(symbol_bytes);
        Ok(())
    }
}

/// Splits at white space, but not within parentheses or behind an `@`; yet always in front of a
/// size, so that a parenthesis that is missing spoils no more than its own argument.
fn split(arguments: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut previous) = (None, 0u32, ' ');
    for (at, c) in arguments.char_indices() {
        if c.is_whitespace() {
            let is_end = (depth == 0 && previous != '@') || has_size(&arguments[at..]);
            if let Some(from) = start.take_if(|_| is_end) {
                parts.push(arguments[from..at].trim_end());
                depth = 0;
            }
            continue;
        }
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        start.get_or_insert(at);
        previous = c;
    }
    parts.extend(start.map(|from| arguments[from..].trim_end()));
    parts
}

/// Whether a size with its `@` is what comes next.
fn has_size(text: &str) -> bool {
    let text = text.trim_start();
    let text = text.strip_prefix('-').unwrap_or(text);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < text.len() && rest.trim_start_matches('f').starts_with('@')
}

/// The size and whether there is a sign: `-4`.
fn parse_size(text: &str) -> Option<(u64, bool)> {
    let digits = text.strip_prefix('-');
    let bytes = digits.unwrap_or(text).parse().ok()?;
    Some((bytes, digits.is_some()))
}

fn parse_place(text: &str) -> Result<Place, &'static str> {
    if let Some(constant) = text.strip_prefix('$') {
        let sum = Sum::parse(constant).ok_or("is not a constant that can be understood")?;
        return match sum.symbol {
            None => Ok(Place::Constant(sum.number)),
            Some(_) => Err("is the address of a symbol"),
        };
    }
    if let Some(name) = text.strip_prefix('%') {
        if name.contains(':') {
            return Err("is relative to a segment, such as memory of a thread");
        }
        let (register, shift_bits) = register(name)?;
        return Ok(Place::Register {
            register,
            shift_bits,
        });
    }
    let (displacement, registers) = match text.split_once('(') {
        Some((displacement, rest)) => {
            let registers = rest.strip_suffix(')').ok_or("has no closing parenthesis")?;
            (displacement.trim(), Some(registers))
        }
        None => (text, None),
    };
    let sum = match displacement {
        "" => Sum::default(),
        text if text.contains('@') => return Err("is reached through a table of the linker's"),
        text => Sum::parse(text).ok_or("can't be understood")?,
    };
    let (base, index) = registers.map_or(Ok((None, None)), parse_registers)?;
    if base == Some(Register::INSTRUCTION_POINTER) && sum.symbol.is_none() {
        // From the end of some instruction, which is not known here.
        return Err("is relative to an unknown instruction");
    }
    if base.is_none() && index.is_none() && (registers.is_some() || displacement.is_empty()) {
        return Err("names no place");
    }
    Ok(Place::Memory(Memory {
        symbol: sum.symbol.map(ToOwned::to_owned),
        base,
        index,
        displacement_bytes: sum.number,
    }))
}

type Registers = (Option<Register>, Option<(Register, u8)>);

/// What is within the parentheses: `%rax`, `%rax,%rbx,4`, `,%rbx,8`.
fn parse_registers(text: &str) -> Result<Registers, &'static str> {
    let mut parts = text.split(',').map(str::trim);
    let mut whole = || {
        let Some(name) = parts.next().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let name = name.strip_prefix('%').ok_or("names no register")?;
        if name == "rip" {
            return Ok(Some(Register::INSTRUCTION_POINTER));
        }
        match register(name)? {
            (register, 0) if is_whole(name) => Ok(Some(register)),
            _ => Err("is an address of less than 64 bits"),
        }
    };
    let (base, index) = (whole()?, whole()?);
    let scale = match parts.next() {
        None | Some("" | "1") => 1,
        Some("2") => 2,
        Some("4") => 4,
        Some("8") => 8,
        Some(_) => return Err("has a scale that can't be"),
    };
    if parts.next().is_some() || index == Some(Register::INSTRUCTION_POINTER) {
        return Err("can't be understood");
    }
    Ok((base, index.map(|index| (index, scale))))
}

fn is_whole(name: &str) -> bool {
    name.starts_with('r') && !name.ends_with(['b', 'w', 'd', 'l'])
}

/// The register that `name`, without the `%`, is or is a part of, and where in it the part begins.
fn register(name: &str) -> Result<(Register, u8), &'static str> {
    const OTHERS: &str = "is in a register that probes can't read";
    // `%r10d` and `%r8b`, but `%ebp` and `%bpl`.
    let is_numbered = name.len() > 1
        && name.starts_with('r')
        && name[1..].starts_with(|c: char| c.is_ascii_digit());
    let (stem, shift_bits) = if is_numbered {
        (name.trim_end_matches(['b', 'w', 'd', 'l']), 0)
    } else {
        let old = name.strip_prefix(['r', 'e']).unwrap_or(name);
        match old {
            "ah" | "bh" | "ch" | "dh" if old == name => (&old[..1], 8),
            "al" | "bl" | "cl" | "dl" if old == name => (&old[..1], 0),
            "ax" | "bx" | "cx" | "dx" => (&old[..1], 0),
            "sil" | "dil" | "bpl" | "spl" if old == name => (&old[..2], 0),
            "si" | "di" | "bp" | "sp" => (old, 0),
            _ => return Err(OTHERS),
        }
    };
    REGISTERS
        .iter()
        .find(|(known, _)| *known == stem)
        .map(|&(_, pt_regs_offset_bytes)| {
            let register = Register {
                pt_regs_offset_bytes,
            };
            (register, shift_bits)
        })
        .ok_or(OTHERS)
}

/// `sym+8`, `4+sym`, `-16`, `0x10`: numbers, and at most one symbol.
#[derive(Default)]
struct Sum<'text> {
    symbol: Option<&'text str>,
    number: i64,
}

impl<'text> Sum<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let mut sum = Self::default();
        let mut rest = text.trim();
        let mut sign = None;
        loop {
            let is_negative = match rest.strip_prefix(['-', '+']) {
                Some(after) => {
                    let is_negative = rest.starts_with('-');
                    rest = after;
                    is_negative
                }
                // Only the first term may come without.
                None if sign.is_none() => false,
                None => return None,
            };
            sign = Some(is_negative);
            let end = rest.find(['-', '+']).unwrap_or(rest.len());
            let term = rest[..end].trim();
            if term.starts_with(|c: char| c.is_ascii_digit()) {
                let value = number(term)?;
                let value = if is_negative { -value } else { value };
                // A 64-bit constant may be written with a sign or without.
                let bits = u64::try_from(value)
                    .or_else(|_| i64::try_from(value).map(i64::cast_unsigned))
                    .ok()?;
                sum.number = sum.number.wrapping_add(bits.cast_signed());
            } else if is_symbol(term) && !is_negative && sum.symbol.is_none() {
                sum.symbol = Some(term);
            } else {
                return None;
            }
            rest = rest[end..].trim_start();
            if rest.is_empty() {
                return Some(sum);
            }
        }
    }
}

fn number(text: &str) -> Option<i128> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().map(i128::from)
}

fn is_symbol(text: &str) -> bool {
    // In front of a constant the dollar is a sign of its own.
    !text.is_empty()
        && !text.starts_with('$')
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'))
}

/// What is left of a value in so many bytes.
fn cut(value: i64, bytes: u64, is_signed: bool) -> i64 {
    let bits = 64 - 8 * bytes;
    if is_signed {
        (value << bits) >> bits
    } else {
        ((value.cast_unsigned() << bits) >> bits).cast_signed()
    }
}

#[cfg(test)]
#[path = "usdt_operand_tests.rs"]
mod tests;
