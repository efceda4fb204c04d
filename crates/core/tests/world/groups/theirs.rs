//! Plays upstream's cluster side for a group: the syncs of snapshot-controller 8.6, from what they
//! write and when (spec group 4.3 to 4.8, controller 2.5.2, 2.9, 2.10).
//!
//! One step is the next request a sync would make, given its caches with its own writes folded in.
//! Patches that no version guards are done to whatever is there. Does not know queues: a sync may
//! run at any time, and one that ended well waits for something to change.

use serde_json::{Value, json};
use tintype_api::keys;
use tintype_core::object::{Content, Group, GroupContent, MemberInfo, Snapshot};
use tintype_core::write::Kind;
use tintype_core::{DeletionPolicy, Seen};

use super::cluster::{CLAIMS, CLASS, Cluster, DRIVER, GROUP, NAMESPACE, Request, UID, VOLUMES};
use super::rows::seen;

/// What their controller has in hand.
#[derive(Debug, Default)]
pub(super) struct TheirController {
    /// In the middle of making members.
    making: Option<Making>,
    /// Versions of group and group content that the last good sync ended with.
    settled: Option<[String; 2]>,
}

impl TheirController {
    /// Everything is looked at again from time to time.
    pub(super) fn time_passes(&mut self) {
        self.settled = None;
    }
}

/// The requests for one member, one after the other (spec group 4.5).
#[derive(Debug, Clone)]
struct Making {
    entry: usize,
    stage: Stage,
    snapshot_uid: String,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Content,
    Snapshot,
    Bind,
    SnapshotStatus,
    ContentStatus,
    /// All are made; the group's status is next.
    GroupStatus,
}

impl Cluster {
    /// The next request of their group, group content and content syncs.
    pub(super) fn their_group(&mut self, how: Request) -> bool {
        let folds = how == Request::Works;
        if self.their_content_syncs(folds) {
            return true;
        }
        let content = seen(
            &self.controller,
            Kind::GroupContent,
            &self.names.content,
            GroupContent::of,
        );
        let content = content.present().map(AsRef::as_ref);
        if let Some(making) = self.their_controller.making.take() {
            return content.is_some_and(|it| self.they_make(&making, it, folds));
        }
        let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
        let Some(group) = group.present() else {
            return false;
        };
        if group.class.is_some() && !self.class {
            let told = self.their_error(group, None, "the class is missing", folds);
            if told || !group.meta.deleting {
                return told;
            }
        }
        if group.meta.deleting {
            return self.their_group_deletion(group, content, folds);
        }
        let ours = keys::FINALIZER_GROUP_SNAPSHOT_BOUND;
        if group.bound.is_some() && content.is_some() && !group.meta.has_finalizer(ours) {
            return self.their_put(Kind::Group, GROUP, folds, |it| add_finalizer(it, ours));
        }
        if group.ready == Some(true) && group.bound.is_some() {
            let gone = content.is_none();
            return gone && self.their_error(group, Some(false), "the content is missing", folds);
        }
        self.their_unready(group, content, folds)
    }

    fn their_unready(
        &mut self,
        group: &Group,
        content: Option<&GroupContent>,
        folds: bool,
    ) -> bool {
        let Some(content) = content else {
            return if group.dynamic() {
                self.their_creation(group, folds)
            } else {
                self.their_error(group, Some(false), "the content is missing", folds)
            };
        };
        if content.group.uid.is_empty() {
            let name = self.names.content.clone();
            self.their_patch(Kind::GroupContent, &name, folds, |it| {
                it["spec"]["volumeGroupSnapshotRef"]["uid"] = UID.into();
            });
            return true;
        }
        let versions = [&group.meta.version, &content.meta.version].map(ToString::to_string);
        if self.their_controller.settled == Some(versions) {
            return false;
        }
        if group.dynamic() && !content.members().is_empty() && content.handle().is_some() {
            let first = Making {
                entry: 0,
                stage: Stage::Content,
                snapshot_uid: String::new(),
            };
            return self.they_make(&first, content, folds);
        }
        self.their_status_copy(content, folds)
    }

    /// Spec group 4.4: of the claims there are now, none of them protected.
    fn their_creation(&mut self, group: &Group, folds: bool) -> bool {
        let volumes: Vec<_> = (0..2).filter(|at| self.claim(*at).is_some()).collect();
        if volumes.is_empty() {
            return self.their_error(group, Some(false), "no claim", folds);
        }
        let name = self.names.content.clone();
        if self.server.get(Kind::GroupContent, &name).is_some() {
            return false; // It exists, and the cache will hear of it.
        }
        let volumes: Vec<_> = volumes.into_iter().map(|at| VOLUMES[at]).collect();
        let content = json!({
            "metadata": {"name": name, "uid": "made-by-theirs"},
            "spec": {
                "deletionPolicy": self.setup.policy.as_str(), "driver": DRIVER,
                "source": {"volumeHandles": volumes},
                "volumeGroupSnapshotClassName": CLASS,
                "volumeGroupSnapshotRef": {"namespace": NAMESPACE, "name": GROUP, "uid": UID},
            },
        });
        self.server.put(Kind::GroupContent, content);
        self.hear(Kind::GroupContent, &name, folds);
        true
    }

    fn they_make(&mut self, now: &Making, content: &GroupContent, folds: bool) -> bool {
        if let Stage::GroupStatus = now.stage {
            let copied = self.their_status_copy(content, folds);
            let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
            if let Some(group) = group.present() {
                let versions = [&group.meta.version, &content.meta.version];
                self.their_controller.settled = Some(versions.map(ToString::to_string));
            }
            return copied;
        }
        let Some(entry) = content.members().get(now.entry) else {
            return false;
        };
        let Some(at) = VOLUMES.iter().position(|it| **it == *entry.volume) else {
            return false;
        };
        let mut next = now.clone();
        let last = now.entry + 1 == content.members().len();
        next.stage = match now.stage {
            Stage::Content => Stage::Snapshot,
            Stage::Snapshot => Stage::Bind,
            Stage::Bind => Stage::SnapshotStatus,
            Stage::SnapshotStatus => Stage::ContentStatus,
            Stage::ContentStatus if last => Stage::GroupStatus,
            Stage::ContentStatus | Stage::GroupStatus => {
                next.entry += 1;
                Stage::Content
            }
        };
        let found = self.they_write(&mut next, now.stage, (at, entry), content, folds);
        if found && folds {
            self.their_controller.making = Some(next);
        }
        found
    }

    /// False if what is to be written to is not there: the sync ends with an error.
    fn they_write(
        &mut self,
        next: &mut Making,
        stage: Stage,
        (at, entry): (usize, &MemberInfo),
        content: &GroupContent,
        folds: bool,
    ) -> bool {
        let snapshot = self.names.member_snapshots[at].clone();
        let single = self.names.member_contents[at].clone();
        match stage {
            Stage::Content => {
                if self.server.get(Kind::Content, &single).is_none() {
                    let made = self.their_member_content(at, content);
                    self.server.put(Kind::Content, made);
                }
                self.hear(Kind::Content, &single, folds);
                true
            }
            Stage::Snapshot => {
                if self.server.get(Kind::Snapshot, &snapshot).is_none() {
                    let made = self.their_member_snapshot(at);
                    self.server.put(Kind::Snapshot, made);
                }
                self.hear(Kind::Snapshot, &snapshot, folds);
                next.snapshot_uid = self
                    .snapshot(at)
                    .map_or_else(String::new, |it| it.meta.uid.to_string());
                true
            }
            Stage::Bind => self.their_patch(Kind::Content, &single, folds, |it| {
                it["spec"]["volumeSnapshotRef"]["uid"] = next.snapshot_uid.as_str().into();
            }),
            // D23: what was there is gone for a moment.
            Stage::SnapshotStatus => self.their_patch(Kind::Snapshot, &snapshot, folds, |it| {
                it["status"] = json!({ "boundVolumeSnapshotContentName": single });
            }),
            Stage::ContentStatus => self.their_patch(Kind::Content, &single, folds, |it| {
                it["status"] = json!({
                    "snapshotHandle": entry.handle, "creationTime": entry.creation_time,
                    "volumeGroupSnapshotHandle": content.handle(),
                    "restoreSize": entry.restore_size, "readyToUse": entry.ready,
                });
            }),
            Stage::GroupStatus => false,
        }
    }

    fn their_member_content(&self, at: usize, content: &GroupContent) -> Value {
        let name = &self.names.member_contents[at];
        let mut annotations = json!({});
        annotations[keys::ANNOTATION_GROUP_HANDLE] = content.handle().into();
        json!({
            "metadata": {"name": name, "uid": name, "annotations": annotations},
            "spec": {
                "deletionPolicy": content.policy.as_str(), "driver": DRIVER,
                "source": {"volumeHandle": VOLUMES[at]},
                "volumeSnapshotRef": {"kind": "VolumeSnapshot", "namespace": NAMESPACE,
                    "name": self.names.member_snapshots[at]},
            },
        })
    }

    fn their_member_snapshot(&self, at: usize) -> Value {
        let name = &self.names.member_snapshots[at];
        json!({
            "metadata": {
                "namespace": NAMESPACE, "name": name, "uid": format!("uid-of-{name}"),
                "finalizers": [keys::FINALIZER_SNAPSHOT_IN_GROUP],
                "ownerReferences": [{"apiVersion": "groupsnapshot.storage.k8s.io/v1",
                    "kind": "VolumeGroupSnapshot", "name": GROUP, "uid": UID}],
            },
            "spec": {"source": {"persistentVolumeClaimName": CLAIMS[at]}},
        })
    }

    /// Spec group 4.6, on the group as it is on the server.
    fn their_status_copy(&mut self, content: &GroupContent, folds: bool) -> bool {
        let Some(live) = self.group() else {
            return false;
        };
        let ready = content.ready();
        let error = content.error().map(|it| it.message.clone());
        let error = error.filter(|_| !ready);
        let creation_time = content
            .status
            .as_ref()
            .and_then(|it| it.creation_time.clone());
        let same = live.bound.as_deref() == Some(self.names.content.as_str())
            && live.ready == Some(ready)
            && live.error == error
            && (live.creation_time.is_some() || creation_time.is_none());
        if same {
            return false;
        }
        let bound = self.names.content.clone();
        self.their_patch(Kind::Group, GROUP, folds, |it| {
            it["status"] = json!({
                "boundVolumeGroupSnapshotContentName": bound, "readyToUse": ready,
                "creationTime": creation_time,
                "error": error.map(|it| json!({"message": it})),
            });
        })
    }

    /// Conditional on what is cached.
    fn their_error(&mut self, seen: &Group, ready: Option<bool>, why: &str, folds: bool) -> bool {
        if seen.error.as_deref() == Some(why) {
            return false;
        }
        self.their_put(Kind::Group, GROUP, folds, |it| {
            it["status"]["error"] = json!({ "message": why });
            if let Some(ready) = ready {
                it["status"]["readyToUse"] = ready.into();
            }
        })
    }

    /// Spec group 4.7.
    fn their_group_deletion(
        &mut self,
        group: &Group,
        content: Option<&GroupContent>,
        folds: bool,
    ) -> bool {
        let ours = keys::FINALIZER_GROUP_SNAPSHOT_BOUND;
        if !group.meta.has_finalizer(ours) {
            return false;
        }
        // D12: found by its bound name only.
        let content = content.filter(|it| group.bound.is_some() && it.group.uid == group.meta.uid);
        let name = self.names.content.clone();
        let deletes = content.is_some_and(|it| it.policy == DeletionPolicy::Delete);
        if let Some(content) = content {
            if !content.being_deleted {
                let mark = keys::ANNOTATION_GROUP_BEING_DELETED;
                return self.their_patch(Kind::GroupContent, &name, folds, |it| {
                    it["metadata"]["annotations"][mark] = "yes".into();
                });
            }
            if deletes && !content.meta.deleting {
                return self.their_delete(Kind::GroupContent, &name, folds);
            }
        }
        for at in 0..2 {
            let member = self.names.member_snapshots[at].clone();
            let row = seen(&self.controller, Kind::Snapshot, &member, Snapshot::of);
            let stays = row.present().is_some_and(|it| {
                let owned = it.owner().is_some_and(|it| it.uid == group.meta.uid);
                owned && !it.meta.deleting
            });
            if stays && self.their_delete(Kind::Snapshot, &member, folds) {
                return true;
            }
        }
        !deletes
            && self.their_put(Kind::Group, GROUP, folds, |it| {
                drop_finalizers(it, &[ours]);
            })
    }

    /// Finalizers and marks of contents (spec group 4.8, controller 2.10).
    fn their_content_syncs(&mut self, folds: bool) -> bool {
        let name = self.names.content.clone();
        let row = seen(
            &self.controller,
            Kind::GroupContent,
            &name,
            GroupContent::of,
        );
        let ours = keys::FINALIZER_GROUP_CONTENT;
        let bare = row.present().is_some_and(|it| {
            !it.group.uid.is_empty() && !it.meta.deleting && !it.meta.has_finalizer(ours)
        });
        if bare && self.their_finalizer(Kind::GroupContent, &name, ours, folds) {
            return true;
        }
        (0..2).any(|at| self.their_content_sync(at, folds))
    }

    fn their_content_sync(&mut self, at: usize, folds: bool) -> bool {
        let name = self.names.member_contents[at].clone();
        let row = seen(&self.controller, Kind::Content, &name, Content::of);
        let Seen::Present(content) = row else {
            return false;
        };
        if content.snapshot.uid.is_empty() {
            return false;
        }
        let ours = keys::FINALIZER_CONTENT;
        if !content.meta.deleting && !content.meta.has_finalizer(ours) {
            return self.their_finalizer(Kind::Content, &name, ours, folds);
        }
        let owner = &self.names.member_snapshots[at];
        let owner = seen(&self.controller, Kind::Snapshot, owner, Snapshot::of);
        let goes = owner.present().is_some_and(|it| {
            it.meta.uid == content.snapshot.uid && it.meta.deleting && holds_itself(it)
        });
        goes && !content.being_deleted && self.their_mark(&name, folds)
    }

    pub(super) fn their_mark(&mut self, content: &str, folds: bool) -> bool {
        self.their_patch(Kind::Content, content, folds, |it| {
            it["metadata"]["annotations"][keys::ANNOTATION_BEING_DELETED] = "yes".into();
        })
    }

    /// The server takes no new finalizer on what is being deleted.
    fn their_finalizer(&mut self, kind: Kind, name: &str, finalizer: &str, folds: bool) -> bool {
        let live = self.server.get(kind, name);
        let stands = live.is_some_and(|it| it["metadata"]["deletionTimestamp"].is_null());
        stands && self.their_patch(kind, name, folds, |it| add_finalizer(it, finalizer))
    }

    /// Whatever is there is changed; false if nothing is.
    pub(super) fn their_patch(
        &mut self,
        kind: Kind,
        name: &str,
        folds: bool,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        if self.server.get(kind, name).is_none() {
            return false;
        }
        self.server.edit(kind, name, change);
        self.hear(kind, name, folds);
        true
    }

    /// Only what is cached is changed; false if it is there no more as it was.
    pub(super) fn their_put(
        &mut self,
        kind: Kind,
        name: &str,
        folds: bool,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let cached = self.controller.get(&(kind, name.to_owned()));
        let same = cached.and_then(Option::as_ref) == self.server.get(kind, name);
        same && self.their_patch(kind, name, folds, change)
    }

    pub(super) fn their_delete(&mut self, kind: Kind, name: &str, folds: bool) -> bool {
        let done = self.delete(kind, name);
        self.hear(kind, name, folds && done);
        done
    }

    fn hear(&mut self, kind: Kind, name: &str, folds: bool) {
        if folds {
            let found = self.server.get(kind, name).cloned();
            self.controller.insert((kind, name.to_owned()), found);
        }
    }
}

/// It is a candidate for deletion: a finalizer of theirs but the in-group one is on it.
pub(super) fn holds_itself(snapshot: &Snapshot) -> bool {
    [
        keys::FINALIZER_SNAPSHOT_AS_SOURCE,
        keys::FINALIZER_SNAPSHOT_BOUND,
    ]
    .iter()
    .any(|it| snapshot.meta.has_finalizer(it))
}

pub(super) fn add_finalizer(object: &mut Value, finalizer: &str) {
    let all = &mut object["metadata"]["finalizers"];
    if let Some(all) = all.as_array_mut() {
        all.push(finalizer.into());
    } else {
        *all = json!([finalizer]);
    }
}

pub(super) fn drop_finalizers(object: &mut Value, finalizers: &[&str]) {
    if let Some(all) = object["metadata"]["finalizers"].as_array_mut() {
        all.retain(|it| !finalizers.contains(&it.as_str().unwrap_or_default()));
    }
}
