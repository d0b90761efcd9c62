//! Per-CPU counters, summed.

use std::io;

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use probes_common::Loss;

use crate::load::{MapName, Maps};

/// Why what programs have gathered could not be read; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The map could not be opened.
    #[error("failed to open a map of results")]
    Open(#[from] io::Error),
    /// The map could not be read.
    #[error("failed to read a map of results")]
    Read(#[from] MapError),
}

/// The counters of all probes.
///
/// They only ever grow; an interval's counts are the differences between two readings, so that no
/// event is lost or seen twice while the counters are read.
pub struct Counts {
    counters: PerCpuArray<MapData, u64>,
    losses: PerCpuArray<MapData, u64>,
    seen: Vec<u64>,
}

impl Counts {
    /// Opens the counters of `probes` probes.
    ///
    /// # Errors
    ///
    /// When the maps can't be opened.
    pub fn open(maps: &Maps, probes: usize) -> Result<Self, Error> {
        Ok(Self {
            counters: open(maps, MapName::Counts)?,
            losses: open(maps, MapName::Losses)?,
            seen: vec![0; probes],
        })
    }

    /// Counts since the last call, by probe number.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us read them.
    pub fn take(&mut self) -> Result<Vec<u64>, Error> {
        (0..)
            .zip(&mut self.seen)
            .map(|(index, seen)| {
                let total = sum(&self.counters, index)?;
                let new = total.wrapping_sub(*seen);
                *seen = total;
                Ok(new)
            })
            .collect()
    }

    /// How often something was lost.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us read it.
    pub fn lost(&self, loss: Loss) -> Result<u64, Error> {
        sum(&self.losses, loss as u32)
    }
}

fn open(maps: &Maps, name: MapName) -> Result<PerCpuArray<MapData, u64>, Error> {
    let map = MapData::from_fd(maps.duplicate(name)?)?;
    Ok(PerCpuArray::try_from(Map::PerCpuArray(map))?)
}

fn sum(counters: &PerCpuArray<MapData, u64>, index: u32) -> Result<u64, Error> {
    let values = counters.get(&index, 0)?;
    Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
}
