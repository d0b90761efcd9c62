//! The kernel's helper functions (include/uapi/linux/bpf.h), and what they are asked.

use super::{Emitter, Error, Reg, Source, WORKING};
use crate::compile::{
    asm::{Alu, Jump},
    ir::Question,
    site::Space,
};

const GET_SMP_PROCESSOR_ID: u32 = 8;
const GET_CURRENT_PID_TGID: u32 = 14;
const GET_CURRENT_UID_GID: u32 = 15;
const GET_CURRENT_COMM: u32 = 16;
const GET_CURRENT_TASK: u32 = 35;
/// 5.5, as the next three.
const PROBE_READ_USER: u32 = 112;
const PROBE_READ_KERNEL: u32 = 113;
const PROBE_READ_USER_STR: u32 = 114;
const PROBE_READ_KERNEL_STR: u32 = 115;
/// 5.7.
const GET_NS_CURRENT_PID_TGID: u32 = 120;

/// `TASK_COMM_LEN`
pub(super) const COMM_BYTES: i16 = 16;

impl Space {
    pub(super) const fn read(self) -> u32 {
        match self {
            Self::Kernel => PROBE_READ_KERNEL,
            Self::User => PROBE_READ_USER,
        }
    }

    pub(super) const fn read_text(self) -> u32 {
        match self {
            Self::Kernel => PROBE_READ_KERNEL_STR,
            Self::User => PROBE_READ_USER_STR,
        }
    }
}

impl Emitter<'_> {
    /// Calls a helper that returns 0 when all went well.
    pub(super) fn call_checked(&mut self, helper: u32) {
        self.code.call(helper);
        self.code
            .jump_if(Jump::Ne, Reg::R0, Source::Imm(0), self.fault);
    }

    /// Makes a register point to a place on the stack.
    pub(super) fn point_to_stack(&mut self, dst: Reg, offset: i16) {
        self.code.mov(dst, Reg::R10);
        self.code.alu(Alu::Add, dst, Source::Imm(offset.into()));
    }

    /// Puts the command's name where register 1 points.
    pub(super) fn ask_comm(&mut self) {
        self.code
            .alu(Alu::Mov, Reg::R2, Source::Imm(COMM_BYTES.into()));
        self.call_checked(GET_CURRENT_COMM);
    }

    pub(super) fn ask(&mut self, question: Question, dst: Reg) -> Result<(), Error> {
        match question {
            Question::Uid => self.half_of(GET_CURRENT_UID_GID, false),
            Question::Gid => self.half_of(GET_CURRENT_UID_GID, true),
            Question::Pid | Question::Tgid => {
                let is_tgid = question == Question::Tgid;
                match self.options.pid_namespace {
                    Some(namespace) => {
                        self.id_in_namespace(namespace.device, namespace.inode, is_tgid)?;
                    }
                    None => self.half_of(GET_CURRENT_PID_TGID, is_tgid),
                }
            }
            Question::Cpu => self.half_of(GET_SMP_PROCESSOR_ID, false),
            Question::Task => self.code.call(GET_CURRENT_TASK),
        }
        self.code.mov(dst, Reg::R0);
        Ok(())
    }

    fn half_of(&mut self, helper: u32, is_upper: bool) {
        self.code.call(helper);
        if is_upper {
            self.code.alu(Alu::Rsh, Reg::R0, Source::Imm(32));
        } else {
            self.code.zero_extend_word(Reg::R0);
        }
    }

    /// `struct bpf_pidns_info`: the thread's number, then the process's.
    fn id_in_namespace(&mut self, device: u64, inode: u64, is_tgid: bool) -> Result<(), Error> {
        let at = self.stack.take(8, self.code.span)?;
        self.code.constant(Reg::R1, device.cast_signed());
        self.code.constant(Reg::R2, inode.cast_signed());
        self.point_to_stack(Reg::R3, at);
        self.code.alu(Alu::Mov, Reg::R4, Source::Imm(8));
        self.call_checked(GET_NS_CURRENT_PID_TGID);
        let offset = if is_tgid { at + 4 } else { at };
        self.code.load(WORKING[0], Reg::R10, offset, 4);
        self.stack.give_back(8);
        Ok(())
    }
}
