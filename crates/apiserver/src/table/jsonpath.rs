//! Follows the simple JSON paths of printer columns.
//!
//! Does not know all of JSONPath: fields, indices, `*` and comparisons with a literal are what columns use.

use serde_json::Value;

#[derive(Debug, PartialEq)]
enum Part {
    Field(String),
    Index(i64),
    All,
    /// `[?(@.type=="Ready")]`: the field path, whether it must equal, the literal.
    Where(Vec<String>, bool, Value),
}

/// A parsed path; one that cannot be read finds nothing.
#[derive(Debug)]
pub(super) struct Path(Option<Vec<Part>>);

pub(super) fn parse(text: &str) -> Path {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}');
    Path(parts(text.trim_start_matches('$')))
}

fn parts(mut rest: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[?(") {
            let (inner, left) = after.split_once(")]")?;
            parts.push(condition(inner)?);
            rest = left;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (inner, left) = after.split_once(']')?;
            parts.push(match inner.trim() {
                "*" => Part::All,
                quoted if quoted.starts_with(['\'', '"']) => {
                    Part::Field(quoted.trim_matches(['\'', '"']).to_owned())
                }
                index => Part::Index(index.parse().ok()?),
            });
            rest = left;
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let (name, left) = field(after);
            match name.as_str() {
                "" => return None,
                "*" => parts.push(Part::All),
                _ => parts.push(Part::Field(name)),
            }
            rest = left;
        }
    }
    Some(parts)
}

/// A field name up to the next `.` or `[`; `\.` is a dot within it.
fn field(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' => return (name, &text[i..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn condition(text: &str) -> Option<Part> {
    let (left, equal, right) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((l, r)), _) => (l, true, r),
        (None, Some((l, r))) => (l, false, r),
        (None, None) => return None,
    };
    let path = left
        .trim()
        .strip_prefix("@.")?
        .split('.')
        .map(Into::into)
        .collect();
    let literal = right.trim();
    let value = if literal.starts_with(['\'', '"']) {
        Value::from(literal.trim_matches(['\'', '"']))
    } else {
        serde_json::from_str(literal).ok()?
    };
    Some(Part::Where(path, equal, value))
}

/// Everything a path leads to.
pub(super) fn find<'a>(path: &Path, object: &'a Value) -> Vec<&'a Value> {
    let Some(parts) = &path.0 else {
        return Vec::new();
    };
    parts.iter().fold(vec![object], |found, part| {
        found.into_iter().flat_map(|v| step(part, v)).collect()
    })
}

fn step<'a>(part: &Part, value: &'a Value) -> Vec<&'a Value> {
    match (part, value) {
        (Part::Field(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Part::Index(index), Value::Array(items)) => {
            let from_end = usize::try_from(index.saturating_neg())
                .ok()
                .and_then(|back| items.len().checked_sub(back));
            usize::try_from(*index)
                .ok()
                .or(from_end)
                .and_then(|i| items.get(i))
                .into_iter()
                .collect()
        }
        (Part::All, Value::Array(items)) => items.iter().collect(),
        (Part::All, Value::Object(members)) => members.values().collect(),
        (Part::Where(path, equal, literal), Value::Array(items)) => {
            let at = |item: &'a Value| path.iter().try_fold(item, |v, name| v.get(name));
            items
                .iter()
                .filter(|item| at(item).is_some_and(|v| (v == literal) == *equal))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_they_say() {
        let object = json!({"a": {"b.c": 1, "list": [{"t": "x", "v": 1}, {"t": "y", "v": 2}]}});
        let cases = [
            (".a['b.c']", vec![json!(1)]),
            (".a.b\\.c", vec![json!(1)]),
            ("{.a.list[0].v}", vec![json!(1)]),
            (".a.list[-1].v", vec![json!(2)]),
            (".a.list[*].v", vec![json!(1), json!(2)]),
            (".a.list[?(@.t==\"y\")].v", vec![json!(2)]),
            (".a.list[?(@.v!=2)].t", vec![json!("x")]),
            (".a.none", vec![]),
            (".a.list[-9223372036854775808]", vec![]),
            (".a[", vec![]),
            ("..", vec![]),
        ];
        for (path, expect) in cases {
            let got: Vec<Value> = find(&parse(path), &object).into_iter().cloned().collect();
            assert_eq!(got, expect, "{path}");
        }
    }
}
