//! Macros: the parser's comprehensions, and those of CEL's extensions that reach us as plain calls.
//!
//! Maps are gone through in the order of their keys. Knows no functions.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, Expr};
use kube_cel::cel::objects::Key;
use kube_cel::cel::{IdedExpr, Value as CelValue};

use super::{Evaluation, Fault, Outcome, map_of, operators, optional, optional_of, typing};

impl<'e> Evaluation<'e> {
    pub(super) fn comprehension(&mut self, c: &'e ComprehensionExpr) -> Outcome {
        let range = self.eval(&c.iter_range)?;
        let mut accumulated = self.eval(&c.accu_init);
        for (key, value) in pairs(&range)? {
            let depth = self.names.len();
            self.names.push((&c.accu_var, accumulated));
            match &c.iter_var2 {
                None => {
                    let item = if matches!(range, CelValue::Map(_)) {
                        key
                    } else {
                        value
                    };
                    self.set(&c.iter_var, item);
                }
                Some(second) => {
                    self.set(&c.iter_var, key);
                    self.set(second, value);
                }
            }
            let goes_on = self.eval(&c.loop_cond);
            if goes_on == Err(Fault::OverBudget) {
                return Err(Fault::OverBudget);
            }
            if matches!(goes_on, Ok(CelValue::Bool(false))) {
                self.names.truncate(depth + 1);
                accumulated = self
                    .names
                    .pop()
                    .map_or(Err(Fault::no_overload()), |(_, last)| last);
                break;
            }
            accumulated = self.eval(&c.loop_step);
            self.names.truncate(depth);
            if accumulated == Err(Fault::OverBudget) {
                return Err(Fault::OverBudget);
            }
        }
        self.names.push((&c.accu_var, accumulated));
        let result = self.eval(&c.result);
        self.names.pop();
        result
    }

    /// `accumulator + [item]` in place: the old list is not needed any more.
    pub(super) fn appended(&mut self, a: &'e IdedExpr, b: &'e IdedExpr) -> Option<Outcome> {
        let (Expr::Ident(name), Expr::List(list)) = (&a.expr, &b.expr) else {
            return None;
        };
        if !name.starts_with('@') {
            return None;
        }
        let items = match self.list(list) {
            Ok(CelValue::List(items)) => items,
            other => return Some(other),
        };
        let (_, slot) = self
            .names
            .iter_mut()
            .rev()
            .find(|(known, _)| known == name)?;
        let Ok(CelValue::List(all)) = slot else {
            return None;
        };
        let mut all = std::mem::take(all);
        Arc::make_mut(&mut all).extend(items.iter().cloned());
        Some(Ok(CelValue::List(all)))
    }

    /// A macro that the parser takes for a call; none if it is no macro.
    pub(super) fn macro_call(&mut self, call: &'e CallExpr) -> Option<Outcome> {
        let target = call.target.as_deref()?;
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            ("size", []) => Some(self.eval(target).and_then(|value| typing::size(&value))),
            ("bind", [variable, value, then]) if self.library(target) => {
                Some(self.bound(variable, value, then))
            }
            ("optMap" | "optFlatMap", [variable, then]) => {
                Some(self.optional_map(target, variable, then, name == "optMap"))
            }
            ("sortBy", [variable, by]) => Some(self.sorted(target, variable, by)),
            ("all" | "exists" | "existsOne" | "exists_one", [first, second, predicate]) => {
                Some(self.quantified(target, name, [first, second], predicate))
            }
            (
                "transformList" | "transformMap" | "transformMapEntry",
                [first, second, rest @ ..],
            ) if matches!(rest.len(), 1 | 2) => {
                Some(self.transformed(target, name, [first, second], rest))
            }
            _ => None,
        }
    }

    fn bound(
        &mut self,
        variable: &'e IdedExpr,
        value: &'e IdedExpr,
        then: &'e IdedExpr,
    ) -> Outcome {
        let value = self.eval(value)?;
        self.with(&[(variable, value)], then)
    }

    /// Evaluates with some names set.
    fn with(&mut self, names: &[(&'e IdedExpr, CelValue)], then: &'e IdedExpr) -> Outcome {
        let depth = self.names.len();
        for (name, value) in names {
            self.names.push((ident(name)?, Ok(value.clone())));
        }
        let outcome = self.eval(then);
        self.names.truncate(depth);
        outcome
    }

    fn optional_map(
        &mut self,
        target: &'e IdedExpr,
        variable: &'e IdedExpr,
        then: &'e IdedExpr,
        wrap: bool,
    ) -> Outcome {
        let target = self.eval(target)?;
        let found = optional(&target).ok_or_else(Fault::no_overload)?;
        let Some(value) = found.value().cloned() else {
            return Ok(optional_of(None));
        };
        let value = self.with(&[(variable, value)], then)?;
        match (wrap, optional(&value)) {
            (true, _) => Ok(optional_of(Some(value))),
            (false, Some(_)) => Ok(value),
            (false, None) => Err(Fault::no_overload()),
        }
    }

    fn sorted(
        &mut self,
        target: &'e IdedExpr,
        variable: &'e IdedExpr,
        by: &'e IdedExpr,
    ) -> Outcome {
        let CelValue::List(items) = self.eval(target)? else {
            return Err(Fault::no_overload());
        };
        let mut keyed = Vec::with_capacity(items.len());
        for item in items.iter() {
            let key = self.with(&[(variable, item.clone())], by)?;
            keyed.push((key, item.clone()));
        }
        let items = u64::try_from(keyed.len()).unwrap_or(u64::MAX);
        self.spend(items.saturating_mul(u64::from(items.max(1).ilog2())))?;
        let mut problem = None;
        keyed.sort_by(|(a, _), (b, _)| match operators::compare(a, b) {
            Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
            Err(fault) => {
                problem = Some(fault);
                std::cmp::Ordering::Equal
            }
        });
        match problem {
            Some(fault) => Err(fault),
            None => Ok(CelValue::List(Arc::new(
                keyed.into_iter().map(|(_, item)| item).collect(),
            ))),
        }
    }

    /// `all`, `exists` and `existsOne` over indices or keys and values.
    fn quantified(
        &mut self,
        target: &'e IdedExpr,
        name: &str,
        [first, second]: [&'e IdedExpr; 2],
        predicate: &'e IdedExpr,
    ) -> Outcome {
        let range = self.eval(target)?;
        let (mut met, mut problem) = (0_usize, None);
        let all = pairs(&range)?;
        for (key, value) in &all {
            match self.with(&[(first, key.clone()), (second, value.clone())], predicate) {
                Ok(CelValue::Bool(true)) if name == "exists" => return Ok(CelValue::Bool(true)),
                Ok(CelValue::Bool(false)) if name == "all" => return Ok(CelValue::Bool(false)),
                Ok(CelValue::Bool(value)) => met += usize::from(value),
                Ok(_) => problem = Some(Fault::no_overload()),
                Err(Fault::OverBudget) => return Err(Fault::OverBudget),
                Err(fault) if matches!(name, "all" | "exists") => problem = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        match problem {
            Some(fault) => Err(fault),
            None => Ok(CelValue::Bool(match name {
                "all" => true,
                "exists" => false,
                _ => met == 1,
            })),
        }
    }

    fn transformed(
        &mut self,
        target: &'e IdedExpr,
        name: &str,
        [first, second]: [&'e IdedExpr; 2],
        rest: &'e [IdedExpr],
    ) -> Outcome {
        let range = self.eval(target)?;
        let (mut list, mut map) = (Vec::new(), HashMap::new());
        for (key, value) in pairs(&range)? {
            let names = [(first, key.clone()), (second, value)];
            if let [filter, _] = rest {
                match self.with(&names, filter)? {
                    CelValue::Bool(true) => {}
                    CelValue::Bool(false) => continue,
                    _ => return Err(Fault::no_overload()),
                }
            }
            let Some(then) = rest.last() else {
                return Err(Fault::no_overload());
            };
            let made = self.with(&names, then)?;
            match name {
                "transformList" => list.push(made),
                "transformMap" => {
                    map.insert(operators::key(&key)?, made);
                }
                _ => {
                    let CelValue::Map(entries) = made else {
                        return Err(Fault::no_overload());
                    };
                    for (key, value) in entries.map.iter() {
                        if map.insert(key.clone(), value.clone()).is_some() {
                            return Err(Fault::new("failed with repeated key"));
                        }
                    }
                }
            }
        }
        Ok(if name == "transformList" {
            CelValue::List(Arc::new(list))
        } else {
            map_of(map)
        })
    }
}

/// Indices or keys, and values.
fn pairs(range: &CelValue) -> Result<Vec<(CelValue, CelValue)>, Fault> {
    match range {
        CelValue::List(items) => Ok((0..)
            .map(CelValue::Int)
            .zip(items.iter().cloned())
            .collect()),
        CelValue::Map(map) => {
            let mut members: Vec<(&Key, &CelValue)> = map.map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            Ok(members
                .into_iter()
                .map(|(key, value)| (CelValue::from(key), value.clone()))
                .collect())
        }
        _ => Err(Fault::no_overload()),
    }
}

fn ident(expression: &IdedExpr) -> Result<&str, Fault> {
    match &expression.expr {
        Expr::Ident(name) => Ok(name),
        _ => Err(Fault::new("argument must be a simple name")),
    }
}
