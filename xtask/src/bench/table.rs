//! Measurements as a table: a row for each case and quantity, a column for each tool.

use super::{
    measurement::{Measurement, Quantity},
    tracer::Kind,
};

/// The tables of all groups, in Markdown.
#[must_use]
pub fn tables(measurements: &[Measurement]) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for measurement in measurements {
        if !groups.contains(&measurement.group.as_str()) {
            groups.push(&measurement.group);
        }
    }
    let tables = groups.into_iter().map(|group| {
        let of = |one: &&Measurement| one.group == group;
        let rows: Vec<&Measurement> = measurements.iter().filter(of).collect();
        format!(
            "### {group}\n\n{}{}",
            aligned(&cells(&rows)),
            failures(&rows)
        )
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// Why there is no number, a line each.
fn failures(measurements: &[&Measurement]) -> String {
    let lines = measurements.iter().filter_map(|one| {
        let why = one.failure.as_deref()?;
        Some(format!("- {}, {}: {why}\n", one.tool, one.case))
    });
    let lines: String = lines.collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\nFailed:\n\n{lines}")
    }
}

/// Rows of words: the header first.
fn cells(measurements: &[&Measurement]) -> Vec<Vec<String>> {
    let mut tools: Vec<&str> = Vec::new();
    let mut cases: Vec<&str> = Vec::new();
    let mut quantities: Vec<Quantity> = Vec::new();
    for one in measurements {
        push_new(&mut tools, one.tool.as_str());
        push_new(&mut cases, one.case.as_str());
        if let Some(quantity) = one.quantity {
            push_new(&mut quantities, quantity);
        }
    }
    let mut header = vec!["what".to_owned()];
    header.extend(tools.iter().map(|&tool| tool.to_owned()));
    let mut rows = vec![header];
    for case in cases {
        let of_case: Vec<&Measurement> = measurements
            .iter()
            .filter(|one| one.case == case)
            .copied()
            .collect();
        let has = |quantity: &Quantity| of_case.iter().any(|one| one.quantity == Some(*quantity));
        let mut wanted: Vec<Option<Quantity>> =
            quantities.iter().copied().filter(has).map(Some).collect();
        if wanted.is_empty() {
            wanted.push(None);
        }
        for quantity in wanted {
            let label = quantity.map_or_else(String::new, |quantity| format!(": {quantity}"));
            let mut row = vec![format!("{case}{label}")];
            row.extend(tools.iter().map(|tool| cell(&of_case, tool, quantity)));
            rows.push(row);
        }
    }
    rows
}

fn push_new<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// A median with its ratio to ours, or that there is none.
fn cell(of_case: &[&Measurement], tool: &str, quantity: Option<Quantity>) -> String {
    let find = |tool: &str| {
        let mut all = of_case.iter();
        all.find(|one| one.tool == tool && one.quantity == quantity && one.median.is_some())
    };
    let value = find(tool).and_then(|one| Some((one.quantity?, one.median?)));
    let failed = of_case
        .iter()
        .any(|one| one.tool == tool && one.failure.is_some());
    match value {
        Some((quantity, value)) => {
            let mut text = quantity.format(value);
            let ours = find(Kind::Probekit.name()).and_then(|one| one.median);
            let ratio = ours.filter(|_| tool != Kind::Probekit.name());
            if let Some(ratio) = ratio.and_then(|ours| ratio_to(quantity, value, ours)) {
                text += &format!(" ({ratio})");
            }
            if failed {
                text += ", then failed";
            }
            text
        }
        None if failed => "failed".to_owned(),
        None => "–".to_owned(),
    }
}

/// `value` as so many times `ours`; nothing where that says nothing.
fn ratio_to(quantity: Quantity, value: f64, ours: f64) -> Option<String> {
    let compared = match quantity {
        // The rest is noise.
        Quantity::OverEmpty => ours > 5.0 && value > 5.0,
        Quantity::Live
        | Quantity::FirstEvent
        | Quantity::End
        | Quantity::Peak
        | Quantity::PerCall
        | Quantity::Rate => ours > 0.0,
        Quantity::Delivered
        | Quantity::ToldLost
        | Quantity::Unaccounted
        | Quantity::Stacks
        | Quantity::Places => false,
    };
    let ratio = value / ours;
    let digits = if ratio < 10.0 { 2 } else { 0 };
    compared.then(|| format!("{ratio:.digits$}×"))
}

/// A Markdown table whose columns line up.
#[must_use]
pub fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let words = rows.iter().filter_map(|row| row.get(column));
        words.map(|word| word.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let words = row.iter().zip(&widths);
        let words: Vec<String> = words
            .map(|(word, width)| format!("{word:<width$}"))
            .collect();
        text += &format!("| {} |\n", words.join(" | "));
        if index == 0 {
            let lines: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text += &format!("| {} |\n", lines.join(" | "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_ratios_and_what_failed() {
        let live = |tool: &str, ns| Measurement::new("start", "malloc", tool, Quantity::Live, ns);
        let failed = Measurement {
            quantity: None,
            median: None,
            samples: Vec::new(),
            failure: Some("too many probes".to_owned()),
            ..live("bpftrace 0.27", Vec::new())
        };
        let measured = [
            live("probekit", vec![10e6, 12e6, 11e6]),
            live("bcc 0.37", vec![550e6]),
            failed,
        ];
        assert_eq!(
            tables(&measured),
            "### start

| what                  | probekit | bcc 0.37     | bpftrace 0.27 |
| --------------------- | -------- | ------------ | ------------- |
| malloc: start to live | 11.0 ms  | 550 ms (50×) | failed        |

Failed:

- bpftrace 0.27, malloc: too many probes
"
        );
    }

    #[test]
    fn noise_is_not_compared() {
        assert_eq!(ratio_to(Quantity::OverEmpty, 900.0, 0.1), None);
        assert_eq!(
            ratio_to(Quantity::OverEmpty, 900.0, 300.0).as_deref(),
            Some("3.00×")
        );
        assert_eq!(ratio_to(Quantity::Places, 2.0, 1.0), None);
    }
}
