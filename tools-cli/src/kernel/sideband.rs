//! What happens to processes' memory, as the kernel tells it: new mappings that can be executed,
//! `execve`, forks and exits of all processes, in buffers that are read without a system call
//! (`perf_event_open(2)`; the records are those that `perf record` calls side-band).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use aya_obj::generated::{perf_event_mmap_page, perf_event_type};
use memmap2::{MmapOptions, MmapRaw};

use super::perf;
use crate::bytes::array_at;

/// `PERF_SAMPLE_TIME`: each record ends with its time.
const SAMPLE_TIME: u64 = 1 << 2;
/// `PERF_FORMAT_TOTAL_TIME_ENABLED`: what is read of an event is its count, then this time.
const FORMAT_TOTAL_TIME_ENABLED: u64 = 1 << 0;
/// `PERF_RECORD_MISC_COMM_EXEC`: the name changed because of an `execve`.
const COMM_EXEC: u16 = 1 << 13;

/// Size of each CPU's buffer; a power of two.
const BUFFER_BYTES: usize = 512 << 10;
const PAGE_BYTES: usize = 4096;

/// Time between two looks at the processors: more than any clock of the kernel's takes for a tick.
const LOOK: Duration = Duration::from_millis(200);

/// Something that happened to a process, with its time in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time_ns: u64,
    /// The process, as our PID namespace numbers it.
    pub pid: u32,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It has mapped something that can be executed.
    Mapped {
        /// First address.
        start: u64,
        /// First address behind it.
        end: u64,
        /// Bytes from the start of the file to what `start` shows.
        offset: u64,
        /// Major and minor number of the device that the file is on.
        device: (u32, u32),
        /// The file's inode, 0 if it is no file or the kernel does not tell.
        inode: u64,
        /// The file's path as the process knows it, or a name such as `[vdso]` or `//anon`.
        path: PathBuf,
    },
    /// It runs another program; nothing of what was mapped is left.
    Executed,
    /// It was forked by this process.
    Forked {
        /// The parent.
        parent: u32,
    },
    /// It has exited.
    Exited,
    /// Records were lost; what is known of any process may be out of date.
    Lost,
}

/// The buffers of all CPUs, by their numbers.
#[derive(Debug)]
pub struct SideBand {
    buffers: BTreeMap<u32, Buffer>,
    /// When it was looked whether they are of the CPUs that run.
    looked: Instant,
}

impl SideBand {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Those of `perf_event_open`: EACCES or EPERM without `CAP_PERFMON`; when its buffers can't be
    /// mapped, with the reason in words.
    pub fn open() -> io::Result<Self> {
        let cpus = perf::online_cpus()?.into_iter();
        let buffers = cpus.map(|cpu| Ok((cpu, Buffer::open(cpu)?)));
        Ok(Self {
            buffers: buffers.collect::<io::Result<_>>()?,
            looked: Instant::now(),
        })
    }

    /// What has happened since the last call, in order of time.
    pub fn take(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        for buffer in self.buffers.values_mut() {
            buffer.read(&mut records);
        }
        if self.looked.elapsed() >= LOOK {
            records.extend(self.listen_to_new_cpus());
            self.looked = Instant::now();
        }
        records.sort_by_key(|record| record.time_ns);
        records
    }

    /// Listens to CPUs that have come, or have gone and come back, which events do not survive
    /// (`perf_event_exit_cpu`, kernel/events/core.c). What happened there meanwhile is lost.
    fn listen_to_new_cpus(&mut self) -> Option<Record> {
        let mut lost = None;
        for cpu in perf::online_cpus().unwrap_or_default() {
            if self.buffers.get_mut(&cpu).is_some_and(Buffer::is_live) {
                continue;
            }
            // One that can't be listened to now may be at the next look: it may have gone again.
            if let Ok(buffer) = Buffer::open(cpu) {
                self.buffers.insert(cpu, buffer);
                lost = Some(Record {
                    time_ns: 0,
                    pid: 0,
                    what: What::Lost,
                });
            }
        }
        lost
    }
}

/// A CPU's buffer: a page of its state, then the records.
#[derive(Debug)]
struct Buffer {
    map: MmapRaw,
    /// Keeps the event; the mapping alone would not count as a use of it.
    event: File,
    /// How long it has been enabled, as of the last look.
    enabled_ns: u64,
}

impl Buffer {
    fn open(cpu: u32) -> io::Result<Self> {
        let mut attr = perf::dummy();
        attr.sample_type = SAMPLE_TIME;
        attr.read_format = FORMAT_TOTAL_TIME_ENABLED;
        attr.clockid = libc::CLOCK_MONOTONIC;
        attr.set_mmap(1);
        attr.set_mmap2(1);
        attr.set_comm(1);
        attr.set_comm_exec(1);
        attr.set_task(1);
        attr.set_sample_id_all(1);
        attr.set_use_clockid(1);
        // Nobody is woken: the records are read when they are needed.
        attr.set_watermark(1);
        attr.__bindgen_anon_2.wakeup_watermark = u32::MAX;
        let event = File::from(perf::open_on_cpu(&attr, cpu)?);
        let map = MmapOptions::new()
            .len(PAGE_BYTES + BUFFER_BYTES)
            .map_raw(&event)
            .map_err(|error| unmapped(&error))?;
        Ok(Self {
            map,
            event,
            enabled_ns: 0,
        })
    }

    /// Whether its event still grows older, which one does not whose CPU has gone since.
    fn is_live(&mut self) -> bool {
        let mut read = [0; 16];
        if self.event.read_exact(&mut read).is_err() {
            return false;
        }
        let before = std::mem::replace(&mut self.enabled_ns, u64_at(&read, 8));
        self.enabled_ns > before
    }

    fn read(&mut self, records: &mut Vec<Record>) {
        let page: *mut perf_event_mmap_page = self.map.as_mut_ptr().cast();
        // SAFETY: the kernel keeps its state in the first page, which is mapped as long as we live;
        // both words are aligned, and are only ever read and written whole.
        let (head, tail) = unsafe {
            (
                AtomicU64::from_ptr(&raw mut (*page).data_head),
                AtomicU64::from_ptr(&raw mut (*page).data_tail),
            )
        };
        let end = head.load(Ordering::Acquire);
        let mut at = tail.load(Ordering::Relaxed);
        while at < end {
            let header = self.bytes(at, 8);
            let size = u64::from(u16_at(&header, 6));
            // A record has a header at least, and the kernel wrote whole ones.
            if size < 8 || size > end - at {
                break;
            }
            let body = self.bytes(at + 8, size - 8);
            records.extend(parse(u32_at(&header, 0), u16_at(&header, 4), &body));
            at += size;
        }
        tail.store(end, Ordering::Release);
    }

    /// Copies `count` bytes from the position `at`, which may go on at the buffer's start.
    fn bytes(&self, at: u64, count: u64) -> Vec<u8> {
        let copy = |position: u64| {
            let index = usize::try_from(position).unwrap_or(0) % BUFFER_BYTES;
            // SAFETY: within the mapping; the kernel does not write there until we say that we
            // have read it.
            unsafe { ptr::read_volatile(self.map.as_ptr().add(PAGE_BYTES + index)) }
        };
        (at..at + count).map(copy).collect()
    }
}

/// Why a buffer can't be mapped: to be refused that is not to lack what opening an event takes.
fn unmapped(error: &io::Error) -> io::Error {
    let limits = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "; kernel.perf_event_mlock_kb and `ulimit -l` limit what a user's buffers take"
        }
        _ => "",
    };
    io::Error::other(format!("failed to map a buffer: {error}{limits}"))
}

/// Takes a record apart (`enum perf_event_type`, include/uapi/linux/perf_event.h).
pub(crate) fn parse(kind: u32, misc: u16, body: &[u8]) -> Option<Record> {
    let (fields, time) = body.split_at_checked(body.len().checked_sub(8)?)?;
    let time_ns = u64_at(time, 0);
    let record = |pid, what| Some(Record { time_ns, pid, what });
    let word = |at: usize| fields.get(at..at + 4).map(|bytes| u32_at(bytes, 0));
    let long = |at: usize| fields.get(at..at + 8).map(|bytes| u64_at(bytes, 0));
    match kind {
        kind if kind == perf_event_type::PERF_RECORD_MMAP2 as u32 => {
            use std::os::unix::ffi::OsStrExt as _;

            let name = fields.get(64..)?;
            let name = name.split(|&byte| byte == 0).next()?;
            let what = What::Mapped {
                start: long(8)?,
                end: long(8)?.checked_add(long(16)?)?,
                offset: long(24)?,
                device: (word(32)?, word(36)?),
                inode: long(40)?,
                path: std::ffi::OsStr::from_bytes(name).into(),
            };
            record(word(0)?, what)
        }
        kind if kind == perf_event_type::PERF_RECORD_COMM as u32 && misc & COMM_EXEC != 0 => {
            record(word(0)?, What::Executed)
        }
        // Threads are forked and exit too; they are not processes.
        kind if kind == perf_event_type::PERF_RECORD_FORK as u32 && word(0) != word(4) => {
            record(word(0)?, What::Forked { parent: word(4)? })
        }
        kind if kind == perf_event_type::PERF_RECORD_EXIT as u32 && word(0) == word(8) => {
            record(word(0)?, What::Exited)
        }
        kind if kind == perf_event_type::PERF_RECORD_LOST as u32 => record(0, What::Lost),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    array_at(bytes, at).map_or(0, u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    array_at(bytes, at).map_or(0, u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    array_at(bytes, at).map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(words: &[u32], text: &[u8], time_ns: u64) -> Vec<u8> {
        let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        body.extend(text);
        body.extend(time_ns.to_ne_bytes());
        body
    }

    #[test]
    fn mappings_are_read() {
        let mut words = [0; 16];
        words[0] = 7;
        words[2] = 0x1000;
        words[4] = 0x2000;
        words[6] = 0x3000;
        (words[8], words[9]) = (8, 1);
        words[10] = 42;
        let body = body(&words, b"/lib/x.so\0\0\0\0\0\0\0", 99);
        let what = What::Mapped {
            start: 0x1000,
            end: 0x3000,
            offset: 0x3000,
            device: (8, 1),
            inode: 42,
            path: "/lib/x.so".into(),
        };
        let expected = Record {
            time_ns: 99,
            pid: 7,
            what,
        };
        assert_eq!(parse(10, 0, &body), Some(expected));
    }

    #[test]
    fn only_processes_fork_and_exit() {
        let what = |kind, words: &[u32]| parse(kind, 0, &body(words, b"", 1)).map(|it| it.what);
        assert_eq!(
            what(7, &[5, 4, 5, 4, 0, 0]),
            Some(What::Forked { parent: 4 })
        );
        assert_eq!(what(7, &[5, 5, 6, 5, 0, 0]), None);
        assert_eq!(what(4, &[5, 4, 5, 4, 0, 0]), Some(What::Exited));
        assert_eq!(what(4, &[5, 4, 6, 4, 0, 0]), None);
    }

    proptest! {
        #![proptest_config(crate::property::cases(256))]

        #[test]
        fn no_record_makes_it_panic(
            kind in 0_u32..20,
            misc in any::<u16>(),
            body in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let _ = parse(kind, misc, &body);
        }
    }
}
