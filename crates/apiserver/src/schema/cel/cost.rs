//! Estimates, before an object is ever seen, what a rule may cost at worst, and refuses what is too dear.
//!
//! The worst follows from the bounds of a schema: `maxItems`, `maxProperties`, `maxLength`, and the
//! size of a request where there are none. Units are those of [`super::eval::PER_CALL`]. What it
//! cannot size it takes for small: a definition that Kubernetes takes must not be refused here.

mod functions;
mod size;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr};

use self::functions::function;
use self::size::{longest, most_in_request, of_node, of_text};
use super::Rule;
use super::macros::{is_library, new_names};
use super::parse::children;
use super::value::escape;
use crate::schema::error::{FieldError, child};
use crate::schema::{Additional, Kind, Node, Schema};

/// Of one expression, for all values that an object can have it check. As in Kubernetes.
const PER_EXPRESSION: u64 = 10_000_000;
/// Of all expressions of a schema.
const PER_SCHEMA: u64 = 100_000_000;
/// So many are named when all together are too dear.
const BLAMED: usize = 4;
const CURE: &str = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength \
                    where arrays, maps, and strings are declared)";

const NEW_LIST: u64 = 10;
const NEW_MAP: u64 = 30;
const NEW_STRUCT: u64 = 40;

impl Schema {
    /// The rules that may cost too much, and their sum if that does.
    pub(crate) fn too_costly(&self) -> Vec<FieldError> {
        let mut bill = Bill::default();
        bill.node(self.root(), "openAPIV3Schema", true, Some(1));
        let mut errors = bill.errors;
        if bill.total > PER_SCHEMA {
            bill.dearest
                .sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            let blamed = bill.dearest.iter().take(BLAMED).map(|(path, _)| {
                let why = "contributed to estimated rule cost total exceeding cost limit for \
                           entire OpenAPIv3 schema";
                FieldError::forbidden(path, why)
            });
            errors.extend(blamed);
            let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 \
                        schema";
            let why = exceeds(what, bill.total, PER_SCHEMA);
            errors.push(FieldError::forbidden("openAPIV3Schema", &why));
        }
        errors
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with two digits")]
fn exceeds(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        // Else it would read as if it were within the budget.
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!("{what} exceeds budget by factor of {factor} {CURE}")
}

#[derive(Default)]
struct Bill {
    total: u64,
    /// What is more than a hundredth of the whole budget.
    dearest: Vec<(String, u64)>,
    errors: Vec<FieldError>,
}

impl Bill {
    /// `count` is how many values an object may have here; none if nothing bounds them.
    fn node(&mut self, node: &Node, path: &str, resource: bool, count: Option<u64>) {
        let this = if resource || node.embedded {
            Of::Resource(node)
        } else {
            Of::Node(node)
        };
        let times = count.unwrap_or_else(|| most_in_request(node));
        for (i, rule) in node.rules.iter().enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{i}]");
            self.rule(rule, &this, &at, times);
        }
        for (name, property) in &node.properties {
            let at = format!("{path}.properties[{name}]");
            self.node(property, &at, false, count);
        }
        let many = |bound: Option<u64>| Some(count?.saturating_mul(bound?));
        if let Additional::Of(next) = &node.additional {
            let count = many(size::bound(node, |limits| limits.max_properties));
            self.node(next, &child(path, "additionalProperties"), false, count);
        }
        if let Some(items) = &node.items {
            let count = many(size::bound(node, |limits| limits.max_items));
            self.node(items, &child(path, "items"), false, count);
        }
    }

    fn rule(&mut self, rule: &Rule, this: &Of<'_>, at: &str, times: u64) {
        self.expression(&rule.program, this, "rule", at, times);
        if let Some((_, program)) = &rule.message_expression {
            self.expression(program, this, "messageExpression", at, times);
        }
    }

    fn expression(&mut self, program: &IdedExpr, this: &Of<'_>, kind: &str, at: &str, times: u64) {
        let mut scope = Scope::default();
        let value = Estimate::free(of_size(this), this.clone());
        scope.names.push(("self", value.clone()));
        scope.names.push(("oldSelf", value));
        let cost = scope.estimate(program).cost.saturating_mul(times);
        let path = child(at, kind);
        if cost > PER_EXPRESSION {
            let why = exceeds(&format!("estimated {kind} cost"), cost, PER_EXPRESSION);
            self.errors.push(FieldError::forbidden(&path, &why));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= PER_SCHEMA / 100 {
            self.dearest.push((path, cost));
        }
    }
}

/// What is known of a value.
#[derive(Debug, Clone, Default)]
enum Of<'a> {
    #[default]
    Unknown,
    Number,
    Text,
    Node(&'a Node),
    /// A node whose `apiVersion`, `kind` and `metadata` can be seen.
    Resource(&'a Node),
    /// A list that the expression makes, of such items.
    List(Box<Estimate<'a>>),
}

/// An expression: what it costs, and the bytes or items of its value, at most.
#[derive(Debug, Clone, Default)]
struct Estimate<'a> {
    cost: u64,
    size: u64,
    of: Of<'a>,
}

impl<'a> Estimate<'a> {
    fn free(size: u64, of: Of<'a>) -> Self {
        Self { cost: 0, size, of }
    }

    fn plus(mut self, cost: u64) -> Self {
        self.cost = self.cost.saturating_add(cost);
        self
    }
}

fn of_size(of: &Of<'_>) -> u64 {
    match of {
        Of::Node(node) | Of::Resource(node) => of_node(node),
        Of::Unknown | Of::Number | Of::Text | Of::List(_) => 0,
    }
}

#[derive(Default)]
struct Scope<'s, 'a> {
    names: Vec<(&'s str, Estimate<'a>)>,
}

impl<'s, 'a> Scope<'s, 'a> {
    fn estimate(&mut self, expression: &'s IdedExpr) -> Estimate<'a> {
        match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => Estimate::free(of_text(text), Of::Text),
            Expr::Literal(_) => Estimate::free(1, Of::Number),
            Expr::Ident(name) => self.name(name).plus(1),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                let mut item = Estimate::default();
                let mut cost = NEW_LIST;
                for element in &list.elements {
                    let element = self.estimate(element);
                    cost = cost.saturating_add(element.cost);
                    item = either(item, element);
                }
                let size = longest(list.elements.len());
                Estimate {
                    cost,
                    size,
                    of: Of::List(Box::new(item)),
                }
            }
            other @ (Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified) => {
                let base = match other {
                    Expr::Map(_) => NEW_MAP,
                    _ => NEW_STRUCT,
                };
                let parts = children(other).into_iter();
                parts.fold(Estimate::default().plus(base), |sum, part| {
                    let cost = self.estimate(part).cost;
                    sum.plus(cost)
                })
            }
        }
    }

    fn name(&self, name: &str) -> Estimate<'a> {
        let found = self.names.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn select(&mut self, select: &'s SelectExpr) -> Estimate<'a> {
        let operand = self.estimate(&select.operand);
        if select.test {
            return Estimate::free(0, Of::Number).plus(operand.cost);
        }
        let member = match operand.of {
            Of::Node(node) | Of::Resource(node) => node
                .properties
                .iter()
                .find(|(name, _)| escape(name) == select.field)
                .map(|(_, next)| next)
                .or(match &node.additional {
                    Additional::Of(next) => Some(next),
                    Additional::None | Additional::Any => None,
                }),
            Of::Unknown | Of::Number | Of::Text | Of::List(_) => None,
        };
        let of = match member {
            Some(next) if next.embedded => Of::Resource(next),
            Some(next) => Of::Node(next),
            None => Of::Unknown,
        };
        Estimate::free(of_size(&of), of).plus(operand.cost).plus(1)
    }

    /// With `names` bound for the time of `inner`.
    fn within<T>(
        &mut self,
        names: impl IntoIterator<Item = (&'s str, Estimate<'a>)>,
        inner: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let depth = self.names.len();
        self.names.extend(names);
        let value = inner(self);
        self.names.truncate(depth);
        value
    }

    fn comprehension(&mut self, c: &'s ComprehensionExpr) -> Estimate<'a> {
        let over = self.estimate(&c.iter_range);
        let start = self.estimate(&c.accu_init);
        let makes_list = matches!(start.of, Of::List(_));
        let size = if makes_list { over.size } else { 1 };
        let (key, value) = members(&over.of);
        let first = match (&c.iter_var2, is_map(&over.of)) {
            (_, true) => key,
            (Some(_), false) => Estimate::free(1, Of::Number),
            (None, false) => value.clone(),
        };
        let names = [(c.iter_var.as_str(), first)]
            .into_iter()
            .chain(c.iter_var2.as_deref().map(|name| (name, value)))
            .chain([(c.accu_var.as_str(), Estimate::free(size, start.of.clone()))]);
        let (each, made, end) = self.within(names, |scope| {
            let condition = scope.estimate(&c.loop_cond);
            let step = scope.estimate(&c.loop_step);
            let end = scope.estimate(&c.result);
            (condition.cost.saturating_add(step.cost), step.of, end)
        });
        let of = if makes_list { made } else { end.of };
        Estimate::free(size, of)
            .plus(over.cost)
            .plus(start.cost)
            .plus(over.size.saturating_mul(each))
            .plus(end.cost)
    }

    fn call(&mut self, call: &'s CallExpr) -> Estimate<'a> {
        if let Some(value) = self.macro_call(call) {
            return value;
        }
        let target = call.target.as_deref().filter(|target| !is_library(target));
        let parts = target.into_iter().chain(&call.args);
        let values: Vec<Estimate<'a>> = parts.map(|part| self.estimate(part)).collect();
        let costs = values
            .iter()
            .fold(0_u64, |sum, value| sum.saturating_add(value.cost));
        let name = call.func_name.as_str();
        if let ("_?_:_", [condition, yes, no]) = (name, values.as_slice()) {
            let cost = condition.cost.saturating_add(yes.cost.max(no.cost));
            let mut value = either(yes.clone(), no.clone());
            value.cost = cost;
            return value;
        }
        function(name, &values).plus(costs)
    }

    /// Macros that the parser takes for calls: their first arguments are new names.
    fn macro_call(&mut self, call: &'s CallExpr) -> Option<Estimate<'a>> {
        let target = call.target.as_deref()?;
        let names = new_names(call, target)?;
        let (variables, rest) = call.args.split_at(names);
        let mut rest = rest.iter();
        let over = if is_library(target) {
            self.estimate(rest.next()?)
        } else {
            self.estimate(target)
        };
        let (key, value) = members(&over.of);
        let (bound, times) = match call.func_name.as_str() {
            "optMap" | "optFlatMap" | "bind" => {
                (vec![Estimate::free(over.size, over.of.clone())], 1)
            }
            "sortBy" => (vec![value], over.size),
            _ => (vec![key, value], over.size),
        };
        let variables = variables
            .iter()
            .filter_map(|variable| match &variable.expr {
                Expr::Ident(name) => Some(name.as_str()),
                _ => None,
            });
        let (each, made) = self.within(variables.zip(bound), |scope| {
            rest.map(|part| scope.estimate(part))
                .fold((0_u64, Estimate::default()), |(sum, _), part| {
                    (sum.saturating_add(part.cost), part)
                })
        });
        let cost = over.cost.saturating_add(times.saturating_mul(each));
        let value = match call.func_name.as_str() {
            "optMap" | "optFlatMap" | "bind" => Estimate::free(made.size, made.of),
            "sortBy" => Estimate::free(over.size, over.of),
            "all" | "exists" | "existsOne" | "exists_one" => Estimate::free(1, Of::Number),
            _ => Estimate::free(
                over.size,
                Of::List(Box::new(Estimate::free(made.size, made.of))),
            ),
        };
        Some(value.plus(cost))
    }
}

/// One of two values, nobody knows which.
fn either<'a>(a: Estimate<'a>, b: Estimate<'a>) -> Estimate<'a> {
    Estimate {
        cost: a.cost.max(b.cost),
        size: a.size.max(b.size),
        of: match a.of {
            Of::Unknown => b.of,
            known => known,
        },
    }
}

fn is_map(of: &Of<'_>) -> bool {
    matches!(of, Of::Node(node) | Of::Resource(node) if node.kind == Some(Kind::Object))
}

/// A key and a value of what can be gone through. Keys are short: nothing in a schema bounds them.
fn members<'a>(of: &Of<'a>) -> (Estimate<'a>, Estimate<'a>) {
    let value = match of {
        Of::Node(node) | Of::Resource(node) => match (&node.items, &node.additional) {
            (Some(next), _) | (None, Additional::Of(next)) => Of::Node(next),
            (None, Additional::None | Additional::Any) => Of::Unknown,
        },
        Of::List(item) => {
            let item = Estimate::free(item.size, item.of.clone());
            return (Estimate::free(1, Of::Number), item);
        }
        Of::Unknown | Of::Number | Of::Text => Of::Unknown,
    };
    let key = Estimate::free(0, Of::Text);
    (key, Estimate::free(of_size(&value), value))
}
