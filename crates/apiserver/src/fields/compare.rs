//! Finds the fields of an object, and those that differ between two.
//!
//! Does not know managers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::place::{Items, Place};
use super::set::{FieldSet, printed};

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Fields that are new or have another value.
    pub set: FieldSet,
    pub removed: FieldSet,
}

/// All fields of an applied object. The error is about one that cannot be applied.
pub(crate) fn owned(place: Place<'_>, value: &Value) -> Result<FieldSet, String> {
    let mut set = FieldSet::default();
    walk(place, value, &mut Vec::new(), &mut set)?;
    Ok(set)
}

fn walk(
    place: Place<'_>,
    value: &Value,
    path: &mut Vec<String>,
    set: &mut FieldSet,
) -> Result<(), String> {
    match value {
        Value::Object(fields) if !place.atomic() => {
            for (name, value) in fields {
                path.push(format!("f:{name}"));
                if !place.knows(name) {
                    let path: String = path.iter().map(|step| printed(step)).collect();
                    return Err(format!("{path}: field not declared in schema"));
                }
                walk(place.field(name), value, path, set)?;
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !place.declares(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if place.items() != Items::Atomic => {
            let mut seen = Vec::new();
            for item in items {
                let at = || -> String { path.iter().map(|step| printed(step)).collect() };
                let Some(step) = place.step(item) else {
                    return Err(format!("{}: an item lacks a key of its list", at()));
                };
                if seen.contains(&step) {
                    let key = printed(&step);
                    return Err(format!("{}: duplicate entries for key {key}", at()));
                }
                seen.push(step.clone());
                path.push(step);
                set.insert(path);
                if item.is_object() {
                    walk(place.item(), item, path, set)?;
                }
                path.pop();
            }
        }
        _ => set.insert(path),
    }
    Ok(())
}

/// What differs between two states of an object; absent is none of either.
pub(crate) fn changes(place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Changes {
    let mut changes = Changes::default();
    differ(place, old, new, &mut Vec::new(), &mut changes);
    changes
}

fn differ(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    changes: &mut Changes,
) {
    if old == new {
        return;
    }
    let object = |value: Option<&Value>| value.is_none_or(Value::is_object);
    let list = |value: Option<&Value>| value.is_none_or(Value::is_array);
    if object(old) && object(new) && !place.atomic() {
        let none = Map::new();
        let old = old.and_then(Value::as_object).unwrap_or(&none);
        let new = new.and_then(Value::as_object).unwrap_or(&none);
        for name in names(old, new) {
            path.push(format!("f:{name}"));
            differ(
                place.field(name),
                old.get(name),
                new.get(name),
                path,
                changes,
            );
            path.pop();
        }
    } else if list(old) && list(new) && place.items() != Items::Atomic {
        let (old, new) = (by_step(place, old), by_step(place, new));
        let mut steps: Vec<&String> = old.keys().chain(new.keys()).collect();
        steps.sort();
        steps.dedup();
        for step in steps {
            path.push(step.clone());
            let (old, new) = (old.get(step).copied(), new.get(step).copied());
            differ(place.item(), old, new, path, changes);
            path.pop();
        }
    }
    let scalar = |value: Option<&Value>| {
        !value.is_some_and(|value| match value {
            Value::Object(_) => !place.atomic(),
            Value::Array(_) => place.items() != Items::Atomic,
            _ => false,
        })
    };
    match (old, new) {
        (None, Some(_)) => changes.set.insert(path),
        (Some(_), None) => changes.removed.insert(path),
        _ if scalar(old) || scalar(new) => changes.set.insert(path),
        _ => {}
    }
}

fn names<'a>(old: &'a Map<String, Value>, new: &'a Map<String, Value>) -> Vec<&'a String> {
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    names
}

/// The items of a list by their steps; of several with one step, the first.
pub(super) fn by_step<'a>(
    place: Place<'_>,
    list: Option<&'a Value>,
) -> BTreeMap<String, &'a Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    let mut by_step = BTreeMap::new();
    for item in items {
        if let Some(step) = place.step(item) {
            by_step.entry(step).or_insert(item);
        }
    }
    by_step
}
