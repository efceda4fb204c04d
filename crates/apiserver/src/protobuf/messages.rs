//! Knows the messages of the protobuf encoding: numbers, names and types of their fields.
//!
//! Read from `messages.txt` when first needed. Does not read encoded objects.

use std::collections::HashMap;
use std::sync::LazyLock;

static TEXT: &str = include_str!("messages.txt");
static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| parse(TEXT));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Message(&'static str),
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON as it is.
    Raw,
    /// A list of texts in a message of its own.
    Items,
    SchemaOrBool,
    SchemaOrArray,
    SchemaOrStrings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    Map,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub name: &'static str,
    number: u32,
    pub shape: Shape,
    pub of: Type,
    /// JSON has the fields of this message in place of it.
    pub inline: bool,
    /// JSON leaves out a zero, which the encoding always has.
    pub drop_zero: bool,
}

#[derive(Debug)]
pub(super) struct Message(Vec<Field>);

impl Message {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.0.iter().find(|field| field.number == number)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }
}

pub(super) fn get(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

/// The message of a kind.
pub(super) fn find(api_version: &str, kind: &str) -> Option<&'static Message> {
    // Every group takes options of the same shape.
    if kind == "DeleteOptions" {
        return get("meta.DeleteOptions");
    }
    let group = api_version
        .strip_suffix("/v1")
        .or((api_version == "v1").then_some(""))?;
    let package = match group {
        "" => "core",
        group => group.split('.').next().unwrap_or_default(),
    };
    get(&format!("{package}.{kind}"))
}

fn parse(text: &'static str) -> HashMap<&'static str, Message> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(name, fields)| (name, Message(fields.split(',').filter_map(field).collect())))
        .collect()
}

fn field(text: &'static str) -> Option<Field> {
    let mut words = text.split_whitespace();
    let (name, number, of) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let (of, drop_zero) = of.strip_suffix('?').map_or((of, false), |of| (of, true));
    let (shape, of) = match (of.strip_prefix("[]"), of.strip_prefix("map:")) {
        (Some(of), _) => (Shape::List, of),
        (_, Some(of)) => (Shape::Map, of),
        _ => (Shape::One, of),
    };
    Some(Field {
        name,
        number,
        shape,
        of: parse_type(of),
        inline: name == "~",
        drop_zero,
    })
}

fn parse_type(text: &'static str) -> Type {
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "intstr" => Type::IntOrString,
        "raw" => Type::Raw,
        "items" => Type::Items,
        "schemaorbool" => Type::SchemaOrBool,
        "schemaorarray" => Type::SchemaOrArray,
        "schemaorstrings" => Type::SchemaOrStrings,
        name => Type::Message(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::builtins;

    #[test]
    fn knows_every_built_in_kind() {
        for builtin in builtins() {
            let version = match builtin.group {
                "" => builtin.version.to_owned(),
                group => format!("{group}/{}", builtin.version),
            };
            assert!(find(&version, builtin.kind).is_some(), "{}", builtin.kind);
        }
    }

    #[test]
    fn refers_only_to_messages_it_has() {
        for (name, message) in MESSAGES.iter() {
            for field in message.fields() {
                if let Type::Message(other) = field.of {
                    assert!(get(other).is_some(), "{name}.{} is of {other}", field.name);
                }
                assert_eq!(
                    message
                        .fields()
                        .filter(|f| f.number == field.number)
                        .count(),
                    1
                );
            }
        }
        assert_eq!(
            MESSAGES.len(),
            TEXT.lines().filter(|line| !line.starts_with('#')).count()
        );
    }
}
