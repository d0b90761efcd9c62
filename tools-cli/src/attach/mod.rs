//! From resolved probes to links: the best way that the kernel allows, found by trying.
//!
//! Every kind of attach point has a list of ways, best first. A way gets all points that are left;
//! what it can't take goes on to the next way, and what no way takes is left out with the reason.

mod bisect;
mod doubtful;
mod fentry;
mod kprobe_multi;
mod link;
mod mapped;
mod pace;
mod perf_event;
mod threads;
mod uprobe_multi;
mod way;

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use probes_common::COOKIE_FUNCTION_START;

use self::link::Links;
pub use self::{
    link::Link,
    pace::{Observer, Slow},
    way::Way,
};

use crate::{
    kernel::bpf::{self, ProgramKind},
    load::{self, Body, Loader},
    resolve::{AttachPoint, Probe},
};

/// How probes are to be attached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Use this way and no other.
    pub only: Option<Way>,
}

/// What is said of a place that every way was passed over for.
const NO_WAY: &str = "no way of attaching takes it";

/// An attach point and the number of its probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Site<'a> {
    point: &'a AttachPoint,
    index: u32,
}

impl Site<'_> {
    /// What its program is told when it fires.
    fn cookie(&self) -> u64 {
        let is_function_start =
            matches!(self.point, AttachPoint::User(point) if point.is_function_start);
        let flags = if is_function_start {
            COOKIE_FUNCTION_START
        } else {
            0
        };
        u64::from(self.index) | flags
    }
}

/// What a way is given beside the sites.
struct Context<'a> {
    loader: &'a Loader,
    body: Body,
    /// Whether it reads at a return what another has saved at the entry.
    reads_entry: bool,
    observer: &'a dyn Observer,
}

impl Context<'_> {
    /// The program that serves all `sites`. That for a single probe has its cookie built in, which
    /// saves it asking for the cookie at each event.
    fn load(&self, kind: ProgramKind, sites: &[Site<'_>]) -> Result<OwnedFd, load::Error> {
        match sites {
            [first, others @ ..] if others.iter().all(|site| site.cookie() == first.cookie()) => {
                self.loader.load_for(self.body, kind, first.cookie())
            }
            _ => self.loader.load(self.body, kind),
        }
    }
}

/// What became of the sites that a way was given.
#[derive(Default)]
struct Outcome<'a> {
    links: Links,
    programs: Vec<OwnedFd>,
    failed: Vec<Failure<'a>>,
}

impl<'a> Outcome<'a> {
    /// Notes a site that was not attached; fails if none would be.
    fn fail(&mut self, unattached: Unattached<'a>) -> Result<(), WayError> {
        match unattached {
            Unattached::Way(error) => Err(error),
            Unattached::Site(failure) => {
                self.failed.push(failure);
                Ok(())
            }
        }
    }

    /// Fails when so many places have failed, with no success before, that the way itself is at fault.
    fn check_hopeless(&self) -> Result<(), WayError> {
        const HOPELESS: usize = 32;

        match self.failed.first() {
            Some(first) if self.links.is_empty() && self.failed.len() >= HOPELESS => {
                Err(WayError::Unsupported(first.reason.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// A site that a way could not take.
#[derive(Debug)]
struct Failure<'a> {
    site: Site<'a>,
    reason: String,
    /// Whether no other way can take it either.
    is_final: bool,
}

impl<'a> Failure<'a> {
    /// A failure of this way; another may take the site.
    fn of_way(site: Site<'a>, reason: impl Into<String>) -> Self {
        Self {
            site,
            reason: reason.into(),
            is_final: false,
        }
    }

    /// What the kernel said about the site.
    fn of_site(site: Site<'a>, error: &io::Error) -> Self {
        // `ENOTSUPP` (include/linux/errno.h), which is not for user space but gets there.
        const ENOTSUPP: i32 = 524;

        let about_the_instruction = match error.raw_os_error() {
            Some(ENOTSUPP) => Some("the kernel can't probe the instruction there"),
            // `arch_prepare_kprobe` (arch/x86/kernel/kprobes/core.c).
            Some(libc::EILSEQ) => Some("that is not the start of an instruction"),
            _ => None,
        };
        Self {
            site,
            reason: about_the_instruction.map_or_else(|| error.to_string(), str::to_owned),
            is_final: about_the_instruction.is_some(),
        }
    }

    /// With why ways before `way` could not take the site either.
    fn after(mut self, reason_before: Option<&String>, way: Way) -> Self {
        if let Some(before) = reason_before
            && *before != self.reason
        {
            self.reason = format!("{before}; by {way}: {}", self.reason);
        }
        self
    }

    /// As it is told to the user.
    fn skipped(&self) -> Skipped {
        Skipped {
            name: self.site.point.to_string(),
            reason: self.reason.clone(),
        }
    }
}

/// Why a way can't be used at all here.
#[derive(Debug, thiserror::Error)]
enum WayError {
    #[error(transparent)]
    Load(load::Error),
    #[error("{0}")]
    Unsupported(String),
    /// Nor would there be descriptors for other ways, and for what is read later.
    #[error("{0}")]
    NoDescriptors(io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl From<load::Error> for WayError {
    fn from(error: load::Error) -> Self {
        match error {
            load::Error::Program { error, .. }
                if error.error.raw_os_error() == Some(libc::EMFILE) =>
            {
                Self::NoDescriptors(error.error)
            }
            error => Self::Load(error),
        }
    }
}

/// Why a site was not attached.
enum Unattached<'a> {
    /// None would be.
    Way(WayError),
    /// This one was not.
    Site(Failure<'a>),
}

impl<'a> Unattached<'a> {
    /// The kernel's `error` ends all if there are no more descriptors; else it is as `of_site` tells.
    fn new(error: io::Error, of_site: impl FnOnce(&io::Error) -> Failure<'a>) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE) => Self::Way(WayError::NoDescriptors(error)),
            _ => Self::Site(of_site(&error)),
        }
    }
}

/// Why nothing could be attached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The way that was asked for does not fit.
    #[error("--attach-with {way} takes {takes}, and none was asked for")]
    NoneFits {
        /// The way.
        way: Way,
        /// What it takes.
        takes: &'static str,
    },
    /// Every probe that would tell something failed.
    #[error("failed to attach any of {count} places{}", list_reasons(reasons))]
    Nothing {
        /// Attach points that were tried.
        count: usize,
        /// What was tried, and how it failed.
        reasons: Vec<(String, String)>,
    },
    /// Each place takes some descriptors, and there are no more.
    #[error(
        "failed to attach all of {count} places: {error}: each place takes some; raise the hard limit \
         (ulimit -Hn)"
    )]
    NoDescriptors {
        /// Attach points that were tried.
        count: usize,
        /// The kernel's error.
        error: io::Error,
    },
    /// The caller wanted to stop.
    #[error("interrupted while attaching")]
    Interrupted,
}

fn list_reasons(reasons: &[(String, String)]) -> String {
    reasons
        .iter()
        .map(|(what, reason)| format!("\n  {what}: {reason}"))
        .collect()
}

/// Probes that are attached for as long as this lives.
#[derive(Debug, Default)]
pub struct Attached {
    links: Links,
    programs: Vec<OwnedFd>,
    /// Which ways were used.
    pub used: Vec<Used>,
    /// Which were tried before, and why they were not.
    pub passed_over: Vec<(Way, String)>,
    /// Which attach points were left out, and why.
    pub skipped: Vec<Skipped>,
    /// How many attach points of each probe are live.
    live_points: Vec<u32>,
}

/// A way that was used.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// The way.
    pub way: Way,
    /// Attach points that are live through it.
    pub points: usize,
    /// Links that this took.
    pub links: usize,
    /// Time that this took.
    pub elapsed: Duration,
}

/// An attach point that could not be attached.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The point, in words.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Attached {
    /// The numbers of the probes that are live.
    pub fn live(&self) -> impl Iterator<Item = u32> {
        let numbered = (0..).zip(&self.live_points);
        numbered.filter_map(|(index, &points)| (points > 0).then_some(index))
    }

    /// The kernel's number of one of the programs.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell it, or nothing is attached.
    pub fn program_id(&self) -> io::Result<u32> {
        let first = self.programs.first().ok_or(io::ErrorKind::NotFound)?;
        bpf::program_id(first.as_fd())
    }

    /// Whether some are kprobes, which can be switched off.
    #[must_use]
    pub fn uses_kprobes(&self) -> bool {
        let mut ways = self.used.iter().map(|used| used.way);
        ways.any(|way| matches!(way, Way::Kprobe | Way::KprobeSingle))
    }

    /// Whether some of their programs get the registers or the record that a walk of the kernel's part
    /// of a stack starts from: fentry's do not.
    #[must_use]
    pub fn can_foresee_kernel(&self) -> bool {
        self.used.iter().any(|used| used.way != Way::Fentry)
    }

    /// Events that the kernel did not run our programs for: recursion, and probes hit while they
    /// were being handled. What an old kernel does not count is not in it.
    #[must_use]
    pub fn misses(&self) -> u64 {
        let programs = self.programs.iter().map(OwnedFd::as_fd);
        let missed_by_programs: u64 = programs
            .map(|program| bpf::program_misses(program).unwrap_or(0))
            .sum();
        let missed_by_links: u64 = self.links.iter().map(Link::misses).sum();
        missed_by_programs + missed_by_links
    }
}

/// Which body goes to which probe.
#[derive(Clone, Debug)]
pub enum Bodies {
    /// One to all.
    All(Body),
    /// One for each, in their order.
    Each(Vec<Body>),
}

impl Bodies {
    /// The body of the probe number `index`.
    #[must_use]
    pub fn of(&self, index: u32) -> Option<Body> {
        match self {
            Self::All(body) => Some(*body),
            Self::Each(bodies) => bodies.get(index as usize).copied(),
        }
    }

    /// Whether something is told of the probe number `index`: what only saves for another does not.
    #[must_use]
    pub fn reports(&self, index: u32) -> bool {
        !matches!(self.of(index), Some(Body::Entry(_)))
    }

    /// Whether `body`, at a return, reads what another of these has saved at the entry.
    fn reads_entry(&self, body: Body) -> bool {
        match (self, body) {
            (Self::Each(bodies), Body::Trace(number)) => bodies.contains(&Body::Entry(number)),
            _ => false,
        }
    }

    /// The sites of each body, in the order of their first.
    fn group<'a>(&self, sites: Vec<Failure<'a>>) -> Vec<(Body, Vec<Failure<'a>>)> {
        let mut numbers: HashMap<Body, usize> = HashMap::new();
        let mut groups: Vec<(Body, Vec<Failure<'a>>)> = Vec::new();
        for failure in sites {
            let Some(body) = self.of(failure.site.index) else {
                continue;
            };
            let number = *numbers.entry(body).or_insert_with(|| {
                groups.push((body, Vec::new()));
                groups.len() - 1
            });
            groups[number].1.push(failure);
        }
        groups
    }
}

/// Attaches their `bodies` to all `probes`; the cookie of a place has the number of its probe in the
/// list.
///
/// # Errors
///
/// When nothing at all could be attached, or the `observer` wants to stop.
pub fn attach(
    probes: &[Probe],
    bodies: &Bodies,
    loader: &Loader,
    options: Options,
    observer: &dyn Observer,
) -> Result<Attached, Error> {
    let mut remaining: Vec<Failure<'_>> = sites(probes)
        .map(|site| Failure::of_way(site, NO_WAY))
        .collect();
    let count = remaining.len();
    let _mapped = mapped::Mapped::new(remaining.iter().map(|failure| failure.site));
    let mut attached = Attached {
        live_points: vec![0; probes.len()],
        ..Attached::default()
    };

    for way in ways(options, &remaining)? {
        let (mine, others): (Vec<_>, Vec<_>) = remaining
            .into_iter()
            .partition(|failure| !failure.is_final && way.takes(failure.site.point));
        remaining = others;
        for (body, mine) in bodies.group(mine) {
            let context = Context {
                loader,
                body,
                reads_entry: bodies.reads_entry(body),
                observer,
            };
            remaining.extend(attached.try_way(way, mine, &context)?);
        }
    }

    attached.skipped = remaining.iter().map(Failure::skipped).collect();
    if !attached.live().any(|index| bodies.reports(index)) {
        return Err(Error::Nothing {
            count,
            reasons: attached.reasons(),
        });
    }
    Ok(attached)
}

impl Attached {
    /// Detaches all. Gives the number of those that the kernel still takes its time to give back,
    /// in the name of a child process.
    #[must_use]
    pub fn detach(mut self) -> usize {
        self.links.detach()
    }

    /// Attaches what a way can take, and hands back what it can't.
    fn try_way<'a>(
        &mut self,
        way: Way,
        failures: Vec<Failure<'a>>,
        context: &Context<'_>,
    ) -> Result<Vec<Failure<'a>>, Error> {
        let tried: Vec<Site<'_>> = failures.iter().map(|failure| failure.site).collect();
        let start = Instant::now();
        match way.attach(&tried, context) {
            Ok(outcome) => {
                let failed = self.take(way, &tried, outcome, start.elapsed());
                Ok(with_reasons_before(failed, &failures, way))
            }
            Err(WayError::Interrupted) => Err(Error::Interrupted),
            Err(WayError::NoDescriptors(error)) => Err(Error::NoDescriptors {
                count: tried.len(),
                error,
            }),
            Err(error) => {
                let passed_over = (way, error.to_string());
                if !self.passed_over.contains(&passed_over) {
                    self.passed_over.push(passed_over);
                }
                Ok(failures)
            }
        }
    }

    /// Takes over what a way has attached, and hands back what it could not.
    fn take<'a>(
        &mut self,
        way: Way,
        tried: &[Site<'a>],
        mut outcome: Outcome<'a>,
        elapsed: Duration,
    ) -> Vec<Failure<'a>> {
        for site in tried {
            self.live_points[site.index as usize] += 1;
        }
        for failure in &outcome.failed {
            self.live_points[failure.site.index as usize] -= 1;
        }
        if !outcome.links.is_empty() {
            self.used.push(Used {
                way,
                points: tried.len() - outcome.failed.len(),
                links: outcome.links.len(),
                elapsed,
            });
        }
        self.links.append(&mut outcome.links);
        self.programs.extend(outcome.programs);
        outcome.failed
    }

    /// For an error: why each way was passed over, then why the first few places failed.
    fn reasons(&self) -> Vec<(String, String)> {
        const PLACES: usize = 3;
        let ways = self
            .passed_over
            .iter()
            .map(|(way, reason)| (way.to_string(), reason.clone()));
        let places = self
            .skipped
            .iter()
            .filter(|skipped| skipped.reason != NO_WAY)
            .take(PLACES)
            .map(|skipped| (skipped.name.clone(), skipped.reason.clone()));
        ways.chain(places).collect()
    }
}

/// Tells of sites that have failed again, by `way`, also why they had failed before.
fn with_reasons_before<'a>(
    failed: Vec<Failure<'a>>,
    before: &[Failure<'a>],
    way: Way,
) -> Vec<Failure<'a>> {
    let had_failed = before.iter().filter(|failure| failure.reason != NO_WAY);
    let reasons: HashMap<Site<'_>, &String> = had_failed
        .map(|failure| (failure.site, &failure.reason))
        .collect();
    let with_reason = failed.into_iter().map(|failure| {
        let before = reasons.get(&failure.site).copied();
        failure.after(before, way)
    });
    with_reason.collect()
}

fn sites(probes: &[Probe]) -> impl Iterator<Item = Site<'_>> {
    (0..)
        .zip(probes)
        .flat_map(|(index, probe)| probe.points.iter().map(move |point| Site { point, index }))
}

/// The ways to try, best first.
fn ways(options: Options, sites: &[Failure<'_>]) -> Result<Vec<Way>, Error> {
    match options.only {
        None => Ok(Way::ALL.to_vec()),
        Some(way) if sites.iter().any(|failure| way.takes(failure.site.point)) => Ok(vec![way]),
        Some(way) => Err(Error::NoneFits {
            way,
            takes: way.takes_what(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::TracepointPoint;

    #[test]
    fn what_fails_by_several_ways_is_told_by_all_their_reasons() {
        let point = AttachPoint::Tracepoint(TracepointPoint {
            category: String::new(),
            event: String::new(),
            id: 0,
        });
        let failure = |index, reason| {
            let point = &point;
            Failure::of_way(Site { point, index }, reason)
        };
        let before = [
            failure(0, "forbidden"),
            failure(1, NO_WAY),
            failure(2, "same"),
        ];
        let failed = vec![
            failure(2, "same"),
            failure(1, "first"),
            failure(0, "unknown"),
        ];
        let told = with_reasons_before(failed, &before, Way::Fentry);
        let reasons: Vec<&str> = told.iter().map(|failure| failure.reason.as_str()).collect();
        assert_eq!(reasons, ["same", "first", "forbidden; by fentry: unknown"]);
    }
}
