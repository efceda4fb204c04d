//! Tables of what policies say about objects.

use serde_json::json;

use super::*;

fn policy(spec: &Value) -> Policy {
    Policy::read(&json!({"metadata": {"name": "p"}, "spec": spec}), &[]).unwrap()
}

fn judged(policy: &Policy, object: &Value, params: Option<&Value>) -> Vec<String> {
    let scope = vec![
        ("object", Ok(dynamic(object))),
        ("oldObject", Ok(CelValue::Null)),
        ("namespaceObject", Ok(CelValue::Null)),
    ];
    let complaints = policy.judge(scope, params).complaints.into_iter();
    complaints.map(|complaint| complaint.message).collect()
}

#[test]
fn messages_come_from_the_best_place() {
    let object = json!({"replicas": 7});
    for (change, message) in [
        (json!({}), "failed expression: object.replicas < 5"),
        (json!({"message": " at most four "}), "at most four"),
        (
            json!({"message": "m", "messageExpression": "'not ' + string(object.replicas)"}),
            "not 7",
        ),
        (json!({"message": "m", "messageExpression": "'  '"}), "m"),
        (json!({"message": "m", "messageExpression": "'a\\nb'"}), "m"),
        (
            json!({"message": "m", "messageExpression": "object.none"}),
            "m",
        ),
        (
            json!({"message": "m", "messageExpression": "'x'.replace('x', '0123456789'.split('').map(i, i + i).join('')) + string(object.replicas)"}),
            "001122334455667788997",
        ),
    ] {
        let mut validation = json!({"expression": " object.replicas < 5"});
        json_patch::merge(&mut validation, &change);
        let policy = policy(&json!({"validations": [validation]}));
        assert_eq!(judged(&policy, &object, None), [message], "{change}");
    }
}

#[test]
fn variables_are_evaluated_where_they_are_used() {
    let policy = policy(&json!({
        "variables": [
            {"name": "labels", "expression": "object.metadata.labels"},
            {"name": "colour", "expression": "variables.labels['colour']"},
            {"name": "never", "expression": "object.none.at.all"},
        ],
        "validations": [
            {"expression": "!has(object.metadata) || variables.colour == 'red'"},
            {"expression": "!has(object.strict) || variables.never == 1"},
        ],
    }));
    let red = json!({"metadata": {"labels": {"colour": "red"}}});
    assert!(judged(&policy, &red, None).is_empty());
    assert!(judged(&policy, &json!({}), None).is_empty());
    let bare = json!({"metadata": {"labels": {}}});
    assert_eq!(
        judged(&policy, &bare, None),
        [
            "expression '!has(object.metadata) || variables.colour == 'red'' resulted in error: no such key: colour"
        ]
    );
    assert_eq!(judged(&policy, &json!({"strict": true}), None).len(), 1);
}

#[test]
fn parameters_may_be_absent() {
    let policy = policy(&json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params == null || object.size <= int(params.data.most)"}],
    }));
    let object = json!({"size": 3});
    assert!(judged(&policy, &object, None).is_empty());
    assert!(judged(&policy, &object, Some(&json!({"data": {"most": "3"}}))).is_empty());
    assert_eq!(
        judged(&policy, &object, Some(&json!({"data": {"most": "2"}}))).len(),
        1
    );
}

#[test]
fn conditions_come_before_validations() {
    let conditions = |expression: &str, policy: &str| {
        json!({"failurePolicy": policy, "matchConditions": [{"name": "c", "expression": expression}],
            "validations": [{"expression": "false"}]})
    };
    for (expression, failure, complaints) in [
        ("true", "Fail", vec!["failed expression: false"]),
        ("false", "Fail", vec![]),
        (
            "object.none",
            "Fail",
            vec!["expression 'object.none' resulted in error: no such key: none"],
        ),
        ("object.none", "Ignore", vec![]),
    ] {
        let policy = policy(&conditions(expression, failure));
        assert_eq!(
            judged(&policy, &json!({}), None),
            complaints,
            "{expression} {failure}"
        );
    }
}

#[test]
fn a_policy_that_costs_too_much_is_a_failure() {
    let many: Vec<u32> = (0..300).collect();
    let slow = json!({"expression": "object.list.all(i, object.list.all(j, i + j >= 0))"});
    let validations: Vec<Value> = std::iter::repeat_n(slow, 30).collect();
    let object = json!({"list": many});
    let strict = policy(&json!({"validations": validations}));
    let complaints = judged(&strict, &object, None);
    let last = complaints.last().expect("within budget");
    assert!(last.contains("running out of cost budget"), "{last}");
    assert!(
        complaints.len() < validations.len(),
        "none was within budget"
    );
    let open = policy(&json!({"validations": validations, "failurePolicy": "Ignore"}));
    assert!(judged(&open, &object, None).is_empty());
}

#[test]
fn an_annotation_that_is_no_text_is_a_failure() {
    let with = |value: &str| {
        policy(&json!({"auditAnnotations": [{"key": "k", "valueExpression": value}]}))
    };
    assert!(judged(&with("'a'"), &json!({}), None).is_empty());
    assert!(judged(&with("null"), &json!({}), None).is_empty());
    assert_eq!(judged(&with("object.none"), &json!({}), None).len(), 1);
}
