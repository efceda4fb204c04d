//! Removes a tree of any depth from a folder that is only ours.
//!
//! Nested folders are first moved up beside their parent, so that neither stack, open files nor
//! path lengths grow with depth; if the process dies, what is left lies in that folder to be swept.
//! It never follows a symlink and never enters a mount.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::crew;

/// A private folder whose entries are rubbish. It is open only while something is removed, so that
/// it does not keep its file system in use.
#[derive(Debug)]
pub(crate) struct Bin {
    path: PathBuf,
    next: AtomicU64,
}

/// A bin at work.
struct Clearing<'a> {
    bin: &'a Bin,
    folder: OwnedFd,
}

enum Task {
    /// Something in the bin.
    Entry(CString),
    /// Some of what is in a folder of the bin.
    Files(CString, Vec<CString>),
}

/// Freeing blocks waits for the disk, not for a processor.
const THREADS: usize = 16;

/// Names that one thread takes at a time.
const BATCH: usize = 64;

impl Bin {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            next: AtomicU64::new(0),
        }
    }

    /// A name that nothing in the bin has, if it was empty at the start.
    pub(crate) fn fresh(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// Removes everything; leftovers of an earlier process may have any name.
    pub(crate) fn empty(&self) -> Result<u64, Errno> {
        let clearing = self.open()?;
        let names = names(clearing.folder.as_fd())?;
        // Moved out of the way of fresh names.
        let highest = names
            .iter()
            .filter_map(|name| name.to_str().ok()?.parse::<u64>().ok())
            .max();
        self.next
            .fetch_max(highest.map_or(0, |number| number + 1), Ordering::Relaxed);
        let count = names.len() as u64;
        clearing.remove_all(names)?;
        Ok(count)
    }

    /// Removes one entry and all below it.
    pub(crate) fn remove(&self, name: &CStr) -> Result<(), Errno> {
        self.open()?.remove_all(vec![name.to_owned()])
    }

    fn open(&self) -> Result<Clearing<'_>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = fs::open(&self.path, flags, Mode::empty())?;
        Ok(Clearing { bin: self, folder })
    }
}

impl Clearing<'_> {
    fn remove_all(&self, names: Vec<CString>) -> Result<(), Errno> {
        let folders = Mutex::new(Vec::new());
        let tasks = names.into_iter().map(Task::Entry).collect();
        crew::work_off(tasks, THREADS, |task| match task {
            Task::Entry(name) => match fs::unlinkat(&self.folder, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(Vec::new()),
                Err(Errno::ISDIR | Errno::PERM) => {
                    folders
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(name.clone());
                    self.clear(&name)
                }
                Err(errno) => Err(errno),
            },
            Task::Files(folder, names) => {
                let folder = open_for_clearing(self.folder.as_fd(), &folder)?;
                self.clear_some(folder.as_fd(), &names)
            }
        })?;
        // All are empty now, and side by side.
        let folders = folders.into_inner().unwrap_or_else(PoisonError::into_inner);
        crew::work_off(folders, THREADS, |name| {
            fs::unlinkat(&self.folder, &name, AtFlags::REMOVEDIR).map(|()| Vec::new())
        })
    }

    /// Empties one folder of the bin; what is left to do is returned.
    fn clear(&self, name: &CStr) -> Result<Vec<Task>, Errno> {
        let folder = open_for_clearing(self.folder.as_fd(), name)?;
        let mut children = names(folder.as_fd())?;
        let rest = children.split_off(children.len().min(BATCH));
        let mut tasks = self.clear_some(folder.as_fd(), &children)?;
        let batches = rest.chunks(BATCH);
        tasks.extend(batches.map(|batch| Task::Files(name.to_owned(), batch.to_vec())));
        Ok(tasks)
    }

    /// Removes children of a folder; those that are folders with something in them move up.
    fn clear_some(&self, folder: BorrowedFd<'_>, children: &[CString]) -> Result<Vec<Task>, Errno> {
        let mut moved = Vec::new();
        for child in children {
            let outcome = match fs::unlinkat(folder, child, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => self.move_up(folder, child, &mut moved),
                outcome => outcome,
            };
            match outcome {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(moved)
    }

    fn move_up(
        &self,
        folder: BorrowedFd<'_>,
        child: &CStr,
        moved: &mut Vec<Task>,
    ) -> Result<(), Errno> {
        match fs::unlinkat(folder, child, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
            outcome => return outcome,
        }
        let fresh = CString::new(self.bin.fresh()).map_err(|_| Errno::INVAL)?;
        // Moving a folder writes its `..`, for which its owner needs write permission.
        let stat = fs::statat(folder, child, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            fs::chmodat(folder, child, Mode::RWXU, AtFlags::empty())?;
        }
        fs::renameat(folder, child, &self.folder, &fresh)?;
        moved.push(Task::Entry(fresh));
        Ok(())
    }
}

/// Opens a folder with the permission to empty it.
fn open_for_clearing(bin: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = || fs::openat2(bin, name, flags, Mode::empty(), resolve);
    let stat = fs::statat(bin, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU) {
        // A folder by now: whatever else it was has been unlinked before.
        fs::chmodat(bin, name, Mode::RWXU, AtFlags::empty())?;
    }
    match open() {
        Err(Errno::XDEV) => Err(Errno::BUSY),
        outcome => outcome,
    }
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn bin(path: &std::path::Path) -> Bin {
        Bin::new(path.to_owned())
    }

    #[test]
    fn what_a_symlink_points_to_survives() {
        let place = tempfile::tempdir().unwrap();
        let precious = tempfile::tempdir().unwrap();
        fs::write(precious.path().join("file"), "data").unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        symlink(precious.path(), place.path().join("a/b/link")).unwrap();
        symlink(precious.path(), place.path().join("top")).unwrap();
        assert_eq!(bin(place.path()).empty(), Ok(2));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        assert_eq!(fs::read(precious.path().join("file")).unwrap(), b"data");
    }

    #[test]
    fn depth_and_modes_are_no_obstacle() {
        let place = tempfile::tempdir().unwrap();
        let mut path = place.path().join("a");
        for _ in 0..1500 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(place.path().join("a/d/d/file"), "x").unwrap();
        fs::set_permissions(place.path().join("a/d/d"), Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(place.path().join("a/d"), Permissions::from_mode(0o0)).unwrap();
        // Names that the bin itself would choose.
        fs::create_dir_all(place.path().join("0/x/y")).unwrap();
        fs::create_dir_all(place.path().join("1/x/y")).unwrap();
        assert_eq!(bin(place.path()).empty(), Ok(3));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
