//! Watches objects of one kind and remembers when each was first seen as it should be, and when it
//! went.
//! Knows nothing of what was asked for, nor of how long to wait.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures::StreamExt as _;
use kube::{
    Api,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// What the objects should come to be.
pub(super) type Aim = fn(&DynamicObject) -> bool;

/// A running watch.
#[derive(Debug)]
pub(super) struct Sightings {
    seen: Arc<Mutex<Seen>>,
    counts: watch::Receiver<Counts>,
    _watching: AbortOnDropHandle<()>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// What was there at the beginning is known.
    pub(super) listed: bool,
    pub(super) there: usize,
    pub(super) reached: usize,
    pub(super) gone: usize,
}

#[derive(Debug, Default)]
struct Seen {
    listed: bool,
    there: HashSet<String>,
    /// Listed anew, while a list is on its way.
    again: HashSet<String>,
    reached: HashMap<String, Instant>,
    gone: HashMap<String, Instant>,
}

impl Sightings {
    pub(super) fn begin(api: Api<DynamicObject>, selector: &str, aim: Aim) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (news, counts) = watch::channel(Counts::default());
        let (config, writer) = (Config::default().labels(selector), Arc::clone(&seen));
        let watching = tokio::spawn(async move {
            let mut events = pin!(watcher(api, config).default_backoff());
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        let mut seen = lock(&writer);
                        seen.take(event, aim, Instant::now());
                        news.send_replace(seen.counts());
                    }
                    Err(error) => tracing::warn!(%error, "a watch broke and goes on"),
                }
            }
        });
        Self {
            seen,
            counts,
            _watching: AbortOnDropHandle::new(watching),
        }
    }

    /// Waits until the counts are as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(Counts) -> bool) {
        let mut counts = self.counts.clone();
        if counts.wait_for(|counts| wanted(*counts)).await.is_err() {
            // The watch itself never ends, and this is dropped with whoever waits.
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) fn there(&self) -> Vec<String> {
        lock(&self.seen).there.iter().cloned().collect()
    }

    /// When each object was first seen as it should be.
    pub(super) fn reached(&self) -> HashMap<String, Instant> {
        lock(&self.seen).reached.clone()
    }

    pub(super) fn gone(&self) -> HashMap<String, Instant> {
        lock(&self.seen).gone.clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn take(&mut self, event: Event<DynamicObject>, aim: Aim, now: Instant) {
        match event {
            Event::Init => self.again.clear(),
            Event::InitApply(object) => {
                self.again.extend(object.metadata.name.clone());
                self.sight(&object, aim, now);
            }
            Event::InitDone => {
                // Nobody saw these go: the watch had lost its place.
                let lost: Vec<String> = self.there.difference(&self.again).cloned().collect();
                for name in lost {
                    self.lose(name, now);
                }
                self.listed = true;
            }
            Event::Apply(object) => self.sight(&object, aim, now),
            Event::Delete(object) => {
                if let Some(name) = object.metadata.name {
                    self.lose(name, now);
                }
            }
        }
    }

    fn sight(&mut self, object: &DynamicObject, aim: Aim, now: Instant) {
        let Some(name) = &object.metadata.name else {
            return;
        };
        if !self.there.contains(name) {
            self.there.insert(name.clone());
        }
        if aim(object) && !self.reached.contains_key(name) {
            self.reached.insert(name.clone(), now);
        }
    }

    fn lose(&mut self, name: String, now: Instant) {
        self.there.remove(&name);
        self.gone.entry(name).or_insert(now);
    }

    fn counts(&self) -> Counts {
        Counts {
            listed: self.listed,
            there: self.there.len(),
            reached: self.reached.len(),
            gone: self.gone.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ApiResource, GroupVersionKind};
    use serde_json::json;

    use super::*;

    fn object(name: &str, ready: bool) -> DynamicObject {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("g", "v1", "Thing"));
        DynamicObject::new(name, &kind).data(json!({"ready": ready}))
    }

    fn ready(object: &DynamicObject) -> bool {
        object.data["ready"] == true
    }

    fn counts(listed: bool, there: usize, reached: usize, gone: usize) -> Counts {
        Counts {
            listed,
            there,
            reached,
            gone,
        }
    }

    #[test]
    fn each_object_counts_once_at_its_first_time() {
        let mut seen = Seen::default();
        let first = Instant::now();
        seen.take(Event::Init, ready, first);
        seen.take(Event::InitDone, ready, first);
        seen.take(Event::Apply(object("a", false)), ready, first);
        seen.take(Event::Apply(object("a", true)), ready, first);
        assert_eq!(seen.counts(), counts(true, 1, 1, 0));
        let later = Instant::now();
        seen.take(Event::Apply(object("a", true)), ready, later);
        assert_eq!(seen.reached["a"], first);
        seen.take(Event::Delete(object("a", true)), ready, later);
        assert_eq!(seen.counts(), counts(true, 0, 1, 1));
    }

    #[test]
    fn what_a_new_list_lacks_has_gone() {
        let mut seen = Seen::default();
        let now = Instant::now();
        for name in ["a", "b"] {
            seen.take(Event::Apply(object(name, true)), ready, now);
        }
        seen.take(Event::Init, ready, now);
        seen.take(Event::InitApply(object("b", true)), ready, now);
        seen.take(Event::InitDone, ready, now);
        assert_eq!(seen.counts(), counts(true, 1, 2, 1));
        assert!(seen.gone.contains_key("a"));
    }
}
