//! Lays an applied object over the one that is there, and takes away what its manager no longer applies.
//!
//! Does not know managers: it is told the sets.

use serde_json::{Map, Value};

use super::compare::by_step;
use super::place::{Items, Place};
use super::set::FieldSet;

/// `live` with all that `applied` says.
pub(crate) fn merged(place: Place<'_>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !place.atomic() => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let value = match live.get(name) {
                    Some(before) => self::merged(place.field(name), before, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(old), Value::Array(new)) if place.items() != Items::Atomic => {
            merged_list(place, old, new).into()
        }
        _ => applied.clone(),
    }
}

/// Items of both lists: those applied in the order applied, the others where they were among them.
fn merged_list(place: Place<'_>, old: &[Value], new: &[Value]) -> Vec<Value> {
    let steps = |list: &[Value]| -> Vec<Option<String>> {
        list.iter().map(|item| place.step(item)).collect()
    };
    let (old_steps, new_steps) = (steps(old), steps(new));
    let mut merged = Vec::new();
    let mut rest = old.iter().zip(&old_steps).peekable();
    for (item, step) in new.iter().zip(&new_steps) {
        // Up to the next shared item, what only the old list has keeps its place.
        while let Some((kept, _)) = rest.next_if(|(_, step)| !new_steps.contains(step)) {
            merged.push(kept.clone());
        }
        rest.next_if(|(_, step)| new_steps.contains(step));
        let before = old
            .iter()
            .zip(&old_steps)
            .find(|(_, old_step)| *old_step == step);
        merged.push(match before {
            Some((before, _)) => self::merged(place.item(), before, item),
            None => item.clone(),
        });
    }
    merged.extend(
        rest.filter(|(_, step)| !new_steps.contains(step))
            .map(|(item, _)| item.clone()),
    );
    merged
}

/// `value` without the fields of `last` that are not `owned` by anybody now. A field goes with all
/// below it, unless somebody owns a part.
pub(crate) fn pruned(place: Place<'_>, value: &Value, last: &FieldSet, owned: &FieldSet) -> Value {
    let none = FieldSet::default();
    let below = |set: &'_ FieldSet, step: &str| set.below(step).cloned().unwrap_or_default();
    let keep = |place: Place<'_>, step: &str, declared: bool, value: &Value| -> Option<Value> {
        if !last.touches(step) {
            return Some(value.clone());
        }
        let gone = (last.has(step) || declared) && !owned.touches(step);
        if gone {
            return None;
        }
        Some(pruned(
            place,
            value,
            &below(last, step),
            &below(owned, step),
        ))
    };
    match value {
        Value::Object(fields) if !place.atomic() => {
            let kept = fields.iter().filter_map(|(name, value)| {
                let step = format!("f:{name}");
                let kept = keep(place.field(name), &step, place.declares(name), value)?;
                Some((name.clone(), kept))
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) if place.items() != Items::Atomic && *last != none => {
            let first = by_step(place, Some(value));
            let kept = items.iter().filter_map(|item| match place.step(item) {
                Some(step) if first.contains_key(&step) => keep(place.item(), &step, false, item),
                _ => Some(item.clone()),
            });
            Value::Array(kept.collect())
        }
        _ => value.clone(),
    }
}
