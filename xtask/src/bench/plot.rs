//! The tools compared, as a picture.
//!
//! Written by hand: bars with words beside them are a few rectangles and texts, while a plotting
//! library brings scales, legends and fonts, and has no grouped bars on a logarithmic scale.

use super::{
    attach, cost, growth,
    measurement::{Measurement, Quantity},
    start,
    tracer::Kind,
};

const ROWS: [(&str, &str, &str, Quantity); 9] = [
    (
        start::GROUP,
        start::COUNT_MALLOC,
        "start, count c:malloc",
        Quantity::Live,
    ),
    (
        start::GROUP,
        start::COUNT_MALLOC,
        "peak memory of that",
        Quantity::Peak,
    ),
    (
        start::GROUP,
        start::TRACE_MALLOC,
        "start, trace c:malloc: first event",
        Quantity::FirstEvent,
    ),
    (
        attach::GROUP,
        "100 user functions",
        "start, count 100 functions",
        Quantity::Live,
    ),
    (
        attach::GROUP,
        "1,000 user functions",
        "start, count 1,000 functions",
        Quantity::Live,
    ),
    (
        attach::GROUP,
        "1,000 user functions",
        "end of that",
        Quantity::End,
    ),
    (
        cost::GROUP,
        "stack, system call tracepoint",
        "a stack, over an empty program",
        Quantity::OverEmpty,
    ),
    (
        cost::GROUP,
        "trace, system call tracepoint",
        "a message, over an empty program",
        Quantity::OverEmpty,
    ),
    (
        growth::STACKS,
        "1,000 stacks of 50,000 symbols",
        "1,000 stacks named and printed",
        Quantity::End,
    ),
];
const COLOURS: [&str; 3] = ["#2563eb", "#f59e0b", "#9ca3af"];

const BAR: usize = 14;
const GAP: usize = 12;
const TOP: usize = 48;
const LABELS: f64 = 260.0;
const WIDTH: f64 = 860.0;
/// For the values behind the bars.
const VALUES: f64 = 130.0;

/// Bars of all tools, as many times as ours, on a logarithmic scale.
#[must_use]
pub fn compared(measurements: &[Measurement]) -> String {
    let groups: Vec<(&str, Vec<Bar>)> = ROWS
        .iter()
        .filter_map(|row| Some((row.2, bars(measurements, row)?)))
        .collect();
    let most = groups
        .iter()
        .flat_map(|(_, bars)| bars)
        .map(|bar| bar.times)
        .fold(10.0, f64::max);
    let mut tools: Vec<&str> = Vec::new();
    let mut body = String::new();
    let mut y = TOP;
    for (label, bars) in &groups {
        let middle = y + bars.len() * BAR / 2 + 4;
        body += &text(LABELS - 10.0, middle, "end", label);
        for bar in bars {
            let tool = tools.iter().position(|tool| *tool == bar.tool);
            let tool = tool.unwrap_or_else(|| {
                tools.push(&bar.tool);
                tools.len() - 1
            });
            body += &bar.draw(y, most, COLOURS.get(tool).unwrap_or(&"#000"));
            y += BAR;
        }
        y += GAP;
    }
    let height = y + GAP;
    let legend: String = tools
        .iter()
        .zip(COLOURS)
        .zip([0.0, 110.0, 220.0])
        .map(|((tool, colour), shift)| {
            let x = LABELS + shift;
            format!("<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\n")
                + &text(x + 17.0, 24, "start", tool)
        })
        .collect();
    let scale = text(LABELS - 10.0, 24, "end", "shorter is better; logarithmic");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{legend}{scale}{body}</svg>\n"
    )
}

struct Bar {
    tool: String,
    value: String,
    /// As many times as ours.
    times: f64,
}

impl Bar {
    /// Ours has a length too, so that it is seen.
    fn draw(&self, y: usize, most: f64, colour: &str) -> String {
        let part = (1.0 + self.times.max(1.0).log10()) / (1.0 + most.log10());
        let length = (WIDTH - LABELS - VALUES) * part;
        let height = BAR - 2;
        let times = match self.times {
            1.0 => String::new(),
            times if times < 10.0 => format!(" ({times:.1}×)"),
            times => format!(" ({times:.0}×)"),
        };
        format!(
            "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.0}\" height=\"{height}\" fill=\"{colour}\"/>\n"
        ) + &text(
            LABELS + length + 5.0,
            y + height - 2,
            "start",
            &(self.value.clone() + &times),
        )
    }
}

/// The bars of a row; nothing where ours was not measured. A tool that failed has none.
fn bars(
    measurements: &[Measurement],
    (group, case, _, quantity): &(&str, &str, &str, Quantity),
) -> Option<Vec<Bar>> {
    let of_row = || {
        let is_row = |one: &&Measurement| {
            one.group == *group && one.case == *case && one.quantity == Some(*quantity)
        };
        measurements.iter().filter(is_row)
    };
    let ours = of_row()
        .find(|one| one.tool == Kind::Probekit.name())?
        .median?;
    let bars = of_row().filter_map(|one| {
        let value = one.median?;
        Some(Bar {
            tool: one.tool.clone(),
            value: quantity.format(value),
            times: value / ours,
        })
    });
    Some(bars.collect())
}

fn text(x: f64, y: usize, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.0}\" y=\"{y}\" text-anchor=\"{anchor}\">{words}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_bar_for_each_tool_that_was_measured() {
        let live = |tool: &str, ns| {
            Measurement::new(
                start::GROUP,
                start::COUNT_MALLOC,
                tool,
                Quantity::Live,
                vec![ns],
            )
        };
        let picture = compared(&[live("probekit", 11e6), live("bcc 0.37", 550e6)]);
        assert!(picture.contains(">start, count c:malloc<"), "{picture}");
        assert!(picture.contains(">11.0 ms<"), "{picture}");
        assert!(picture.contains(">550 ms (50×)<"), "{picture}");
        // Two bars, their places in the legend, and the ground.
        assert_eq!(picture.matches("<rect").count(), 5, "{picture}");
        assert!(!picture.contains("peak memory"), "{picture}");
    }
}
