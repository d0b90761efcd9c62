//! Texts: read into the output, compared with a constant.

use super::{Emitter, Error, FOR_ADDRESS, OUTPUT, helper::COMM_BYTES};
use crate::compile::{
    asm::{Alu, Jump, Label, Reg, Source},
    ir::{Node, TextSource},
    layout::TEXT_HEADER_BYTES,
    site::Space,
};

/// Bytes of a text that are read and compared at once; longer ones take several reads.
const CHUNK_BYTES: usize = 64;

impl Emitter<'_> {
    /// The address, the number of bytes with the final NUL or an error, and the bytes; the number is
    /// left in register 0.
    pub(super) fn text_slot(
        &mut self,
        address: &Node,
        space: Space,
        at: i16,
        capacity: u32,
    ) -> Result<(), Error> {
        self.value(address, &FOR_ADDRESS)?;
        self.code.store(OUTPUT, at, Reg::R3, 8);
        self.set_argument_to_output(at + TEXT_HEADER_BYTES);
        let capacity = Source::Imm(capacity.cast_signed());
        self.code.alu(Alu::Mov, Reg::R2, capacity);
        self.read_text(address, space);
        self.code.store(OUTPUT, at + 8, Reg::R0, 4);
        Ok(())
    }

    /// Reads the text at `address`, which is in register 3. The kernel's types do not tell its own
    /// memory from a program's (`__user` is for its checker only), but the address does: a program's
    /// are in the lower half.
    fn read_text(&mut self, address: &Node, space: Space) {
        if space == Space::User || address.is_in_context() {
            return self.code.call(space.read_text());
        }
        let [of_program, end] = [(); 2].map(|()| self.code.label());
        self.code.forget_pointer(Reg::R3);
        self.code
            .jump_if(Jump::Sge, Reg::R3, Source::Imm(0), of_program);
        self.code.call(Space::Kernel.read_text());
        self.code.jump(end);
        self.code.place(of_program);
        self.code.call(Space::User.read_text());
        self.code.place(end);
    }

    /// Jumps to `target` if the text is the same and `wanted` is true, or neither.
    ///
    /// `ends`: the text must end where the constant ends.
    pub(super) fn branch_on_text(
        &mut self,
        source: &TextSource,
        text: &[u8],
        ends: bool,
        target: Label,
        wanted: bool,
    ) -> Result<(), Error> {
        let differs = if wanted { self.code.label() } else { target };
        let mut wanted_bytes = text.to_vec();
        if ends {
            wanted_bytes.push(0);
        }
        match source {
            TextSource::Comm => self.compare_comm(&wanted_bytes, differs)?,
            TextSource::Memory { address, space } => {
                for (number, chunk) in wanted_bytes.chunks(CHUNK_BYTES).enumerate() {
                    self.compare_chunk(address, number * CHUNK_BYTES, chunk, *space, differs)?;
                }
            }
        }
        if wanted {
            self.code.jump(target);
            self.code.place(differs);
        }
        Ok(())
    }

    fn compare_comm(&mut self, wanted: &[u8], differs: Label) -> Result<(), Error> {
        let at = self.stack.take(COMM_BYTES, self.code.span)?;
        self.point_to_stack(Reg::R1, at);
        self.ask_comm();
        self.compare_bytes(at, wanted, differs);
        self.stack.give_back(COMM_BYTES);
        Ok(())
    }

    fn compare_chunk(
        &mut self,
        address: &Node,
        start: usize,
        wanted: &[u8],
        space: Space,
        differs: Label,
    ) -> Result<(), Error> {
        // One more than is compared, because the helper makes the last byte a NUL.
        let bytes = i16::try_from(wanted.len() + 1).unwrap_or(i16::MAX);
        let start = i64::try_from(start).unwrap_or(i64::MAX);
        self.value(&address.clone().add_constant(start), &FOR_ADDRESS)?;
        let at = self.stack.take(bytes, self.code.span)?;
        self.point_to_stack(Reg::R1, at);
        self.code.alu(Alu::Mov, Reg::R2, Source::Imm(bytes.into()));
        self.read_text(address, space);
        self.code
            .jump_if(Jump::Sle, Reg::R0, Source::Imm(0), self.fault);
        self.compare_bytes(at, wanted, differs);
        self.stack.give_back(bytes);
        Ok(())
    }

    /// Compares bytes on the stack, as many at once as alignment allows.
    fn compare_bytes(&mut self, at: i16, wanted: &[u8], differs: Label) {
        let mut rest = wanted;
        let mut at = at;
        while !rest.is_empty() {
            let count = match rest.len() {
                8.. => 8,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            let (now, later) = rest.split_at(count);
            let word = now
                .iter()
                .rev()
                .fold(0_i64, |word, &byte| word << 8 | i64::from(byte));
            self.code.load(Reg::R0, Reg::R10, at, count as u8);
            match i32::try_from(word) {
                Ok(imm) => self
                    .code
                    .jump_if(Jump::Ne, Reg::R0, Source::Imm(imm), differs),
                Err(_) => {
                    self.code.constant(Reg::R1, word);
                    let word = Source::Reg(Reg::R1);
                    self.code.jump_if(Jump::Ne, Reg::R0, word, differs);
                }
            }
            at += count as i16;
            rest = later;
        }
    }
}
