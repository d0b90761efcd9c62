//! From a [`TraceSpec`] and what its event offers to instructions of BPF.
//!
//! Nothing here looks at the system: types come from a [`TypeSource`](crate::types::TypeSource),
//! and the same input gives the same instructions on any host.
//!
//! ```text
//! Expr → Value (type, words)   → instructions and labels → CompiledFn
//!        check, ir                emit                      asm
//! ```

pub mod abi;
mod asm;
mod check;
mod emit;
mod error;
mod ir;
mod layout;
mod message;
mod output;
mod site;
#[cfg(test)]
mod tests;
mod ty;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod world;

use std::mem::offset_of;

use probes_common::Saved;

#[cfg(test)]
pub(crate) use self::emit::STACK_BYTES;
use self::{
    check::{Checker, Known},
    ir::Node,
    message::Reading,
    ty::Ty,
};
pub use self::{
    error::Problem,
    layout::{Layout, MAX_LAYOUT_BYTES, MAX_SLOTS, Piece, Slot, SlotKind},
    output::{Compiled, CompiledFn, Entry, bytes_of},
    site::{
        Context, Field, FunctionSite, Location, Operand, OperandPlace, Site, Space, TracepointSite,
        UsdtSite, Wrapper,
    },
    ty::Sources,
};
use crate::spec::{
    Mistake, Mistakes, TraceSpec,
    expr::{Signature, Span},
};

/// What applies to all probes of a run, and how the program finds its event.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the program's first argument points to.
    pub context: Context,
    /// The most bytes of a text that are read, with the final NUL: 1 to
    /// [`Options::MAX_TEXT_BYTES`].
    pub text_bytes: u32,
    /// In which PID namespace `$pid` and `$tgid` count, if not in the initial one.
    pub pid_namespace: Option<PidNamespace>,
}

impl Options {
    /// What [`Options::text_bytes`] is unless the user says otherwise.
    pub const DEFAULT_TEXT_BYTES: u32 = 80;
    /// The most that [`Options::text_bytes`] may be.
    pub const MAX_TEXT_BYTES: u32 = 4096;
}

/// A PID namespace, as `bpf_get_ns_current_pid_tgid` (5.7) wants it named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidNamespace {
    /// The device of its file, as the kernel encodes it.
    pub device: u64,
    /// The inode of its file.
    pub inode: u64,
}

/// Compiles a probe for one site.
///
/// # Errors
///
/// All mistakes that don't follow from each other, in the order of their places.
pub fn compile(
    spec: &TraceSpec,
    site: &Site,
    sources: Sources<'_>,
    options: &Options,
) -> Result<Compiled, Mistakes<Problem>> {
    let mut checker = Checker {
        text: &spec.text,
        site,
        context: options.context,
        sources,
        known: Known::default(),
        mistakes: Vec::new(),
        is_in_entry: false,
        entry_values: Vec::new(),
        uses_latency: false,
    };
    let reading = check(&mut checker, spec, options);
    let Checker {
        mut mistakes,
        entry_values,
        uses_latency,
        ..
    } = checker;
    mistakes.sort_by_key(|mistake| mistake.snippet.span.start);
    let Some((predicate, reading)) = reading.filter(|_| mistakes.is_empty()) else {
        return Err(Mistakes(mistakes));
    };
    let needs_entry = uses_latency || !entry_values.is_empty();
    generate(predicate, reading, &entry_values, needs_entry, options)
        .map_err(|error| Mistakes(vec![too_big(&spec.text, error)]))
}

/// The predicate and the values of the message; `None` if there are mistakes.
fn check(
    checker: &mut Checker<'_>,
    spec: &TraceSpec,
    options: &Options,
) -> Option<(Option<Node>, Reading)> {
    let types = match &spec.signature {
        Some(signature) => Some((signature, signature_types(checker, signature)?)),
        None => None,
    };
    let types = types
        .as_ref()
        .map(|(signature, types)| (*signature, types.as_slice()));
    match Known::new(checker.site, types, checker.sources) {
        Ok(known) => checker.known = known,
        Err(error) => {
            checker.report(error, Span::default(), "");
            return None;
        }
    }
    let predicate = match &spec.predicate {
        Some(predicate) => checker.condition(predicate).map(Some),
        None => Ok(None),
    };
    let reading = match &spec.message {
        Some(message) => message::formatted(checker, message, options),
        None => message::default(checker, options),
    };
    Some((predicate.ok()?, reading))
}

fn signature_types(checker: &mut Checker<'_>, signature: &Signature) -> Option<Vec<Ty>> {
    let types = signature
        .parameters
        .iter()
        .map(|parameter| checker.type_named(&parameter.type_name));
    // All of them, so that all mistakes are found.
    let types: Vec<_> = types.collect();
    if let Site::Tracepoint(_) = checker.site {
        let problem = Problem::NotAvailable {
            name: "a signature".to_owned(),
            reason: "a tracepoint has fields".to_owned(),
        };
        checker.report(problem, signature.span, "write `args->field`");
        return None;
    }
    types.into_iter().map(Result::ok).collect()
}

fn generate(
    predicate: Option<Node>,
    reading: Reading,
    entry_values: &[Node],
    needs_entry: bool,
    options: &Options,
) -> Result<Compiled, emit::Error> {
    let predicate = predicate
        .map(|predicate| emit::predicate(&predicate, options))
        .transpose()?;
    let values = emit::values(&reading.slots, options)?;
    let entry = if needs_entry {
        let bytes = offset_of!(Saved, values) + entry_values.len() * size_of::<u64>();
        Some(Entry {
            function: emit::entry_values(entry_values, options)?,
            bytes: u32::try_from(bytes).map_err(|_| emit::Error::Length)?,
        })
    } else {
        None
    };
    let layout = Layout {
        bytes: reading.bytes,
        slots: reading.slots.into_iter().map(|(_, slot)| slot).collect(),
        pieces: reading.pieces,
    };
    Ok(Compiled {
        predicate,
        values,
        layout,
        entry,
    })
}

fn too_big(text: &str, error: emit::Error) -> Mistake<Problem> {
    match error {
        emit::Error::Stack(span) => {
            let problem = Problem::TooBig("it keeps too many values at once");
            Mistake::new(text, problem, span, "take the expression apart")
        }
        emit::Error::Length => {
            let problem = Problem::TooBig("it has too many instructions or values");
            let all = Span::from(0..text.len());
            Mistake::new(text, problem, all, "print less, or shorten texts with -Z")
        }
    }
}
