//! Shows the machines of `core` what was listed, as their programs would see it.
//!
//! What is not in a list is absent; what may not be read is unknown, and nothing follows from it.

mod claims;
mod groups;

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_core::claim::Grant;
use tintype_core::object::{
    Claim, ClaimPhase, Class, Content, DataSourceKind, Group, GroupClass, GroupContent, Key,
    Snapshot, StorageClass, Volume,
};
use tintype_core::pair::{self, ClassSight};
use tintype_core::snapshot::{self, Placement};
use tintype_core::{Seen, Time, content};

use super::cluster::{Cluster, Listed};

/// One kind of objects, by key.
pub(super) struct Kind<T> {
    rows: BTreeMap<Key, Arc<T>>,
    whole: bool,
}

impl<T> Kind<T> {
    fn of<O>(listed: &Listed<O>, read: fn(&O) -> T, key: fn(&T) -> &Key) -> Self {
        let rows = listed.items.iter().map(read);
        Self {
            rows: rows.map(|it| (key(&it).clone(), Arc::new(it))).collect(),
            whole: listed.whole,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values()
    }

    fn seen(&self, key: &Key) -> Seen<Arc<T>> {
        match self.rows.get(key) {
            Some(row) => Seen::Present(row.clone()),
            None if self.whole => Seen::Absent,
            None => Seen::Unknown,
        }
    }

    /// Of those in the cluster, by name; absent if none is named.
    fn named(&self, name: Option<&str>) -> Seen<Arc<T>> {
        name.map_or(Seen::Absent, |it| self.seen(&Key::cluster(it)))
    }
}

/// All lists, as the machines read them.
pub(super) struct Rows {
    pub(super) snapshots: Kind<Snapshot>,
    pub(super) contents: Kind<Content>,
    classes: Kind<Class>,
    pub(super) groups: Kind<Group>,
    pub(super) group_contents: Kind<GroupContent>,
    group_classes: Kind<Class>,
    pub(super) claims: Kind<Claim>,
    volumes: Kind<Volume>,
    storage_classes: Kind<StorageClass>,
    grants: Listed<Arc<Grant>>,
}

impl Rows {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let group_class = |it: &_| Class::clone(&GroupClass::of(it).0);
        Self {
            snapshots: Kind::of(&cluster.snapshots, Snapshot::of, |it| &it.meta.key),
            contents: Kind::of(&cluster.contents, Content::of, |it| &it.meta.key),
            classes: Kind::of(&cluster.classes, Class::of, |it| &it.meta.key),
            groups: Kind::of(&cluster.groups, Group::of, |it| &it.meta.key),
            group_contents: Kind::of(&cluster.group_contents, GroupContent::of, |it| &it.meta.key),
            group_classes: Kind::of(&cluster.group_classes, group_class, |it| &it.meta.key),
            claims: Kind::of(&cluster.claims, Claim::of, |it| &it.meta.key),
            volumes: Kind::of(&cluster.volumes, Volume::of, |it| &it.meta.key),
            storage_classes: Kind::of(&cluster.storage_classes, StorageClass::of, |it| {
                &it.meta.key
            }),
            grants: Listed {
                items: cluster.grants.items.iter().cloned().map(Arc::new).collect(),
                whole: cluster.grants.whole,
            },
        }
    }

    /// As the snapshot-controller sees it.
    pub(super) fn snapshot(&self, row: &Arc<Snapshot>) -> snapshot::Sighting {
        let content = self.contents.named(row.content_name().as_deref());
        let claim = row
            .claim_key()
            .map_or(Seen::Absent, |it| self.claims.seen(&it));
        let volume = claim.present().and_then(|it| it.volume.as_deref());
        let volume = self.volumes.named(volume);
        let csi = volume.present().and_then(|it| it.csi.as_ref());
        let driver = csi.map(|it| it.driver.to_string());
        let group_key = row.group_key();
        snapshot::Sighting {
            class: class_of(&self.classes, row.class.as_deref(), driver.as_deref()),
            being_restored: self.is_being_restored(&row.meta.key),
            group: group_key
                .as_ref()
                .map_or(Seen::Absent, |it| self.groups.seen(it)),
            group_key,
            snapshot: Seen::Present(row.clone()),
            fresh: true,
            content,
            looked_up: true,
            claim,
            volume,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: pair::Memory::default(),
        }
    }

    /// As the csi-snapshotter of its driver sees it.
    pub(super) fn content(&self, row: &Arc<Content>) -> content::Sighting {
        let class = row.class.as_deref();
        content::Sighting {
            content: Seen::Present(row.clone()),
            class: class.map(|it| self.classes.seen(&Key::cluster(it))),
            driver: row.driver.clone(),
            memory: content::Memory::default(),
            now: Time(0),
        }
    }

    fn is_being_restored(&self, snapshot: &Key) -> bool {
        self.claims.all().any(|it| {
            let source = it.source.as_ref();
            it.phase == ClaimPhase::Pending
                && source
                    .is_some_and(|it| it.kind == DataSourceKind::Snapshot && it.key == *snapshot)
        })
    }
}

/// The class that is named, or the defaults of the driver.
fn class_of(classes: &Kind<Class>, name: Option<&str>, driver: Option<&str>) -> ClassSight {
    match (name, driver) {
        (Some(name), _) => ClassSight::Named(classes.seen(&Key::cluster(name))),
        (None, Some(driver)) if classes.whole => {
            let of_driver = classes.all().filter(|it| *it.driver == *driver);
            ClassSight::Defaults(Some(of_driver.filter(|it| it.default).cloned().collect()))
        }
        (None, _) => ClassSight::Defaults(None),
    }
}
