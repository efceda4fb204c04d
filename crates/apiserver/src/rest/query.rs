//! Reads the query of a request: list, watch, write and delete options.
//!
//! Does not know what the options do.

use serde_json::json;

use crate::schema::error::FieldError;
use crate::status::{About, Failure};

/// The parameters of a request, decoded, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Absent and empty are the same.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// As Kubernetes reads booleans: present and neither `0` nor `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| !matches!(value.to_lowercase().as_str(), "0" | "false"))
    }

    /// A number; what is none is a bad request that names it.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!(
                    "the query parameter {name} is {text:?}, it must be a whole number, not negative"
                ))
            }),
        }
    }
}

/// Percent-decodes one part of a path.
pub(crate) fn decode_component(text: &str) -> String {
    decode(text, false)
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = || u8::from_str_radix(text.get(at + 1..at + 3)?, 16).ok();
        match (bytes[at], hex()) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What to do about fields the schema does not know, or that come twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Of the name of a field manager, in bytes.
const LONGEST_MANAGER: usize = 128;

/// Options of create, update and patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub dry_run: bool,
    pub field_validation: FieldValidation,
}

impl WriteOptions {
    /// `kind` is CreateOptions, UpdateOptions or PatchOptions, for the message.
    pub(crate) fn parse(query: &Query, kind: &str) -> Result<Self, Failure> {
        let mut errors = Vec::new();
        let dry_runs: Vec<&str> = query.all("dryRun").collect();
        let dry_run = parse_dry_run(&dry_runs, &mut errors);
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let known = ["", "Ignore", "Strict", "Warn"].map(str::to_owned);
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    &json!(other),
                    &known,
                ));
                FieldValidation::Warn
            }
        };
        let manager = query.text("fieldManager");
        if manager.len() > LONGEST_MANAGER {
            errors.push(FieldError::too_long("fieldManager", LONGEST_MANAGER as u64));
        }
        if manager.chars().any(char::is_control) {
            let why = "should only contain printable characters";
            errors.push(FieldError::invalid_text("fieldManager", manager, why));
        }
        refuse(kind, &errors)?;
        Ok(Self {
            dry_run,
            field_validation,
        })
    }
}

pub(crate) fn parse_dry_run(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| !matches!(*value, "All" | "")) {
        errors.push(FieldError::not_supported(
            "dryRun",
            &json!(values),
            &["All".into()],
        ));
    }
    values.contains(&"All")
}

pub(crate) fn refuse(kind: &str, errors: &[FieldError]) -> Result<(), Failure> {
    if errors.is_empty() {
        return Ok(());
    }
    let about = About {
        group: "meta.k8s.io".into(),
        kind: kind.to_owned(),
        name: String::new(),
    };
    Err(Failure::invalid(&about, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_parameters() {
        let query = Query::parse("a=x%3Dy&b=1+2&watch&c=%zz&d=%C3%A9");
        assert_eq!(query.get("a"), Some("x=y"));
        assert_eq!(query.get("b"), Some("1 2"));
        assert!(query.flag("watch"));
        assert_eq!(
            (query.text("c"), query.text("d"), query.text("e")),
            ("%zz", "é", "")
        );
    }

    #[test]
    fn refuses_a_limit_that_is_no_number() {
        let failure = Query::parse("limit=-3").number("limit").unwrap_err();
        assert!(
            failure.message().contains("limit is \"-3\""),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn words_a_wrong_dry_run_as_kubernetes_does() {
        let query = Query::parse("dryRun=Some");
        let failure = WriteOptions::parse(&query, "CreateOptions").unwrap_err();
        assert_eq!(
            failure.message(),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: \
             supported values: \"All\""
        );
    }
}
