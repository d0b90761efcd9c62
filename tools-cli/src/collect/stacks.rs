//! Stacks and how often each was seen.

use std::{
    collections::HashMap,
    mem::offset_of,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use aya::maps::{HashMap as CountMap, Map, MapData, MapError, RingBuf};
use probes_common::{COMM_BYTES, StackHeader, StackKey};

use super::{
    Error,
    location::{Code, Location},
    processes::Processes,
};
use crate::{
    bytes::{addresses, array_at},
    kernel::ring_positions::RingPositions,
    load::{MapName, Maps},
};

/// A key as the kernel has it.
type KeyBytes = [u8; size_of::<StackKey>()];

/// A stack, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    /// The process; 0 if stacks are not told apart by it.
    pub pid: u32,
    /// The command name; zeros if stacks are not told apart by it.
    pub comm: [u8; COMM_BYTES],
    /// The frames of the kernel, innermost first.
    pub kernel: Arc<[Location]>,
    /// Those of the program.
    pub user: Arc<[Location]>,
    /// The addresses of all of them, if stacks are told apart by them.
    pub addresses: Arc<[u64]>,
}

/// A stack and how often it was seen.
pub type Counted<'a> = (&'a Stack, u64);

/// What stacks are told apart by, beside where their code is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distinction {
    /// Their processes.
    pub by_process: bool,
    /// The addresses that the code has in them.
    pub by_address: bool,
}

/// The stacks of a run.
pub struct Stacks {
    records: RingBuf<MapData>,
    positions: RingPositions,
    counts: CountMap<MapData, KeyBytes, u64>,
    /// By the kernel's key: the number of the stack, and what was seen of its count.
    keys: HashMap<KeyBytes, (usize, u64)>,
    stacks: Vec<Stack>,
    numbers: HashMap<Stack, usize>,
    processes: Option<Processes>,
    distinction: Distinction,
    code: Code,
}

impl Stacks {
    /// Opens the table. With `processes`, the program's part is located while the process lives.
    ///
    /// # Errors
    ///
    /// When the maps can't be opened.
    pub fn open(
        maps: &Maps,
        processes: Option<Processes>,
        distinction: Distinction,
    ) -> Result<Self, Error> {
        let records = maps.duplicate(MapName::Frames)?;
        let positions = RingPositions::map(records.as_fd())?;
        let records = MapData::from_fd(records)?;
        let counts = MapData::from_fd(maps.duplicate(MapName::Stacks)?)?;
        Ok(Self {
            records: RingBuf::try_from(Map::RingBuf(records))?,
            positions,
            counts: CountMap::try_from(Map::HashMap(counts))?,
            keys: HashMap::new(),
            stacks: Vec::new(),
            numbers: HashMap::new(),
            processes,
            distinction,
            code: Code::default(),
        })
    }

    /// Takes in the stacks that are new, and finds out where their code is while that can be known.
    pub fn drain(&mut self) {
        let mut new = Vec::new();
        let produced = self.positions.produced();
        while let Some(record) = self.records.next() {
            new.extend(Record::parse(&record));
        }
        if let Some(processes) = &mut self.processes {
            processes.update();
        }
        for record in new {
            let stack = self.locate(&record);
            let number = self.number(stack);
            self.keys.entry(record.key).or_insert((number, 0));
        }
        // Not while one is still being written, of a process that may have exited since.
        if self.positions.consumed() >= produced
            && let Some(processes) = &mut self.processes
        {
            processes.forget_exited();
        }
    }

    /// Each stack and how often it was seen since the last call, not those that were not; and what
    /// their locations refer to.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us read the counts.
    pub fn take(&mut self) -> Result<(Vec<Counted<'_>>, &Code), Error> {
        self.drain();
        let mut sums = vec![0_u64; self.stacks.len()];
        for (key, (number, seen)) in &mut self.keys {
            let count = match self.counts.get(key, 0) {
                Ok(count) => count,
                // The table was full.
                Err(MapError::KeyNotFound) => 0,
                Err(error) => return Err(error.into()),
            };
            sums[*number] += count.wrapping_sub(*seen);
            *seen = count;
        }
        let counted = self.stacks.iter().zip(sums);
        let counted = counted.filter(|(_, count)| *count > 0).collect();
        Ok((counted, &self.code))
    }

    fn locate(&mut self, record: &Record) -> Stack {
        let code = &mut self.code;
        let user = record
            .user
            .iter()
            .map(|&address| match &mut self.processes {
                Some(processes) => processes.locate(record.pid, address, record.time_ns, code),
                None => Location::Process(code.space_id(record.pid, 0, None), address),
            });
        Stack {
            user: user.collect(),
            kernel: record
                .kernel
                .iter()
                .copied()
                .map(Location::Kernel)
                .collect(),
            pid: if self.distinction.by_process {
                record.pid
            } else {
                0
            },
            comm: record.comm,
            addresses: match self.distinction.by_address {
                true => record.kernel.iter().chain(&record.user).copied().collect(),
                false => Arc::default(),
            },
        }
    }

    fn number(&mut self, stack: Stack) -> usize {
        let stacks = &mut self.stacks;
        *self.numbers.entry(stack).or_insert_with_key(|stack| {
            stacks.push(stack.clone());
            stacks.len() - 1
        })
    }
}

impl AsFd for Stacks {
    /// Readable when there are new stacks.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }
}

/// A new stack, as the kernel sends it.
pub(crate) struct Record {
    key: KeyBytes,
    pid: u32,
    comm: [u8; COMM_BYTES],
    time_ns: u64,
    pub(crate) kernel: Vec<u64>,
    pub(crate) user: Vec<u64>,
}

impl Record {
    /// Reads a [`StackHeader`] and the frames behind it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        const KEY: usize = offset_of!(StackHeader, key);
        let kernel_bytes = word(bytes, offset_of!(StackHeader, kernel_bytes))? as usize;
        let user_bytes = word(bytes, offset_of!(StackHeader, user_bytes))? as usize;
        let frames = bytes.get(size_of::<StackHeader>()..)?;
        let (user, rest) = frames.split_at_checked(user_bytes)?;
        Some(Self {
            key: array_at(bytes, KEY)?,
            pid: word(bytes, KEY + offset_of!(StackKey, tgid))?,
            comm: array_at(bytes, KEY + offset_of!(StackKey, comm))?,
            time_ns: u64::from_ne_bytes(array_at(bytes, offset_of!(StackHeader, time_ns))?),
            kernel: addresses(rest.get(..kernel_bytes)?).collect(),
            user: addresses(user).collect(),
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}
