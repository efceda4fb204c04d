//! Holds one stored object as compact JSON, with its resourceVersion inside at a known place.
//!
//! Does not know kinds, schemas or where the object is kept.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

/// An object as it is on disk, in memory and on the wire: the same bytes.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// `namespace/name`, or `name` alone for what has no namespace.
    pub key: Arc<str>,
    pub rv: u64,
    /// Where the digits of the resourceVersion begin.
    rv_at: u32,
    json: Bytes,
}

impl Object {
    pub(crate) fn from_stored(key: Arc<str>, rv: u64, rv_at: u32, json: Bytes) -> Self {
        Self {
            key,
            rv,
            rv_at,
            json,
        }
    }

    pub(crate) fn rv_at(&self) -> u32 {
        self.rv_at
    }

    pub(crate) fn json(&self) -> &Bytes {
        &self.json
    }

    /// Decodes the object. It was encoded here, so a failure means memory is broken; null then.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or(Value::Null)
    }

    pub(crate) fn name(&self) -> &str {
        self.key
            .split_once('/')
            .map_or(&*self.key, |(_, name)| name)
    }

    /// The same object under another resourceVersion: what a DELETED event carries.
    pub(crate) fn at(&self, rv: u64) -> Self {
        let start = self.rv_at as usize;
        let end = start + digits(self.rv);
        let number = rv.to_string();
        let mut json = Vec::with_capacity(self.json.len() + number.len());
        json.extend_from_slice(&self.json[..start]);
        json.extend_from_slice(number.as_bytes());
        json.extend_from_slice(&self.json[end..]);
        Self {
            key: self.key.clone(),
            rv,
            rv_at: self.rv_at,
            json: json.into(),
        }
    }
}

fn digits(mut number: u64) -> usize {
    let mut count = 1;
    while number >= 10 {
        number /= 10;
        count += 1;
    }
    count
}

/// An object encoded but for its resourceVersion, which only the committer can give.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    json: Vec<u8>,
    rv_at: usize,
}

impl Draft {
    /// Encodes `object`. A resourceVersion in it is left out.
    pub(crate) fn encode(object: &Value) -> Self {
        let mut json = Vec::with_capacity(1024);
        let mut rv_at = 0;
        json.push(b'{');
        let empty = Map::new();
        let object = object.as_object().unwrap_or(&empty);
        for name in ["kind", "apiVersion"] {
            if let Some(value) = object.get(name) {
                member(&mut json, name, value);
            }
        }
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(b"\"metadata\":{\"resourceVersion\":\"");
        rv_at += json.len();
        json.push(b'"');
        let metadata = object
            .get("metadata")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        for (name, value) in metadata
            .iter()
            .filter(|(name, _)| *name != "resourceVersion")
        {
            member(&mut json, name, value);
        }
        json.push(b'}');
        for (name, value) in object {
            if !matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
                member(&mut json, name, value);
            }
        }
        json.push(b'}');
        Self { json, rv_at }
    }

    pub(crate) fn len(&self) -> usize {
        self.json.len()
    }

    /// Whether `stored` holds the same but for the resourceVersion.
    pub(crate) fn same_as(&self, stored: &Object) -> bool {
        let after = stored.rv_at as usize + digits(stored.rv);
        self.rv_at == stored.rv_at as usize
            && self.json.len() + digits(stored.rv) == stored.json.len()
            && self.json[..self.rv_at] == stored.json[..self.rv_at]
            && self.json[self.rv_at..] == stored.json[after..]
    }

    pub(crate) fn finish(self, key: Arc<str>, rv: u64) -> Object {
        let number = rv.to_string();
        let mut json = Vec::with_capacity(self.json.len() + number.len());
        json.extend_from_slice(&self.json[..self.rv_at]);
        json.extend_from_slice(number.as_bytes());
        json.extend_from_slice(&self.json[self.rv_at..]);
        // Objects are bounded by the request limit of 3 MiB.
        let rv_at = u32::try_from(self.rv_at).unwrap_or(u32::MAX);
        Object {
            key,
            rv,
            rv_at,
            json: json.into(),
        }
    }
}

fn member(json: &mut Vec<u8>, name: &str, value: &Value) {
    if json.last() != Some(&b'{') {
        json.push(b',');
    }
    // Writing a value to memory cannot fail: its keys are strings.
    let _ = serde_json::to_writer(&mut *json, name);
    json.push(b':');
    let _ = serde_json::to_writer(json, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "data": {"metadata": "\"resourceVersion\":\"7\""},
            "metadata": {"name": "a", "namespace": "n", "resourceVersion": "9"}})
    }

    #[test]
    fn carries_the_resource_version_it_was_finished_with() {
        let object = Draft::encode(&sample()).finish("n/a".into(), 120);
        let mut expected = sample();
        expected["metadata"]["resourceVersion"] = json!("120");
        assert_eq!(object.value(), expected);
        assert_eq!(object.name(), "a");
    }

    #[test]
    fn moves_to_a_longer_resource_version() {
        let object = Draft::encode(&sample())
            .finish("n/a".into(), 9)
            .at(1000)
            .at(10);
        assert_eq!(object.value()["metadata"]["resourceVersion"], json!("10"));
        assert_eq!(object.value()["data"], sample()["data"]);
    }

    #[test]
    fn sees_that_nothing_changed() {
        let stored = Draft::encode(&sample()).finish("n/a".into(), 12345);
        assert!(Draft::encode(&stored.value()).same_as(&stored));
        let mut other = stored.value();
        other["data"]["x"] = json!("");
        assert!(!Draft::encode(&other).same_as(&stored));
    }

    #[test]
    fn encodes_an_object_without_metadata() {
        let object = Draft::encode(&json!({"spec": {}})).finish("a".into(), 1);
        assert_eq!(
            object.value(),
            json!({"metadata": {"resourceVersion": "1"}, "spec": {}})
        );
    }
}
