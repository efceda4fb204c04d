//! Takes a file of several YAML documents apart, and writes one again that changed.
//!
//! Comments are kept where that is possible: a document that did not change is its own text, and one of which only the
//! version changed has that one line changed.

use serde::Deserialize as _;
use serde_json::Value;

/// One document as it was written.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
}

/// A text that is no manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("this is not YAML: {0}; templates must be rendered first")]
    NotYaml(serde_yaml_ng::Error),
    #[error("this is no object, it is {0}")]
    NoObject(&'static str),
    #[error("it cannot be written as YAML: {0}")]
    Write(serde_yaml_ng::Error),
}

/// The documents of a file, at its lines of three dashes.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            documents.push(Document {
                text: &text[start..at],
            });
            start = at + line.len();
        }
        at += line.len();
    }
    documents.push(Document {
        text: &text[start..],
    });
    documents.retain(|it| !it.text.trim().is_empty());
    documents
}

/// Kind and name, for messages.
pub(super) fn title(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or("an object without kind");
    let meta = &object["metadata"];
    let name = meta["name"].as_str().or(meta["generateName"].as_str());
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
}

impl Document<'_> {
    /// None if there is nothing but comments.
    pub(super) fn parse(&self) -> Result<Option<Value>, DocumentError> {
        let document = serde_yaml_ng::Deserializer::from_str(self.text);
        let value = Value::deserialize(document).map_err(DocumentError::NotYaml)?;
        match value {
            Value::Null => Ok(None),
            Value::Object(_) => Ok(Some(value)),
            Value::Array(_) => Err(DocumentError::NoObject("a list")),
            Value::String(_) => Err(DocumentError::NoObject("a text")),
            Value::Bool(_) | Value::Number(_) => {
                Err(DocumentError::NoObject("a number or truth value"))
            }
        }
    }

    /// The text of `after`, as much like this one as can be.
    pub(super) fn rewritten(&self, before: &Value, after: &Value) -> Result<String, DocumentError> {
        let mut text = if before == after {
            self.text.to_owned()
        } else if let Some(text) = self.of_version(before, after) {
            text
        } else {
            serde_yaml_ng::to_string(after).map_err(DocumentError::Write)?
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    /// With its version changed, if that is all.
    fn of_version(&self, before: &Value, after: &Value) -> Option<String> {
        let (old, new) = (
            before["apiVersion"].as_str()?,
            after["apiVersion"].as_str()?,
        );
        let mut text = String::new();
        for line in self.text.split_inclusive('\n') {
            if line.starts_with("apiVersion:") {
                text.push_str(&line.replacen(old, new, 1));
            } else {
                text.push_str(line);
            }
        }
        let same = Document { text: &text }.parse().ok()?.as_ref() == Some(after);
        same.then_some(text)
    }
}
