//! Types as values, and conversions between types.
//!
//! Does not know functions of the libraries.

use std::sync::Arc;

use kube_cel::cel::Value as CelValue;
use kube_cel::cel::objects::Opaque;

use super::{Fault, Outcome};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";
const OPTIONAL: &str = "optional_type";
const NAMED: [&str; 14] = [
    "bool",
    "bytes",
    "double",
    DURATION,
    TIMESTAMP,
    "int",
    "list",
    "map",
    "null_type",
    OPTIONAL,
    "string",
    "type",
    "uint",
    "dyn",
];

/// What `type(…)` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TypeValue(String);

impl Opaque for TypeValue {
    fn runtime_type_name(&self) -> &'static str {
        "type"
    }
}

fn value(name: &str) -> CelValue {
    CelValue::Opaque(Arc::new(TypeValue(name.to_owned())))
}

/// The type of a name, such as `int`.
pub(super) fn named(name: &str) -> Option<CelValue> {
    NAMED.contains(&name).then(|| value(name))
}

fn of(found: &CelValue) -> &str {
    match found {
        CelValue::Int(_) => "int",
        CelValue::UInt(_) => "uint",
        CelValue::Float(_) => "double",
        CelValue::String(_) => "string",
        CelValue::Bytes(_) => "bytes",
        CelValue::Bool(_) => "bool",
        CelValue::List(_) => "list",
        CelValue::Map(_) => "map",
        CelValue::Null => "null_type",
        CelValue::Timestamp(_) => TIMESTAMP,
        CelValue::Duration(_) => DURATION,
        CelValue::Opaque(opaque) => opaque.runtime_type_name(),
        CelValue::Function(..) => "function",
    }
}

/// Whether two types are the same; none if they are no types.
pub(super) fn same(a: &CelValue, b: &CelValue) -> Option<bool> {
    let name = |value: &CelValue| match value {
        CelValue::Opaque(opaque) => opaque.downcast_ref::<TypeValue>().cloned(),
        _ => None,
    };
    Some(name(a)? == name(b)?)
}

/// A conversion that the libraries lack or do otherwise; none for the rest.
pub(super) fn convert(name: &str, from: &CelValue) -> Option<Outcome> {
    let text = |text: String| Ok(CelValue::String(Arc::new(text)));
    Some(match (name, from) {
        ("dyn", value) => Ok(value.clone()),
        ("type", found) => Ok(value(of(found))),
        ("size", value) => size(value),
        ("bool", CelValue::Bool(value)) => Ok(CelValue::Bool(*value)),
        ("bool", CelValue::String(text)) => match text.as_str() {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(CelValue::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(CelValue::Bool(false)),
            _ => Err(Fault::new("type conversion error from 'string' to 'bool'")),
        },
        ("string", CelValue::Bool(value)) => text(value.to_string()),
        ("string", CelValue::Float(number)) => text(float_text(*number)),
        ("string", CelValue::Timestamp(time)) => {
            text(time.to_utc().to_rfc3339().replace("+00:00", "Z"))
        }
        ("string", CelValue::Duration(time)) => {
            let seconds = time.num_seconds();
            let nanos = time.subsec_nanos().unsigned_abs();
            let fraction = format!("{nanos:09}");
            let sign = if seconds == 0 && time.subsec_nanos() < 0 {
                "-"
            } else {
                ""
            };
            text(match fraction.trim_end_matches('0') {
                "" => format!("{seconds}s"),
                digits => format!("{sign}{seconds}.{digits}s"),
            })
        }
        ("int", CelValue::Timestamp(time)) => Ok(CelValue::Int(time.timestamp())),
        ("int", CelValue::Duration(time)) => Ok(CelValue::Int(
            time.num_nanoseconds()
                .ok_or_else(|| Fault::new("integer overflow"))
                .ok()?,
        )),
        ("timestamp", CelValue::Timestamp(_)) | ("duration", CelValue::Duration(_)) => {
            Ok(from.clone())
        }
        ("timestamp", CelValue::Int(seconds)) => timestamp(*seconds),
        _ => return None,
    })
}

/// A number as Go prints it: as few digits as tell it apart, with an exponent where it is large or small.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) => match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..6).contains(&exponent) => {
                let sign = if exponent < 0 { '-' } else { '+' };
                format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
            }
            _ => number.to_string(),
        },
        None => scientific,
    }
}

fn timestamp(seconds: i64) -> Outcome {
    let out_of_range = || Fault::new("timestamp out of range");
    let time = jiff::Timestamp::from_second(seconds).map_err(|_| out_of_range())?;
    let text = CelValue::from(time.to_string().as_str());
    let call = super::super::parse("timestamp(v)").map_err(Fault::new)?;
    let mut evaluation = super::Evaluation::new(super::PER_CALL);
    evaluation.set("v", text);
    evaluation.eval(&call)
}

/// Characters of a string, not bytes, as the specification of CEL has it.
pub(super) fn size(value: &CelValue) -> Outcome {
    let size = match value {
        CelValue::List(list) => list.len(),
        CelValue::Map(map) => map.map.len(),
        CelValue::String(text) => text.chars().count(),
        CelValue::Bytes(bytes) => bytes.len(),
        _ => return Err(Fault::no_overload()),
    };
    i64::try_from(size)
        .map(CelValue::Int)
        .map_err(|_| Fault::new("integer overflow"))
}
