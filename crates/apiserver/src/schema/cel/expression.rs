//! Compiles and runs single expressions over named values, for whoever has some outside a schema.
//!
//! A name may be dotted: `variables.x` is looked up before `variables`. Does not know what the names stand for.

use std::sync::{Arc, LazyLock};

use kube_cel::cel::common::ast::Expr;
use kube_cel::cel::objects::Opaque;
use kube_cel::cel::{IdedExpr, Value as CelValue};
use serde_json::Value;

use super::eval::{Evaluation, Outcome, PER_CALL};
use super::parse::{children, parse};
use super::{check, value};
use crate::schema::{Node, Schema};

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    source: String,
    program: IdedExpr,
}

/// What is known of a name before its value is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    pub(crate) name: &'a str,
    /// Absent if it may be anything.
    pub(crate) shape: Option<&'a Node>,
}

/// A value that answers calls itself.
pub(crate) trait Native: std::fmt::Debug + Send + Sync {
    /// As `type()` names it.
    fn type_name(&self) -> &'static str;

    /// What a call costs beyond its parts, and what it gives; none if there is no such function.
    fn call(&self, name: &str, arguments: &[CelValue]) -> Option<(u64, Outcome)>;
}

#[derive(Debug, Clone)]
struct Held(Arc<dyn Native>);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Held {}

impl Opaque for Held {
    fn runtime_type_name(&self) -> &str {
        self.0.type_name()
    }
}

/// A value of our own, for expressions.
pub(crate) fn native(of: Arc<dyn Native>) -> CelValue {
    CelValue::Opaque(Arc::new(Held(of)))
}

pub(super) fn native_of(value: &CelValue) -> Option<&dyn Native> {
    match value {
        CelValue::Opaque(opaque) => opaque.downcast_ref::<Held>().map(|held| &*held.0),
        _ => None,
    }
}

/// A document as expressions see one of which no schema is known.
pub(crate) fn dynamic(document: &Value) -> CelValue {
    static ANYTHING: LazyLock<Schema> = LazyLock::new(|| {
        let root = Arc::new(Node::default());
        Schema::new(root, std::collections::BTreeMap::new(), false)
    });
    value::of(&ANYTHING, ANYTHING.root(), document, false)
}

impl Expression {
    /// Compiles an expression that must give a `want`, such as `bool`; the empty text allows anything.
    pub(crate) fn compile(
        source: &str,
        names: &[Declared<'_>],
        want: &str,
    ) -> Result<Self, String> {
        let program = parse(source)?;
        let found = check::type_of(&program, source, names)?;
        match found {
            Some(got) if !want.is_empty() && got != want => Err(format!("must evaluate to {want}")),
            _ => Ok(Self {
                source: source.to_owned(),
                program,
            }),
        }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates, and takes what it costs from `left`.
    pub(crate) fn run(&self, names: &[(&str, Outcome)], left: &mut u64) -> Outcome {
        let budget = PER_CALL.min(*left);
        let mut evaluation = Evaluation::new(budget);
        for (name, outcome) in names {
            evaluation.set_outcome(name, outcome.clone());
        }
        let outcome = evaluation.eval(&self.program);
        *left -= budget - evaluation.left();
        outcome
    }

    /// Whether `root.field` occurs.
    pub(crate) fn selects(&self, root: &str, field: &str) -> bool {
        selects(&self.program, root, field)
    }
}

fn selects(expression: &IdedExpr, root: &str, field: &str) -> bool {
    if let Expr::Select(select) = &expression.expr
        && select.field == field
        && matches!(&select.operand.expr, Expr::Ident(name) if name == root)
    {
        return true;
    }
    let parts = children(&expression.expr);
    parts.into_iter().any(|part| selects(part, root, field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::cel::Fault;
    use crate::schema::definition;

    fn compiled(source: &str, want: &str) -> Result<Expression, String> {
        let shape = definition(&json!({"type": "object", "properties": {
            "kind": {"type": "string"}, "namespace": {"type": "string"}, "size": {"type": "integer"}}}));
        let names = [
            Declared {
                name: "object",
                shape: None,
            },
            Declared {
                name: "request",
                shape: Some(&shape),
            },
        ];
        Expression::compile(source, &names, want)
    }

    #[test]
    fn what_cannot_work_is_found_before_it_runs() {
        for (source, want, why) in [
            ("object.a +", "bool", "Syntax error"),
            (
                "objekt.a == 1",
                "bool",
                "undeclared reference to 'objekt' (in container '')",
            ),
            ("request.sise == 1", "bool", "undefined field 'sise'"),
            (
                "request.size == 'a'",
                "bool",
                "found no matching overload for '_==_'",
            ),
            ("request.size", "bool", "must evaluate to bool"),
            ("request.kind", "bool", "must evaluate to bool"),
            ("request.kind == 'a'", "string", "must evaluate to string"),
            (
                "object.frobnicate()",
                "bool",
                "undeclared reference to 'frobnicate'",
            ),
        ] {
            let error = compiled(source, want).expect_err(source);
            assert!(error.contains(why), "{source}: {error}");
        }
        for source in [
            "object.a.namespace == 'x'",
            "request.namespace == 'x'",
            "has(request.kind)",
            "object.anything",
        ] {
            assert!(compiled(source, "bool").is_ok(), "{source}");
        }
    }

    #[test]
    fn dotted_names_come_before_fields() {
        let names = [Declared {
            name: "variables",
            shape: None,
        }];
        let run = |source: &str| {
            let values = [
                ("variables.a", Ok(CelValue::Int(1))),
                ("variables.bad", Err(Fault::Error("no such key: x".into()))),
            ];
            let expression = Expression::compile(source, &names, "").unwrap();
            expression.run(&values, &mut PER_CALL.clone())
        };
        assert_eq!(run("variables.a + 1"), Ok(CelValue::Int(2)));
        assert_eq!(run("has(variables.a)"), Ok(CelValue::Bool(true)));
        assert_eq!(
            run("variables.a == 1 || variables.bad == 1"),
            Ok(CelValue::Bool(true))
        );
        assert_eq!(
            run("variables.bad"),
            Err(Fault::Error("no such key: x".into()))
        );
        // A name bound within is nearer.
        assert_eq!(
            run("[{'a': 5}].all(variables, variables.a == 5)"),
            Ok(CelValue::Bool(true))
        );
    }

    #[test]
    fn what_an_evaluation_costs_is_taken_from_what_is_left() {
        let expression = compiled("object.all(i, i >= 0)", "bool").unwrap();
        let many: Vec<i64> = (0..1000).collect();
        let values = [("object", Ok(dynamic(&json!(many))))];
        let mut left = 1_000_000;
        assert_eq!(expression.run(&values, &mut left), Ok(CelValue::Bool(true)));
        assert!(left < 999_000, "{left}");
        let mut left = 100;
        assert_eq!(expression.run(&values, &mut left), Err(Fault::OverBudget));
        assert_eq!(left, 0);
    }
}
