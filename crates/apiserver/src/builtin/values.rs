//! Reads and fills in members of a document by JSON pointer.
//!
//! Does not know any kind.

use serde_json::{Map, Value};

use crate::schema::error::FieldError;

/// The text at a pointer, empty if there is none.
pub(super) fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The items at a pointer.
pub(super) fn list<'a>(document: &'a Value, pointer: &str) -> &'a [Value] {
    document
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The value at a pointer; null if there is none.
pub(super) fn at<'a>(document: &'a Value, pointer: &str) -> &'a Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}

pub(super) fn has(document: &Value, pointer: &str) -> bool {
    !at(document, pointer).is_null()
}

/// The object at `pointer`, made if it is not there. `None` only if something else is in the way.
pub(super) fn object<'a>(
    document: &'a mut Value,
    pointer: &str,
) -> Option<&'a mut Map<String, Value>> {
    let mut place = document;
    for name in pointer.split('/').skip(1) {
        place = place
            .as_object_mut()?
            .entry(name)
            .or_insert_with(|| Value::Object(Map::new()));
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
    }
    place.as_object_mut()
}

/// Sets `name` of the object at `pointer` unless it is there.
pub(super) fn default(document: &mut Value, pointer: &str, name: &str, value: impl Into<Value>) {
    if let Some(members) = object(document, pointer) {
        let found = members.entry(name).or_insert(Value::Null);
        if found.is_null() || found.as_str() == Some("") {
            *found = value.into();
        }
    }
}

/// Sets `name` of the object at `pointer`.
pub(super) fn set(document: &mut Value, pointer: &str, name: &str, value: impl Into<Value>) {
    if let Some(members) = object(document, pointer) {
        members.insert(name.into(), value.into());
    }
}

/// Puts a finalizer on.
pub(super) fn finalizer(document: &mut Value, name: &str) {
    let Some(meta) = object(document, "/metadata") else {
        return;
    };
    let found = meta
        .entry("finalizers")
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Some(items) = found.as_array_mut()
        && !items.iter().any(|f| f.as_str() == Some(name))
    {
        items.push(name.into());
    }
}

/// An error if the text at a pointer is set and not one of those allowed.
pub(super) fn one_of(
    document: &Value,
    pointer: &str,
    path: &str,
    allowed: &[&str],
) -> Option<FieldError> {
    let value = at(document, pointer);
    let unset = value.is_null() || value.as_str().is_some_and(str::is_empty);
    (!unset).then(|| known(value, path, allowed)).flatten()
}

/// An error unless the text at a pointer is one of those allowed.
pub(super) fn one_of_required(
    document: &Value,
    pointer: &str,
    path: &str,
    allowed: &[&str],
) -> Option<FieldError> {
    let value = at(document, pointer);
    if value.is_null() {
        return Some(FieldError::required(path, ""));
    }
    known(value, path, allowed)
}

fn known(value: &Value, path: &str, allowed: &[&str]) -> Option<FieldError> {
    let known = value.as_str().is_some_and(|it| allowed.contains(&it));
    let allowed: Vec<String> = allowed.iter().map(|it| (*it).to_owned()).collect();
    (!known).then(|| FieldError::not_supported(path, value, &allowed))
}

/// An error if the text at a pointer is missing.
pub(super) fn required(document: &Value, pointer: &str, path: &str) -> Option<FieldError> {
    text(document, pointer)
        .is_empty()
        .then(|| FieldError::required(path, ""))
}

/// An error if a value differs from what it was.
pub(super) fn unchanged(new: &Value, old: &Value, pointer: &str, path: &str) -> Option<FieldError> {
    let (a, b) = (at(new, pointer), at(old, pointer));
    (a != b).then(|| FieldError::immutable(path, a))
}
