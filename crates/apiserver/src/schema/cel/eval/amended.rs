//! Functions that the libraries lack or do otherwise than Kubernetes.
//!
//! Does not know conversions between types.

use std::sync::Arc;

use kube_cel::cel::Value as CelValue;

use super::{Fault, Outcome, operators, times};

/// What a function gives; none for what the libraries do right.
pub(super) fn call(
    name: &str,
    target: Option<&CelValue>,
    arguments: &[CelValue],
) -> Option<Outcome> {
    match (name, target?, arguments) {
        ("split", CelValue::String(text), [CelValue::String(by)]) if by.is_empty() => {
            Some(Ok(characters(text, None)))
        }
        ("split", CelValue::String(text), [CelValue::String(by), CelValue::Int(most)])
            if by.is_empty() =>
        {
            Some(Ok(characters(text, usize::try_from(*most).ok())))
        }
        ("sum", CelValue::List(items), []) => match items.split_first() {
            Some((first @ CelValue::Duration(_), rest)) => Some(sum(first, rest)),
            _ => None,
        },
        (name, target, arguments) => times::part(name, target, arguments),
    }
}

/// A text character by character, the rest of it in the last of `most` parts.
fn characters(text: &str, most: Option<usize>) -> CelValue {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next()
        && most.is_none_or(|most| parts.len() < most)
    {
        let is_last = most == Some(parts.len() + 1);
        let (part, left) = rest.split_at(if is_last {
            rest.len()
        } else {
            character.len_utf8()
        });
        parts.push(CelValue::String(Arc::new(part.to_owned())));
        rest = left;
    }
    CelValue::List(Arc::new(parts))
}

fn sum(first: &CelValue, rest: &[CelValue]) -> Outcome {
    rest.iter().try_fold(first.clone(), |sum, item| match item {
        CelValue::Duration(_) => operators::arithmetic("_+_", &sum, item),
        _ => Err(Fault::no_overload()),
    })
}
