//! What the kernel and our programs in it send.

use std::os::unix::ffi::OsStrExt as _;

use crate::{
    bytes::array_at,
    collect::{Event, stacks::Record},
    kernel::sideband::{self, What},
};

/// A header of 8 bytes, as the kernel writes it before each record: kind, misc, size.
pub(super) fn sideband(bytes: &[u8]) {
    let (Some(kind), Some(misc)) = (array_at(bytes, 0), array_at(bytes, 4)) else {
        return;
    };
    let Some(body) = bytes.get(8..) else { return };
    let (kind, misc) = (u32::from_ne_bytes(kind), u16::from_ne_bytes(misc));
    let Some(record) = sideband::parse(kind, misc, body) else {
        return;
    };
    assert!(body.ends_with(&record.time_ns.to_ne_bytes()));
    if let What::Mapped {
        start, end, path, ..
    } = record.what
    {
        assert!(start <= end);
        assert!(path.as_os_str().len() + 64 <= body.len());
        assert!(!path.as_os_str().as_bytes().contains(&0));
    }
}

/// A byte that tells where the kernel's frames are, then the event.
pub(super) fn event(bytes: &[u8]) {
    let Some((&start, bytes)) = bytes.split_first() else {
        return;
    };
    let Some(event) = Event::parse(bytes) else {
        return;
    };
    assert!(bytes.ends_with(event.rest));
    let kernel = event.kernel_frames(start.into()).count();
    let user = event.user_frames(start.into()).count();
    assert!(kernel.max(user) * 8 + usize::from(start) <= event.rest.len().max(start.into()));
}

pub(super) fn stack(bytes: &[u8]) {
    if let Some(record) = Record::parse(bytes) {
        assert!((record.kernel.len() + record.user.len()) * 8 < bytes.len());
    }
}
