//! Says how large a value can be, by its schema and by what fits into a request.

use crate::schema::{Additional, Kind, Limits, Node};

/// A request has no more bytes.
const REQUEST: u64 = 3 << 20;
/// Quotes, or brackets.
const AROUND: u64 = 2;
/// A character has no more bytes.
const CHARACTER: u64 = 4;

/// A bound of a node, its own or of a schema that must hold too.
pub(super) fn bound(node: &Node, of: impl Fn(&Limits) -> Option<u64> + Copy) -> Option<u64> {
    let own = node.limits.as_deref().and_then(of);
    let junctors = node.junctors.as_deref();
    let others = junctors.into_iter().flat_map(|junctors| &junctors.all_of);
    others.filter_map(|node| bound(node, of)).chain(own).min()
}

pub(super) fn longest(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

pub(super) fn of_text(text: &str) -> u64 {
    longest(text.chars().count())
}

/// The most bytes of a string, items of a list or members of a map; 0 where that means nothing.
pub(super) fn of_node(node: &Node) -> u64 {
    let characters = || bound(node, |limits| limits.max_length);
    let in_bytes = |length: u64| length.saturating_mul(CHARACTER);
    if node.int_or_string {
        return characters().map_or(REQUEST - AROUND, in_bytes);
    }
    match node.kind {
        Some(Kind::String) => match node.format.as_deref() {
            Some("date-time" | "date") => 0,
            Some("duration") => 32,
            Some("byte") => characters().unwrap_or(REQUEST - AROUND),
            _ => characters()
                .map(in_bytes)
                .or_else(|| of_values(node))
                .unwrap_or(REQUEST - AROUND),
        },
        Some(Kind::Array) => bound(node, |limits| limits.max_items).unwrap_or_else(|| {
            let item = node.items.as_deref().map_or(1, least);
            (REQUEST - AROUND) / (item + 1)
        }),
        Some(Kind::Object) => match &node.additional {
            Additional::Of(next) => bound(node, |limits| limits.max_properties)
                // Each has a key in quotes, a colon and a comma.
                .unwrap_or_else(|| (REQUEST - AROUND) / (least(next) + 6)),
            Additional::None | Additional::Any => 0,
        },
        Some(Kind::Integer | Kind::Number | Kind::Boolean) | None => 0,
    }
}

/// The longest of the values that are allowed.
fn of_values(node: &Node) -> Option<u64> {
    let values = node.limits.as_deref()?.one_of_values.as_ref()?;
    let texts = values.iter().filter_map(serde_json::Value::as_str);
    texts.map(|text| longest(text.len())).max()
}

/// How many of these fit into a request.
pub(super) fn most_in_request(node: &Node) -> u64 {
    REQUEST / (least(node) + 1)
}

/// The fewest bytes of a value as JSON.
fn least(node: &Node) -> u64 {
    if node.int_or_string {
        return 1;
    }
    match node.kind {
        Some(Kind::Object) => {
            let required = node.properties.iter().filter(|(name, property)| {
                node.required.contains(name) && property.default.is_none()
            });
            // A name in quotes, a colon and a comma.
            let bytes = required.map(|(name, property)| longest(name.len()) + least(property) + 4);
            AROUND + bytes.sum::<u64>()
        }
        Some(Kind::Array) => AROUND,
        Some(Kind::String) => match node.format.as_deref() {
            Some("date") => 12,
            Some("date-time" | "datetime") => 21,
            Some("duration") => 4,
            _ => AROUND,
        },
        Some(Kind::Boolean) => 4,
        Some(Kind::Integer | Kind::Number) | None => 1,
    }
}
