//! Tells in words what is wrong with objects, for tests of each kind.

use serde_json::Value;

use super::{builtins, prepare};
use crate::schema::error::FieldError;

pub(super) fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What is wrong with an object of this kind, or with a change of one.
pub(super) fn errors(kind: &str, mut new: Value, old: Option<&Value>) -> Vec<String> {
    let builtin = builtins().iter().find(|it| it.kind == kind).unwrap();
    texts(&prepare(builtin, &mut new, old))
}
