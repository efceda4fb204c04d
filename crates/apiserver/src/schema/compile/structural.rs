//! Refuses schemas that are not structural, as Kubernetes calls it.
//!
//! Does not compile anything: it looks at nodes that are.

use serde_json::{Map, Value};

use super::{Compiler, flag};
use crate::schema::error::{FieldError, child};
use crate::schema::{Additional, Junctors, Kind, ListType, Node};

impl Compiler {
    /// What Kubernetes calls structural, for one node.
    pub(super) fn structural(
        &mut self,
        node: &Node,
        source: &Map<String, Value>,
        path: &str,
        root: bool,
    ) {
        if source.contains_key("$ref") {
            self.errors.push(FieldError::forbidden(
                &child(path, "$ref"),
                "$ref is not supported",
            ));
        }
        if flag(source, "uniqueItems") {
            let why =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.errors
                .push(FieldError::forbidden(&child(path, "uniqueItems"), why));
        }
        if !node.properties.is_empty() && !matches!(node.additional, Additional::None) {
            let why = "additionalProperties and properties are mutual exclusive";
            self.errors.push(FieldError::forbidden(
                &child(path, "additionalProperties"),
                why,
            ));
        }
        if node.kind == Some(Kind::Array) && node.items.is_none() {
            self.errors.push(FieldError::required(
                &child(path, "items"),
                "must be specified",
            ));
        }
        if source.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            let why = "must be true or undefined";
            let at = child(path, "x-kubernetes-preserve-unknown-fields");
            self.errors
                .push(FieldError::invalid(&at, &Value::Bool(false), why));
        }
        if node.embedded && node.kind != Some(Kind::Object) {
            let got = node.kind.map_or("", Kind::as_str);
            let why = "must be object if x-kubernetes-embedded-resource is true";
            self.errors
                .push(FieldError::invalid_text(&child(path, "type"), got, why));
        }
        if root || node.embedded {
            self.resource(node, path);
        }
        self.items(node, path);
        self.list_keys(node, path);
        if let Some(junctors) = &node.junctors {
            for (inner, at) in junctors.all(path) {
                self.only_checks(inner, node, &at);
            }
        }
    }

    /// What every resource has, and the server looks after.
    fn resource(&mut self, node: &Node, path: &str) {
        for (name, kind) in [
            ("apiVersion", Kind::String),
            ("kind", Kind::String),
            ("metadata", Kind::Object),
        ] {
            let Some(property) = node.properties.get(name) else {
                continue;
            };
            if property.kind != Some(kind) {
                let at = format!("{path}.properties[{name}].type");
                let got = property.kind.map_or("", Kind::as_str);
                let why = format!("must be {}", kind.as_str());
                self.errors.push(FieldError::invalid_text(&at, got, &why));
            }
        }
        let Some(metadata) = node.properties.get("metadata") else {
            return;
        };
        let narrows = |name: &str| matches!(name, "name" | "generateName");
        let more = metadata.properties.keys().any(|name| !narrows(name))
            || !matches!(metadata.additional, Additional::None)
            || metadata.preserve_unknown
            || metadata.nullable
            || metadata.junctors.is_some()
            || metadata.limits.is_some()
            || !metadata.required.is_empty();
        if more {
            let why = "must not specify anything other than name and generateName, but metadata \
                       is implicitly specified";
            self.errors
                .push(FieldError::forbidden(&child(path, "metadata"), why));
        }
    }

    /// Items of sets and of keyed lists must be such that they can be told apart.
    fn items(&mut self, node: &Node, path: &str) {
        let Some(items) = &node.items else { return };
        let at = child(path, "items");
        let got = items.kind.map_or("", Kind::as_str);
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        match (node.list_type, items.kind) {
            (ListType::Set, Some(Kind::Object)) if !items.atomic => {
                let at = child(&at, "x-kubernetes-map-type");
                self.errors.push(FieldError::invalid_text(&at, "", why));
            }
            (ListType::Set, Some(Kind::Array)) if items.list_type != ListType::Atomic => {
                let at = child(&at, "x-kubernetes-list-type");
                self.errors.push(FieldError::invalid_text(&at, "", why));
            }
            (ListType::Map, kind) if kind != Some(Kind::Object) => {
                let why = "must be object if parent array's x-kubernetes-list-type is map";
                let at = child(&at, "type");
                self.errors.push(FieldError::invalid_text(&at, got, why));
            }
            _ => {}
        }
    }

    fn list_keys(&mut self, node: &Node, path: &str) {
        if node.list_type != ListType::Map {
            return;
        }
        let Some(items) = &node.items else { return };
        let mut keys = node.list_keys.clone();
        keys.sort();
        keys.dedup();
        if keys.len() < node.list_keys.len() {
            let at = child(path, "x-kubernetes-list-map-keys");
            let shown: Value = node
                .list_keys
                .iter()
                .map(|key| Value::from(&**key))
                .collect();
            let why = "must not contain duplicate entries";
            self.errors.push(FieldError::invalid(&at, &shown, why));
        }
        for (i, key) in node.list_keys.iter().enumerate() {
            match items.properties.get(key) {
                None => {
                    let at = format!("{path}.x-kubernetes-list-map-keys[{i}]");
                    self.errors.push(FieldError::invalid_text(
                        &at,
                        key,
                        "entries must all be names of item properties",
                    ));
                }
                Some(property) if matches!(property.kind, Some(Kind::Array | Kind::Object)) => {
                    let at = format!("{path}.items.properties[{key}].type");
                    let got = property.kind.map_or("", Kind::as_str);
                    let why =
                        "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    self.errors.push(FieldError::invalid_text(&at, got, why));
                }
                Some(property) if property.default.is_none() && !items.required.contains(key) => {
                    let at = format!("{path}.items.properties[{key}].default");
                    let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    self.errors.push(FieldError::required(&at, why));
                }
                Some(_) => {}
            }
        }
    }

    /// Inside junctors only checks are allowed, and only of fields that the structure has.
    fn only_checks(&mut self, inner: &Node, outer: &Node, path: &str) {
        let typed_int_or_string = outer.int_or_string
            && matches!(inner.kind, Some(Kind::Integer | Kind::String))
            && inner.properties.is_empty();
        if inner.kind.is_some() && !typed_int_or_string {
            self.errors.push(FieldError::forbidden(
                &child(path, "type"),
                "must be empty to be structural",
            ));
        }
        if inner.default.is_some() {
            self.errors.push(FieldError::forbidden(
                &child(path, "default"),
                "must be undefined to be structural",
            ));
        }
        if inner.nullable {
            self.errors.push(FieldError::forbidden(
                &child(path, "nullable"),
                "must be false to be structural",
            ));
        }
        if !matches!(inner.additional, Additional::None) {
            let why = "must be undefined to be structural";
            self.errors.push(FieldError::forbidden(
                &child(path, "additionalProperties"),
                why,
            ));
        }
        for (name, property) in &inner.properties {
            let at = format!("{path}.properties[{name}]");
            match outer.member(name) {
                Some(structure) => self.only_checks(property, structure, &at),
                None if outer.preserve_unknown => {}
                None => self.errors.push(FieldError::required(
                    &at,
                    "because it is defined in a value validation, it must be in the structure too",
                )),
            }
        }
        if let (Some(item), Some(structure)) = (&inner.items, &outer.items) {
            self.only_checks(item, structure, &child(path, "items"));
        }
        if let Some(junctors) = &inner.junctors {
            for (deeper, at) in junctors.all(path) {
                self.only_checks(deeper, outer, &at);
            }
        }
    }
}

impl Junctors {
    /// Every schema in here with its path.
    fn all<'a>(&'a self, path: &str) -> Vec<(&'a Node, String)> {
        let named = [
            ("allOf", &self.all_of),
            ("anyOf", &self.any_of),
            ("oneOf", &self.one_of),
        ];
        let mut all: Vec<(&Node, String)> = Vec::new();
        for (name, nodes) in named {
            all.extend(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(i, n)| (n, format!("{path}.{name}[{i}]"))),
            );
        }
        all.extend(self.not.iter().map(|n| (n, child(path, "not"))));
        all
    }
}
