//! Counts by probe and process, thread, CPU or command name.

use std::{collections::HashMap, mem::offset_of};

use aya::maps::{HashMap as GroupMap, Map, MapData};
use probes_common::{COMM_BYTES, Group, GroupKey};

use super::Error;
use crate::{
    bytes::array_at,
    load::{MapName, Maps},
};

type KeyBytes = [u8; size_of::<GroupKey>()];
type ValueBytes = [u8; size_of::<Group>()];

/// Events of one probe that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCount {
    /// The probe's number.
    pub probe: usize,
    /// The number of process, thread or CPU; 0 for command names.
    pub id: u32,
    /// The command name, at the first event if they are not counted by it.
    pub comm: [u8; COMM_BYTES],
    /// How many.
    pub count: u64,
}

/// The table of groups.
///
/// As with [`Counts`](super::Counts), what is in it only grows, and an interval's counts are the
/// differences between two readings.
pub struct Groups {
    table: GroupMap<MapData, KeyBytes, ValueBytes>,
    seen: HashMap<KeyBytes, u64>,
}

impl Groups {
    /// Opens the table.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn open(maps: &Maps) -> Result<Self, Error> {
        let table = MapData::from_fd(maps.duplicate(MapName::Groups)?)?;
        Ok(Self {
            table: GroupMap::try_from(Map::HashMap(table))?,
            seen: HashMap::new(),
        })
    }

    /// Counts since the last call, without zeros.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us read them.
    pub fn take(&mut self) -> Result<Vec<GroupCount>, Error> {
        let mut groups = Vec::new();
        for entry in self.table.iter() {
            let (key, value) = entry?;
            let total = u64::from_ne_bytes(field(&value, offset_of!(Group, count)));
            let seen = self.seen.entry(key).or_default();
            let count = total.wrapping_sub(*seen);
            *seen = total;
            if count == 0 {
                continue;
            }
            let named: [u8; COMM_BYTES] = field(&key, offset_of!(GroupKey, comm));
            groups.push(GroupCount {
                probe: u32::from_ne_bytes(field(&key, offset_of!(GroupKey, probe))) as usize,
                id: u32::from_ne_bytes(field(&key, offset_of!(GroupKey, id))),
                comm: if named == [0; COMM_BYTES] {
                    field(&value, offset_of!(Group, comm))
                } else {
                    named
                },
                count,
            });
        }
        Ok(groups)
    }
}

/// The bytes of a field, which lies within.
fn field<const BYTES: usize>(bytes: &[u8], at: usize) -> [u8; BYTES] {
    array_at(bytes, at).unwrap_or([0; BYTES])
}
