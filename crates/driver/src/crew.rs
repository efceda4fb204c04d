//! Works off tasks that bring more tasks, with as many threads as there is work for.
//!
//! It does not know what a task is. The first failure ends the rest.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};

pub(crate) struct Crew<'a, T, E> {
    work: &'a Work<'a, T, E>,
    most: usize,
    board: Mutex<Board<T, E>>,
    news: Condvar,
}

type Work<'a, T, E> = dyn Fn(T) -> Result<Vec<T>, E> + Sync + 'a;

struct Board<T, E> {
    tasks: Vec<T>,
    busy: usize,
    threads: usize,
    failed: Option<E>,
}

/// Does the first task and all that come from it, with at most this many threads.
///
/// The last task brought is done first, so that a tree is walked depth first.
pub(crate) fn work_off<T: Send, E: Send>(
    first: Vec<T>,
    most: usize,
    work: impl Fn(T) -> Result<Vec<T>, E> + Sync,
) -> Result<(), E> {
    let board = Board {
        tasks: first,
        busy: 0,
        threads: 1,
        failed: None,
    };
    let crew = Crew {
        work: &work,
        most,
        board: Mutex::new(board),
        news: Condvar::new(),
    };
    thread::scope(|scope| crew.serve(scope));
    let failed = crew.lock().failed.take();
    failed.map_or(Ok(()), Err)
}

impl<'a, T: Send, E: Send> Crew<'a, T, E> {
    /// Takes tasks until none is left and nobody can bring more.
    fn serve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>)
    where
        'a: 'scope,
    {
        while let Some(task) = self.next(scope) {
            let outcome = (self.work)(task);
            let mut board = self.lock();
            board.busy -= 1;
            match outcome {
                Ok(more) if board.failed.is_none() => board.tasks.extend(more),
                Ok(_) => {}
                Err(error) => {
                    board.tasks.clear();
                    board.failed.get_or_insert(error);
                }
            }
            drop(board);
            self.news.notify_all();
        }
    }

    fn next<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> Option<T>
    where
        'a: 'scope,
    {
        let mut board = self.lock();
        loop {
            if let Some(task) = board.tasks.pop() {
                board.busy += 1;
                // Everybody busy and still something to do: one more.
                if !board.tasks.is_empty() && board.busy == board.threads && board.busy < self.most
                {
                    board.threads += 1;
                    scope.spawn(move || self.serve(scope));
                }
                return Some(task);
            }
            if board.busy == 0 {
                return None;
            }
            board = self
                .news
                .wait(board)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board<T, E>> {
        // A panic of one thread ends the scope, and with it all of this.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> fmt::Debug for Crew<'_, T, E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Crew")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn everything_that_is_brought_is_done_once() {
        for most in [1, 2, 16] {
            let sum = AtomicU64::new(0);
            let outcome: Result<(), ()> = work_off(vec![1000_u64], most, |task| {
                sum.fetch_add(1, Ordering::Relaxed);
                Ok(if task < 2 {
                    Vec::new()
                } else {
                    vec![task / 2, task - task / 2]
                })
            });
            assert_eq!((outcome, sum.into_inner()), (Ok(()), 1999));
        }
    }

    #[test]
    fn the_first_failure_ends_it() {
        let done = AtomicU64::new(0);
        let outcome = work_off((0..100_000).collect(), 4, |task| {
            done.fetch_add(1, Ordering::Relaxed);
            if task == 99_990 {
                Err(task)
            } else {
                Ok(Vec::new())
            }
        });
        assert_eq!(outcome, Err(99_990));
        assert!(done.into_inner() < 100_000);
    }
}
