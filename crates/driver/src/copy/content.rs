//! Copies the bytes of one file: shared blocks, else the kernel's copy of each extent, else reading
//! and writing.
//!
//! It does not know the file's name or attributes.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, SeekFrom};
use rustix::io::{self, Errno};

use super::stopped;

/// What the two file systems were found to be able to do; learnt by trying.
#[derive(Debug)]
pub(super) struct Method {
    clone: AtomicBool,
    range: AtomicBool,
}

impl Default for Method {
    fn default() -> Self {
        Self {
            clone: AtomicBool::new(true),
            range: AtomicBool::new(true),
        }
    }
}

#[cfg(test)]
impl Method {
    /// What is left where the kernel helps with nothing.
    pub(super) fn reading_and_writing() -> Self {
        Self {
            clone: AtomicBool::new(false),
            range: AtomicBool::new(false),
        }
    }
}

pub(super) struct Copied {
    pub(super) bytes: u64,
    pub(super) cloned: bool,
}

/// Bytes between two looks at the stop flag.
const STRIDE: u64 = 64 << 20;

/// Bytes read at once where the kernel does not copy by itself.
const BUFFER: usize = 256 << 10;

/// Copies all of `from` to the empty file `to`. `Errno::CANCELED` means that it was told to stop.
pub(super) fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    method: &Method,
    stop: &AtomicBool,
) -> Result<Copied, Errno> {
    let size = size_of(from)?;
    if size == 0 {
        return Ok(Copied {
            bytes: 0,
            cloned: false,
        });
    }
    if method.clone.load(Ordering::Relaxed) {
        match fs::ioctl_ficlone(to, from) {
            Ok(()) => {
                return Ok(Copied {
                    bytes: size,
                    cloned: true,
                });
            }
            Err(Errno::NOSPC) => return Err(Errno::NOSPC),
            Err(Errno::DQUOT) => return Err(Errno::DQUOT),
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::NOSYS) => {
                method.clone.store(false, Ordering::Relaxed);
            }
            // Something about this file only, such as a swap file.
            Err(_) => {}
        }
    }
    let mut at = 0;
    let mut written = 0;
    while let Some((start, end)) = next_extent(from, at, size)? {
        let reached = extent(from, to, start, end, method, stop)?;
        written = reached;
        if reached < end {
            break; // It shrank under us.
        }
        at = end;
    }
    let length = size.min(size_of(from)?).max(written);
    if written < length {
        fs::ftruncate(to, length)?;
    }
    Ok(Copied {
        bytes: length,
        cloned: false,
    })
}

fn size_of(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    // Never negative for a file.
    Ok(u64::try_from(fs::fstat(file)?.st_size).unwrap_or(0))
}

/// The next stretch of data at or after `at`.
fn next_extent(file: BorrowedFd<'_>, at: u64, size: u64) -> Result<Option<(u64, u64)>, Errno> {
    if at >= size {
        return Ok(None);
    }
    let start = match fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // No notion of holes here: all is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, size))),
        Err(errno) => return Err(errno),
    };
    if start >= size {
        return Ok(None);
    }
    let end = match fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) => end.min(size),
        Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    Ok(Some((start, end)))
}

/// Copies one stretch; returns where it ended, which is early if the file shrank.
fn extent(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    start: u64,
    end: u64,
    method: &Method,
    stop: &AtomicBool,
) -> Result<u64, Errno> {
    let mut at = start;
    let mut buffer = Vec::new();
    while at < end {
        if stopped(stop) {
            return Err(Errno::CANCELED);
        }
        let want = usize::try_from((end - at).min(STRIDE)).unwrap_or(BUFFER);
        let moved = if method.range.load(Ordering::Relaxed) {
            let (mut reading, mut writing) = (at, at);
            match fs::copy_file_range(from, Some(&mut reading), to, Some(&mut writing), want) {
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    method.range.store(false, Ordering::Relaxed);
                    continue;
                }
                outcome => outcome?,
            }
        } else {
            buffer.resize(BUFFER, 0);
            let limit = want.min(BUFFER);
            let read = io::retry_on_intr(|| io::pread(from, &mut buffer[..limit], at))?;
            write_all(to, &buffer[..read], at)?;
            read
        };
        if moved == 0 {
            break;
        }
        at += moved as u64;
    }
    Ok(at)
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = io::retry_on_intr(|| io::pwrite(to, bytes, at))?;
        bytes = &bytes[written..];
        at += written as u64;
    }
    Ok(())
}
