//! The stack of a generated function.

use super::Error;
use crate::spec::expr::Span;

/// What a generated function may use: the kernel has 512 bytes for it and its callers together, and
/// counts frames in steps of 32 (`check_max_stack_depth` in kernel/bpf/verifier.c).
pub(crate) const STACK_BYTES: u16 = 224;

/// Which part of the stack is in use.
#[derive(Debug, Default)]
pub(super) struct Stack {
    used: i16,
    deepest: i16,
}

impl Stack {
    /// Room for `bytes`, as an offset from the frame pointer that is a multiple of 8.
    pub(super) fn take(&mut self, bytes: i16, span: Span) -> Result<i16, Error> {
        let used = self.used + (bytes + 7) / 8 * 8;
        if used.unsigned_abs() > STACK_BYTES {
            return Err(Error::Stack(span));
        }
        self.used = used;
        self.deepest = self.deepest.max(used);
        Ok(-used)
    }

    /// Gives back what was taken last, with the `bytes` it was taken with.
    pub(super) fn give_back(&mut self, bytes: i16) {
        self.used -= (bytes + 7) / 8 * 8;
    }

    pub(super) fn deepest_bytes(&self) -> u32 {
        self.deepest.unsigned_abs().into()
    }
}
