//! The caches of the snapshotter, and whom a change in each of them wakes.

use std::sync::Arc;

use kube::Client;
use tintype_api::keys;
use tintype_core::object::{Class, Content, Key};
use tintype_runtime::{Cache, Queue, Tasks, Term, catch_up, watch, watch_labelled};
use tokio_util::sync::CancellationToken;

use super::group_caches::GroupCaches;

/// Index of [`Caches::contents`]: those that still need their class, by class.
const BY_CLASS: usize = 0;

/// Everything the snapshotter watches, and the contents that are to be passed.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) contents: Arc<Cache<Content>>,
    pub(super) classes: Arc<Cache<Class>>,
    pub(super) queue: Arc<Queue>,
}

impl Caches {
    /// Empty ones, that wake the queue from now on.
    pub(super) fn new() -> Self {
        let caches = Self {
            contents: Cache::new(vec![class_owed]),
            classes: Cache::new(vec![]),
            queue: Arc::default(),
        };
        caches.wake();
        caches
    }

    /// Starts the watches: of all contents, or of those that bear the name of this node.
    pub(super) fn watch(
        &self,
        client: &Client,
        node: Option<&str>,
        shutdown: &CancellationToken,
    ) -> Tasks {
        let mut tasks = Tasks::default();
        let label = node.map(of_node);
        watch_labelled(&mut tasks, client, &self.contents, label, shutdown);
        watch(&mut tasks, client, &self.classes, shutdown);
        tasks
    }

    /// Waits for all first lists.
    pub(super) async fn synced(&self) {
        tokio::join!(self.contents.synced(), self.classes.synced());
    }

    /// Who follows a leader reads everything past the watches, once: that one may have written, and
    /// called, what they have not told of yet.
    pub(super) async fn catch_up(
        &self,
        term: &Term,
        groups: Option<&GroupCaches>,
        (client, node): (&Client, Option<&str>),
    ) {
        if !term.follows() {
            return;
        }
        let (label, shutdown) = (node.map(of_node), term.end());
        catch_up(client, &self.contents, label.as_deref(), shutdown).await;
        if let Some(groups) = groups {
            groups.catch_up(client, label.as_deref(), shutdown).await;
        }
    }

    fn wake(&self) {
        let to = self.queue.clone();
        self.contents.listen(move |change| {
            for content in change.rows() {
                to.add(content.meta.key.clone());
            }
        });
        let (to, from) = (self.queue.clone(), self.contents.clone());
        self.classes.listen(move |change| {
            for class in change.rows() {
                for content in from.group(BY_CLASS, &class.meta.key) {
                    to.add(content.meta.key.clone());
                }
            }
        });
    }
}

fn class_owed(content: &Content) -> Option<Key> {
    let class = content.class.as_ref().filter(|_| !content.ready())?;
    Some(Key::cluster(class.clone()))
}

/// The label selector of what the sidecar of this node looks after.
pub(super) fn of_node(node: &str) -> String {
    format!("{}={node}", keys::LABEL_MANAGED_BY)
}
