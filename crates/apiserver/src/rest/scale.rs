//! Serves the scale subresource: replicas read from and written to where the kind keeps them.
//!
//! Does not scale anything.

use http::StatusCode;
use serde_json::{Value, json};

use super::query::WriteOptions;
use super::strategy::Part;
use super::update::Wanted;
use super::{Call, Reply};
use crate::registry::ScalePaths;
use crate::schema::error::FieldError;
use crate::status::{About, Failure};

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
        let written = self
            .write(Part::Main, options, |current| {
                let scale = wanted(&self.scale_of(current))?;
                let replicas = self.replicas(&scale)?;
                let mut object = current.clone();
                set(&mut object, &paths.spec_replicas, json!(replicas));
                if let Some(version) = scale.pointer("/metadata/resourceVersion") {
                    object["metadata"]["resourceVersion"] = version.clone();
                }
                Ok(Wanted {
                    object,
                    warnings: Vec::new(),
                })
            })
            .await?;
        if options.dry_run {
            return Ok(written);
        }
        self.get_scale().await
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
                    kind: "Scale".into(),
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

    fn scale_of(&self, object: &Value) -> Value {
        let paths = self.paths();
        let metadata = &object["metadata"];
        let number = |path: &str| get(object, path).and_then(Value::as_i64).unwrap_or(0);
        let mut scale = json!({
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
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
