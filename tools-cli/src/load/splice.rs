//! Puts generated functions into a program, in the places of their placeholders.

use aya_obj::generated::{
    BPF_ALU64, BPF_CALL, BPF_DW, BPF_EXIT, BPF_IMM, BPF_JMP, BPF_K, BPF_LD, BPF_MOV,
    BPF_PSEUDO_CALL, bpf_insn,
};
use probes_common::{ENTRY_PLACEHOLDER, PREDICATE_PLACEHOLDER, VALUES_PLACEHOLDER};

use super::{Body, Error};
use crate::compile::Compiled;

/// A placeholder's body: a 64-bit constant, which takes two places, and the exit.
const PLACEHOLDER_LENGTH: usize = 3;

/// Replaces the placeholders in the program of `body`, which has its calls linked already.
pub(super) fn insert(
    program: &mut Vec<bpf_insn>,
    body: Body,
    compiled: &Compiled,
) -> Result<(), Error> {
    if let (Body::Entry(_), Some(entry)) = (body, &compiled.entry) {
        return replace(program, ENTRY_PLACEHOLDER, &entry.function.instructions);
    }
    let always = [set_result(1), exit()];
    let predicate = compiled.predicate.as_ref();
    let predicate = predicate.map_or(&always[..], |predicate| &predicate.instructions);
    replace(program, PREDICATE_PLACEHOLDER, predicate)?;
    replace(program, VALUES_PLACEHOLDER, &compiled.values.instructions)
}

/// Puts `function` where the function is that consists of the constant `placeholder`.
fn replace(
    program: &mut Vec<bpf_insn>,
    placeholder: u64,
    function: &[bpf_insn],
) -> Result<(), Error> {
    let start = program
        .windows(PLACEHOLDER_LENGTH)
        .position(|window| is_placeholder(window, placeholder))
        .ok_or_else(|| Error::Object(format!("it has no placeholder {placeholder:#x}")))?;
    let end = start + PLACEHOLDER_LENGTH;
    // Only calls lead from one function to another.
    let moved = |at: usize| {
        if at >= end {
            at - PLACEHOLDER_LENGTH + function.len()
        } else {
            at
        }
    };
    for at in (0..start).chain(end..program.len()) {
        if !is_call_of_function(&program[at]) {
            continue;
        }
        let target = usize::try_from(at as i64 + 1 + i64::from(program[at].imm));
        let target = target.map_err(|_| Error::Object("it calls what is not there".to_owned()))?;
        let distance = moved(target) as i64 - moved(at) as i64 - 1;
        program[at].imm = i32::try_from(distance)
            .map_err(|_| Error::Object("the program is too long".to_owned()))?;
    }
    program.splice(start..end, function.iter().copied());
    Ok(())
}

fn is_placeholder(window: &[bpf_insn], placeholder: u64) -> bool {
    let [low, high, last] = window else {
        return false;
    };
    let value = u64::from(low.imm.cast_unsigned()) | u64::from(high.imm.cast_unsigned()) << 32;
    u32::from(low.code) == BPF_LD | BPF_DW | BPF_IMM
        && value == placeholder
        && u32::from(last.code) == BPF_JMP | BPF_EXIT
}

fn is_call_of_function(instruction: &bpf_insn) -> bool {
    u32::from(instruction.code) == BPF_JMP | BPF_CALL
        && u32::from(instruction.src_reg()) == BPF_PSEUDO_CALL
}

fn set_result(value: i32) -> bpf_insn {
    bpf_insn {
        code: (BPF_ALU64 | BPF_MOV | BPF_K) as u8,
        imm: value,
        ..exit()
    }
}

fn exit() -> bpf_insn {
    bpf_insn {
        code: (BPF_JMP | BPF_EXIT) as u8,
        _bitfield_align_1: [],
        _bitfield_1: aya_obj::generated::bpf_insn::new_bitfield_1(0, 0),
        off: 0,
        imm: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constant, which takes two places.
    fn constant(value: u64) -> [bpf_insn; 2] {
        let low = bpf_insn {
            code: (BPF_LD | BPF_DW | BPF_IMM) as u8,
            imm: (value as u32).cast_signed(),
            ..exit()
        };
        let high = bpf_insn {
            code: 0,
            imm: ((value >> 32) as u32).cast_signed(),
            ..exit()
        };
        [low, high]
    }

    fn call(distance: i32) -> bpf_insn {
        let mut call = exit();
        call.code = (BPF_JMP | BPF_CALL) as u8;
        call.set_src_reg(BPF_PSEUDO_CALL as u8);
        call.imm = distance;
        call
    }

    #[test]
    fn calls_lead_to_the_same_functions_as_before() {
        let [low, high] = constant(7);
        // main calls the placeholder at 3, then what is behind it at 6, which calls the placeholder.
        let mut program = vec![
            call(2),
            call(4),
            exit(),
            low,
            high,
            exit(),
            call(-4),
            exit(),
        ];
        let function = [
            set_result(1),
            set_result(2),
            set_result(3),
            set_result(4),
            exit(),
        ];
        replace(&mut program, 7, &function).expect("it is there");
        let calls: Vec<_> = program
            .iter()
            .filter(|instruction| is_call_of_function(instruction))
            .map(|instruction| instruction.imm)
            .collect();
        assert_eq!(calls, [2, 6, -6]);
        assert_eq!(program.len(), 10);
        assert_eq!(program[3].imm, 1);
        assert!(replace(&mut program, 7, &function).is_err(), "it is gone");
    }
}
