//! Types that the BPF programs and the user side must agree on, byte for byte.
//!
//! Everything here is `repr(C)`, has no padding that is read, and is the same on both sides of the
//! kernel boundary. The user side fills a [`Settings`], the loader writes it over the read-only
//! global of the object file, and the verifier then knows each value and removes the branches that
//! are not taken.
#![no_std]

mod unwind;

pub use unwind::{KERNEL_RULES, KernelRule, KernelTables, OrcEntry, OrcFormat, RuleKind};

/// Length of a task's command name in bytes, with the final NUL (`TASK_COMM_LEN`,
/// `include/linux/sched.h`).
pub const COMM_BYTES: usize = 16;

/// The bits of a cookie that are the number of the probe that fired.
pub const COOKIE_PROBE: u64 = 0xffff_ffff;

/// The bit of a cookie that says: at the first instruction of a user function.
pub const COOKIE_FUNCTION_START: u64 = 1 << 32;

/// The cookie of a program that is for one probe only.
///
/// The loader looks for this 64-bit constant in the instructions of a program and writes the
/// cookie over it, so that a program per probe needs no map of its own.
pub const COOKIE_PLACEHOLDER: u64 = 0x7072_6f62_6569_6478;

/// What one run of a tool asks of the BPF programs; constant while they are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Device of the PID namespace in which [`Settings::tid`] and the PIDs are meant, as the
    /// kernel encodes it; used when [`Settings::pid_namespace_inode`] is not 0.
    pub pid_namespace_device: u64,
    /// Inode of that namespace; 0 for the initial one, where no translation is needed.
    pub pid_namespace_inode: u64,
    /// Text that the command name must contain.
    pub comm: CommFilter,
    /// 1 if the attach cookie tells which probe fired, 0 if the program counts for one probe only.
    pub has_cookie: u32,
    /// 1 if the program may be preempted by itself on the same CPU, as under uprobes, so that
    /// per-CPU counters need an atomic add to be exact.
    pub preemptible: u32,
    /// 1 if only processes in the `PIDS` map (and `FOLLOWED`, with forks followed) are counted.
    pub filter_pids: u32,
    /// 1 if children of counted processes are counted too.
    pub follow_forks: u32,
    /// 1 if only tasks in or below the cgroup in the `CGROUP` map are counted.
    pub filter_cgroup: u32,
    /// Only this thread is counted; 0 for all.
    pub tid: u32,
    /// 1 if only tasks of the user [`Settings::uid`] are counted.
    pub filter_uid: u32,
    /// Real user ID, as the initial user namespace counts them.
    pub uid: u32,
    /// 1 if only events on the CPU [`Settings::cpu`] are counted.
    pub filter_cpu: u32,
    /// Number of a CPU.
    pub cpu: u32,
    /// Offset in bytes of `child_pid` in the record of `sched:sched_process_fork`.
    pub fork_child_offset: u32,
    /// Offset in bytes of `pid` in the record of `sched:sched_process_free`.
    pub free_pid_offset: u32,
    /// 1 if the kernel's part of a stack is wanted.
    pub kernel_stack: u32,
    /// 1 if the program's part of a stack is wanted.
    pub user_stack: u32,
    /// Room for each part in bytes: 8 for each frame.
    pub stack_bytes: u32,
    /// 1 if stacks are counted for each process on its own.
    pub by_process: u32,
    /// 1 if stacks are counted for each command name on its own.
    pub by_comm: u32,
    /// 1 if the context is a `struct pt_regs` of a kprobe or uprobe.
    pub has_registers: u32,
    /// 1 if the program's part of stacks is walked by our program, not by the kernel.
    pub walk_ourselves: u32,
    /// Offset in bytes of the frame pointer in a `struct pt_regs`.
    pub frame_pointer_offset: u32,
    /// Size of the values that the generated function writes.
    pub value_bytes: u32,
    /// Events of this process, as the caller's PID namespace numbers it, are left out; 0 for none.
    pub hidden_tgid: u32,
    /// Bytes in the ring buffer from which on somebody is to be woken to read them.
    pub wake_bytes: u32,
    /// Offset in bytes of the stack pointer in a `struct pt_regs`; 0 for a return probe that needs
    /// nothing from its function's entry.
    pub stack_pointer_offset: u32,
    /// Always 0, which the verifier knows and the compiler does not.
    pub never: u32,
    /// Offset in bytes of `self_exec_id` in a `struct task_struct`; 0 if it is not wanted or not known.
    pub exec_id_offset: u32,
    /// What events are counted by: a [`By`].
    pub by: u32,
    /// 1 if the context is a tracepoint's record.
    pub has_record: u32,
    /// 0 if programs may not read the kernel's memory; stacks are walked by the kernel alone then.
    pub reads_kernel: u32,
    /// 1 if the kernel's part of stacks can be foreseen at some of the probes.
    pub foresees_kernel: u32,
}

/// What events are counted by, beside their probes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The process, as the caller's PID namespace numbers it.
    Process = 0,
    /// The thread, as the caller's PID namespace numbers it.
    Thread = 1,
    /// The CPU.
    Cpu = 2,
    /// The command name.
    Comm = 3,
}

/// What events are counted by: a key of the map `GROUPS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// The command name, if they are counted by it.
    pub comm: [u8; COMM_BYTES],
    /// The probe's number.
    pub probe: u32,
    /// The number of process, thread or CPU; 0 for a process or thread that the caller's PID
    /// namespace does not have.
    pub id: u32,
}

/// The events of a group.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// The command name at the first one.
    pub comm: [u8; COMM_BYTES],
}

/// What stacks are told apart by: a key of the map `STACKS`.
///
/// The frames are in it as 128 bits of hash; that two different stacks of a run have the same is
/// less likely than that the memory they are kept in fails.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackKey {
    /// Hash of all frames and of how many of them are the kernel's.
    pub frames: [u64; 2],
    /// The command name, if stacks are counted by it.
    pub comm: [u8; COMM_BYTES],
    /// The process as the caller's PID namespace numbers it, if stacks are counted by it; 0 for
    /// one that is not there.
    pub tgid: u32,
    /// How many programs the process has run before, if stacks are counted by process: the same
    /// addresses are other functions in another program.
    pub exec_id: u32,
}

/// A stack that was not seen before: what a record of the map `FRAMES` begins with. The frames
/// follow, 8 bytes each, innermost first, those of the program before those of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StackHeader {
    /// Its key in the map `STACKS`.
    pub key: StackKey,
    /// When it was seen first, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Length of the kernel's part in bytes.
    pub kernel_bytes: u32,
    /// Length of the program's part in bytes.
    pub user_bytes: u32,
}

/// What a record of the map `EVENTS` begins with. The values that the generated function has written
/// follow, then room for the kernel's part of the stack and for the program's, each of
/// [`Settings::stack_bytes`] if it is wanted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventHeader {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The number of the probe that fired.
    pub probe: u32,
    /// The CPU it happened on.
    pub cpu: u32,
    /// The process as the caller's PID namespace numbers it; 0 for one that is not there.
    pub tgid: u32,
    /// The thread, likewise.
    pub tid: u32,
    /// The thread's name.
    pub comm: [u8; COMM_BYTES],
    /// Length of the kernel's part of the stack in bytes.
    pub kernel_bytes: u32,
    /// Length of the program's part in bytes.
    pub user_bytes: u32,
}

/// What the generated function `predicate` returns for an event that passes.
pub const PASSED: u64 = 1;

/// The same for an event of which that can't be told: memory that it needs is not there.
pub const UNREADABLE: u64 = 2;

/// The 64-bit constant that the placeholder of the generated function `predicate` consists of.
pub const PREDICATE_PLACEHOLDER: u64 = 0x7072_6564_6963_6174;

/// The same for the generated function `values`.
pub const VALUES_PLACEHOLDER: u64 = 0x7661_6c75_6573_2121;

/// The same for the generated function `entry_values`.
pub const ENTRY_PLACEHOLDER: u64 = 0x656e_7472_7921_2121;

/// The most values that are saved at a function's entry for its return.
pub const SAVED_VALUES: usize = 16;

/// What is saved at a function's entry for its return: a value of the map `SAVED`. The generated
/// functions write and read it where it lies.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The time of the entry, in nanoseconds of `CLOCK_MONOTONIC`; once the call returns, the
    /// nanoseconds since.
    pub time_ns: u64,
    /// A bit for each value that could not be read, the lowest for the first.
    pub unreadable: u64,
    /// The values, in 64 bits each.
    pub values: [u64; SAVED_VALUES],
}

/// Buffers on each CPU for programs that preempt each other; number 0 is for those that can't.
pub const STACK_BUFFERS: u32 = 17;

/// A text of up to 15 bytes to be found anywhere in a command name.
///
/// Held as two little-endian words and a mask of the bytes that count, so that the search is
/// sixteen shifts and compares without a branch.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommFilter {
    /// The text, first byte lowest, rest 0.
    pub text: [u64; 2],
    /// 0xff for each byte of the text, rest 0.
    pub mask: [u64; 2],
}

impl CommFilter {
    /// A filter for names that contain `text`; `None` if it is too long for any name to contain.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.len() >= COMM_BYTES {
            return None;
        }
        let mut filter = Self::default();
        for (at, &byte) in text.iter().enumerate() {
            filter.text[at / 8] |= u64::from(byte) << (at % 8 * 8);
            filter.mask[at / 8] |= 0xff << (at % 8 * 8);
        }
        Some(filter)
    }

    /// Whether every name passes.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.mask[0] == 0
    }

    /// Whether `comm`, a name as two little-endian words, contains the text.
    #[inline(always)]
    #[must_use]
    pub fn matches(&self, comm: [u64; 2]) -> bool {
        let [mut low, mut high] = comm;
        let mut found = false;
        let mut at = 0;
        while at < COMM_BYTES {
            let differs =
                ((low ^ self.text[0]) & self.mask[0]) | ((high ^ self.text[1]) & self.mask[1]);
            found |= differs == 0;
            low = (low >> 8) | (high << 56);
            high >>= 8;
            at += 1;
        }
        found
    }
}

/// How many losses of each kind, on each CPU, are told of in the log one by one.
pub const TOLD_LOSSES: u64 = 16;

/// The number of a probe in the log, where it is not known.
pub const NO_PROBE: u32 = u32::MAX;

/// What can go wrong on the kernel side; each has a per-CPU counter in the map `LOSSES`.
///
/// In the log there is a line of four numbers for each: the kind, the probe's number (or
/// [`NO_PROBE`]), the thread as the caller's PID namespace numbers it (or 0), and a detail.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A child of a followed process had no room in the table and is not counted. The detail is its
    /// number in the initial PID namespace.
    NotFollowed = 0,
    /// A stack was not counted: the table of stacks was full.
    StackTable = 1,
    /// A stack was not counted: the buffer that takes new stacks to us was full.
    StackFrames = 2,
    /// A stack was not counted: too many tasks were being looked at on one CPU.
    StackBuffers = 3,
    /// An event was not shown: the buffer was full.
    Event = 4,
    /// A value could not be read because its memory was not there. The detail has a bit for each such
    /// value of the message.
    Fault = 5,
    /// A return was not shown: what was saved at the function's entry is not there.
    Entry = 6,
    /// An event was not counted: the table of groups was full.
    Groups = 7,
    /// An event was not shown: its condition needs memory that was not there.
    Condition = 8,
}

impl Loss {
    /// All kinds, in order.
    pub const ALL: [Self; 9] = [
        Self::NotFollowed,
        Self::StackTable,
        Self::StackFrames,
        Self::StackBuffers,
        Self::Event,
        Self::Fault,
        Self::Entry,
        Self::Groups,
        Self::Condition,
    ];
    /// Number of kinds.
    pub const COUNT: u32 = Self::ALL.len() as u32;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(comm: &str) -> [u64; 2] {
        let mut bytes = [0; COMM_BYTES];
        bytes[..comm.len()].copy_from_slice(comm.as_bytes());
        let (low, high) = bytes.split_at(8);
        [low, high].map(|half| u64::from_le_bytes(half.try_into().expect("eight bytes")))
    }

    #[test]
    fn comm_filter_finds_the_text_at_any_place_and_nowhere_else() {
        for (text, comm, expected) in [
            ("", "anything", true),
            ("main", "main", true),
            ("main", "domain-1", true),
            ("main", "mai", false),
            ("main", "maim", false),
            ("kworker/0:1", "kworker/0:1", true),
            ("kworker/0:1", "xkworker/0:1", true),
            ("kworker/0:1", "kworker/0:2", false),
            ("abcdefghijklmno", "abcdefghijklmno", true),
            ("o", "abcdefghijklmno", true),
            ("op", "abcdefghijklmno", false),
        ] {
            let filter = CommFilter::new(text.as_bytes()).expect("short enough");
            assert_eq!(filter.matches(words(comm)), expected, "{text} in {comm}");
        }
    }

    #[test]
    fn comm_filter_refuses_what_no_name_can_contain() {
        assert_eq!(CommFilter::new(&[b'x'; COMM_BYTES]), None);
    }
}
