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

use probes_common::{PASSED, UNREADABLE};

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

/// Bytes of what is saved at a function's entry before the values: the time, which the caller saves,
/// and at the return replaces by the time since.
const SAVED_TIME_BYTES: u8 = 8;

/// `EFAULT`, as helpers return it.
const FAULT: i32 = -14;

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
    emitter.code.store_constant(OUTPUT, 0, 0, FAULTS_BYTES);
    for (number, (recipe, slot)) in slots.iter().enumerate() {
        emitter.slot(number, recipe, slot)?;
    }
    emitter.code.load(Reg::R0, OUTPUT, 0, FAULTS_BYTES);
    emitter.code.exit();
    emitter.finish()
}

/// `entry_values(r1 = context, r2 = where to) -> r0 = 0`: saves 8 bytes for each node behind the
/// time; 0 for what can't be read.
pub(super) fn entry_values(nodes: &[Node], options: &Options) -> Result<CompiledFn, Error> {
    let mut code = Assembler::default();
    code.mov(Reg::R6, Reg::R1);
    code.mov(OUTPUT, Reg::R2);
    let mut emitter = Emitter::new(code, Reg::R6, options);
    for (node, at) in nodes.iter().zip((SAVED_TIME_BYTES.into()..).step_by(8)) {
        emitter.fault = emitter.code.label();
        let done = emitter.code.label();
        emitter.code.span = node.span;
        emitter.value_alone(node, &WORKING)?;
        emitter.code.store(OUTPUT, at, WORKING[0], 8);
        emitter.code.jump(done);
        emitter.code.place(emitter.fault);
        emitter.code.store_constant(OUTPUT, at, 0, 8);
        emitter.code.place(done);
    }
    emitter.code.constant(Reg::R0, 0);
    emitter.code.exit();
    emitter.finish()
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
                self.note_fault(number);
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
            self.code.store_constant(OUTPUT, at + 8, FAULT, 4);
        }
        self.note_fault(number);
        self.code.place(done);
        Ok(())
    }

    fn note_fault(&mut self, number: usize) {
        self.code.load(Reg::R0, OUTPUT, 0, FAULTS_BYTES);
        let bit = 1_i64 << (number % 64);
        match i32::try_from(bit) {
            Ok(bit) => self.code.alu(Alu::Or, Reg::R0, Source::Imm(bit)),
            Err(_) => {
                self.code.constant(Reg::R1, bit);
                self.code.alu(Alu::Or, Reg::R0, Source::Reg(Reg::R1));
            }
        }
        self.code.store(OUTPUT, 0, Reg::R0, FAULTS_BYTES);
    }

    /// Makes register 1 point into the output.
    fn set_argument_to_output(&mut self, offset: i16) {
        self.code.mov(Reg::R1, OUTPUT);
        self.code.alu(Alu::Add, Reg::R1, Source::Imm(offset.into()));
    }
}
