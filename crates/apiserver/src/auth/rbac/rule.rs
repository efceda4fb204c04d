//! Matches one policy rule of a role against what a request wants, and against other rules.
//!
//! Knows nothing of users or bindings.

use serde_json::Value;

use crate::auth::authorize::Attributes;

pub(super) const ALL: &str = "*";

/// One `rules[]` entry of a Role or ClusterRole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(super) verbs: Box<[String]>,
    pub(super) groups: Box<[String]>,
    pub(super) resources: Box<[String]>,
    pub(super) names: Box<[String]>,
    pub(super) urls: Box<[String]>,
}

impl Rule {
    pub(crate) fn parse(rule: &Value) -> Self {
        let texts = |field: &str| {
            let list = rule[field].as_array().map_or(&[][..], Vec::as_slice);
            list.iter()
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    /// The rules of a Role or ClusterRole.
    pub(crate) fn all_of(role: &Value) -> Vec<Self> {
        let list = role["rules"].as_array().into_iter().flatten();
        list.map(Self::parse).collect()
    }

    /// What a rule says as a document; empty parts are left out.
    pub(crate) fn document(&self) -> Value {
        let mut document = serde_json::Map::new();
        for (field, texts) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !texts.is_empty() {
                document.insert(field.to_owned(), texts.iter().cloned().collect());
            }
        }
        Value::Object(document)
    }

    pub(super) fn allows(&self, what: &Attributes<'_>) -> bool {
        if !holds(&self.verbs, what.verb) {
            return false;
        }
        if what.resource.is_empty() {
            return self.urls.iter().any(|pattern| covers(pattern, what.path));
        }
        holds(&self.groups, what.group)
            && self.resources.iter().any(|mine| names(mine, what))
            && (self.names.is_empty() || self.names.iter().any(|name| name == what.name))
    }
}

pub(super) fn holds(list: &[String], value: &str) -> bool {
    list.iter().any(|mine| mine == ALL || mine == value)
}

/// `pods` names pods, `pods/log` their logs, `*/log` the logs of anything, `*` everything.
fn names(mine: &str, what: &Attributes<'_>) -> bool {
    match mine.split_once('/') {
        None => mine == ALL || (what.subresource.is_empty() && mine == what.resource),
        Some((resource, subresource)) => {
            subresource == what.subresource && (resource == ALL || resource == what.resource)
        }
    }
}

/// A pattern is a path, or a beginning of one that ends in `*`.
pub(super) fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix(ALL) {
        Some(beginning) => path.starts_with(beginning),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resource<'a>(verb: &'a str, full: &'a str, group: &'a str, name: &'a str) -> Attributes<'a> {
        let (resource, subresource) = full.split_once('/').unwrap_or((full, ""));
        Attributes {
            verb,
            group,
            resource,
            subresource,
            name,
            ..Attributes::default()
        }
    }

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_else() {
        let rule = |verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]| {
            Rule::parse(&json!({
                "verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names,
            }))
        };
        let get = rule(&["get", "list"], &["", "apps"], &["pods", "pods/log"], &[]);
        let named = rule(&["get"], &[""], &["secrets"], &["one"]);
        let all = rule(&["*"], &["*"], &["*"], &[]);
        let scale = rule(&["update"], &["*"], &["*/scale"], &[]);
        for (rule, what, allowed) in [
            (&get, resource("get", "pods", "", "a"), true),
            (&get, resource("list", "pods", "apps", ""), true),
            (&get, resource("get", "pods/log", "", "a"), true),
            (&get, resource("get", "pods/exec", "", "a"), false),
            (&get, resource("delete", "pods", "", "a"), false),
            (&get, resource("get", "pods", "batch", "a"), false),
            (&get, resource("get", "secrets", "", "a"), false),
            (&named, resource("get", "secrets", "", "one"), true),
            (&named, resource("get", "secrets", "", "two"), false),
            (&named, resource("get", "secrets", "", ""), false),
            (&all, resource("watch", "things/status", "x.org", "t"), true),
            (
                &scale,
                resource("update", "deployments/scale", "apps", "a"),
                true,
            ),
            (
                &scale,
                resource("update", "deployments", "apps", "a"),
                false,
            ),
        ] {
            assert_eq!(rule.allows(&what), allowed, "{rule:?} {what:?}");
        }
    }

    #[test]
    fn paths_match_whole_or_by_their_beginning() {
        let rule = Rule::parse(&json!({
            "verbs": ["get"], "nonResourceURLs": ["/version", "/apis/*"],
        }));
        for (path, allowed) in [
            ("/version", true),
            ("/version/", false),
            ("/apis/", true),
            ("/apis/apps/v1", true),
            ("/apis", false),
            ("/metrics", false),
        ] {
            let what = Attributes {
                verb: "get",
                path,
                ..Attributes::default()
            };
            assert_eq!(rule.allows(&what), allowed, "{path}");
        }
        let all = Rule::parse(&json!({ "verbs": ["*"], "nonResourceURLs": ["*"] }));
        let what = Attributes {
            verb: "post",
            path: "/anything",
            ..Attributes::default()
        };
        assert!(all.allows(&what));
    }

    #[test]
    fn a_rule_for_resources_opens_no_path_and_the_reverse() {
        let resources = Rule::parse(&json!({
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
        }));
        let paths = Rule::parse(&json!({ "verbs": ["*"], "nonResourceURLs": ["*"] }));
        let path = Attributes {
            verb: "get",
            path: "/metrics",
            ..Attributes::default()
        };
        assert!(!resources.allows(&path));
        assert!(!paths.allows(&resource("get", "pods", "", "a")));
    }
}
