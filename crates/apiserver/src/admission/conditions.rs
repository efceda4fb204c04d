//! Runs the `matchConditions` of a webhook or a policy: all must hold for it to be asked.
//!
//! Does not know what it would be asked.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::schema::cel::{Declared, Expression, Fault, Outcome};
use crate::schema::{Node, definition};
use kube_cel::cel::Value as CelValue;

/// What the conditions of one webhook or policy may cost together. As in Kubernetes.
const BUDGET: u64 = 2_500_000;

/// Compiled conditions, each with why it cannot be if it cannot.
#[derive(Debug, Default)]
pub(crate) struct Conditions(Vec<Result<Expression, String>>);

/// What conditions came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Unmet,
    /// Some could not be evaluated, and none was false.
    Unknown(String),
}

/// Names and what they stand for.
pub(crate) type Scope<'a> = Vec<(&'a str, Outcome)>;

/// The names that conditions may use; parameters only where there are some.
pub(crate) fn names(with_params: bool) -> Vec<Declared<'static>> {
    let any = |name| Declared { name, shape: None };
    let mut names = vec![
        any("object"),
        any("oldObject"),
        any("authorizer"),
        Declared {
            name: "request",
            shape: Some(&REQUEST),
        },
    ];
    if with_params {
        names.push(any("params"));
    }
    names
}

/// What is known of `request`.
static REQUEST: LazyLock<Node> = LazyLock::new(|| {
    let object = |fields: &[&str]| {
        let texts = fields
            .iter()
            .map(|f| ((*f).to_owned(), json!({"type": "string"})));
        let texts: serde_json::Map<String, Value> = texts.collect();
        json!({"type": "object", "properties": texts})
    };
    let (kind, resource) = (
        object(&["group", "version", "kind"]),
        object(&["group", "version", "resource"]),
    );
    let mut request = object(&[
        "subResource",
        "requestSubResource",
        "name",
        "namespace",
        "operation",
    ]);
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let mut user = object(&["username", "uid"]);
    user["properties"]["groups"] = texts.clone();
    user["properties"]["extra"] = json!({"type": "object", "additionalProperties": texts});
    for (field, shape) in [
        ("kind", kind.clone()),
        ("requestKind", kind),
        ("resource", resource.clone()),
        ("requestResource", resource),
        ("userInfo", user),
        ("dryRun", json!({"type": "boolean"})),
        (
            "options",
            json!({"x-kubernetes-preserve-unknown-fields": true}),
        ),
    ] {
        request["properties"][field] = shape;
    }
    definition(&request)
});

impl Conditions {
    /// Of a list of `matchConditions`.
    pub(crate) fn read(list: &Value, with_params: bool) -> Self {
        let names = names(with_params);
        let entries = list.as_array().into_iter().flatten();
        let compiled = entries.map(|entry| {
            let source = entry["expression"].as_str().unwrap_or_default();
            Expression::compile(source, &names, "bool").map_err(|why| resulted(source, &why))
        });
        Self(compiled.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One that is false decides, whatever is wrong with the others.
    pub(crate) fn verdict(&self, scope: &Scope<'_>) -> Verdict {
        let (mut left, mut problems) = (BUDGET, Vec::new());
        for condition in &self.0 {
            let condition = match condition {
                Ok(condition) => condition,
                Err(why) => {
                    problems.push(why.clone());
                    continue;
                }
            };
            match condition.run(scope, &mut left) {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Verdict::Unmet,
                Ok(_) => problems.push(resulted(condition.source(), "no such overload")),
                Err(Fault::Error(why)) => problems.push(resulted(condition.source(), &why)),
                Err(Fault::OverBudget) => {
                    problems.push(out_of_budget());
                    break;
                }
            }
        }
        match problems.as_slice() {
            [] => Verdict::Met,
            [one] => Verdict::Unknown(one.clone()),
            several => Verdict::Unknown(format!("[{}]", several.join(", "))),
        }
    }
}

/// How Kubernetes words an expression that failed.
pub(crate) fn resulted(source: &str, why: &str) -> String {
    format!("expression '{source}' resulted in error: {why}")
}

pub(crate) fn out_of_budget() -> String {
    "validation failed due to running out of cost budget, no further validation rules will be run"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::cel::dynamic;

    fn verdict(expressions: &[&str], object: &Value) -> Verdict {
        let entries = expressions
            .iter()
            .map(|text| json!({"name": "c", "expression": text}));
        let conditions = Conditions::read(&entries.collect(), false);
        conditions.verdict(&vec![("object", Ok(dynamic(object)))])
    }

    #[test]
    fn one_that_is_false_decides() {
        let object = json!({"a": 1});
        assert_eq!(verdict(&[], &object), Verdict::Met);
        assert_eq!(verdict(&["object.a == 1", "true"], &object), Verdict::Met);
        let unmet = ["object.none == 1", "object.a == 2"];
        assert_eq!(verdict(&unmet, &object), Verdict::Unmet);
        let why = "expression 'object.none == 1' resulted in error: no such key: none";
        assert_eq!(
            verdict(&["object.none == 1", "true"], &object),
            Verdict::Unknown(why.into())
        );
    }

    #[test]
    fn conditions_share_a_budget() {
        let many: Vec<u32> = (0..2000).collect();
        let slow = "object.all(i, object.all(j, i + j >= 0))";
        let Verdict::Unknown(why) = verdict(&[slow, slow, slow, slow], &json!(many)) else {
            panic!("within budget");
        };
        assert!(why.contains("running out of cost budget"), "{why}");
    }
}
