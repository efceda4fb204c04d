//! Walks a tree with several threads and copies what it meets.
//!
//! Folders are opened by their path from the root, so that depth costs neither stack nor open
//! files. It does not know how one file is copied.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, Statx};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::content::Method;
use super::entry::{Entry, Failure};
use super::{CopyError, Report, open_below, stopped, vanished};
use crate::crew;

/// One copy of one tree.
pub(super) struct Walk<'a> {
    /// For messages.
    name: &'a Path,
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    stop: &'a AtomicBool,
    method: Method,
    found: Mutex<Found>,
}

enum Task {
    /// A folder below the root.
    Folder(Vec<u8>),
    /// Some of the files of a folder.
    Files(Vec<u8>, Vec<CString>),
}

/// What must wait until all else is done.
#[derive(Default)]
struct Found {
    report: Report,
    /// A folder's attributes go on after its contents.
    folders: Vec<(Vec<u8>, Attributes)>,
    /// Where each file with several names was copied first.
    first: HashMap<Inode, Vec<u8>>,
    /// The other names.
    others: Vec<(Inode, Vec<u8>)>,
}

/// With the time of birth: the number may be used again while we copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Inode(u64, i64, u32);

impl Inode {
    fn of(stat: &Statx) -> Self {
        Self(stat.stx_ino, stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
    }
}

/// Files that one thread takes at a time.
const BATCH: usize = 128;

/// More threads than this wait for the disk only.
const MOST_THREADS: usize = 4;

impl<'a> Walk<'a> {
    pub(super) fn new(
        name: &'a Path,
        from: BorrowedFd<'a>,
        to: BorrowedFd<'a>,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            name,
            from,
            to,
            stop,
            method: Method::default(),
            found: Mutex::default(),
        }
    }

    pub(super) fn run(mut self) -> Result<Report, CopyError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let root = vec![Task::Folder(Vec::new())];
        crew::work_off(root, threads.min(MOST_THREADS), |task| self.perform(task))?;
        let mut found = std::mem::take(&mut self.found)
            .into_inner()
            .unwrap_or_default();
        self.link(&mut found)?;
        self.finish_folders(&mut found)?;
        Ok(found.report)
    }

    /// Does one task and returns those that come from it.
    fn perform(&self, task: Task) -> Result<Vec<Task>, CopyError> {
        if stopped(self.stop) {
            return Err(CopyError::Stopped);
        }
        let mut more = Vec::new();
        let report = match task {
            Task::Folder(path) => self.folder(&path, &mut more)?,
            Task::Files(path, names) => match self.open_source(&path)? {
                None => Report::default(),
                Some(from) => {
                    let to = self.open_target(&path)?;
                    self.files(&path, from.as_fd(), to.as_fd(), &names)?
                }
            },
        };
        lock(&self.found).report.add(report);
        Ok(more)
    }

    fn folder(&self, path: &[u8], more: &mut Vec<Task>) -> Result<Report, CopyError> {
        let from = match open_below(self.from, path) {
            Ok(from) => from,
            Err(Errno::XDEV) => return self.mount_point(path),
            Err(errno) if vanished(errno) => {
                return Ok(Report {
                    vanished: 1,
                    ..Report::default()
                });
            }
            Err(errno) => return Err(self.failed(path, ("open", errno))),
        };
        let to = self.make_folder(path)?;
        let attributes = Attributes::of_file(from.as_fd())
            .map_err(|errno| self.failed(path, ("read attributes of", errno)))?;
        lock(&self.found).folders.push((path.to_vec(), attributes));
        let (folders, mut files) =
            list(from.as_fd()).map_err(|errno| self.failed(path, ("list", errno)))?;
        let here = files.split_off(files.len().saturating_sub(BATCH));
        more.extend(folders.iter().map(|name| Task::Folder(join(path, name))));
        more.extend(
            files
                .chunks(BATCH)
                .map(|batch| Task::Files(path.to_vec(), batch.to_vec())),
        );
        let mut report = self.files(path, from.as_fd(), to.as_fd(), &here)?;
        report.folders += 1;
        Ok(report)
    }

    /// Something else is mounted here: the folder is kept, what it shows is not ours.
    fn mount_point(&self, path: &[u8]) -> Result<Report, CopyError> {
        self.make_folder(path)?;
        Ok(Report {
            folders: 1,
            mounts: 1,
            ..Report::default()
        })
    }

    fn files(
        &self,
        path: &[u8],
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        names: &[CString],
    ) -> Result<Report, CopyError> {
        let mut report = Report::default();
        for name in names {
            if stopped(self.stop) {
                return Err(CopyError::Stopped);
            }
            let entry = Entry { from, to, name };
            let failed = |failure| self.failed(&join(path, name), failure);
            let Some(stat) = entry.look().map_err(failed)? else {
                report.vanished += 1;
                continue;
            };
            if stat.stx_nlink > 1 && !self.is_first(&stat, path, name) {
                continue;
            }
            report.add(entry.copy(stat, &self.method, self.stop).map_err(failed)?);
        }
        Ok(report)
    }

    /// Whether this is the first name met of a file with several; the others wait.
    fn is_first(&self, stat: &Statx, path: &[u8], name: &CStr) -> bool {
        if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory {
            return true;
        }
        let inode = Inode::of(stat);
        let mut found = lock(&self.found);
        match found.first.entry(inode) {
            Slot::Vacant(slot) => {
                slot.insert(join(path, name));
                true
            }
            Slot::Occupied(_) => {
                found.others.push((inode, join(path, name)));
                false
            }
        }
    }

    /// Gives the other names to files that have several.
    fn link(&self, found: &mut Found) -> Result<(), CopyError> {
        for (inode, path) in std::mem::take(&mut found.others) {
            let (folder, name) = split(&path);
            let to = match open_below(self.to, folder) {
                Ok(to) => to,
                Err(errno) => return Err(self.failed(&path, ("open the copy of", errno))),
            };
            let first = found.first.entry(inode).or_insert_with(|| path.clone());
            let (first_folder, first_name) = split(first);
            let linked = open_below(self.to, first_folder)
                .and_then(|at| fs::linkat(at, first_name, &to, name, AtFlags::empty()));
            match linked {
                Ok(()) => {
                    found.report.files += 1;
                    found.report.links += 1;
                }
                // The first name vanished before it was copied: this one takes its place.
                Err(errno) if vanished(errno) => {
                    first.clone_from(&path);
                    let Some(from) = self.open_source(folder)? else {
                        continue;
                    };
                    let name = CString::new(name).unwrap_or_default();
                    let entry = Entry {
                        from: from.as_fd(),
                        to: to.as_fd(),
                        name: &name,
                    };
                    let failed = |failure| self.failed(&path, failure);
                    match entry.look().map_err(failed)? {
                        None => found.report.vanished += 1,
                        Some(stat) => {
                            let copied = entry.copy(stat, &self.method, self.stop);
                            found.report.add(copied.map_err(failed)?);
                        }
                    }
                }
                Err(errno) => return Err(self.failed(&path, ("link the copy of", errno))),
            }
        }
        Ok(())
    }

    /// Deepest first: a mode may forbid to pass.
    fn finish_folders(&self, found: &mut Found) -> Result<(), CopyError> {
        found
            .folders
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        for (path, attributes) in &found.folders {
            let to = self.open_target(path)?;
            let lost = attributes
                .put_on_file(to.as_fd())
                .map_err(|errno| self.failed(path, ("set attributes of the copy of", errno)))?;
            found.report.lost += lost;
        }
        Ok(())
    }

    fn open_source(&self, path: &[u8]) -> Result<Option<OwnedFd>, CopyError> {
        match open_below(self.from, path) {
            Ok(fd) => Ok(Some(fd)),
            Err(errno) if vanished(errno) || errno == Errno::XDEV => Ok(None),
            Err(errno) => Err(self.failed(path, ("open", errno))),
        }
    }

    fn open_target(&self, path: &[u8]) -> Result<OwnedFd, CopyError> {
        open_below(self.to, path).map_err(|errno| self.failed(path, ("open the copy of", errno)))
    }

    fn make_folder(&self, path: &[u8]) -> Result<OwnedFd, CopyError> {
        if !path.is_empty() {
            let (parent, name) = split(path);
            let made = fs::mkdirat(self.open_target(parent)?, name, Mode::RWXU);
            made.map_err(|errno| self.failed(path, ("make the copy of", errno)))?;
        }
        self.open_target(path)
    }

    fn failed(&self, path: &[u8], (action, errno): Failure) -> CopyError {
        let path: PathBuf = self.name.join(OsStr::from_bytes(path));
        CopyError::new(action, path, errno)
    }
}

/// Names in a folder: folders, and all else.
fn list(folder: BorrowedFd<'_>) -> Result<(Vec<CString>, Vec<CString>), Errno> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(errno) if vanished(errno) => continue,
                Err(errno) => return Err(errno),
            },
            known => known,
        };
        if kind == FileType::Directory {
            &mut folders
        } else {
            &mut files
        }
        .push(name.to_owned());
    }
    Ok((folders, files))
}

fn join(folder: &[u8], name: &CStr) -> Vec<u8> {
    if folder.is_empty() {
        return name.to_bytes().to_vec();
    }
    [folder, name.to_bytes()].join(&b'/')
}

/// The folder and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another thread ends this copy.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
