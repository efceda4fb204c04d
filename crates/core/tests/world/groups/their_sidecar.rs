//! Plays upstream's driver side for a group: the syncs of csi-snapshotter 8.6 (spec group 4.9,
//! sidecar 3.4, 3.6).
//!
//! One step is the next request or call of a sync. It reads a status before it writes it, so its
//! writes meet no conflict.

use serde_json::{Value, json};
use tintype_api::keys;
use tintype_core::content::Outcome;
use tintype_core::group_content::{Reply, group_snapshot_name};
use tintype_core::object::{Content, GroupContent, GroupContentSource, MemberInfo};
use tintype_core::write::Kind;
use tintype_core::{DeletionPolicy, Seen};

use super::cluster::Cluster;
use super::rows::seen;
use super::storage::How;
use super::theirs::drop_finalizers;

/// What their sidecar has in hand.
#[derive(Debug)]
pub(super) struct TheirSidecar {
    /// What a call came to, before it is written down.
    called: Option<Called>,
    /// It may be called: of the group, and of its members.
    due: [bool; 3],
}

impl Default for TheirSidecar {
    fn default() -> Self {
        Self {
            called: None,
            due: [true; 3],
        }
    }
}

impl TheirSidecar {
    /// Every back-off is over.
    pub(super) fn time_passes(&mut self) {
        self.due = [true; 3];
    }
}

#[derive(Debug)]
enum Called {
    Answered(Reply),
    Failed { surely: bool },
    Deleted,
}

impl Cluster {
    /// The next request or call for the group content.
    pub(super) fn their_sidecar(&mut self, how: How) -> bool {
        let name = self.names.content.clone();
        let row = seen(&self.sidecar, Kind::GroupContent, &name, GroupContent::of);
        let Seen::Present(content) = row else {
            self.their_sidecar.called = None;
            return false;
        };
        if let Some(called) = self.their_sidecar.called.take() {
            return self.their_result(&name, &content, called);
        }
        let status_handle = content.status.as_ref().and_then(|it| it.handle.clone());
        let unbound = self.setup.imported && content.group.uid.is_empty();
        let marked = content.being_deleted && !content.being_created;
        if content.meta.deleting && (unbound || marked) {
            if content.policy == DeletionPolicy::Delete && status_handle.is_some() {
                return self.they_delete(&content, how);
            }
            let ours = keys::FINALIZER_GROUP_CONTENT;
            return content.meta.has_finalizer(ours)
                && self.sidecar_writes(&name, |it| drop_finalizers(it, &[ours]));
        }
        let mark = keys::ANNOTATION_GROUP_BEING_CREATED;
        if content.ready() {
            return content.being_created
                && self.sidecar_writes(&name, |it| {
                    let all = it["metadata"]["annotations"].as_object_mut().unwrap();
                    all.remove(mark);
                });
        }
        if !self.their_sidecar.due[0] {
            return false;
        }
        if self.setup.imported {
            let answer = self.storage.ask(content.handle().unwrap_or_default());
            return self.they_hear(answer.map_err(|(outcome, _)| outcome));
        }
        if !self.class {
            // D32: one that is going and may be on storage stays for ever.
            self.their_sidecar.due[0] = false;
            let said = content.error().is_some();
            return !said && self.they_hear(Err(Outcome::NotCalled));
        }
        if !content.being_created {
            return self.sidecar_writes(&name, |it| {
                it["metadata"]["annotations"][mark] = "yes".into();
            });
        }
        self.may_cut(&content);
        let cut = group_snapshot_name("groupsnapshot", &content, None);
        let answer = self.storage.create(&cut, content.volumes(), how);
        self.they_hear(answer.map_err(|(outcome, _)| outcome))
    }

    fn they_hear(&mut self, answer: Result<Reply, Outcome>) -> bool {
        self.their_sidecar.called = Some(match answer {
            Ok(reply) => Called::Answered(reply),
            Err(outcome) => Called::Failed {
                surely: outcome == Outcome::Refused,
            },
        });
        true
    }

    /// D3: without its list it cannot be deleted.
    fn they_delete(&mut self, content: &GroupContent, how: How) -> bool {
        if !self.their_sidecar.due[0] {
            return false;
        }
        let listed = content.members().iter().map(|it| it.handle.to_string());
        let mut ids: Vec<String> = listed.collect();
        if let GroupContentSource::Existing { snapshots, .. } = &content.source {
            ids = snapshots.iter().map(ToString::to_string).collect();
        }
        self.their_sidecar.due[0] = false;
        if ids.is_empty() {
            return false;
        }
        self.may_delete(content);
        if self.storage.delete(content, ids, how).is_ok() {
            self.their_sidecar.called = Some(Called::Deleted);
        }
        true
    }

    /// Writes down what a call came to, a request at a time.
    fn their_result(&mut self, name: &str, content: &GroupContent, called: Called) -> bool {
        match called {
            Called::Answered(reply) => {
                self.their_sidecar.due[0] = reply.ready;
                let imported = self.setup.imported;
                self.sidecar_writes(name, |it| {
                    answered(&mut it["status"], &reply);
                    if !imported {
                        listed(&mut it["status"], &reply.members);
                    }
                })
            }
            Called::Failed { surely } => {
                let mark = keys::ANNOTATION_GROUP_BEING_CREATED;
                if surely && content.being_created && !self.setup.imported {
                    self.their_sidecar.called = Some(Called::Failed { surely: false });
                    return self.sidecar_writes(name, |it| {
                        let all = it["metadata"]["annotations"].as_object_mut();
                        all.map(|it| it.remove(mark));
                    });
                }
                self.their_sidecar.due[0] = false;
                // Said again and again, with another time.
                let said = content.error().is_some() && !content.ready();
                !said
                    && self.sidecar_writes(name, |it| {
                        it["status"]["readyToUse"] = false.into();
                        it["status"]["error"] = json!({"message": "it failed"});
                    })
            }
            Called::Deleted => {
                self.sidecar_writes(name, |it| {
                    let status = it["status"].as_object_mut().unwrap();
                    for field in [
                        "volumeGroupSnapshotHandle",
                        "readyToUse",
                        "creationTime",
                        "error",
                    ] {
                        status.remove(field);
                    }
                });
                self.sidecar_writes(name, |it| {
                    drop_finalizers(it, &[keys::FINALIZER_GROUP_CONTENT]);
                })
            }
        }
    }

    /// The next request or call for the content of a member.
    pub(super) fn their_sidecar_member(&mut self, at: usize) -> bool {
        let name = self.names.member_contents[at].clone();
        let row = seen(&self.sidecar, Kind::Content, &name, Content::of);
        let Seen::Present(content) = row else {
            return false;
        };
        let status = content.status.as_ref();
        let unbound = self.setup.imported && content.snapshot.uid.is_empty();
        if content.meta.deleting && (unbound || content.being_deleted) {
            let alone = status.is_some_and(|it| it.handle.is_some() && it.group_handle.is_none());
            if alone && content.policy == DeletionPolicy::Delete {
                self.storage.harm = Some("a member is cut or deleted on its own");
                return true;
            }
            let ours = keys::FINALIZER_CONTENT;
            return content.meta.has_finalizer(ours)
                && self.sidecar_writes_single(&name, |it| drop_finalizers(it, &[ours]));
        }
        let known = self.setup.imported || status.is_some_and(|it| it.handle.is_some());
        if content.ready() || !known || !self.their_sidecar.due[1 + at] {
            return false;
        }
        let id = content.handle().unwrap_or_default().to_owned();
        let Some((group, ready)) = self.storage.ask_member(&id) else {
            self.their_sidecar.due[1 + at] = false;
            return false;
        };
        self.their_sidecar.due[1 + at] = ready;
        self.sidecar_writes_single(&name, |it| {
            let status = &mut it["status"];
            status["snapshotHandle"] = id.into();
            status["readyToUse"] = ready.into();
            status["volumeGroupSnapshotHandle"] = group.into();
        })
    }

    fn sidecar_writes(&mut self, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.sidecar_edits(Kind::GroupContent, name, change)
    }

    fn sidecar_writes_single(&mut self, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        self.sidecar_edits(Kind::Content, name, change)
    }

    /// False if the object is gone.
    fn sidecar_edits(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) -> bool {
        if self.server.get(kind, name).is_none() {
            return false;
        }
        self.server.edit(kind, name, change);
        let found = self.server.get(kind, name).cloned();
        self.sidecar.insert((kind, name.to_owned()), found);
        true
    }
}

/// What is set stays, but readiness.
fn answered(status: &mut Value, reply: &Reply) {
    if status["volumeGroupSnapshotHandle"].is_null() {
        status["volumeGroupSnapshotHandle"] = reply.handle.as_ref().into();
        status["creationTime"] = "2026-01-01T00:00:00Z".into();
    }
    status["readyToUse"] = reply.ready.into();
    if reply.ready {
        status["error"] = Value::Null;
    }
}

/// A list that is there is not looked at again, and none is compared with the volumes.
fn listed(status: &mut Value, members: &[MemberInfo]) {
    let list = &mut status["volumeSnapshotInfoList"];
    if list.as_array().is_some_and(|it| !it.is_empty()) {
        return;
    }
    *list = members
        .iter()
        .map(|it| {
            json!({"volumeHandle": it.volume, "snapshotHandle": it.handle,
                "creationTime": it.creation_time, "readyToUse": it.ready,
                "restoreSize": it.restore_size})
        })
        .collect();
}
