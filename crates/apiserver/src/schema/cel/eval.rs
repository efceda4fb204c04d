//! Evaluates parsed expressions as CEL and Kubernetes define them, within a budget.
//!
//! Operators, types, optionals and macros are done here; the functions of the libraries are called. An error is a value until
//! something needs the result: `&&`, `||` and the macros built on them may do without it. Does not know what a rule protects.

mod amended;
mod macros;
mod operators;
mod times;
mod typing;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, ListExpr, MapExpr, SelectExpr};
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, IdedExpr, Value as CelValue};

use super::expression::native_of;

/// What one evaluation may cost: about one for each part of an expression, and one for each ten bytes or items that a function
/// looks at. As in Kubernetes.
pub(crate) const PER_CALL: u64 = 1_000_000;
/// What a function may make of its arguments, in bytes.
const LARGEST_PRODUCT: u64 = 16 << 20;

/// What the arguments of a function are called when it is called.
const NAMES: [&str; 8] = ["@0", "@1", "@2", "@3", "@4", "@5", "@6", "@7"];

/// Names before a dot that are no variables.
pub(super) const LIBRARIES: [&str; 7] = [
    "sets", "lists", "strings", "optional", "format", "ip", "cel",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Error(String),
    /// Nothing makes up for this one.
    OverBudget,
}

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    pub(crate) fn no_overload() -> Self {
        Self::new("no such overload")
    }
}

pub(crate) type Outcome = Result<CelValue, Fault>;

/// One evaluation: what names mean, and what may still be spent.
pub(super) struct Evaluation<'e> {
    names: Vec<(&'e str, Outcome)>,
    left: u64,
}

impl<'e> Evaluation<'e> {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            names: Vec::new(),
            left: budget,
        }
    }

    pub(super) fn set(&mut self, name: &'e str, value: CelValue) {
        self.names.push((name, Ok(value)));
    }

    pub(super) fn set_outcome(&mut self, name: &'e str, outcome: Outcome) {
        self.names.push((name, outcome));
    }

    /// What was not spent.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(cost).ok_or(Fault::OverBudget)?;
        Ok(())
    }

    pub(super) fn eval(&mut self, expression: &'e IdedExpr) -> Outcome {
        self.spend(1)?;
        match &expression.expr {
            Expr::Literal(literal) => {
                CelValue::try_from(literal.to_val().as_ref()).map_err(|error| reworded(&error))
            }
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) | Expr::Unspecified => Err(Fault::new("unsupported expression")),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| *known == name)
    }

    fn name(&self, name: &str) -> Outcome {
        match self.names.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => value.clone(),
            None => typing::named(name)
                .ok_or_else(|| Fault::new(format!("undeclared reference to '{name}'"))),
        }
    }

    /// What a dotted name stands for, unless a nearer name hides it.
    fn dotted(&self, root: &str, field: &str) -> Option<&Outcome> {
        let is_dotted = |known: &str| {
            let rest = known.strip_prefix(root);
            rest.and_then(|rest| rest.strip_prefix('.')) == Some(field)
        };
        let mut nearest = self.names.iter().rev();
        let (known, outcome) = nearest.find(|(known, _)| *known == root || is_dotted(known))?;
        (*known != root).then_some(outcome)
    }

    fn select(&mut self, select: &'e SelectExpr) -> Outcome {
        let field = select.field.as_str();
        if let Expr::Ident(root) = &select.operand.expr
            && let Some(found) = self.dotted(root, field)
        {
            return if select.test {
                Ok(CelValue::Bool(true))
            } else {
                found.clone()
            };
        }
        if let Expr::Select(inner) = &select.operand.expr
            && let Expr::Ident(root) = &inner.operand.expr
            && !self.knows(root)
            && let Some(found) = typing::named(&format!("{root}.{}.{field}", inner.field))
        {
            return Ok(found);
        }
        let operand = self.eval(&select.operand)?;
        if let Some(optional) = optional(&operand) {
            let found = match optional.value() {
                Some(inner) => member(inner, field)?,
                None => None,
            };
            return Ok(if select.test {
                CelValue::Bool(found.is_some())
            } else {
                optional_of(found)
            });
        }
        match (member(&operand, field)?, select.test) {
            (found, true) => Ok(CelValue::Bool(found.is_some())),
            (Some(value), false) => Ok(value),
            (None, false) => Err(Fault::new(format!("no such key: {field}"))),
        }
    }

    fn list(&mut self, list: &'e ListExpr) -> Outcome {
        let mut items = Vec::with_capacity(list.elements.len());
        for (at, element) in list.elements.iter().enumerate() {
            let value = self.eval(element)?;
            if !list.optional_indices.contains(&at) {
                items.push(value);
            } else if let Some(inner) = wanted_optional(&value)?.value() {
                items.push(inner.clone());
            }
        }
        Ok(CelValue::List(Arc::new(items)))
    }

    fn map(&mut self, map: &'e MapExpr) -> Outcome {
        let mut members = HashMap::with_capacity(map.entries.len());
        for entry in &map.entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                return Err(Fault::new("unsupported expression"));
            };
            let key = operators::key(&self.eval(&entry.key)?)?;
            let mut value = self.eval(&entry.value)?;
            if entry.optional {
                match wanted_optional(&value)?.value().cloned() {
                    Some(inner) => value = inner,
                    None => continue,
                }
            }
            if members.insert(key, value).is_some() {
                return Err(Fault::new("failed with repeated key"));
            }
        }
        Ok(map_of(members))
    }

    fn call(&mut self, call: &'e CallExpr) -> Outcome {
        if let Some(outcome) = self.operator(call) {
            return outcome;
        }
        if let Some(outcome) = self.macro_call(call) {
            return outcome;
        }
        let target = match call.target.as_deref() {
            Some(target) if !self.library(target) => Some(self.eval(target)?),
            _ => None,
        };
        if let Some(found) = target.as_ref().and_then(optional)
            && let Some(outcome) = self.of_optional(call, found)
        {
            return outcome;
        }
        let mut arguments = Vec::with_capacity(call.args.len());
        for argument in &call.args {
            arguments.push(self.eval(argument)?);
        }
        if let Some(native) = target.as_ref().and_then(native_of) {
            let (cost, outcome) = native
                .call(&call.func_name, &arguments)
                .unwrap_or_else(|| (0, Err(Fault::no_overload())));
            self.spend(cost)?;
            return outcome;
        }
        if target.is_none()
            && let [argument] = arguments.as_slice()
            && call.target.is_none()
            && let Some(outcome) = typing::convert(&call.func_name, argument)
        {
            return outcome;
        }
        self.function(call, target, arguments)
    }

    /// `sets` in `sets.contains(…)` is no variable.
    fn library(&self, target: &IdedExpr) -> bool {
        matches!(&target.expr, Expr::Ident(name)
            if LIBRARIES.contains(&name.as_str()) && !self.knows(name))
    }

    fn of_optional(&mut self, call: &'e CallExpr, found: &OptionalValue) -> Option<Outcome> {
        let value = found.value().cloned();
        Some(
            match (call.func_name.as_str(), call.args.as_slice(), value) {
                ("hasValue", [], value) => Ok(CelValue::Bool(value.is_some())),
                ("value", [], Some(value)) | ("orValue", [_], Some(value)) => Ok(value),
                ("value", [], None) => Err(Fault::new("optional.none() dereference")),
                ("or", [_], Some(value)) => Ok(optional_of(Some(value))),
                ("or" | "orValue", [other], None) => self.eval(other),
                _ => return None,
            },
        )
    }

    /// Calls a function of the libraries.
    fn function(
        &mut self,
        call: &CallExpr,
        target: Option<CelValue>,
        arguments: Vec<CelValue>,
    ) -> Outcome {
        let name = call.func_name.as_str();
        self.check_size(name, target.as_ref(), &arguments)?;
        if let Some(outcome) = amended::call(name, target.as_ref(), &arguments) {
            return self.paid(outcome?);
        }
        if arguments.len() >= NAMES.len() {
            return Err(Fault::no_overload());
        }
        let ident = |name: &str| IdedExpr {
            id: 0,
            expr: Expr::Ident(name.to_owned()),
        };
        let called = IdedExpr {
            id: 0,
            expr: Expr::Call(CallExpr {
                func_name: name.to_owned(),
                target: match (&target, &call.target) {
                    (Some(_), _) => Some(Box::new(ident("@target"))),
                    (None, library) => library.clone(),
                },
                args: NAMES[..arguments.len()]
                    .iter()
                    .map(|name| ident(name))
                    .collect(),
            }),
        };
        let result = FUNCTIONS.with(|functions| {
            let mut scope = functions.new_inner_scope();
            for (name, value) in NAMES.iter().zip(arguments) {
                scope.add_variable_from_value(*name, value);
            }
            if let Some(target) = target {
                scope.add_variable_from_value("@target", target);
            }
            // The library is not ours; a bug in it must cost one answer, not the connection.
            catch_unwind(AssertUnwindSafe(|| scope.resolve(&called)))
        });
        let value = match result {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => return Err(reworded(&error)),
            Err(_) => return Err(Fault::new("internal error")),
        };
        // The library gives a format or null, Kubernetes an optional.
        self.paid(match (&call.target, name, value) {
            (Some(target), "named", CelValue::Null) if is_ident(target, "format") => {
                optional_of(None)
            }
            (Some(target), "named", format) if is_ident(target, "format") => {
                optional_of(Some(format))
            }
            (_, _, value) => value,
        })
    }

    /// Pays for what a function made.
    fn paid(&mut self, value: CelValue) -> Outcome {
        let weight = self.weight(&value)?;
        self.spend(weight / 10)?;
        Ok(value)
    }

    /// Pays for what a function looks at, and refuses what would be too large before it is made.
    fn check_size(
        &mut self,
        name: &str,
        target: Option<&CelValue>,
        arguments: &[CelValue],
    ) -> Result<(), Fault> {
        let (mut sum, mut product) = (0, 1_u64);
        for value in target.into_iter().chain(arguments) {
            let weight = self.weight(value)?;
            sum += weight;
            product = product.saturating_mul(weight.max(1));
        }
        self.spend(sum / 10)?;
        let large = match (name, arguments) {
            ("replace" | "join", _) => product > LARGEST_PRODUCT,
            ("range", [CelValue::Int(items)]) => u64::try_from(*items).unwrap_or(0) > self.left,
            _ => false,
        };
        if large {
            Err(Fault::OverBudget)
        } else {
            Ok(())
        }
    }

    /// Bytes and items, all the way down.
    fn weight(&mut self, value: &CelValue) -> Result<u64, Fault> {
        let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        match value {
            CelValue::String(text) => Ok(length(text.len())),
            CelValue::Bytes(bytes) => Ok(length(bytes.len())),
            CelValue::List(items) => {
                self.spend(length(items.len()) / 10)?;
                items.iter().try_fold(length(items.len()), |sum, item| {
                    Ok(sum.saturating_add(self.inner_weight(item)?))
                })
            }
            CelValue::Map(map) => {
                self.spend(length(map.map.len()) / 10)?;
                map.map
                    .values()
                    .try_fold(length(map.map.len()), |sum, item| {
                        Ok(sum.saturating_add(self.inner_weight(item)?))
                    })
            }
            _ => Ok(1),
        }
    }

    /// A value may hold another many times over, so that walking it is paid for.
    fn inner_weight(&mut self, value: &CelValue) -> Result<u64, Fault> {
        if matches!(value, CelValue::List(_) | CelValue::Map(_)) {
            self.spend(1)?;
        }
        self.weight(value)
    }
}

thread_local! {
    /// Every function of Kubernetes' CEL; making it anew for each rule would cost more than the rule.
    static FUNCTIONS: Context<'static> = {
        let mut context = Context::default();
        context.register_all();
        context
    };
}

fn reworded(error: &ExecutionError) -> Fault {
    Fault::new(match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedUnaryOperator(..)
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnexpectedType { .. } => "no such overload".into(),
        ExecutionError::DivisionByZero(_) => "division by zero".into(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".into(),
        ExecutionError::Overflow(..) => "integer overflow".into(),
        ExecutionError::IndexOutOfBounds(_) => "index out of bounds".into(),
        ExecutionError::FunctionError { message, .. } => message.clone(),
        other => other.to_string(),
    })
}

fn is_ident(expression: &IdedExpr, name: &str) -> bool {
    matches!(&expression.expr, Expr::Ident(known) if known == name)
}

fn map_of(members: HashMap<Key, CelValue>) -> CelValue {
    CelValue::Map(Map {
        map: Arc::new(members),
    })
}

fn optional(value: &CelValue) -> Option<&OptionalValue> {
    match value {
        CelValue::Opaque(opaque) => opaque.downcast_ref::<OptionalValue>(),
        _ => None,
    }
}

fn optional_of(value: Option<CelValue>) -> CelValue {
    CelValue::Opaque(Arc::new(
        value.map_or_else(OptionalValue::none, OptionalValue::of),
    ))
}

fn wanted_optional(value: &CelValue) -> Result<&OptionalValue, Fault> {
    optional(value).ok_or_else(Fault::no_overload)
}

fn member(value: &CelValue, field: &str) -> Result<Option<CelValue>, Fault> {
    match value {
        CelValue::Map(map) => {
            let key = Key::String(Arc::new(field.to_owned()));
            Ok(map.get(&key).cloned())
        }
        _ => Err(Fault::no_overload()),
    }
}
