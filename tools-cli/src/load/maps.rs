//! The maps of the object: created with the sizes that this run needs.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::{EbpfSectionKind, generated::BPF_F_RDONLY_PROG};
use probes_common::Settings;

use super::Error;
use crate::kernel::bpf::{self, MapSpec};

/// The smallest ring buffer that the kernel makes.
const SMALLEST_RING_BYTES: u32 = 4096;

/// Maps as the object defines them, by name.
type Definitions = HashMap<String, aya_obj::Map>;

/// What this run needs room for.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapSizes {
    /// Probes to count.
    pub counts: u32,
    /// Groups that counts are broken down into.
    pub groups: u32,
    /// Processes asked for.
    pub pids: u32,
    /// Children that can be followed at a time.
    pub followed: u32,
    /// Different stacks.
    pub stacks: u32,
    /// Bytes of each part of a stack.
    pub stack_bytes: u32,
    /// Places in the kernel that are known to its stacks.
    pub rules: u32,
    /// Bytes of the buffer that takes new stacks to user space; a power of two of pages.
    pub frames_bytes: u32,
    /// Bytes of the buffer that takes events to user space; a power of two of pages.
    pub events_bytes: u32,
    /// Calls that have begun and not returned yet.
    pub calls: u32,
    /// Bytes of the buffer that takes to user space what programs tell of single events that go wrong;
    /// a power of two of pages, and 0 if they are to tell nothing.
    pub log_bytes: u32,
}

/// The maps that tools read and write, by their names in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapName {
    /// Calls per probe.
    Counts,
    /// Calls per probe and group.
    Groups,
    /// Losses by kind.
    Losses,
    /// Processes asked for.
    Pids,
    /// Their children.
    Followed,
    /// The cgroup asked for.
    Cgroup,
    /// Calls per stack.
    Stacks,
    /// Whether that table is full.
    StacksFull,
    /// New stacks, on their way to user space.
    Frames,
    /// Events, on their way to user space.
    Events,
    /// What was saved at entries, for returns.
    Saved,
    /// Where stacks are put together.
    Buffers,
    /// Which of these are in use.
    Taken,
    /// Where the kernel's unwinder keeps its tables.
    Tables,
    /// What they say of places in the kernel.
    Rules,
    /// What programs tell, by aya-log.
    Log,
}

impl MapName {
    const ALL: [Self; 16] = [
        Self::Counts,
        Self::Groups,
        Self::Losses,
        Self::Pids,
        Self::Followed,
        Self::Cgroup,
        Self::Stacks,
        Self::StacksFull,
        Self::Frames,
        Self::Events,
        Self::Saved,
        Self::Buffers,
        Self::Taken,
        Self::Tables,
        Self::Rules,
        Self::Log,
    ];

    const fn symbol(self) -> &'static str {
        match self {
            Self::Counts => "COUNTS",
            Self::Groups => "GROUPS",
            Self::Losses => "LOSSES",
            Self::Pids => "PIDS",
            Self::Followed => "FOLLOWED",
            Self::Cgroup => "CGROUP",
            Self::Stacks => "STACKS",
            Self::StacksFull => "STACKS_FULL",
            Self::Frames => "FRAMES",
            Self::Events => "EVENTS",
            Self::Saved => "SAVED",
            Self::Buffers => "BUFFERS",
            Self::Taken => "TAKEN",
            Self::Tables => "TABLES",
            Self::Rules => "RULES",
            Self::Log => "AYA_LOGS",
        }
    }
}

impl MapSizes {
    /// Sets the size of a map that differs between runs.
    fn apply(&self, map: MapName, spec: &mut MapSpec<'_>) {
        match map {
            MapName::Counts => spec.entries = self.counts.max(1),
            MapName::Groups => spec.entries = self.groups.max(1),
            MapName::Pids => spec.entries = self.pids.max(1),
            MapName::Followed => spec.entries = self.followed.max(1),
            MapName::Stacks => spec.entries = self.stacks.max(1),
            MapName::Events => spec.entries = self.events_bytes.max(spec.entries),
            MapName::Saved => spec.entries = self.calls.max(1),
            MapName::Frames => spec.entries = self.frames_bytes.max(spec.entries),
            MapName::Buffers => spec.value_bytes += 2 * self.stack_bytes,
            MapName::Rules => spec.entries = self.rules.max(1),
            MapName::Log => spec.entries = self.log_bytes.max(SMALLEST_RING_BYTES),
            MapName::StacksFull
            | MapName::Losses
            | MapName::Cgroup
            | MapName::Taken
            | MapName::Tables => {}
        }
    }
}

/// The maps, open.
#[derive(Debug)]
pub struct Maps {
    fds: Vec<(MapName, OwnedFd)>,
}

impl Maps {
    pub(super) fn create(definitions: &Definitions, sizes: &MapSizes) -> Result<Self, Error> {
        let mut fds = Vec::new();
        for name in MapName::ALL {
            let definition = definitions
                .get(name.symbol())
                .ok_or_else(|| Error::Object(format!("it has no map {}", name.symbol())))?;
            let mut spec = spec(name.symbol(), definition);
            sizes.apply(name, &mut spec);
            fds.push((name, create(&spec)?));
        }
        Ok(Self { fds })
    }

    /// The map called `symbol` in the object.
    pub(super) fn get(&self, symbol: &str) -> Option<BorrowedFd<'_>> {
        self.fds
            .iter()
            .find(|(name, _)| name.symbol() == symbol)
            .map(|(_, fd)| fd.as_fd())
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Those of the kernel; E2BIG if the map is full.
    pub fn update(&self, name: MapName, key: u32, value: &[u8]) -> io::Result<()> {
        let map = self.get(name.symbol()).ok_or(io::ErrorKind::NotFound)?;
        bpf::update_map(map, &key.to_ne_bytes(), value)
    }

    /// Removes an element; that it is not there is no error.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn remove(&self, name: MapName, key: u32) -> io::Result<()> {
        let map = self.get(name.symbol()).ok_or(io::ErrorKind::NotFound)?;
        match bpf::delete_from_map(map, &key.to_ne_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Another descriptor of a map, for a typed view of it.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left.
    pub fn duplicate(&self, name: MapName) -> io::Result<OwnedFd> {
        let map = self.get(name.symbol()).ok_or(io::ErrorKind::NotFound)?;
        map.try_clone_to_owned()
    }
}

/// Creates the map of read-only globals with its contents, and freezes it.
pub(super) fn create_frozen(definitions: &Definitions) -> Result<OwnedFd, Error> {
    let (name, definition) = definitions
        .iter()
        .find(|(_, definition)| definition.section_kind() == EbpfSectionKind::Rodata)
        .ok_or_else(|| Error::Object("it has no read-only globals".to_owned()))?;
    let mut spec = spec("settings", definition);
    spec.flags |= BPF_F_RDONLY_PROG;
    let fd = create(&spec)?;
    bpf::update_map(fd.as_fd(), &0_u32.to_ne_bytes(), definition.data())
        .and_then(|()| bpf::freeze_map(fd.as_fd()))
        .map_err(|error| Error::Map {
            name: name.clone(),
            error,
        })?;
    Ok(fd)
}

fn spec<'a>(name: &'a str, definition: &aya_obj::Map) -> MapSpec<'a> {
    MapSpec {
        name,
        kind: definition.map_type(),
        key_bytes: definition.key_size(),
        value_bytes: definition.value_size(),
        entries: definition.max_entries(),
        flags: definition.map_flags(),
    }
}

fn create(spec: &MapSpec<'_>) -> Result<OwnedFd, Error> {
    bpf::create_map(spec).map_err(|error| Error::Map {
        name: spec.name.to_owned(),
        error,
    })
}

/// The settings as the bytes that the kernel side reads.
pub(super) fn settings_bytes(settings: &Settings) -> &[u8] {
    // SAFETY: `Settings` is `repr(C)`, made of integers, and has no padding (checked below).
    unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(settings).cast(), size_of::<Settings>())
    }
}

// Two words for the namespace, four for the command name, thirty half words of options.
const _: () = assert!(size_of::<Settings>() == 2 * 8 + 4 * 8 + 30 * 4);
