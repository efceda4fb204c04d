//! Makes a sync that follows a failed one mean what it says.
//!
//! When writing back fails, the system reports it once and takes the pages for clean: the next sync
//! succeeds without them, though they never reached the disk, and they can be dropped from memory at
//! any time. So everything written since the last completed sync is remembered here and written again
//! before the next sync is tried. Does not know what the bytes mean.
//!
//! *Assumptions*: a failed sync keeps changes of the file's length, which are in the journal; bytes
//! written anew are either on disk after a completed sync, or that sync fails.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

#[derive(Debug)]
pub(super) struct Durable {
    inner: Arc<dyn StorageBackend>,
    unsynced: Mutex<Unsynced>,
    /// Made when a sync fails, for a process that reads the same pages after this one was killed.
    doubt: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Unsynced {
    /// In the order in which they were made.
    writes: Vec<(u64, Vec<u8>)>,
    failed: bool,
}

impl Durable {
    pub(super) fn new(inner: Arc<dyn StorageBackend>, doubt: Option<PathBuf>) -> Self {
        Self {
            inner,
            unsynced: Mutex::default(),
            doubt,
        }
    }

    /// After a failed sync: puts on disk what that sync should have. Must succeed before anything
    /// that was written is read again.
    pub(super) fn restore(&self) -> io::Result<()> {
        if self.unsynced().failed {
            self.sync_data()
        } else {
            Ok(())
        }
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, unsynced: &Unsynced) -> io::Result<()> {
        if unsynced.failed {
            for (offset, data) in &unsynced.writes {
                self.inner.write(*offset, data)?;
            }
        }
        self.inner.sync_data()
    }

    /// Leaves word, or takes it back. The page cache and the folder's entries are lost together, so
    /// that this need not reach the disk.
    fn mark(&self, failed: bool) {
        let Some(doubt) = &self.doubt else { return };
        let marked = if failed {
            std::fs::write(doubt, [])
        } else {
            std::fs::remove_file(doubt)
        };
        if let Err(error) = marked {
            tracing::warn!(path = %doubt.display(), %error, "cannot leave word of a failed sync");
        }
    }
}

impl StorageBackend for Durable {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut unsynced = self.unsynced();
        self.inner.set_len(len)?;
        unsynced.writes.retain_mut(|(offset, data)| {
            let keep = usize::try_from(len.saturating_sub(*offset)).unwrap_or(data.len());
            data.truncate(keep);
            !data.is_empty()
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut unsynced = self.unsynced();
        match self.sync(&unsynced) {
            Ok(()) => {
                unsynced.writes.clear();
                if std::mem::take(&mut unsynced.failed) {
                    self.mark(false);
                }
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut unsynced.failed, true) {
                    self.mark(true);
                }
                Err(error)
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut unsynced = self.unsynced();
        self.inner.write(offset, data)?;
        unsynced.writes.push((offset, data.to_vec()));
        Ok(())
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            tracing::warn!(%error, "the last write may not survive a power cut");
        }
    }
}
