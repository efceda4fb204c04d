//! Resolves the secret templates of class parameters (spec controller 2.12).
//!
//! Does not read Secrets: a resolved pair is a name, not a value.

use std::collections::BTreeMap;

/// A Secret's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secret {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The tokens a template may use, and what they stand for.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// Allowed in the namespace.
    pub in_namespace: &'a [(&'a str, &'a str)],
    /// Allowed in the name.
    pub in_name: &'a [(&'a str, &'a str)],
}

/// The Secret two parameters name, if they are set; `Err` names the parameter, its value, the cure.
pub fn resolve(
    parameters: &BTreeMap<String, String>,
    name_key: &str,
    namespace_key: &str,
    tokens: &Tokens<'_>,
) -> Result<Option<Secret>, String> {
    let (name, namespace) = match (parameters.get(name_key), parameters.get(namespace_key)) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(format!(
                "parameter {name_key} is set and {namespace_key} is not; set both or neither"
            ));
        }
        (None, Some(_)) => {
            return Err(format!(
                "parameter {namespace_key} is set and {name_key} is not; set both or neither"
            ));
        }
        (Some(name), Some(namespace)) => (name, namespace),
    };
    for (key, value) in [(name_key, name), (namespace_key, namespace)] {
        if value.is_empty() {
            return Err(format!(
                "parameter {key} is empty; give it a value or remove both"
            ));
        }
    }
    let namespace_value = expand(namespace_key, namespace, tokens.in_namespace)?;
    if !is_label(&namespace_value) {
        return Err(format!(
            "parameter {namespace_key} \"{namespace}\" comes to \"{namespace_value}\", which is not a namespace name (RFC 1123 label)"
        ));
    }
    let name_value = expand(name_key, name, tokens.in_name)?;
    if !is_subdomain(&name_value) {
        return Err(format!(
            "parameter {name_key} \"{name}\" comes to \"{name_value}\", which is not a Secret name (RFC 1123 subdomain)"
        ));
    }
    Ok(Some(Secret {
        namespace: namespace_value,
        name: name_value,
    }))
}

/// Replaces `${token}` and `$token`, as upstream's template language does; nothing escapes a `$`.
fn expand(key: &str, template: &str, tokens: &[(&str, &str)]) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (token, remainder) = if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}').ok_or_else(|| {
                format!("parameter {key} \"{template}\" opens ${{ and does not close it")
            })?
        } else {
            let end = after
                .find(|it: char| !(it.is_ascii_alphanumeric() || it == '_'))
                .unwrap_or(after.len());
            after.split_at(end)
        };
        let known = tokens.iter().find(|(name, _)| *name == token);
        let Some((_, value)) = known else {
            let allowed: Vec<_> = tokens
                .iter()
                .map(|(name, _)| format!("${{{name}}}"))
                .collect();
            return Err(format!(
                "parameter {key} \"{template}\" uses \"{token}\"; only {} can be used there",
                allowed.join(", ")
            ));
        };
        out.push_str(value);
        rest = remainder;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_label(text: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || *it == b'-')
}

/// RFC 1123 subdomain.
pub(crate) fn is_subdomain(text: &str) -> bool {
    let part = |it: &str| {
        !it.is_empty()
            && !it.starts_with('-')
            && !it.ends_with('-')
            && it
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: Tokens<'static> = Tokens {
        in_namespace: &[("volumesnapshot.namespace", "team")],
        in_name: &[
            ("volumesnapshot.namespace", "team"),
            ("volumesnapshot.name", "nightly"),
        ],
    };

    fn check(pairs: &[(&str, &str)], expect: Result<Option<(&str, &str)>, &str>) {
        let parameters = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        match (resolve(&parameters, "n", "ns", &TOKENS), expect) {
            (Ok(found), Ok(wanted)) => assert_eq!(
                found
                    .as_ref()
                    .map(|it| (it.namespace.as_str(), it.name.as_str())),
                wanted
            ),
            (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
    }

    #[test]
    fn templates_resolve_or_say_what_is_wrong() {
        check(&[], Ok(None));
        check(&[("n", "s"), ("ns", "a")], Ok(Some(("a", "s"))));
        check(
            &[
                ("n", "x-${volumesnapshot.name}"),
                ("ns", "${volumesnapshot.namespace}"),
            ],
            Ok(Some(("team", "x-nightly"))),
        );
        check(&[("n", "s")], Err("set both or neither"));
        check(&[("ns", "s")], Err("set both or neither"));
        check(&[("n", ""), ("ns", "a")], Err("is empty"));
        check(
            &[("n", "s"), ("ns", "${volumesnapshot.name}")],
            Err("only ${volumesnapshot.namespace} can be used there"),
        );
        check(&[("n", "${open"), ("ns", "a")], Err("does not close"));
        check(&[("n", "Bad_Name"), ("ns", "a")], Err("not a Secret name"));
        check(&[("n", "s"), ("ns", "a.b")], Err("not a namespace name"));
        check(&[("n", "a$"), ("ns", "a")], Err("uses \"\""));
    }
}
