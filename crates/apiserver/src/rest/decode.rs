//! Decodes JSON and YAML, and tells which members came twice.
//!
//! Whole numbers written with a fraction (`2.0`) become integers, as Kubernetes reads them.
//! Does not know what the document should hold.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A document, and the paths of members that were given more than once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decoded {
    pub value: Value,
    pub duplicates: Vec<String>,
}

pub(crate) fn json(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Node {
        path: "",
        duplicates: &duplicates,
    }
    .deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded {
        value,
        duplicates: duplicates.into_inner(),
    })
}

/// Plain scalars are read by YAML 1.1, as in Kubernetes: `y`, `no` and `on` are booleans, `010` is 8.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Decoded, Box<serde_saphyr::Error>> {
    let duplicates = RefCell::new(Vec::new());
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    let value =
        serde_saphyr::with_deserializer_from_slice_with_options(bytes, options, |deserializer| {
            let node = Node {
                path: "",
                duplicates: &duplicates,
            };
            node.deserialize(deserializer)
        })
        .map_err(Box::new)?;
    Ok(Decoded {
        value,
        duplicates: duplicates.into_inner(),
    })
}

#[derive(Clone, Copy)]
struct Node<'a> {
    path: &'a str,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // Every whole double up to here is exact as an integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() < EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
            return Ok((value as i64).into());
        }
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, list.len());
            match items.next_element_seed(Node {
                path: &path,
                ..self
            })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key_seed(Key)? {
            let path = if self.path.is_empty() {
                key.clone()
            } else {
                format!("{}.{key}", self.path)
            };
            let value = members.next_value_seed(Node {
                path: &path,
                ..self
            })?;
            if object.insert(key, value).is_some() && !self.duplicates.borrow().contains(&path) {
                self.duplicates.borrow_mut().push(path);
            }
        }
        Ok(Value::Object(object))
    }
}

/// A member's name; YAML also has numbers and booleans there.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_string<E>(self, value: String) -> Result<String, E> {
        Ok(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_members_that_come_twice() {
        let decoded =
            json(br#"{"metadata":{"name":"a","name":"b"},"l":[{"x":1,"x":1,"x":2}]}"#).unwrap();
        assert_eq!(
            decoded.value,
            json!({"metadata": {"name": "b"}, "l": [{"x": 2}]})
        );
        assert_eq!(decoded.duplicates, ["metadata.name", "l[0].x"]);
    }

    #[test]
    fn reads_whole_fractions_as_integers() {
        let decoded = json(b"[2.0, 2.5, 1e3, 18446744073709551615, -1, 1e300]").unwrap();
        assert_eq!(decoded.value, json!([2, 2.5, 1000, u64::MAX, -1, 1e300]));
    }

    #[test]
    fn reads_yaml() {
        let decoded = yaml(b"a: {1: x}\nb: [~, true, 3]\nc: |\n  text\n").unwrap();
        assert_eq!(
            decoded.value,
            json!({"a": {"1": "x"}, "b": [null, true, 3], "c": "text\n"})
        );
        assert!(yaml(b"a: [").is_err());
        let twice = yaml(b"metadata: {name: a, name: b}").unwrap();
        assert_eq!(twice.value, json!({"metadata": {"name": "b"}}));
        assert_eq!(twice.duplicates, ["metadata.name"]);
    }

    #[test]
    fn reads_plain_scalars_of_yaml_by_its_first_version() {
        let decoded =
            yaml(b"[y, No, on, 'y', \"no\", 010, 0x10, 1_000, 1.5, 1e3, ~, null, 2024-01-01, x]");
        assert_eq!(
            decoded.unwrap().value,
            json!([
                true,
                false,
                true,
                "y",
                "no",
                8,
                16,
                1000,
                1.5,
                1000,
                null,
                null,
                "2024-01-01",
                "x"
            ])
        );
        let merged = yaml(b"a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n").unwrap();
        assert_eq!(merged.value["b"], json!({"x": 3, "true": 2}));
        let bomb = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            let m = n - 1;
            format!("{text}a{n}: &a{n} [*a{m}, *a{m}]\n")
        });
        assert!(yaml(bomb.as_bytes()).is_err());
    }

    #[test]
    fn refuses_what_follows_a_document() {
        assert!(json(b"{} x").is_err());
        assert!(json(b"{\"a\":").unwrap_err().is_eof());
    }

    #[test]
    fn refuses_bottomless_nesting() {
        let deep = "[".repeat(100_000);
        assert!(json(deep.as_bytes()).is_err());
    }
}
