//! Reads a document of a built-in kind as Go's decoder would: wrong types refused, nulls dropped, quantities and times in canonical form.
//!
//! Does not check what the values mean.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::error::{child, go_quote};
use super::{Additional, Kind, Node, Schema, format};
use crate::quantity::{MALFORMED, Quantity};

impl Schema {
    /// Normalises a document and returns the paths of fields that no client should have sent.
    /// The error is Go's text for the first member of a wrong type.
    pub(crate) fn decode(
        &self,
        type_name: &str,
        document: &mut Value,
    ) -> Result<Vec<String>, String> {
        if !document.is_object() {
            return Err(format!(
                "json: cannot unmarshal {} into Go value of type v1.{type_name}",
                go_kind(document)
            ));
        }
        self.read(self.root(), document, type_name, "")?;
        Ok(self.prune(document))
    }

    fn read(
        &self,
        node: &Node,
        value: &mut Value,
        type_name: &str,
        path: &str,
    ) -> Result<(), String> {
        let short = node.reference.as_deref().map(short_name);
        match short {
            Some("Quantity") => return quantity(value),
            Some("Time") => return time(value, 0),
            Some("MicroTime") => return time(value, 6),
            Some(name) if name.starts_with("JSONSchemaPropsOr") && !value.is_object() => {
                return Ok(());
            }
            _ => {}
        }
        let owner = type_name;
        let inner = short.unwrap_or(type_name);
        let node = self.resolve(node);
        let wrong = |value: &Value| {
            let kind = go_kind(value);
            Err(format!(
                "json: cannot unmarshal {kind} into Go struct field {owner}.{path} of type {}",
                self.go_type(node, short)
            ))
        };
        if node.int_or_string {
            return if matches!(value, Value::String(_)) || value.is_i64() {
                Ok(())
            } else {
                wrong(value)
            };
        }
        match (node.kind, &mut *value) {
            (Some(Kind::Object), Value::Object(_)) => self.read_object(node, value, inner, path),
            (Some(Kind::Array), Value::Array(items)) => {
                let Some(next) = &node.items else {
                    return Ok(());
                };
                if !self.resolve(next).preserve_unknown {
                    items.retain(|item| !item.is_null());
                }
                items
                    .iter_mut()
                    .try_for_each(|item| self.read(next, item, inner, path))
            }
            (Some(Kind::String), Value::String(text)) => {
                if node.format.as_deref() == Some("byte") && !format::accepts("byte", text) {
                    return Err(format!(
                        "illegal base64 data at input byte {}",
                        first_bad_byte(text)
                    ));
                }
                Ok(())
            }
            (Some(Kind::Boolean), Value::Bool(_))
            | (Some(Kind::Number), Value::Number(_))
            | (None, _) => Ok(()),
            (Some(Kind::Integer), Value::Number(number)) => {
                let fits = match node.format.as_deref() {
                    Some("int32") => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                    _ => {
                        number.is_i64()
                            || super::type_of(&Value::Number(number.clone())) == "integer"
                    }
                };
                if fits { Ok(()) } else { wrong(value) }
            }
            _ => wrong(value),
        }
    }

    fn read_object(
        &self,
        node: &Node,
        value: &mut Value,
        type_name: &str,
        path: &str,
    ) -> Result<(), String> {
        let Some(members) = value.as_object_mut() else {
            return Ok(());
        };
        let open = node.preserve_unknown && node.properties.is_empty();
        if open {
            return Ok(());
        }
        members.retain(|_, member| !member.is_null());
        for (name, member) in members {
            if let Some(next) = node.member(name) {
                self.read(next, member, type_name, &child(path, name))?;
            }
        }
        Ok(())
    }

    fn go_type(&self, node: &Node, short: Option<&str>) -> String {
        match (node.kind, short) {
            (Some(Kind::Object) | None, Some(name)) => format!("v1.{name}"),
            (Some(Kind::String), _) => "string".into(),
            (Some(Kind::Boolean), _) => "bool".into(),
            (Some(Kind::Integer), _) => node.format.as_deref().unwrap_or("int64").into(),
            (Some(Kind::Number), _) => "float64".into(),
            (Some(Kind::Array), _) => match &node.items {
                Some(item) => {
                    let short = item.reference.as_deref().map(short_name);
                    format!("[]{}", self.go_type(self.resolve(item), short))
                }
                None => "[]interface {}".into(),
            },
            (Some(Kind::Object), None) => match &node.additional {
                Additional::Of(next) => {
                    let short = next.reference.as_deref().map(short_name);
                    format!("map[string]{}", self.go_type(self.resolve(next), short))
                }
                Additional::None | Additional::Any => "map[string]interface {}".into(),
            },
            (None, None) => "interface {}".into(),
        }
    }
}

fn short_name(definition: &str) -> &str {
    definition.rsplit('.').next().unwrap_or(definition)
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn quantity(value: &mut Value) -> Result<(), String> {
    let canonical = Quantity::of(value)
        .ok_or_else(|| MALFORMED.to_owned())?
        .to_string();
    *value = Value::String(canonical);
    Ok(())
}

fn time(value: &mut Value, digits: u8) -> Result<(), String> {
    let Some(text) = value.as_str() else {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type string",
            go_kind(value)
        ));
    };
    let layout = if digits == 0 {
        "2006-01-02T15:04:05Z07:00"
    } else {
        "2006-01-02T15:04:05.000000Z07:00"
    };
    let parsed = text
        .parse::<Timestamp>()
        .ok()
        .filter(|_| format::is_date_time(text));
    let Some(at) = parsed else {
        return Err(format!(
            "parsing time {} as {}: cannot parse {} as \"2006\"",
            go_quote(text),
            go_quote(layout),
            go_quote(text)
        ));
    };
    let at = at.to_zoned(TimeZone::UTC);
    *value = Value::String(if digits == 0 {
        at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    } else {
        at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    });
    Ok(())
}

fn first_bad_byte(text: &str) -> usize {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let body = text.trim_end_matches('=');
    body.bytes().position(|b| !good(b)).unwrap_or(body.len())
}
