//! Says what is wrong with one field, in the words of Kubernetes.
//!
//! Does not know which object the field belongs to: the caller joins several of these into one `Status`.

use std::fmt::Write as _;

use serde_json::Value;

/// Why a field is refused; the machine-readable half of a `Status` cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Required,
    Invalid,
    NotSupported,
    TypeInvalid,
    NotFound,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
}

impl Cause {
    /// The `reason` of a `StatusCause`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::NotFound => "Not found",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// The path Kubernetes prints where an error concerns no field in particular.
pub(crate) const NO_FIELD: &str = "<nil>";

/// One refused field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// For instance `spec.items[0].k`: the `field` of a `StatusCause`.
    pub(crate) path: String,
    pub(crate) reason: Cause,
    /// The `message` of a `StatusCause`: what is wrong, without the path.
    pub(crate) detail: String,
}

impl FieldError {
    fn with_value(reason: Cause, path: &str, value: &str, why: &str) -> Self {
        let mut detail = String::from(reason.title());
        if !value.is_empty() {
            let _ = write!(detail, ": {value}");
        }
        if !why.is_empty() {
            let _ = write!(detail, ": {why}");
        }
        Self {
            path: path.into(),
            reason,
            detail,
        }
    }

    pub(crate) fn required(path: &str, why: &str) -> Self {
        Self::with_value(Cause::Required, path, "", why)
    }

    pub(crate) fn invalid(path: &str, value: &Value, why: &str) -> Self {
        Self::with_value(Cause::Invalid, path, &shown(value), why)
    }

    pub(crate) fn invalid_text(path: &str, value: &str, why: &str) -> Self {
        Self::with_value(Cause::Invalid, path, &go_quote(value), why)
    }

    /// For values too large to repeat: objects and lists that break a rule.
    pub(crate) fn invalid_unshown(path: &str, why: &str) -> Self {
        Self::with_value(Cause::Invalid, path, "", why)
    }

    pub(crate) fn type_invalid(path: &str, got: &str, why: &str) -> Self {
        Self::with_value(Cause::TypeInvalid, path, &go_quote(got), why)
    }

    pub(crate) fn duplicate(path: &str, value: &Value) -> Self {
        Self::with_value(Cause::Duplicate, path, &shown(value), "")
    }

    pub(crate) fn not_found(path: &str, value: &str) -> Self {
        Self::with_value(Cause::NotFound, path, &go_quote(value), "")
    }

    pub(crate) fn forbidden(path: &str, why: &str) -> Self {
        Self::with_value(Cause::Forbidden, path, "", why)
    }

    pub(crate) fn too_long(path: &str, bytes: u64) -> Self {
        Self::with_value(
            Cause::TooLong,
            path,
            "",
            &format!("may not be more than {bytes} bytes"),
        )
    }

    pub(crate) fn too_many(path: &str, have: usize, most: u64) -> Self {
        let why = format!("must have at most {most} items");
        Self::with_value(Cause::TooMany, path, &have.to_string(), &why)
    }

    pub(crate) fn not_supported(path: &str, value: &Value, supported: &[String]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
        let why = format!("supported values: {}", list.join(", "));
        Self::with_value(Cause::NotSupported, path, &shown(value), &why)
    }

    pub(crate) fn immutable(path: &str, value: &Value) -> Self {
        Self::invalid(path, value, "field is immutable")
    }

    /// Whether rules that look at several fields would make no sense of such a value.
    pub(crate) fn blocks_rules(&self) -> bool {
        match self.reason {
            Cause::NotSupported
            | Cause::Required
            | Cause::TooLong
            | Cause::TooMany
            | Cause::TypeInvalid => true,
            Cause::Invalid | Cause::NotFound | Cause::Duplicate | Cause::Forbidden => false,
        }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.detail)
    }
}

impl std::error::Error for FieldError {}

/// A value as Kubernetes repeats it in a message.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => go_quote(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => go_json(value),
    }
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub(crate) fn go_json(value: &Value) -> String {
    let plain = value.to_string();
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

/// A string as Go's `%q` prints it.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// `parent.child`, or the child alone at the root.
pub(crate) fn child(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_read_as_kubernetes_writes_them() {
        let cases = [
            (
                FieldError::required("spec.size", ""),
                "spec.size: Required value",
            ),
            (
                FieldError::invalid("a", &json!(0), "too small"),
                "a: Invalid value: 0: too small",
            ),
            (
                FieldError::invalid("<nil>", &Value::Null, "x"),
                "<nil>: Invalid value: null: x",
            ),
            (
                FieldError::invalid_unshown("spec", "gone"),
                "spec: Invalid value: gone",
            ),
            (
                FieldError::too_many("spec.items", 4, 3),
                "spec.items: Too many: 4: must have at most 3 items",
            ),
            (
                FieldError::too_long("n", 5),
                "n: Too long: may not be more than 5 bytes",
            ),
            (
                FieldError::duplicate("t[1]", &json!({"k": "<"})),
                "t[1]: Duplicate value: {\"k\":\"\\u003c\"}",
            ),
            (
                FieldError::not_supported("c", &json!("x"), &["red".into(), "green".into()]),
                "c: Unsupported value: \"x\": supported values: \"red\", \"green\"",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_go_does() {
        for (input, expect) in [
            ("a\"b", r#""a\"b""#),
            ("\u{1}", r#""\x01""#),
            ("é\n", "\"é\\n\""),
        ] {
            assert_eq!(go_quote(input), expect);
        }
    }
}
