//! tracefs: which tracepoints there are, and how their records look.

use std::{
    fs, io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use super::{Error, probe::TracepointPoint, suggest};
use crate::{
    kernel::{lockdown, mount::mount_privately},
    spec::Pattern,
    types::TracepointFormat,
};

/// Access to tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// Keeps a private mount alive.
    mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds tracefs, or mounts it for this process alone.
    ///
    /// # Errors
    ///
    /// When it is not mounted and can't be.
    pub fn open() -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if let Some(root) = mounted_at(&mounts) {
            return Ok(Self { root, mount: None });
        }
        // Such a kernel leaves its tracefs empty, and 6.12 falls over it when the only mount of an
        // empty one goes (`tracefs_destroy_inode`, fs/tracefs/inode.c: list corruption, an oops).
        if lockdown::is_confidential() {
            return Err(Error::LockedDown);
        }
        let mount = mount_privately(c"tracefs").map_err(Error::Tracefs)?;
        Ok(Self {
            root: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(),
            mount: Some(mount),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it is mounted for this process alone.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.mount.is_some()
    }

    /// Reads one of its files.
    ///
    /// # Errors
    ///
    /// When it is not there, or lockdown or missing privileges forbid it.
    pub fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.root.join(file))
    }

    /// The tracepoints whose `category:event` the pattern means, in the order of their names.
    ///
    /// # Errors
    ///
    /// When there are none, or they can't be read.
    pub fn tracepoints(&self, pattern: &Pattern) -> Result<Vec<TracepointPoint>, Error> {
        if let Some((category, event)) = pattern.literal().and_then(|name| name.split_once(':'))
            && let Ok(id) = self.event_id(category, event)
        {
            return Ok(vec![point(category, event, id)]);
        }
        let events = self.read("available_events").map_err(Error::Tracefs)?;
        let mut names: Vec<&str> = events
            .lines()
            .filter(|name| pattern.matches(name))
            .collect();
        names.sort_unstable();
        if names.is_empty() {
            return Err(Error::NoTracepoint {
                pattern: pattern.to_string(),
                hint: suggest(&pattern.to_string(), events.lines()),
            });
        }
        names
            .iter()
            .filter_map(|name| name.split_once(':'))
            // Events that programs may not attach to (ftrace's own) have no id.
            .filter_map(|(category, event)| {
                let id = self.event_id(category, event).ok()?;
                Some(Ok(point(category, event, id)))
            })
            .collect()
    }

    /// The kernel's number for a tracepoint.
    ///
    /// # Errors
    ///
    /// When there is no such tracepoint.
    pub fn event_id(&self, category: &str, event: &str) -> Result<u64, Error> {
        let text = self.read_of(category, event, "id")?;
        text.trim().parse().map_err(|_| Error::NoTracepoint {
            pattern: format!("{category}:{event}"),
            hint: String::new(),
        })
    }

    /// What a tracepoint records.
    ///
    /// # Errors
    ///
    /// When there is no such tracepoint, or its description can't be understood.
    pub fn format(&self, category: &str, event: &str) -> Result<TracepointFormat, Error> {
        let text = self.read_of(category, event, "format")?;
        Ok(TracepointFormat::parse(
            &format!("{category}:{event}"),
            &text,
        )?)
    }

    /// Bytes from the start of a tracepoint's record to a field.
    ///
    /// # Errors
    ///
    /// When there is no such tracepoint, or it has no such field.
    pub fn field_offset(&self, category: &str, event: &str, field: &str) -> Result<u32, Error> {
        let format = self.format(category, event)?;
        let found = format.field(field).ok_or_else(|| Error::NoField {
            event: format!("{category}:{event}"),
            field: field.to_owned(),
        })?;
        Ok(found.offset_bytes)
    }

    fn read_of(&self, category: &str, event: &str, file: &str) -> Result<String, Error> {
        let is_name = |name: &str| !name.is_empty() && !name.contains(['/', '.']);
        let missing = || Error::NoTracepoint {
            pattern: format!("{category}:{event}"),
            hint: String::new(),
        };
        if !is_name(category) || !is_name(event) {
            return Err(missing());
        }
        match self.read(&format!("events/{category}/{event}/{file}")) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(Error::Tracefs(error)),
        }
    }
}

/// Where the list of mounts has tracefs. Looking into `/sys/kernel/debug/tracing` instead would
/// mount it there, for all to see.
fn mounted_at(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        let root = Path::new(place);
        (kind == "tracefs" && root.join("events").exists()).then(|| root.to_owned())
    })
}

fn point(category: &str, event: &str, id: u64) -> TracepointPoint {
    TracepointPoint {
        category: category.to_owned(),
        event: event.to_owned(),
        id,
    }
}
