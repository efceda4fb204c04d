//! What rules may cost at worst. Figures that a real server was seen to print say so.

use serde_json::{Value, json};

use crate::schema::Schema;

fn too_costly(spec: &Value) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let schema = Schema::compile(&schema).unwrap();
    let errors = schema.too_costly();
    errors.iter().map(ToString::to_string).collect()
}

fn with(mut shape: Value, rule: &str) -> Value {
    shape["x-kubernetes-validations"] = json!([{"rule": rule}]);
    shape
}

fn text(longest: u64) -> Value {
    json!({"type": "string", "maxLength": longest})
}

#[test]
fn a_rule_that_multiplies_two_long_texts_is_refused_with_its_factor() {
    let case = with(
        json!({"type": "object", "properties": {"message": text(4096), "expect":
            {"type": "object", "properties": {"contains": text(4096)}}}}),
        "!self.message.contains(self.expect.contains)",
    );
    let refused = too_costly(&json!({"type": "array", "maxItems": 20, "items": case}));
    // Kubernetes 1.36 says 5.4 of these bounds.
    assert_eq!(
        refused,
        [
            "openAPIV3Schema.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden: \
             estimated rule cost exceeds budget by factor of 5.4x (try simplifying the rule, or \
             adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are \
             declared)"
        ]
    );
    let case = with(
        json!({"type": "object", "properties": {"message": text(4096), "expect":
            {"type": "object", "properties": {"contains": text(512)}}}}),
        "!self.message.contains(self.expect.contains)",
    );
    let taken = too_costly(&json!({"type": "array", "maxItems": 20, "items": case}));
    assert_eq!(taken, [""; 0], "Kubernetes takes these");
}

#[test]
fn what_nothing_bounds_is_counted_as_what_fits_into_a_request() {
    let all = "self.all(x, x.contains('a string'))";
    let refused = too_costly(&with(
        json!({"type": "array", "items": {"type": "string"}}),
        all,
    ));
    let factor = "estimated rule cost exceeds budget by factor of more than 100x (try";
    assert!(refused[0].contains(factor), "{refused:?}");
    assert_eq!(
        refused[1],
        "openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: contributed \
         to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    );
    let total = "openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total \
                 for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try";
    assert!(refused[2].starts_with(total), "{refused:?}");
    let bounded = json!({"type": "array", "maxItems": 25, "items": text(10)});
    assert_eq!(too_costly(&with(bounded, all)), [""; 0]);
    let by_all_of = json!({"type": "array", "allOf": [{"maxItems": 25}], "items": text(10)});
    assert_eq!(too_costly(&with(by_all_of, all)), [""; 0]);
    let of_few = json!({"type": "array", "maxItems": 25,
        "items": {"type": "string", "enum": ["a", "bc"]}});
    assert_eq!(too_costly(&with(of_few, all)), [""; 0]);
}

#[test]
fn a_rule_below_a_list_counts_for_each_item() {
    let item = |rule: &str| {
        with(
            json!({"type": "object", "required": ["name"],
                "properties": {"name": text(253), "n": {"type": "integer"}}}),
            rule,
        )
    };
    let regular = "self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')";
    // As often as such an item fits into 3 MiB: 241,979 times 818.
    let endless = too_costly(&json!({"type": "array", "items": item(regular)}));
    assert!(
        endless[0].contains("by factor of 19.8x (try"),
        "{endless:?}"
    );
    assert!(endless[2].contains("by factor of 2.0x (try"), "{endless:?}");
    let cheap = "self.n > 3 && self.n < 10";
    assert_eq!(
        too_costly(&json!({"type": "array", "items": item(cheap)})),
        [""; 0]
    );
    let many = json!({"type": "array", "maxItems": 1_000, "items": item(regular)});
    assert_eq!(too_costly(&many), [""; 0]);
    let too_many = json!({"type": "array", "maxItems": 13_000, "items": item(regular)});
    let refused = too_costly(&too_many);
    assert!(
        refused[0].contains("by factor of 1.063400x (try"),
        "{refused:?}"
    );
    assert_eq!(refused.len(), 1);
}

#[test]
fn many_rules_that_are_cheap_enough_can_be_too_dear_together() {
    let one = with(
        json!({"type": "array", "maxItems": 1_000, "items": text(100)}),
        "self.all(a, self.exists(b, a == b))",
    );
    let names = ["a", "b", "c"];
    let properties: Value = names
        .map(|name| (name.to_owned(), one.clone()))
        .into_iter()
        .collect();
    let refused = too_costly(&json!({"type": "object", "properties": properties}));
    assert_eq!(refused.len(), 3 + 3 + 1, "{refused:?}");
    let part = with(
        json!({"type": "array", "maxItems": 400, "items": text(100)}),
        "self.all(a, self.exists(b, a == b))",
    );
    let mut properties = json!({});
    for name in 0..20 {
        properties[format!("p{name:02}")] = part.clone();
    }
    let refused = too_costly(&json!({"type": "object", "properties": properties}));
    assert_eq!(refused.len(), 4 + 1, "four are named: {refused:?}");
    assert!(
        refused[4].starts_with("openAPIV3Schema: Forbidden: "),
        "{refused:?}"
    );
}

#[test]
fn rules_that_published_definitions_carry_are_taken() {
    let labels = json!({"type": "object", "maxProperties": 8, "additionalProperties": text(63)});
    let names = json!({"type": "array", "maxItems": 64, "items": text(253)});
    let listeners = json!({"type": "array", "maxItems": 64, "items": {"type": "object",
        "properties": {"name": text(253), "protocol": text(255), "hostname": text(253),
            "port": {"type": "integer"}}}});
    let any = json!({"x-kubernetes-int-or-string": true});
    let cases = [
        (
            &labels,
            "self.all(key, key.matches('^(([a-zA-Z0-9])[-a-zA-Z0-9]*/)?[a-z]+$'))",
        ),
        (&labels, "self.all(key, key.split('/')[0].size() < 253)"),
        (&names, "self.exists(name, name == 'a') && size(self) < 3"),
        (
            &names,
            "self.map(n, n.lowerAscii()).all(n, n.startsWith('a'))",
        ),
        (
            &names,
            "self.all(n, !n.contains('//') && n.replace('a', 'bb').size() < 500)",
        ),
        (&names, "sets.contains(['a', 'b'], self) && self.isSorted()"),
        (&names, "self.all(i, n, i < 3 || n != 'x')"),
        (
            &names,
            "optional.of(self[0]).optMap(first, first == 'a' ? true : first in self).value()",
        ),
        (
            &listeners,
            "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
        ),
        (
            &listeners,
            "self.all(l, l.protocol in ['HTTP', 'TLS'] ? has(l.hostname) : !has(l.hostname))",
        ),
        (&any, "quantity(string(self)).isGreaterThan(quantity('0'))"),
    ];
    for (shape, rule) in cases {
        assert_eq!(too_costly(&with(shape.clone(), rule)), [""; 0], "{rule}");
    }
}

#[test]
fn messages_have_a_price_too() {
    let mut list = json!({"type": "array", "items": {"type": "string"}});
    list["x-kubernetes-validations"] = json!([{"rule": "size(self) < 3",
        "messageExpression": "'bad: ' + self.join(', ')"}]);
    let refused = too_costly(&list);
    let begin = "openAPIV3Schema.properties[spec].x-kubernetes-validations[0].messageExpression: \
                 Forbidden: estimated messageExpression cost exceeds budget by factor of ";
    assert!(refused[0].starts_with(begin), "{refused:?}");
    let number = json!({"type": "object", "properties": {"n": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.n > 0",
            "messageExpression": "'it is ' + string(self.n)"}]});
    assert_eq!(too_costly(&number), [""; 0]);
}
