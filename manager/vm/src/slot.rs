//! The input device: a file that the guest reads as a disk, and how files are handed over.

use std::{fs::File, os::fd::AsRawFd};

use crate::{VmError, qemu::SLOT_BYTES, ram};

/// The input device: the caller's tar, or nothing, as large as the device.
pub(crate) fn slot(input: Option<File>) -> Result<File, VmError> {
    let file = match input {
        None => {
            return ram::anonymous(SLOT_BYTES)
                .and_then(|file| File::open(proc_path(&file)))
                .map_err(VmError::io("make an empty input"));
        }
        Some(file) => file,
    };
    let size = file
        .metadata()
        .map_err(VmError::io("look at the input"))?
        .len();
    if size > SLOT_BYTES {
        return Err(VmError::InputTooLarge {
            size,
            limit: SLOT_BYTES,
        });
    }
    file.set_len(SLOT_BYTES)
        .map_err(VmError::io("extend the input to the size of its device"))?;
    reopen(&file)
}

/// The same file for reading, with an offset of its own.
pub(crate) fn reopen(file: &File) -> Result<File, VmError> {
    File::open(proc_path(file)).map_err(VmError::io("open a file again"))
}

pub(crate) fn proc_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
