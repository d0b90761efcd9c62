//! Runs generated functions in an interpreter, over memory of a kernel and a process that are made
//! up.

use std::{cell::RefCell, collections::BTreeMap, ops::Range, slice};

use probes_common::PASSED;

use crate::compile::{Compiled, CompiledFn, Piece, SlotKind, layout::Slot};

/// What helpers answer.
pub(super) const UID: u64 = 1001;
pub(super) const GID: u64 = 2002;
pub(super) const TID: u64 = 4322;
pub(super) const TGID: u64 = 4321;
pub(super) const CPU: u64 = 3;
pub(super) const TASK: u64 = 0xffff_8880_0000_9000;
pub(super) const NOW_NS: u64 = 5_000_000_123;
pub(super) const COMM: &[u8; 16] = b"postgres\0\0\0\0\0\0\0\0";

thread_local! {
    /// The helpers are functions without environment.
    static MEMORY: RefCell<Memory> = RefCell::default();
}

#[derive(Clone, Debug, Default)]
struct Memory {
    kernel: BTreeMap<u64, Vec<u8>>,
    user: BTreeMap<u64, Vec<u8>>,
    /// The context, which is at a true address.
    context: Range<u64>,
}

/// A kernel with one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    memory: Memory,
    context: Vec<u8>,
    saved: Vec<u64>,
}

/// A value that a function has put out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Number(i64),
    Text(String),
    Fault,
}

impl Machine {
    /// One with a context of that many bytes.
    pub(super) fn new(context_bytes: usize) -> Self {
        Self {
            context: vec![0; context_bytes],
            ..Self::default()
        }
    }

    pub(super) fn kernel(mut self, address: u64, bytes: &[u8]) -> Self {
        self.memory.kernel.insert(address, bytes.to_vec());
        self
    }

    pub(super) fn user(mut self, address: u64, bytes: &[u8]) -> Self {
        self.memory.user.insert(address, bytes.to_vec());
        self
    }

    pub(super) fn context(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.context[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Sets the registers of a function's arguments.
    pub(super) fn args(mut self, args: &[u64]) -> Self {
        for (offset, value) in crate::compile::abi::FUNCTION_ARGUMENTS.iter().zip(args) {
            self = self.context(*offset as usize, &value.to_le_bytes());
        }
        self
    }

    pub(super) fn saved(mut self, values: &[u64]) -> Self {
        self.saved = values.to_vec();
        self
    }

    pub(super) fn predicate(&mut self, compiled: &Compiled) -> bool {
        self.verdict(compiled) == PASSED
    }

    /// What the predicate returns.
    pub(super) fn verdict(&mut self, compiled: &Compiled) -> u64 {
        let predicate = compiled.predicate.as_ref().expect("there is a predicate");
        let saved = self.saved.clone();
        self.run(predicate, saved.as_ptr() as u64, 0, &[range_of(&saved)])
    }

    pub(super) fn values(&mut self, compiled: &Compiled) -> Vec<Output> {
        let layout = &compiled.layout;
        // Rubbish, as a ring buffer has it.
        let mut output = vec![0xa5a5_a5a5_a5a5_a5a5_u64; layout.bytes as usize / 8];
        let saved = self.saved.clone();
        let ranges = [range_of(&output), range_of(&saved)];
        let (to, from) = (output.as_mut_ptr() as u64, saved.as_ptr() as u64);
        let faults = self.run(&compiled.values, to, from, &ranges);
        let bytes: Vec<u8> = output.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(faults.to_le_bytes(), bytes[..8]);
        let slots = layout.slots.iter().enumerate();
        slots
            .map(|(number, slot)| read(&bytes, slot, faults & (1 << number) != 0))
            .collect()
    }

    /// The words that the entry function saves behind the time: which values could not be read, and
    /// the values.
    pub(super) fn entry_values(&mut self, compiled: &Compiled) -> Vec<u64> {
        let entry = compiled.entry.as_ref().expect("something is saved");
        let mut output = vec![0_u64; entry.bytes as usize / 8];
        let ranges = [range_of(&output)];
        let to = output.as_mut_ptr() as u64;
        assert_eq!(self.run(&entry.function, to, 0, &ranges), 0);
        output[1..].to_vec()
    }

    /// The message as text, for tests of the default.
    pub(super) fn message(&mut self, compiled: &Compiled) -> String {
        let values = self.values(compiled);
        let pieces = compiled.layout.pieces.iter();
        pieces
            .map(|piece| match piece {
                Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Piece::Value { slot, .. } => match &values[*slot] {
                    Output::Number(number) => {
                        let slot = &compiled.layout.slots[*slot];
                        let mut constants = slot.constants.iter();
                        match constants.find(|(_, value)| value == number) {
                            Some((name, _)) => name.clone(),
                            None if slot.kind == SlotKind::Pointer => format!("{number:#x}"),
                            None => number.to_string(),
                        }
                    }
                    Output::Text(text) => format!("{text:?}"),
                    Output::Fault => "?".to_owned(),
                },
            })
            .collect()
    }

    fn run(&mut self, function: &CompiledFn, r2: u64, r3: u64, ranges: &[Range<u64>]) -> u64 {
        let mut program = Vec::new();
        for (register, value) in [(2, r2), (3, r3)] {
            let [low, high] = [value as u32, (value >> 32) as u32].map(u32::to_le_bytes);
            program.extend([0x18, register, 0, 0]);
            program.extend(low);
            program.extend([0; 4]);
            program.extend(high);
        }
        program.extend(for_interpreter(function));
        self.memory.context = range_of(&self.context);
        MEMORY.set(self.memory.clone());
        let mut vm = rbpf::EbpfVmRaw::new(Some(&program)).expect("it is well-formed");
        for (number, helper) in HELPERS {
            vm.register_helper(number, helper).expect("it can be");
        }
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            vm.register_allowed_memory(range.clone());
        }
        vm.execute_program(&mut self.context)
            .unwrap_or_else(|error| panic!("{error}\n{}", function.listing("")))
    }
}

/// The instructions with those replaced that rbpf 0.4 does not run as the kernel does: jumps that
/// compare with a negative constant (it takes them for 32 bits), and the negation of the smallest
/// number (it panics).
fn for_interpreter(function: &CompiledFn) -> Vec<u8> {
    const SCRATCH: u8 = 9;

    let instructions: Vec<[u8; 8]> = function
        .bytes()
        .chunks_exact(8)
        .map(|bytes| bytes.try_into().expect("eight bytes"))
        .collect();
    let replace = |&[code, registers, o0, o1, i0, i1, i2, i3]: &[u8; 8]| {
        let is_negative = i3 & 0x80 != 0;
        let has_constant = code & 0x0f == 0x05 && !matches!(code, 0x05 | 0x85 | 0x95);
        if code == 0x87 {
            let complement = [0xa7, registers, 0, 0, 0xff, 0xff, 0xff, 0xff];
            vec![complement, [0x07, registers, 0, 0, 1, 0, 0, 0]]
        } else if has_constant && is_negative {
            let set = [0xb7, SCRATCH, 0, 0, i0, i1, i2, i3];
            let jump = [code | 0x08, registers | SCRATCH << 4, o0, o1, 0, 0, 0, 0];
            vec![set, jump]
        } else {
            vec![[code, registers, o0, o1, i0, i1, i2, i3]]
        }
    };
    let replaced: Vec<Vec<[u8; 8]>> = instructions.iter().map(replace).collect();
    let starts: Vec<usize> = replaced
        .iter()
        .scan(0, |next, group| {
            Some(std::mem::replace(next, *next + group.len()))
        })
        .collect();
    let mut bytes = Vec::new();
    for (at, mut group) in replaced.into_iter().enumerate() {
        let length = group.len();
        let jump = group.last_mut().expect("nothing is left out");
        let is_jump = matches!(jump[0] & 7, 5 | 6) && !matches!(jump[0], 0x85 | 0x95);
        if is_jump {
            let off = i16::from_le_bytes([jump[2], jump[3]]);
            let target = starts[at + 1 + off as usize];
            let off = (target - starts[at] - length) as i16;
            [jump[2], jump[3]] = off.to_le_bytes();
        }
        bytes.extend(group.concat());
    }
    bytes
}

fn range_of<T>(memory: &[T]) -> Range<u64> {
    let range = memory.as_ptr_range();
    range.start as u64..range.end as u64
}

fn read(bytes: &[u8], slot: &Slot, is_fault: bool) -> Output {
    let at = slot.offset as usize;
    let word = |at: usize| {
        let word: [u8; 8] = bytes[at..at + 8].try_into().expect("eight bytes");
        i64::from_le_bytes(word)
    };
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0).expect("it ends");
        Output::Text(String::from_utf8_lossy(&bytes[..end]).into_owned())
    };
    match slot.kind {
        _ if is_fault => Output::Fault,
        SlotKind::Integer { .. } | SlotKind::Pointer => Output::Number(word(at)),
        SlotKind::Comm => text(&bytes[at..at + 16]),
        SlotKind::Text { .. } => {
            let length = word(at + 8) as u32 as usize;
            text(&bytes[at + 12..at + 12 + length])
        }
    }
}

impl Memory {
    fn byte(&self, address: u64, is_user: bool) -> Option<u8> {
        let regions = if is_user { &self.user } else { &self.kernel };
        if let Some((start, bytes)) = regions.range(..=address).next_back()
            && let Some(&byte) = bytes.get((address - start) as usize)
        {
            return Some(byte);
        }
        if !is_user && self.context.contains(&address) {
            // SAFETY: the context is alive while the function runs.
            return Some(unsafe { *(address as *const u8) });
        }
        None
    }
}

fn copy(to: u64, bytes: &[u8]) {
    // SAFETY: the interpreter's stack or the output, as the generated functions pass them.
    let to = unsafe { slice::from_raw_parts_mut(to as *mut u8, bytes.len()) };
    to.copy_from_slice(bytes);
}

const FAULT: u64 = -14_i64 as u64;

fn probe_read(to: u64, count: u64, from: u64, is_user: bool) -> u64 {
    let bytes: Option<Vec<u8>> = MEMORY.with_borrow(|memory| {
        (0..count)
            .map(|at| memory.byte(from.wrapping_add(at), is_user))
            .collect()
    });
    // As the kernel does: nothing old is left where the program might look.
    copy(
        to,
        &bytes.clone().unwrap_or_else(|| vec![0; count as usize]),
    );
    bytes.map_or(FAULT, |_| 0)
}

fn probe_read_text(to: u64, count: u64, from: u64, is_user: bool) -> u64 {
    let bytes: Option<Vec<u8>> = MEMORY.with_borrow(|memory| {
        let mut bytes = Vec::new();
        for at in 0..count {
            let byte = memory.byte(from.wrapping_add(at), is_user)?;
            bytes.push(byte);
            if byte == 0 {
                return Some(bytes);
            }
        }
        *bytes.last_mut()? = 0;
        Some(bytes)
    });
    match bytes {
        Some(bytes) => {
            copy(to, &bytes);
            bytes.len() as u64
        }
        None => {
            copy(to, &vec![0; count as usize]);
            FAULT
        }
    }
}

fn current_comm(to: u64, count: u64, _: u64, _: u64, _: u64) -> u64 {
    copy(to, &COMM[..count as usize]);
    0
}

fn current_in_namespace(device: u64, inode: u64, to: u64, count: u64, _: u64) -> u64 {
    assert_eq!(count, 8);
    if (device, inode) != (4, 0xf000_0001) {
        return FAULT;
    }
    copy(to, &[12, 0, 0, 0, 11, 0, 0, 0]);
    0
}

const HELPERS: [(u32, rbpf::ebpf::Helper); 12] = [
    (5, |_, _, _, _, _| NOW_NS),
    (8, |_, _, _, _, _| CPU),
    (14, |_, _, _, _, _| TGID << 32 | TID),
    (15, |_, _, _, _, _| GID << 32 | UID),
    (16, current_comm),
    (35, |_, _, _, _, _| TASK),
    (112, |to, count, from, _, _| {
        probe_read(to, count, from, true)
    }),
    (113, |to, count, from, _, _| {
        probe_read(to, count, from, false)
    }),
    (114, |to, count, from, _, _| {
        probe_read_text(to, count, from, true)
    }),
    (115, |to, count, from, _, _| {
        probe_read_text(to, count, from, false)
    }),
    (120, current_in_namespace),
    (130, |_, _, _, _, _| 0),
];
