//! What was mapped where, in which process and when.
//!
//! A stack is a list of addresses, and what they mean is gone with the process. So the kernel is
//! asked to tell of every mapping, `execve`, fork and exit from the start on; what was mapped
//! before is read from `/proc` when a process is first seen.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::location::{Code, FileMapping, Location};
use crate::{
    kernel::sideband::{Record, SideBand, What},
    resolve::binary::maps,
};

/// A process forked by one that was forked by one … that was not seen: so many times and no more.
const GENERATIONS: usize = 64;

/// The processes that have run since the start.
#[derive(Debug)]
pub struct Processes {
    sideband: SideBand,
    spaces: HashMap<u32, Space>,
    /// Those that have exited since processes were forgotten last.
    exited: HashSet<u32>,
    /// Those that had by then.
    to_be_forgotten: HashSet<u32>,
    /// How often processes were forgotten.
    round: u32,
    lost: bool,
}

/// What a process has mapped.
#[derive(Clone, Debug, Default)]
struct Space {
    /// From one `execve` or fork to the next, in order of time.
    lives: Vec<Life>,
}

/// What a process has mapped while it runs one program.
#[derive(Clone, Debug, Default)]
struct Life {
    since_ns: u64,
    /// The parent whose mappings it began with.
    inherited: Option<u32>,
    /// Whether `/proc` was read, because it began before we did.
    was_read: bool,
    /// In order of time.
    regions: Vec<Region>,
}

#[derive(Clone, Debug)]
struct Region {
    time_ns: u64,
    start: u64,
    end: u64,
    offset: u64,
    device: (u32, u32),
    inode: u64,
    path: Arc<PathBuf>,
    /// The round in which it was heard that another is in its place.
    replaced: Option<u32>,
}

impl Processes {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Those of [`SideBand::open`].
    pub fn watch() -> io::Result<Self> {
        Ok(Self {
            sideband: SideBand::open()?,
            spaces: HashMap::new(),
            exited: HashSet::new(),
            to_be_forgotten: HashSet::new(),
            round: 0,
            lost: false,
        })
    }

    /// Takes in what has happened. To be called when the addresses to be located are known already:
    /// then all that led to them is known too.
    pub fn update(&mut self) {
        for record in self.sideband.take() {
            self.apply(record);
        }
        if std::mem::take(&mut self.lost) {
            // Read all of them again from `/proc`, as far as they are there.
            self.spaces.clear();
        }
    }

    /// Forgets processes that had exited when this was called last, and gives their PIDs; to be called
    /// when all addresses that are known are located. Not those that have exited since: an address of
    /// theirs may have come after those that are known, and before the exit was heard of.
    pub fn forget_exited(&mut self) -> HashSet<u32> {
        let gone = std::mem::take(&mut self.to_be_forgotten);
        for pid in &gone {
            self.spaces.remove(pid);
        }
        std::mem::swap(&mut self.exited, &mut self.to_be_forgotten);
        self.round = self.round.wrapping_add(1);
        gone
    }

    fn apply(&mut self, record: Record) {
        let Record { time_ns, pid, what } = record;
        match what {
            What::Mapped {
                start,
                end,
                offset,
                device,
                inode,
                path,
            } => {
                let region = Region {
                    time_ns,
                    start,
                    end,
                    offset,
                    device,
                    inode,
                    path: Arc::new(path),
                    replaced: None,
                };
                let space = self.spaces.entry(pid).or_default();
                if space.lives.is_empty() {
                    space.lives.push(Life::default());
                }
                if let Some(life) = space.lives.last_mut() {
                    life.map(region, self.round);
                }
            }
            What::Executed => self.begin_life(pid, time_ns, None),
            What::Forked { parent } => {
                // The number may have been another process's before.
                self.exited.remove(&pid);
                self.to_be_forgotten.remove(&pid);
                self.begin_life(pid, time_ns, Some(parent));
                self.copy_regions(parent, pid);
            }
            What::Exited => drop(self.exited.insert(pid)),
            What::Lost => self.lost = true,
        }
    }

    fn begin_life(&mut self, pid: u32, since_ns: u64, inherited: Option<u32>) {
        let space = self.spaces.entry(pid).or_default();
        space.lives.push(Life {
            since_ns,
            inherited,
            ..Life::default()
        });
    }

    /// A child starts with what its parent has mapped, as far as we know it.
    fn copy_regions(&mut self, parent: u32, child: u32) {
        let Some(parent) = self
            .spaces
            .get(&parent)
            .and_then(|space| space.lives.last())
        else {
            return;
        };
        let (regions, is_whole) = (parent.regions.clone(), parent.is_whole());
        let child = self.spaces.get_mut(&child);
        if let Some(life) = child.and_then(|space| space.lives.last_mut()) {
            life.regions = regions;
            if is_whole {
                life.inherited = None;
            }
        }
    }

    /// Where the code at `address` of the process `pid` was at a time.
    pub fn locate(&mut self, pid: u32, address: u64, time_ns: u64, code: &mut Code) -> Location {
        let mut owner = pid;
        let mut own_since_ns = None;
        for _ in 0..GENERATIONS {
            let life = self.life(owner, time_ns);
            let since_ns = *own_since_ns.get_or_insert(life.since_ns);
            if let Some(region) = life.region(address, time_ns) {
                return region.locate((pid, since_ns), address, code);
            }
            match life.inherited {
                Some(parent) if parent != owner => owner = parent,
                _ => break,
            }
        }
        Location::Process(code.space_id(pid, own_since_ns.unwrap_or(0), None), address)
    }

    /// The life of a process that was lived at a time; read from `/proc` if it began before we did.
    fn life(&mut self, pid: u32, time_ns: u64) -> &Life {
        let space = self.spaces.entry(pid).or_default();
        let found = space
            .lives
            .iter()
            .rposition(|life| life.since_ns <= time_ns);
        let index = found.unwrap_or_else(|| {
            space.lives.insert(0, Life::default());
            0
        });
        let is_last = index + 1 == space.lives.len();
        let life = &mut space.lives[index];
        if is_last && !life.is_whole() {
            life.read(pid);
        }
        life
    }
}

impl Life {
    /// Whether all that is mapped is known.
    fn is_whole(&self) -> bool {
        self.was_read || (self.since_ns > 0 && self.inherited.is_none())
    }

    /// Adds what `/proc` tells, as older than all that is known.
    fn read(&mut self, pid: u32) {
        self.was_read = true;
        let Ok(text) = fs::read(format!("/proc/{pid}/maps")) else {
            return;
        };
        let executable = maps::lines(&text).filter(|line| line.is_executable);
        let regions = executable.map(|line| Region {
            time_ns: 0,
            start: line.mapping.start,
            end: line.mapping.end,
            offset: line.mapping.offset,
            device: line.device,
            inode: line.inode,
            path: Arc::new(line.path),
            replaced: None,
        });
        self.regions.splice(0..0, regions);
    }

    /// Adds a mapping, as the newest. It may be one that is there: a compiler at run time takes and
    /// gives the permission to execute again and again, of which each time is told.
    fn map(&mut self, new: Region, round: u32) {
        let overlaps = |old: &&Region| old.start < new.end && new.start < old.end;
        if self
            .regions
            .iter()
            .rev()
            .find(overlaps)
            .is_some_and(|old| old.is_same(&new))
        {
            return;
        }
        for old in &mut self.regions {
            if new.start <= old.start && old.end <= new.end {
                old.replaced.get_or_insert(round);
            }
        }
        // As long as an address of it may be to come: see `Processes::forget_exited`.
        let is_needed = |old: &Region| old.replaced.is_none_or(|at| round.wrapping_sub(at) < 2);
        self.regions.retain(is_needed);
        self.regions.push(new);
    }

    fn region(&self, address: u64, time_ns: u64) -> Option<&Region> {
        let covers = |region: &&Region| (region.start..region.end).contains(&address);
        let newest_first = self.regions.iter().rev().filter(covers);
        newest_first
            .clone()
            .find(|region| region.time_ns <= time_ns)
            // Told of a moment late: the oldest that was there.
            .or_else(|| self.regions.iter().find(covers))
    }
}

impl Region {
    fn is_same(&self, other: &Self) -> bool {
        let place = |it: &Self| (it.start, it.end, it.offset, it.device, it.inode);
        place(self) == place(other) && self.path == other.path
    }

    /// Where `address` is, of a process that runs what it runs since that time.
    fn locate(&self, (pid, since_ns): (u32, u64), address: u64, code: &mut Code) -> Location {
        let from_start = address - self.start;
        if self.path.as_os_str() == "[vdso]" {
            return Location::Vdso(from_start);
        }
        if self.inode == 0 || !is_program_file(&self.path) {
            // Memory without a name is shown as the kernel's tools show it.
            let name = match self.path.as_os_str().is_empty() {
                true => Path::new("//anon"),
                false => self.path.as_path(),
            };
            return Location::Process(code.space_id(pid, since_ns, Some(name)), address);
        }
        let file = code.file_id(FileMapping {
            pid,
            start: self.start,
            end: self.end,
            device: self.device,
            inode: self.inode,
            path: &self.path,
        });
        Location::File(file, from_start.wrapping_add(self.offset))
    }
}

/// Whether a mapping of the path can be of a program or library, and not of memory that a runtime
/// compiles into.
fn is_program_file(path: &Path) -> bool {
    let anonymous = ["/memfd:", "/dev/zero", "/dev/shm/", "/SYSV", "//", "["];
    let path = path.as_os_str().as_bytes();
    !anonymous
        .iter()
        .any(|name| path.starts_with(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(time_ns: u64, pages: std::ops::Range<u64>) -> Region {
        Region {
            time_ns,
            start: pages.start << 12,
            end: pages.end << 12,
            offset: 0,
            device: (0, 0),
            inode: 0,
            path: Arc::default(),
            replaced: None,
        }
    }

    fn time_of(life: &Life, page: u64, time_ns: u64) -> Option<u64> {
        life.region(page << 12, time_ns)
            .map(|region| region.time_ns)
    }

    #[test]
    fn memory_that_is_mapped_again_and_again_is_kept_once() {
        let mut life = Life::default();
        for time_ns in 1..1000 {
            life.map(region(time_ns, 1..3), 0);
        }
        assert_eq!(life.regions.len(), 1);
        // In parts and as a whole, while its events are taken in.
        for round in 0..1000 {
            for part in [1..2, 2..3, 1..3] {
                life.map(region(1000 + u64::from(round), part), round);
            }
        }
        assert!(life.regions.len() < 10, "{}", life.regions.len());
    }

    #[test]
    fn what_was_mapped_before_is_known_until_its_events_are_taken_in() {
        let mut life = Life::default();
        life.map(region(10, 1..3), 0);
        life.map(region(20, 1..5), 0);
        life.map(region(30, 8..9), 1);
        assert_eq!(time_of(&life, 1, 15), Some(10));
        assert_eq!(time_of(&life, 1, 25), Some(20));
        life.map(region(40, 9..10), 2);
        // The oldest that is there.
        assert_eq!(time_of(&life, 1, 15), Some(20));
        assert_eq!(time_of(&life, 8, 50), Some(30));
        assert_eq!(time_of(&life, 7, 50), None);
    }
}
