//! Turns a step and what was seen into the exact write.
//!
//! Does not decide and does not send.

use serde_json::{Map, Value, json};
use tintype_api::{Reason, keys};

use super::facts::Sighting;
use super::{Step, memory::Memory};
use crate::content::{self, Origin, Outcome};
use crate::object::{Class, GroupContent, GroupContentSource, MemberInfo, SecretRef};
use crate::write::{Event, Kind, Part, Write};
use crate::{Seen, Stamp, pair, secret};

const KIND: Kind = Kind::GroupContent;

/// The write a step comes to; none for a call to the driver, or if the group content is not there.
pub fn render(step: Step, seen: &Sighting, now: Stamp) -> Option<Write> {
    let content: &GroupContent = seen.content.present()?;
    let Step::Common(step) = step else {
        let body = json!({"status": {"volumeSnapshotInfoList": list(&seen.found())}});
        return Some(Write::patch(KIND, &content.meta, Part::Status, body));
    };
    let mark = |value| {
        let annotation = keys::ANNOTATION_GROUP_BEING_CREATED;
        Write::annotate(KIND, &content.meta, annotation, value)
    };
    match step {
        content::Step::MarkCreating => Some(mark("yes".into())),
        content::Step::ClearMark => Some(mark(Value::Null)),
        content::Step::RecordStatus => record(content, seen, now),
        content::Step::RecordFailure => complain(content, seen, now),
        content::Step::Release => {
            let ours = [keys::FINALIZER_GROUP_CONTENT];
            let rest = content.meta.without_finalizers(&ours);
            Some(Write::finalizers(KIND, &content.meta, &rest))
        }
        content::Step::CreateOnStorage
        | content::Step::AskStatus
        | content::Step::DeleteOnStorage => None,
    }
}

/// The CSI name of a group content's group snapshot; without `length` the uid stays whole.
pub fn group_snapshot_name(prefix: &str, content: &GroupContent, length: Option<usize>) -> String {
    tintype_api::names::csi_name(prefix, &content.group.uid.to_string(), length)
}

/// The Secret to ask about a group snapshot with: that of the class if it was there first (spec group
/// 4.9), else the one it was cut with. `Err` says what is wrong with the class.
pub fn get_secret(class: &Class, content: &GroupContent) -> Result<Option<SecretRef>, String> {
    if !matches!(content.source, GroupContentSource::Existing { .. }) {
        return Ok(content.secret.as_deref().cloned());
    }
    let tokens = [("volumegroupsnapshotcontent.name", &*content.meta.key.name)];
    let found = secret::resolve(
        &class.parameters,
        keys::PARAMETER_GROUP_GET_SECRET_NAME,
        keys::PARAMETER_GROUP_GET_SECRET_NAMESPACE,
        &secret::Tokens {
            in_namespace: &tokens,
            in_name: &tokens,
        },
    );
    found.map(|it| it.map(SecretRef::from)).map_err(|why| {
        let class = &class.meta.key.name;
        format!("the secret named by VolumeGroupSnapshotClass \"{class}\" cannot be told: {why}")
    })
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
    let body = json!({ "status": status });
    let mut write = Write::patch(KIND, &content.meta, Part::Status, body);
    let said = content.error().map(|it| it.message.as_ref());
    write.event = wrong
        .filter(|it| said != Some(it))
        .map(|text| Event::warning(KIND, &content.meta, reason(content, seen), text));
    Some(write)
}

fn complain(content: &GroupContent, seen: &Sighting, now: Stamp) -> Option<Write> {
    let unreadies = !content.meta.deleting && !content.ready();
    let told = (reason(content, seen), seen.trouble()?);
    Some(pair::complain((KIND, &content.meta), told, unreadies, now))
}

fn reason(content: &GroupContent, seen: &Sighting) -> Reason {
    let facts = seen.facts().common.content;
    if matches!(facts, Seen::Present(it) if it.origin == Origin::Unclear) {
        Reason::GroupContentValidationError
    } else if seen.memory.calls.outcome == Outcome::DeleteFailed {
        Reason::GroupSnapshotDeleteError
    } else if content.status.is_none() {
        Reason::GroupSnapshotCreationFailed
    } else {
        Reason::GroupSnapshotContentCheckandUpdateFailed
    }
}
