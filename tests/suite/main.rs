//! The tools, run as a user runs them, on the kernel that is here. Each module is a line of the
//! matrix that `cargo xtask test` prints. All tests need root.

mod bad_input;
mod bare_root;
mod by;
mod counting;
mod deep_stacks;
mod doctor;
mod ending;
mod everything;
mod examples;
mod faults;
mod filters;
mod forbidden;
mod install;
mod list;
mod locked_down;
mod log_cost;
mod manual;
mod modules;
mod output;
mod privileges;
mod recipes;
mod stack_options;
mod stacks;
mod symbols;
mod trace;
mod trace_flags;
mod usdt;
mod values;
mod watched;
mod ways;
