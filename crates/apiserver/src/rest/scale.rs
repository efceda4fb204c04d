//! Serves the scale subresource: replicas read from and written to where the kind keeps them.
//!
//! Does not scale anything.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::apply::{self, Applied};
use super::query::WriteOptions;
use super::strategy::Part;
use super::update::Wanted;
use super::{Call, Reply, now};
use crate::fields::{Changes, FieldSet, Managers, Operation};
use crate::registry::ScalePaths;
use crate::schema::error::FieldError;
use crate::status::{About, Failure};

const KIND: &str = "Scale";
const VERSION: &str = "autoscaling/v1";
/// Where a Scale has its replicas.
const REPLICAS: [&str; 2] = ["f:spec", "f:replicas"];

impl Call<'_> {
    pub(super) async fn get_scale(&self) -> Result<Reply, Failure> {
        let stored = self.stored(&self.key())?;
        self.prepare([&stored]).await?;
        let object = self.converter.value(&stored);
        Ok(Reply::json(StatusCode::OK, &self.scale_of(&object)))
    }

    /// Writes the replicas of the Scale that `wanted` makes of the one now.
    pub(super) async fn write_scale(
        &self,
        options: &WriteOptions,
        wanted: impl Fn(&Value) -> Result<Value, Failure>,
    ) -> Result<Reply, Failure> {
        let paths = self.paths();
        let shown = Mutex::new(json!(null));
        self.write(Part::Main, options, |current| {
            let mut scale = wanted(&self.scale_of(current))?;
            self.check_scale(&mut scale)?;
            let replicas = self.replicas(&scale)?;
            let mut object = current.clone();
            set(&mut object, &paths.spec_replicas, json!(replicas));
            if let Some(version) = scale.pointer("/metadata/resourceVersion") {
                object["metadata"]["resourceVersion"] = version.clone();
            }
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = self.scale_of(&object);
            Ok(Wanted {
                object,
                warnings: Vec::new(),
            })
        })
        .await?;
        if options.dry_run {
            let shown = shown.into_inner().unwrap_or_else(PoisonError::into_inner);
            return Ok(Reply::json(StatusCode::OK, &shown));
        }
        self.get_scale().await
    }

    /// Applies a Scale: its manager owns the replicas, or no longer does.
    pub(super) async fn apply_scale(&self, bytes: &Bytes) -> Result<Reply, Failure> {
        let mut applied = self.read_applied(bytes)?;
        self.check_scale(&mut applied.config)?;
        self.check_declared(&applied.config)?;
        let replicas = match applied.config["spec"]["replicas"] {
            Value::Null => None,
            _ => Some(self.replicas(&applied.config)?),
        };
        for _ in 0..apply::TRIES {
            match self.apply_scale_once(&applied, replicas).await {
                Ok(Some(reply)) => return Ok(reply.with_warnings(applied.warnings)),
                Ok(None) => {}
                Err(failure) => return Err(failure.with_warnings(applied.warnings)),
            }
        }
        Err(Failure::modified(&self.target.about(&self.info.name)))
    }

    async fn apply_scale_once(
        &self,
        applied: &Applied,
        replicas: Option<i64>,
    ) -> Result<Option<Reply>, Failure> {
        let stored = self.stored(&self.key())?;
        self.prepare([&stored]).await?;
        let old = self.converter.value(&stored);
        let path = self.paths().spec_replicas;
        let steps = steps(&path);
        let manager = self.manager(Operation::Apply);
        let before = Managers::decode(&old["metadata"]["managedFields"]);
        let mut after = before.clone();
        let mut ours = FieldSet::default();
        let mut new = old.clone();
        let mut changes = Changes::default();
        match replicas {
            Some(replicas) => {
                ours.insert(&steps);
                set(&mut new, &path, json!(replicas));
            }
            // Nobody wants any replicas any more; a Scale without them asks for none.
            None if before.owned_by_none_but(&manager, &steps) => set(&mut new, &path, json!(0)),
            None => {}
        }
        if get(&new, &path) != get(&old, &path) {
            changes.set.insert(&steps);
            let conflicts = before.seen_as(&steps, &REPLICAS.map(str::to_owned), VERSION);
            let mut contested = FieldSet::default();
            contested.insert(&REPLICAS.map(str::to_owned));
            let conflicts = conflicts.conflicts(&manager, &contested);
            if !conflicts.is_empty() && !self.query.flag("force") {
                return Err(apply::conflict(&conflicts));
            }
        }
        after.set(&manager, ours, &now());
        after.yield_to(&manager, &changes);
        if after.same_but_for_times(&before) {
            after = before;
        }
        if let Some(version) = applied.config.pointer("/metadata/resourceVersion") {
            new["metadata"]["resourceVersion"] = version.clone();
        }
        let shown = self.scale_of(&new);
        let written = self
            .write_once(
                Part::Main,
                &applied.options,
                &stored,
                &old,
                new,
                Some(&after),
            )
            .await?;
        Ok(match written {
            None => None,
            Some(_) if applied.options.dry_run => Some(Reply::json(StatusCode::OK, &shown)),
            Some(_) => Some(self.get_scale().await?),
        })
    }

    /// Whether it is the Scale of the object that the path names. What it leaves out is added.
    fn check_scale(&self, scale: &mut Value) -> Result<(), Failure> {
        if !scale.is_object() {
            let why = format!("the object provided is no Scale but {scale}");
            return Err(Failure::bad_request(why));
        }
        for (field, wanted) in [("kind", KIND), ("apiVersion", VERSION)] {
            let given = scale[field].as_str().unwrap_or_default();
            if given.is_empty() {
                scale[field] = json!(wanted);
            } else if given != wanted {
                return Err(Failure::bad_request(format!(
                    "{field} is {given:?}, the scale of an object is written as {KIND} of {VERSION}"
                )));
            }
        }
        self.locate(scale)
    }

    /// Whether an applied Scale has only fields of a Scale.
    fn check_declared(&self, scale: &Value) -> Result<(), Failure> {
        let known = |at: &str, known: &[&str]| {
            let fields = scale.pointer(at).and_then(Value::as_object);
            let mut names = fields.into_iter().flatten().map(|(name, _)| name.as_str());
            let unknown = names.find(|name| !known.contains(name))?;
            Some(format!("{}.{unknown}", at.replace('/', ".")))
        };
        let unknown = known("", &["apiVersion", "kind", "metadata", "spec", "status"])
            .or_else(|| known("/spec", &["replicas"]))
            .or_else(|| known("/status", &["replicas", "selector"]));
        let Some(path) = unknown else { return Ok(()) };
        let about = format!(
            "{}/{}; {VERSION}, Kind={KIND}",
            self.info.namespace, self.info.name
        );
        let message = format!(
            "failed to create typed patch object ({about}): {path}: field not declared in schema"
        );
        Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message))
    }

    fn replicas(&self, scale: &Value) -> Result<i64, Failure> {
        let given = &scale["spec"]["replicas"];
        match given.as_i64() {
            Some(replicas) if replicas >= 0 => Ok(replicas),
            None if given.is_null() => Ok(0),
            _ => {
                let why = "must be a whole number, greater than or equal to 0";
                let error = FieldError::invalid("spec.replicas", given, why);
                let about = About {
                    group: "autoscaling".into(),
                    kind: KIND.into(),
                    name: self.info.name.clone(),
                };
                Err(Failure::invalid(&about, &[error]))
            }
        }
    }

    fn paths(&self) -> ScalePaths {
        self.target
            .version
            .scale
            .clone()
            .unwrap_or_else(|| ScalePaths {
                spec_replicas: ".spec.replicas".into(),
                status_replicas: ".status.replicas".into(),
                label_selector: String::new(),
            })
    }

    pub(super) fn scale_of(&self, object: &Value) -> Value {
        let paths = self.paths();
        let metadata = &object["metadata"];
        let number = |path: &str| get(object, path).and_then(Value::as_i64).unwrap_or(0);
        let mut scale = json!({
            "kind": KIND,
            "apiVersion": VERSION,
            "metadata": {},
            "spec": {"replicas": number(&paths.spec_replicas)},
            "status": {"replicas": number(&paths.status_replicas)},
        });
        for field in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "creationTimestamp",
        ] {
            if let Some(value) = metadata.get(field) {
                scale["metadata"][field] = value.clone();
            }
        }
        if let Some(selector) = get(object, &paths.label_selector).and_then(Value::as_str) {
            scale["status"]["selector"] = json!(selector);
        }
        scale
    }
}

/// Looks up a simple JSON path such as `.spec.replicas`.
fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return None;
    }
    path.trim_start_matches('.')
        .split('.')
        .try_fold(object, |at, name| at.get(name))
}

/// The same path as owners have it.
fn steps(path: &str) -> Vec<String> {
    path.trim_start_matches('.')
        .split('.')
        .map(|name| format!("f:{name}"))
        .collect()
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for name in path.trim_start_matches('.').split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[name];
    }
    *at = value;
}
