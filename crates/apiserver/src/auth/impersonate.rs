//! Reads which other user a request is to be made as (`kubectl --as`), and what its maker must be allowed for that.
//!
//! Knows nothing of roles; the checks are for an authorizer.

use std::collections::BTreeMap;

use http::HeaderMap;

use super::authorize::Attributes;
use super::user::{ANONYMOUS, AUTHENTICATED, SERVICE_ACCOUNT_PREFIX, UNAUTHENTICATED, User};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// The user that a request is to be made as.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impersonation {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Reads the headers; none is the usual case. An error is a message for the client.
pub(crate) fn impersonation(headers: &HeaderMap) -> Result<Option<Impersonation>, String> {
    let mut wanted = Impersonation {
        user: one(headers, USER)?,
        uid: one(headers, UID)?,
        groups: Vec::new(),
        extra: BTreeMap::new(),
    };
    for (name, value) in headers {
        let text = || value.to_str().map_err(|_| not_text(name.as_str()));
        if name == GROUP {
            wanted.groups.push(text()?.to_owned());
        } else if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let values = wanted.extra.entry(key.to_owned()).or_default();
            values.push(text()?.to_owned());
        }
    }
    let nothing = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
    match (wanted.user.is_empty(), nothing) {
        (true, true) => Ok(None),
        (true, false) => Err(format!(
            "requested impersonation of a group, uid or extra without a user: set the header {USER}"
        )),
        (false, _) => Ok(Some(wanted)),
    }
}

fn one(headers: &HeaderMap, name: &str) -> Result<String, String> {
    headers.get(name).map_or(Ok(String::new()), |value| {
        value
            .to_str()
            .map(str::to_owned)
            .map_err(|_| not_text(name))
    })
}

fn not_text(name: &str) -> String {
    format!("the header {name} is not text")
}

impl Impersonation {
    /// All that the maker of the request must be allowed.
    pub(crate) fn checks(&self) -> Vec<Attributes<'_>> {
        let check = |group, resource, name| Attributes {
            verb: "impersonate",
            group,
            version: "v1",
            resource,
            name,
            ..Attributes::default()
        };
        let mut checks = vec![match self.service_account() {
            Some((namespace, name)) => Attributes {
                namespace,
                ..check("", "serviceaccounts", name)
            },
            None => check("", "users", &self.user),
        }];
        checks.extend(self.groups.iter().map(|group| check("", "groups", group)));
        if !self.uid.is_empty() {
            checks.push(check(AUTHENTICATION, "uids", &self.uid));
        }
        for (key, values) in &self.extra {
            checks.extend(values.iter().map(|value| Attributes {
                subresource: key,
                ..check(AUTHENTICATION, "userextras", value)
            }));
        }
        checks
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        self.user
            .strip_prefix(SERVICE_ACCOUNT_PREFIX)?
            .split_once(':')
    }

    /// The user, in the groups that such a user is always in.
    pub(crate) fn into_user(self) -> User {
        let mut groups = self.groups.clone();
        let mut join = |group: String| {
            if !groups.contains(&group) {
                groups.push(group);
            }
        };
        if let Some((namespace, _)) = self.service_account().filter(|_| self.groups.is_empty()) {
            join("system:serviceaccounts".to_owned());
            join(format!("system:serviceaccounts:{namespace}"));
        }
        if self.user == ANONYMOUS {
            join(UNAUTHENTICATED.to_owned());
        } else {
            join(AUTHENTICATED.to_owned());
        }
        User {
            name: self.user,
            uid: self.uid,
            groups,
            extra: self.extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Option<Impersonation>, String> {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        impersonation(&map)
    }

    fn checks(headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let wanted = read(headers).expect("valid").expect("some");
        let checks = wanted.checks().into_iter().map(|check| {
            let resource = check.full_resource();
            [check.group, &resource, check.namespace, check.name].join(",")
        });
        checks.collect()
    }

    #[test]
    fn requests_without_the_headers_are_made_as_oneself() {
        assert_eq!(read(&[("accept", "x")]), Ok(None));
    }

    #[test]
    fn groups_without_a_user_are_refused() {
        let error = read(&[(GROUP, "dev")]).expect_err("no user");
        assert!(error.contains(USER), "{error}");
    }

    #[test]
    fn everything_that_is_taken_on_must_be_allowed() {
        let headers = [
            (USER, "jane"),
            (GROUP, "dev"),
            (GROUP, "ops"),
            (UID, "7"),
            ("impersonate-extra-scopes", "view"),
        ];
        let expected = [
            ",users,,jane",
            ",groups,,dev",
            ",groups,,ops",
            "authentication.k8s.io,uids,,7",
            "authentication.k8s.io,userextras/scopes,,view",
        ];
        assert_eq!(checks(&headers), expected);
        let account = [(USER, "system:serviceaccount:ns:robot")];
        assert_eq!(checks(&account), [",serviceaccounts,ns,robot"]);
    }

    #[test]
    fn users_are_in_the_groups_they_always_are_in() {
        let groups = |headers: &[_]| {
            let wanted = read(headers).expect("valid").expect("some");
            wanted.into_user().groups
        };
        assert_eq!(groups(&[(USER, "jane")]), ["system:authenticated"]);
        assert_eq!(groups(&[(USER, ANONYMOUS)]), ["system:unauthenticated"]);
        assert_eq!(
            groups(&[(USER, "system:serviceaccount:ns:robot")]),
            [
                "system:serviceaccounts",
                "system:serviceaccounts:ns",
                "system:authenticated"
            ]
        );
    }
}
