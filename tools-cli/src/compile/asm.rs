//! Instructions of BPF, with jumps to labels until the last pass.

use aya_obj::generated::bpf_insn;

use crate::spec::expr::Span;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(pub(super) u8);

impl Reg {
    pub(super) const R0: Self = Self(0);
    pub(super) const R1: Self = Self(1);
    pub(super) const R2: Self = Self(2);
    pub(super) const R3: Self = Self(3);
    pub(super) const R4: Self = Self(4);
    pub(super) const R5: Self = Self(5);
    pub(super) const R6: Self = Self(6);
    pub(super) const R7: Self = Self(7);
    pub(super) const R8: Self = Self(8);
    pub(super) const R9: Self = Self(9);
    /// The frame pointer.
    pub(super) const R10: Self = Self(10);
}

/// The second operand of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Reg(Reg),
    Imm(i32),
}

/// Operations of arithmetic instructions, as they are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    Lsh = 0x60,
    Rsh = 0x70,
    Neg = 0x80,
    Mod = 0x90,
    Xor = 0xa0,
    Mov = 0xb0,
    Arsh = 0xc0,
}

/// Conditions of jumps, as they are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Jump {
    Eq = 0x10,
    Gt = 0x20,
    Ge = 0x30,
    /// Any of the bits is set.
    Set = 0x40,
    Ne = 0x50,
    Sgt = 0x60,
    Sge = 0x70,
    Lt = 0xa0,
    Le = 0xb0,
    Slt = 0xc0,
    Sle = 0xd0,
}

/// Classes and modes of instructions (include/uapi/linux/bpf_common.h, bpf.h).
mod class {
    pub(super) const LDX: u8 = 0x61;
    pub(super) const ST: u8 = 0x62;
    pub(super) const STX: u8 = 0x63;
    pub(super) const ALU: u8 = 0x04;
    pub(super) const JMP: u8 = 0x05;
    pub(super) const JMP32: u8 = 0x06;
    pub(super) const ALU64: u8 = 0x07;
    pub(super) const LDDW: u8 = 0x18;
    pub(super) const TO_LE: u8 = 0xd4;
    pub(super) const JA: u8 = 0x05;
    pub(super) const CALL: u8 = 0x85;
    pub(super) const EXIT: u8 = 0x95;
    pub(super) const SOURCE_REG: u8 = 0x08;
}

/// A place that jumps go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

#[derive(Clone, Copy, Debug)]
enum Line {
    Instruction {
        instruction: bpf_insn,
        target: Option<Label>,
        span: Span,
    },
    Label(Label),
}

/// Why code can't be assembled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Instructions in the making.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    lines: Vec<Line>,
    labels: usize,
    /// The expression that instructions are made for.
    pub(super) span: Span,
}

impl Assembler {
    pub(super) fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    pub(super) fn place(&mut self, label: Label) {
        self.lines.push(Line::Label(label));
    }

    fn push(&mut self, code: u8, dst: Reg, src: Reg, off: i16, imm: i32) {
        self.push_jump(code, dst, src, off, imm, None);
    }

    fn push_jump(
        &mut self,
        code: u8,
        dst: Reg,
        src: Reg,
        off: i16,
        imm: i32,
        target: Option<Label>,
    ) {
        let instruction = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(dst.0, src.0),
            off,
            imm,
        };
        let span = self.span;
        self.lines.push(Line::Instruction {
            instruction,
            target,
            span,
        });
    }

    pub(super) fn alu(&mut self, op: Alu, dst: Reg, source: Source) {
        self.operate(class::ALU64, op, dst, source);
    }

    fn operate(&mut self, class: u8, op: Alu, dst: Reg, source: Source) {
        match source {
            Source::Reg(src) => self.push(class | class::SOURCE_REG | op as u8, dst, src, 0, 0),
            Source::Imm(imm) => self.push(class | op as u8, dst, Reg::R0, 0, imm),
        }
    }

    pub(super) fn mov(&mut self, dst: Reg, src: Reg) {
        if dst != src {
            self.alu(Alu::Mov, dst, Source::Reg(src));
        }
    }

    pub(super) fn constant(&mut self, dst: Reg, value: i64) {
        if let Ok(imm) = i32::try_from(value) {
            return self.alu(Alu::Mov, dst, Source::Imm(imm));
        }
        let [low, high] = [value, value >> 32].map(|half| half as i32);
        self.push(class::LDDW, dst, Reg::R0, 0, low);
        self.push(0, Reg::R0, Reg::R0, 0, high);
    }

    pub(super) fn negate(&mut self, dst: Reg) {
        self.alu(Alu::Neg, dst, Source::Imm(0));
    }

    /// The lowest four bytes, without sign: operations of 32 bits clear the upper half.
    pub(super) fn zero_extend_word(&mut self, dst: Reg) {
        self.operate(class::ALU, Alu::Mov, dst, Source::Reg(dst));
    }

    /// Makes the verifier forget that `dst` is a pointer: to the CPU, this does nothing, but its
    /// result counts as any number (`check_alu_op` in kernel/bpf/verifier.c, `BPF_END`).
    pub(super) fn forget_pointer(&mut self, dst: Reg) {
        self.push(class::TO_LE, dst, Reg::R0, 0, 64);
    }

    pub(super) fn load(&mut self, dst: Reg, base: Reg, offset: i16, bytes: u8) {
        self.push(class::LDX | size(bytes), dst, base, offset, 0);
    }

    pub(super) fn store(&mut self, base: Reg, offset: i16, src: Reg, bytes: u8) {
        self.push(class::STX | size(bytes), base, src, offset, 0);
    }

    pub(super) fn store_constant(&mut self, base: Reg, offset: i16, imm: i32, bytes: u8) {
        self.push(class::ST | size(bytes), base, Reg::R0, offset, imm);
    }

    pub(super) fn jump(&mut self, target: Label) {
        self.push_jump(class::JA, Reg::R0, Reg::R0, 0, 0, Some(target));
    }

    pub(super) fn jump_if(&mut self, condition: Jump, left: Reg, right: Source, target: Label) {
        self.branch(class::JMP, condition, left, right, target);
    }

    /// Compares the lower halves only.
    pub(super) fn jump_if_word(
        &mut self,
        condition: Jump,
        left: Reg,
        right: Source,
        target: Label,
    ) {
        self.branch(class::JMP32, condition, left, right, target);
    }

    fn branch(&mut self, class: u8, condition: Jump, left: Reg, right: Source, target: Label) {
        let code = class | condition as u8;
        match right {
            Source::Reg(right) => {
                self.push_jump(code | class::SOURCE_REG, left, right, 0, 0, Some(target));
            }
            Source::Imm(imm) => self.push_jump(code, left, Reg::R0, 0, imm, Some(target)),
        }
    }

    pub(super) fn call(&mut self, helper: u32) {
        let helper = helper.cast_signed();
        self.push(class::CALL, Reg::R0, Reg::R0, 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.push(class::EXIT, Reg::R0, Reg::R0, 0, 0);
    }

    /// The instructions, with the expression each was made for. What can't be reached is left out,
    /// because the verifier refuses it.
    pub(super) fn finish(self) -> Result<Vec<(bpf_insn, Span)>, TooLong> {
        let mut placed = vec![None; self.labels];
        let mut wanted = vec![false; self.labels];
        let mut code: Vec<(bpf_insn, Option<Label>, Span)> = Vec::new();
        let mut is_reachable = true;
        // All jumps go forward, so one pass knows of all of them in time.
        for line in self.lines {
            match line {
                Line::Label(label) => {
                    is_reachable |= wanted[label.0];
                    placed[label.0] = Some(code.len());
                }
                Line::Instruction {
                    instruction,
                    target,
                    span,
                } if is_reachable => {
                    if let Some(target) = target {
                        wanted[target.0] = true;
                    }
                    is_reachable = !matches!(instruction.code, class::JA | class::EXIT);
                    code.push((instruction, target, span));
                }
                Line::Instruction { .. } => {}
            }
        }
        let resolve =
            |(at, (instruction, target, span)): (usize, (bpf_insn, Option<Label>, Span))| {
                let off = match target.and_then(|target| placed[target.0]) {
                    Some(target) => i16::try_from(target - at - 1).map_err(|_| TooLong)?,
                    None => instruction.off,
                };
                Ok((bpf_insn { off, ..instruction }, span))
            };
        code.into_iter().enumerate().map(resolve).collect()
    }
}

/// The bits of an instruction that tell how many bytes it moves.
const fn size(bytes: u8) -> u8 {
    match bytes {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    }
}
