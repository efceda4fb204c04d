//! Checks that a decoded body is an object of the asked kind, and where it belongs.
//!
//! Unknown and repeated members are refused, warned of or dropped, as asked. Does not look at
//! what the known members say.

use serde_json::{Map, Value, json};

use super::Call;
use super::decode::Decoded;
use super::query::FieldValidation;
use crate::builtin;
use crate::registry::Target;
use crate::schema::error::FieldError;
use crate::status::Failure;

/// The scheme of a real server, as its messages name it.
const SCHEME: &str = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30";

/// An object as a client sent it, fit for the pipeline, and what to warn of.
pub(super) struct Incoming {
    pub object: Value,
    pub warnings: Vec<String>,
}

impl Call<'_> {
    /// Takes a decoded object in: its type, its known fields, its place.
    pub(super) fn take_in(
        &self,
        decoded: Decoded,
        validation: FieldValidation,
    ) -> Result<Incoming, Failure> {
        let Decoded {
            value: mut object,
            duplicates,
        } = decoded;
        self.check_type(&mut object)?;
        let unknown = self.prune(&mut object)?;
        let mut problems: Vec<String> = duplicates
            .iter()
            .map(|path| format!("duplicate field \"{path}\""))
            .collect();
        problems.extend(
            unknown
                .iter()
                .map(|path| format!("unknown field \"{path}\"")),
        );
        let warnings = match validation {
            FieldValidation::Strict if !problems.is_empty() => {
                let why = format!("strict decoding error: {}", problems.join(", "));
                return Err(unfit(self.target, &why));
            }
            FieldValidation::Strict | FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn => problems,
        };
        self.locate(&mut object)?;
        Ok(Incoming { object, warnings })
    }

    pub(super) fn check_type(&self, object: &mut Value) -> Result<(), Failure> {
        check_type(self.target, object)
    }

    /// Drops what the schema does not know and names it.
    fn prune(&self, object: &mut Value) -> Result<Vec<String>, Failure> {
        if let Some(builtin) = self.target.resource.builtin {
            return builtin::decode(builtin, object).map_err(|why| unfit(self.target, &why));
        }
        let mut unknown = builtin::decode_meta(object).map_err(|why| unfit(self.target, &why))?;
        if let Some(schema) = self.target.schema() {
            unknown.extend(schema.prune(object));
        }
        Ok(unknown)
    }

    /// Gives the object the place its path says, and refuses another one.
    pub(super) fn locate(&self, object: &mut Value) -> Result<(), Failure> {
        let metadata = metadata_mut(object);
        let namespace = text(metadata, "namespace");
        if self.target.resource.namespaced {
            let wanted = match self.info.namespace.as_str() {
                // A namespaced object that nobody placed; Kubernetes has no default here either.
                "" => {
                    return Err(Failure::bad_request(
                        "an empty namespace may not be set during creation",
                    ));
                }
                wanted => wanted,
            };
            if !namespace.is_empty() && namespace != wanted {
                return Err(Failure::bad_request(
                    "the namespace of the provided object does not match the namespace sent on \
                     the request",
                ));
            }
            metadata.insert("namespace".into(), json!(wanted));
        }
        let name = text(metadata, "name");
        let wanted = self.info.name.as_str();
        if wanted.is_empty() {
            return Ok(());
        }
        if name.is_empty() {
            metadata.insert("name".into(), json!(wanted));
        } else if name != wanted {
            return Err(Failure::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({wanted})"
            )));
        }
        Ok(())
    }
}

/// The body is not what it should be: 400 with the kind's name.
fn unfit(target: &Target, why: &str) -> Failure {
    let (kind, version) = (&target.resource.kind, &target.version.name);
    Failure::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {why}"
    ))
}

fn check_type(target: &Target, object: &mut Value) -> Result<(), Failure> {
    let (expected_kind, expected_version) = (&target.resource.kind, target.api_version());
    let Some(fields) = object.as_object_mut() else {
        return Err(Failure::bad_request(format!(
            "the object provided is unrecognized (must be of type {expected_kind}): couldn't get \
             version/kind; json parse error: json: cannot unmarshal {} into Go value of type \
             struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
             \"json:\\\"kind,omitempty\\\"\" }}",
            crate::schema::type_of(object)
        )));
    };
    if !target.custom() {
        for (field, default) in [("kind", expected_kind), ("apiVersion", &expected_version)] {
            if text(fields, field).is_empty() {
                fields.insert(field.into(), json!(default));
            }
        }
    }
    if !fields.get("metadata").is_some_and(Value::is_object) {
        if fields
            .get("metadata")
            .is_some_and(|metadata| !metadata.is_null())
        {
            return Err(unfit(
                target,
                "json: cannot unmarshal value into Go struct field .metadata of type \
                 v1.ObjectMeta",
            ));
        }
        fields.insert("metadata".into(), json!({}));
    }
    let (kind, version) = (
        text(fields, "kind").to_owned(),
        text(fields, "apiVersion").to_owned(),
    );
    if kind == *expected_kind && version == expected_version {
        return Ok(());
    }
    Err(if target.custom() {
        wrong_custom_type(target, fields, &kind, &version)
    } else {
        wrong_builtin_type(target, &kind, &version)
    })
}

fn wrong_custom_type(
    target: &Target,
    fields: &Map<String, Value>,
    kind: &str,
    version: &str,
) -> Failure {
    let expected = target.api_version();
    if kind.is_empty() {
        return Failure::bad_request("Object 'Kind' is missing in the body of the request");
    }
    if version != expected {
        return Failure::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version \
             ({expected})"
        ));
    }
    let name = fields
        .get("metadata")
        .and_then(|metadata| metadata["name"].as_str());
    let why = format!("must be {}", target.resource.kind);
    let error = FieldError::invalid_text("kind", kind, &why);
    Failure::invalid(&target.about_kind(name.unwrap_or_default()), &[error])
}

fn wrong_builtin_type(target: &Target, kind: &str, version: &str) -> Failure {
    let expected = &target.resource.kind;
    let group = target.resource.group.split('.').next().unwrap_or_default();
    let group = if group.is_empty() { "core" } else { group };
    let short = version.rsplit('/').next().unwrap_or_default();
    let why = if version == target.api_version() {
        format!("converting (v1.{kind}) to ({group}.{expected}): unknown conversion")
    } else {
        format!("no kind {kind:?} is registered for version {version:?} in scheme {SCHEME:?}")
    };
    Failure::bad_request(format!(
        "{kind} in version {short:?} cannot be handled as a {expected}: {why}"
    ))
}

pub(super) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(fields) => fields,
        _ => unreachable!("made an object above"),
    }
}

pub(super) fn text<'a>(fields: &'a Map<String, Value>, field: &str) -> &'a str {
    fields
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
