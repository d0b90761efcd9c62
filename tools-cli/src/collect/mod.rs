//! What the programs have gathered, read from their maps.

mod counts;
mod diagnostics;
mod events;
mod foresight;
mod groups;
mod location;
mod perf_map;
mod processes;
pub(crate) mod stacks;

pub use counts::{Counts, Error};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use events::{Event, Events};
pub use foresight::Foresight;
pub use groups::{GroupCount, Groups};
pub use location::{Code, CodeFile, CodeSpace, FileId, Location, SpaceId};
pub use perf_map::PerfMapFile;
pub use processes::Processes;
pub use stacks::{Counted, Distinction, Stack, Stacks};
