//! The probes whose specs begin as what has been typed.

use std::collections::BTreeSet;

use super::{Query, listed};
use crate::{
    resolve::{self, Scope, binary},
    spec::{Kind, Syntax},
};

/// More are of no use to anybody who types.
const UP_TO: usize = 5000;

/// What a spec that begins with `typed` can go on as; parts of it (`t:sched:`) end in a colon. What
/// can't be looked up has none.
#[must_use]
pub fn complete(typed: &str) -> Vec<String> {
    let kind = typed.split_once(':');
    let kind = kind.and_then(|(word, rest)| Some((Kind::from_word(word)?, rest)));
    let mut found: BTreeSet<String> = match kind {
        None if typed.is_empty() => ["p:", "r:", "t:", "u:"].map(str::to_owned).into(),
        Some((Kind::Tracepoint, rest)) if !rest.contains(':') => {
            let events = specs(&format!("{typed}*:*"));
            events.iter().filter_map(|event| category(event)).collect()
        }
        Some((Kind::Usdt, rest)) => match rest.split_once(':') {
            Some((file, name)) => usdt(file, name, typed),
            None => BTreeSet::new(),
        },
        _ => specs(&format!("{typed}*")).into_iter().collect(),
    };
    let rest = kind.map_or(typed, |(_, rest)| rest);
    let has_file = !matches!(kind, Some((Kind::Tracepoint, _)));
    if has_file && !typed.is_empty() && !rest.contains(':') {
        let before = &typed[..typed.len() - rest.len()];
        let files = binary::complete(rest).into_iter();
        found.extend(files.map(|file| format!("{before}{file}")));
    }
    let mut found: Vec<String> = found.into_iter().collect();
    found.retain(|spec| spec.starts_with(typed));
    found.truncate(UP_TO);
    found
}

/// The specs that a pattern stands for.
fn specs(pattern: &str) -> Vec<String> {
    let Ok(query) = Query::parse(pattern, Syntax::Glob, false) else {
        return Vec::new();
    };
    let resolve = |spec| {
        let resolved = resolve::resolve(std::slice::from_ref(&spec), &Scope::default());
        let probes = resolved.map(|resolved| resolved.probes).unwrap_or_default();
        let listed = probes
            .into_iter()
            .flat_map(|probe| listed::listed(&spec, probe));
        listed.map(|(probe, _)| probe.spec).collect::<Vec<_>>()
    };
    query.specs(&[]).into_iter().flat_map(resolve).collect()
}

/// `t:sched:` of `t:sched:sched_switch`.
fn category(event: &str) -> Option<String> {
    event
        .rsplit_once(':')
        .map(|(before, _)| format!("{before}:"))
}

/// With their providers if one may be meant by what has been typed, else without.
fn usdt(file: &str, name: &str, typed: &str) -> BTreeSet<String> {
    let all = specs(&format!("u:{file}:*"));
    let is_provider = all.iter().any(|spec| spec.starts_with(typed));
    if is_provider || name.contains(':') {
        return all.into_iter().collect();
    }
    let short = |spec: &String| Some(format!("u:{file}:{}", spec.rsplit_once(':')?.1));
    all.iter().filter_map(short).collect()
}
