//! The matrix: which tests passed on which kernel.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

/// Tests that passed, and all.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    passed: usize,
    all: usize,
}

/// Results by area and kernel.
#[derive(Debug, Default)]
pub struct Matrix {
    columns: Vec<String>,
    cells: BTreeMap<(String, String), Cell>,
    /// What failed, and what was written about it.
    failures: Vec<(String, String)>,
}

impl Matrix {
    /// Adds what a test executable wrote on `kernel`; all of it as one area, or each test as its
    /// module's.
    pub fn add(&mut self, kernel: &str, output: &str, area: Option<&str>) {
        let mut count = 0;
        let mut failed = Vec::new();
        for (name, passed) in output.lines().filter_map(result) {
            count += 1;
            let area = area.unwrap_or_else(|| area_of(name));
            self.cell(kernel, area, passed);
            if !passed {
                failed.push(name);
            }
        }
        if count == 0 || !failed.is_empty() {
            let what = if count == 0 {
                "no test was run".to_owned()
            } else {
                failed.join(", ")
            };
            self.failures
                .push((format!("{kernel}: {what}"), output.to_owned()));
        }
        if count == 0 {
            self.cell(kernel, area.unwrap_or("suite"), false);
        }
    }

    /// Adds something that failed beside the tests.
    pub fn fail(&mut self, kernel: &str, area: &str, why: &str) {
        self.cell(kernel, area, false);
        self.failures
            .push((format!("{kernel}: {area}"), why.to_owned()));
    }

    /// How many tests failed on a kernel.
    #[must_use]
    pub fn failures_on(&self, kernel: &str) -> usize {
        let cells = self
            .cells
            .iter()
            .filter(|((_, column), _)| column == kernel);
        cells.map(|(_, cell)| cell.all - cell.passed).sum()
    }

    /// Whether all passed, and there were some.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let all: usize = self.cells.values().map(|cell| cell.all).sum();
        all > 0 && self.failures.is_empty()
    }

    fn cell(&mut self, kernel: &str, area: &str, passed: bool) {
        if !self.columns.iter().any(|column| column == kernel) {
            self.columns.push(kernel.to_owned());
        }
        let cell = self
            .cells
            .entry((area.to_owned(), kernel.to_owned()))
            .or_default();
        cell.all += 1;
        cell.passed += usize::from(passed);
    }
}

/// The test and its result in a line such as `test ways::uprobe::counts ... ok`.
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    match result.trim() {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

/// The area that a test is about: a way of attaching, or its module.
fn area_of(test: &str) -> &str {
    let mut modules = test.split("::");
    match modules.next() {
        Some("ways") => modules.next().unwrap_or("ways"),
        Some(module) => module,
        None => test,
    }
}

impl Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, output) in &self.failures {
            writeln!(f, "\n==== {what}\n{output}")?;
        }
        let mut areas: Vec<&String> = self.cells.keys().map(|(area, _)| area).collect();
        areas.dedup();
        write!(f, "\n{:<20}", "")?;
        for column in &self.columns {
            write!(f, "{column:>12}")?;
        }
        writeln!(f)?;
        for area in areas {
            write!(f, "{area:<20}")?;
            for column in &self.columns {
                let cell = self.cells.get(&(area.clone(), column.clone()));
                let text = cell.map_or("-".to_owned(), |cell| {
                    format!("{}/{}", cell.passed, cell.all)
                });
                write!(f, "{text:>12}")?;
            }
            writeln!(f)?;
        }
        let all: usize = self.cells.values().map(|cell| cell.all).sum();
        let passed: usize = self.cells.values().map(|cell| cell.passed).sum();
        writeln!(f, "\n{passed} passed, {} failed", all - passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_by_area_and_kernel() {
        let mut matrix = Matrix::default();
        matrix.add(
            "6.12",
            "test ways::uprobe::a ... ok\ntest usdt::b ... ok\nnoise\n",
            None,
        );
        assert!(matrix.is_good());
        matrix.add("5.10", "test ways::uprobe::a ... FAILED\n", None);
        assert!(!matrix.is_good());
        let text = matrix.to_string();
        let row = |name: &str, cells: [&str; 2]| {
            format!("\n{name:<20}{:>12}{:>12}\n", cells[0], cells[1])
        };
        assert!(text.contains(&row("uprobe", ["1/1", "0/1"])), "{text}");
        assert!(text.contains(&row("usdt", ["1/1", "-"])), "{text}");
        assert!(text.ends_with("\n2 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn running_no_test_is_a_failure() {
        let mut matrix = Matrix::default();
        matrix.add("6.12", "nothing\n", None);
        assert!(!matrix.is_good());
    }
}
