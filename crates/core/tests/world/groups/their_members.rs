//! Plays upstream's sync of the snapshots that are members of a group (spec controller 2.4, 2.5.2,
//! 2.7, 2.8, 2.9).
//!
//! Does not know how members are made: that is the sync of their group.

use serde_json::json;
use tintype_api::keys;
use tintype_core::object::{Content, Group, GroupContent, Snapshot, SnapshotSource};
use tintype_core::write::Kind;
use tintype_core::{DeletionPolicy, Seen};

use super::cluster::{Cluster, GROUP, Request, UID};
use super::rows::seen;
use super::theirs::{add_finalizer, drop_finalizers, holds_itself};

impl Cluster {
    /// The next request of the sync of one member.
    pub(super) fn their_member(&mut self, at: usize, how: Request) -> bool {
        let folds = how == Request::Works;
        let name = self.names.member_snapshots[at].clone();
        let row = seen(&self.controller, Kind::Snapshot, &name, Snapshot::of);
        let Seen::Present(snapshot) = row else {
            return false;
        };
        let content_name = self.names.member_contents[at].clone();
        let content = seen(&self.controller, Kind::Content, &content_name, Content::of);
        let content = content.present().map(AsRef::as_ref);
        if snapshot.meta.deleting {
            return self.their_member_deletion(at, &snapshot, content, folds);
        }
        let ours = keys::FINALIZER_SNAPSHOT_AS_SOURCE;
        if !snapshot.meta.has_finalizer(ours) {
            return self.their_put(Kind::Snapshot, &name, folds, |it| add_finalizer(it, ours));
        }
        let imported = matches!(snapshot.source, SnapshotSource::Content(_));
        if snapshot.ready == Some(true) && snapshot.bound.is_some() {
            return imported && self.they_join(&name, &snapshot, folds);
        }
        // A member waits for the bound name, which the sync of its group writes.
        let Some(content) = content.filter(|_| imported || snapshot.bound.is_some()) else {
            return false;
        };
        if content.snapshot.uid.is_empty() {
            return imported
                && self.their_patch(Kind::Content, &content_name, folds, |it| {
                    let uid = snapshot.meta.uid.to_string();
                    it["spec"]["volumeSnapshotRef"]["uid"] = uid.into();
                });
        }
        self.their_member_status(at, content, folds)
    }

    /// Members of an imported group get their owner once they are ready.
    fn they_join(&mut self, name: &str, snapshot: &Snapshot, folds: bool) -> bool {
        let named = snapshot.group.as_ref().is_some_and(|it| it.name.is_some());
        let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
        if !named || snapshot.owner().is_some() || group.present().is_none() {
            return false;
        }
        self.their_put(Kind::Snapshot, name, folds, |it| {
            it["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "groupsnapshot.storage.k8s.io/v1",
                "kind": "VolumeGroupSnapshot", "name": GROUP, "uid": UID}]);
        })
    }

    /// Spec controller 2.7, on the snapshot as it is on the server.
    fn their_member_status(&mut self, at: usize, content: &Content, folds: bool) -> bool {
        let (Some(live), Some(status)) = (self.snapshot(at), &content.status) else {
            return false;
        };
        let of_group = seen(
            &self.controller,
            Kind::GroupContent,
            &self.names.content,
            GroupContent::of,
        );
        let handle = of_group.present().and_then(|it| it.handle());
        if status.group_handle.is_some() && status.group_handle.as_deref() != handle {
            return false; // It finds no group of that handle, and is tried again.
        }
        let ready = content.ready();
        let group = status.group_handle.is_some().then_some(GROUP);
        let named = live.group.as_ref().and_then(|it| it.name.clone());
        if live.ready == Some(ready)
            && live.bound.is_some()
            && (named.is_some() || group.is_none())
            && live.error.is_none()
        {
            return false;
        }
        let name = self.names.member_snapshots[at].clone();
        let bound = self.names.member_contents[at].clone();
        self.their_patch(Kind::Snapshot, &name, folds, |it| {
            it["status"] = json!({
                "boundVolumeSnapshotContentName": bound, "readyToUse": ready,
                "volumeGroupSnapshotName": named.as_deref().or(group),
            });
        })
    }

    /// Spec controller 2.9.
    fn their_member_deletion(
        &mut self,
        at: usize,
        snapshot: &Snapshot,
        content: Option<&Content>,
        folds: bool,
    ) -> bool {
        if !holds_itself(snapshot) {
            return false; // D14: what is left of it stays.
        }
        let name = self.names.member_snapshots[at].clone();
        let content_name = self.names.member_contents[at].clone();
        let named = snapshot.group.as_ref().is_some_and(|it| it.name.is_some());
        let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
        if named && group.present().is_some() {
            return false; // Refused, as it belongs to a group that stands.
        }
        let content = content.filter(|it| it.snapshot.uid == snapshot.meta.uid);
        let deletes = content.is_some_and(|it| it.policy == DeletionPolicy::Delete);
        if let Some(content) = content {
            if !content.being_deleted {
                return self.their_mark(&content_name, folds);
            }
            if deletes && !content.meta.deleting {
                return self.their_delete(Kind::Content, &content_name, folds);
            }
        }
        let mut gone = vec![keys::FINALIZER_SNAPSHOT_AS_SOURCE];
        if !deletes {
            gone.push(keys::FINALIZER_SNAPSHOT_BOUND);
        }
        if named {
            gone.push(keys::FINALIZER_SNAPSHOT_IN_GROUP);
        }
        self.their_put(Kind::Snapshot, &name, folds, |it| {
            drop_finalizers(it, &gone);
        })
    }
}
