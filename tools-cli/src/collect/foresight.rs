//! Telling our programs where the kernel keeps its unwinder's tables, by which they foresee how it will
//! walk a stack, and what came of that.

use std::{
    io,
    thread::{self, JoinHandle},
};

use aya::maps::{Array, Map, MapData, MapError};
use probes_common::{KERNEL_RULES, KernelRule, KernelTables, RuleKind};

use super::Error;
use crate::{
    kernel::unwind_tables,
    load::{MapName, Maps},
};

/// What programs foresee by.
pub struct Foresight {
    rules: Array<MapData, u64>,
    /// Looks for the tables; gives whether the programs have been told.
    teller: Option<JoinHandle<bool>>,
}

impl Foresight {
    /// Has the programs foresee from when the tables are found. That takes some ten milliseconds, so it
    /// is done beside what else there is to do; until then, and where there are no tables, the kernel
    /// walks every stack.
    ///
    /// # Errors
    ///
    /// When the maps can't be opened.
    pub fn begin(maps: &Maps) -> Result<Self, Error> {
        let tables = MapData::from_fd(maps.duplicate(MapName::Tables)?)?;
        let tables = Array::try_from(Map::Array(tables))?;
        let rules = MapData::from_fd(maps.duplicate(MapName::Rules)?)?;
        // What fails there, or that there can be no thread, leaves it to the kernel, as if there were no
        // tables.
        let teller = thread::Builder::new()
            .name("foresight".to_owned())
            .spawn(move || tell(tables).is_ok_and(|is_told| is_told));
        Ok(Self {
            rules: Array::try_from(Map::Array(rules))?,
            teller: teller.ok(),
        })
    }

    /// Whether the programs could be told, once that is settled; nothing before and afterwards.
    pub fn news(&mut self) -> Option<bool> {
        let teller = self.teller.take_if(|teller| teller.is_finished())?;
        Some(teller.join().unwrap_or(false))
    }

    /// How many places of the kernel's code are known to stacks, and at how many of them the kernel has
    /// to be asked.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us read them.
    pub fn known(&self) -> Result<(usize, usize), Error> {
        let rules = (0..KERNEL_RULES).map(|slot| Ok(KernelRule(self.rules.get(&slot, 0)?)));
        let rules: Result<Vec<KernelRule>, MapError> = rules.collect();
        let rules = rules?
            .into_iter()
            .filter(|rule| *rule != KernelRule::default());
        let (unknown, known): (Vec<_>, Vec<_>) =
            rules.partition(|rule| rule.kind() == RuleKind::Unknown);
        Ok((known.len(), unknown.len()))
    }
}

/// Writes where the tables are before it writes how long, so that no program sees half of it.
fn tell(mut map: Array<MapData, Words>) -> io::Result<bool> {
    let Some(tables) = unwind_tables::find()? else {
        return Ok(false);
    };
    for count in [0, tables.count] {
        let told = KernelTables { count, ..tables };
        map.set(0, words(&told), 0).map_err(io::Error::other)?;
    }
    Ok(true)
}

/// The tables as the map has them.
type Words = [u64; size_of::<KernelTables>() / 8];

fn words(tables: &KernelTables) -> Words {
    let lengths = u64::from(tables.count) | u64::from(tables.format) << 32;
    [
        tables.starts,
        tables.entries,
        tables.text_start,
        tables.text_bytes,
        lengths,
    ]
}
