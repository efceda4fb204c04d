//! The caches of group contents and their classes, once these kinds are served.
//!
//! A node's own sidecar sees the group contents that bear the node's name, and all classes, which
//! nobody labels (D21).

use std::sync::Arc;

use kube::Client;
use tintype_core::object::{GroupClass, GroupContent, Key};
use tintype_runtime::gates::{Gates, VOLUME_GROUP_SNAPSHOT};
use tintype_runtime::{Cache, Kind, LateKinds, Queue, Tasks, catch_up, follow};
use tokio_util::sync::CancellationToken;

use super::caches::of_node;

/// Index of [`GroupCaches::contents`]: those that are not ready, all under [`waiting`].
const WAITING: usize = 0;

/// What the API server must serve for group contents.
const KINDS: [Kind; 2] = [
    Kind {
        api_version: tintype_api::GROUP_API_VERSION,
        plural: "volumegroupsnapshotcontents",
    },
    Kind {
        api_version: tintype_api::GROUP_API_VERSION,
        plural: "volumegroupsnapshotclasses",
    },
];

/// What the snapshotter watches of groups, and the group contents that are to be passed.
#[derive(Debug)]
pub(crate) struct GroupCaches {
    pub(crate) contents: Arc<Cache<GroupContent>>,
    pub(crate) classes: Arc<Cache<GroupClass>>,
    pub(crate) queue: Arc<Queue>,
    late: LateKinds,
}

/// The caches of groups, if the gate wants them.
pub(super) async fn open(
    gates: &Gates,
    tasks: &mut Tasks,
    of: (&Client, Option<&str>),
    shutdown: &CancellationToken,
) -> Option<GroupCaches> {
    let caches = gates
        .enabled(VOLUME_GROUP_SNAPSHOT)
        .then(GroupCaches::new)?;
    caches.open(tasks, of, shutdown).await;
    Some(caches)
}

impl GroupCaches {
    /// Everything the last leader may have written is read past the watches, once.
    pub(super) async fn catch_up(
        &self,
        client: &Client,
        label: Option<&str>,
        shutdown: &CancellationToken,
    ) {
        if self.late.watched() {
            catch_up(client, &self.contents, label, shutdown).await;
        }
    }

    /// Empty ones, that wake the queue from now on.
    fn new() -> Self {
        let caches = Self {
            contents: Cache::new(vec![|it: &GroupContent| (!it.ready()).then(waiting)]),
            classes: Cache::new(vec![]),
            queue: Arc::default(),
            late: LateKinds::default(),
        };
        let to = caches.queue.clone();
        caches.contents.listen(move |change| {
            for content in change.rows() {
                to.add(content.meta.key.clone());
            }
        });
        let (to, from) = (caches.queue.clone(), caches.contents.clone());
        caches.classes.listen(move |_| {
            for content in from.group(WAITING, &waiting()) {
                to.add(content.meta.key.clone());
            }
        });
        caches
    }

    /// Starts the watches, now or as soon as the kinds are served: of all group contents, or of
    /// those of this node.
    async fn open(
        &self,
        tasks: &mut Tasks,
        (client, node): (&Client, Option<&str>),
        shutdown: &CancellationToken,
    ) {
        let (to, end) = (|| client.clone(), || shutdown.clone());
        let label = node.map(of_node);
        let contents = follow(to(), self.contents.clone(), label, end());
        let classes = follow(to(), self.classes.clone(), None, end());
        let watches = async {
            tokio::join!(contents, classes);
        };
        let kinds = (client, &KINDS[..]);
        self.late
            .open(tasks, "watches of group contents", kinds, shutdown, watches)
            .await;
    }
}

/// Under which every content that is not ready is found.
fn waiting() -> Key {
    Key::cluster("")
}
