//! What goes wrong: counted always, and told in the log when somebody reads it.

use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use probes_common::{Loss, TOLD_LOSSES};

use crate::{counter, filter::Task, maps::LOSSES};

/// Counts what went wrong at the probe number `probe`; `detail` tells more about some kinds.
#[inline(always)]
pub(crate) fn count(loss: Loss, probe: u32, detail: u64) {
    let before = counter::increment_together(&LOSSES, loss as u32);
    if level_enabled(Level::Debug) && before < TOLD_LOSSES {
        tell(loss as u32, probe, detail);
    }
}

/// Tells it in numbers; [`probes_common::Loss`] says what they mean. Not inlined: it takes much of
/// the stack, and generated functions need the same room at another time.
#[inline(never)]
fn tell(loss: u32, probe: u32, detail: u64) {
    let tid = Task::current_in_namespace().map_or(0, Task::tid);
    debug!((), "{} {} {} {}", loss, probe, tid, detail);
}
