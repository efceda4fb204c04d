//! Puts objects into the form a client accepts: as they are, as a Table, or their metadata.
//!
//! Does not choose columns.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::accept::{Form, negotiate};
use super::form::{Converter, list_json, metadata_only};
use super::{Call, Reply};
use crate::registry::Target;
use crate::status::Failure;
use crate::store::Object;
use crate::table::{Include, TableOf, table};

const OFFERED: [Form; 3] = [Form::Plain, Form::Table, Form::Metadata];

/// How one client wants to see objects of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Rendering {
    form: Form,
    target: Target,
    converter: Converter,
    include: Include,
}

impl Rendering {
    pub(crate) fn new(call: &Call<'_>) -> Result<Self, Failure> {
        Ok(Self {
            form: negotiate(call.headers, &OFFERED)?,
            target: call.target.clone(),
            converter: call.converter.clone(),
            include: include(call)?,
        })
    }

    /// One stored object.
    pub(crate) fn item(&self, object: &Object) -> Bytes {
        match self.form {
            Form::Plain | Form::GroupDiscovery => self.converter.json(object),
            Form::Table | Form::Metadata => {
                self.value(&self.converter.value(object)).to_string().into()
            }
        }
    }

    /// One object that is not stored like this.
    fn value(&self, value: &Value) -> Value {
        match self.form {
            Form::Plain | Form::GroupDiscovery => value.clone(),
            Form::Table => {
                let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                self.table(&[value], &metadata)
            }
            Form::Metadata => metadata_only(value),
        }
    }

    /// An empty object that only carries a resourceVersion.
    pub(crate) fn bookmark(&self, rv: u64) -> Value {
        let metadata = json!({"resourceVersion": rv.to_string(), "creationTimestamp": null});
        match self.form {
            Form::Plain | Form::GroupDiscovery => json!({"kind": self.target.resource.kind,
                "apiVersion": self.target.api_version(), "metadata": metadata}),
            Form::Metadata => json!({"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            Form::Table => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata, "columnDefinitions": null, "rows": []}),
        }
    }

    fn table(&self, objects: &[&Value], list_metadata: &Value) -> Value {
        let of = match self.target.resource.builtin {
            Some(builtin) => TableOf::Builtin(builtin),
            None => TableOf::Custom(
                self.target
                    .version
                    .columns
                    .as_array()
                    .map_or(&[], Vec::as_slice),
            ),
        };
        table(
            of,
            objects,
            self.include,
            list_metadata,
            jiff::Timestamp::now(),
        )
    }
}

/// How much of an object each row of a Table carries: `includeObject`.
fn include(call: &Call<'_>) -> Result<Include, Failure> {
    match call.query.text("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        "None" => Ok(Include::None),
        other => Err(Failure::bad_request(format!(
            "the query parameter includeObject is {other:?}, it must be None, Metadata or Object"
        ))),
    }
}

/// Answers with one stored object.
pub(super) fn object(call: &Call<'_>, code: StatusCode, object: &Object) -> Result<Reply, Failure> {
    Ok(Reply::raw(code, Rendering::new(call)?.item(object)))
}

/// Answers with one object that is not stored like this: a dry run, or the last state of a
/// deleted one.
pub(super) fn value(call: &Call<'_>, code: StatusCode, value: &Value) -> Result<Reply, Failure> {
    Ok(Reply::json(code, &Rendering::new(call)?.value(value)))
}

pub(super) fn list(
    call: &Call<'_>,
    metadata: &Value,
    objects: &[Arc<Object>],
) -> Result<Reply, Failure> {
    let rendering = Rendering::new(call)?;
    let values = || objects.iter().map(|object| call.converter.value(object));
    let json = match rendering.form {
        Form::Table => {
            let values: Vec<Value> = values().collect();
            let values: Vec<&Value> = values.iter().collect();
            rendering.table(&values, metadata).to_string().into()
        }
        Form::Metadata => {
            let items: Vec<Value> = values().map(|value| metadata_only(&value)).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata, "items": items})
            .to_string()
            .into()
        }
        Form::Plain | Form::GroupDiscovery => {
            let items = objects.iter().map(|object| call.converter.json(object));
            list_json(call.target, metadata, items)
        }
    };
    Ok(Reply::raw(StatusCode::OK, json))
}
