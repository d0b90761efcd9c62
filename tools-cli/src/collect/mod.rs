//! What the programs have gathered, read from their maps.

mod counts;

pub use counts::{Counts, Error};
