//! Turns a step and what was seen into the exact write: patch, precondition, event.
//!
//! Does not decide and does not send.

use serde_json::{Map, Value, json};
use tintype_api::{Reason, keys, names};

use super::facts::Sighting;
use super::{Complaint, Step};
use crate::guard;
use crate::object::{Class, Content, ContentSource, Group, Key, Snapshot};
use crate::pair::{self, Reached};
use crate::patience::Stage;
use crate::secret::{self, Secret};
use crate::write::{Event, Kind, Part, Verb, Write};
use crate::{DeletionPolicy, Stamp};

/// The write a step comes to; none if an object it speaks of is not there.
pub fn render(step: Step, seen: &Sighting, now: Stamp) -> Option<Write> {
    let snapshot: &Snapshot = seen.snapshot.present()?;
    match step {
        Step::Protect => Some(protect(seen, snapshot)),
        Step::ProtectClaim => protect_claim(seen),
        Step::CreateContent => create_content(seen, snapshot),
        Step::BindContent => Some(bind_content(seen.content.present()?, snapshot)),
        Step::ProtectContent => {
            let content = &seen.content.present()?.meta;
            let finalizers = content.with_finalizer(keys::FINALIZER_CONTENT);
            Some(Write::finalizers(Kind::Content, content, &finalizers))
        }
        Step::LookUpSnapshot => Some(Write::get(Kind::Snapshot, snapshot.meta.key.clone())),
        Step::LookUpContent => {
            let key = Key::cluster(snapshot.content_name()?);
            Some(Write::get(Kind::Content, key))
        }
        Step::Publish => Some(publish(seen, snapshot, seen.content.present()?)),
        Step::Complain(complaint) => Some(complain(complaint, seen, snapshot, now)),
        Step::AskContentDeletion => Some(Write::annotate(
            Kind::Content,
            &seen.content.present()?.meta,
            keys::ANNOTATION_BEING_DELETED,
            "yes".into(),
        )),
        Step::DeleteContent => Some(Write::delete(Kind::Content, &seen.content.present()?.meta)),
        Step::Retract => {
            let nothing = json!({"status": {"error": null}});
            Some(patch(snapshot, Part::Status, nothing))
        }
        Step::LookUpGroup => Some(Write::get(Kind::Group, seen.group_key.clone()?)),
        Step::JoinGroup => Some(join_group(snapshot, seen.group.present()?)),
        Step::Release => Some(release(snapshot)),
    }
}

fn patch(snapshot: &Snapshot, part: Part, body: Value) -> Write {
    Write::patch(Kind::Snapshot, &snapshot.meta, part, body)
}

/// Both finalizers and the default class in one write.
fn protect(seen: &Sighting, snapshot: &Snapshot) -> Write {
    let policy = match (seen.content.present(), seen.chosen_class()) {
        (Some(content), _) => content.policy,
        (None, Some(class)) => class.policy,
        (None, None) => DeletionPolicy::Retain,
    };
    let mut finalizers = snapshot.meta.finalizers.clone();
    let wanted = [
        Some(keys::FINALIZER_SNAPSHOT_AS_SOURCE),
        (policy == DeletionPolicy::Delete && !snapshot.is_member())
            .then_some(keys::FINALIZER_SNAPSHOT_BOUND),
    ];
    for finalizer in wanted.into_iter().flatten() {
        if !snapshot.meta.has_finalizer(finalizer) {
            finalizers.push(finalizer.into());
        }
    }
    let mut body = json!({"metadata": {"finalizers": finalizers}});
    let default = seen.chosen_class().filter(|_| {
        snapshot.class.is_none()
            && snapshot.claim_key().is_some()
            && snapshot.bound.is_none()
            && !snapshot.is_member()
    });
    if let Some(class) = default {
        body["spec"]["volumeSnapshotClassName"] = class.meta.key.name.as_ref().into();
    }
    patch(snapshot, Part::Object, body)
}

fn protect_claim(seen: &Sighting) -> Option<Write> {
    let claim = seen.claim.present()?;
    Some(guard::with_finalizer(
        Kind::Claim,
        &claim.meta,
        keys::FINALIZER_CLAIM_AS_SOURCE,
    ))
}

/// Spec controller 2.6.
fn create_content(seen: &Sighting, snapshot: &Snapshot) -> Option<Write> {
    let class = seen.chosen_class()?;
    let volume = seen.volume.present()?;
    let csi = volume.csi.as_ref()?;
    let name = names::content_name(&snapshot.meta.uid.to_string());
    let mut annotations = Map::new();
    if let Some(secret) = deletion_secret(class, snapshot).ok().flatten() {
        annotations.insert(
            keys::ANNOTATION_DELETION_SECRET_NAME.to_owned(),
            secret.name.into(),
        );
        annotations.insert(
            keys::ANNOTATION_DELETION_SECRET_NAMESPACE.to_owned(),
            secret.namespace.into(),
        );
    }
    let mut body = json!({
        "apiVersion": tintype_api::API_VERSION,
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": name,
            "finalizers": [keys::FINALIZER_CONTENT],
        },
        "spec": {
            "deletionPolicy": class.policy.as_str(),
            "driver": class.driver,
            "source": {"volumeHandle": csi.handle},
            "volumeSnapshotClassName": class.meta.key.name,
        },
    });
    // The version it was decided on, as upstream has it.
    let mut reference = pair::reference(tintype_api::API_VERSION, "VolumeSnapshot", &snapshot.meta);
    reference["resourceVersion"] = snapshot.meta.version.to_string().into();
    body["spec"]["volumeSnapshotRef"] = reference;
    if !seen.keep_mode {
        annotations.insert(keys::ANNOTATION_ALLOW_MODE_CHANGE.to_owned(), "true".into());
    }
    if !annotations.is_empty() {
        body["metadata"]["annotations"] = annotations.into();
    }
    if let Some(labels) = seen.placement.labels() {
        body["metadata"]["labels"] = labels;
    }
    // Without the flag upstream leaves the mode out, which nobody sees and nobody can take back
    // (D30); the annotation allows the same, for this snapshot and in the open.
    if let Some(mode) = volume.mode {
        body["spec"]["sourceVolumeMode"] = mode.as_str().into();
    }
    Some(Write::of(
        Kind::Content,
        Key::cluster(name),
        Verb::Create(body),
    ))
}

/// The Secret pair the class's parameters come to for this snapshot; `Err` says what is wrong.
pub(super) fn deletion_secret(
    class: &Class,
    snapshot: &Snapshot,
) -> Result<Option<Secret>, String> {
    let content = names::content_name(&snapshot.meta.uid.to_string());
    let tokens = [
        ("volumesnapshotcontent.name", content.as_str()),
        ("volumesnapshot.namespace", &*snapshot.meta.key.namespace),
        ("volumesnapshot.name", &*snapshot.meta.key.name),
    ];
    secret::resolve(
        &class.parameters,
        keys::PARAMETER_SECRET_NAME,
        keys::PARAMETER_SECRET_NAMESPACE,
        &secret::Tokens {
            in_namespace: &tokens[..2],
            in_name: &tokens,
        },
    )
}

fn bind_content(content: &Content, snapshot: &Snapshot) -> Write {
    let mut body = json!({"spec": {
        "volumeSnapshotRef":
            pair::reference(tintype_api::API_VERSION, "VolumeSnapshot", &snapshot.meta),
    }});
    if !content.meta.deleting {
        let finalizers = content.meta.with_finalizer(keys::FINALIZER_CONTENT);
        body["metadata"]["finalizers"] = json!(finalizers);
    }
    if let (None, Some(class)) = (&content.class, &snapshot.class) {
        body["spec"]["volumeSnapshotClassName"] = class.as_ref().into();
    }
    Write::patch(Kind::Content, &content.meta, Part::Object, body)
}

/// Spec controller 2.7: what is set stays, readiness and error follow the content.
fn publish(seen: &Sighting, snapshot: &Snapshot, content: &Content) -> Write {
    let status = content.status.clone().unwrap_or_default();
    let ready = content.ready() || snapshot.ready == Some(true);
    let mut body = Map::new();
    body.insert("readyToUse".to_owned(), ready.into());
    if snapshot.bound.is_none() {
        body.insert(
            "boundVolumeSnapshotContentName".to_owned(),
            content.meta.key.name.as_ref().into(),
        );
    }
    if let Some(group) = seen.group_name_owed() {
        body.insert(
            "volumeGroupSnapshotName".to_owned(),
            group.name.as_ref().into(),
        );
    }
    let cut_at = status
        .creation_time
        .filter(|_| snapshot.creation_time.is_none());
    if let Some(nanos) = cut_at {
        body.insert(
            "creationTime".to_owned(),
            Stamp(nanos.div_euclid(1_000_000_000)).rfc3339().into(),
        );
    }
    let size_open = snapshot.restore_size.as_deref().is_none_or(|it| it == "0");
    if let Some(size) = status
        .restore_size
        .filter(|_| size_open)
        .and_then(|size| u64::try_from(size).ok())
    {
        body.insert(
            "restoreSize".to_owned(),
            tintype_api::quantity::print_bytes(size).into(),
        );
    }
    let error = status.error.as_deref().filter(|_| !ready);
    if let Some(error) = pair::error_to_write(error, snapshot.error.is_some()) {
        body.insert("error".to_owned(), error);
    }
    let mut write = patch(snapshot, Part::Status, json!({ "status": body }));
    write.event = told(snapshot, content, ready, cut_at.is_some());
    write
}

/// One event for the furthest thing reached: created and ready together make one `SnapshotReady`.
fn told(snapshot: &Snapshot, content: &Content, ready: bool, cut: bool) -> Option<Event> {
    let key = &snapshot.meta.key;
    let ready = (snapshot.ready == Some(true), ready);
    let (reason, message) = match Reached::of(ready, cut, snapshot.bound.is_some())? {
        Reached::Ready => (
            Reason::SnapshotReady,
            format!("Snapshot {key} is ready to use."),
        ),
        Reached::Cut => (
            Reason::SnapshotCreated,
            format!("Snapshot {key} is cut; the driver is still making it ready to use."),
        ),
        Reached::Bound => (Reason::CreatingSnapshot, awaited(snapshot, content)),
    };
    let about = &snapshot.meta;
    Some(Event::normal(Kind::Snapshot, about, reason, message))
}

/// Who has the next word on a snapshot that is bound and no more.
fn awaited(snapshot: &Snapshot, content: &Content) -> String {
    let (key, driver) = (&snapshot.meta.key, &content.driver);
    match Stage::of(Some(content)) {
        Stage::Queued => format!(
            "Waiting for the csi-snapshotter of CSI driver {driver} to begin with snapshot {key}; if it never does, see whether it runs."
        ),
        Stage::Begun if matches!(content.source, ContentSource::Snapshot(_)) => format!(
            "Waiting for the csi-snapshotter of CSI driver {driver} to say how snapshot {key} is; if it never does, see whether it runs."
        ),
        Stage::Begun => format!("Waiting for CSI driver {driver} to create snapshot {key}."),
        Stage::Lacking => format!("Waiting for the group of snapshot {key} to be cut."),
    }
}

fn complain(complaint: Complaint, seen: &Sighting, snapshot: &Snapshot, now: Stamp) -> Write {
    pair::complain(
        (Kind::Snapshot, &snapshot.meta),
        (complaint.reason(seen), complaint.text(seen)),
        complaint.unreadies(),
        now,
    )
}

/// The group snapshot becomes an owner beside those there are.
fn join_group(snapshot: &Snapshot, group: &Group) -> Write {
    let mut owners = snapshot
        .group
        .as_ref()
        .map(|it| it.owners.clone())
        .unwrap_or_default();
    owners.push(pair::owner(group));
    let body = json!({"metadata": {"ownerReferences": owners}});
    patch(snapshot, Part::Object, body)
}

/// All of our finalizers at once; others' stay.
fn release(snapshot: &Snapshot) -> Write {
    let rest = snapshot.meta.without_finalizers(&[
        keys::FINALIZER_SNAPSHOT_AS_SOURCE,
        keys::FINALIZER_SNAPSHOT_BOUND,
        keys::FINALIZER_SNAPSHOT_IN_GROUP,
    ]);
    Write::finalizers(Kind::Snapshot, &snapshot.meta, &rest)
}
