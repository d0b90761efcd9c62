//! From what a spec was resolved to, to specs of single probes.

use std::collections::BTreeMap;

use crate::{
    render::{ListedProbe, ProbeKind},
    resolve::{AttachPoint, Probe, UserPoint},
    spec::{Kind, Moment, ProbeSpec, Syntax, Target},
};

/// A probe as it is listed, and the places that it stands for.
pub(super) type WithPoints = (ListedProbe, Vec<AttachPoint>);

/// The lines for a probe that `spec` was resolved to: one, or one for each file where the spec does
/// not say in which it is.
pub(super) fn listed(spec: &ProbeSpec, probe: Probe) -> Vec<WithPoints> {
    match &spec.target {
        Target::KernelFunction(function) => {
            let kind = match function.moment {
                Moment::Entry => "",
                Moment::Return => "r::",
            };
            let spec = format!("{kind}{}{}", probe.name, offset(function.offset));
            vec![kernel_probe(spec, ProbeKind::KernelFunction, probe)]
        }
        Target::Tracepoint(_) => {
            let spec = format!("t:{}", probe.name);
            vec![kernel_probe(spec, ProbeKind::Tracepoint, probe)]
        }
        Target::UserFunction { binary, function } => {
            let kind = match function.moment {
                Moment::Return => "r:",
                // Or the file would be taken for a kind.
                Moment::Entry if Kind::from_word(binary).is_some() => "p:",
                Moment::Entry => "",
            };
            let name = exact_name(&format!("{kind}{binary}:"), &probe);
            let spec = format!("{kind}{binary}:{name}{}", offset(function.offset));
            let first = user_points(&probe).next();
            let listed = ListedProbe {
                spec,
                kind: ProbeKind::UserFunction,
                name: probe.name.clone(),
                module: None,
                file: first.map(shown_file),
                places: probe.points.len(),
                detail: None,
            };
            vec![(listed, probe.points)]
        }
        Target::Usdt { binary, .. } => usdt_probes(binary, &probe),
    }
}

fn offset(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!("+{bytes:#x}"),
    }
}

fn kernel_probe(spec: String, kind: ProbeKind, probe: Probe) -> WithPoints {
    let module = probe.points.iter().find_map(|point| match point {
        AttachPoint::Kernel(point) => point.module.clone(),
        _ => None,
    });
    let listed = ListedProbe {
        spec,
        kind,
        name: probe.name,
        module,
        file: None,
        places: probe.points.len(),
        detail: None,
    };
    (listed, probe.points)
}

/// A line for each file: a provider can be in several of those that a process has mapped, and a
/// library another one in each process.
fn usdt_probes(binary: &str, probe: &Probe) -> Vec<WithPoints> {
    let mut files: BTreeMap<String, Vec<UserPoint>> = BTreeMap::new();
    for point in user_points(probe) {
        let points = files.entry(shown_file(point)).or_default();
        points.push(point.clone());
    }
    let lines = files.into_iter().map(|(file, points)| {
        let symbol = points.first().map_or("", |point| &point.symbol);
        let is_named = points.iter().all(|point| point.file.pid.is_none());
        let place = if is_named { binary } else { &*file };
        let listed = ListedProbe {
            spec: format!("u:{place}:{symbol}"),
            kind: ProbeKind::Usdt,
            name: symbol.to_owned(),
            module: None,
            places: points.len(),
            file: Some(file.clone()),
            detail: None,
        };
        (listed, points.into_iter().map(AttachPoint::User).collect())
    });
    lines.collect()
}

/// The function's name if that can be written in a spec and means nothing else, or else its symbol.
/// Names of C++ have spaces, and stars that would stand for anything.
fn exact_name(before: &str, probe: &Probe) -> String {
    let name = &probe.name;
    let is_exact = |name: &str| {
        let spec = ProbeSpec::parse(&format!("{before}{name}"), Syntax::Glob);
        spec.is_ok_and(|spec| match spec.target {
            Target::UserFunction { function, .. } => function.name.literal() == Some(name),
            _ => false,
        })
    };
    if is_exact(name) {
        return name.clone();
    }
    let mut symbols = user_points(probe).map(|point| &point.symbol);
    match symbols.next() {
        Some(first) if symbols.all(|symbol| symbol == first) && is_exact(first) => first.clone(),
        // Constructors have several symbols of one name.
        _ => name.replace(char::is_whitespace, "*"),
    }
}

fn user_points(probe: &Probe) -> impl Iterator<Item = &UserPoint> {
    probe.points.iter().filter_map(|point| match point {
        AttachPoint::User(point) => Some(point),
        _ => None,
    })
}

fn shown_file(point: &UserPoint) -> String {
    point.file.shown.display().to_string()
}
