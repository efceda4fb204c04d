//! Turns OpenAPI v3 into a schema, and refuses one that is not structural.
//!
//! Does not know the document the schema sits in: paths of errors start at `openAPIV3Schema`.

mod structural;

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use super::cel::{self, Rule};
use super::error::{FieldError, child};
use super::{Additional, Junctors, Kind, Limits, ListType, Node, Schema};

/// Nesting past this is refused: nothing real comes near, and every walk is recursive.
const DEEPEST: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Property,
    Items,
    Additional,
    /// Inside allOf, anyOf, oneOf or not: only checks, no structure.
    Junctor,
}

struct Compiler {
    errors: Vec<FieldError>,
    rules: usize,
}

impl Schema {
    /// Compiles the `openAPIV3Schema` of a CRD version.
    pub(crate) fn compile(source: &Value) -> Result<Self, Vec<FieldError>> {
        let mut compiler = Compiler {
            errors: Vec::new(),
            rules: 0,
        };
        let root = compiler.node(source, "openAPIV3Schema", Place::Root, 0);
        if compiler.errors.is_empty() {
            cel::check_rules(&root, &mut compiler.errors);
        }
        if !compiler.errors.is_empty() {
            return Err(compiler.errors);
        }
        let schema = Self::new(Arc::new(root), BTreeMap::new(), compiler.rules > 0);
        let wrong = schema.wrong_defaults();
        if wrong.is_empty() {
            Ok(schema)
        } else {
            Err(wrong)
        }
    }
}

/// Compiles a definition of a built-in kind, which may refer to others and is known to be sound.
pub(crate) fn definition(source: &Value) -> Node {
    let mut compiler = Compiler {
        errors: Vec::new(),
        rules: 0,
    };
    compiler.node(source, "", Place::Junctor, 0)
}

fn flag(source: &Map<String, Value>, key: &str) -> bool {
    source.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn strings(source: &Map<String, Value>, key: &str) -> Vec<Box<str>> {
    let list = source.get(key).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(Into::into)
        .collect()
}

impl Compiler {
    fn node(&mut self, source: &Value, path: &str, place: Place, depth: usize) -> Node {
        if depth > DEEPEST {
            self.errors.push(FieldError::invalid_unshown(
                path,
                "schema is nested too deeply",
            ));
            return Node::default();
        }
        let Some(source) = source.as_object() else {
            // `true` in schemars' output and in additionalProperties: anything goes.
            return Node {
                preserve_unknown: true,
                ..Node::default()
            };
        };
        let mut node = Node {
            int_or_string: flag(source, "x-kubernetes-int-or-string"),
            nullable: flag(source, "nullable"),
            preserve_unknown: flag(source, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(source, "x-kubernetes-embedded-resource"),
            atomic: source.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic"),
            format: source.get("format").and_then(Value::as_str).map(Into::into),
            required: strings(source, "required"),
            list_keys: strings(source, "x-kubernetes-list-map-keys"),
            default: source.get("default").filter(|v| !v.is_null()).cloned(),
            ..Node::default()
        };
        node.reference = source
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|r| r.rsplit('/').next())
            .map(Into::into);
        self.kind(&mut node, source, path, place);
        self.list_type(&mut node, source, path);
        self.map_type(&node, source, path);
        self.limits(&mut node, source, path);
        self.children(&mut node, source, path, place, depth);
        self.junctors(&mut node, source, path, depth);
        self.rules(&mut node, source, path, place);
        if place != Place::Junctor {
            self.structural(&node, source, path, place == Place::Root);
        }
        node
    }

    fn kind(&mut self, node: &mut Node, source: &Map<String, Value>, path: &str, place: Place) {
        let text = source
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default();
        node.kind = Kind::parse(text);
        if !text.is_empty() && node.kind.is_none() {
            let all =
                ["array", "boolean", "integer", "number", "object", "string"].map(String::from);
            self.errors.push(FieldError::not_supported(
                &child(path, "type"),
                &Value::from(text),
                &all,
            ));
            return;
        }
        let anything = node.int_or_string || node.preserve_unknown;
        let why = match place {
            Place::Root if node.kind != Some(Kind::Object) => {
                let at = child(path, "type");
                self.errors.push(if text.is_empty() {
                    FieldError::required(&at, "must not be empty at the root")
                } else {
                    FieldError::invalid(&at, &Value::from(text), "must be object at the root")
                });
                return;
            }
            Place::Root | Place::Junctor => return,
            Place::Items => "must not be empty for specified array items",
            Place::Property | Place::Additional => "must not be empty for specified object fields",
        };
        if node.kind.is_none() && !anything {
            self.errors
                .push(FieldError::required(&child(path, "type"), why));
        }
        // Published definitions say `type: string` beside it; servers take the flag and go on.
        if node.int_or_string && node.kind == Some(Kind::String) {
            node.kind = None;
        }
        if node.kind.is_some() && node.int_or_string {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            self.errors.push(FieldError::invalid(
                &child(path, "type"),
                &Value::from(text),
                why,
            ));
        }
    }

    fn map_type(&mut self, node: &Node, source: &Map<String, Value>, path: &str) {
        let Some(text) = source.get("x-kubernetes-map-type") else {
            return;
        };
        if !matches!(text.as_str(), Some("atomic" | "granular")) {
            let all = ["atomic", "granular"].map(String::from);
            let at = child(path, "x-kubernetes-map-type");
            self.errors.push(FieldError::not_supported(&at, text, &all));
        }
        if node.kind != Some(Kind::Object) {
            let why = "must be object if x-kubernetes-map-type is specified";
            self.errors.push(FieldError::invalid_text(
                &child(path, "type"),
                node.kind.map_or("", Kind::as_str),
                why,
            ));
        }
    }

    fn list_type(&mut self, node: &mut Node, source: &Map<String, Value>, path: &str) {
        let at = child(path, "x-kubernetes-list-type");
        let of_map = "must be map if x-kubernetes-list-map-keys is non-empty";
        let Some(text) = source.get("x-kubernetes-list-type") else {
            if !node.list_keys.is_empty() {
                self.errors.push(FieldError::required(&at, of_map));
            }
            return;
        };
        node.list_type = match text.as_str() {
            Some("atomic") => ListType::Atomic,
            Some("set") => ListType::Set,
            Some("map") => ListType::Map,
            _ => {
                let all = ["atomic", "map", "set"].map(String::from);
                self.errors.push(FieldError::not_supported(&at, text, &all));
                return;
            }
        };
        if node.kind != Some(Kind::Array) {
            let why = "must be array if x-kubernetes-list-type is specified";
            self.errors.push(FieldError::invalid_text(
                &child(path, "type"),
                node.kind.map_or("", Kind::as_str),
                why,
            ));
        }
        if node.list_type != ListType::Map && !node.list_keys.is_empty() {
            self.errors.push(FieldError::invalid(&at, text, of_map));
        }
        if node.list_type == ListType::Map && node.list_keys.is_empty() {
            let why = "must not be empty if x-kubernetes-list-type is map";
            self.errors.push(FieldError::required(
                &child(path, "x-kubernetes-list-map-keys"),
                why,
            ));
        }
    }

    fn limits(&mut self, node: &mut Node, source: &Map<String, Value>, path: &str) {
        let float = |key: &str| source.get(key).and_then(Value::as_f64);
        let whole = |key: &str| source.get(key).and_then(Value::as_u64);
        let limits = Limits {
            minimum: float("minimum"),
            maximum: float("maximum"),
            exclusive_minimum: flag(source, "exclusiveMinimum"),
            exclusive_maximum: flag(source, "exclusiveMaximum"),
            multiple_of: float("multipleOf"),
            min_length: whole("minLength"),
            max_length: whole("maxLength"),
            pattern: self.pattern(source, path),
            min_items: whole("minItems"),
            max_items: whole("maxItems"),
            unique_items: flag(source, "uniqueItems"),
            min_properties: whole("minProperties"),
            max_properties: whole("maxProperties"),
            one_of_values: source.get("enum").and_then(Value::as_array).cloned(),
        };
        let any = limits.minimum.is_some()
            || limits.maximum.is_some()
            || limits.multiple_of.is_some()
            || limits.pattern.is_some()
            || limits.one_of_values.is_some()
            || [
                limits.min_length,
                limits.max_length,
                limits.min_items,
                limits.max_items,
            ]
            .iter()
            .chain(&[limits.min_properties, limits.max_properties])
            .any(Option::is_some);
        if any {
            node.limits = Some(Box::new(limits));
        }
    }

    fn pattern(&mut self, source: &Map<String, Value>, path: &str) -> Option<Regex> {
        let text = source
            .get("pattern")
            .and_then(Value::as_str)
            .filter(|t| !t.is_empty())?;
        match regex::RegexBuilder::new(text).size_limit(1 << 20).build() {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let why = format!("must be a valid regular expression, but isn't: {error}");
                self.errors.push(FieldError::invalid_text(
                    &child(path, "pattern"),
                    text,
                    &why,
                ));
                None
            }
        }
    }

    fn children(
        &mut self,
        node: &mut Node,
        source: &Map<String, Value>,
        path: &str,
        place: Place,
        depth: usize,
    ) {
        let below = |there: Place| {
            if place == Place::Junctor {
                Place::Junctor
            } else {
                there
            }
        };
        let properties = source.get("properties").and_then(Value::as_object);
        for (name, value) in properties.into_iter().flatten() {
            // The API server looks after metadata itself; a schema may only narrow its name.
            let at = format!("{path}.properties[{name}]");
            let property = self.node(value, &at, below(Place::Property), depth + 1);
            node.properties.insert(name.as_str().into(), property);
        }
        node.additional = match source.get("additionalProperties") {
            None | Some(Value::Bool(false) | Value::Null) => Additional::None,
            Some(Value::Bool(true)) => Additional::Any,
            Some(value) => {
                let at = child(path, "additionalProperties");
                Additional::Of(Box::new(self.node(
                    value,
                    &at,
                    below(Place::Additional),
                    depth + 1,
                )))
            }
        };
        match source.get("items") {
            None | Some(Value::Null) => {}
            Some(Value::Array(_)) => {
                let why = "items must be a schema object and not an array";
                self.errors
                    .push(FieldError::forbidden(&child(path, "items"), why));
            }
            Some(value) => {
                let item = self.node(value, &child(path, "items"), below(Place::Items), depth + 1);
                node.items = Some(Box::new(item));
            }
        }
    }

    fn junctors(&mut self, node: &mut Node, source: &Map<String, Value>, path: &str, depth: usize) {
        let mut list = |key: &str| -> Vec<Node> {
            let schemas = source.get(key).and_then(Value::as_array);
            let each = schemas.into_iter().flatten().enumerate();
            each.map(|(i, s)| {
                self.node(s, &format!("{path}.{key}[{i}]"), Place::Junctor, depth + 1)
            })
            .collect()
        };
        let (mut all_of, any_of, one_of) = (list("allOf"), list("anyOf"), list("oneOf"));
        let not = source.get("not").filter(|v| v.is_object());
        let not = not.map(|s| self.node(s, &child(path, "not"), Place::Junctor, depth + 1));
        // schemars wraps a described reference: `allOf: [{$ref}]` says no more than the reference.
        if let [only] = all_of.as_slice()
            && only.reference.is_some()
            && node.reference.is_none()
        {
            node.reference.clone_from(&only.reference);
            all_of.clear();
        }
        if !(all_of.is_empty() && any_of.is_empty() && one_of.is_empty() && not.is_none()) {
            node.junctors = Some(Box::new(Junctors {
                all_of,
                any_of,
                one_of,
                not,
            }));
        }
    }

    fn rules(&mut self, node: &mut Node, source: &Map<String, Value>, path: &str, place: Place) {
        let rules = source
            .get("x-kubernetes-validations")
            .and_then(Value::as_array);
        for (i, rule) in rules.into_iter().flatten().enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{i}]");
            if place == Place::Junctor {
                self.errors.push(FieldError::forbidden(
                    &child(path, "x-kubernetes-validations"),
                    "must be empty to be structural",
                ));
                return;
            }
            match Rule::compile(rule, &at) {
                Ok(rule) => node.rules.push(rule),
                Err(error) => self.errors.push(error),
            }
            self.rules += 1;
        }
    }
}
