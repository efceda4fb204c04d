//! Decodes objects of built-in kinds from the protobuf encoding that Go clients send.
//!
//! ```text
//! | "k8s" 0 | Unknown { typeMeta = 1 { apiVersion = 1, kind = 2 }, raw = 2: the object } |
//! ```
//! The fields come from `protobuf/messages.txt`. Does not know what the fields say.

mod messages;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

use messages::{Field, Message, Shape, Type};
use wire::{Reader, Wire};

const MAGIC: &[u8] = b"k8s\0";
/// Nothing real is nested deeper; every level is a call.
const DEEPEST: usize = 64;

/// Why a body is no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    #[error("the body does not begin as the protobuf encoding of Kubernetes does")]
    NoMagic,
    #[error("{kind} of {api_version} is not known in the protobuf encoding; send JSON")]
    UnknownKind { api_version: String, kind: String },
    #[error("the body is cut off or not in the protobuf encoding")]
    Malformed,
    #[error("the body is nested more than {DEEPEST} levels deep")]
    TooDeep,
}

/// The object in a body.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ProtobufError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &body[..0]);
    for field in Reader::new(body) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Reader::new(meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = text_of(text)?,
                        (2, Wire::Bytes(text)) => kind = text_of(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let message = messages::find(&api_version, &kind);
    let message = message.ok_or_else(|| ProtobufError::UnknownKind {
        api_version: api_version.clone(),
        kind: kind.clone(),
    })?;
    let mut object = read_message(message, raw, 0)?;
    object.insert("apiVersion".into(), json!(api_version));
    object.insert("kind".into(), json!(kind));
    Ok(Value::Object(object))
}

fn text_of(bytes: &[u8]) -> Result<String, ProtobufError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Malformed)
}

fn read_message(
    message: &Message,
    bytes: &[u8],
    depth: usize,
) -> Result<Map<String, Value>, ProtobufError> {
    if depth > DEEPEST {
        return Err(ProtobufError::TooDeep);
    }
    let mut object = Map::new();
    for entry in Reader::new(bytes) {
        let (number, wire) = entry?;
        // A newer client's field that this release does not know.
        let Some(field) = message.field(number) else {
            continue;
        };
        read_field(field, &wire, &mut object, depth)?;
    }
    for field in message.fields().filter(|field| field.drop_zero) {
        if object.get(field.name).is_some_and(is_zero) {
            object.remove(field.name);
        }
    }
    Ok(object)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn read_field(
    field: &Field,
    wire: &Wire<'_>,
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if field.inline {
        let (Wire::Bytes(bytes), Type::Message(message)) = (wire, &field.of) else {
            return Err(ProtobufError::Malformed);
        };
        let message = messages::get(message).ok_or(ProtobufError::Malformed)?;
        object.append(&mut read_message(message, bytes, depth + 1)?);
        return Ok(());
    }
    match field.shape {
        Shape::One => {
            let value = read_value(&field.of, wire, depth)?;
            object.insert(field.name.to_owned(), value);
        }
        Shape::List => {
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            let list = list.as_array_mut().ok_or(ProtobufError::Malformed)?;
            list.push(read_value(&field.of, wire, depth)?);
        }
        Shape::Map => {
            let (key, value) = read_entry(&field.of, wire, depth)?;
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            map.as_object_mut()
                .ok_or(ProtobufError::Malformed)?
                .insert(key, value);
        }
    }
    Ok(())
}

fn read_entry(of: &Type, wire: &Wire<'_>, depth: usize) -> Result<(String, Value), ProtobufError> {
    let Wire::Bytes(bytes) = wire else {
        return Err(ProtobufError::Malformed);
    };
    let (mut key, mut value) = (String::new(), None);
    for field in Reader::new(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => key = text_of(text)?,
            (2, wire) => value = Some(read_value(of, &wire, depth)?),
            _ => {}
        }
    }
    let empty = Wire::Bytes(&[]);
    let value = match value {
        Some(value) => value,
        None => read_value(of, &empty, depth)?,
    };
    Ok((key, value))
}

fn read_value(of: &Type, wire: &Wire<'_>, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (of, wire) {
        (Type::Bool, Wire::Varint(number)) => json!(*number != 0),
        (Type::Int, Wire::Varint(number)) => json!(number.cast_signed()),
        (Type::Double, Wire::Fixed64(bits)) => {
            Number::from_f64(f64::from_bits(*bits)).map_or(Value::Null, Value::Number)
        }
        (Type::String, Wire::Bytes(bytes)) => json!(text_of(bytes)?),
        (Type::Bytes, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        (Type::Message(name), Wire::Bytes(bytes)) => {
            let message = messages::get(name).ok_or(ProtobufError::Malformed)?;
            Value::Object(read_message(message, bytes, depth + 1)?)
        }
        (of, Wire::Bytes(bytes)) => read_special(of, bytes, depth)?,
        _ => return Err(ProtobufError::Malformed),
    })
}

/// Types whose JSON is not that of their fields.
fn read_special(of: &Type, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let mut numbers = [0_i64; 3];
    let mut parts: [Vec<&[u8]>; 3] = Default::default();
    for field in Reader::new(bytes) {
        match field? {
            (at @ 1..=2, Wire::Varint(number)) => numbers[at as usize] = number.cast_signed(),
            (at @ 1..=3, Wire::Bytes(bytes)) => parts[at as usize - 1].push(bytes),
            _ => {}
        }
    }
    let first = |part: usize| parts[part].first().copied().unwrap_or_default();
    let schema = |bytes: &[u8]| {
        read_value(
            &Type::Message("apiextensions.JSONSchemaProps"),
            &Wire::Bytes(bytes),
            depth,
        )
    };
    let all = |part: usize| -> Result<Vec<Value>, ProtobufError> {
        parts[part].iter().map(|bytes| schema(bytes)).collect()
    };
    let texts = |part: usize| -> Result<Vec<String>, ProtobufError> {
        parts[part].iter().map(|bytes| text_of(bytes)).collect()
    };
    Ok(match of {
        Type::Time => time(numbers[1], 0, "%Y-%m-%dT%H:%M:%SZ"),
        Type::MicroTime => time(numbers[1], numbers[2], "%Y-%m-%dT%H:%M:%S%.6fZ"),
        Type::Quantity => json!(text_of(first(0))?),
        Type::IntOrString if numbers[1] == 1 => json!(text_of(first(2))?),
        Type::IntOrString => json!(numbers[2]),
        Type::Raw if first(0).is_empty() => Value::Null,
        Type::Raw => serde_json::from_slice(first(0)).map_err(|_| ProtobufError::Malformed)?,
        Type::Items => json!(texts(0)?),
        Type::SchemaOrBool if parts[1].is_empty() => json!(numbers[1] != 0),
        Type::SchemaOrBool => schema(first(1))?,
        Type::SchemaOrArray | Type::SchemaOrStrings if parts[1].is_empty() => schema(first(0))?,
        Type::SchemaOrArray => json!(all(1)?),
        Type::SchemaOrStrings => json!(texts(1)?),
        Type::Bool | Type::Int | Type::Double | Type::String | Type::Bytes | Type::Message(_) => {
            return Err(ProtobufError::Malformed);
        }
    })
}

/// The zero time is how Go says that there is none.
fn time(seconds: i64, nanos: i64, format: &str) -> Value {
    const GO_ZERO: i64 = -62_135_596_800;
    if seconds == GO_ZERO || (seconds, nanos) == (0, 0) {
        return Value::Null;
    }
    let nanos = i32::try_from(nanos).unwrap_or_default();
    match jiff::Timestamp::new(seconds, nanos) {
        Ok(time) => json!(time.strftime(format).to_string()),
        Err(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes one length-delimited field, as a client would.
    fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        assert!(number < 16 && bytes.len() < 128);
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn varint(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version), field(2, kind)].concat();
        [MAGIC.to_vec(), field(1, meta), field(2, raw)].concat()
    }

    #[test]
    fn reads_a_config_map() {
        let metadata = [field(1, "one"), field(3, ""), field(8, "")].concat();
        let data = [field(1, "a"), field(2, "1")].concat();
        let binary = [field(1, "b"), field(2, [0xFF, 0])].concat();
        let raw = [
            field(1, metadata),
            field(2, data),
            field(3, binary),
            varint(4, 0),
        ]
        .concat();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"},
            "data": {"a": "1"}, "binaryData": {"b": "/wA="}, "immutable": false});
        assert_eq!(decode(&body("v1", "ConfigMap", &raw)), Ok(expected));
    }

    #[test]
    fn reads_inlined_and_special_fields() {
        let quantity = field(1, "1Gi");
        let capacity = [field(1, "storage"), field(2, quantity)].concat();
        let source = field(1, "x");
        let host_path = field(3, source);
        let spec = [field(1, capacity), field(2, host_path)].concat();
        let raw = field(2, spec);
        let expected = json!({"apiVersion": "v1", "kind": "PersistentVolume",
            "spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "x"}}});
        assert_eq!(decode(&body("v1", "PersistentVolume", &raw)), Ok(expected));
    }

    #[test]
    fn reads_delete_options_of_any_group() {
        let raw = [varint(1, 0), field(4, "Background")].concat();
        let options = decode(&body("apps/v1", "DeleteOptions", &raw)).unwrap();
        assert_eq!(options["gracePeriodSeconds"], 0);
        assert_eq!(options["propagationPolicy"], "Background");
    }

    #[test]
    fn refuses_what_is_no_object() {
        assert_eq!(decode(b"{}"), Err(ProtobufError::NoMagic));
        let cut = [MAGIC, &[0x0A, 0x50, 0x01]].concat();
        assert_eq!(decode(&cut), Err(ProtobufError::Malformed));
        let unknown = decode(&body("x.io/v1", "Widget", b""));
        assert!(matches!(unknown, Err(ProtobufError::UnknownKind { .. })));
    }
}
