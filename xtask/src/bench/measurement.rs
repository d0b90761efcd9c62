//! What is measured: cases, their samples, and cases run in turns.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

use serde::{Deserialize, Serialize};

use super::statistics::median;

/// What a number is of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// From the start of a tool until all its probes are live.
    Live,
    /// From the start of a tool until its first event is printed.
    FirstEvent,
    /// From Ctrl-C until the tool is gone: taking probes away, naming, printing.
    End,
    /// The most memory that was resident at a time.
    Peak,
    /// CPU time of one call of the traced program, with its probe.
    PerCall,
    /// [`Quantity::PerCall`] less that with a BPF program that returns at once, of the same round.
    OverEmpty,
    /// Events printed a second, from the first call until the last line.
    Rate,
    /// Of all events, the part that was printed or counted.
    Delivered,
    /// Events that were not printed, by the tool's own account.
    ToldLost,
    /// Events that were neither printed nor told to be lost.
    Unaccounted,
    /// Different stacks that were printed.
    Stacks,
    /// Places that a pattern was attached to.
    Places,
}

impl Quantity {
    /// As a row of the table calls it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Live => "start to live",
            Self::FirstEvent => "start to first event",
            Self::End => "Ctrl-C to end",
            Self::Peak => "peak memory",
            Self::PerCall => "a call",
            Self::OverEmpty => "over the empty program",
            Self::Rate => "events",
            Self::Delivered => "printed",
            Self::ToldLost => "told as lost",
            Self::Unaccounted => "not accounted for",
            Self::Stacks => "stacks printed",
            Self::Places => "places",
        }
    }

    /// `value` with its unit.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Live | Self::FirstEvent | Self::End | Self::PerCall | Self::OverEmpty => {
                format_ns(value)
            }
            Self::Peak => format!("{} MB", significant(value / 1e6)),
            Self::Rate => format!("{} k/s", significant(value / 1e3)),
            Self::Delivered => format!("{:.1} %", value * 100.0),
            Self::ToldLost | Self::Unaccounted | Self::Stacks | Self::Places => {
                format!("{value:.0}")
            }
        }
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

fn format_ns(value_ns: f64) -> String {
    let (unit, size) = match value_ns.abs() {
        size if size < 1e3 => ("ns", 1.0),
        size if size < 1e6 => ("µs", 1e3),
        size if size < 1e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{} {unit}", significant(value_ns / size))
}

/// Three digits, or all of those before the point.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// One number of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// What it is of.
    pub quantity: Quantity,
    /// In nanoseconds, bytes, events a second, parts of one, or as a number.
    pub value: f64,
}

impl Sample {
    /// A sample of `quantity`.
    #[must_use]
    pub fn new(quantity: Quantity, value: f64) -> Self {
        Self { quantity, value }
    }
}

/// All samples of one quantity of one tool in one case.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Measurement {
    /// The group that measured it, as `--only` names it.
    pub group: String,
    /// What was done.
    pub case: String,
    /// Which tool did it.
    pub tool: String,
    /// What the samples are of; nothing where no run succeeded.
    pub quantity: Option<Quantity>,
    /// One a round, in [`Sample::value`]'s units.
    pub samples: Vec<f64>,
    /// Their median.
    pub median: Option<f64>,
    /// Why a run failed; there is none after it.
    pub failure: Option<String>,
}

impl Measurement {
    /// A measurement with the median of `samples`.
    #[must_use]
    pub fn new(group: &str, case: &str, tool: &str, quantity: Quantity, samples: Vec<f64>) -> Self {
        Self {
            group: group.to_owned(),
            case: case.to_owned(),
            tool: tool.to_owned(),
            quantity: Some(quantity),
            median: median(&samples),
            samples,
            failure: None,
        }
    }

    fn failed(group: &str, case: &str, tool: &str, failure: String) -> Self {
        Self {
            group: group.to_owned(),
            case: case.to_owned(),
            tool: tool.to_owned(),
            quantity: None,
            samples: Vec::new(),
            median: None,
            failure: Some(failure),
        }
    }
}

/// Something that one tool does once a round.
pub struct Case<'a> {
    name: String,
    tool: String,
    run: Box<dyn Fn() -> anyhow::Result<Vec<Sample>> + 'a>,
}

impl<'a> Case<'a> {
    /// What `tool` does in the case `name`.
    pub fn new(name: &str, tool: &str, run: impl Fn() -> anyhow::Result<Vec<Sample>> + 'a) -> Self {
        Self {
            name: name.to_owned(),
            tool: tool.to_owned(),
            run: Box::new(run),
        }
    }
}

/// Runs all `cases` once, then all of them again, `rounds` times: what else the machine does then
/// meets all tools alike. A case that fails is not tried again.
#[must_use]
pub fn in_turns(group: &str, cases: &[Case<'_>], rounds: usize) -> Vec<Measurement> {
    let mut outcomes: Vec<Outcome> = cases.iter().map(|_| Outcome::default()).collect();
    for round in 1..=rounds {
        for (case, outcome) in cases.iter().zip(&mut outcomes) {
            if outcome.failure.is_some() {
                continue;
            }
            eprintln!(
                "{group}, round {round} of {rounds}: {}: {}",
                case.name, case.tool
            );
            match (case.run)() {
                Ok(samples) => outcome.add(&samples),
                Err(error) => {
                    let why = format!("{error:#}");
                    eprintln!("  failed: {why}");
                    outcome.failure = Some(why);
                }
            }
        }
    }
    let pairs = cases.iter().zip(outcomes);
    pairs
        .flat_map(|(case, outcome)| outcome.into_measurements(group, case))
        .collect()
}

/// What became of a case's runs.
#[derive(Default)]
struct Outcome {
    samples: BTreeMap<Quantity, Vec<f64>>,
    failure: Option<String>,
}

impl Outcome {
    fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            let all = self.samples.entry(sample.quantity).or_default();
            all.push(sample.value);
        }
    }

    fn into_measurements(self, group: &str, case: &Case<'_>) -> Vec<Measurement> {
        let Self { samples, failure } = self;
        let measured = samples.into_iter().map(|(quantity, samples)| {
            Measurement::new(group, &case.name, &case.tool, quantity, samples)
        });
        let failed = failure.map(|why| Measurement::failed(group, &case.name, &case.tool, why));
        measured.chain(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn cases_take_turns_and_failed_ones_are_told_but_not_repeated() {
        let (first, second) = (Cell::new(0.0), Cell::new(0));
        let cases = [
            Case::new("c", "ours", || {
                first.set(first.get() + 1.0);
                Ok(vec![Sample::new(Quantity::Live, first.get())])
            }),
            Case::new("c", "peer", || {
                // The other has had its turn.
                assert!((first.get() - 1.0).abs() < 0.1);
                second.set(second.get() + 1);
                bail!("no such option")
            }),
        ];
        let measurements = in_turns("start", &cases, 3);
        let ours = Measurement::new("start", "c", "ours", Quantity::Live, vec![1.0, 2.0, 3.0]);
        let peer = Measurement::failed("start", "c", "peer", "no such option".to_owned());
        assert_eq!(measurements, [ours, peer]);
        assert_eq!(second.get(), 1);
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        let shown = |quantity: Quantity, value| quantity.format(value);
        assert_eq!(shown(Quantity::Live, 11_480_000.0), "11.5 ms");
        assert_eq!(shown(Quantity::PerCall, 253.4), "253 ns");
        assert_eq!(shown(Quantity::OverEmpty, -0.5), "-0.50 ns");
        assert_eq!(shown(Quantity::End, 3.7e9), "3.70 s");
        assert_eq!(shown(Quantity::Peak, 4_100_000.0), "4.10 MB");
        assert_eq!(shown(Quantity::Rate, 2_100_000.0), "2100 k/s");
        assert_eq!(shown(Quantity::Delivered, 0.2536), "25.4 %");
    }
}
