//! Pins what a real API server answered to documents of one custom kind.

use serde_json::{Value, json};

use super::Schema;

fn widget() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["size"],
            "x-kubernetes-validations": [
                {"fieldPath": ".lo", "message": "lo must not exceed hi", "reason": "FieldValueForbidden",
                 "rule": "!has(self.lo) || !has(self.hi) || self.lo <= self.hi"},
                {"message": "name is required once set", "rule": "!has(oldSelf.name) || has(self.name)"}],
            "properties": {
                "color": {"type": "string", "default": "red", "enum": ["red", "green"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "hi": {"type": "integer"}, "lo": {"type": "integer"},
                "items": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "default": 7}}}},
                "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
                "maybe": {"type": "string", "nullable": true},
                "name": {"type": "string", "maxLength": 5, "pattern": "^[a-z]+$"},
                "nested": {"type": "object", "default": {}, "properties": {"on": {"type": "boolean", "default": true}}},
                "once": {"type": "string", "x-kubernetes-validations": [{"message": "once is immutable", "rule": "self == oldSelf"}]},
                "port": {"x-kubernetes-int-or-string": true},
                "size": {"type": "integer", "minimum": 1, "maximum": 10},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "when": {"type": "string", "format": "date-time"}}},
        "status": {"type": "object", "properties": {"n": {"type": "integer"}, "phase": {"type": "string"}}}}})
}

const UNCHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

fn errors(schema: &Schema, mut new: Value, old: Option<&Value>) -> Vec<String> {
    schema.prune(&mut new);
    schema.default(&mut new);
    schema
        .validate(&new, old)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn spec(spec: &Value) -> Value {
    json!({"apiVersion": "e.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec})
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn objects_are_refused_in_the_words_of_the_real_server() {
    let schema = Schema::compile(&widget()).unwrap();
    let blocked = |text: &str| vec![text.to_owned(), UNCHECKED.to_owned()];
    let one = |text: &str| vec![text.to_owned()];
    let cases = [
        (json!({"size": 1}), vec![]),
        (
            json!({"size": 2, "maybe": null, "port": "80", "items": [{"k": "x"}]}),
            vec![],
        ),
        (
            json!({"size": 0}),
            one(
                "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ),
        ),
        (
            json!({"size": 11}),
            one(
                "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
            ),
        ),
        (json!({}), blocked("spec.size: Required value")),
        (
            json!({"size": "x"}),
            blocked(
                "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            ),
        ),
        (
            json!({"size": 1, "color": "blue"}),
            blocked(
                "spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
            ),
        ),
        (
            json!({"size": 1, "name": "A1"}),
            one("spec.name: Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"),
        ),
        (
            json!({"size": 1, "name": "abcdefg"}),
            blocked("spec.name: Too long: may not be more than 5 bytes"),
        ),
        (
            json!({"size": 1, "port": true}),
            blocked(
                "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
            ),
        ),
        (
            json!({"size": 1, "when": "yesterday"}),
            blocked(
                "spec.when: Invalid value: \"yesterday\": spec.when in body must be of type date-time: \"yesterday\"",
            ),
        ),
        (
            json!({"size": 1, "items": [{"k": "a"}, {"k": "b"}, {"k": "c"}, {"k": "d"}]}),
            blocked("spec.items: Too many: 4: must have at most 3 items"),
        ),
        (
            json!({"size": 1, "items": [{"k": "a"}, {"k": "a"}]}),
            one("spec.items[1]: Duplicate value: {\"k\":\"a\"}"),
        ),
        (
            json!({"size": 1, "tags": ["a", "a"]}),
            one("spec.tags[1]: Duplicate value: \"a\""),
        ),
        (
            json!({"size": 1, "items": [{"v": 1}]}),
            blocked("spec.items[0].k: Required value"),
        ),
        (
            json!({"size": 1, "map": {"a": "x"}}),
            blocked(
                "spec.map.a: Invalid value: \"string\": spec.map.a in body must be of type integer: \"string\"",
            ),
        ),
        (
            json!({"size": 1, "map": {"a": 1, "b": 2, "c": 3}}),
            blocked("spec.map: Too many: 3: must have at most 2 items"),
        ),
        (
            json!({"size": 1, "hi": 2, "lo": 5}),
            one("spec.lo: Forbidden: lo must not exceed hi"),
        ),
        (json!({"size": null}), blocked("spec.size: Required value")),
        (json!({"size": 2.0}), vec![]),
        (
            json!([]),
            blocked(
                "spec: Invalid value: \"array\": spec in body must be of type object: \"array\"",
            ),
        ),
    ];
    for (input, expect) in cases {
        assert_eq!(errors(&schema, spec(&input), None), expect, "{input}");
    }
    assert_eq!(
        errors(&schema, spec(&json!({"size": 1.5})), None),
        [
            "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.size",
            "spec.size: Invalid value: \"number\": spec.size in body must be of type integer: \"number\"",
            UNCHECKED,
        ]
    );
    assert_eq!(
        errors(
            &schema,
            spec(&json!({"size": 99, "name": "!!", "color": "x"})),
            None
        )
        .len(),
        4
    );
}

#[test]
fn updates_are_compared_with_what_was() {
    let schema = Schema::compile(&widget()).unwrap();
    let old = spec(&json!({"size": 1, "name": "abc", "once": "x"}));
    let cases = [
        (
            json!({"size": 1, "name": "abc", "once": "y"}),
            vec!["spec.once: Invalid value: \"y\": once is immutable"],
        ),
        (
            json!({"size": 1, "once": "x"}),
            vec!["spec: Invalid value: name is required once set"],
        ),
        (json!({"size": 1, "name": "abc"}), vec![]),
    ];
    for (input, expect) in cases {
        assert_eq!(errors(&schema, spec(&input), Some(&old)), expect, "{input}");
    }
}

#[test]
fn what_was_wrong_before_is_not_blamed_on_an_update() {
    let schema = Schema::compile(&widget()).unwrap();
    let old = spec(
        &json!({"size": 99, "color": "x", "hi": 1, "lo": 2, "items": [{"k": "a", "v": "bad"}]}),
    );
    let same_but_free = spec(
        &json!({"size": 99, "color": "x", "hi": 1, "lo": 2, "free": {}, "items": [{"k": "b"}, {"k": "a", "v": "bad"}]}),
    );
    assert_eq!(
        errors(&schema, same_but_free, Some(&old)),
        ["spec.lo: Forbidden: lo must not exceed hi"]
    );
    let mut old = old;
    schema.default(&mut old);
    assert!(errors(&schema, old.clone(), Some(&old)).is_empty());
}

#[test]
fn status_errors_carry_the_path_of_the_status() {
    let schema = Schema::compile(&widget()).unwrap();
    let new = json!({"spec": {"size": 1}, "status": {"n": "x"}});
    let got: Vec<String> = schema
        .validate_status(&new, None)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        got,
        [
            "status.n: Invalid value: \"string\": n in body must be of type integer: \"string\"",
            UNCHECKED
        ]
    );
}

fn refused(schema: &Value) -> String {
    let errors = Schema::compile(schema).unwrap_err();
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn schemas_that_are_not_structural_are_refused() {
    let of = |spec: Value| json!({"type": "object", "properties": {"spec": spec}});
    let cases = [
        (
            json!({"properties": {}}),
            "openAPIV3Schema.type: Required value: must not be empty at the root",
        ),
        (
            json!({"type": "string"}),
            "openAPIV3Schema.type: Invalid value: \"string\": must be object at the root",
        ),
        (
            of(json!({"type": "object", "properties": {"size": {"minimum": 1}}})),
            "openAPIV3Schema.properties[spec].properties[size].type: Required value: must not be empty for specified object fields",
        ),
        (
            of(json!({"type": "array", "items": {}})),
            "openAPIV3Schema.properties[spec].items.type: Required value: must not be empty for specified array items",
        ),
        (
            of(json!({"type": "array"})),
            "openAPIV3Schema.properties[spec].items: Required value: must be specified",
        ),
        (
            of(json!({"type": "thing"})),
            "openAPIV3Schema.properties[spec].type: Unsupported value: \"thing\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            of(json!({"type": "string", "pattern": "("})),
            "openAPIV3Schema.properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: ",
        ),
        (
            of(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
            "openAPIV3Schema.properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}),
            ),
            "openAPIV3Schema.properties[spec].items.x-kubernetes-map-type: Invalid value: \"\": must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                "items": {"type": "string"}}),
            ),
            "openAPIV3Schema.properties[spec].items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-map-keys": ["a"], "items": {"type": "string"}}),
            ),
            "openAPIV3Schema.properties[spec].x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "a"],
                "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}}),
            ),
            "openAPIV3Schema.properties[spec].x-kubernetes-list-map-keys: Invalid value: [\"a\",\"a\"]: must not contain duplicate entries",
        ),
        (
            of(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"],
                "items": {"type": "object", "required": ["a"], "properties": {"a": {"type": "object"}}}}),
            ),
            "openAPIV3Schema.properties[spec].items.properties[a].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
        (
            of(json!({"type": "object", "x-kubernetes-map-type": "whole"})),
            "openAPIV3Schema.properties[spec].x-kubernetes-map-type: Unsupported value: \"whole\": supported values: \"atomic\", \"granular\"",
        ),
        (
            of(json!({"type": "object", "anyOf": [{"type": "string"}]})),
            "openAPIV3Schema.properties[spec].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
    ];
    for (schema, expect) in cases {
        assert!(
            refused(&schema).starts_with(expect),
            "{schema}: {}",
            refused(&schema)
        );
    }
}

#[test]
fn junctors_are_reported_as_kubernetes_does() {
    let schema = Schema::compile(
        &json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["a", "b"]}}}}),
    )
    .unwrap();
    let cases = [
        (json!({"spec": {"a": ""}}), vec![]),
        (
            json!({"spec": {}}),
            vec![
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value",
            ],
        ),
        (
            json!({"spec": {"a": "", "b": ""}}),
            vec![
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
                "<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)",
            ],
        ),
    ];
    for (input, expect) in cases {
        assert_eq!(errors(&schema, input.clone(), None), expect, "{input}");
    }
}
