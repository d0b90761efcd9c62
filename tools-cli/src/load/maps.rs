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

/// Maps as the object defines them, by name.
type Definitions = HashMap<String, aya_obj::Map>;

/// How many entries this run needs.
#[derive(Clone, Copy, Debug)]
pub struct MapSizes {
    /// Probes to count.
    pub counts: u32,
    /// Processes asked for.
    pub pids: u32,
    /// Children that can be followed at a time.
    pub followed: u32,
}

/// The maps that tools read and write, by their names in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapName {
    /// Calls per probe.
    Counts,
    /// Losses by kind.
    Losses,
    /// Processes asked for.
    Pids,
    /// Their children.
    Followed,
    /// The cgroup asked for.
    Cgroup,
}

impl MapName {
    const ALL: [Self; 5] = [
        Self::Counts,
        Self::Losses,
        Self::Pids,
        Self::Followed,
        Self::Cgroup,
    ];

    const fn symbol(self) -> &'static str {
        match self {
            Self::Counts => "COUNTS",
            Self::Losses => "LOSSES",
            Self::Pids => "PIDS",
            Self::Followed => "FOLLOWED",
            Self::Cgroup => "CGROUP",
        }
    }
}

impl MapSizes {
    const fn entries(&self, map: MapName) -> Option<u32> {
        match map {
            MapName::Counts => Some(self.counts),
            MapName::Pids => Some(self.pids),
            MapName::Followed => Some(self.followed),
            MapName::Losses | MapName::Cgroup => None,
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
            if let Some(entries) = sizes.entries(name) {
                spec.entries = entries.max(1);
            }
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

// Two words for the namespace, four for the command name, twelve half words of options.
const _: () = assert!(size_of::<Settings>() == 2 * 8 + 4 * 8 + 12 * 4);
