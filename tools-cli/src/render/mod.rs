//! From samples to what is read by people and by programs.

mod check_table;
mod count_table;
mod escape;
mod event_counts;
mod event_table;
mod flame_graph;
mod json;
mod live_table;
mod message;
mod number;
mod probe_list;
mod stack_table;
mod terminal;

pub use check_table::{Check, Verdict, write_checks};
pub use count_table::{CountTable, Format, Row, RowGroup};
pub use escape::{Escaped, escape_lines};
pub use event_counts::EventCounts;
pub use event_table::{
    Clocks, Columns, EventLine, EventTable, FunctionName, NamedValue, TimeColumn,
};
pub use flame_graph::FlameGraph;
pub use live_table::LiveTable;
pub use message::{Names, Value, push_escaped, write_message};
pub use number::Grouped;
pub use probe_list::{
    Detail, ListedProbe, ProbeKind, Typed, UsdtArgument, UsdtLocation, write_probes,
};
pub use stack_table::{CommandName, NamedFrame, StackFormat, StackRow, StackTable};
pub use terminal::{Colours, can_be_redrawn, with_coloured_label};
