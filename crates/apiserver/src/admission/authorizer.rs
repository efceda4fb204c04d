//! Lets expressions ask what somebody may do: `authorizer.group('').resource('pods').check('list').allowed()`.
//!
//! Does not decide: the authorizer does. Names as Kubernetes' library of authorization has them.

use std::sync::Arc;

use super::request::Request;
use crate::auth::{Attributes, Authorizer, Decision, User, service_account};
use crate::schema::cel::{Fault, Native, Outcome, native};
use kube_cel::cel::Value as CelValue;

/// What one check costs. As in Kubernetes.
const CHECK: u64 = 350_000;

#[derive(Clone)]
struct Asking {
    authorizer: Arc<dyn Authorizer>,
    user: User,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What shall be checked of a resource.
#[derive(Debug, Clone, Default)]
struct What {
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug)]
enum Step {
    User(Asking),
    Path(Asking, String),
    Group(Asking, String),
    Resource(Asking, What),
    Decided(Decision),
}

/// `authorizer` and `authorizer.requestResource` of a request.
pub(crate) fn values(authorizer: &Arc<dyn Authorizer>, request: &Request<'_>) -> [CelValue; 2] {
    let asking = Asking {
        authorizer: Arc::clone(authorizer),
        user: request.user.clone(),
    };
    let what = What {
        group: request.resource.group.clone(),
        resource: request.resource.plural.clone(),
        subresource: request.subresource.to_owned(),
        namespace: request.namespace.to_owned(),
        name: request.name.to_owned(),
    };
    [
        native(Arc::new(Step::User(asking.clone()))),
        native(Arc::new(Step::Resource(asking, what))),
    ]
}

fn text(value: &CelValue) -> Result<String, Fault> {
    match value {
        CelValue::String(text) => Ok(text.to_string()),
        _ => Err(Fault::no_overload()),
    }
}

impl Native for Step {
    fn type_name(&self) -> &'static str {
        match self {
            Self::User(_) => "kubernetes.authorization.Authorizer",
            Self::Path(..) => "kubernetes.authorization.PathCheck",
            Self::Group(..) => "kubernetes.authorization.GroupCheck",
            Self::Resource(..) => "kubernetes.authorization.ResourceCheck",
            Self::Decided(_) => "kubernetes.authorization.Decision",
        }
    }

    fn call(&self, name: &str, arguments: &[CelValue]) -> Option<(u64, Outcome)> {
        let texts: Result<Vec<String>, Fault> = arguments.iter().map(text).collect();
        let texts = match texts {
            Ok(texts) => texts,
            Err(fault) => return Some((0, Err(fault))),
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let cost = if name == "check" { CHECK } else { 1 };
        let step = match (self, name, texts.as_slice()) {
            (Self::User(_), "path", [""]) => {
                return Some((cost, Err(Fault::new("path must not be empty"))));
            }
            (Self::User(asking), "path", [path]) => Self::Path(asking.clone(), (*path).to_owned()),
            (Self::User(asking), "group", [group]) => {
                Self::Group(asking.clone(), (*group).to_owned())
            }
            (Self::User(asking), "serviceAccount", [namespace, name]) => {
                Self::User(asking.as_account(namespace, name))
            }
            (Self::Group(asking, group), "resource", [resource]) => {
                let what = What {
                    group: group.clone(),
                    resource: (*resource).to_owned(),
                    ..What::default()
                };
                Self::Resource(asking.clone(), what)
            }
            (Self::Resource(asking, what), "check", [verb]) => asking.check(what, verb),
            (Self::Resource(asking, what), field, [value]) => {
                Self::Resource(asking.clone(), what.with(field, value)?)
            }
            (Self::Path(asking, path), "check", [verb]) => asking.check_path(path, verb),
            (Self::Decided(decision), name, []) => return Some((cost, decided(decision, name)?)),
            _ => return None,
        };
        Some((cost, Ok(native(Arc::new(step)))))
    }
}

impl What {
    /// Selectors do not count for roles, so they are taken and change nothing.
    fn with(&self, field: &str, value: &str) -> Option<Self> {
        let mut what = self.clone();
        let place = match field {
            "subresource" => &mut what.subresource,
            "namespace" => &mut what.namespace,
            "name" => &mut what.name,
            "fieldSelector" | "labelSelector" => return Some(what),
            _ => return None,
        };
        value.clone_into(place);
        Some(what)
    }
}

fn decided(decision: &Decision, name: &str) -> Option<Outcome> {
    let reason = match decision {
        Decision::Allow => "",
        Decision::Deny { reason } => reason,
    };
    Some(Ok(match name {
        "allowed" => CelValue::Bool(*decision == Decision::Allow),
        "reason" => CelValue::from(reason),
        // Roles that cannot be read deny; nothing else can go wrong.
        "errored" => CelValue::Bool(false),
        "error" => CelValue::from(""),
        _ => return None,
    }))
}

impl Asking {
    fn as_account(&self, namespace: &str, name: &str) -> Self {
        let groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
        Self {
            authorizer: Arc::clone(&self.authorizer),
            user: User::authenticated(service_account(namespace, name), groups),
        }
    }

    fn check(&self, what: &What, verb: &str) -> Step {
        self.decide(&Attributes {
            verb,
            group: &what.group,
            version: "*",
            resource: &what.resource,
            subresource: &what.subresource,
            namespace: &what.namespace,
            name: &what.name,
            path: "",
        })
    }

    fn check_path(&self, path: &str, verb: &str) -> Step {
        self.decide(&Attributes {
            verb,
            path,
            ..Attributes::default()
        })
    }

    fn decide(&self, what: &Attributes<'_>) -> Step {
        Step::Decided(self.authorizer.authorize(&self.user, what))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::auth::{Granted, Rule};
    use crate::schema::cel::{Declared, Expression};

    /// Lets accounts of one namespace read secrets there, and anybody read `/healthz`.
    struct Reader;

    impl Authorizer for Reader {
        fn authorize(&self, user: &User, what: &Attributes<'_>) -> Decision {
            let reads = what.verb == "get" && (what.group, what.resource) == ("", "secrets");
            let own = user.name.starts_with("system:serviceaccount:a:") && what.namespace == "a";
            if reads && own && user.is_in("system:serviceaccounts:a") || what.path == "/healthz" {
                return Decision::Allow;
            }
            Decision::Deny {
                reason: format!("not {}/{}", what.resource, what.name),
            }
        }

        fn why(&self, _user: &User, _what: &Attributes<'_>) -> String {
            String::new()
        }

        fn granted(&self, _user: &User, _namespace: &str) -> Granted {
            Granted::default()
        }

        fn rules_of(&self, _reference: &Value, _namespace: &str) -> Option<Vec<Rule>> {
            None
        }
    }

    fn run(source: &str, left: &mut u64) -> Outcome {
        let authorizer: Arc<dyn Authorizer> = Arc::new(Reader);
        let asking = Asking {
            authorizer,
            user: User::anonymous(),
        };
        let what = What {
            resource: "pods".into(),
            name: "p".into(),
            ..What::default()
        };
        let declared = [Declared {
            name: "authorizer",
            shape: None,
        }];
        let resource = native(Arc::new(Step::Resource(asking.clone(), what)));
        let names = [
            ("authorizer", Ok(native(Arc::new(Step::User(asking))))),
            ("authorizer.requestResource", Ok(resource)),
        ];
        let expression = Expression::compile(source, &declared, "").unwrap();
        expression.run(&names, left)
    }

    #[test]
    fn expressions_ask_what_somebody_may_do() {
        let secrets = "authorizer.serviceAccount('a', 's').group('').resource('secrets')";
        for (source, expect) in [
            (
                format!("{secrets}.namespace('a').check('get').allowed()"),
                true,
            ),
            (
                format!("{secrets}.namespace('b').check('get').allowed()"),
                false,
            ),
            (
                format!("{secrets}.namespace('a').check('list').allowed()"),
                false,
            ),
            (
                "authorizer.path('/healthz').check('get').allowed()".into(),
                true,
            ),
            (
                "authorizer.path('/metrics').check('get').allowed()".into(),
                false,
            ),
            (
                "authorizer.requestResource.check('get').reason() == 'not pods/p'".into(),
                true,
            ),
            (
                "authorizer.requestResource.check('get').errored()".into(),
                false,
            ),
        ] {
            let found = run(&source, &mut 1_000_000);
            assert_eq!(found, Ok(CelValue::Bool(expect)), "{source}");
        }
        for source in [
            "authorizer.check('get')",
            "authorizer.group(1)",
            "authorizer.group('').resource('a').size()",
        ] {
            assert_eq!(
                run(source, &mut 1_000_000),
                Err(Fault::no_overload()),
                "{source}"
            );
        }
    }

    #[test]
    fn a_check_is_dear() {
        let one = "authorizer.path('/healthz').check('get').allowed()";
        let mut left = 800_000;
        assert_eq!(
            run(&format!("{one} && {one}"), &mut left),
            Ok(CelValue::Bool(true))
        );
        let mut left = 800_000;
        let three = format!("{one} && {one} && {one}");
        assert_eq!(run(&three, &mut left), Err(Fault::OverBudget));
    }
}
