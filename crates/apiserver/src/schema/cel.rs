//! Compiles and runs the `x-kubernetes-validations` of a schema.
//!
//! Does not know what a rule protects. Rules are bounded in length and nesting before they are parsed, since their author is not trusted.

mod check;
mod cost;
mod eval;
mod expression;
mod macros;
mod parse;
#[cfg(test)]
mod tests;
mod value;

use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{IdedExpr, Value as CelValue};
use serde_json::Value;

pub(super) use self::check::check_rules;
use self::eval::{Evaluation, PER_CALL};
pub(crate) use self::eval::{Fault, Outcome};
pub(crate) use self::expression::{Declared, Expression, Native, dynamic, native};
use self::parse::{mentions, parse};
use super::error::{Cause, FieldError, child, go_json};
use super::{Additional, Node, Schema, lists};

/// What all rules of one object may cost together. As in Kubernetes.
const PER_OBJECT: u64 = 10_000_000;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// One compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    source: String,
    program: IdedExpr,
    message: String,
    message_expression: Option<(String, IdedExpr)>,
    declared_reason: Option<String>,
    reason: Cause,
    field_path: Option<(String, Vec<String>)>,
    optional_old_self: Option<bool>,
    uses_old_self: bool,
}

impl Rule {
    /// Compiles one entry of `x-kubernetes-validations`, which stands at `path`.
    pub(super) fn compile(entry: &Value, path: &str) -> Result<Self, FieldError> {
        let text = |key: &str| {
            entry
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let source = text("rule");
        let refuse = |field: &str, why: &str| refusal(&child(path, field), entry, why);
        if source.trim().is_empty() {
            return Err(FieldError::required(
                &child(path, "rule"),
                "rule is not specified",
            ));
        }
        let program = parse(&source).map_err(|why| refuse("rule", &why))?;
        let expression = text("messageExpression");
        let message_expression = match expression.as_str() {
            "" => None,
            text => {
                let program = parse(text).map_err(|why| refuse("messageExpression", &why))?;
                Some((expression, program))
            }
        };
        let declared_reason = entry
            .get("reason")
            .and_then(Value::as_str)
            .map(String::from);
        let reason = match declared_reason.as_deref() {
            None | Some("FieldValueInvalid") => Cause::Invalid,
            Some("FieldValueForbidden") => Cause::Forbidden,
            Some("FieldValueRequired") => Cause::Required,
            Some("FieldValueDuplicate") => Cause::Duplicate,
            Some(other) => {
                let all = [
                    "FieldValueDuplicate",
                    "FieldValueForbidden",
                    "FieldValueInvalid",
                    "FieldValueRequired",
                ];
                return Err(FieldError::not_supported(
                    &child(path, "reason"),
                    &other.into(),
                    &all.map(String::from),
                ));
            }
        };
        let declared_path = text("fieldPath");
        let field_path = match declared_path.as_str() {
            "" => None,
            text => {
                let Some(parts) = parse_field_path(text) else {
                    let at = child(path, "fieldPath");
                    return Err(FieldError::invalid_text(
                        &at,
                        text,
                        "fieldPath must be a valid path",
                    ));
                };
                Some((declared_path, parts))
            }
        };
        let uses_old_self = mentions(&program, "oldSelf");
        let optional_old_self = entry.get("optionalOldSelf").and_then(Value::as_bool);
        if optional_old_self == Some(true) && !uses_old_self {
            let at = child(path, "optionalOldSelf");
            return Err(FieldError::invalid(
                &at,
                &true.into(),
                "may not be set if oldSelf is not used in rule",
            ));
        }
        Ok(Self {
            source,
            program,
            message: text("message"),
            message_expression,
            declared_reason,
            reason,
            field_path,
            optional_old_self,
            uses_old_self,
        })
    }

    /// The entry as the API server repeats it in an error.
    fn entry(&self) -> Value {
        serde_json::json!({
            "rule": self.source,
            "message": self.message,
            "messageExpression": self.message_expression.as_ref().map_or("", |(text, _)| text),
            "reason": self.declared_reason,
            "fieldPath": self.field_path.as_ref().map_or("", |(text, _)| text),
            "optionalOldSelf": self.optional_old_self,
        })
    }

    fn fallback_message(&self) -> String {
        if self.message.is_empty() {
            format!("failed rule: {}", self.source.trim())
        } else {
            self.message.trim().to_owned()
        }
    }
}

/// The error of a rule that does not compile, in the shape of the API server.
fn refusal(path: &str, entry: &Value, why: &str) -> FieldError {
    let quoted = |key: &str| go_json(entry.get(key).unwrap_or(&Value::Null));
    let text = |key: &str| match entry.get(key).and_then(Value::as_str) {
        Some(text) => go_json(&text.into()),
        None => "\"\"".into(),
    };
    let shown = format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        quoted("reason"),
        text("fieldPath"),
        quoted("optionalOldSelf"),
    );
    FieldError {
        path: path.into(),
        reason: Cause::Invalid,
        detail: format!("Invalid value: {shown}: compilation failed: {why}"),
    }
}

/// Reads `.spec.name`, `.a['b.c']`.
fn parse_field_path(text: &str) -> Option<Vec<String>> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("['") {
            let (name, left) = after.split_once("']")?;
            parts.push(name.to_owned());
            rest = left;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            if end == 0 {
                return None;
            }
            parts.push(after[..end].to_owned());
            rest = &after[end..];
        }
    }
    Some(parts)
}

/// Runs one expression and takes what it costs from `left`.
fn run(expression: &IdedExpr, variables: &[(&str, &CelValue)], left: &mut u64) -> Outcome {
    let budget = PER_CALL.min(*left);
    let mut evaluation = Evaluation::new(budget);
    for (name, value) in variables {
        evaluation.set(name, (*value).clone());
    }
    let outcome = evaluation.eval(expression);
    *left -= budget - evaluation.left();
    outcome
}

/// Runs every rule of a schema over an object and, on update, over what it was.
pub(super) fn validate(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut walk = Walk {
        schema,
        errors: Vec::new(),
        left: PER_OBJECT,
    };
    walk.node(schema.root(), new, old, "", true);
    walk.errors
}

struct Walk<'a> {
    schema: &'a Schema,
    errors: Vec<FieldError>,
    /// Of the budget; nothing once it was exceeded.
    left: u64,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, new: &Value, old: Option<&Value>, path: &str, resource: bool) {
        let node = self.schema.resolve(node);
        if new.is_null() || self.left == 0 {
            return;
        }
        if !node.rules.is_empty() {
            self.rules(node, new, old, path, resource || node.embedded);
        }
        match new {
            Value::Object(members) => {
                for (name, member) in members {
                    let before = old.and_then(|o| o.get(name)).filter(|v| !v.is_null());
                    match (node.properties.get(name.as_str()), &node.additional) {
                        (Some(next), _) => {
                            self.node(next, member, before, &child(path, name), false);
                        }
                        (None, Additional::Of(next)) => {
                            self.node(next, member, before, &format!("{path}[{name}]"), false);
                        }
                        (None, Additional::None | Additional::Any) => {}
                    }
                }
            }
            Value::Array(items) => {
                let Some(next) = &node.items else { return };
                let before = old
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                for (i, item) in items.iter().enumerate() {
                    let was = lists::counterpart(node, item, before);
                    self.node(next, item, was, &format!("{path}[{i}]"), false);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn rules(&mut self, node: &Node, new: &Value, old: Option<&Value>, path: &str, resource: bool) {
        let unchanged = old == Some(new);
        let due = |rule: &Rule| {
            let optional = rule.optional_old_self == Some(true);
            // What an update leaves alone is blamed on it only by rules that compare.
            if rule.uses_old_self {
                optional || old.is_some()
            } else {
                !unchanged
            }
        };
        if !node.rules.iter().any(due) {
            return;
        }
        let this = value::of(self.schema, node, new, resource);
        let before = old.map(|old| value::of(self.schema, node, old, resource));
        for rule in node.rules.iter().filter(|rule| due(rule)) {
            let old_self = if rule.optional_old_self == Some(true) {
                let optional = before
                    .clone()
                    .map_or_else(OptionalValue::none, OptionalValue::of);
                Some(CelValue::Opaque(std::sync::Arc::new(optional)))
            } else {
                before.clone()
            };
            let mut variables = vec![("self", &this)];
            if let Some(old_self) = &old_self {
                variables.push(("oldSelf", old_self));
            }
            match run(&rule.program, &variables, &mut self.left) {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => {
                    let message = message_of(rule, &variables, &mut self.left);
                    self.errors.push(blame(rule, new, path, &message));
                }
                Ok(_) => {
                    let why = format!(
                        "no such overload evaluating rule: {}",
                        rule.fallback_message()
                    );
                    self.errors.push(value_error(new, path, &why));
                }
                Err(Fault::Error(error)) => {
                    let why = format!("{error} evaluating rule: {}", rule.fallback_message());
                    self.errors.push(value_error(new, path, &why));
                }
                Err(Fault::OverBudget) => return self.give_up(rule, new, path),
            }
        }
    }

    fn give_up(&mut self, rule: &Rule, value: &Value, path: &str) {
        let why = if self.left == 0 {
            OUT_OF_BUDGET.to_owned()
        } else {
            format!(
                "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds \
                 limit for rule: {}",
                rule.fallback_message()
            )
        };
        self.left = 0;
        self.errors.push(value_error(value, path, &why));
    }
}

fn message_of(rule: &Rule, variables: &[(&str, &CelValue)], left: &mut u64) -> String {
    if let Some((_, program)) = &rule.message_expression
        && let Ok(CelValue::String(text)) = run(program, variables, left)
        && !text.trim().is_empty()
        && !text.contains('\n')
    {
        return text.trim().to_owned();
    }
    rule.fallback_message()
}

fn field_or_none(path: &str) -> &str {
    if path.is_empty() {
        super::error::NO_FIELD
    } else {
        path
    }
}

/// Objects and lists are not repeated in the message; scalars are.
fn value_error(value: &Value, path: &str, why: &str) -> FieldError {
    let path = field_or_none(path);
    match value {
        Value::Object(_) | Value::Array(_) => FieldError::invalid_unshown(path, why),
        scalar => FieldError::invalid(path, scalar, why),
    }
}

fn blame(rule: &Rule, value: &Value, path: &str, message: &str) -> FieldError {
    let path = match &rule.field_path {
        Some((_, parts)) => parts
            .iter()
            .fold(path.to_owned(), |at, part| child(&at, part)),
        None => path.to_owned(),
    };
    match rule.reason {
        Cause::Forbidden => FieldError::forbidden(field_or_none(&path), message),
        Cause::Required => FieldError::required(field_or_none(&path), message),
        Cause::Duplicate => FieldError::duplicate(field_or_none(&path), value),
        Cause::Invalid
        | Cause::NotFound
        | Cause::NotSupported
        | Cause::TypeInvalid
        | Cause::TooLong
        | Cause::TooMany => value_error(value, &path, message),
    }
}
