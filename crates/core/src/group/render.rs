//! Turns a step and what was seen into the exact write: patch, precondition, event.
//!
//! Does not decide and does not send. What members look like is upstream's to the letter: names,
//! owner, annotations, finalizers, handles.

use serde_json::{Map, Value, json};
use tintype_api::{Reason, keys, names};

use super::facts::Sighting;
use super::{Complaint, Step, member};
use crate::object::{Class, Content, Group, GroupContent, Key, MemberInfo};
use crate::pair::{self, Reached};
use crate::secret::{self, Secret};
use crate::write::{Event, Kind, Part, Verb, Write};
use crate::{Stamp, guard};

/// The write a step comes to; none if an object it speaks of is not there.
pub fn render(step: Step, seen: &Sighting, now: Stamp) -> Option<Write> {
    let group: &Group = seen.group.present()?;
    match step {
        Step::Protect => Some(protect(seen, group)),
        Step::ProtectClaim => Some(guard::with_finalizer(
            Kind::Claim,
            &seen.unprotected_claim()?.claim.meta,
            keys::FINALIZER_CLAIM_AS_SOURCE,
        )),
        Step::LookUpGroup => Some(Write::get(Kind::Group, group.meta.key.clone())),
        Step::CreateContent => create_content(seen, group),
        Step::BindContent => Some(bind_content(seen.content.present()?, group)),
        Step::ProtectContent => {
            let content = &seen.content.present()?.meta;
            let finalizers = content.with_finalizer(keys::FINALIZER_GROUP_CONTENT);
            Some(Write::finalizers(Kind::GroupContent, content, &finalizers))
        }
        Step::LookUpContent => {
            let key = Key::cluster(group.content_name()?);
            Some(Write::get(Kind::GroupContent, key))
        }
        Step::Member(step) => render_member(step, seen, group),
        Step::Publish => Some(publish(seen, group, seen.content.present()?)),
        Step::Complain(complaint) => Some(complain(complaint, seen, group, now)),
        Step::AskContentDeletion => Some(Write::annotate(
            Kind::GroupContent,
            &seen.content.present()?.meta,
            keys::ANNOTATION_GROUP_BEING_DELETED,
            "yes".into(),
        )),
        Step::DeleteMember => Some(Write::delete(Kind::Snapshot, &seen.staying()?.meta)),
        Step::DeleteContent => {
            let content = &seen.content.present()?.meta;
            Some(Write::delete(Kind::GroupContent, content))
        }
        Step::Retract => {
            let nothing = json!({"status": {"error": null}});
            Some(patch(group, Part::Status, nothing))
        }
        Step::Release => {
            let ours = [keys::FINALIZER_GROUP_SNAPSHOT_BOUND];
            let rest = group.meta.without_finalizers(&ours);
            Some(Write::finalizers(Kind::Group, &group.meta, &rest))
        }
    }
}

fn patch(group: &Group, part: Part, body: Value) -> Write {
    Write::patch(Kind::Group, &group.meta, part, body)
}

/// The finalizer and the default class in one write, of the version that was seen (D28).
fn protect(seen: &Sighting, group: &Group) -> Write {
    let finalizers = group
        .meta
        .with_finalizer(keys::FINALIZER_GROUP_SNAPSHOT_BOUND);
    let mut body = json!({"metadata": {"finalizers": finalizers}});
    let unnamed = group.class.is_none() && group.dynamic() && group.bound.is_none();
    if let Some(class) = seen.chosen_class().filter(|_| unnamed) {
        body["spec"]["volumeGroupSnapshotClassName"] = class.meta.key.name.as_ref().into();
    }
    patch(group, Part::Object, body)
}

/// Spec group 4.4.
fn create_content(seen: &Sighting, group: &Group) -> Option<Write> {
    let class = seen.chosen_class()?;
    let handles: Option<Vec<&str>> = seen
        .picked()
        .iter()
        .map(|it| Some(it.volume.present()?.csi.as_ref()?.handle.as_ref()))
        .collect();
    let name = names::group_content_name(&group.meta.uid.to_string());
    let mut body = json!({
        "apiVersion": tintype_api::GROUP_API_VERSION,
        "kind": "VolumeGroupSnapshotContent",
        "metadata": {
            "name": name,
            "finalizers": [keys::FINALIZER_GROUP_CONTENT],
        },
        "spec": {
            "deletionPolicy": class.policy.as_str(),
            "driver": class.driver,
            "source": {"volumeHandles": handles?},
            "volumeGroupSnapshotClassName": class.meta.key.name,
        },
    });
    // The version it was decided on, as upstream has it.
    let mut reference = reference(group);
    reference["resourceVersion"] = group.meta.version.to_string().into();
    body["spec"]["volumeGroupSnapshotRef"] = reference;
    if let Some(labels) = seen.placement.labels() {
        body["metadata"]["labels"] = labels;
    }
    if let Some(secret) = deletion_secret(class, group).ok().flatten() {
        body["metadata"]["annotations"] = json!({
            keys::ANNOTATION_GROUP_DELETION_SECRET_NAME: secret.name,
            keys::ANNOTATION_GROUP_DELETION_SECRET_NAMESPACE: secret.namespace,
        });
    }
    let key = Key::cluster(name);
    Some(Write::of(Kind::GroupContent, key, Verb::Create(body)))
}

fn reference(group: &Group) -> Value {
    pair::reference(
        tintype_api::GROUP_API_VERSION,
        "VolumeGroupSnapshot",
        &group.meta,
    )
}

/// The Secret pair the class's parameters come to for this group; `Err` says what is wrong.
pub(super) fn deletion_secret(class: &Class, group: &Group) -> Result<Option<Secret>, String> {
    let content = names::group_content_name(&group.meta.uid.to_string());
    let tokens = [
        ("volumegroupsnapshotcontent.name", content.as_str()),
        ("volumegroupsnapshot.namespace", &*group.meta.key.namespace),
        ("volumegroupsnapshot.name", &*group.meta.key.name),
    ];
    secret::resolve(
        &class.parameters,
        keys::PARAMETER_GROUP_SECRET_NAME,
        keys::PARAMETER_GROUP_SECRET_NAMESPACE,
        &secret::Tokens {
            in_namespace: &tokens[..2],
            in_name: &tokens,
        },
    )
}

fn bind_content(content: &GroupContent, group: &Group) -> Write {
    let mut body = json!({"spec": {"volumeGroupSnapshotRef": reference(group)}});
    if !content.meta.deleting {
        let finalizers = content.meta.with_finalizer(keys::FINALIZER_GROUP_CONTENT);
        body["metadata"]["finalizers"] = json!(finalizers);
    }
    if let (None, Some(class)) = (&content.class, &group.class) {
        body["spec"]["volumeGroupSnapshotClassName"] = class.as_ref().into();
    }
    Write::patch(Kind::GroupContent, &content.meta, Part::Object, body)
}

/// Spec group 4.5.
fn render_member(step: member::Step, seen: &Sighting, group: &Group) -> Option<Write> {
    let (member, _) = seen.open_member()?;
    let of_group: &GroupContent = seen.content.present()?;
    match step {
        member::Step::MakeSnapshot => Some(make_snapshot(member, group)),
        member::Step::MakeContent => make_content(member, of_group),
        member::Step::BindContent => {
            let content = &member.content.present()?.meta;
            let snapshot = member.snapshot.present()?.meta.uid.to_string();
            let body = json!({
                "metadata": {"finalizers": content.with_finalizer(keys::FINALIZER_CONTENT)},
                "spec": {"volumeSnapshotRef": {"uid": snapshot}},
            });
            Some(Write::patch(Kind::Content, content, Part::Object, body))
        }
        member::Step::Record => Some(record(
            member.content.present()?,
            member.info.as_ref()?,
            of_group.handle()?,
        )),
    }
}

fn make_snapshot(member: &member::Sighting, group: &Group) -> Write {
    let key = member.keys.snapshot.clone();
    // A volume whose claim is not known is said to have none, as upstream does (D23).
    let claim = member
        .volume
        .as_ref()
        .and_then(|it| it.claim.as_ref())
        .filter(|it| it.key.namespace == group.meta.key.namespace)
        .map_or("", |it| &it.key.name);
    let body = json!({
        "apiVersion": tintype_api::API_VERSION,
        "kind": "VolumeSnapshot",
        "metadata": {
            "namespace": key.namespace,
            "name": key.name,
            "finalizers": [
                keys::FINALIZER_SNAPSHOT_IN_GROUP,
                keys::FINALIZER_SNAPSHOT_AS_SOURCE,
            ],
            "ownerReferences": [pair::owner(group)],
        },
        "spec": {"source": {"persistentVolumeClaimName": claim}},
    });
    Write::of(Kind::Snapshot, key, Verb::Create(body))
}

fn make_content(member: &member::Sighting, of_group: &GroupContent) -> Option<Write> {
    let key = member.keys.content.clone();
    let snapshot = &member.snapshot.present()?.meta;
    let mut annotations = Map::new();
    annotations.insert(
        keys::ANNOTATION_GROUP_HANDLE.to_owned(),
        of_group.handle()?.into(),
    );
    // As resolved for the group: the templates of its class know no member (D4).
    if let Some(secret) = &of_group.secret {
        annotations.insert(
            keys::ANNOTATION_DELETION_SECRET_NAME.to_owned(),
            secret.name.as_ref().into(),
        );
        annotations.insert(
            keys::ANNOTATION_DELETION_SECRET_NAMESPACE.to_owned(),
            secret.namespace.as_ref().into(),
        );
    }
    let mut body = json!({
        "apiVersion": tintype_api::API_VERSION,
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": key.name,
            "annotations": annotations,
            "finalizers": [keys::FINALIZER_CONTENT],
        },
        "spec": {
            "deletionPolicy": of_group.policy.as_str(),
            "driver": of_group.driver,
            "source": {"volumeHandle": member.volume_handle},
            "volumeSnapshotRef": {
                "kind": "VolumeSnapshot",
                "namespace": snapshot.key.namespace,
                "name": snapshot.key.name,
                "uid": snapshot.uid.to_string(),
            },
        },
    });
    // Who cut the group looks after its members.
    if let Some(node) = &of_group.managed_by {
        body["metadata"]["labels"] = json!({ keys::LABEL_MANAGED_BY: node });
    }
    if let Some(mode) = member.volume.as_ref().and_then(|it| it.mode) {
        body["spec"]["sourceVolumeMode"] = mode.as_str().into();
    }
    Some(Write::of(Kind::Content, key, Verb::Create(body)))
}

/// What is set stays; only readiness follows, and only upwards (D23).
fn record(content: &Content, info: &MemberInfo, group: &str) -> Write {
    let old = content.status.clone().unwrap_or_default();
    let mut status = Map::new();
    if old.handle.is_none() {
        status.insert("snapshotHandle".to_owned(), info.handle.as_ref().into());
    }
    if old.group_handle.is_none() {
        status.insert("volumeGroupSnapshotHandle".to_owned(), group.into());
    }
    if let (None, Some(time)) = (old.creation_time, info.creation_time) {
        status.insert("creationTime".to_owned(), time.into());
    }
    if let (None, Some(size)) = (old.restore_size, info.restore_size) {
        status.insert("restoreSize".to_owned(), size.into());
    }
    if old.ready != Some(true) {
        let ready = info.ready.unwrap_or_default();
        status.insert("readyToUse".to_owned(), ready.into());
    }
    if old.error.is_some() && info.ready == Some(true) {
        status.insert("error".to_owned(), Value::Null);
    }
    let body = json!({ "status": status });
    Write::patch(Kind::Content, &content.meta, Part::Status, body)
}

/// Spec group 4.6: what is set stays, readiness and error follow the group content.
fn publish(seen: &Sighting, group: &Group, content: &GroupContent) -> Write {
    let status = content.status.clone().unwrap_or_default();
    let settled = !group.dynamic() || seen.open_member().is_none();
    let ready = (content.ready() && settled) || group.ready == Some(true);
    let mut body = Map::new();
    body.insert("readyToUse".to_owned(), ready.into());
    if group.bound.is_none() {
        body.insert(
            "boundVolumeGroupSnapshotContentName".to_owned(),
            content.meta.key.name.as_ref().into(),
        );
    }
    let cut_at = status
        .creation_time
        .filter(|_| group.creation_time.is_none());
    let cut = cut_at.is_some();
    if let Some(time) = cut_at {
        body.insert("creationTime".to_owned(), time.as_ref().into());
    }
    let error = status.error.as_deref().filter(|_| !ready);
    if let Some(error) = pair::error_to_write(error, group.error.is_some()) {
        body.insert("error".to_owned(), error);
    }
    let mut write = patch(group, Part::Status, json!({ "status": body }));
    write.event = told(group, ready, cut);
    write
}

/// One event for the furthest thing reached: created and ready together make one
/// `GroupSnapshotReady`.
fn told(group: &Group, ready: bool, cut: bool) -> Option<Event> {
    let key = &group.meta.key;
    let ready = (group.ready == Some(true), ready);
    let (reason, message) = match Reached::of(ready, cut, group.bound.is_some())? {
        Reached::Ready => (
            Reason::GroupSnapshotReady,
            format!("GroupSnapshot {key} is ready to use."),
        ),
        Reached::Cut => (
            Reason::GroupSnapshotCreated,
            format!("GroupSnapshot {key} is cut; the driver is still making it ready to use."),
        ),
        Reached::Bound => (
            Reason::CreatingGroupSnapshot,
            format!("Waiting for the CSI driver to create group snapshot {key}."),
        ),
    };
    Some(Event::normal(Kind::Group, &group.meta, reason, message))
}

fn complain(complaint: Complaint, seen: &Sighting, group: &Group, now: Stamp) -> Write {
    pair::complain(
        (Kind::Group, &group.meta),
        (complaint.reason(seen), complaint.text(seen)),
        complaint.unreadies(),
        now,
    )
}

#[cfg(test)]
mod tests;
