//! Pins rules that CRDs of storage carry, one by one, and what a rule may not be.

mod costs;
mod formats;

use serde_json::{Value, json};

use super::eval::Fault;
use super::{CelValue, Outcome, parse, run};
use crate::schema::{Node, Schema};

fn schema(spec: impl Into<Value>) -> Schema {
    let spec = spec.into();
    Schema::compile(&json!({"type": "object", "properties": {"spec": spec}})).unwrap()
}

/// `old` is null on create.
fn check(schema: &Schema, old: &Value, new: &Value, expect: &[&str]) {
    let wrap = |v: &Value| json!({"metadata": {"name": "a"}, "spec": v});
    let before = (!old.is_null()).then(|| wrap(old));
    let got: Vec<String> = schema
        .validate(&wrap(new), before.as_ref())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(got, expect, "{old} -> {new}");
}

fn one_of_two(a: &str, b: &str, items: &Value) -> Schema {
    schema(
        json!({"type": "object", "properties": {"source": {"type": "object",
        "x-kubernetes-validations": [
            {"rule": format!("!has(oldSelf.{a}) || has(self.{a})"), "message": format!("{a} is required once set")},
            {"rule": format!("!has(oldSelf.{b}) || has(self.{b})"), "message": format!("{b} is required once set")},
            {"rule": format!("(has(self.{b}) && !has(self.{a})) || (!has(self.{b}) && has(self.{a}))"),
             "message": format!("exactly one of {b} and {a} must be set")}],
        "properties": {a: immutable(a, items), b: immutable(b, items)}}}}),
    )
}

fn immutable(name: &str, shape: &Value) -> Value {
    let mut shape = shape.clone();
    shape["x-kubernetes-validations"] =
        json!([{"rule": "self == oldSelf", "message": format!("{name} is immutable")}]);
    shape
}

#[test]
fn a_source_is_set_once_and_is_one_of_two() {
    let s = one_of_two(
        "persistentVolumeClaimName",
        "volumeSnapshotContentName",
        &json!({"type": "string"}),
    );
    let pvc = |name: &str| json!({"source": {"persistentVolumeClaimName": name}});
    let content = json!({"source": {"volumeSnapshotContentName": "c"}});
    let neither = json!({"source": {}});
    let both =
        json!({"source": {"persistentVolumeClaimName": "p", "volumeSnapshotContentName": "c"}});
    let exactly = "spec.source: Invalid value: exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set";
    let once = "spec.source: Invalid value: persistentVolumeClaimName is required once set";
    check(&s, &Value::Null, &pvc("p"), &[]);
    check(&s, &Value::Null, &pvc(""), &[]);
    check(&s, &Value::Null, &content, &[]);
    check(&s, &Value::Null, &neither, &[exactly]);
    check(&s, &Value::Null, &both, &[exactly]);
    check(&s, &pvc("p"), &pvc("p"), &[]);
    check(
        &s,
        &pvc("p"),
        &pvc("q"),
        &[
            "spec.source.persistentVolumeClaimName: Invalid value: \"q\": persistentVolumeClaimName is immutable",
        ],
    );
    check(
        &s,
        &pvc("p"),
        &pvc(""),
        &[
            "spec.source.persistentVolumeClaimName: Invalid value: \"\": persistentVolumeClaimName is immutable",
        ],
    );
    check(&s, &pvc("p"), &content, &[once]);
    check(&s, &pvc("p"), &neither, &[once, exactly]);
    check(&s, &pvc("p"), &both, &[exactly]);
}

#[test]
fn lists_and_objects_are_immutable_as_a_whole() {
    let s = one_of_two(
        "selector",
        "volumeHandles",
        &json!({"type": "object", "x-kubernetes-map-type": "atomic",
        "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}}}),
    );
    let with = |labels: Value| json!({"source": {"selector": {"matchLabels": labels}}});
    check(&s, &Value::Null, &json!({"source": {"selector": {}}}), &[]);
    check(&s, &with(json!({"a": "b"})), &with(json!({"a": "b"})), &[]);
    check(
        &s,
        &with(json!({"a": "b"})),
        &with(json!({"a": "c"})),
        &["spec.source.selector: Invalid value: selector is immutable"],
    );
    let handles = schema(
        json!({"type": "object", "properties": {"volumeHandles": {"type": "array", "items": {"type": "string"},
        "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "volumeHandles is immutable"}]}}}),
    );
    check(
        &handles,
        &json!({"volumeHandles": ["a"]}),
        &json!({"volumeHandles": ["a"]}),
        &[],
    );
    check(
        &handles,
        &json!({"volumeHandles": ["a"]}),
        &json!({"volumeHandles": ["a", "b"]}),
        &["spec.volumeHandles: Invalid value: volumeHandles is immutable"],
    );
    check(
        &handles,
        &json!({}),
        &json!({"volumeHandles": ["a", "b"]}),
        &[],
    );
}

#[test]
fn names_that_are_set_are_not_empty() {
    let s = schema(
        json!({"type": "object", "properties": {"volumeSnapshotClassName": {"type": "string",
        "x-kubernetes-validations": [{"rule": "size(self) > 0", "message": "volumeSnapshotClassName must not be the empty string when set"}]}}}),
    );
    check(&s, &Value::Null, &json!({}), &[]);
    check(
        &s,
        &Value::Null,
        &json!({"volumeSnapshotClassName": "a"}),
        &[],
    );
    check(
        &s,
        &json!({"volumeSnapshotClassName": "a"}),
        &json!({}),
        &[],
    );
    check(
        &s,
        &Value::Null,
        &json!({"volumeSnapshotClassName": ""}),
        &[
            "spec.volumeSnapshotClassName: Invalid value: \"\": volumeSnapshotClassName must not be the empty string when set",
        ],
    );
}

#[test]
fn a_mode_may_be_set_late_but_not_unset() {
    let s = schema(json!({"type": "object",
        "x-kubernetes-validations": [{"rule": "!has(oldSelf.sourceVolumeMode) || has(self.sourceVolumeMode)", "message": "sourceVolumeMode is required once set"}],
        "properties": {"other": {"type": "string"}, "sourceVolumeMode": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "sourceVolumeMode is immutable"}]}}}));
    let mode = |m: &str| json!({"sourceVolumeMode": m});
    check(&s, &Value::Null, &json!({}), &[]);
    check(&s, &json!({}), &mode("Block"), &[]);
    check(
        &s,
        &mode("Block"),
        &mode("Filesystem"),
        &["spec.sourceVolumeMode: Invalid value: \"Filesystem\": sourceVolumeMode is immutable"],
    );
    check(
        &s,
        &mode("Block"),
        &json!({"other": "x"}),
        &["spec: Invalid value: sourceVolumeMode is required once set"],
    );
}

fn reference() -> Schema {
    schema(
        json!({"type": "object", "properties": {"ref": {"type": "object", "x-kubernetes-map-type": "atomic",
        "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}, "uid": {"type": "string"}},
        "x-kubernetes-validations": [
            {"rule": "has(self.name) && has(self.__namespace__)", "message": "both name and namespace must be set"},
            {"rule": "self.name == oldSelf.name && self.__namespace__ == oldSelf.__namespace__", "message": "name and namespace are immutable"},
            {"rule": "!has(oldSelf.uid) || (has(self.uid) && self.uid == oldSelf.uid)", "message": "uid is immutable once set"}]}}}),
    )
}

#[test]
fn references_keep_name_and_uid() {
    let s = reference();
    let of = |v: Value| json!({"ref": v});
    let plain = of(json!({"name": "a", "namespace": "b"}));
    let with_uid = of(json!({"name": "a", "namespace": "b", "uid": "1"}));
    check(&s, &Value::Null, &plain, &[]);
    check(
        &s,
        &Value::Null,
        &of(json!({"name": "", "namespace": ""})),
        &[],
    );
    check(
        &s,
        &Value::Null,
        &of(json!({"name": "a"})),
        &["spec.ref: Invalid value: both name and namespace must be set"],
    );
    check(&s, &plain, &with_uid, &[]);
    check(
        &s,
        &with_uid,
        &plain,
        &["spec.ref: Invalid value: uid is immutable once set"],
    );
    check(
        &s,
        &with_uid,
        &of(json!({"name": "a", "namespace": "b", "uid": "2"})),
        &["spec.ref: Invalid value: uid is immutable once set"],
    );
    check(
        &s,
        &plain,
        &of(json!({"name": "z", "namespace": "b"})),
        &["spec.ref: Invalid value: name and namespace are immutable"],
    );
    // The second rule fails to find the name; the first already says so.
    check(
        &s,
        &plain,
        &of(json!({"namespace": "b"})),
        &[
            "spec.ref: Invalid value: both name and namespace must be set",
            "spec.ref: Invalid value: no such key: name evaluating rule: name and namespace are immutable",
        ],
    );
}

#[test]
fn root_fields_follow_rules_that_compare() {
    let s = Schema::compile(&json!({"type": "object", "properties": {
        "driver": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "driver is immutable once set"}]},
        "parameters": {"type": "object", "additionalProperties": {"type": "string"},
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "parameters are immutable once set"}]}}})).unwrap();
    let of = |v: Value| json!({"metadata": {"name": "a"}, "driver": "d", "parameters": v});
    let none = json!({"metadata": {"name": "a"}, "driver": "d"});
    let texts = |new: &Value, old: &Value| -> Vec<String> {
        s.validate(new, Some(old))
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert!(texts(&of(json!({"a": "b"})), &none).is_empty());
    assert!(texts(&none, &of(json!({"a": "b"}))).is_empty());
    assert_eq!(
        texts(&of(json!({"a": "c"})), &of(json!({"a": "b"}))),
        ["parameters: Invalid value: parameters are immutable once set"]
    );
    assert_eq!(
        texts(&json!({"driver": "e"}), &none),
        ["driver: Invalid value: \"e\": driver is immutable once set"]
    );
}

#[test]
fn kubernetes_extras_work() {
    let rule = |r: Value| {
        schema(json!({"type": "object", "properties": {
        "name": {"type": "string"}, "when": {"type": "string", "format": "date-time"}, "ratio": {"type": "number"},
        "a-b": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}}, "port": {"x-kubernetes-int-or-string": true}},
        "x-kubernetes-validations": [r]}))
    };
    let full = json!({"name": "añ", "when": "2024-01-01T00:00:00Z", "ratio": 1, "a-b": "x", "list": [{"n": 1}, {"n": 2}], "labels": {"k.io/x": "v"}, "port": "80"});
    let good = [
        "size(self.name) == 2",
        "self.name.size() == 2",
        "self.when > timestamp('2023-01-01T00:00:00Z')",
        "self.ratio == 1.0",
        "self.a__dash__b == 'x'",
        "self.list.all(i, i.n > 0)",
        "self.list.exists_one(i, i.n == 2)",
        "self.list.map(i, i.n).sum() == 3",
        "self.labels.all(k, k.startsWith('k.io/'))",
        "'k.io/x' in self.labels && self.labels['k.io/x'] == 'v'",
        "quantity('1Gi').isGreaterThan(quantity('1G'))",
        "self.name.matches('^a')",
        "dyn(self.port) == '80'",
        "has(self.name) ? self.name != '' : true",
    ];
    for text in good {
        check(&rule(json!({"rule": text})), &Value::Null, &full, &[]);
    }
    check(
        &rule(json!({"rule": "self.ratio > 2.0"})),
        &Value::Null,
        &full,
        &["spec: Invalid value: failed rule: self.ratio > 2.0"],
    );
    check(
        &rule(
            json!({"rule": "self.ratio > 2.0", "messageExpression": "'ratio of ' + self.name + ' is small'"}),
        ),
        &Value::Null,
        &full,
        &["spec: Invalid value: ratio of añ is small"],
    );
    check(
        &rule(
            json!({"rule": "!oldSelf.hasValue() || oldSelf.value().name == self.name", "optionalOldSelf": true, "message": "m"}),
        ),
        &Value::Null,
        &full,
        &[],
    );
    check(
        &rule(
            json!({"rule": "oldSelf.hasValue()", "optionalOldSelf": true, "message": "not on create"}),
        ),
        &Value::Null,
        &full,
        &["spec: Invalid value: not on create"],
    );
    check(
        &rule(
            json!({"rule": "self.ratio > 2.0", "reason": "FieldValueRequired", "message": "m", "fieldPath": ".name"}),
        ),
        &Value::Null,
        &full,
        &["spec.name: Required value: m"],
    );
}

#[test]
fn the_names_of_the_object_are_seen_from_its_root() {
    let s = Schema::compile(
        &json!({"type": "object", "properties": {"spec": {"type": "object"}},
        "x-kubernetes-validations": [{"rule": "self.metadata.name == 'a'", "message": "only a"}]}),
    )
    .unwrap();
    assert!(
        s.validate(&json!({"metadata": {"name": "a"}}), None)
            .is_empty()
    );
    assert_eq!(
        s.validate(&json!({"metadata": {"name": "b"}}), None)[0].to_string(),
        "<nil>: Invalid value: only a"
    );
}

#[test]
fn a_rule_that_cannot_work_is_refused() {
    let refused = |rule: Value| -> String {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"size": {"type": "integer"}, "name": {"type": "string"}}, "x-kubernetes-validations": [rule]}}});
        Schema::compile(&schema).unwrap_err()[0].to_string()
    };
    assert_eq!(
        refused(json!({"rule": "self.nope > 1"})),
        concat!(
            "openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ",
            "{\"Rule\":\"self.nope \\u003e 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: ",
            "compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope > 1\n | ....^"
        )
    );
    let cases = [
        ("self.size >", "compilation failed: "),
        (
            "self.size > 'x'",
            "found no matching overload for '_>_' applied to '(int, string)'",
        ),
        ("self.size", "must evaluate to a bool"),
        ("other == 1", "undeclared reference to 'other'"),
        (
            "frobnicate(self.size)",
            "undeclared reference to 'frobnicate'",
        ),
        (
            "math.greatest(self.size, 1) > 1",
            "undeclared reference to 'math' (in container ''): Kubernetes has no such library; compare and choose",
        ),
        (
            "base64.decode(self.name) == b'a'",
            "undeclared reference to 'base64' (in container ''): Kubernetes has no such library; rules see a field of `format: byte`",
        ),
        (
            "jsonpatch.escapeKey(self.name) == 'a'",
            "undeclared reference to 'jsonpatch'",
        ),
        (
            "cel.bind(x, self.size, x > 1)",
            "undeclared reference to 'cel' (in container ''): Kubernetes has no cel.bind",
        ),
        (
            "self.name.nope == 1",
            "type 'string' does not support field selection",
        ),
        ("self.metadata.name == ''", "undefined field 'metadata'"),
        ("", "rule is not specified"),
    ];
    for (rule, expect) in cases {
        let got = refused(json!({"rule": rule}));
        assert!(got.contains(expect), "{rule}: {got}");
    }
    let nested = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    assert!(refused(json!({"rule": nested})).contains("nests brackets deeper"));
    assert!(refused(json!({"rule": format!("self{}", ".a".repeat(400))})).contains("nests deeper"));
    assert!(refused(json!({"rule": "true ".repeat(4000)})).contains("longer than"));
    assert!(
        refused(json!({"rule": "self.size > 1", "reason": "Because"}))
            .contains("Unsupported value: \"Because\"")
    );
    assert!(
        refused(json!({"rule": "self.size > 1", "fieldPath": ".nope"}))
            .contains("does not refer to a valid field")
    );
}

#[test]
fn items_of_plain_lists_have_no_past() {
    let list = |kind: &str| {
        json!({"type": "object", "properties": {"spec": {"type": "array", "x-kubernetes-list-type": kind,
        "x-kubernetes-list-map-keys": if kind == "map" { json!(["k"]) } else { Value::Null },
        "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed"}]}}}}}})
    };
    assert!(
        Schema::compile(&list("atomic")).unwrap_err()[0]
            .to_string()
            .contains("oldSelf cannot be used on the uncorrelatable portion")
    );
    let s = Schema::compile(&list("map")).unwrap();
    check(
        &s,
        &json!([{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]),
        &json!([{"k": "b", "v": "2"}, {"k": "a", "v": "9"}]),
        &["spec[1].v: Invalid value: \"9\": fixed"],
    );
}

/// An object whose fields the expressions of `true.txt` look at.
fn sample() -> CelValue {
    let any = Node::default();
    let schema = Schema::compile(&json!({"type": "object"})).unwrap();
    let sample = json!({"name": "añb", "n": 1, "f": 1.5, "one": 1.0, "l": [1, 2, 3], "m": {"a": 1},
        "obj": {"x": {"y": "z"}}, "nul": null});
    super::value::of(&schema, &any, &sample, false)
}

fn evaluated(text: &str) -> Outcome {
    run(
        &parse(text).unwrap(),
        &[("self", &sample())],
        &mut u64::MAX.clone(),
    )
}

#[test]
fn expressions_mean_what_cel_and_kubernetes_say() {
    let mut wrong = Vec::new();
    for line in include_str!("tests/true.txt").lines() {
        match parse(line) {
            Ok(_) if evaluated(line) == Ok(CelValue::Bool(true)) => {}
            Ok(_) => wrong.push(format!("{line} => {:?}", evaluated(line))),
            Err(why) => wrong.push(format!("{line} => {why}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let cases = [
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("self.l[3] == 1", "index out of bounds: 3"),
        ("self.m['b'] == 1", "no such key: b"),
        ("self.nope == 1", "no such key: nope"),
        ("self.l[dyn(0.5)] == 1", "no such overload"),
        ("dyn(1) + 1.0 == 2.0", "no such overload"),
        ("dyn('a') < 1", "no such overload"),
        ("[0, 1].all(x, 1 / x == 1)", "division by zero"),
        (
            "optional.none().value() == 1",
            "optional.none() dereference",
        ),
        ("{'a': 1, 'a': 2}.size() == 1", "failed with repeated key"),
        (
            "format.named('nope').value().validate('a').hasValue()",
            "optional.none() dereference",
        ),
        (
            "timestamp('2024-01-01T00:00:00Z').getHours('Nowhere/Town') == 0",
            "unknown time zone Nowhere/Town",
        ),
        (
            "timestamp('2024-01-01T00:00:00Z').getHours('+24:00') == 0",
            "unknown time zone +24:00: write a distance from UTC as +02:30, at most 14 hours",
        ),
        (
            "timestamp('2024-01-01T00:00:00Z').getHours(1) == 0",
            "no such overload",
        ),
        ("duration('1h').getHours('UTC') == 1", "no such overload"),
        (
            "[duration('1s'), 1].sum() == duration('2s')",
            "no such overload",
        ),
    ];
    for (text, why) in cases {
        assert_eq!(evaluated(text), Err(Fault::Error(why.into())), "{text}");
    }
}

#[test]
fn an_evaluation_is_cut_off_where_it_costs_too_much() {
    let many = "[1,2,3,4,5,6,7,8,9,10]";
    let nested = (0..7).fold("true".to_owned(), |inner, n| {
        format!("{many}.all(x{n}, {inner})")
    });
    let doubled = (0..28).fold("x".to_owned(), |inner, _| {
        format!("cel.bind(x, x + x, {inner})")
    });
    let eight = |x: &str| format!("[{x},{x},{x},{x},{x},{x},{x},{x}]");
    let woven = (0..9).fold("x == y".to_owned(), |inner, _| {
        let (x, y) = (eight("x"), eight("y"));
        format!("cel.bind(x, {x}, cel.bind(y, {y}, {inner}))")
    });
    let told = woven.replace("x == y", "'%s'.format([x]) == ''");
    let long = "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'";
    let joined = format!("lists.range(9000).map(i, {long}).join()");
    let cases = [
        nested,
        format!("cel.bind(x, 'abcdefghijklmnopqrstuvwxyz', {doubled}) == ''"),
        format!("cel.bind(x, [1], cel.bind(y, [1], {woven}))"),
        format!("cel.bind(x, [1], cel.bind(y, [1], {told}))"),
        "lists.range(9000000000).size() == 1".into(),
        format!("cel.bind(y, {joined}, y.replace('a', y).size() == 1)"),
    ];
    for text in cases {
        assert_eq!(evaluated(&text), Err(Fault::OverBudget), "{text}");
    }
}

#[test]
fn all_rules_of_an_object_share_a_budget() {
    let rule = "lists.range(30000).all(x, x >= 0) && self > 0";
    let schema = Schema::compile(
        &json!({"type": "object", "properties": {"l": {"type": "array",
        "items": {"type": "integer", "x-kubernetes-validations": [{"rule": rule}]}}}}),
    )
    .unwrap();
    let errors = |items: usize| -> Vec<String> {
        let object = json!({"l": vec![1; items]});
        let errors = schema.validate(&object, None);
        errors.iter().map(ToString::to_string).collect()
    };
    assert_eq!(errors(20), [] as [String; 0]);
    let errors = errors(400);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("running out of cost budget"),
        "{errors:?}"
    );
}
