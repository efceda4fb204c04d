//! Asks how full a file system is.
//!
//! It does not know what is in it.

use std::path::Path;

use crate::backend::{Fill, Usage};
use crate::refusal::Refusal;

/// Of the file system that a path is on.
pub(crate) fn file_system(path: &Path) -> Result<Fill, Refusal> {
    let found = rustix::fs::statvfs(path).map_err(Refusal::io("ask for the space at", path))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Fill {
        bytes: Usage {
            available: bytes(found.f_bavail),
            total: bytes(found.f_blocks),
            used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
        },
        inodes: Some(Usage {
            available: found.f_favail,
            total: found.f_files,
            used: found.f_files.saturating_sub(found.f_ffree),
        }),
    })
}
