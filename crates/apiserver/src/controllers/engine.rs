//! Runs one controller: watches what it follows, asks it what to do next for each key, and does that.
//!
//! A key is worked on by one call at a time, many keys at once. Whatever woke a key, the controller looks at the whole
//! of what it knows and takes one step; the reply is folded in and it is asked again. A failure is tried again after a
//! growing pause. Knows nothing of what any controller is about.

mod informer;
mod queue;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::informer::News;
use self::queue::Queue;
use crate::local::{Call, CallError, LocalClient};

/// Calls of one controller under way at once; they share the store's group commit.
const AT_ONCE: usize = 64;
/// News that wait for the controller before its watches are held up.
const NEWS: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A resource, in all namespaces, that is listed and watched; the path may end in a query that selects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Collection {
    pub(super) path: Arc<str>,
    /// Only the metadata of its objects is asked for.
    pub(super) metadata_only: bool,
}

impl Collection {
    pub(super) fn whole(path: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.into(),
            metadata_only: false,
        }
    }

    pub(super) fn metadata(path: impl Into<Arc<str>>) -> Self {
        Self {
            path: path.into(),
            metadata_only: true,
        }
    }
}

/// What became known of a collection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    /// It is like this now, new or not.
    Put(&'a Value),
    /// It was like this when it was deleted.
    Gone(&'a Value),
    /// Objects of all other uids are gone; how they were is not known.
    Only(&'a HashSet<String>),
}

/// What a controller wants to happen besides its steps.
#[derive(Debug)]
pub(super) struct Outbox<K> {
    wake: Vec<K>,
    follow: Vec<Collection>,
    unfollow: Vec<Collection>,
}

impl<K> Outbox<K> {
    fn new() -> Self {
        Self {
            wake: Vec::new(),
            follow: Vec::new(),
            unfollow: Vec::new(),
        }
    }

    pub(super) fn wake(&mut self, key: K) {
        self.wake.push(key);
    }

    pub(super) fn follow(&mut self, collection: Collection) {
        self.follow.push(collection);
    }

    pub(super) fn unfollow(&mut self, collection: Collection) {
        self.unfollow.push(collection);
    }
}

/// What is done for a key: mostly one call, seldom a course of them.
pub(super) enum Work {
    Call(Call),
    Task(Box<dyn FnOnce(LocalClient) -> BoxFuture<'static, Reply> + Send>),
}

pub(super) type Reply = Result<Value, CallError>;

impl From<Call> for Work {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

impl Work {
    pub(super) fn task<F>(task: impl FnOnce(LocalClient) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::Task(Box::new(|client| Box::pin(task(client))))
    }

    async fn run(self, client: LocalClient) -> Reply {
        match self {
            Self::Call(call) => client.call(call).await,
            Self::Task(task) => task(client).await,
        }
    }
}

/// The part that differs from controller to controller.
pub(super) trait Controller: Send + 'static {
    type Key: Clone + Ord + std::fmt::Debug + Send + 'static;
    /// What is remembered of a call until its reply comes.
    type Step: std::fmt::Debug + Send + 'static;

    /// Takes in what changed, and wakes the keys it may matter to.
    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<Self::Key>);

    /// What to do next for a key, or none if there is nothing to do until something changes.
    fn next(&mut self, key: &Self::Key) -> Option<(Self::Step, Work)>;

    /// Takes in a reply; false if nothing was gained by it and the key must wait a little.
    fn fold(
        &mut self,
        key: &Self::Key,
        step: Self::Step,
        reply: &Reply,
        out: &mut Outbox<Self::Key>,
    ) -> bool;
}

struct Engine<C: Controller> {
    controller: C,
    client: LocalClient,
    queue: Queue<C::Key>,
    calls: JoinSet<(C::Key, C::Step, Reply)>,
    news: mpsc::Sender<News>,
    followed: HashMap<Collection, AbortHandle>,
    watches: JoinSet<()>,
    /// Collections that were not listed yet; nothing is decided before all were.
    unlisted: HashSet<Collection>,
}

/// Runs the controller until `stop`.
pub(super) async fn run<C: Controller>(
    controller: C,
    collections: Vec<Collection>,
    client: LocalClient,
    stop: CancellationToken,
) {
    let (news, mut incoming) = mpsc::channel(NEWS);
    let mut engine = Engine {
        controller,
        client,
        queue: Queue::new(),
        calls: JoinSet::new(),
        news,
        followed: HashMap::new(),
        watches: JoinSet::new(),
        unlisted: HashSet::new(),
    };
    for collection in collections {
        engine.follow(collection);
    }
    loop {
        engine.start_calls();
        let due = engine.queue.next_due();
        tokio::select! {
            () = stop.cancelled() => return,
            Some(news) = incoming.recv() => engine.take_in(news),
            Some(ended) = engine.calls.join_next() => engine.ended(ended),
            () = sleep_until(due) => engine.queue.wake_due(Instant::now()),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl<C: Controller> Engine<C> {
    fn follow(&mut self, collection: Collection) {
        if self.followed.contains_key(&collection) {
            return;
        }
        self.unlisted.insert(collection.clone());
        let watch = informer::follow(self.client.clone(), collection.clone(), self.news.clone());
        let handle = self.watches.spawn(watch);
        self.followed.insert(collection, handle);
    }

    fn unfollow(&mut self, collection: &Collection) {
        if let Some(watch) = self.followed.remove(collection) {
            watch.abort();
        }
        self.unlisted.remove(collection);
    }

    fn start_calls(&mut self) {
        while self.unlisted.is_empty() && self.calls.len() < AT_ONCE {
            let Some(key) = self.queue.pop() else { return };
            let Some((step, work)) = self.controller.next(&key) else {
                self.queue.rested(&key);
                continue;
            };
            tracing::debug!(?key, ?step, "acts");
            let client = self.client.clone();
            self.calls.spawn(async move {
                let reply = work.run(client).await;
                (key, step, reply)
            });
        }
    }

    fn take_in(&mut self, news: News) {
        let (of, mut out) = (news.of, Outbox::new());
        if !self.followed.contains_key(&of) {
            return;
        }
        match &news.what {
            informer::What::Page(objects) => {
                for object in objects {
                    self.controller.observe(&of, Change::Put(object), &mut out);
                }
            }
            informer::What::Listed(uids) => {
                self.controller.observe(&of, Change::Only(uids), &mut out);
                self.unlisted.remove(&of);
            }
            informer::What::Put(object) => {
                self.controller.observe(&of, Change::Put(object), &mut out);
            }
            informer::What::Gone(object) => {
                self.controller.observe(&of, Change::Gone(object), &mut out);
            }
        }
        self.send(out);
    }

    fn ended(&mut self, ended: Result<(C::Key, C::Step, Reply), tokio::task::JoinError>) {
        // A call neither panics nor is it cancelled while the engine runs.
        let Ok((key, step, reply)) = ended else {
            return;
        };
        let mut out = Outbox::new();
        let gained = self.controller.fold(&key, step, &reply, &mut out);
        if gained {
            self.queue.again(key);
        } else {
            let pause = self.queue.pause(&key, FIRST_PAUSE, LONGEST_PAUSE);
            match &reply {
                Err(error) if !error.is_passing() => {
                    tracing::warn!(?key, %error, ?pause, "a step failed and will be tried again");
                }
                reply => tracing::debug!(?key, error = ?reply.as_ref().err(), "looks again soon"),
            }
            self.queue.later(key, Instant::now() + pause);
        }
        self.send(out);
    }

    fn send(&mut self, out: Outbox<C::Key>) {
        for key in out.wake {
            self.queue.wake(key);
        }
        // In this order, so that a collection in both lists is followed afresh.
        for collection in out.unfollow {
            self.unfollow(&collection);
        }
        for collection in out.follow {
            self.follow(collection);
        }
    }
}
