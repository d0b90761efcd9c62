//! What the kernel's part of a stack is walked by.

/// Where the kernel keeps what its unwinder goes by (`arch/x86/kernel/unwind_orc.c`): addresses in the
/// kernel, of tables that are sorted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelTables {
    /// Of where each range of instructions starts (`__start_orc_unwind_ip`): 32 bits for each, its
    /// distance from the place it is kept at.
    pub starts: u64,
    /// Of an [`OrcEntry`] for each range (`__start_orc_unwind`).
    pub entries: u64,
    /// Of the kernel's own code, without modules.
    pub text_start: u64,
    /// Length of that code in bytes, less than 4 GiB.
    pub text_bytes: u64,
    /// Number of ranges; 0 while the tables are not known.
    pub count: u32,
    /// How entries are to be read: an [`OrcFormat`].
    pub format: u32,
}

/// What the numbers in an [`OrcEntry`] stand for.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrcFormat {
    /// Before Linux 6.4: two bits for the kind, and one behind them for where stacks end.
    WithEnd = 0,
    /// Since Linux 6.4: three bits for the kind (commit fb799447ae29).
    WithKinds = 1,
    /// As on Linux 7.2, not on 6.18: registers have other numbers too.
    Renumbered = 2,
}

/// `struct orc_entry` (arch/x86/include/asm/orc_types.h): where the caller is found from an instruction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrcEntry {
    /// The end of the frame, from the register that [`OrcEntry::flags`] tells, in bytes.
    pub frame_bytes: i16,
    /// Where the caller's frame pointer is saved, from the end of the frame, in bytes.
    pub frame_pointer: i16,
    /// Four bits for the register, four for how the frame pointer is saved, then the kind.
    pub flags: u16,
}

/// What a place of the kernel's code says of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Nothing that is followed here.
    Unknown,
    /// The return address is at the end of the frame.
    Call,
    /// Saved registers are at the end of the frame.
    Registers,
    /// There is none: the stack ends.
    End,
}

/// Number of rules that are kept at a time; a power of two. As many functions are on the stacks that a
/// busy server shows in a day.
pub const KERNEL_RULES: u32 = 1 << 14;

/// What an [`OrcEntry`] says, for one address, in a word: so it is read and written whole.
///
/// From the lowest bit: two of the kind, one for each of the two facts below, fourteen of the length of
/// the frame and of where the frame pointer is saved, in words, and the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelRule(pub u64);

impl KernelRule {
    const BY_FRAME_POINTER: u64 = 1 << 2;
    const SAVES_FRAME_POINTER: u64 = 1 << 3;
    const WORDS_MASK: u64 = (1 << 14) - 1;
    const FRAME_SHIFT: u32 = 4;
    const BELOW_SHIFT: u32 = 18;
    const OFFSET_SHIFT: u32 = 32;

    /// That nothing is known of the address that is so far in the kernel's code.
    #[inline(always)]
    #[must_use]
    pub const fn unknown(offset: u32) -> Self {
        Self((offset as u64) << Self::OFFSET_SHIFT)
    }

    /// What the entry says of that address; unknown, if it is not plain.
    #[inline(always)]
    #[must_use]
    pub const fn new(offset: u32, entry: OrcEntry, format: u32) -> Self {
        let unknown = Self::unknown(offset);
        let kind = kind(entry.flags, format);
        if matches!(kind, RuleKind::End) {
            return Self(unknown.0 | kind as u64);
        }
        let Some(base) = base(entry, format) else {
            return unknown;
        };
        let Some(below) = saved(entry, format) else {
            return unknown;
        };
        if entry.frame_bytes < 0 || entry.frame_bytes % 8 != 0 {
            return unknown;
        }
        let frame = (entry.frame_bytes as u64 / 8) << Self::FRAME_SHIFT;
        Self(unknown.0 | kind as u64 | base | below | frame)
    }

    /// Where the rule for that address is kept.
    #[inline(always)]
    #[must_use]
    pub const fn slot(offset: u32) -> u32 {
        // The golden ratio, whose product's high bits depend on all bits of the address.
        offset.wrapping_mul(0x9e37_79b9) >> (32 - KERNEL_RULES.trailing_zeros())
    }

    /// How far the address it is for is in the kernel's code; 0 where there is no rule.
    #[inline(always)]
    #[must_use]
    pub const fn offset(self) -> u32 {
        (self.0 >> Self::OFFSET_SHIFT) as u32
    }

    /// What it says.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> RuleKind {
        match self.0 & 3 {
            0 => RuleKind::Unknown,
            1 => RuleKind::Call,
            2 => RuleKind::Registers,
            _ => RuleKind::End,
        }
    }

    /// Whether the frame is found from the frame pointer, not from the stack pointer.
    #[inline(always)]
    #[must_use]
    pub const fn is_by_frame_pointer(self) -> bool {
        self.0 & Self::BY_FRAME_POINTER != 0
    }

    /// From there to its end.
    #[inline(always)]
    #[must_use]
    pub const fn frame_bytes(self) -> u64 {
        (self.0 >> Self::FRAME_SHIFT & Self::WORDS_MASK) * 8
    }

    /// How far below the end of the frame the caller's frame pointer is saved, if it is.
    #[inline(always)]
    #[must_use]
    pub const fn frame_pointer_below(self) -> Option<u64> {
        if self.0 & Self::SAVES_FRAME_POINTER == 0 {
            return None;
        }
        Some((self.0 >> Self::BELOW_SHIFT & Self::WORDS_MASK) * 8)
    }
}

#[inline(always)]
const fn kind(flags: u16, format: u32) -> RuleKind {
    match (format > OrcFormat::WithEnd as u32, flags >> 8 & 7) {
        (true, 1) | (false, 4..) => RuleKind::End,
        (true, 2) | (false, 0) => RuleKind::Call,
        (true, 3) | (false, 1) => RuleKind::Registers,
        _ => RuleKind::Unknown,
    }
}

/// The bit for the register that the frame is found from.
#[inline(always)]
const fn base(entry: OrcEntry, format: u32) -> Option<u64> {
    let stack_pointer = if is_renumbered(format) { 3 } else { 5 };
    let register = entry.flags & 15;
    if register == stack_pointer {
        return Some(0);
    }
    if register == 4 {
        return Some(KernelRule::BY_FRAME_POINTER);
    }
    None
}

/// The bits for where the frame pointer is saved.
#[inline(always)]
const fn saved(entry: OrcEntry, format: u32) -> Option<u64> {
    let from_end_of_frame = if is_renumbered(format) { 8 } else { 1 };
    let way = entry.flags >> 4 & 15;
    if way == 0 {
        return Some(0);
    }
    if way != from_end_of_frame || entry.frame_pointer >= 0 || entry.frame_pointer % 8 != 0 {
        return None;
    }
    let words = entry.frame_pointer.unsigned_abs() as u64 / 8;
    Some(KernelRule::SAVES_FRAME_POINTER | words << KernelRule::BELOW_SHIFT)
}

#[inline(always)]
const fn is_renumbered(format: u32) -> bool {
    format >= OrcFormat::Renumbered as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY_STACK: u16 = 5;
    const BY_FRAME: u16 = 4;
    const SAVED: u16 = 1 << 4;
    const CALL: u16 = 2 << 8;
    const KINDS: u32 = OrcFormat::WithKinds as u32;

    fn entry(frame_bytes: i16, frame_pointer: i16, flags: u16) -> OrcEntry {
        OrcEntry {
            frame_bytes,
            frame_pointer,
            flags,
        }
    }

    #[test]
    fn a_rule_says_what_the_entry_does() {
        let offset = 0x89ab_cdef;
        let rule = KernelRule::new(
            offset,
            entry(32_760, -32_768, CALL | SAVED | BY_FRAME),
            KINDS,
        );
        assert_eq!(rule.offset(), offset);
        assert_eq!(rule.kind(), RuleKind::Call);
        assert!(rule.is_by_frame_pointer());
        assert_eq!(rule.frame_bytes(), 32_760);
        assert_eq!(rule.frame_pointer_below(), Some(32_768));
        let rule = KernelRule::new(offset, entry(8, 0, CALL | BY_STACK), KINDS);
        assert!(!rule.is_by_frame_pointer());
        assert_eq!((rule.frame_bytes(), rule.frame_pointer_below()), (8, None));
    }

    #[test]
    fn numbers_mean_what_they_do_in_the_kernels_release() {
        use RuleKind::{Call, End, Registers, Unknown};
        let kinds = |format: OrcFormat, stack_pointer: u16| {
            [0_u16, 1, 2, 3, 4].map(|kind| {
                let entry = entry(8, 0, kind << 8 | stack_pointer);
                KernelRule::new(1, entry, format as u32).kind()
            })
        };
        let new = [Unknown, End, Call, Registers, Unknown];
        assert_eq!(kinds(OrcFormat::WithKinds, 5), new);
        assert_eq!(kinds(OrcFormat::Renumbered, 3), new);
        assert_eq!(
            kinds(OrcFormat::WithEnd, 5),
            [Call, Registers, Unknown, Unknown, End]
        );
        // `kernel_clone` of 7.2 and 5.10, as read there.
        let (new, old) = (entry(112, -48, 0x283), entry(104, -48, 0x015));
        for (format, read) in [(OrcFormat::Renumbered, new), (OrcFormat::WithEnd, old)] {
            let rule = KernelRule::new(1, read, format as u32);
            assert_eq!((rule.kind(), rule.frame_pointer_below()), (Call, Some(48)));
        }
    }

    #[test]
    fn what_is_not_plain_is_not_known() {
        for odd in [
            entry(-8, 0, CALL | BY_STACK),
            entry(12, 0, CALL | BY_STACK),
            entry(8, -12, CALL | SAVED | BY_STACK),
            entry(8, 8, CALL | SAVED | BY_STACK),
            // Another register; another way of saving.
            entry(8, 0, CALL | 9),
            entry(8, -16, CALL | 4 << 4 | BY_STACK),
        ] {
            assert_eq!(
                KernelRule::new(7, odd, KINDS),
                KernelRule::unknown(7),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn slots_are_those_there_are() {
        for offset in [0, 1, 0x7fff_ffff, u32::MAX] {
            assert!(KernelRule::slot(offset) < KERNEL_RULES);
        }
        assert_ne!(KernelRule::slot(0x1000), KernelRule::slot(0x2000));
    }
}
