//! `bpf(2)`: maps, programs, links, and what the kernel tells about them.

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_link_info, bpf_prog_info, bpf_prog_type,
};

/// `BPF_F_KPROBE_MULTI_RETURN` and `BPF_F_UPROBE_MULTI_RETURN` (include/uapi/linux/bpf.h).
const MULTI_RETURN: u32 = 1;

/// What a map is created from.
#[derive(Clone, Copy, Debug)]
pub struct MapSpec<'a> {
    /// Its name for `bpftool`; cut at 15 bytes.
    pub name: &'a str,
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_bytes: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// Number of entries.
    pub entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// Creates a map.
///
/// # Errors
///
/// Those of `BPF_MAP_CREATE`; EPERM without `CAP_BPF` (before 5.8: `CAP_SYS_ADMIN`).
pub fn create_map(spec: &MapSpec<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    // SAFETY: plain integers of the union's member for this command.
    let map = unsafe { &mut attr.__bindgen_anon_1 };
    map.map_type = spec.kind;
    map.key_size = spec.key_bytes;
    map.value_size = spec.value_bytes;
    map.max_entries = spec.entries;
    map.map_flags = spec.flags;
    copy_name(&mut map.map_name, spec.name);
    fd_of(bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr)?)
}

/// Writes an element.
///
/// # Errors
///
/// Those of `BPF_MAP_UPDATE_ELEM`.
pub fn update_map(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attr = zeroed_attr();
    // SAFETY: plain integers of the union's member for this command.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = raw(map);
    element.key = address_of(key);
    element.__bindgen_anon_1.value = address_of(value);
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Removes an element.
///
/// # Errors
///
/// Those of `BPF_MAP_DELETE_ELEM`; ENOENT if it is not there.
pub fn delete_from_map(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let mut attr = zeroed_attr();
    // SAFETY: plain integers of the union's member for this command.
    let element = unsafe { &mut attr.__bindgen_anon_2 };
    element.map_fd = raw(map);
    element.key = address_of(key);
    bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr).map(drop)
}

/// Makes a map read-only for good, so that the verifier may take its contents as known (5.2).
///
/// # Errors
///
/// Those of `BPF_MAP_FREEZE`.
pub fn freeze_map(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_2.map_fd = raw(map);
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attr).map(drop)
}

/// A kernel function, as programs for its entry or exit are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypedFunction {
    /// The number of its type.
    pub id: u32,
    /// The type information of the module that it is in, open as long as this is used.
    pub module_types: Option<RawFd>,
}

/// What a program is loaded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramKind {
    /// For perf-event kprobes and uprobes.
    Kprobe,
    /// For one link to many kernel functions (5.18).
    KprobeMulti,
    /// For one link to many places in a file (6.6).
    UprobeMulti,
    /// For a tracepoint's perf event.
    Tracepoint,
    /// For the entry of this kernel function (5.5).
    Fentry(TypedFunction),
    /// For its exit.
    Fexit(TypedFunction),
}

impl ProgramKind {
    const fn program_type(self) -> bpf_prog_type {
        match self {
            Self::Kprobe | Self::KprobeMulti | Self::UprobeMulti => {
                bpf_prog_type::BPF_PROG_TYPE_KPROBE
            }
            Self::Tracepoint => bpf_prog_type::BPF_PROG_TYPE_TRACEPOINT,
            Self::Fentry(_) | Self::Fexit(_) => bpf_prog_type::BPF_PROG_TYPE_TRACING,
        }
    }

    const fn attach_type(self) -> Option<bpf_attach_type> {
        match self {
            Self::Kprobe | Self::Tracepoint => None,
            Self::KprobeMulti => Some(bpf_attach_type::BPF_TRACE_KPROBE_MULTI),
            Self::UprobeMulti => Some(bpf_attach_type::BPF_TRACE_UPROBE_MULTI),
            Self::Fentry(_) => Some(bpf_attach_type::BPF_TRACE_FENTRY),
            Self::Fexit(_) => Some(bpf_attach_type::BPF_TRACE_FEXIT),
        }
    }

    const fn function(self) -> Option<TypedFunction> {
        match self {
            Self::Fentry(function) | Self::Fexit(function) => Some(function),
            _ => None,
        }
    }
}

/// A program that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused the program: {error}{}", verdict(log))]
pub struct LoadError {
    /// The error of `BPF_PROG_LOAD`.
    pub error: io::Error,
    /// What the verifier wrote, if it got that far.
    pub log: String,
}

/// The verifier's last words before its statistics.
fn verdict(log: &str) -> String {
    log.lines()
        .rev()
        .find(|line| !line.starts_with("processed ") && !line.trim().is_empty())
        .map(|line| format!(" (verifier: {line})"))
        .unwrap_or_default()
}

/// Loads a program; when that fails, loads it again to hear the verifier's reasons.
///
/// # Errors
///
/// Those of `BPF_PROG_LOAD`, with the verifier's log.
pub fn load_program(
    name: &str,
    kind: ProgramKind,
    instructions: &[bpf_insn],
) -> Result<OwnedFd, LoadError> {
    // Before 6.4 a log that does not fit hides the error (commit 121664093803), and the old ones
    // take no more than 16 MiB.
    const LOG_BYTES: usize = 8 << 20;

    match try_load(name, kind, instructions, &mut []) {
        Ok(program) => Ok(program),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(LoadError {
            error,
            log: String::new(),
        }),
        Err(_) => {
            let mut log = vec![0; LOG_BYTES];
            try_load(name, kind, instructions, &mut log).map_err(|error| {
                let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
                LoadError {
                    error,
                    log: String::from_utf8_lossy(&log[..end]).into_owned(),
                }
            })
        }
    }
}

fn try_load(
    name: &str,
    kind: ProgramKind,
    instructions: &[bpf_insn],
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    // SAFETY: plain integers of the union's member for this command.
    let program = unsafe { &mut attr.__bindgen_anon_3 };
    program.prog_type = kind.program_type() as u32;
    program.expected_attach_type = kind.attach_type().map_or(0, |attach| attach as u32);
    if let Some(function) = kind.function() {
        program.attach_btf_id = function.id;
        let types = function.module_types.unwrap_or(0);
        program.__bindgen_anon_1.attach_btf_obj_fd = types.cast_unsigned();
    }
    program.insns = instructions.as_ptr() as u64;
    program.insn_cnt = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    program.license = c"GPL".as_ptr() as u64;
    copy_name(&mut program.prog_name, name);
    if !log.is_empty() {
        program.log_level = 1;
        program.log_buf = log.as_mut_ptr() as u64;
        program.log_size = u32::try_from(log.len()).unwrap_or(u32::MAX);
    }
    fd_of(bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)?)
}

/// Which functions a multi link goes to.
#[derive(Clone, Copy, Debug)]
pub enum KernelFunctions<'a> {
    /// By the addresses where they start.
    Addresses(&'a [u64]),
    /// By names, where the kernel hides addresses; each must be unique.
    Names(&'a [CString]),
}

/// Links a program to kernel functions (5.18, with `CONFIG_FPROBE`).
///
/// # Errors
///
/// Those of `BPF_LINK_CREATE`; EINVAL or ESRCH if one of the functions can't be traced.
pub fn link_kprobe_multi(
    program: BorrowedFd<'_>,
    functions: KernelFunctions<'_>,
    cookies: &[u64],
    at_return: bool,
) -> io::Result<OwnedFd> {
    let mut attr = link_attr(program, bpf_attach_type::BPF_TRACE_KPROBE_MULTI);
    let names: Vec<*const libc::c_char>;
    // SAFETY: plain integers of the union's member for this attach type.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.kprobe_multi };
    multi.flags = if at_return { MULTI_RETURN } else { 0 };
    multi.cookies = cookies.as_ptr() as u64;
    multi.cnt = u32::try_from(cookies.len()).unwrap_or(u32::MAX);
    match functions {
        KernelFunctions::Addresses(addresses) => multi.addrs = addresses.as_ptr() as u64,
        KernelFunctions::Names(functions) => {
            names = functions.iter().map(|name| name.as_ptr()).collect();
            multi.syms = names.as_ptr() as u64;
        }
    }
    fd_of(bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?)
}

/// Places in one file, for one link; all slices have the same length.
#[derive(Clone, Copy, Debug)]
pub struct UprobeMulti<'a> {
    /// The file.
    pub path: &'a CString,
    /// Bytes from its start.
    pub offsets: &'a [u64],
    /// Places of the semaphores, 0 for none.
    pub semaphores: &'a [u64],
    /// What `bpf_get_attach_cookie` gives.
    pub cookies: &'a [u64],
    /// At return instead of entry.
    pub at_return: bool,
    /// Only in this process.
    pub pid: Option<u32>,
}

/// Links a program to places in a file (6.6).
///
/// # Errors
///
/// Those of `BPF_LINK_CREATE`; ENOTSUPP (524) if the instruction at one place can't be probed.
pub fn link_uprobe_multi(program: BorrowedFd<'_>, places: &UprobeMulti<'_>) -> io::Result<OwnedFd> {
    let mut attr = link_attr(program, bpf_attach_type::BPF_TRACE_UPROBE_MULTI);
    // SAFETY: plain integers of the union's member for this attach type.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = places.path.as_ptr() as u64;
    multi.offsets = places.offsets.as_ptr() as u64;
    if places.semaphores.iter().any(|&semaphore| semaphore != 0) {
        multi.ref_ctr_offsets = places.semaphores.as_ptr() as u64;
    }
    multi.cookies = places.cookies.as_ptr() as u64;
    multi.cnt = u32::try_from(places.offsets.len()).unwrap_or(u32::MAX);
    multi.flags = if places.at_return { MULTI_RETURN } else { 0 };
    multi.pid = places.pid.unwrap_or(0);
    fd_of(bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?)
}

/// Links a program to a perf event, with a cookie (5.15).
///
/// # Errors
///
/// Those of `BPF_LINK_CREATE`; EINVAL before 5.15.
pub fn link_perf_event(
    program: BorrowedFd<'_>,
    event: BorrowedFd<'_>,
    cookie: u64,
) -> io::Result<OwnedFd> {
    let mut attr = link_attr(program, bpf_attach_type::BPF_PERF_EVENT);
    attr.link_create.__bindgen_anon_2.target_fd = raw(event);
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    fd_of(bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?)
}

/// Attaches a fentry or fexit program to the function it was loaded for.
///
/// # Errors
///
/// Those of `BPF_RAW_TRACEPOINT_OPEN`.
pub fn link_tracing(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.raw_tracepoint.prog_fd = raw(program);
    fd_of(bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)?)
}

/// The kernel's number of a program.
///
/// # Errors
///
/// Those of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: zero is a valid value of this struct of integers.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    object_info(program, &mut info)?;
    Ok(info.id)
}

/// Events for which the kernel did not run the program because it, or another one, was already
/// running on that CPU (5.12; 0 before).
///
/// # Errors
///
/// Those of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn program_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: zero is a valid value of this struct of integers.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    object_info(program, &mut info)?;
    Ok(info.recursion_misses)
}

/// Events that a link to kernel functions missed because its probe was already being handled
/// (6.7; 0 before, and for links of other types).
///
/// # Errors
///
/// Those of `BPF_OBJ_GET_INFO_BY_FD`.
pub fn link_misses(link: BorrowedFd<'_>) -> io::Result<u64> {
    // `enum bpf_link_type` and `enum bpf_perf_event_type` (include/uapi/linux/bpf.h).
    const PERF_EVENT: u32 = 7;
    const KPROBE_MULTI: u32 = 8;
    const KPROBE: u32 = 3;
    const KRETPROBE: u32 = 4;

    // SAFETY: zero is a valid value of this struct of integers.
    let mut info: bpf_link_info = unsafe { mem::zeroed() };
    object_info(link, &mut info)?;
    // SAFETY: integers of the union's member for the type that the kernel gave.
    Ok(unsafe {
        match info.type_ {
            KPROBE_MULTI => info.__bindgen_anon_1.kprobe_multi.missed,
            PERF_EVENT => match info.__bindgen_anon_1.perf_event.type_ {
                KPROBE | KRETPROBE => {
                    let event = info.__bindgen_anon_1.perf_event.__bindgen_anon_1;
                    event.kprobe.missed
                }
                _ => 0,
            },
            _ => 0,
        }
    })
}

pub(super) fn object_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let mut attr = zeroed_attr();
    attr.info.bpf_fd = raw(object);
    attr.info.info = std::ptr::from_mut(info) as u64;
    attr.info.info_len = u32::try_from(size_of::<T>()).unwrap_or(0);
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr).map(drop)
}

fn link_attr(program: BorrowedFd<'_>, attach_type: bpf_attach_type) -> bpf_attr {
    let mut attr = zeroed_attr();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(program);
    attr.link_create.attach_type = attach_type as u32;
    attr
}

pub(super) fn zeroed_attr() -> bpf_attr {
    // SAFETY: zero is a valid value of every member of this union of integers.
    unsafe { mem::zeroed() }
}

pub(super) fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    // SAFETY: the attributes were filled for this command, and whatever they point to is borrowed
    // by the callers for the time of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Takes the file descriptor that a successful call returned.
pub(super) fn fd_of(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address_of(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}

/// Writes `name` as the kernel takes it: cut to fit, letters, digits, `_` and `.` only.
fn copy_name(to: &mut [libc::c_char; 16], name: &str) {
    for (slot, byte) in to[..15].iter_mut().zip(name.bytes()) {
        let allowed = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        *slot = if allowed {
            byte.cast_signed()
        } else {
            b'_'.cast_signed()
        };
    }
}
