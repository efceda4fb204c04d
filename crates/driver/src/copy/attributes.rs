//! Reads the attributes of a file and puts them on its copy: owner, extended attributes, mode,
//! times, in the order in which none undoes another.
//!
//! It does not know contents. What this process may not set is counted, not fatal.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{
    self, AtFlags, Gid, Mode, Statx, StatxFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

/// The attributes of one file of any kind.
#[derive(Debug)]
pub(super) struct Attributes {
    stat: Statx,
    extended: Vec<(CString, Vec<u8>)>,
}

/// What to look at: an open file, or a name in an open folder.
#[derive(Clone, Copy)]
enum Place<'a> {
    File(BorrowedFd<'a>),
    Name(BorrowedFd<'a>, &'a CStr),
}

pub(super) fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

impl Attributes {
    pub(super) fn of_file(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let stat = fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted())?;
        Ok(Self {
            stat,
            extended: read_extended(Place::File(file))?,
        })
    }

    /// Of something that is not to be opened, such as a symlink or a fifo.
    pub(super) fn of_name(folder: BorrowedFd<'_>, name: &CStr, stat: Statx) -> Result<Self, Errno> {
        Ok(Self {
            stat,
            extended: read_extended(Place::Name(folder, name))?,
        })
    }

    /// Returns how many attributes could not be kept.
    pub(super) fn put_on_file(&self, file: BorrowedFd<'_>) -> Result<u64, Errno> {
        self.put(Place::File(file))
    }

    /// Returns how many attributes could not be kept.
    pub(super) fn put_on_name(&self, folder: BorrowedFd<'_>, name: &CStr) -> Result<u64, Errno> {
        self.put(Place::Name(folder, name))
    }

    fn put(&self, place: Place<'_>) -> Result<u64, Errno> {
        // A change of owner drops the set-id bits and file capabilities, so it comes first;
        // the mode may forbid setting attributes, and each of those changes the times.
        let owner_kept = self.put_owner(place)?;
        let lost = u64::from(!owner_kept) + self.put_extended(place)?;
        self.put_mode(place, owner_kept)?;
        self.put_times(place)?;
        Ok(lost)
    }

    /// False if this process may not give files away.
    fn put_owner(&self, place: Place<'_>) -> Result<bool, Errno> {
        let chown = |owner: Option<Uid>, group: Option<Gid>| match place {
            Place::File(file) => fs::fchown(file, owner, group),
            Place::Name(folder, name) => {
                fs::chownat(folder, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        let owner = Uid::from_raw(self.stat.stx_uid);
        let group = Gid::from_raw(self.stat.stx_gid);
        match chown(Some(owner), Some(group)) {
            Ok(()) => return Ok(true),
            // INVAL: an id that this user namespace does not have.
            Err(Errno::PERM | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
        match chown(None, Some(group)) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    fn put_extended(&self, place: Place<'_>) -> Result<u64, Errno> {
        let mut lost = 0;
        for (name, value) in &self.extended {
            let flags = XattrFlags::empty();
            let outcome = match place {
                Place::File(file) => fs::fsetxattr(file, name.as_c_str(), value, flags),
                Place::Name(..) => {
                    fs::lsetxattr(through_proc(place), name.as_c_str(), value, flags)
                }
            };
            match outcome {
                Ok(()) => {}
                // INVAL: an attribute of the file system itself, such as a security label.
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => lost += 1,
                Err(errno) => return Err(errno),
            }
        }
        Ok(lost)
    }

    fn put_mode(&self, place: Place<'_>, owner_kept: bool) -> Result<(), Errno> {
        let mut mode = Mode::from_raw_mode(u32::from(self.stat.stx_mode));
        if !owner_kept {
            // Set-id bits would lend the rights of somebody else.
            mode.remove(Mode::SUID | Mode::SGID);
        }
        match place {
            Place::File(file) => fs::fchmod(file, mode),
            Place::Name(..) if self.is_symlink() => Ok(()),
            // Follows symlinks, but this is none: we have just made it in a folder of ours.
            Place::Name(folder, name) => fs::chmodat(folder, name, mode, AtFlags::empty()),
        }
    }

    fn put_times(&self, place: Place<'_>) -> Result<(), Errno> {
        let time = |stamp: fs::StatxTimestamp| Timespec {
            tv_sec: stamp.tv_sec,
            tv_nsec: stamp.tv_nsec.into(),
        };
        let times = Timestamps {
            last_access: time(self.stat.stx_atime),
            last_modification: time(self.stat.stx_mtime),
        };
        match place {
            Place::File(file) => fs::futimens(file, &times),
            Place::Name(folder, name) => {
                fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn is_symlink(&self) -> bool {
        fs::FileType::from_raw_mode(self.stat.stx_mode.into()) == fs::FileType::Symlink
    }
}

/// A path to a name in an open folder, for calls that take only paths.
fn through_proc(place: Place<'_>) -> Vec<u8> {
    match place {
        Place::File(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes(),
        Place::Name(folder, name) => {
            let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
            path.extend_from_slice(name.to_bytes());
            path
        }
    }
}

/// Largest list of names and largest value that the kernel gives.
const LARGEST: usize = 64 << 10;

fn read_extended(place: Place<'_>) -> Result<Vec<(CString, Vec<u8>)>, Errno> {
    let path = through_proc(place);
    let size = match place {
        Place::File(file) => fs::flistxattr_query(file),
        Place::Name(..) => fs::llistxattr_query(path.as_slice()),
    };
    match size {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(errno) => return Err(errno),
    }
    let mut list = vec![0; LARGEST];
    let length = match place {
        Place::File(file) => fs::flistxattr(file, list.as_mut_slice())?,
        Place::Name(..) => fs::llistxattr(path.as_slice(), list.as_mut_slice())?,
    };
    list.truncate(length);
    let mut found = Vec::new();
    for name in list.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let mut value = vec![0; LARGEST];
        let length = match place {
            Place::File(file) => fs::fgetxattr(file, name, value.as_mut_slice()),
            Place::Name(..) => fs::lgetxattr(path.as_slice(), name, value.as_mut_slice()),
        };
        match length {
            Ok(length) => {
                value.truncate(length);
                value.shrink_to_fit();
                found.push((name.to_owned(), value));
            }
            // Removed meanwhile, or not for us to read.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}
