//! Mounts, unmounts and looks at what is mounted, with words for what can go wrong.
//!
//! It does not know volumes.

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::refusal::Refusal;

/// Whether something is mounted at a path.
pub(crate) fn is_mount(place: &Path) -> Result<bool, Refusal> {
    let stat = rustix::fs::statx(CWD, place, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .map_err(Refusal::io("look at", place))?;
    Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The device that is mounted at a path, as `st_dev` has it; the path may be missing.
pub(crate) fn mounted(place: &Path) -> Result<Option<u64>, Refusal> {
    match fs::symlink_metadata(place) {
        Ok(there) => Ok(is_mount(place)?.then(|| there.dev())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Refusal::io("look at", place)(error)),
    }
}

/// What to mount.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mount<'a> {
    pub(crate) device: &'a Path,
    pub(crate) file_system: &'a str,
    pub(crate) flags: MountFlags,
    pub(crate) options: &'a CStr,
    /// What is behind the device, for messages.
    pub(crate) image: &'a Path,
    /// The program that may help if it is damaged.
    pub(crate) cure: &'a str,
}

impl Mount<'_> {
    /// Mounts it at a folder, which is made if it is missing.
    pub(crate) fn at(self, place: &Path) -> Result<(), Refusal> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(place);
        made.map_err(Refusal::io("make the folder", place))?;
        let Self {
            device,
            file_system,
            flags,
            options,
            image,
            cure,
        } = self;
        let mounted = rustix::mount::mount(device, place, file_system, flags, options);
        mounted.map_err(|errno| match errno {
            Errno::NODEV => Refusal::Precondition(format!(
                "this kernel has no {file_system}; load its module with `modprobe {file_system}`"
            )),
            // mount(2): a superblock that is none, and what the file systems say of damage.
            Errno::INVAL | Errno::UCLEAN | Errno::BADMSG | Errno::IO | Errno::NODATA => {
                let image = image.display();
                Refusal::Lost(format!(
                    "the {file_system} in {image} is damaged ({errno}); try `{cure} {image}`, or \
                     restore it from a snapshot or a backup"
                ))
            }
            errno => Refusal::io("mount", image)(errno),
        })
    }
}

/// Unmounts whatever is mounted at a path, as often as it is, and removes the folder.
pub(crate) fn clear(place: &Path) -> Result<(), Refusal> {
    while mounted(place)?.is_some() {
        rustix::mount::unmount(place, UnmountFlags::NOFOLLOW).map_err(|errno| match errno {
            Errno::BUSY => Refusal::Precondition(format!(
                "{place} is in use; `fuser -vm {place}` tells by whom",
                place = place.display()
            )),
            errno => Refusal::io("unmount", place)(errno),
        })?;
    }
    match fs::remove_dir(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Refusal::io("remove", place)(error))
        }
        _ => Ok(()),
    }
}
