//! Shows the machines of group snapshots what was listed.

use std::sync::Arc;

use tintype_core::group::{self, Picked, member};
use tintype_core::object::{Claim, Group, GroupContent, GroupSource, Key, Volume};
use tintype_core::pair;
use tintype_core::snapshot::Placement;
use tintype_core::{Seen, Time, group_content};

use super::{Rows, class_of};

impl Rows {
    /// As the snapshot-controller sees it.
    pub(in crate::doctor) fn group(&self, row: &Arc<Group>) -> group::Sighting {
        let content = self.group_contents.named(row.content_name().as_deref());
        let known = content.present().map(AsRef::as_ref);
        let mut seen = group::Sighting {
            group: Seen::Present(row.clone()),
            fresh: true,
            looked_up: true,
            class: class_of(&self.group_classes, row.class.as_deref(), None),
            claims: self.picked(row, known),
            members: self.members(row, known),
            owned: Seen::Unknown,
            restored: None,
            placement: Placement::Anywhere,
            memory: pair::Memory::default(),
            content,
        };
        if row.class.is_none() {
            seen.class = class_of(&self.group_classes, None, seen.driver());
        }
        if self.snapshots.whole {
            let members: Vec<Key> = seen
                .members
                .iter()
                .map(|it| it.keys.snapshot.clone())
                .collect();
            let owned = self.snapshots.all().filter(|it| {
                let of_group = it.group_key().as_ref() == Some(&row.meta.key);
                let same = it.owner().is_none_or(|it| it.uid == row.meta.uid);
                members.contains(&it.meta.key) || (of_group && same)
            });
            let owned: Vec<_> = owned.cloned().collect();
            let keys = owned.iter().map(|it| &it.meta.key);
            seen.restored = keys.filter(|it| self.is_being_restored(it)).min().cloned();
            seen.owned = Seen::Present(owned);
        }
        seen
    }

    /// As the csi-snapshotter of its driver sees it.
    pub(in crate::doctor) fn group_content(
        &self,
        row: &Arc<GroupContent>,
    ) -> group_content::Sighting {
        let class = row.class.as_deref();
        let members = group_content::Sighting::member_keys(row);
        group_content::Sighting {
            content: Seen::Present(row.clone()),
            class: class.map(|it| self.group_classes.seen(&Key::cluster(it))),
            driver: row.driver.clone(),
            members: members
                .filter_map(|it| self.contents.seen(&it).present().cloned())
                .collect(),
            memory: group_content::Memory::default(),
            now: Time(0),
        }
    }

    /// The claims whose volumes its content has, else those its selector picks, by name.
    fn picked(&self, row: &Group, content: Option<&GroupContent>) -> Seen<Vec<Picked>> {
        if !self.claims.whole || !self.volumes.whole {
            return Seen::Unknown;
        }
        let inside = |it: &&Arc<Claim>| it.meta.key.namespace == row.meta.key.namespace;
        let claims = self.claims.all().filter(inside);
        let picks = |claim: &Claim| match (content, &row.source) {
            (Some(content), _) => {
                let volume = self.volumes.named(claim.volume.as_deref());
                let csi = volume.present().and_then(|it| it.csi.as_ref());
                csi.is_some_and(|it| {
                    *it.driver == *content.driver && content.volumes().contains(&it.handle)
                })
            }
            (None, GroupSource::Selector(selector)) => selector.picks(&claim.labels),
            (None, _) => false,
        };
        let picked = claims.filter(|it| picks(it)).map(|claim| Picked {
            volume: claim.volume.as_deref().map_or(Seen::NotCached, |name| {
                self.volumes.seen(&Key::cluster(name))
            }),
            claim: claim.clone(),
        });
        Seen::Present(picked.collect())
    }

    /// One for each volume of its content.
    fn members(&self, row: &Group, content: Option<&GroupContent>) -> Vec<member::Sighting> {
        let Some(content) = content.filter(|_| row.dynamic()) else {
            return Vec::new();
        };
        let of_volume = |handle: &str| {
            let keys = member::Keys::of(row, handle);
            let told = content.members().iter();
            member::Sighting {
                volume_handle: handle.into(),
                info: told.clone().find(|it| &*it.volume == handle).cloned(),
                volume: self.volume_of(&content.driver, handle),
                snapshot: self.snapshots.seen(&keys.snapshot),
                content: self.contents.seen(&keys.content),
                keys,
            }
        };
        content.volumes().iter().map(|it| of_volume(it)).collect()
    }

    /// The volume with this CSI id, if there is exactly one.
    fn volume_of(&self, driver: &str, handle: &str) -> Option<Arc<Volume>> {
        let mut found = self.volumes.all().filter(|it| {
            let csi = it.csi.as_ref();
            csi.is_some_and(|it| *it.driver == *driver && *it.handle == *handle)
        });
        found.next().filter(|_| found.next().is_none()).cloned()
    }
}
