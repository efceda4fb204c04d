//! Lets the database open and repair a file without touching it, until it has proved sound.
//!
//! Writes are held in memory; `accept` writes them through and from then on nothing is held.
//! Also keeps the file open when the database closes, so that it can be opened again after a
//! failed commit. Does not know what the bytes mean.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    inner: Arc<dyn StorageBackend>,
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    len: u64,
    /// The file's own bytes end here, or earlier once it was cut.
    from_file: u64,
    writes: Vec<(u64, Vec<u8>)>,
}

impl Overlay {
    /// Starts holding writes.
    pub(crate) fn hold(inner: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let len = inner.len()?;
        let held = Held {
            len,
            from_file: len,
            writes: Vec::new(),
        };
        Ok(Self {
            inner,
            held: Arc::new(Mutex::new(Some(held))),
        })
    }

    /// Writes what was held and passes everything on from now.
    pub(crate) fn accept(&self) -> io::Result<()> {
        let mut held = self.lock();
        if let Some(changes) = held.take()
            && !changes.is_none(self.inner.len()?)
        {
            // Cut first, so that what grows back is zeros.
            self.inner.set_len(changes.from_file)?;
            self.inner.set_len(changes.len)?;
            for (offset, data) in &changes.writes {
                self.inner.write(*offset, data)?;
            }
            self.inner.sync_data()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn is_none(&self, len: u64) -> bool {
        self.writes.is_empty() && self.len == len && self.from_file == len
    }

    fn read(&self, inner: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset + out.len() as u64;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let in_file = self.from_file.min(end).saturating_sub(offset);
        let in_file = usize::try_from(in_file).unwrap_or(out.len());
        if in_file > 0 {
            inner.read(offset, &mut out[..in_file])?;
        }
        for (at, data) in &self.writes {
            let start = offset.max(*at);
            let stop = end.min(at + data.len() as u64);
            if start < stop {
                let (Ok(to), Ok(from), Ok(count)) = (
                    usize::try_from(start - offset),
                    usize::try_from(start - at),
                    usize::try_from(stop - start),
                ) else {
                    return Err(io::ErrorKind::FileTooLarge.into());
                };
                out[to..to + count].copy_from_slice(&data[from..from + count]);
            }
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) {
        self.from_file = self.from_file.min(len);
        self.writes.retain_mut(|(at, data)| {
            let keep = usize::try_from(len.saturating_sub(*at)).unwrap_or(data.len());
            data.truncate(keep);
            !data.is_empty()
        });
        self.len = len;
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, io::Error> {
        match &*self.lock() {
            Some(held) => Ok(held.len),
            None => self.inner.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        match &*self.lock() {
            Some(held) => held.read(&*self.inner, offset, out),
            None => self.inner.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        match &mut *self.lock() {
            Some(held) => held.set_len(len),
            None => return self.inner.set_len(len),
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        match &*self.lock() {
            Some(_) => Ok(()),
            None => self.inner.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        match &mut *self.lock() {
            Some(held) => held.writes.push((offset, data.to_vec())),
            None => return self.inner.write(offset, data),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    fn file(bytes: &[u8]) -> Arc<InMemoryBackend> {
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(bytes.len() as u64).unwrap();
        file.write(0, bytes).unwrap();
        file
    }

    fn all(file: &dyn StorageBackend) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read(0, &mut out).unwrap();
        out
    }

    #[test]
    fn touches_nothing_until_accepted() {
        let below = file(b"abcdef");
        let overlay = Overlay::hold(below.clone()).unwrap();
        overlay.write(2, b"XY").unwrap();
        overlay.set_len(8).unwrap();
        overlay.write(3, b"Z").unwrap();
        assert_eq!(all(&overlay), b"abXZef\0\0");
        assert_eq!(all(&*below), b"abcdef");
        overlay.accept().unwrap();
        assert_eq!(all(&*below), b"abXZef\0\0");
        overlay.write(0, b"!").unwrap();
        assert_eq!(all(&*below), b"!bXZef\0\0");
    }

    #[test]
    fn reads_zeros_where_the_file_was_cut_and_grew_again() {
        let below = file(b"abcdef");
        let overlay = Overlay::hold(below.clone()).unwrap();
        overlay.write(4, b"XY").unwrap();
        overlay.set_len(3).unwrap();
        overlay.set_len(6).unwrap();
        assert_eq!(all(&overlay), b"abc\0\0\0");
        assert!(overlay.read(3, &mut [0; 4]).is_err());
        overlay.accept().unwrap();
        assert_eq!(all(&*below), b"abc\0\0\0");
    }
}
