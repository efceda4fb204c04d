//! Checks a document against its schema, in the words of the API server.
//!
//! Does not know the object's history but for the version before: what an update leaves as it was is not blamed on it.

use serde_json::{Map, Value};

use super::error::{FieldError, NO_FIELD, child, go_quote};
use super::{Additional, Junctors, Kind, Limits, ListType, Node, Schema, format, lists, type_of};

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

impl Schema {
    /// Everything wrong with `new`: shape, limits, list keys, rules.
    pub(crate) fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let errors = self.validate_at(self.root(), new, old, "");
        self.then_lists_and_rules(errors, new, old)
    }

    /// The same for a write to the status subresource, which can only have changed the status.
    pub(crate) fn validate_status(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let (Some(node), Some(status)) = (self.root().member("status"), new.get("status")) {
            let before = old.and_then(|o| o.get("status"));
            errors = self.validate_at(node, status, before, "");
            for error in &mut errors {
                error.path = match error.path.as_str() {
                    NO_FIELD => "status".into(),
                    path => child("status", path),
                };
            }
        }
        self.then_lists_and_rules(errors, new, old)
    }

    fn then_lists_and_rules(
        &self,
        mut errors: Vec<FieldError>,
        new: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let repeated = lists::duplicates(self, new);
        if !repeated.is_empty() && old.is_none_or(|old| lists::duplicates(self, old).is_empty()) {
            errors.extend(repeated);
        }
        if self.has_rules {
            if errors.iter().any(FieldError::blocks_rules) {
                errors.push(FieldError::invalid(NO_FIELD, &Value::Null, UNCHECKED));
            } else {
                errors.extend(super::cel::validate(self, new, old));
            }
        }
        errors
    }

    /// Shape and limits of one value at `path`.
    pub(super) fn validate_at(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &str,
    ) -> Vec<FieldError> {
        let mut check = Check {
            schema: self,
            errors: Vec::new(),
        };
        check.node(node, value, old, path);
        check.errors
    }
}

struct Check<'a> {
    schema: &'a Schema,
    errors: Vec<FieldError>,
}

fn field(path: &str) -> &str {
    if path.is_empty() { NO_FIELD } else { path }
}

impl Check<'_> {
    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        self.errors.push(FieldError::invalid(
            field(path),
            value,
            &format!("{path} in body {why}"),
        ));
    }

    fn of_no_field(&mut self, why: &str) {
        self.errors
            .push(FieldError::invalid_text(NO_FIELD, "", why));
    }

    fn node(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &str) {
        if old == Some(value) {
            return;
        }
        let node = self.schema.resolve(node);
        self.value_type(node, value, path);
        if let Some(junctors) = &node.junctors {
            self.junctors(junctors, value, path);
        }
        let unlimited = Limits::default();
        let limits = node.limits.as_deref().unwrap_or(&unlimited);
        match value {
            Value::String(text) => self.text(node, limits, text, path),
            Value::Number(_) => self.number(node, limits, value, path),
            Value::Array(items) => self.list(node, limits, items, old, path),
            Value::Null | Value::Bool(_) | Value::Object(_) => {}
        }
        if let Some(allowed) = &limits.one_of_values
            && !allowed.contains(value)
        {
            let shown = allowed
                .iter()
                .map(|v| v.as_str().map_or_else(|| v.to_string(), Into::into));
            let shown: Vec<String> = shown.collect();
            self.errors
                .push(FieldError::not_supported(field(path), value, &shown));
        }
        if let Value::Object(members) = value {
            self.object(node, limits, members, old, path);
        }
    }

    fn value_type(&mut self, node: &Node, value: &Value, path: &str) {
        let got = type_of(value);
        let want = match (node.kind, value) {
            (_, Value::Null) if node.nullable => return,
            (None, _) if node.int_or_string => match value {
                Value::String(_) => return,
                Value::Number(_) if got == "integer" => return,
                _ => "integer,string",
            },
            (None, _) | (Some(Kind::Number), Value::Number(_)) => return,
            (Some(kind), _) if kind.as_str() == got => return,
            (Some(kind), _) => kind.as_str(),
        };
        if node.kind == Some(Kind::Integer) && got == "number" {
            self.of_no_field(&format!(
                "Checked value must be of type integer (default format) in {path}"
            ));
        }
        let why = format!("{path} in body must be of type {want}: {}", go_quote(got));
        self.errors
            .push(FieldError::type_invalid(field(path), got, &why));
    }

    fn text(&mut self, node: &Node, limits: &Limits, text: &str, path: &str) {
        let value = Value::from(text);
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if let Some(most) = limits.max_length.filter(|most| length > *most) {
            self.errors.push(FieldError::too_long(field(path), most));
        }
        if let Some(least) = limits.min_length.filter(|least| length < *least) {
            self.invalid(
                path,
                &value,
                &format!("should be at least {least} chars long"),
            );
        }
        if let Some(pattern) = limits.pattern.as_ref().filter(|p| !p.is_match(text)) {
            self.invalid(
                path,
                &value,
                &format!("should match '{}'", pattern.as_str()),
            );
        }
        if let Some(name) = node.format.as_deref()
            && node.kind == Some(Kind::String)
            && !format::accepts(name, text)
        {
            let why = format!("{path} in body must be of type {name}: {}", go_quote(text));
            self.errors
                .push(FieldError::type_invalid(field(path), text, &why));
        }
    }

    fn number(&mut self, node: &Node, limits: &Limits, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        if let Some(multiple) = limits.multiple_of
            && (number / multiple).fract().abs() > f64::EPSILON
        {
            self.invalid(path, value, &format!("should be a multiple of {multiple}"));
        }
        if let Some(most) = limits.maximum {
            if limits.exclusive_maximum && number >= most {
                self.invalid(path, value, &format!("should be less than {most}"));
            } else if number > most {
                self.invalid(
                    path,
                    value,
                    &format!("should be less than or equal to {most}"),
                );
            }
        }
        if let Some(least) = limits.minimum {
            if limits.exclusive_minimum && number <= least {
                self.invalid(path, value, &format!("should be greater than {least}"));
            } else if number < least {
                self.invalid(
                    path,
                    value,
                    &format!("should be greater than or equal to {least}"),
                );
            }
        }
        let (least, most) = match (node.kind, node.format.as_deref()) {
            (Some(Kind::Integer), Some("int32")) => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => return,
        };
        if number < least || number > most {
            self.of_no_field(&format!(
                "Checked value must be of type integer with format int32 in {path}"
            ));
        }
    }

    fn list(
        &mut self,
        node: &Node,
        limits: &Limits,
        items: &[Value],
        old: Option<&Value>,
        path: &str,
    ) {
        if let Some(item_node) = &node.items {
            let before = old
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for (i, item) in items.iter().enumerate() {
                let was = lists::counterpart(node, item, before);
                self.node(item_node, item, was, &format!("{path}[{i}]"));
            }
        }
        let have = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(least) = limits.min_items.filter(|least| have < *least) {
            let value = Value::from(have);
            self.invalid(path, &value, &format!("should have at least {least} items"));
        }
        if let Some(most) = limits.max_items.filter(|most| have > *most) {
            self.errors
                .push(FieldError::too_many(field(path), items.len(), most));
        }
        if limits.unique_items && (1..items.len()).any(|i| items[..i].contains(&items[i])) {
            self.of_no_field(&format!("{path} in body shouldn't contain duplicates"));
        }
    }

    fn object(
        &mut self,
        node: &Node,
        limits: &Limits,
        members: &Map<String, Value>,
        old: Option<&Value>,
        path: &str,
    ) {
        let have = u64::try_from(members.len()).unwrap_or(u64::MAX);
        if let Some(least) = limits.min_properties.filter(|least| have < *least) {
            let value = Value::Object(members.clone());
            self.invalid(
                path,
                &value,
                &format!("should have at least {least} properties"),
            );
            return;
        }
        if let Some(most) = limits.max_properties.filter(|most| have > *most) {
            self.errors
                .push(FieldError::too_many(field(path), members.len(), most));
            return;
        }
        for name in node
            .required
            .iter()
            .filter(|name| !members.contains_key(name.as_ref()))
        {
            self.errors
                .push(FieldError::required(&child(path, name), ""));
        }
        if node.embedded {
            for name in ["apiVersion", "kind"] {
                if members
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .is_empty()
                {
                    self.errors.push(FieldError::required(
                        &child(path, name),
                        "must not be empty",
                    ));
                }
            }
        }
        for (name, member) in members {
            let next = match (node.properties.get(name.as_str()), &node.additional) {
                (Some(next), _) => next,
                (None, Additional::Of(next)) => next,
                (None, Additional::None | Additional::Any) => continue,
            };
            self.node(
                next,
                member,
                old.and_then(|o| o.get(name)),
                &child(path, name),
            );
        }
    }

    fn junctors(&mut self, junctors: &Junctors, value: &Value, path: &str) {
        let errors_of = |node: &Node| self.schema.validate_at(node, value, None, path);
        let quoted = go_quote(path);
        let mut found = Vec::new();
        if !junctors.any_of.is_empty() {
            let each: Vec<Vec<FieldError>> = junctors.any_of.iter().map(errors_of).collect();
            if !each.iter().any(Vec::is_empty) {
                let why = format!("{quoted} must validate at least one schema (anyOf)");
                found.push(FieldError::invalid_text(NO_FIELD, "", &why));
                found.extend(each.into_iter().next().unwrap_or_default());
            }
        }
        if !junctors.one_of.is_empty() {
            let each: Vec<Vec<FieldError>> = junctors.one_of.iter().map(errors_of).collect();
            let valid = each.iter().filter(|e| e.is_empty()).count();
            if valid != 1 {
                let many = if valid == 0 {
                    "none valid".into()
                } else {
                    format!("{valid} valid alternatives")
                };
                let why =
                    format!("{quoted} must validate one and only one schema (oneOf). Found {many}");
                found.push(FieldError::invalid_text(NO_FIELD, "", &why));
                if valid == 0 {
                    found.extend(each.into_iter().next().unwrap_or_default());
                }
            }
        }
        if !junctors.all_of.is_empty() {
            let each: Vec<Vec<FieldError>> = junctors.all_of.iter().map(errors_of).collect();
            let failed = each.iter().filter(|e| !e.is_empty()).count();
            if failed > 0 {
                let none = if failed == each.len() {
                    ". None validated"
                } else {
                    ""
                };
                found.extend(each.into_iter().flatten());
                let why = format!("{quoted} must validate all the schemas (allOf){none}");
                found.push(FieldError::invalid_text(NO_FIELD, "", &why));
            }
        }
        if let Some(not) = &junctors.not
            && errors_of(not).is_empty()
        {
            let why = format!("{quoted} must not validate the schema (not)");
            found.push(FieldError::invalid_text(NO_FIELD, "", &why));
        }
        self.errors.extend(found);
    }
}

impl ListType {
    /// Whether an item can be told to be the same one as before.
    pub(super) fn correlates(self) -> bool {
        self == Self::Map
    }
}
