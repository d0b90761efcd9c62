//! What the project has set itself to show, and whether a run shows it.

use serde::Serialize;

use super::{
    cost, growth, kernel,
    measurement::{Measurement, Quantity},
    rate, start,
    table::aligned,
    tracer::Kind,
};

/// One thing to show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// The issue that set it.
    pub issue: u8,
    /// What is measured.
    pub what: String,
    /// What it must be.
    pub must: String,
    /// What it was; nothing if it was not measured, or failed.
    pub was: Option<String>,
    /// Whether it is met.
    pub met: bool,
}

/// All bars.
#[must_use]
pub fn bars(measurements: &[Measurement]) -> Vec<Bar> {
    let found = Found(measurements);
    let tracepoint = "system call tracepoint";
    let [count, stack, trace, trace_false] =
        cost::JOBS.map(|(job, _)| format!("{job}, {tracepoint}"));
    let over = |case: &str| found.ours(cost::GROUP, case, Quantity::OverEmpty);
    let symbols = |count| growth::stacks_case(count);
    let all = found.ours(kernel::GROUP, kernel::ALL, Quantity::Live);
    vec![
        at_most(
            2,
            "start to first probe live, `c:malloc`",
            Quantity::Live,
            20e6,
            found.ours(start::GROUP, start::COUNT_MALLOC, Quantity::Live),
        ),
        at_most(
            2,
            "peak memory, `c:malloc`",
            Quantity::Peak,
            12e6,
            found.ours(start::GROUP, start::COUNT_MALLOC, Quantity::Peak),
        ),
        at_most(
            2,
            "`c:*`, all of libc, resolve and attach",
            Quantity::Live,
            150e6,
            found.ours(start::GROUP, start::COUNT_LIBRARY, Quantity::Live),
        ),
        Bar {
            issue: 2,
            what: "`*` on 6.12, in QEMU".to_owned(),
            must: "attaches; time reported".to_owned(),
            was: all.map(|ns| Quantity::Live.format(ns)),
            met: all.is_some(),
        },
        ratio(
            2,
            "a call that is counted, to one with an empty program",
            1.05,
            found.ours(cost::GROUP, &count, Quantity::PerCall),
            found.of(cost::GROUP, tracepoint, Quantity::PerCall, cost::EMPTY),
        ),
        exactly(
            3,
            "stacks printed, of 100,000 different ones",
            Quantity::Stacks,
            100_000.0,
            found.all_ours(growth::STACKS, &symbols(100_000), Quantity::Stacks),
        ),
        ratio(
            3,
            "an event with both stacks, to bcc's in the same run",
            0.75,
            found.over_nothing(&stack, tracepoint, Kind::Probekit),
            found.over_nothing(&stack, tracepoint, Kind::Bcc),
        ),
        at_most(
            3,
            "10,000 stacks of 50,000 symbols, named and printed",
            Quantity::End,
            1e9,
            found.ours(growth::STACKS, &symbols(10_000), Quantity::End),
        ),
        at_most(
            4,
            "start to first event, `c:malloc \"size = %d\", arg1`",
            Quantity::FirstEvent,
            25e6,
            found.ours(start::GROUP, start::TRACE_MALLOC, Quantity::FirstEvent),
        ),
        at_most(
            4,
            "a message on a system call tracepoint, over the empty program",
            Quantity::OverEmpty,
            400.0,
            over(&trace),
        ),
        exactly(
            4,
            "3 million events to a file, printed",
            Quantity::Delivered,
            1.0,
            found.all_ours(rate::GROUP, rate::TO_FILE, Quantity::Delivered),
        ),
        at_most(
            4,
            "a condition that is false, over the empty program",
            Quantity::OverEmpty,
            30.0,
            over(&trace_false),
        ),
    ]
}

/// The bars as a table.
#[must_use]
pub fn table(bars: &[Bar]) -> String {
    let header = ["issue", "what", "must be", "was", ""].map(str::to_owned);
    let rows = bars.iter().map(|bar| {
        let met = match (&bar.was, bar.met) {
            (None, _) => "not measured",
            (_, true) => "met",
            (_, false) => "NOT MET",
        };
        let was = bar.was.clone().unwrap_or_else(|| "–".to_owned());
        vec![
            bar.issue.to_string(),
            bar.what.clone(),
            bar.must.clone(),
            was,
            met.to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = [header.to_vec()].into_iter().chain(rows).collect();
    aligned(&rows)
}

fn at_most(issue: u8, what: &str, quantity: Quantity, limit: f64, was: Option<f64>) -> Bar {
    Bar {
        issue,
        what: what.to_owned(),
        must: format!("at most {}", quantity.format(limit)),
        was: was.map(|value| quantity.format(value)),
        met: was.is_some_and(|value| value <= limit),
    }
}

fn ratio(issue: u8, what: &str, limit: f64, one: Option<f64>, other: Option<f64>) -> Bar {
    let was = one.zip(other).map(|(one, other)| one / other);
    Bar {
        issue,
        what: what.to_owned(),
        must: format!("at most {limit}"),
        was: was.map(|value| format!("{value:.3}")),
        met: was.is_some_and(|value| value <= limit),
    }
}

/// In every round; the one that is farthest off is shown.
fn exactly(issue: u8, what: &str, quantity: Quantity, wanted: f64, was: &[f64]) -> Bar {
    let off = |value: &f64| (value - wanted).abs();
    let worst = was.iter().max_by(|a, b| off(a).total_cmp(&off(b)));
    Bar {
        issue,
        what: what.to_owned(),
        must: quantity.format(wanted),
        was: worst.map(|&value| quantity.format(value)),
        met: worst.is_some_and(|value| off(value) == 0.0),
    }
}

/// Measurements to look in.
struct Found<'a>(&'a [Measurement]);

impl Found<'_> {
    fn find(
        &self,
        group: &str,
        case: &str,
        quantity: Quantity,
        tool: &str,
    ) -> Option<&Measurement> {
        // With its version or without.
        let is_tool = |name: &str| name == tool || name.split(' ').next() == Some(tool);
        self.0.iter().find(|one| {
            one.group == group
                && one.case == case
                && one.quantity == Some(quantity)
                && is_tool(&one.tool)
        })
    }

    fn of(&self, group: &str, case: &str, quantity: Quantity, tool: &str) -> Option<f64> {
        self.find(group, case, quantity, tool)?.median
    }

    fn ours(&self, group: &str, case: &str, quantity: Quantity) -> Option<f64> {
        self.of(group, case, quantity, Kind::Probekit.name())
    }

    fn all_ours(&self, group: &str, case: &str, quantity: Quantity) -> &[f64] {
        let found = self.find(group, case, quantity, Kind::Probekit.name());
        found.map_or(&[], |one| &one.samples)
    }

    /// What an event costs in all: the tracepoint's own cost too.
    fn over_nothing(&self, case: &str, workload: &str, tool: Kind) -> Option<f64> {
        let nothing = self.of(cost::GROUP, workload, Quantity::PerCall, cost::NO_TOOL)?;
        let call = self.of(cost::GROUP, case, Quantity::PerCall, tool.name())?;
        Some(call - nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar<'a>(bars: &'a [Bar], what: &str) -> &'a Bar {
        let mut bars = bars.iter();
        bars.find(|bar| bar.what.contains(what)).expect("a bar")
    }

    #[test]
    fn a_bar_is_met_by_what_was_measured_only() {
        let none = bars(&[]);
        assert!(none.iter().all(|bar| bar.was.is_none() && !bar.met));

        let live = |ns| {
            let (case, quantity) = (start::COUNT_MALLOC, Quantity::Live);
            bars(&[Measurement::new(
                start::GROUP,
                case,
                "probekit",
                quantity,
                vec![ns],
            )])
        };
        assert!(bar(&live(19e6), "first probe live").met);
        assert!(!bar(&live(21e6), "first probe live").met);
    }

    #[test]
    fn stacks_are_compared_with_bcc_over_a_run_without_tools() {
        let calls = |case: &str, tool: &str, ns| {
            Measurement::new(cost::GROUP, case, tool, Quantity::PerCall, vec![ns])
        };
        let stack = "stack, system call tracepoint";
        let measured = [
            calls("system call tracepoint", cost::NO_TOOL, 100.0),
            calls(stack, "probekit", 1600.0),
            calls(stack, "bcc 0.37", 2100.0),
        ];
        let bars = bars(&measured);
        let compared = bar(&bars, "to bcc's in the same run");
        assert_eq!(
            (compared.was.as_deref(), compared.met),
            (Some("0.750"), true)
        );
    }

    #[test]
    fn one_lost_event_in_one_round_is_too_many() {
        let delivered = |samples| {
            let (case, quantity) = (rate::TO_FILE, Quantity::Delivered);
            bars(&[Measurement::new(
                rate::GROUP,
                case,
                "probekit",
                quantity,
                samples,
            )])
        };
        assert!(bar(&delivered(vec![1.0, 1.0]), "3 million").met);
        assert!(!bar(&delivered(vec![1.0, 0.999_999_7, 1.0]), "3 million").met);
    }
}
