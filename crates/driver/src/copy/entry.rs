//! Copies one name that is not a folder.
//!
//! It does not know about hard links: whoever calls it has seen to those.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Statx};
use rustix::io::Errno;

use super::attributes::{Attributes, wanted};
use super::content::{self, Method};
use super::{Report, vanished};

/// The same name in two folders.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) from: BorrowedFd<'a>,
    pub(super) to: BorrowedFd<'a>,
    pub(super) name: &'a CStr,
}

/// A step that failed, in words.
pub(super) type Failure = (&'static str, Errno);

/// Names a step, for `map_err`.
fn during(action: &'static str) -> impl FnOnce(Errno) -> Failure {
    move |errno| (action, errno)
}

impl Entry<'_> {
    /// What is there, if anything still is.
    pub(super) fn look(&self) -> Result<Option<Statx>, Failure> {
        match fs::statx(self.from, self.name, AtFlags::SYMLINK_NOFOLLOW, wanted()) {
            Ok(stat) => Ok(Some(stat)),
            Err(errno) if vanished(errno) => Ok(None),
            Err(errno) => Err(("look at", errno)),
        }
    }

    pub(super) fn copy(
        &self,
        stat: Statx,
        method: &Method,
        stop: &AtomicBool,
    ) -> Result<Report, Failure> {
        let gone = Report {
            vanished: 1,
            ..Report::default()
        };
        match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => {
                let Some(source) = self.open()? else {
                    return Ok(gone);
                };
                self.regular(source.as_fd(), method, stop)
            }
            // It took the place of what the folder listed.
            FileType::Directory => Ok(gone),
            FileType::Symlink => match fs::readlinkat(self.from, self.name, Vec::new()) {
                Ok(target) => {
                    fs::symlinkat(target.as_c_str(), self.to, self.name)
                        .map_err(during("make the symlink"))?;
                    self.attributes(stat)
                }
                // INVAL: no symlink any more.
                Err(errno) if vanished(errno) || errno == Errno::INVAL => Ok(gone),
                Err(errno) => Err(("read the symlink", errno)),
            },
            kind => {
                let device = fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
                match fs::mknodat(self.to, self.name, kind, Mode::RUSR | Mode::WUSR, device) {
                    Ok(()) => self.attributes(stat),
                    // Devices are for the superuser.
                    Err(Errno::PERM) => Ok(Report {
                        lost: 1,
                        ..Report::default()
                    }),
                    Err(errno) => Err(("make the special file", errno)),
                }
            }
        }
    }

    /// Opens a regular file; none if it is one no more.
    fn open(&self) -> Result<Option<OwnedFd>, Failure> {
        // NONBLOCK: if a fifo took the place, opening must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = |flags| fs::openat(self.from, self.name, flags, Mode::empty());
        let opened = match open(flags | OFlags::NOATIME) {
            // Only an owner may read without a trace.
            Err(Errno::PERM) => open(flags),
            outcome => outcome,
        };
        let file = match opened {
            Ok(file) => file,
            // NXIO: a socket took the place.
            Err(errno) if vanished(errno) || errno == Errno::NXIO => return Ok(None),
            Err(errno) => return Err(("open", errno)),
        };
        let stat = fs::fstat(&file).map_err(during("look at"))?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(regular.then_some(file))
    }

    fn regular(
        &self,
        source: BorrowedFd<'_>,
        method: &Method,
        stop: &AtomicBool,
    ) -> Result<Report, Failure> {
        // Before the content: reading it must not show in the access time.
        let attributes = Attributes::of_file(source).map_err(during("read attributes of"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = fs::openat(self.to, self.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(during("make the copy of"))?;
        let copied = content::copy(source, target.as_fd(), method, stop).map_err(during("copy"))?;
        let lost = attributes
            .put_on_file(target.as_fd())
            .map_err(during("set attributes of the copy of"))?;
        let cloned = u64::from(copied.cloned);
        Ok(Report {
            files: 1,
            bytes: copied.bytes,
            cloned,
            lost,
            ..Report::default()
        })
    }

    fn attributes(&self, stat: Statx) -> Result<Report, Failure> {
        let attributes = match Attributes::of_name(self.from, self.name, stat) {
            Ok(attributes) => attributes,
            Err(errno) if vanished(errno) => {
                fs::unlinkat(self.to, self.name, AtFlags::empty())
                    .map_err(during("remove the copy of"))?;
                return Ok(Report {
                    vanished: 1,
                    ..Report::default()
                });
            }
            Err(errno) => return Err(("read attributes of", errno)),
        };
        let lost = attributes
            .put_on_name(self.to, self.name)
            .map_err(during("set attributes of the copy of"))?;
        Ok(Report {
            files: 1,
            lost,
            ..Report::default()
        })
    }
}
