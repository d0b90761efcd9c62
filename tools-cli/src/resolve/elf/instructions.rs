//! Where the instructions of a function begin.

/// Why that could not be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// The offset is behind the function's end.
    #[error("offset {offset:#x} is outside: it is {size:#x} bytes long")]
    Outside {
        /// The offset asked for, in bytes from the function's start.
        offset: u64,
        /// The function's length in bytes.
        size: u64,
    },
    /// Before the offset there is something that is not an instruction.
    #[error("the bytes at offset {at:#x} are not an instruction")]
    Undecodable {
        /// Bytes from the function's start.
        at: u64,
    },
    /// The function is not in the file as code.
    #[error("its code is not in the file")]
    NoCode,
    /// Nothing here can decode this machine's instructions.
    #[error("instructions of this machine can't be decoded")]
    UnsupportedMachine,
}

/// Whether an instruction begins `offset` bytes into `code`, which begins with one.
///
/// A probe in the middle of an instruction overwrites part of it and breaks the program.
///
/// # Errors
///
/// When `offset` is not inside `code`, or what is before it can't be decoded.
#[cfg(target_arch = "x86_64")]
pub fn starts_at(code: &[u8], offset: u64) -> Result<bool, InstructionError> {
    use iced_x86::{Decoder, DecoderOptions, Instruction};
    let size = code.len() as u64;
    if offset >= size {
        return Err(InstructionError::Outside { offset, size });
    }
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.ip() < offset {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return Err(InstructionError::Undecodable {
                at: instruction.ip(),
            });
        }
    }
    if decoder.ip() != offset {
        return Ok(false);
    }
    decoder.decode_out(&mut instruction);
    if instruction.is_invalid() {
        return Err(InstructionError::Undecodable { at: offset });
    }
    Ok(true)
}

/// Whether an instruction begins `offset` bytes into `code`, which begins with one.
///
/// # Errors
///
/// When `offset` is not inside `code`, or this machine's instructions can't be decoded.
#[cfg(not(target_arch = "x86_64"))]
pub fn starts_at(code: &[u8], offset: u64) -> Result<bool, InstructionError> {
    let size = code.len() as u64;
    if offset >= size {
        return Err(InstructionError::Outside { offset, size });
    }
    if cfg!(target_arch = "aarch64") {
        return Ok(offset.is_multiple_of(4));
    }
    Err(InstructionError::UnsupportedMachine)
}

impl super::Elf<'_> {
    /// Whether an instruction begins `offset` bytes into `function`.
    ///
    /// # Errors
    ///
    /// When `offset` is behind the function's end, or what is before it can't be decoded.
    pub fn instruction_starts_at(
        &self,
        function: &super::FunctionSymbol,
        offset: u64,
    ) -> Result<bool, super::ElfError> {
        let code = self
            .code_at(function.address)
            .ok_or(InstructionError::NoCode);
        let bounded = code.map(|code| match usize::try_from(function.size) {
            Ok(size) if size > 0 => &code[..code.len().min(size)],
            _ => code,
        });
        bounded
            .and_then(|code| starts_at(code, offset))
            .map_err(|source| super::ElfError::Code {
                path: self.path.to_owned(),
                function: function.name.clone(),
                source,
            })
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_starts_of_instructions_are_starts() {
        // push rbp; mov rbp,rsp; mov eax,0x90909090; ret
        let code = [0x55, 0x48, 0x89, 0xe5, 0xb8, 0x90, 0x90, 0x90, 0x90, 0xc3];
        let starts: Vec<u64> = (0..10)
            .filter(|&offset| starts_at(&code, offset) == Ok(true))
            .collect();
        assert_eq!(starts, [0, 1, 4, 9]);
        assert_eq!(
            starts_at(&code, 10),
            Err(InstructionError::Outside {
                offset: 10,
                size: 10
            })
        );
    }

    #[test]
    fn what_is_no_instruction_is_an_error() {
        // 0x06 (push es) does not exist in 64-bit mode.
        let code = [0x90, 0x06, 0x90];
        assert_eq!(
            starts_at(&code, 2),
            Err(InstructionError::Undecodable { at: 1 })
        );
        assert_eq!(
            starts_at(&code, 1),
            Err(InstructionError::Undecodable { at: 1 })
        );
        // Cut off inside the instruction.
        assert_eq!(
            starts_at(&[0x48, 0x89], 0),
            Err(InstructionError::Undecodable { at: 0 })
        );
    }
}
