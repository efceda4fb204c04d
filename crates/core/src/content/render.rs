//! Turns a step and what was seen into the exact write, and class parameters into those of a call.
//!
//! Does not decide and does not send.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tintype_api::{Reason, keys};

use super::Step;
use super::facts::{Origin, Sighting};
use super::memory::{Outcome, Reply};
use super::refusal::making;
use crate::object::{Class, Content};
use crate::secret::{self, Secret};
use crate::write::{Kind, Part, Write};
use crate::{Seen, Stamp, pair};

const KIND: Kind = Kind::Content;

/// The write a step comes to; none for a call to the driver, or if the content is not there.
pub fn render(step: Step, seen: &Sighting, now: Stamp) -> Option<Write> {
    let content: &Content = seen.content.present()?;
    let mark = |value| Write::annotate(KIND, &content.meta, keys::ANNOTATION_BEING_CREATED, value);
    match step {
        Step::MarkCreating => Some(mark("yes".into())),
        Step::ClearMark => Some(mark(Value::Null)),
        Step::RecordStatus => Some(record(content, seen.memory.reply.as_deref()?)),
        Step::RecordFailure => complain(content, seen, now),
        Step::Release => {
            let rest = content.meta.without_finalizers(&[keys::FINALIZER_CONTENT]);
            Some(Write::finalizers(KIND, &content.meta, &rest))
        }
        Step::CreateOnStorage | Step::AskStatus | Step::DeleteOnStorage => None,
    }
}

/// The CSI name of a content's snapshot (spec sidecar 3.5); without `length` the uid stays whole.
pub fn snapshot_name(prefix: &str, content: &Content, length: Option<usize>) -> String {
    tintype_api::names::csi_name(prefix, &content.snapshot.uid.to_string(), length)
}

/// Class parameters as the driver gets them; `Err` says that the class has a reserved key nobody
/// knows.
pub fn create_parameters(class: &Class) -> Result<BTreeMap<String, String>, String> {
    let mut parameters = BTreeMap::new();
    for (key, value) in &class.parameters {
        if !key.starts_with(keys::PARAMETER_PREFIX) {
            parameters.insert(key.clone(), value.clone());
        } else if !keys::PARAMETERS.contains(&key.as_str()) {
            return Err(format!(
                "has parameter \"{key}\", whose prefix {} is reserved; remove it from the class",
                keys::PARAMETER_PREFIX
            ));
        }
    }
    Ok(parameters)
}

/// The Secret to list snapshots with (spec sidecar 3.6); `Err` says what is wrong with the class.
pub fn list_secret(class: &Class, content: &Content) -> Result<Option<Secret>, String> {
    let tokens = [("volumesnapshotcontent.name", &*content.meta.key.name)];
    secret::resolve(
        &class.parameters,
        keys::PARAMETER_LIST_SECRET_NAME,
        keys::PARAMETER_LIST_SECRET_NAMESPACE,
        &secret::Tokens {
            in_namespace: &tokens,
            in_name: &tokens,
        },
    )
    .map_err(|why| {
        let class = &class.meta.key.name;
        format!("the secret named by VolumeSnapshotClass \"{class}\" cannot be told: {why}")
    })
}

/// Spec sidecar 3.8: what is set stays, readiness follows the driver.
fn record(content: &Content, reply: &Reply) -> Write {
    let old = content.status.clone().unwrap_or_default();
    let mut status = Map::new();
    status.insert("readyToUse".to_owned(), reply.ready.into());
    if old.handle.is_none() {
        status.insert("snapshotHandle".to_owned(), reply.handle.as_ref().into());
    }
    if let (None, Some(time)) = (old.creation_time, reply.creation_time) {
        status.insert("creationTime".to_owned(), time.into());
    }
    if old.restore_size.is_none() && reply.size > 0 {
        status.insert("restoreSize".to_owned(), reply.size.into());
    }
    if let (None, Some(group)) = (&old.group_handle, &reply.group) {
        status.insert(
            "volumeGroupSnapshotHandle".to_owned(),
            group.as_ref().into(),
        );
    }
    if old.error.is_some() {
        status.insert("error".to_owned(), Value::Null);
    }
    let body = json!({ "status": status });
    Write::patch(KIND, &content.meta, Part::Status, body)
}

fn complain(content: &Content, seen: &Sighting, now: Stamp) -> Option<Write> {
    let unclear = matches!(seen.facts().content, Seen::Present(it) if it.origin == Origin::Unclear);
    let reason = if unclear {
        Reason::ContentValidationError
    } else if seen.memory.outcome == Outcome::DeleteFailed {
        Reason::SnapshotDeleteError
    } else {
        making(content)
    };
    let unreadies = !content.meta.deleting;
    let about = (KIND, &content.meta);
    Some(pair::complain(
        about,
        (reason, seen.trouble()?),
        unreadies,
        now,
    ))
}
