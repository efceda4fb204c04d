//! The caches of group snapshots, once their kinds are served, and whom a change in them wakes.
//!
//! Single snapshots never wait for them: a cluster may have no group snapshots at all, or get
//! their definitions later.

use std::collections::HashMap;
use std::sync::Arc;

use kube::Client;
use tintype_core::Seen;
use tintype_core::group::{Picked, member};
use tintype_core::object::{
    Claim, Class, Content, Group, GroupClass, GroupContent, GroupSource, Key, MemberInfo, Meta,
    Snapshot, Volume,
};
use tintype_runtime::{Cache, Change, Kind, LateKinds, Queue, Tasks, catch_up, follow};
use tokio_util::sync::CancellationToken;

use crate::caches::{
    BY_GROUP_HANDLE, BY_HANDLE, CLAIMS_IN, Caches, DEFAULTS, HELD_IN, MEMBERS, Queues, on_storage,
};
use crate::member_names::MemberNames;

/// Index of [`GroupCaches::groups`]: those that are not ready, by namespace.
const OPEN_IN: usize = 0;
/// Index of [`GroupCaches::groups`]: those that are not ready, all under [`open`].
const OPEN: usize = 1;
/// Index of [`GroupCaches::contents`]: by driver and handle.
const BY_OWN_HANDLE: usize = 0;

/// What the API server must serve for group snapshots.
const KINDS: [Kind; 3] = [
    Kind {
        api_version: tintype_api::GROUP_API_VERSION,
        plural: "volumegroupsnapshots",
    },
    Kind {
        api_version: tintype_api::GROUP_API_VERSION,
        plural: "volumegroupsnapshotclasses",
    },
    Kind {
        api_version: tintype_api::GROUP_API_VERSION,
        plural: "volumegroupsnapshotcontents",
    },
];

/// Everything the controller watches of groups.
#[derive(Debug)]
pub(crate) struct GroupCaches {
    pub(crate) groups: Arc<Cache<Group>>,
    pub(crate) contents: Arc<Cache<GroupContent>>,
    pub(crate) classes: Arc<Cache<GroupClass>>,
    pub(crate) names: MemberNames,
    late: LateKinds,
}

impl GroupCaches {
    pub(crate) fn new() -> Self {
        Self {
            groups: Cache::new(vec![
                |it| is_open(it).then(|| of_namespace(&it.meta.key)),
                |it| is_open(it).then(open),
            ]),
            contents: Cache::new(vec![|it| Some(on_storage(&it.driver, it.handle()?))]),
            classes: Cache::new(vec![|it| {
                it.0.default.then(|| Key::cluster(it.0.driver.as_ref()))
            }]),
            names: MemberNames::default(),
            late: LateKinds::default(),
        }
    }

    /// Starts the watches, now or as soon as the kinds are served.
    pub(crate) async fn open(
        &self,
        tasks: &mut Tasks,
        client: &Client,
        shutdown: &CancellationToken,
    ) {
        let (to, end) = (|| client.clone(), || shutdown.clone());
        let groups = follow(to(), self.groups.clone(), None, end());
        let contents = follow(to(), self.contents.clone(), None, end());
        let classes = follow(to(), self.classes.clone(), None, end());
        let watches = async {
            tokio::join!(groups, contents, classes);
        };
        let kinds = (client, &KINDS[..]);
        self.late
            .open(
                tasks,
                "watches of group snapshots",
                kinds,
                shutdown,
                watches,
            )
            .await;
    }

    /// Waits for the first lists, if there is anything to list.
    pub(crate) async fn synced(&self) {
        if self.late.watched() {
            tokio::join!(
                self.groups.synced(),
                self.contents.synced(),
                self.classes.synced(),
            );
        }
    }

    /// Everything the last leader may have written is read past the watches, once.
    pub(crate) async fn catch_up(&self, client: &Client, shutdown: &CancellationToken) {
        if self.late.watched() {
            tokio::join!(
                catch_up(client, &self.groups, None, shutdown),
                catch_up(client, &self.contents, None, shutdown),
            );
        }
    }

    /// Every group snapshot there may be is cached.
    pub(crate) fn all_cached(&self) -> bool {
        !self.late.watched() || (self.groups.is_synced() && self.contents.is_synced())
    }

    /// A group snapshot that holds this claim (see [`Group::holds_its_claims`]).
    pub(crate) fn holds(&self, claim: &Claim, volume: Option<&Volume>) -> bool {
        let groups = self.groups.group(OPEN_IN, &of_namespace(&claim.meta.key));
        groups.iter().any(|group| {
            let content = self.content_of(group);
            let covered = match content.present() {
                Some(content) => volume.and_then(|it| it.csi.as_ref()).is_some_and(|csi| {
                    *csi.driver == *content.driver && content.volumes().contains(&csi.handle)
                }),
                None => selects(group, claim),
            };
            covered && group.holds_its_claims(content.as_ref().map(AsRef::as_ref))
        })
    }

    /// A cut of its claims may be in flight.
    fn in_flight(&self, group: &Group) -> bool {
        let content = self.content_of(group);
        group.holds_its_claims(content.as_ref().map(AsRef::as_ref))
    }

    /// The group content a group snapshot is bound to or will have.
    pub(crate) fn content_of(&self, group: &Group) -> Seen<Arc<GroupContent>> {
        group.content_name().map_or(Seen::NotCached, |name| {
            self.contents.get(&Key::cluster(name))
        })
    }

    /// The group snapshot whose storage this content's snapshot is part of.
    pub(crate) fn group_of(&self, content: &Content) -> Option<Key> {
        let handle = content.status.as_ref()?.group_handle.as_deref()?;
        let key = on_storage(&content.driver, handle);
        let of_groups = self.contents.group(BY_OWN_HANDLE, &key);
        of_groups
            .iter()
            .map(|it| &it.group.key)
            .find(|it| it.namespace == content.snapshot.key.namespace)
            .cloned()
    }

    /// The default classes of a driver.
    pub(crate) fn defaults(&self, driver: &str) -> Vec<Arc<Class>> {
        let classes = self.classes.group(DEFAULTS, &Key::cluster(driver));
        classes.iter().map(|it| it.0.clone()).collect()
    }

    /// From now on changes put keys into the queues.
    pub(crate) fn wake(self: &Arc<Self>, caches: &Arc<Caches>, queues: &Queues) {
        let to = (
            queues.groups.clone(),
            queues.snapshots.clone(),
            queues.claims.clone(),
        );
        let (all, watched) = (caches.clone(), self.clone());
        self.groups.listen(move |change| {
            let (groups, snapshots, claims) = &to;
            // Its members ask no more of it than whether it stands.
            let stands = comes_or_goes(change, |it| &it.meta);
            for group in change.rows() {
                groups.add(group.meta.key.clone());
                if stands {
                    for member in all.snapshots.group(MEMBERS, &group.meta.key) {
                        snapshots.add(member.meta.key.clone());
                    }
                }
            }
            let in_flight = |it: &Arc<Group>| watched.in_flight(it);
            if !change.after.as_ref().is_some_and(in_flight) {
                for group in change.rows().take(1) {
                    all.wake_held(&group.meta.key, claims);
                }
            }
        });
        let to = (
            queues.groups.clone(),
            queues.snapshots.clone(),
            queues.claims.clone(),
        );
        let (all, watched) = (caches.clone(), self.clone());
        self.contents.listen(move |change| {
            let (groups, snapshots, claims) = &to;
            for content in change.rows() {
                let group = &content.group.key;
                groups.add(group.clone());
                let row = watched.groups.get(group);
                if !row.present().is_some_and(|it| watched.in_flight(it)) {
                    all.wake_held(group, claims);
                }
                let Some(handle) = content.handle() else {
                    continue;
                };
                let key = on_storage(&content.driver, handle);
                for member in all.contents.group(BY_GROUP_HANDLE, &key) {
                    snapshots.add(member.snapshot.key.clone());
                }
            }
        });
        let (queue, groups) = (queues.groups.clone(), self.clone());
        self.classes.listen(move |_: &Change<GroupClass>| {
            groups.wake_all_open(&queue);
        });
        self.wake_from_others(caches, queues);
    }

    fn wake_from_others(self: &Arc<Self>, caches: &Arc<Caches>, queues: &Queues) {
        let queue = queues.groups.clone();
        caches.snapshots.listen(move |change| {
            // What a member says of itself is nothing to its group; that it is there is.
            if !comes_or_goes(change, |it| &it.meta) {
                return;
            }
            for snapshot in change.rows() {
                if let Some(group) = snapshot.group_key() {
                    queue.add(group);
                }
            }
        });
        let (queue, all, watched) = (queues.groups.clone(), caches.clone(), self.clone());
        caches.contents.listen(move |change| {
            let stands = comes_or_goes(change, |it| &it.meta);
            for content in change.rows() {
                let snapshot = all.snapshots.get(&content.snapshot.key);
                let group = snapshot.present().and_then(|it| it.group_key());
                let Some(group) = group else { continue };
                // What a member's content says matters until the group is ready.
                let row = watched.groups.get(&group);
                let heeds = |it: &Arc<Group>| !it.meta.deleting && (stands || is_open(it));
                if row.present().is_none_or(heeds) {
                    queue.add(group);
                }
            }
        });
        let (queue, groups, all) = (queues.groups.clone(), self.clone(), caches.clone());
        caches.claims.listen(move |change| {
            for row in change.rows() {
                groups.wake_open_in(&row.claim.meta.key.namespace, &queue);
                // A restore that ends lets the group of its snapshot go.
                let source = row.claim.source.as_ref();
                let snapshot = source.map(|it| all.snapshots.get(&it.key));
                let of_group = snapshot.and_then(|it| it.present().and_then(|it| it.group_key()));
                if let Some(group) = of_group {
                    queue.add(group);
                }
            }
        });
        let (queue, groups) = (queues.groups.clone(), self.clone());
        caches.volumes.listen(move |change| {
            for claim in change.rows().filter_map(|it| it.claim.as_ref()) {
                groups.wake_open_in(&claim.key.namespace, &queue);
            }
        });
    }

    /// Every group snapshot that may be waiting for something.
    pub(crate) fn wake_all_open(&self, queue: &Queue) {
        for group in self.groups.group(OPEN, &open()) {
            self.wake_open(&group, queue);
        }
    }

    fn wake_open_in(&self, namespace: &Arc<str>, queue: &Queue) {
        for group in self.groups.group(OPEN_IN, &Key::cluster(namespace.clone())) {
            self.wake_open(&group, queue);
        }
    }

    /// What is cut already needs neither class nor claim nor volume.
    fn wake_open(&self, group: &Group, queue: &Queue) {
        let cut = self
            .content_of(group)
            .present()
            .is_some_and(|it| it.handle().is_some());
        if !cut {
            queue.add(group.meta.key.clone());
        }
    }
}

/// The object was not there before, is not any more, or begins to go.
fn comes_or_goes<T>(change: &Change<T>, meta: fn(&T) -> &Meta) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let (before, after) = (meta(before), meta(after));
            before.uid != after.uid || before.deleting != after.deleting
        }
        (None, _) | (_, None) => true,
    }
}

/// It may hold claims, or wait for something.
fn is_open(group: &Group) -> bool {
    group.ready != Some(true)
}

/// Under which every group that is not ready is found.
fn open() -> Key {
    Key::cluster("")
}

fn of_namespace(key: &Key) -> Key {
    Key::cluster(key.namespace.clone())
}

fn selects(group: &Group, claim: &Claim) -> bool {
    match &group.source {
        GroupSource::Selector(selector) => selector.picks(&claim.labels),
        GroupSource::BadSelector(_)
        | GroupSource::Content(_)
        | GroupSource::Neither
        | GroupSource::Both => false,
    }
}

impl Caches {
    /// The claims a group snapshot is cut from: those of its content's volumes, else those its
    /// selector picks, by name.
    pub(crate) fn picked(
        &self,
        group: &Group,
        content: Option<&GroupContent>,
    ) -> Seen<Vec<Picked>> {
        if group.meta.deleting || !is_open(group) || !group.dynamic() {
            return Seen::NotCached;
        }
        if !self.claims.is_synced() || !self.volumes.is_synced() {
            return Seen::Unknown;
        }
        let claims: Vec<Arc<Claim>> = match content {
            Some(content) => content
                .volumes()
                .iter()
                .filter_map(|handle| self.volume_of(&content.driver, handle)?.claim.clone())
                .filter(|it| it.key.namespace == group.meta.key.namespace)
                .filter_map(|it| Some(self.claims.get(&it.key).present()?.claim.clone()))
                .collect(),
            None => self
                .claims
                .group(CLAIMS_IN, &of_namespace(&group.meta.key))
                .iter()
                .map(|row| row.claim.clone())
                .filter(|it| selects(group, it))
                .collect(),
        };
        let mut picked: Vec<_> = claims
            .into_iter()
            .map(|claim| Picked {
                volume: claim.volume.as_deref().map_or(Seen::NotCached, |name| {
                    self.volumes.get(&Key::cluster(name))
                }),
                claim,
            })
            .collect();
        picked.sort_by(|a, b| a.claim.meta.key.cmp(&b.claim.meta.key));
        Seen::Present(picked)
    }

    /// The volume with this CSI id, if there is exactly one.
    fn volume_of(&self, driver: &str, handle: &str) -> Option<Arc<Volume>> {
        match self
            .volumes
            .group(BY_HANDLE, &on_storage(driver, handle))
            .as_slice()
        {
            [only] => Some(only.clone()),
            [] | [_, ..] => None,
        }
    }

    /// One sight for each volume of a dynamic group; of one that goes nothing is asked of them.
    pub(crate) fn members_of(
        &self,
        group: &Group,
        content: Option<&GroupContent>,
    ) -> Vec<member::Sighting> {
        let makes = group.dynamic() && !group.meta.deleting;
        let (Some(watched), Some(content)) = (&self.groups, content.filter(|_| makes)) else {
            return Vec::new();
        };
        let told: HashMap<&str, &MemberInfo> = content
            .members()
            .iter()
            .rev()
            .map(|it| (&*it.volume, it))
            .collect();
        let names = watched.names.of(group, content.volumes());
        names
            .iter()
            .map(|(volume, keys)| member::Sighting {
                volume_handle: volume.clone(),
                keys: keys.clone(),
                info: told.get(&**volume).map(|it| (*it).clone()),
                volume: self.volume_of(&content.driver, volume),
                snapshot: self.snapshots.get(&keys.snapshot),
                content: self.contents.get(&keys.content),
            })
            .collect()
    }

    /// The snapshots that go with a group snapshot.
    pub(crate) fn owned_by(&self, group: &Group) -> Seen<Vec<Arc<Snapshot>>> {
        if !self.snapshots.is_synced() {
            return Seen::Unknown;
        }
        let mut owned = self.snapshots.group(MEMBERS, &group.meta.key);
        owned.retain(|it| it.owner().is_none_or(|owner| owner.uid == group.meta.uid));
        owned.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
        Seen::Present(owned)
    }

    /// The claims of a namespace that may wait for this group to let them go.
    fn wake_held(&self, group: &Key, queue: &Queue) {
        for row in self.claims.group(HELD_IN, &of_namespace(group)) {
            queue.add(row.claim.meta.key.clone());
        }
    }
}
