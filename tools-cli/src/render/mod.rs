//! From samples to what is read by people and by programs.

mod count_table;
mod escape;
mod number;

pub use count_table::{CountTable, Format, Row};
pub use escape::Escaped;
pub use number::Grouped;
