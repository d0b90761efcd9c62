//! Conditions into jumps.

use super::{Emitter, Error};
use crate::compile::{
    asm::{Jump, Label, Reg, Source},
    ir::{Comparison, Node, Op, Order},
};

impl Emitter<'_> {
    /// Jumps to `target` if `node` is true and `wanted` is, or neither; goes on below otherwise.
    /// Overwrites registers as [`Emitter::value`] does.
    pub(super) fn branch(
        &mut self,
        node: &Node,
        target: Label,
        wanted: bool,
        regs: &[Reg],
    ) -> Result<(), Error> {
        let outer = std::mem::replace(&mut self.code.span, node.span);
        match &node.op {
            Op::Constant(value) => {
                if (*value != 0) == wanted {
                    self.code.jump(target);
                }
            }
            Op::Not(value) => self.branch(value, target, !wanted, regs)?,
            Op::And(left, right) => self.branch_both(left, right, target, wanted, true, regs)?,
            Op::Or(left, right) => self.branch_both(left, right, target, wanted, false, regs)?,
            Op::Compare(comparison, left, right) => {
                self.branch_on(*comparison, left, right, target, wanted, regs)?;
            }
            Op::CompareText { source, text, ends } => {
                self.branch_on_text(source, text, *ends, target, wanted)?;
            }
            _ => {
                self.value_alone(node, regs)?;
                let condition = if wanted { Jump::Ne } else { Jump::Eq };
                self.code
                    .jump_if(condition, regs[0], Source::Imm(0), target);
            }
        }
        self.code.span = outer;
        Ok(())
    }

    /// `&&` if `is_and`, or else `||`.
    fn branch_both(
        &mut self,
        left: &Node,
        right: &Node,
        target: Label,
        wanted: bool,
        is_and: bool,
        regs: &[Reg],
    ) -> Result<(), Error> {
        // One side alone decides if it is false (`&&`) or true (`||`).
        if wanted != is_and {
            self.branch(left, target, wanted, regs)?;
            return self.branch(right, target, wanted, regs);
        }
        let decided = self.code.label();
        self.branch(left, decided, !wanted, regs)?;
        self.branch(right, target, wanted, regs)?;
        self.code.place(decided);
        Ok(())
    }

    fn branch_on(
        &mut self,
        comparison: Comparison,
        left: &Node,
        right: &Node,
        target: Label,
        wanted: bool,
        regs: &[Reg],
    ) -> Result<(), Error> {
        let order = if wanted {
            comparison.order
        } else {
            comparison.order.inverse()
        };
        let condition = match (order, comparison.is_signed) {
            (Order::Equal, _) => Jump::Eq,
            (Order::NotEqual, _) => Jump::Ne,
            (Order::Less, true) => Jump::Slt,
            (Order::Less, false) => Jump::Lt,
            (Order::LessOrEqual, true) => Jump::Sle,
            (Order::LessOrEqual, false) => Jump::Le,
            (Order::Greater, true) => Jump::Sgt,
            (Order::Greater, false) => Jump::Gt,
            (Order::GreaterOrEqual, true) => Jump::Sge,
            (Order::GreaterOrEqual, false) => Jump::Ge,
        };
        // Words that are extended from four bytes alike compare as their four bytes do.
        if let Some(left) = without_extension(left, comparison.is_signed)
            && let Some(right) = without_extension(right, comparison.is_signed)
        {
            let right = self.operands(left, right, regs)?;
            self.code.jump_if_word(condition, regs[0], right, target);
            return Ok(());
        }
        let right = self.operands(left, right, regs)?;
        self.code.jump_if(condition, regs[0], right, target);
        Ok(())
    }
}

/// What `node` is an extension of, from four bytes with that sign; itself if it is a small constant.
fn without_extension(node: &Node, signed: bool) -> Option<&Node> {
    match &node.op {
        Op::Extend {
            value,
            bytes: 4,
            is_signed,
        } if *is_signed == signed => Some(value),
        Op::Constant(0..=0x7fff_ffff) => Some(node),
        Op::Constant(value) if signed && i32::try_from(*value).is_ok() => Some(node),
        _ => None,
    }
}
