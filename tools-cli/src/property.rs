//! How many inputs the tests of properties try.

use std::env;

use proptest::prelude::ProptestConfig;

/// `PROPTEST_CASES` inputs if that is set, for long runs, else `cases`. Counterexamples become fixed
/// cases by hand, not files beside the sources.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let asked_for = env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked_for
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
