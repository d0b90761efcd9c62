//! Words into registers.

use super::{
    Emitter, Error, FOR_ADDRESS, SAVED, SAVED_FAULTS, SAVED_LATENCY, SCRATCH, saved_value,
};
use crate::compile::{
    asm::{Alu, Jump, Reg, Source},
    ir::{Arithmetic, Node, Op},
    layout::FAULTS_BYTES,
    site::Space,
};

impl Emitter<'_> {
    /// Puts the value of `node` into the first of `regs`, and may overwrite the others; if it calls
    /// helpers, all registers from 0 to 5.
    pub(super) fn value(&mut self, node: &Node, regs: &[Reg]) -> Result<(), Error> {
        self.value_alone(node, regs)?;
        if node.is_truth() || matches!(node.op, Op::Choose(..)) {
            self.forget_number(regs[0]);
        }
        Ok(())
    }

    /// Makes the verifier forget which number a register holds. It knows after a jump, and would
    /// follow all combinations of what it knows through the rest of the expression. A number that
    /// it can't know, taken away and given back, leaves it with nothing.
    fn forget_number(&mut self, reg: Reg) {
        self.code.mov(SCRATCH, self.context);
        self.code.forget_pointer(SCRATCH);
        self.code.alu(Alu::Xor, reg, Source::Reg(SCRATCH));
        self.code.alu(Alu::Xor, reg, Source::Reg(SCRATCH));
    }

    /// The same as [`Emitter::value`] for a value that is not an operand of another.
    pub(super) fn value_alone(&mut self, node: &Node, regs: &[Reg]) -> Result<(), Error> {
        let outer = std::mem::replace(&mut self.code.span, node.span);
        let dst = regs[0];
        match &node.op {
            Op::Constant(value) => self.code.constant(dst, *value),
            Op::Context { offset, bytes } => {
                self.code
                    .load(dst, self.context, offset_of(*offset), *bytes);
            }
            Op::ContextAddress(offset) => self.context_address(*offset, dst),
            Op::Ask(question) => self.ask(*question, dst)?,
            Op::Saved(number) => self.saved(*number, dst),
            Op::Latency => self.code.load(dst, SAVED, SAVED_LATENCY, 8),
            Op::Load {
                address,
                bytes,
                space,
            } => self.load(address, *bytes, *space, dst)?,
            Op::Extend {
                value,
                bytes,
                is_signed,
            } => {
                self.value(value, regs)?;
                self.extend(dst, *bytes, *is_signed);
            }
            Op::Bits {
                value,
                first,
                count,
                is_signed,
            } => {
                self.value(value, regs)?;
                self.bits(dst, *first, *count, *is_signed);
            }
            Op::Negate(value) => {
                self.value(value, regs)?;
                self.code.negate(dst);
            }
            Op::Complement(value) => {
                self.value(value, regs)?;
                self.code.alu(Alu::Xor, dst, Source::Imm(-1));
            }
            Op::Arithmetic(operation, left, right) => {
                let right = self.operands(left, right, regs)?;
                self.arithmetic(*operation, dst, right);
            }
            Op::Choose(condition, first, second) => {
                self.choose(condition, first, second, regs)?;
            }
            Op::Compare(..) | Op::Not(_) | Op::And(..) | Op::Or(..) | Op::CompareText { .. } => {
                self.truth(node, regs)?;
            }
        }
        self.code.span = outer;
        Ok(())
    }

    fn context_address(&mut self, offset: u32, dst: Reg) {
        self.code.mov(dst, self.context);
        self.code.forget_pointer(dst);
        if offset != 0 {
            let offset = Source::Imm(offset.cast_signed());
            self.code.alu(Alu::Add, dst, offset);
        }
    }

    fn choose(
        &mut self,
        condition: &Node,
        first: &Node,
        second: &Node,
        regs: &[Reg],
    ) -> Result<(), Error> {
        let (other, end) = (self.code.label(), self.code.label());
        self.branch(condition, other, false, regs)?;
        self.value(first, regs)?;
        self.code.jump(end);
        self.code.place(other);
        self.value(second, regs)?;
        self.code.place(end);
        Ok(())
    }

    /// 1 or 0.
    fn truth(&mut self, node: &Node, regs: &[Reg]) -> Result<(), Error> {
        let (is_false, end) = (self.code.label(), self.code.label());
        self.branch(node, is_false, false, regs)?;
        self.code.constant(regs[0], 1);
        self.code.jump(end);
        self.code.place(is_false);
        self.code.constant(regs[0], 0);
        self.code.place(end);
        Ok(())
    }

    /// Puts `left` into the first of `regs`, and tells where `right` is.
    pub(super) fn operands(
        &mut self,
        left: &Node,
        right: &Node,
        regs: &[Reg],
    ) -> Result<Source, Error> {
        if let Some(imm) = right.as_constant().and_then(|value| value.try_into().ok()) {
            self.value(left, regs)?;
            return Ok(Source::Imm(imm));
        }
        match regs {
            [_, others @ ..] if !others.is_empty() && !right.calls => {
                self.value(left, regs)?;
                self.value(right, others)?;
                Ok(Source::Reg(others[0]))
            }
            [first, second, others @ ..] if !left.calls => {
                let exchanged = [&[*second, *first], others].concat();
                self.value(right, &exchanged)?;
                let without_second = [&[*first], others].concat();
                self.value(left, &without_second)?;
                Ok(Source::Reg(*second))
            }
            _ => {
                // The one that has more waiting meanwhile goes first, when nothing else waits.
                let left_first = waiting(left) > waiting(right);
                let (first, second) = if left_first {
                    (left, right)
                } else {
                    (right, left)
                };
                self.value(first, regs)?;
                let at = self.stack.take(8, first.span)?;
                self.code.store(Reg::R10, at, regs[0], 8);
                self.value(second, regs)?;
                if left_first {
                    self.code.mov(SCRATCH, regs[0]);
                    self.code.load(regs[0], Reg::R10, at, 8);
                } else {
                    self.code.load(SCRATCH, Reg::R10, at, 8);
                }
                self.stack.give_back(8);
                Ok(Source::Reg(SCRATCH))
            }
        }
    }

    /// A value of the function's entry. If it could not be read there, that is a fault here.
    fn saved(&mut self, number: u32, dst: Reg) {
        let bit = Source::Imm(1 << number);
        self.code.load(dst, SAVED, SAVED_FAULTS, FAULTS_BYTES);
        self.code.jump_if(Jump::Set, dst, bit, self.fault);
        self.code.load(dst, SAVED, saved_value(number as usize), 8);
    }

    fn load(&mut self, address: &Node, bytes: u8, space: Space, dst: Reg) -> Result<(), Error> {
        self.value(address, &FOR_ADDRESS)?;
        let at = self.stack.take(8, address.span)?;
        // Of an odd number of bytes all eight are taken, so all must have been written.
        let is_odd = !bytes.is_power_of_two();
        if is_odd {
            self.code.store_constant(Reg::R10, at, 0, 8);
        }
        self.point_to_stack(Reg::R1, at);
        self.code.alu(Alu::Mov, Reg::R2, Source::Imm(bytes.into()));
        self.call_checked(space.read());
        self.code
            .load(dst, Reg::R10, at, if is_odd { 8 } else { bytes });
        self.stack.give_back(8);
        Ok(())
    }

    fn extend(&mut self, reg: Reg, bytes: u8, is_signed: bool) {
        match (bytes, is_signed) {
            (4, false) => self.code.zero_extend_word(reg),
            (1, false) => self.code.alu(Alu::And, reg, Source::Imm(0xff)),
            (2, false) => self.code.alu(Alu::And, reg, Source::Imm(0xffff)),
            _ => self.bits(reg, 0, bytes.saturating_mul(8), is_signed),
        }
    }

    fn bits(&mut self, reg: Reg, first: u8, count: u8, is_signed: bool) {
        let up = 64_u8.saturating_sub(first).saturating_sub(count);
        let down = 64_u8.saturating_sub(count);
        let back = if is_signed { Alu::Arsh } else { Alu::Rsh };
        for (op, by) in [(Alu::Lsh, up), (back, down)] {
            if by != 0 {
                self.code.alu(op, reg, Source::Imm(by.into()));
            }
        }
    }

    fn arithmetic(&mut self, operation: Arithmetic, left: Reg, right: Source) {
        let op = match operation {
            Arithmetic::Add => Alu::Add,
            Arithmetic::Subtract => Alu::Sub,
            Arithmetic::Multiply => Alu::Mul,
            Arithmetic::ShiftLeft => Alu::Lsh,
            Arithmetic::ShiftRight { is_signed: true } => Alu::Arsh,
            Arithmetic::ShiftRight { is_signed: false } => Alu::Rsh,
            Arithmetic::And => Alu::And,
            Arithmetic::Or => Alu::Or,
            Arithmetic::Xor => Alu::Xor,
            Arithmetic::Divide { is_signed } => return self.divide(left, right, true, is_signed),
            Arithmetic::Remainder { is_signed } => {
                return self.divide(left, right, false, is_signed);
            }
        };
        self.code.alu(op, left, right);
    }

    /// The quotient or the remainder. Division by zero counts as a fault, and BPF has had signed
    /// division only since 6.6, so numbers are divided without their signs.
    fn divide(&mut self, left: Reg, right: Source, is_quotient: bool, is_signed: bool) {
        const ZERO: Source = Source::Imm(0);

        let op = if is_quotient { Alu::Div } else { Alu::Mod };
        let divisor = match right {
            Source::Imm(1..) => right,
            Source::Imm(imm) => {
                self.code.alu(Alu::Mov, SCRATCH, Source::Imm(imm));
                Source::Reg(SCRATCH)
            }
            Source::Reg(_) => right,
        };
        if let Source::Reg(divisor) = divisor {
            self.code.jump_if(Jump::Eq, divisor, ZERO, self.fault);
        }
        if !is_signed {
            return self.code.alu(op, left, divisor);
        }
        let [left_is_negative, end] = [(); 2].map(|()| self.code.label());
        self.code.jump_if(Jump::Slt, left, ZERO, left_is_negative);
        self.divide_magnitude(op, left, divisor, is_quotient, false);
        self.code.jump(end);
        self.code.place(left_is_negative);
        self.code.negate(left);
        self.divide_magnitude(op, left, divisor, is_quotient, true);
        self.code.place(end);
    }

    /// Divides `left`, whose sign has been taken off, and gives the result its sign: a quotient is
    /// negative if one of its operands is, a remainder if the dividend is.
    fn divide_magnitude(
        &mut self,
        op: Alu,
        left: Reg,
        divisor: Source,
        is_quotient: bool,
        was_negative: bool,
    ) {
        let end = self.code.label();
        if let Source::Reg(reg) = divisor {
            let is_positive = self.code.label();
            self.code
                .jump_if(Jump::Sge, reg, Source::Imm(0), is_positive);
            self.code.negate(reg);
            self.code.alu(op, left, divisor);
            if was_negative != is_quotient {
                self.code.negate(left);
            }
            self.code.jump(end);
            self.code.place(is_positive);
        }
        self.code.alu(op, left, divisor);
        if was_negative {
            self.code.negate(left);
        }
        self.code.place(end);
    }
}

fn offset_of(offset: u32) -> i16 {
    // Contexts are smaller than this: `check` has made sure.
    i16::try_from(offset).unwrap_or(i16::MAX)
}

/// How many words are on the stack at once while `node` is worked out.
fn waiting(node: &Node) -> u32 {
    let (mut least, mut most) = (u32::MAX, 0);
    for operand in node.operands() {
        let waiting = waiting(operand);
        least = least.min(waiting);
        most = most.max(waiting);
    }
    let is_binary = matches!(node.op, Op::Arithmetic(..) | Op::Compare(..));
    let one_waits = is_binary && node.operands().all(|operand| operand.calls);
    if one_waits && least == most {
        most + 1
    } else {
        most
    }
}

/// Whether anything in `node` was saved at the function's entry.
pub(super) fn uses_saved(node: &Node) -> bool {
    matches!(node.op, Op::Saved(_) | Op::Latency) || node.operands().any(uses_saved)
}
