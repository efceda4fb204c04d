//! Joins the machine of the old labels on invalid objects to caches of its own (`--label-invalid-objects`).
//!
//! They are apart from the caches of the other machines, which keep nothing that tells whether an object is valid.

use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Resource};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, keys};
use tintype_core::mark::{self, Marked, Step, Waiting};
use tintype_core::object::{Key, Meta};
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Time, Timer, Verdict};
use tintype_runtime::{Cache, Machine, Queue, Reply, Row, Tasks, fold_reply, watch};
use tokio_util::sync::CancellationToken;

use crate::Shell;

/// A kind that is labelled.
pub(crate) trait Labelled: Row {
    const NAME: &'static str;
    const KIND: Kind;
    const LABEL: &'static str;

    fn marked(&self) -> &Arc<Marked>;
}

macro_rules! labelled {
    ($row:ident, $object:ty, $of:ident, $name:literal, $kind:ident, $label:ident) => {
        #[derive(Debug)]
        pub(crate) struct $row(Arc<Marked>);

        impl Row for $row {
            type Object = $object;

            fn kind() -> <Self::Object as Resource>::DynamicType {}

            fn read(object: Self::Object) -> Result<Self, serde_json::Error> {
                Ok(Self(Arc::new(Marked::$of(&object))))
            }

            fn meta(&self) -> &Meta {
                &self.0.meta
            }
        }

        impl Labelled for $row {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::$kind;
            const LABEL: &'static str = keys::$label;

            fn marked(&self) -> &Arc<Marked> {
                &self.0
            }
        }
    };
}

labelled!(
    SnapshotMark,
    VolumeSnapshot,
    of_snapshot,
    "label-snapshot",
    Snapshot,
    LABEL_INVALID_SNAPSHOT
);
labelled!(
    ContentMark,
    VolumeSnapshotContent,
    of_content,
    "label-content",
    Content,
    LABEL_INVALID_CONTENT
);

/// Keeps the label of one kind in step.
#[derive(Debug)]
pub(crate) struct Labels<R> {
    cache: Arc<Cache<R>>,
}

impl<R: Labelled> Labels<R> {
    /// Watches the kind; who is due gets into the queue.
    pub(crate) fn open(
        tasks: &mut Tasks,
        client: &Client,
        shutdown: &CancellationToken,
    ) -> (Self, Arc<Queue>) {
        let (cache, queue): (Arc<Cache<R>>, Arc<Queue>) = (Cache::new(vec![]), Arc::default());
        let due = queue.clone();
        cache.listen(move |change| {
            if let Some(row) = change.after.as_ref().filter(|it| it.marked().is_due()) {
                due.add(row.meta().key.clone());
            }
        });
        watch(tasks, client, &cache, shutdown);
        (Self { cache }, queue)
    }
}

impl<R: Labelled> Machine for Labels<R> {
    type Seen = Seen<Arc<Marked>>;
    type Step = Step;
    type Why = Waiting;

    const NAME: &'static str = R::NAME;

    fn observe(&self, key: &Key, _now: Time) -> Self::Seen {
        self.cache.get(key).map(|it| it.marked().clone())
    }

    fn decide(&self, seen: &Self::Seen) -> Verdict<Step, Waiting> {
        mark::decide(mark::facts(seen))
    }

    fn render(&self, step: Step, seen: &Self::Seen, _wall: Stamp) -> Option<Write> {
        mark::render(step, R::KIND, R::LABEL, seen)
    }

    fn fold(&self, key: &Key, seen: &mut Self::Seen, _step: Step, reply: Reply) {
        *seen = fold_reply(&self.cache, key, reply).map(|it| it.marked().clone());
    }

    async fn call(&self, _key: &Key, _step: Step, _seen: &mut Self::Seen) {}

    fn delay(&self, _seen: &Self::Seen, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}

/// Both kinds, watched.
#[derive(Debug)]
pub(crate) struct Labelling {
    snapshots: (Labels<SnapshotMark>, Arc<Queue>),
    contents: (Labels<ContentMark>, Arc<Queue>),
}

impl Labelling {
    pub(crate) fn open(tasks: &mut Tasks, client: &Client, shutdown: &CancellationToken) -> Self {
        Self {
            snapshots: Labels::open(tasks, client, shutdown),
            contents: Labels::open(tasks, client, shutdown),
        }
    }

    /// Labels until the end; nothing, if nobody asked for it.
    pub(crate) async fn run(
        it: Option<Self>,
        shell: &Shell<'_>,
        workers: usize,
        end: CancellationToken,
    ) {
        let Some(Self {
            snapshots,
            contents,
        }) = it
        else {
            return;
        };
        let snapshots = shell.engine(snapshots.0, &snapshots.1);
        let contents = shell.engine(contents.0, &contents.1);
        tokio::join!(
            snapshots.run(workers, end.clone()),
            contents.run(workers, end)
        );
    }
}
