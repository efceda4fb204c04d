//! Copies a tree of files, or one file, as exactly as the file systems allow: a clone of the blocks
//! where they can be shared, else the data without the holes.
//!
//! Kept: names as bytes, modes with set-id bits, owners, times to the nanosecond, extended
//! attributes, hard links within the tree, symlinks, fifos, sockets, devices, holes.
//! It does not know what the tree is for, and it is not atomic: a file that changes meanwhile is
//! copied as it is met, one that vanishes is passed over, and a mount point is not entered.

mod attributes;
mod content;
mod entry;
mod walk;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use attributes::Attributes;
use content::Method;

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) folders: u64,
    /// All that is not a folder, hard links included.
    pub(crate) files: u64,
    /// Of those, names given to a file copied before.
    pub(crate) links: u64,
    pub(crate) bytes: u64,
    /// Files whose blocks are shared with the original.
    pub(crate) cloned: u64,
    /// Gone before they could be read.
    pub(crate) vanished: u64,
    /// Mount points inside the tree, left empty.
    pub(crate) mounts: u64,
    /// Owners, attributes and devices that this process may not set.
    pub(crate) lost: u64,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.folders += other.folders;
        self.files += other.files;
        self.links += other.links;
        self.bytes += other.bytes;
        self.cloned += other.cloned;
        self.vanished += other.vanished;
        self.mounts += other.mounts;
        self.lost += other.lost;
    }
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("cannot {action} {path:?}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the driver is stopping")]
    Stopped,
}

impl CopyError {
    fn new(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        // The one errno that means this: `content::copy` saw the flag.
        if errno == Errno::CANCELED {
            return Self::Stopped;
        }
        Self::Io {
            action,
            path: path.into(),
            source: errno.into(),
        }
    }
}

/// Copies what is in the folder `from`, and its own attributes, to the empty folder `to`.
pub(crate) fn tree(from: &Path, to: &Path, stop: &AtomicBool) -> Result<Report, CopyError> {
    let source = open_root(from).map_err(|errno| CopyError::new("open", from, errno))?;
    let target = open_root(to).map_err(|errno| CopyError::new("open", to, errno))?;
    let report = walk::Walk::new(from, source.as_fd(), target.as_fd(), stop).run()?;
    fs::syncfs(&target).map_err(|errno| CopyError::new("sync", to, errno))?;
    Ok(report)
}

/// Copies one regular file to a new one.
pub(crate) fn file(from: &Path, to: &Path, stop: &AtomicBool) -> Result<Report, CopyError> {
    let read = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let source = fs::open(from, read, Mode::empty());
    let source = source.map_err(|errno| CopyError::new("open", from, errno))?;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = fs::open(to, write, Mode::RUSR | Mode::WUSR);
    let target = target.map_err(|errno| CopyError::new("make", to, errno))?;
    let copied = content::copy(source.as_fd(), target.as_fd(), &Method::default(), stop)
        .map_err(|errno| CopyError::new("copy", from, errno))?;
    let attributes = Attributes::of_file(source.as_fd())
        .map_err(|errno| CopyError::new("look at", from, errno))?;
    let lost = attributes
        .put_on_file(target.as_fd())
        .map_err(|errno| CopyError::new("set attributes of", to, errno))?;
    File::from(target)
        .sync_all()
        .map_err(|source| CopyError::Io {
            action: "sync",
            path: to.to_owned(),
            source,
        })?;
    Ok(Report {
        files: 1,
        bytes: copied.bytes,
        cloned: u64::from(copied.cloned),
        lost,
        ..Report::default()
    })
}

fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Longest path given to the kernel in one piece.
const PIECE: usize = 4000;

/// Opens a folder below `root` by a path of any length, through no symlink and no mount.
fn open_below(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let open = |at: BorrowedFd<'_>, piece: &[u8]| {
        let piece = if piece.is_empty() { b"." } else { piece };
        match fs::openat2(at, piece, flags | OFlags::NOATIME, Mode::empty(), resolve) {
            // Only an owner may read without a trace.
            Err(Errno::PERM) => fs::openat2(at, piece, flags, Mode::empty(), resolve),
            outcome => outcome,
        }
    };
    let mut rest = path;
    let mut reached: Option<OwnedFd> = None;
    loop {
        let at = reached.as_ref().map_or(root, |fd| fd.as_fd());
        let cut = match rest.get(..PIECE).filter(|_| rest.len() > PIECE) {
            None => rest.len(),
            // A name has at most 255 bytes, so a piece always holds a slash.
            Some(head) => head
                .iter()
                .rposition(|byte| *byte == b'/')
                .ok_or(Errno::NAMETOOLONG)?,
        };
        let fd = open(at, &rest[..cut])?;
        rest = rest.get(cut + 1..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(fd);
        }
        reached = Some(fd);
    }
}

/// Whether a failure means that what was there a moment ago is there no more.
fn vanished(errno: Errno) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE].contains(&errno)
}

fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
