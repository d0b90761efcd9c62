//! From operations on words to instructions.
//!
//! Words that are needed at once are in the registers 0 and 2 to 5; where a helper call, which
//! overwrites these, comes between, they wait on the stack. Register 9 takes what comes back from
//! there. All jumps go forward, so the verifier sees the end of every path.

mod branch;
mod helper;
mod stack;
mod text;
mod value;

#[cfg(test)]
pub(crate) use self::stack::STACK_BYTES;

use std::mem::offset_of;

use probes_common::{PASSED, Saved, UNREADABLE};

use self::stack::Stack;
use super::{
    Options,
    asm::{Alu, Assembler, Jump, Label, Reg, Source},
    ir::Node,
    layout::{FAULTS_BYTES, Slot, SlotKind},
    output::CompiledFn,
    site::Space,
};
use crate::spec::expr::Span;

/// Why instructions can't be made, and for which expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// More is waiting on the stack than it holds.
    Stack(Span),
    /// A jump would be too long.
    Length,
}

/// What a value of a message is made of.
#[derive(Clone, Debug)]
pub(super) enum Recipe {
    /// A number.
    Word(Node),
    /// The text at an address.
    Text { address: Node, space: Space },
    /// The command's name.
    Comm(Span),
}

/// The registers that words are worked out in. Register 1 is left out because it holds the context
/// in functions without calls.
const WORKING: [Reg; 5] = [Reg::R0, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

/// The same, when the result is to be the third argument of a helper.
const FOR_ADDRESS: [Reg; 5] = [Reg::R3, Reg::R0, Reg::R2, Reg::R4, Reg::R5];

/// Where the values go.
const OUTPUT: Reg = Reg::R7;

/// Where the values saved at the function's entry are.
const SAVED: Reg = Reg::R8;

/// A second operand that has waited on the stack.
const SCRATCH: Reg = Reg::R9;

/// Where the values that could not be read are noted in a message's, a bit each.
const SLOT_FAULTS: i16 = 0;

/// Where they are in what is saved.
const SAVED_FAULTS: i16 = offset_of!(Saved, unreadable) as i16;

/// Where the time since the entry is in what is saved.
const SAVED_LATENCY: i16 = offset_of!(Saved, time_ns) as i16;

#[derive(Debug)]
struct Emitter<'a> {
    code: Assembler,
    stack: Stack,
    options: &'a Options,
    context: Reg,
    /// Where to go when something can't be read.
    fault: Label,
}

/// `predicate(r1 = context, r2 = saved values) -> r0`: [`PASSED`], 0, or [`UNREADABLE`].
pub(super) fn predicate(condition: &Node, options: &Options) -> Result<CompiledFn, Error> {
    let mut code = Assembler::default();
    code.span = condition.span;
    let context = if condition.calls { Reg::R6 } else { Reg::R1 };
    code.mov(context, Reg::R1);
    if value::uses_saved(condition) {
        code.mov(SAVED, Reg::R2);
    }
    let mut emitter = Emitter::new(code, context, options);
    let fails = emitter.code.label();
    emitter.branch(condition, fails, false, &WORKING)?;
    emitter.code.span = condition.span;
    emitter.code.constant(Reg::R0, PASSED.cast_signed());
    emitter.code.exit();
    emitter.code.place(fails);
    emitter.code.constant(Reg::R0, 0);
    emitter.code.exit();
    emitter.code.place(emitter.fault);
    emitter.code.constant(Reg::R0, UNREADABLE.cast_signed());
    emitter.code.exit();
    emitter.finish()
}

/// `values(r1 = context, r2 = where to, r3 = saved values) -> r0`: the values that could not be
/// read, a bit each.
pub(super) fn values(slots: &[(Recipe, Slot)], options: &Options) -> Result<CompiledFn, Error> {
    let mut code = Assembler::default();
    code.mov(Reg::R6, Reg::R1);
    code.mov(OUTPUT, Reg::R2);
    if slots.iter().any(|(recipe, _)| recipe.uses_saved()) {
        code.mov(SAVED, Reg::R3);
    }
    let mut emitter = Emitter::new(code, Reg::R6, options);
    // The bits are in the output and not in a register, because the verifier knows the registers'
    // values: each fault that may or may not happen would double what it has to walk through.
    emitter
        .code
        .store_constant(OUTPUT, SLOT_FAULTS, 0, FAULTS_BYTES);
    for (number, (recipe, slot)) in slots.iter().enumerate() {
        emitter.slot(number, recipe, slot)?;
    }
    emitter
        .code
        .load(Reg::R0, OUTPUT, SLOT_FAULTS, FAULTS_BYTES);
    emitter.code.exit();
    emitter.finish()
}

/// `entry_values(r1 = context, r2 = where to) -> r0 = 0`: fills a [`Saved`] but for its time.
pub(super) fn entry_values(nodes: &[Node], options: &Options) -> Result<CompiledFn, Error> {
    let mut code = Assembler::default();
    code.mov(Reg::R6, Reg::R1);
    code.mov(OUTPUT, Reg::R2);
    let mut emitter = Emitter::new(code, Reg::R6, options);
    emitter
        .code
        .store_constant(OUTPUT, SAVED_FAULTS, 0, FAULTS_BYTES);
    for (number, node) in nodes.iter().enumerate() {
        let at = saved_value(number);
        emitter.fault = emitter.code.label();
        let done = emitter.code.label();
        emitter.code.span = node.span;
        emitter.value_alone(node, &WORKING)?;
        emitter.code.store(OUTPUT, at, WORKING[0], 8);
        emitter.code.jump(done);
        emitter.code.place(emitter.fault);
        emitter.code.store_constant(OUTPUT, at, 0, 8);
        emitter.note_fault(SAVED_FAULTS, number);
        emitter.code.place(done);
    }
    emitter.code.constant(Reg::R0, 0);
    emitter.code.exit();
    emitter.finish()
}

/// Where the value of this number is in what is saved; `check` sees to it that it is one of few.
fn saved_value(number: usize) -> i16 {
    let at = offset_of!(Saved, values) + number * size_of::<u64>();
    i16::try_from(at).unwrap_or(i16::MAX)
}

impl Recipe {
    fn uses_saved(&self) -> bool {
        match self {
            Self::Word(node) | Self::Text { address: node, .. } => value::uses_saved(node),
            Self::Comm(_) => false,
        }
    }

    const fn span(&self) -> Span {
        match self {
            Self::Word(node) | Self::Text { address: node, .. } => node.span,
            Self::Comm(span) => *span,
        }
    }
}

impl<'a> Emitter<'a> {
    fn new(mut code: Assembler, context: Reg, options: &'a Options) -> Self {
        Self {
            fault: code.label(),
            code,
            stack: Stack::default(),
            options,
            context,
        }
    }

    fn finish(self) -> Result<CompiledFn, Error> {
        let stack_bytes = self.stack.deepest_bytes();
        let code = self.code.finish().map_err(|_| Error::Length)?;
        let (instructions, spans) = code.into_iter().unzip();
        Ok(CompiledFn {
            instructions,
            spans,
            stack_bytes,
        })
    }

    /// Puts one value into the output.
    fn slot(&mut self, number: usize, recipe: &Recipe, slot: &Slot) -> Result<(), Error> {
        self.code.span = recipe.span();
        self.fault = self.code.label();
        let done = self.code.label();
        // All of it must be within reach of an instruction.
        let end = slot.offset.saturating_add(slot.kind.bytes());
        i16::try_from(end).map_err(|_| Error::Length)?;
        let at = i16::try_from(slot.offset).map_err(|_| Error::Length)?;
        match (recipe, &slot.kind) {
            (Recipe::Text { address, space }, SlotKind::Text { capacity }) => {
                self.text_slot(address, *space, at, *capacity)?;
                let is_read = Source::Imm(0);
                self.code.jump_if(Jump::Sgt, Reg::R0, is_read, done);
                // The address stays, so that it can be shown, or read once more later.
                self.note_fault(SLOT_FAULTS, number);
                self.code.jump(done);
            }
            (Recipe::Comm(_), _) => {
                self.set_argument_to_output(at);
                self.ask_comm();
                self.code.jump(done);
            }
            (Recipe::Word(node) | Recipe::Text { address: node, .. }, _) => {
                self.value_alone(node, &WORKING)?;
                self.code.store(OUTPUT, at, WORKING[0], 8);
                self.code.jump(done);
            }
        }
        self.code.place(self.fault);
        self.code.store_constant(OUTPUT, at, 0, 8);
        if matches!(slot.kind, SlotKind::Text { .. }) {
            self.code.store_constant(OUTPUT, at + 8, 0, 4);
        }
        self.note_fault(SLOT_FAULTS, number);
        self.code.place(done);
        Ok(())
    }

    /// Sets the bit of the value of this number in the word `at` these bytes of the output.
    fn note_fault(&mut self, at: i16, number: usize) {
        self.code.load(Reg::R0, OUTPUT, at, FAULTS_BYTES);
        let bit = 1_i64 << (number % 64);
        match i32::try_from(bit) {
            Ok(bit) => self.code.alu(Alu::Or, Reg::R0, Source::Imm(bit)),
            Err(_) => {
                self.code.constant(Reg::R1, bit);
                self.code.alu(Alu::Or, Reg::R0, Source::Reg(Reg::R1));
            }
        }
        self.code.store(OUTPUT, at, Reg::R0, FAULTS_BYTES);
    }

    /// Makes register 1 point into the output.
    fn set_argument_to_output(&mut self, offset: i16) {
        self.code.mov(Reg::R1, OUTPUT);
        self.code.alu(Alu::Add, Reg::R1, Source::Imm(offset.into()));
    }
}
