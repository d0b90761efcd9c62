//! Events, in the order of their times.

use std::{
    mem::offset_of,
    os::fd::{AsFd, BorrowedFd},
};

use aya::maps::{Map, MapData, RingBuf};
use probes_common::{COMM_BYTES, EventHeader};

use super::Error;
use crate::{
    bytes::{addresses, array_at},
    kernel::{clock, ring_positions::RingPositions},
    load::{MapName, Maps},
};

/// An event, as the kernel has sent it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// The number of its probe.
    pub probe: u32,
    /// The CPU it happened on.
    pub cpu: u32,
    /// The process as our PID namespace numbers it; 0 for one that is not there.
    pub pid: u32,
    /// The thread, likewise.
    pub tid: u32,
    /// The thread's name.
    pub comm: [u8; COMM_BYTES],
    /// The values that the generated function has written, and what follows them.
    pub rest: &'a [u8],
    kernel_bytes: usize,
    user_bytes: usize,
}

/// The events of a run.
pub struct Events {
    records: RingBuf<MapData>,
    positions: RingPositions,
    /// Up to where is being read.
    horizon: Option<Horizon>,
    /// Records that have been read, one behind the other.
    bytes: Vec<u8>,
    /// Where each begins and ends, with its time.
    places: Vec<(u64, usize, usize)>,
    /// How many of them have been given out.
    given: usize,
}

/// A moment, and where the buffer ended then. Records get their time after their place, so when all
/// places up to here have been read, no event is to come that is older.
#[derive(Clone, Copy, Debug)]
struct Horizon {
    time_ns: u64,
    position: u64,
}

impl Events {
    /// Opens the buffer.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn open(maps: &Maps) -> Result<Self, Error> {
        let map = maps.duplicate(MapName::Events)?;
        let positions = RingPositions::map(map.as_fd())?;
        let records = MapData::from_fd(map)?;
        Ok(Self {
            records: RingBuf::try_from(Map::RingBuf(records))?,
            positions,
            horizon: None,
            bytes: Vec::new(),
            places: Vec::new(),
            given: 0,
        })
    }

    /// Takes what has happened until now, in order of time, across CPUs and from one call to the
    /// next; nothing while an event from before is still being written.
    pub fn take(&mut self) -> impl Iterator<Item = Event<'_>> {
        let horizon = self.read();
        if self.positions.consumed() < horizon.position {
            return self.give_before(0);
        }
        self.horizon = None;
        self.give_before(horizon.time_ns)
    }

    /// Whether events that have happened could not be taken yet.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.horizon.is_some()
    }

    /// Takes all there is at the end, in order of time.
    pub fn take_rest(&mut self) -> impl Iterator<Item = Event<'_>> {
        self.horizon = None;
        self.read();
        self.give_before(u64::MAX)
    }

    /// Reads up to the horizon, or up to what is still being written.
    fn read(&mut self) -> Horizon {
        self.forget_given();
        let horizon = *self.horizon.get_or_insert_with(|| Horizon {
            time_ns: clock::monotonic_ns(),
            position: self.positions.produced(),
        });
        while self.positions.consumed() < horizon.position
            && let Some(record) = self.records.next()
        {
            let Some(time_ns) = array_at(&record, offset_of!(EventHeader, time_ns)) else {
                continue;
            };
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&record);
            let place = (u64::from_ne_bytes(time_ns), start, self.bytes.len());
            self.places.push(place);
        }
        horizon
    }

    fn give_before(&mut self, time_ns: u64) -> impl Iterator<Item = Event<'_>> {
        // Each CPU's are in order already, and the CPUs' are nearly so.
        self.places.sort();
        self.given = self.places.partition_point(|place| place.0 < time_ns);
        let bytes = &self.bytes;
        let given = &self.places[..self.given];
        given
            .iter()
            .filter_map(|&(_, start, end)| Event::parse(&bytes[start..end]))
    }

    /// Keeps only what has not been given out.
    fn forget_given(&mut self) {
        let mut kept = Vec::new();
        self.places.drain(..self.given);
        for (_, start, end) in &mut self.places {
            let length = *end - *start;
            kept.extend_from_slice(&self.bytes[*start..*end]);
            (*start, *end) = (kept.len() - length, kept.len());
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&kept);
        self.given = 0;
    }
}

impl AsFd for Events {
    /// Readable when there are many events.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }
}

impl<'a> Event<'a> {
    /// Reads an [`EventHeader`] and what is behind it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at| array_at(bytes, at).map(u32::from_ne_bytes);
        Some(Self {
            time_ns: u64::from_ne_bytes(array_at(bytes, offset_of!(EventHeader, time_ns))?),
            probe: word(offset_of!(EventHeader, probe))?,
            cpu: word(offset_of!(EventHeader, cpu))?,
            pid: word(offset_of!(EventHeader, tgid))?,
            tid: word(offset_of!(EventHeader, tid))?,
            comm: array_at(bytes, offset_of!(EventHeader, comm))?,
            kernel_bytes: word(offset_of!(EventHeader, kernel_bytes))? as usize,
            user_bytes: word(offset_of!(EventHeader, user_bytes))? as usize,
            rest: bytes.get(size_of::<EventHeader>()..)?,
        })
    }

    /// The addresses of the kernel's part of the stack, if it lies at `start` of the rest.
    pub fn kernel_frames(&self, start: usize) -> impl Iterator<Item = u64> {
        frames(self.rest, start, self.kernel_bytes)
    }

    /// Those of the program's part.
    pub fn user_frames(&self, start: usize) -> impl Iterator<Item = u64> {
        frames(self.rest, start, self.user_bytes)
    }
}

fn frames(bytes: &[u8], start: usize, length: usize) -> impl Iterator<Item = u64> {
    let part = bytes.get(start..).unwrap_or_default();
    addresses(part.get(..length).unwrap_or_default())
}
