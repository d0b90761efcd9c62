//! What was lost, in words.

use probes_common::Loss;

use super::follow;
use crate::{
    collect::Diagnostic,
    render::{Escaped, Grouped},
    resolve::Probe,
};

/// How much was lost, and what would have helped.
pub(super) fn total(loss: Loss, count: Grouped) -> String {
    match loss {
        Loss::NotFollowed => format!(
            "did not follow {count} processes or threads: more than {} at a time",
            Grouped(follow::AT_A_TIME.into())
        ),
        Loss::StackTable => {
            format!("did not count {count} events: the table of stacks is full, raise --stacks")
        }
        Loss::StackFrames => format!(
            "did not count {count} events: new stacks came faster than they could be read, raise \
             --buffer"
        ),
        Loss::StackBuffers => {
            format!("did not count {count} events: too many tasks in a probe on one CPU")
        }
        Loss::Event => format!("lost {count} events: raise -b"),
        Loss::Entry => format!(
            "did not show {count} returns: what their functions had been called with was not saved"
        ),
        Loss::Groups => {
            format!("did not count {count} events: the table of groups is full, raise --groups")
        }
        Loss::Fault => format!("could not read all values of {count} events: memory not there"),
        Loss::Condition => format!(
            "could not tell whether {count} events are to be shown: memory that the condition needs \
             is not there"
        ),
    }
}

/// Events that our programs were not run for.
pub(super) fn missed(count: Grouped, has_returns: bool) -> String {
    // Kprobes and fprobes on returns keep so many calls at a time and no more (`maxactive`).
    let returns = match has_returns {
        true => ", or more calls were under way than it follows to their returns",
        false => "",
    };
    format!("missed {count} events: the kernel was already in a probe on that CPU{returns}")
}

/// Forks that we were not told of.
pub(super) fn missed_forks(count: Grouped) -> String {
    format!(
        "may not have followed {count} processes: the kernel was in a probe on that CPU when they \
         were forked"
    )
}

/// One event that something went wrong with.
pub(super) fn one(diagnostic: &Diagnostic, probes: &[Probe]) -> String {
    let probe = diagnostic
        .probe
        .and_then(|number| probes.get(number as usize))
        .map(|probe| format!("{}: ", Escaped(&probe.name)))
        .unwrap_or_default();
    let tid = diagnostic.tid;
    let detail = diagnostic.detail;
    let what = match diagnostic.loss {
        Loss::NotFollowed => format!("no room to follow process {detail}"),
        Loss::StackTable => "the table of stacks is full".to_owned(),
        Loss::StackFrames => format!("no room for a new stack of {detail} bytes"),
        Loss::StackBuffers => "too many tasks in a probe on this CPU".to_owned(),
        Loss::Event => "no room in the buffer for events".to_owned(),
        Loss::Entry => "nothing was saved at the function's entry".to_owned(),
        Loss::Groups => "the table of groups is full".to_owned(),
        Loss::Fault => format!("could not read value {}", numbers(detail)),
        Loss::Condition => "could not read what the condition needs".to_owned(),
    };
    format!("kernel: {probe}thread {tid}: {what}")
}

/// The numbers of the bits that are set, from 1.
fn numbers(bits: u64) -> String {
    let set = (0..u64::BITS).filter(|bit| bits & 1 << bit != 0);
    let numbers: Vec<String> = set.map(|bit| (bit + 1).to_string()).collect();
    numbers.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_values() {
        let told = |detail| {
            let diagnostic = Diagnostic {
                loss: Loss::Fault,
                probe: Some(7),
                tid: 42,
                detail,
            };
            one(&diagnostic, &[])
        };
        assert_eq!(told(1), "kernel: thread 42: could not read value 1");
        assert_eq!(
            told(1 << 63 | 0b110),
            "kernel: thread 42: could not read value 2, 3, 64"
        );
    }
}
