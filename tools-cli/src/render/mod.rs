//! From samples to what is read by people and by programs.

mod count_table;
mod escape;
mod flame_graph;
mod number;
mod stack_table;

pub use count_table::{CountTable, Format, Row};
pub use escape::Escaped;
pub use flame_graph::FlameGraph;
pub use number::Grouped;
pub use stack_table::{CommandName, NamedFrame, StackFormat, StackRow, StackTable};
