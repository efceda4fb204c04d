//! Runs one function over many items on all processors, and counts bytes on the way.
//! Knows nothing of files.

use std::{
    io,
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

/// Bytes done so far: written by the workers, read by a progress bar. And a way to end them early.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    bytes: AtomicU64,
    stopped: AtomicBool,
}

impl Tally {
    pub(crate) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Nobody wants the result any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// An error once nobody wants the result any more.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.stopped.load(Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        Ok(())
    }
}

/// The results in the order of the items; the first failure stops all workers and is returned.
pub(crate) fn map<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let workers = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(items.len());
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let failed = Mutex::new(None);
    let worker = || {
        let mut mine = Vec::new();
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(item) = items.get(at) else { break };
            match work(item) {
                Ok(result) => mine.push((at, result)),
                Err(error) => {
                    next.store(items.len(), Relaxed);
                    failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(error);
                    break;
                }
            }
        }
        done.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut mine);
    };
    // A panic of a worker goes on in the caller: `scope` joins all of them.
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(worker))));
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled = map(&items, |n| Ok::<_, ()>(n * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(map(&[] as &[u32], |_| Ok::<_, ()>(())), Ok(vec![]));
    }

    #[test]
    fn a_stopped_tally_ends_the_work() {
        let tally = Tally::default();
        tally.check().unwrap();
        tally.stop();
        assert_eq!(tally.check().unwrap_err().to_string(), "interrupted");
    }

    #[test]
    fn the_first_failure_is_returned() {
        let items: Vec<u32> = (0..1000).collect();
        assert_eq!(
            map(&items, |n| if *n == 500 { Err(*n) } else { Ok(()) }),
            Err(500)
        );
    }
}
