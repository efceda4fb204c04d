//! Chooses where the demo's temporary sandbox is: in memory if it fits, else where `TMPDIR` says.
//! The driver syncs what it makes; on a disk that others write to, the demo would time that disk.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use super::xattr;

/// Memory as a file system, on every Linux that has it.
const MEMORY: &str = "/dev/shm";

/// `TMPFS_MAGIC` of statfs(2).
const TMPFS: u64 = 0x0102_1994;

/// The volume, its snapshot and its restore are three times 32 MiB; the rest is for others.
const ROOM: u64 = 512 << 20;

/// A new folder, gone only when somebody removes it. `small` if the default tree goes into it.
pub(crate) fn new(small: bool) -> io::Result<PathBuf> {
    let chosen = std::env::var_os("TMPDIR").is_some();
    if small && !chosen {
        match in_memory(Path::new(MEMORY), ROOM) {
            Ok(Some(folder)) => return Ok(folder),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "not in memory"),
        }
    }
    make(&std::env::temp_dir())
}

/// None if `memory` is no memory, is short of room, or cannot keep what the odd files have.
fn in_memory(memory: &Path, room: u64) -> io::Result<Option<PathBuf>> {
    if u64::try_from(statfs(memory)?.f_type) != Ok(TMPFS) {
        return Ok(None);
    }
    let space = statvfs(memory)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < room || space.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(None);
    }
    let folder = make(memory)?;
    // Before Linux 6.6, memory kept no attributes of users.
    if matches!(
        xattr::set(&folder, OsStr::new("user.tintype.probe"), b"1"),
        Ok(true)
    ) {
        return Ok(Some(folder));
    }
    std::fs::remove_dir(folder)?;
    Ok(None)
}

fn make(place: &Path) -> io::Result<PathBuf> {
    Ok(tempfile::Builder::new()
        .prefix("tintype-demo-")
        .tempdir_in(place)?
        .keep())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_only_with_room_to_spare() {
        let Ok(true) = statfs(MEMORY).map(|it| u64::try_from(it.f_type) == Ok(TMPFS)) else {
            return; // This machine offers no memory as a file system: nothing to choose.
        };
        assert_eq!(in_memory(Path::new(MEMORY), u64::MAX).unwrap(), None);
        if let Some(folder) = in_memory(Path::new(MEMORY), 1).unwrap() {
            assert!(folder.starts_with(MEMORY));
            std::fs::remove_dir(folder).unwrap();
        }
    }

    #[test]
    fn what_is_no_memory_is_not_taken() {
        assert_eq!(in_memory(Path::new("/proc"), 0).unwrap(), None);
    }
}
