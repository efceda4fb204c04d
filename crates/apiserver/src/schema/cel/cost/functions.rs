//! Says what each operator and function costs by the sizes of what it is given, and how large its value is.
//!
//! Does not know where the values come from. Factors are those that Kubernetes publishes: a tenth for each byte that is
//! looked at, a quarter for each character of a regular expression.

use super::{Estimate, Of, either, is_map, members};
use crate::schema::Kind;

/// A whole number as text.
const DIGITS: u64 = 20;

/// What goes over each byte costs a tenth of them.
fn tenth(size: u64) -> u64 {
    size.div_ceil(10)
}

fn is_list(of: &Of<'_>) -> bool {
    match of {
        Of::Node(node) => node.kind == Some(Kind::Array),
        Of::List(_) => true,
        Of::Unknown | Of::Number | Of::Text | Of::Resource(_) => false,
    }
}

fn is_text(of: &Of<'_>) -> bool {
    match of {
        Of::Node(node) => node.kind == Some(Kind::String) || node.int_or_string,
        Of::Text => true,
        Of::Unknown | Of::Number | Of::List(_) | Of::Resource(_) => false,
    }
}

/// What a function itself costs, and what it makes. A method's target is its first value.
pub(super) fn function<'a>(name: &str, values: &[Estimate<'a>]) -> Estimate<'a> {
    let size = |at: usize| values.get(at).map_or(0, |value| value.size);
    let of = |at: usize| {
        values
            .get(at)
            .map(|value| value.of.clone())
            .unwrap_or_default()
    };
    let number = |cost: u64| Estimate::free(1, Of::Number).plus(cost);
    let text = |size: u64, cost: u64| Estimate::free(size, Of::Text).plus(cost);
    let texts = |size: u64, cost: u64| {
        Estimate::free(size, Of::List(Box::new(Estimate::free(size, Of::Text)))).plus(cost)
    };
    let pattern = || tenth(size(0).saturating_add(1)).saturating_mul(size(1).div_ceil(4));
    let sum = || size(0).saturating_add(size(1));
    match name {
        "_&&_" | "_||_" => number(0),
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => number(tenth(size(0).min(size(1)))),
        "_+_" if is_list(&of(0)) || is_list(&of(1)) => {
            let (_, a) = members(&of(0));
            let (_, b) = members(&of(1));
            Estimate::free(sum(), Of::List(Box::new(either(a, b)))).plus(1)
        }
        "_+_" if is_text(&of(0)) || is_text(&of(1)) => text(sum(), tenth(sum())),
        "@in" | "_in_" if is_map(&of(1)) => number(1),
        "@in" | "_in_" => number(size(1)),
        "_[_]" | "_[?_]" => {
            let (_, item) = members(&of(0));
            item.plus(1)
        }
        "startsWith" | "endsWith" => number(tenth(size(1))),
        "contains" | "intersects" | "equivalent" if is_list(&of(0)) => {
            number(size(0).saturating_mul(size(1)))
        }
        "contains" => number(tenth(size(0)).saturating_mul(tenth(size(1)))),
        "matches" => number(pattern()),
        "find" => text(size(0), pattern()),
        "findAll" => texts(size(0), pattern()),
        "lowerAscii" | "upperAscii" | "trim" | "substring" | "reverse" | "quote" | "url" | "ip"
        | "cidr" | "quantity" | "semver" | "charAt" => text(size(0), tenth(size(0))),
        "string" | "bytes" | "encode" | "decode" if is_text(&of(0)) => {
            text(size(0), tenth(size(0)))
        }
        "string" => text(DIGITS, 1),
        "split" => texts(size(0), tenth(size(0))),
        "join" => {
            let (_, item) = members(&of(0));
            let made = size(0).saturating_mul(item.size.saturating_add(size(1)));
            text(made, tenth(made))
        }
        "replace" => {
            let made = replaced(size(0), size(1), size(2));
            text(made, tenth(size(0)).saturating_add(tenth(made)))
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" if is_list(&of(0)) => {
            let (_, item) = members(&of(0));
            let each = 1 + if is_text(&item.of) {
                tenth(item.size)
            } else {
                0
            };
            item.plus(size(0).saturating_mul(each))
        }
        "indexOf" | "lastIndexOf" | "isURL" | "isIP" | "isCIDR" | "isQuantity" | "isSemver"
        | "duration" | "timestamp" | "validate" => number(tenth(size(0)).max(1)),
        _ => {
            let widest = values.iter().map(|value| value.size).max().unwrap_or(0);
            let of = match of(0) {
                known @ (Of::List(_) | Of::Text) => known,
                node @ Of::Node(_) if matches!(name, "value" | "orValue" | "dyn" | "sort") => node,
                _ => Of::Unknown,
            };
            Estimate::free(widest, of).plus(1)
        }
    }
}

/// The longest text that comes of replacing parts of one so long.
fn replaced(size: u64, what: u64, with: u64) -> u64 {
    match what {
        0 => size.saturating_add(size.saturating_add(1).saturating_mul(with)),
        what if with <= what => size,
        what => size.div_ceil(what).saturating_mul(with),
    }
}
