//! Deletes objects: at once if nothing holds them, else by marking them.
//!
//! Does not collect dependents: a controller does, led by the finalizers set here.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::query::{parse_dry_run, refuse};
use super::selection::Selection;
use super::shape::metadata_mut;
use super::{Call, Reply, body, list, now, present, strategy};
use crate::registry::Target;
use crate::schema::error::FieldError;
use crate::status::{self, Failure};
use crate::store::{Expect, Object, Write, WriteError};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const TRIES: usize = 100;
/// Built-in kinds that answer a delete with the object, not with a Status.
const ANSWERS_OBJECT: [&str; 13] = [
    "Pod",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ServiceAccount",
    "Service",
    "ResourceQuota",
    "StorageClass",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "VolumeAttachment",
    "VolumeAttributesClass",
    "Namespace",
];

/// DeleteOptions, from the body or the query.
#[derive(Debug, Default, Clone)]
pub(super) struct Options {
    dry_run: bool,
    uid: Option<String>,
    resource_version: Option<String>,
    grace: Option<i64>,
    finalizer: Finalizer,
    /// As it is told to whoever admits the deletion.
    document: Value,
}

impl Options {
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

/// What `propagationPolicy` does to the finalizers of the garbage collector.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Finalizer {
    #[default]
    Keep,
    Background,
    Foreground,
    Orphan,
}

/// What a delete came to.
pub(super) enum Outcome {
    Gone(Value),
    Held(Value),
}

/// Whether a deleted object may go: no finalizer and no time left to wait.
pub(super) fn released(target: &Target, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let empty = |list: Option<&Value>| list.and_then(Value::as_array).is_none_or(Vec::is_empty);
    metadata.get("deletionTimestamp").is_some()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && empty(metadata.get("finalizers"))
        && (!target.is("", "namespaces") || empty(object.pointer("/spec/finalizers")))
}

impl Call<'_> {
    pub(super) async fn delete(&self, bytes: Bytes) -> Result<Reply, Failure> {
        let options = self.delete_options(&bytes)?;
        let (held, object) = match self.delete_key(&self.key(), &options).await? {
            Outcome::Gone(object) => (false, object),
            Outcome::Held(object) => (true, object),
        };
        let kind = self.target.resource.kind.as_str();
        if held || !self.target.custom() && ANSWERS_OBJECT.contains(&kind) {
            return present::value(self, StatusCode::OK, &object);
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        let about = self.target.about(&self.info.name);
        Ok(Reply::json(StatusCode::OK, &status::deleted(&about, uid)))
    }

    pub(super) async fn delete_collection(&self, bytes: Bytes) -> Result<Reply, Failure> {
        let options = self.delete_options(&bytes)?;
        let selection = Selection::parse(self)?;
        let listing = self.api.store.list(self.bucket(), &self.prefix());
        if selection.looks_inside() {
            self.prepare(&listing.objects).await?;
        }
        let mut items = Vec::new();
        for object in listing
            .objects
            .iter()
            .filter(|object| selection.matches(object))
        {
            match self.delete_key(&object.key, &options).await {
                Ok(Outcome::Gone(object) | Outcome::Held(object)) => items.push(object),
                // Somebody else was quicker.
                Err(failure) if failure.code == StatusCode::NOT_FOUND => {}
                Err(failure) => return Err(failure),
            }
        }
        let list = list::list_value(self, listing.rv, &items);
        Ok(Reply::json(StatusCode::OK, &list))
    }

    fn delete_options(&self, bytes: &[u8]) -> Result<Options, Failure> {
        let body = match bytes {
            [] => Value::Null,
            bytes => body::decode(self.headers, bytes, "DeleteOptions")?.value,
        };
        self.delete_options_of(&body)
    }

    /// Reads DeleteOptions, null if there are none, and what the query says.
    pub(super) fn delete_options_of(&self, body: &Value) -> Result<Options, Failure> {
        let query = |name: &str| self.query.get(name).map(str::to_owned);
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let mut errors = Vec::new();
        let mut dry_runs: Vec<&str> = self.query.all("dryRun").collect();
        let in_body = body["dryRun"].as_array().into_iter().flatten();
        dry_runs.extend(in_body.filter_map(Value::as_str));
        let dry_run = parse_dry_run(&dry_runs, &mut errors);
        let policy = text("/propagationPolicy").or_else(|| query("propagationPolicy"));
        let orphan = body["orphanDependents"]
            .as_bool()
            .or_else(|| query("orphanDependents").map(|_| self.query.flag("orphanDependents")));
        let finalizer = match (policy.as_deref(), orphan) {
            (Some("Background"), _) | (None, Some(false)) => Finalizer::Background,
            (Some("Foreground"), _) => Finalizer::Foreground,
            (Some("Orphan"), _) | (None, Some(true)) => Finalizer::Orphan,
            (None, None) => Finalizer::Keep,
            (Some(other), _) => {
                let known = ["Foreground", "Background", "Orphan", "nil"].map(str::to_owned);
                errors.push(FieldError::not_supported(
                    "propagationPolicy",
                    &json!(other),
                    &known,
                ));
                Finalizer::Keep
            }
        };
        refuse("DeleteOptions", &errors)?;
        let grace = body["gracePeriodSeconds"].as_i64();
        let grace = match grace {
            Some(grace) => Some(grace),
            None => self
                .query
                .number("gracePeriodSeconds")?
                .and_then(|n| i64::try_from(n).ok()),
        };
        Ok(Options {
            document: document(body, policy.as_deref(), grace, dry_run),
            dry_run,
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            grace,
            finalizer,
        })
    }

    async fn delete_key(&self, key: &str, options: &Options) -> Result<Outcome, Failure> {
        let outcome = self.delete_quietly(key, options).await?;
        self.after_write(key.rsplit('/').next().unwrap_or(key))
            .await;
        Ok(outcome)
    }

    /// Deletes without what follows from it.
    pub(super) async fn delete_quietly(
        &self,
        key: &str,
        options: &Options,
    ) -> Result<Outcome, Failure> {
        let name = key.rsplit('/').next().unwrap_or(key);
        for _ in 0..TRIES {
            let found = self.api.store.get(self.bucket(), key);
            let stored = found.ok_or_else(|| Failure::not_found(&self.target.about(name)))?;
            self.prepare([&stored]).await?;
            let old = self.converter.value(&stored);
            self.check_delete(name, &stored, &old, options)?;
            Box::pin(self.admit_deletion(&old, &options.document, options.dry_run)).await?;
            let mut new = old.clone();
            self.mark(&mut new, options);
            let gone = released(self.target, &new);
            if options.dry_run {
                return Ok(if gone {
                    Outcome::Gone(old)
                } else {
                    Outcome::Held(new)
                });
            }
            let draft = self.converter.draft(&self.api.store, &new).await?;
            if !gone && draft.same_as(&stored) {
                return Ok(Outcome::Held(old));
            }
            let write = Write {
                resource: self.bucket().clone(),
                key: stored.key.clone(),
                expect: Expect::Unchanged(stored.rv),
                draft: (!gone).then_some(draft),
            };
            match self.api.store.commit(write).await {
                Ok(written) => {
                    self.prepare([&written]).await?;
                    let value = self.converter.value(&written);
                    return Ok(if gone {
                        Outcome::Gone(value)
                    } else {
                        Outcome::Held(value)
                    });
                }
                Err(error @ WriteError::Disk(_)) => return Err(Failure::internal(error)),
                Err(WriteError::Changed | WriteError::Missing | WriteError::Exists) => {}
            }
        }
        Err(Failure::modified(&self.target.about(name)))
    }

    fn check_delete(
        &self,
        name: &str,
        stored: &Object,
        old: &Value,
        options: &Options,
    ) -> Result<(), Failure> {
        let about = self.target.about_kind(name);
        let uid = old["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(asked) = options.uid.as_deref().filter(|asked| *asked != uid) {
            let why = format!(
                "the UID in the precondition ({asked}) does not match the UID in record ({uid}). \
                 The object might have been deleted and then recreated"
            );
            return Err(Failure::conflict(&about, &why));
        }
        let version = stored.rv.to_string();
        if let Some(asked) = options
            .resource_version
            .as_deref()
            .filter(|asked| *asked != version)
        {
            let why = format!(
                "the ResourceVersion in the precondition ({asked}) does not match the \
                 ResourceVersion in record ({version}). The object might have been modified"
            );
            return Err(Failure::conflict(&about, &why));
        }
        if self.target.is("", "namespaces")
            && matches!(name, "default" | "kube-system" | "kube-public")
        {
            let message =
                format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
            return Err(Failure::forbidden(&self.target.about(name), message));
        }
        Ok(())
    }

    /// Writes into the object that it is being deleted.
    fn mark(&self, object: &mut Value, options: &Options) {
        let first = object["metadata"].get("deletionTimestamp").is_none();
        let grace = self.grace(object, options);
        set_finalizers(object, options.finalizer);
        let metadata = metadata_mut(object);
        if first {
            metadata.insert("deletionTimestamp".into(), json!(deletion_time(grace)));
            metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
            strategy::raise_generation(object);
        } else {
            let before = metadata
                .get("deletionGracePeriodSeconds")
                .and_then(Value::as_i64);
            // A second delete can only shorten the wait.
            if grace < before.unwrap_or(0) {
                metadata.insert("deletionGracePeriodSeconds".into(), json!(grace));
            }
        }
        if self.target.is("", "namespaces") {
            object["status"]["phase"] = json!("Terminating");
        }
    }

    /// Only pods that run somewhere are given time.
    fn grace(&self, object: &Value, options: &Options) -> i64 {
        if !self.target.is("", "pods") {
            return 0;
        }
        let phase = object
            .pointer("/status/phase")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let node = object
            .pointer("/spec/nodeName")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if node.is_empty() || matches!(phase, "Succeeded" | "Failed") {
            return 0;
        }
        let own = object
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64);
        options.grace.or(own).unwrap_or(30).max(0)
    }
}

/// DeleteOptions, wherever each part came from.
fn document(body: &Value, policy: Option<&str>, grace: Option<i64>, dry_run: bool) -> Value {
    let mut options = json!({});
    for field in ["orphanDependents", "preconditions"] {
        if !body[field].is_null() {
            options[field] = body[field].clone();
        }
    }
    options["kind"] = json!("DeleteOptions");
    options["apiVersion"] = json!("meta.k8s.io/v1");
    if let Some(policy) = policy {
        options["propagationPolicy"] = json!(policy);
    }
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = json!(grace);
    }
    if dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

fn deletion_time(grace: i64) -> String {
    if grace == 0 {
        return now();
    }
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
    end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn set_finalizers(object: &mut Value, wanted: Finalizer) {
    let add = match wanted {
        Finalizer::Keep => return,
        Finalizer::Background => None,
        Finalizer::Foreground => Some(FOREGROUND),
        Finalizer::Orphan => Some(ORPHAN),
    };
    let metadata = metadata_mut(object);
    let mut finalizers: Vec<String> = metadata
        .get("finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|finalizer| finalizer.as_str().map(str::to_owned))
        .filter(|finalizer| !matches!(finalizer.as_str(), ORPHAN | FOREGROUND))
        .collect();
    finalizers.extend(add.map(str::to_owned));
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), json!(finalizers));
    }
}
