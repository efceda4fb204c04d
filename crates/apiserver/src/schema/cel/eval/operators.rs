//! Logic, equality, order, arithmetic and indexing, as the specification of CEL has them.
//!
//! Numbers compare across types by their mathematical value. Knows no functions.

use std::cmp::Ordering;
use std::sync::Arc;

use kube_cel::cel::Value as CelValue;
use kube_cel::cel::common::ast::CallExpr;
use kube_cel::cel::objects::Key;

use super::{Evaluation, Fault, Outcome, optional, optional_of, typing};

impl<'e> Evaluation<'e> {
    /// None if the call is no operator.
    pub(super) fn operator(&mut self, call: &'e CallExpr) -> Option<Outcome> {
        let (name, arguments) = (call.func_name.as_str(), call.args.as_slice());
        Some(match (name, arguments) {
            ("_&&_" | "_||_", [_, _]) => self.logic(call),
            ("_?_:_", [condition, yes, no]) => match self.eval(condition) {
                Ok(CelValue::Bool(true)) => self.eval(yes),
                Ok(CelValue::Bool(false)) => self.eval(no),
                Ok(_) => Err(Fault::no_overload()),
                Err(fault) => Err(fault),
            },
            ("@not_strictly_false", [a]) => match self.eval(a) {
                Err(Fault::OverBudget) => Err(Fault::OverBudget),
                Ok(CelValue::Bool(false)) => Ok(CelValue::Bool(false)),
                _ => Ok(CelValue::Bool(true)),
            },
            ("!_", [a]) => match self.eval(a) {
                Ok(CelValue::Bool(value)) => Ok(CelValue::Bool(!value)),
                Ok(_) => Err(Fault::no_overload()),
                Err(fault) => Err(fault),
            },
            ("-_", [a]) => self.eval(a).and_then(|value| negative(&value)),
            ("_+_", [a, b]) => match self.appended(a, b) {
                Some(outcome) => outcome,
                None => self.both(call, arithmetic),
            },
            ("_-_" | "_*_" | "_/_" | "_%_", [_, _]) => self.both(call, arithmetic),
            ("_==_" | "_!=_", [a, b]) => self.equality(a, b, name == "_==_"),
            ("_<_" | "_<=_" | "_>_" | "_>=_", [_, _]) => self.both(call, order),
            ("@in", [a, b]) => self.contained(a, b),
            ("_[_]", [_, _]) => self.both(call, |_, a, b| index(a, b)),
            ("_[?_]" | "_?._", [_, _]) => self.both(call, |_, a, b| optional_index(a, b)),
            _ => return None,
        })
    }

    /// Either side decides if it can, whatever the other is.
    fn logic(&mut self, call: &'e CallExpr) -> Outcome {
        let decisive = call.func_name == "_||_";
        let mut problem = None;
        for argument in &call.args {
            match self.eval(argument) {
                Ok(CelValue::Bool(value)) if value == decisive => return Ok(CelValue::Bool(value)),
                Ok(CelValue::Bool(_)) => {}
                Ok(_) => problem = problem.or_else(|| Some(Fault::no_overload())),
                Err(Fault::OverBudget) => return Err(Fault::OverBudget),
                Err(fault) => problem = problem.or(Some(fault)),
            }
        }
        match problem {
            Some(fault) => Err(fault),
            None => Ok(CelValue::Bool(!decisive)),
        }
    }

    fn both(
        &mut self,
        call: &'e CallExpr,
        with: fn(&str, &CelValue, &CelValue) -> Outcome,
    ) -> Outcome {
        let [a, b] = call.args.as_slice() else {
            return Err(Fault::no_overload());
        };
        let (a, b) = (self.eval(a)?, self.eval(b)?);
        let size = match (&a, &b) {
            (CelValue::String(a), CelValue::String(b)) => a.len() + b.len(),
            (CelValue::List(a), CelValue::List(b)) => a.len() + b.len(),
            (CelValue::Bytes(a), CelValue::Bytes(b)) => a.len() + b.len(),
            _ => 0,
        };
        self.spend(u64::try_from(size).unwrap_or(u64::MAX) / 10)?;
        with(&call.func_name, &a, &b)
    }

    fn equality(
        &mut self,
        a: &'e kube_cel::cel::IdedExpr,
        b: &'e kube_cel::cel::IdedExpr,
        wanted: bool,
    ) -> Outcome {
        let (a, b) = (self.eval(a)?, self.eval(b)?);
        Ok(CelValue::Bool(self.equal(&a, &b)? == wanted))
    }

    /// Whether two values are equal; what is of another type is not.
    pub(super) fn equal(&mut self, a: &CelValue, b: &CelValue) -> Result<bool, Fault> {
        if let Some(order) = numbers(a, b) {
            return Ok(order == Some(Ordering::Equal));
        }
        match (a, b) {
            (CelValue::String(a), CelValue::String(b)) => {
                let shorter = a.len().min(b.len());
                self.spend(u64::try_from(shorter).unwrap_or(u64::MAX) / 10)?;
                Ok(a == b)
            }
            (CelValue::List(a), CelValue::List(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    self.spend(1)?;
                    if !self.equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (CelValue::Map(a), CelValue::Map(b)) => {
                if a.map.len() != b.map.len() {
                    return Ok(false);
                }
                for (key, value) in a.map.iter() {
                    self.spend(1)?;
                    let Some(other) = b.get(key) else {
                        return Ok(false);
                    };
                    if !self.equal(value, other)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (CelValue::Opaque(_), CelValue::Opaque(_)) => match (optional(a), optional(b)) {
                (Some(a), Some(b)) => match (a.value(), b.value()) {
                    (Some(a), Some(b)) => self.equal(a, b),
                    (a, b) => Ok(a.is_none() && b.is_none()),
                },
                _ => Ok(typing::same(a, b).unwrap_or_else(|| a == b)),
            },
            _ => Ok(a == b),
        }
    }

    fn contained(
        &mut self,
        a: &'e kube_cel::cel::IdedExpr,
        b: &'e kube_cel::cel::IdedExpr,
    ) -> Outcome {
        let (item, all) = (self.eval(a)?, self.eval(b)?);
        match &all {
            CelValue::List(items) => {
                for other in items.iter() {
                    self.spend(1)?;
                    if self.equal(&item, other)? {
                        return Ok(CelValue::Bool(true));
                    }
                }
                Ok(CelValue::Bool(false))
            }
            CelValue::Map(map) => {
                let found = key(&item).is_ok_and(|key| map.get(&key).is_some());
                Ok(CelValue::Bool(found))
            }
            _ => Err(Fault::no_overload()),
        }
    }
}

/// The order of two numbers; the outer none if they are not both numbers, the inner one for no number.
#[expect(
    clippy::option_option,
    reason = "no numbers, and numbers without an order"
)]
fn numbers(a: &CelValue, b: &CelValue) -> Option<Option<Ordering>> {
    use CelValue::{Float, Int, UInt};
    Some(match (a, b) {
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (UInt(a), UInt(b)) => Some(a.cmp(b)),
        (Float(a), Float(b)) => a.partial_cmp(b),
        (Int(a), UInt(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (UInt(a), Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Int(a), Float(b)) => whole_and_float(i128::from(*a), *b),
        (UInt(a), Float(b)) => whole_and_float(i128::from(*a), *b),
        (Float(a), Int(b)) => whole_and_float(i128::from(*b), *a).map(Ordering::reverse),
        (Float(a), UInt(b)) => whole_and_float(i128::from(*b), *a).map(Ordering::reverse),
        _ => return None,
    })
}

fn whole_and_float(whole: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Saturates, far beyond every 64-bit number.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is looked at next"
    )]
    let floor = float.floor() as i128;
    Some(whole.cmp(&floor).then_with(|| {
        if float > float.floor() {
            Ordering::Less
        } else {
            Ordering::Equal
        }
    }))
}

fn order(name: &str, a: &CelValue, b: &CelValue) -> Outcome {
    let order = compare(a, b)?;
    Ok(CelValue::Bool(match (name, order) {
        (_, None) => false,
        ("_<_", Some(order)) => order.is_lt(),
        ("_<=_", Some(order)) => order.is_le(),
        ("_>_", Some(order)) => order.is_gt(),
        (_, Some(order)) => order.is_ge(),
    }))
}

/// None for what is no number.
pub(super) fn compare(a: &CelValue, b: &CelValue) -> Result<Option<Ordering>, Fault> {
    if let Some(order) = numbers(a, b) {
        return Ok(order);
    }
    match (a, b) {
        (CelValue::String(a), CelValue::String(b)) => Ok(Some(a.cmp(b))),
        (CelValue::Bytes(a), CelValue::Bytes(b)) => Ok(Some(a.cmp(b))),
        (CelValue::Bool(a), CelValue::Bool(b)) => Ok(Some(a.cmp(b))),
        (CelValue::Timestamp(a), CelValue::Timestamp(b)) => Ok(Some(a.cmp(b))),
        (CelValue::Duration(a), CelValue::Duration(b)) => Ok(Some(a.cmp(b))),
        _ => Err(Fault::no_overload()),
    }
}

fn negative(value: &CelValue) -> Outcome {
    match value {
        CelValue::Int(number) => number
            .checked_neg()
            .map(CelValue::Int)
            .ok_or_else(|| Fault::new("integer overflow")),
        CelValue::Float(number) => Ok(CelValue::Float(-number)),
        _ => Err(Fault::no_overload()),
    }
}

pub(super) fn arithmetic(name: &str, a: &CelValue, b: &CelValue) -> Outcome {
    use CelValue::{Bytes, Float, Int, List, String, UInt};
    match (a, b) {
        (Int(a), Int(b)) => {
            if *b == 0 && matches!(name, "_/_" | "_%_") {
                return by_zero(name);
            }
            let result = match name {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result
                .map(Int)
                .ok_or_else(|| Fault::new("integer overflow"))
        }
        (UInt(a), UInt(b)) => {
            if *b == 0 && matches!(name, "_/_" | "_%_") {
                return by_zero(name);
            }
            let result = match name {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            result
                .map(UInt)
                .ok_or_else(|| Fault::new("unsigned integer overflow"))
        }
        (Float(a), Float(b)) => match name {
            "_+_" => Ok(Float(a + b)),
            "_-_" => Ok(Float(a - b)),
            "_*_" => Ok(Float(a * b)),
            "_/_" => Ok(Float(a / b)),
            _ => Err(Fault::no_overload()),
        },
        (String(a), String(b)) if name == "_+_" => Ok(String(Arc::new(format!("{a}{b}")))),
        (List(a), List(b)) if name == "_+_" => {
            Ok(List(Arc::new(a.iter().chain(b.iter()).cloned().collect())))
        }
        (Bytes(a), Bytes(b)) if name == "_+_" => {
            Ok(Bytes(Arc::new([a.as_slice(), b.as_slice()].concat())))
        }
        (CelValue::Timestamp(_) | CelValue::Duration(_), _)
        | (_, CelValue::Timestamp(_) | CelValue::Duration(_)) => times(name, a, b),
        _ => Err(Fault::no_overload()),
    }
}

fn by_zero(name: &str) -> Outcome {
    Err(Fault::new(if name == "_/_" {
        "division by zero"
    } else {
        "modulus by zero"
    }))
}

fn times(name: &str, a: &CelValue, b: &CelValue) -> Outcome {
    let result = match name {
        "_+_" => a.clone() + b.clone(),
        "_-_" => a.clone() - b.clone(),
        _ => return Err(Fault::no_overload()),
    };
    result.map_err(|error| super::reworded(&error))
}

/// What may be the key of a map. A whole floating number stands for the integer.
pub(super) fn key(value: &CelValue) -> Result<Key, Fault> {
    Ok(match value {
        CelValue::Int(number) => Key::Int(*number),
        CelValue::UInt(number) => i64::try_from(*number).map_or(Key::Uint(*number), Key::Int),
        CelValue::Float(_) => Key::Int(whole(value).ok_or_else(|| Fault::new("no such key"))?),
        CelValue::Bool(value) => Key::Bool(*value),
        CelValue::String(text) => Key::String(text.clone()),
        _ => return Err(Fault::new("unsupported key type")),
    })
}

fn whole(value: &CelValue) -> Option<i64> {
    match value {
        CelValue::Int(number) => Some(*number),
        CelValue::UInt(number) => i64::try_from(*number).ok(),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "compared with the original"
        )]
        CelValue::Float(number) => {
            let cut = *number as i64;
            (whole_and_float(i128::from(cut), *number) == Some(Ordering::Equal)).then_some(cut)
        }
        _ => None,
    }
}

fn found(target: &CelValue, at: &CelValue) -> Result<Option<CelValue>, Fault> {
    match target {
        CelValue::List(items) => {
            let at = whole(at).ok_or_else(Fault::no_overload)?;
            Ok(usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at).cloned()))
        }
        CelValue::Map(map) => Ok(map.get(&key(at)?).cloned()),
        _ => Err(Fault::no_overload()),
    }
}

fn index(target: &CelValue, at: &CelValue) -> Outcome {
    if optional(target).is_some() {
        return optional_index(target, at);
    }
    found(target, at)?.ok_or_else(|| {
        Fault::new(match (target, at) {
            (CelValue::List(_), at) => {
                format!("index out of bounds: {}", whole(at).unwrap_or_default())
            }
            (_, CelValue::String(key)) => format!("no such key: {key}"),
            (_, at) => format!("no such key: {}", whole(at).unwrap_or_default()),
        })
    })
}

fn optional_index(target: &CelValue, at: &CelValue) -> Outcome {
    match optional(target).map(|optional| optional.value().cloned()) {
        None => found(target, at).map(optional_of),
        Some(None) => Ok(optional_of(None)),
        Some(Some(inner)) => found(&inner, at).map(optional_of),
    }
}
