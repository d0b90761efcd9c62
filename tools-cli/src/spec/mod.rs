//! From the text of a probe to a [`ProbeSpec`]; nothing here looks at the system.

mod error;
pub mod expr;
pub mod format;
mod mistake;
mod offset;
mod parse;
mod part;
mod pattern;
#[cfg(test)]
mod tests;
mod trace;

pub use error::{Kind, Problem, SpecError};
pub use mistake::{Mistake, Mistakes, TraceProblem};
pub use pattern::Pattern;
pub use trace::{Message, TraceSpec};

/// How names are written in the text of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Syntax {
    /// As they are, with `*` for any run of characters.
    Glob,
    /// As regular expressions (the flag `-r`), anchored at the start only. The colons in one
    /// belong to it: the text is split at a colon only where what is before it could be a kind, a
    /// program or a library, and not a regular expression. Offsets can't be given.
    Regex,
}

/// What a probe's text says, before anything of it has been looked up.
#[derive(Clone, Debug)]
pub struct ProbeSpec {
    /// The text as it was given.
    pub text: String,
    /// What it names.
    pub target: Target,
}

impl ProbeSpec {
    /// Reads the text of a probe.
    ///
    /// In C++ and Rust names `::` belongs to the name: what follows the program or library and one
    /// colon is the function (`./prog:ns::f`).
    ///
    /// # Errors
    ///
    /// When `text` is none of the forms that [`Target`] lists. The error marks the place and says
    /// what would be right.
    pub fn parse(text: &str, syntax: Syntax) -> Result<Self, SpecError> {
        let target = parse::target(text, syntax)?;
        Ok(Self {
            text: text.to_owned(),
            target,
        })
    }

    /// The function that is spelled out, if one is.
    #[must_use]
    pub fn function_name(&self) -> Option<&str> {
        match &self.target {
            Target::KernelFunction(function) | Target::UserFunction { function, .. } => {
                function.name.literal()
            }
            Target::Tracepoint(_) | Target::Usdt { .. } => None,
        }
    }
}

/// The four kinds of things that can be probed.
#[derive(Clone, Debug)]
pub enum Target {
    /// Functions of the kernel: `vfs_read`, `p::vfs_*`, `r::vfs_read`, `vfs_read+0x12`.
    KernelFunction(Function),
    /// Functions of a program or library: `c:malloc`, `/usr/bin/node:gc*`, `r:c:read`.
    UserFunction {
        /// A library's short name, a path, or a program's name.
        binary: String,
        /// Which functions of it.
        function: Function,
    },
    /// Tracepoints: `t:sched:sched_fork`, `t:sched:*`; the pattern applies to `category:event`.
    Tracepoint(Pattern),
    /// Statically defined probes of a program or library: `u:node:gc*`, `u:lib:provider:probe`.
    Usdt {
        /// A library's short name, a path, or a program's name.
        binary: String,
        /// The provider, if one was given; never a regular expression.
        provider: Option<Pattern>,
        /// Which probes of it.
        probe: Pattern,
    },
}

/// Which functions, and where in them.
#[derive(Clone, Debug)]
pub struct Function {
    /// Their names.
    pub name: Pattern,
    /// Bytes from the function's start; not 0 only for entry probes on a literal name.
    pub offset: u64,
    /// At entry or at return.
    pub moment: Moment,
}

/// When a function's probe fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Before the first instruction (or the one at the offset).
    Entry,
    /// After it has returned.
    Return,
}
