//! Turns a step and what was seen into the exact write.
//!
//! Does not decide and does not send.

use serde_json::{Map, Value, json};
use tintype_api::{Reason, keys};

use super::facts::{Origin, Sighting};
use super::{Step, memory::Memory};
use crate::content::Outcome;
use crate::object::{GroupContent, MemberInfo};
use crate::write::{Event, Kind, Part, Verb, Write};
use crate::{Seen, Stamp};

/// The write a step comes to; none for a call to the driver, or if the group content is not there.
pub fn render(step: Step, seen: &Sighting, now: Stamp) -> Option<Write> {
    let content: &GroupContent = seen.content.present()?;
    match step {
        Step::MarkCreating => Some(mark(content, "yes".into())),
        Step::ClearMark => Some(mark(content, Value::Null)),
        Step::RecordStatus => record(content, seen, now),
        Step::RestoreList => Some(patch(
            content,
            Part::Status,
            json!({"status": {"volumeSnapshotInfoList": list(&seen.found())}}),
        )),
        Step::RecordFailure => complain(content, seen, now),
        Step::Release => Some(release(content)),
        Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage => None,
    }
}

/// The CSI name of a group content's group snapshot; without `length` the uid stays whole.
pub fn group_snapshot_name(prefix: &str, content: &GroupContent, length: Option<usize>) -> String {
    tintype_api::names::csi_name(prefix, &content.group.uid.to_string(), length)
}

fn patch(content: &GroupContent, part: Part, mut body: Value) -> Write {
    body["metadata"]["resourceVersion"] = content.meta.version.to_string().into();
    Write {
        kind: Kind::GroupContent,
        key: content.meta.key.clone(),
        verb: Verb::Patch { part, body },
        event: None,
    }
}

fn mark(content: &GroupContent, value: Value) -> Write {
    let mut annotations = Map::new();
    annotations.insert(keys::ANNOTATION_GROUP_BEING_CREATED.to_owned(), value);
    patch(
        content,
        Part::Object,
        json!({"metadata": {"annotations": annotations}}),
    )
}

/// As `volumeSnapshotInfoList` has it; what is not known is left out.
fn list(members: &[MemberInfo]) -> Value {
    members
        .iter()
        .map(|it| {
            let mut entry = json!({"volumeHandle": it.volume, "snapshotHandle": it.handle});
            if let Some(time) = it.creation_time {
                entry["creationTime"] = time.into();
            }
            if let Some(ready) = it.ready {
                entry["readyToUse"] = ready.into();
            }
            if let Some(size) = it.restore_size {
                entry["restoreSize"] = size.into();
            }
            entry
        })
        .collect()
}

/// Spec group 4.9: what is set stays, readiness follows the driver; an answer that does not fit is
/// written down with what is wrong with it.
fn record(content: &GroupContent, seen: &Sighting, now: Stamp) -> Option<Write> {
    let memory: &Memory = &seen.memory;
    let reply = memory.calls.reply.as_deref()?;
    let old = content.status.clone().unwrap_or_default();
    let mut status = Map::new();
    status.insert("readyToUse".to_owned(), reply.ready.into());
    if old.handle.is_none() {
        status.insert(
            "volumeGroupSnapshotHandle".to_owned(),
            reply.handle.as_ref().into(),
        );
    }
    if let (None, Some(nanos)) = (&old.creation_time, reply.creation_time) {
        let cut = Stamp(nanos.div_euclid(1_000_000_000)).rfc3339();
        status.insert("creationTime".to_owned(), cut.into());
    }
    if let Some(members) = memory.list_for(content) {
        status.insert("volumeSnapshotInfoList".to_owned(), list(&members));
    }
    let wrong = memory.calls.failure_text();
    if let Some(text) = &wrong {
        let error = json!({"time": now.rfc3339(), "message": text});
        status.insert("error".to_owned(), error);
    } else if old.error.is_some() {
        status.insert("error".to_owned(), Value::Null);
    }
    let mut write = patch(content, Part::Status, json!({ "status": status }));
    let said = content.error().map(|it| it.message.as_ref());
    write.event = wrong
        .filter(|it| said != Some(it))
        .map(|text| warning(content, seen, text));
    Some(write)
}

fn complain(content: &GroupContent, seen: &Sighting, now: Stamp) -> Option<Write> {
    let text = seen.trouble()?;
    let mut status = json!({"error": {"time": now.rfc3339(), "message": text}});
    if !content.meta.deleting && !content.ready() {
        status["readyToUse"] = false.into();
    }
    let mut write = patch(content, Part::Status, json!({ "status": status }));
    write.event = Some(warning(content, seen, text));
    Some(write)
}

fn warning(content: &GroupContent, seen: &Sighting, message: String) -> Event {
    let unclear = matches!(seen.facts().content, Seen::Present(it) if it.origin == Origin::Unclear);
    let reason = if unclear {
        Reason::GroupContentValidationError
    } else if seen.memory.calls.outcome == Outcome::DeleteFailed {
        Reason::GroupSnapshotDeleteError
    } else if content.status.is_none() {
        Reason::GroupSnapshotCreationFailed
    } else {
        Reason::GroupSnapshotContentCheckandUpdateFailed
    };
    Event {
        about: Kind::GroupContent,
        key: content.meta.key.clone(),
        uid: content.meta.uid.clone(),
        version: content.meta.version.clone(),
        warning: true,
        reason,
        message,
    }
}

fn release(content: &GroupContent) -> Write {
    let rest: Vec<_> = content
        .meta
        .finalizers
        .iter()
        .filter(|it| **it != keys::FINALIZER_GROUP_CONTENT)
        .collect();
    patch(
        content,
        Part::Object,
        json!({"metadata": {"finalizers": rest}}),
    )
}
