//! Statically defined probes of programs and libraries.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    AttachPoint, Error, Probe, Scope, TargetFile, UserPoint,
    binary::{self, BinaryFiles},
    elf::{DebugSymbols, ElfError, Image, Operand, UsdtSite},
    found::Found,
    suggest,
};
use crate::spec::{Moment, Pattern};

/// Finds the probes that `probe` means in `binary`, for each process of the scope.
///
/// With a process, `binary` may also be a provider: all files that the process has mapped are
/// searched for it (`u:hotspot:gc__begin` finds the JVM's library).
///
/// # Errors
///
/// When the binary is not there or can't be read, or none of its probes is meant.
pub(super) fn find(
    binary: &str,
    provider: Option<&Pattern>,
    probe: &Pattern,
    scope: &Scope,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut points: BTreeMap<(String, String), Vec<AttachPoint>> = BTreeMap::new();
    let mut found_sites = 0;
    let mut known = Vec::new();
    for pid in scope.rounds() {
        let before = found_sites;
        let BinaryFiles {
            files,
            provider: is_provider,
        } = binary::find_or_all(binary, pid)?;
        for file in files {
            let file = Arc::new(scope.confine(file));
            for (site, operands) in sites(&file, is_provider, &mut found)? {
                let wanted = if is_provider {
                    site.provider == binary
                } else {
                    provider.is_none_or(|provider| provider.matches(&site.provider))
                };
                if wanted && probe.matches(&site.name) {
                    found_sites += 1;
                    let point = point(&file, &site, operands);
                    points
                        .entry((site.provider, site.name))
                        .or_default()
                        .push(point);
                } else {
                    known.push(site.name);
                }
            }
        }
        if let Some(pid) = pid.filter(|_| found_sites == before) {
            let note =
                format!("process {pid} has no USDT probe of {binary} that matches `{probe}`");
            found.notes.push(note);
        }
    }
    if points.is_empty() {
        return Err(Error::NoUsdt {
            place: binary.to_owned(),
            pattern: probe.to_string(),
            hint: hint(&probe.to_string(), &mut known),
        });
    }
    found.notes.sort();
    found.notes.dedup();
    let probes = points
        .into_iter()
        .map(|((_, name), points)| Probe::new(name, points));
    found.probes.extend(probes);
    Ok(found)
}

/// The probes of a file. Among all files of a process, those that can't be read have none.
fn sites(
    file: &TargetFile,
    is_one_of_many: bool,
    found: &mut Found,
) -> Result<Vec<(UsdtSite, Vec<Operand>)>, Error> {
    let read = || -> Result<_, ElfError> {
        let image = Image::open_as(&file.path, &file.shown)?;
        let elf = image.elf()?;
        let in_file = elf.usdt_probes();
        let with_operands = |site: UsdtSite| {
            let operands = elf.usdt_operands(&site, &DebugSymbols::none());
            (site, operands)
        };
        let sites = in_file.sites.into_iter().map(with_operands).collect();
        Ok((sites, in_file.notes))
    };
    match read() {
        Ok((sites, notes)) => {
            found.notes.extend(notes);
            Ok(sites)
        }
        Err(_) if is_one_of_many => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn point(file: &Arc<TargetFile>, site: &UsdtSite, operands: Vec<Operand>) -> AttachPoint {
    AttachPoint::User(UserPoint {
        file: Arc::clone(file),
        offset: site.offset,
        semaphore: site.semaphore,
        moment: Moment::Entry,
        is_function_start: false,
        operands,
        symbol: format!("{}:{}", site.provider, site.name),
    })
}

fn hint(wanted: &str, known: &mut Vec<String>) -> String {
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return "; it has none".to_owned();
    }
    suggest(wanted, known.iter().map(String::as_str))
}
