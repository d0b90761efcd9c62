//! Attaching many places by one link, when some of them can't be: the kernel refuses the whole and
//! does not say which, so the places are halved until the bad ones stand alone.

use std::io;

use super::{Failure, Link, Observer, Outcome, Site, Unattached, WayError};

/// Attaches `sites` by as few calls of `link` as it takes to leave out those that fail.
pub(super) fn attach<'a>(
    sites: &[Site<'a>],
    observer: &dyn Observer,
    outcome: &mut Outcome<'a>,
    link: &mut dyn FnMut(&[Site<'a>]) -> io::Result<Link>,
) -> Result<(), WayError> {
    // Depth first, left to right.
    let mut todo = vec![sites];
    while let Some(sites) = todo.pop() {
        if observer.is_interrupted() {
            return Err(WayError::Interrupted);
        }
        match link(sites) {
            Ok(link) => outcome.links.push(link),
            Err(error) if is_about_the_way(&error) && outcome.links.is_empty() => {
                return Err(WayError::Unsupported(error.to_string()));
            }
            Err(error) => match sites {
                [site] => {
                    outcome.fail(Unattached::new(error, |error| {
                        Failure::of_site(*site, error)
                    }))?;
                }
                _ => {
                    let (left, right) = sites.split_at(sites.len() / 2);
                    todo.push(right);
                    todo.push(left);
                }
            },
        }
        outcome.check_hopeless()?;
    }
    Ok(())
}

/// Whether an error says that the kernel knows no such link, or allows us none.
fn is_about_the_way(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EACCES)
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs::File};

    use super::*;
    use crate::resolve::{AttachPoint, TracepointPoint};

    fn points(count: u64) -> Vec<AttachPoint> {
        (0..count)
            .map(|id| {
                AttachPoint::Tracepoint(TracepointPoint {
                    category: String::new(),
                    event: String::new(),
                    id,
                })
            })
            .collect()
    }

    fn run(count: u32, bad: &[u32]) -> (BTreeSet<u32>, Vec<u32>, usize) {
        let points = points(count.into());
        let sites: Vec<_> = (0..)
            .zip(&points)
            .map(|(index, point)| Site { point, index })
            .collect();
        let mut outcome = Outcome::default();
        let mut attached = BTreeSet::new();
        let mut calls = 0;
        attach(&sites, &|| false, &mut outcome, &mut |sites| {
            calls += 1;
            if sites.iter().any(|site| bad.contains(&site.index)) {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            for site in sites {
                assert!(attached.insert(site.index), "attached once");
            }
            Ok(Link::Bpf(File::open("/dev/null")?.into()))
        })
        .expect("some sites are good");
        let failed = outcome
            .failed
            .iter()
            .map(|failure| failure.site.index)
            .collect();
        (attached, failed, calls)
    }

    #[test]
    fn all_but_the_bad_ones_are_attached_once() {
        let (attached, failed, calls) = run(1000, &[0, 500, 501, 999]);
        assert_eq!(failed, [0, 500, 501, 999]);
        assert_eq!(attached.len(), 996);
        assert!(calls < 80, "{calls} calls");
    }

    #[test]
    fn one_call_is_enough_when_all_are_good() {
        let (attached, failed, calls) = run(1000, &[]);
        assert_eq!((attached.len(), failed.len(), calls), (1000, 0, 1));
    }
}
