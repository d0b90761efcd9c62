//! Functions that have been generated.

use std::fmt;

use aya_obj::generated::bpf_insn;

use super::layout::Layout;
use crate::{snippet::escape, spec::expr::Span};

/// Instructions as the kernel reads them (`struct bpf_insn`, include/uapi/linux/bpf.h).
#[must_use]
pub fn bytes_of(instructions: &[bpf_insn]) -> Vec<u8> {
    let encode = |instruction: &bpf_insn| {
        let [o0, o1] = instruction.off.to_le_bytes();
        let [i0, i1, i2, i3] = instruction.imm.to_le_bytes();
        let registers = instruction.src_reg() << 4 | instruction.dst_reg();
        [instruction.code, registers, o0, o1, i0, i1, i2, i3]
    };
    instructions.iter().flat_map(encode).collect()
}

/// What a trace probe has been compiled to.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// `predicate(r1 = context, r2 = saved entry values) -> r0`: [`probes_common::PASSED`] for events
    /// that count, [`probes_common::UNREADABLE`] if that can't be told, 0 for others. None: all count.
    pub predicate: Option<CompiledFn>,
    /// `values(r1 = context, r2 = where to put `layout.bytes` bytes, r3 = saved entry values) ->
    /// r0`: a bit for each value that could not be read.
    pub values: CompiledFn,
    /// How the values lie.
    pub layout: Layout,
    /// What has to be saved when the function is entered; `None` if nothing. If there is something,
    /// the other functions may only be called with a pointer to it.
    pub entry: Option<Entry>,
}

/// What a return probe needs from the function's entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `entry_values(r1 = context, r2 = where to put `bytes` bytes) -> r0 = 0`; leaves the time to
    /// the caller.
    pub function: CompiledFn,
    /// How much of a [`Saved`](probes_common::Saved) is used.
    pub bytes: u32,
}

/// A function for the BPF program: it calls helpers and nothing else, jumps forward only, and has
/// no relocations.
#[derive(Clone, Debug)]
pub struct CompiledFn {
    /// Its instructions.
    pub instructions: Vec<bpf_insn>,
    /// For each instruction the place in the probe's text of the expression it was made for.
    pub spans: Vec<Span>,
    /// How much of the stack it uses.
    pub stack_bytes: u32,
}

impl CompiledFn {
    /// The instructions as the kernel reads them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        bytes_of(&self.instructions)
    }

    /// The instructions for people to read, each with the part of `text`, the probe's, that it was
    /// made for where that changes.
    #[must_use]
    pub fn listing(&self, text: &str) -> impl fmt::Display {
        let lines = rbpf::disassembler::to_insn_vec(&self.bytes());
        let mut spans = self.spans.iter();
        let mut listed: Vec<(String, Span)> = Vec::with_capacity(lines.len());
        for line in lines {
            let span = spans.next().copied().unwrap_or_default();
            // It takes two places in the program.
            if line.opc == rbpf::ebpf::LD_DW_IMM {
                spans.next();
            }
            listed.push((line.desc, span));
        }
        let text = text.to_owned();
        fmt::from_fn(move |f| {
            let mut before = None;
            for (at, (line, span)) in listed.iter().enumerate() {
                if before == Some(*span) || span.of(&text).is_empty() {
                    writeln!(f, "{at:5}: {line}")?;
                } else {
                    writeln!(f, "{at:5}: {line:<36} ; {}", escape(span.of(&text)))?;
                }
                before = Some(*span);
            }
            Ok(())
        })
    }
}
