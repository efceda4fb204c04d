//! Writes: compares, sets and publishes, for all clients in one thread.
//!
//! The thread takes every write that waits, evaluates them in order, puts the outcome on disk in
//! one durable commit, and only then shows it to readers and watchers and answers the writers.
//! Does not know what an object means.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::Shared;
use super::disk::{Change, Disk};
use super::object::{Draft, Object};
use super::window::Event;

/// A batch ends here even if more waits, so that nobody waits long for others.
const MAX_BATCH: usize = 1024;
const MAX_BATCH_BYTES: usize = 32 << 20;
/// Which part of the time of a commit may be spent waiting for more to put into the next.
const LINGER_PART: u32 = 4;
const LONGEST_LINGER: Duration = Duration::from_millis(1);

/// What must be true of the object for the write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Absent,
    /// It is there, unchanged since this resourceVersion.
    Unchanged(u64),
}

#[derive(Debug)]
pub(crate) struct Write {
    pub resource: Arc<str>,
    pub key: Arc<str>,
    pub expect: Expect,
    /// Absent to delete.
    pub draft: Option<Draft>,
}

/// Why a write did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the object exists already")]
    Exists,
    #[error("the object has changed")]
    Changed,
    #[error("the object does not exist")]
    Missing,
    #[error("the store could not write to disk: {0}")]
    Disk(Arc<str>),
}

pub(super) struct Request {
    write: Write,
    reply: oneshot::Sender<Result<Arc<Object>, WriteError>>,
}

/// The writers' end of the committer's queue. Dropping it waits until the file is closed.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Option<Sender<Request>>,
    committer: Option<thread::JoinHandle<()>>,
    ended: watch::Receiver<()>,
}

impl Queue {
    /// Starts the committer, which holds `keep` until it has closed the file.
    pub(super) fn start(
        shared: &Arc<Shared>,
        disk: Disk,
        rv: u64,
        keep: impl Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let shared = Arc::downgrade(shared);
        let (alive, ended) = watch::channel(());
        let committer = thread::Builder::new()
            .name("store-commit".into())
            .spawn(move || {
                // Dropped even by a panic.
                let _alive = alive;
                Committer {
                    shared,
                    disk,
                    rv,
                    unsure: BTreeSet::new(),
                }
                .run(&receiver);
                drop(keep);
            })?;
        Ok(Self {
            sender: Some(sender),
            committer: Some(committer),
            ended,
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.ended.has_changed().is_ok()
    }

    /// Returns once the committer has ended, by itself.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    pub(super) async fn send(&self, write: Write) -> Result<Arc<Object>, WriteError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || WriteError::Disk("the store is closed".into());
        let sender = self.sender.as_ref().ok_or_else(stopped)?;
        sender
            .send(Request { write, reply })
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

struct Committer {
    shared: Weak<Shared>,
    disk: Disk,
    /// The highest resourceVersion ever given, even to a write that then failed.
    rv: u64,
    /// Keys of failed commits: the disk may hold the failed write, so the next commit repeats
    /// what memory holds.
    unsure: BTreeSet<Place>,
}

/// What a batch wants to do, before it is on disk.
#[derive(Default)]
struct Batch {
    pending: HashMap<Place, Option<Arc<Object>>>,
    changes: Vec<Change>,
    events: Vec<(Arc<str>, Event)>,
    replies: Vec<Reply>,
}

/// A resource and the key of one of its objects.
type Place = (Arc<str>, Arc<str>);
type Answer = Result<Arc<Object>, WriteError>;
type Reply = (oneshot::Sender<Answer>, Answer);

impl Committer {
    fn run(mut self, receiver: &Receiver<Request>) {
        let (mut linger, mut usual) = (Duration::ZERO, 1);
        while let Ok(first) = receiver.recv() {
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            let mut batch = Batch::default();
            let mut bytes = self.evaluate(&shared, &mut batch, first);
            let until = Instant::now() + linger;
            while batch.replies.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
                let next = match receiver.try_recv() {
                    // Several writers that were answered together soon write again: without a
                    // short wait the quickest would have the next commit to itself.
                    Err(_) if batch.replies.len() < usual => {
                        let left = until.saturating_duration_since(Instant::now());
                        receiver.recv_timeout(left).ok()
                    }
                    next => next.ok(),
                };
                let Some(next) = next else { break };
                bytes += self.evaluate(&shared, &mut batch, next);
            }
            usual = batch.replies.len().max(usual - usual.div_ceil(8)).max(1);
            let began = Instant::now();
            self.finish(&shared, batch);
            linger = (began.elapsed() / LINGER_PART).min(LONGEST_LINGER);
        }
    }

    /// Decides one write against memory and what the batch did before it.
    fn evaluate(&mut self, shared: &Shared, batch: &mut Batch, request: Request) -> usize {
        let Request { write, reply } = request;
        let size = write.draft.as_ref().map_or(0, Draft::len);
        let place = (write.resource.clone(), write.key.clone());
        let current = match batch.pending.get(&place) {
            Some(pending) => pending.clone(),
            None => shared.get(&write.resource, &write.key),
        };
        let refusal = match (write.expect, &current) {
            (Expect::Absent, Some(_)) => Some(WriteError::Exists),
            (Expect::Unchanged(_), None) => Some(WriteError::Missing),
            (Expect::Unchanged(rv), Some(found)) if rv != found.rv => Some(WriteError::Changed),
            _ => None,
        };
        if let Some(refusal) = refusal {
            batch.replies.push((reply, Err(refusal)));
            return size;
        }
        self.rv += 1;
        let rv = self.rv;
        let new = write
            .draft
            .map(|draft| Arc::new(draft.finish(write.key.clone(), rv)));
        let outcome = match (&new, &current) {
            (Some(new), _) => Ok(new.clone()),
            (None, Some(old)) => Ok(Arc::new(old.at(rv))),
            (None, None) => Err(WriteError::Missing),
        };
        batch.pending.insert(place, new.clone());
        batch.changes.push(Change {
            resource: write.resource.clone(),
            key: write.key,
            object: new.clone(),
        });
        batch.events.push((
            write.resource,
            Event {
                rv,
                old: current,
                new,
            },
        ));
        batch.replies.push((reply, outcome));
        size
    }

    fn finish(&mut self, shared: &Shared, batch: Batch) {
        let failure = self.persist(shared, &batch.changes).err();
        if failure.is_none() {
            shared.publish(batch.events);
        }
        for (reply, answer) in batch.replies {
            // Refusals too: they may have looked at what a failed batch was to bring.
            let answer = match &failure {
                Some(failure) => Err(failure.clone()),
                None => answer,
            };
            // A writer that stopped waiting does not change what happened.
            let _ = reply.send(answer);
        }
    }

    fn persist(&mut self, shared: &Shared, changes: &[Change]) -> Result<(), WriteError> {
        if changes.is_empty() {
            return Ok(());
        }
        let repeated = self.unsure.iter().map(|(resource, key)| Change {
            resource: resource.clone(),
            key: key.clone(),
            object: shared.get(resource, key),
        });
        let all: Vec<Change> = repeated.chain(changes.iter().cloned()).collect();
        match self.disk.commit(self.rv, &all) {
            Ok(()) => {
                self.unsure.clear();
                Ok(())
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, writes = changes.len(), "a commit failed");
                for change in changes {
                    self.unsure
                        .insert((change.resource.clone(), change.key.clone()));
                }
                Err(WriteError::Disk(error.into()))
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
