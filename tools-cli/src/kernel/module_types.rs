//! The type information of kernel modules, as programs that go to their functions are loaded with
//! (Linux 5.11; commit 36e68442d1af).

use std::{
    ffi::CStr,
    io, mem,
    os::fd::{AsFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_btf_info, bpf_cmd};

use super::bpf::{bpf, fd_of, object_info, zeroed_attr};

/// As long as a module's name can be (`MODULE_NAME_LEN`, include/linux/moduleparam.h), and more.
const NAME_BYTES: usize = 64;

/// Opens the type information of the loaded module `name`: the one among all in the kernel that
/// says so.
///
/// # Errors
///
/// ENOENT if there is none, EPERM without `CAP_SYS_ADMIN`.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        id = next_id(id)?;
        match open_by_id(id) {
            Ok(types) => {
                if is_of_module(&types, name)? {
                    return Ok(types);
                }
            }
            // Gone since.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => (),
            Err(error) => return Err(error),
        }
    }
}

/// The number that follows `id`; ENOENT if it was the last.
fn next_id(id: u32) -> io::Result<u32> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    bpf(bpf_cmd::BPF_BTF_GET_NEXT_ID, &mut attr)?;
    // SAFETY: an integer that the kernel has written.
    Ok(unsafe { attr.__bindgen_anon_6.next_id })
}

fn open_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = zeroed_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    fd_of(bpf(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attr)?)
}

fn is_of_module(types: &OwnedFd, module: &str) -> io::Result<bool> {
    let mut name = [0_u8; NAME_BYTES];
    // SAFETY: zero is a valid value of this struct of integers.
    let mut info: bpf_btf_info = unsafe { mem::zeroed() };
    info.name = name.as_mut_ptr() as u64;
    info.name_len = NAME_BYTES as u32;
    object_info(types.as_fd(), &mut info)?;
    let is_named =
        CStr::from_bytes_until_nul(&name).is_ok_and(|name| name.to_bytes() == module.as_bytes());
    // Types of programs have names too.
    Ok(info.kernel_btf != 0 && is_named)
}
