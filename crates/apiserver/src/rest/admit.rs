//! Has a write admitted by the policies and webhooks that administrators configured.
//!
//! Comes after defaults and checks, with the object as it would be stored. Does not know what a webhook looks at.

use std::collections::HashMap;

use futures::future::join_all;
use serde_json::{Value, json};

use super::Call;
use super::conversion::in_version;
use super::create::text_of;
use crate::admission::{
    GROUP, Hook, Matching, Operation, PLURALS, Pair, Request, Scope, Verdict, authorizer_values,
    labels,
};
use crate::schema::cel::dynamic;
use crate::status::Failure;

/// What a write is about to do to one object.
#[derive(Debug)]
struct Change<'a> {
    operation: Operation,
    pair: Pair<'a>,
    /// CreateOptions, UpdateOptions or DeleteOptions.
    options: Value,
    dry_run: bool,
}

/// A write with its object, in every version that somebody has to see.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub request: &'a Request<'a>,
    /// The namespace that the object is in, or is.
    pub namespace: Option<Value>,
    pair: Pair<'a>,
    shown: HashMap<String, (Option<Value>, Option<Value>)>,
}

impl<'a> Subject<'a> {
    /// The version in which the write is to be seen; none if it does not match.
    pub(super) fn version(&self, matching: &Matching) -> Option<&'a str> {
        let labels = self.namespace.as_ref().and_then(labels);
        matching.version(self.request, self.pair, labels)
    }

    /// Makes both states of the object ready in a version.
    pub(super) async fn show(&mut self, call: &Call<'_>, version: &str) -> Result<(), Failure> {
        let request = self.request;
        let ready = version == request.version || self.shown.contains_key(version);
        if ready || request.is_of_other_kind() {
            return Ok(());
        }
        let mut form = (self.pair.object.cloned(), self.pair.old.cloned());
        for state in [&mut form.0, &mut form.1].into_iter().flatten() {
            let store = &call.api.store;
            *state = in_version(store, request.resource, state.take(), version).await?;
        }
        self.shown.insert(version.to_owned(), form);
        Ok(())
    }

    fn pair(&self, version: &str) -> Pair<'_> {
        self.shown
            .get(version)
            .map_or(self.pair, |(object, old)| Pair {
                object: object.as_ref(),
                old: old.as_ref(),
            })
    }
}

impl Call<'_> {
    /// Creation of an object that was completed.
    pub(super) async fn admit_creation(&self, new: &Value, dry_run: bool) -> Result<(), Failure> {
        self.admit(Change {
            operation: Operation::Create,
            pair: Pair {
                object: Some(new),
                old: None,
            },
            options: self.options_document("CreateOptions", dry_run),
            dry_run,
        })
        .await
    }

    /// Any change of an object that is there.
    pub(super) async fn admit_update(
        &self,
        new: &Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<(), Failure> {
        let (new, old) = if self.info.subresource == "scale" {
            (&self.scale_of(new), &self.scale_of(old))
        } else {
            (new, old)
        };
        self.admit(Change {
            operation: Operation::Update,
            pair: Pair {
                object: Some(new),
                old: Some(old),
            },
            options: self.options_document("UpdateOptions", dry_run),
            dry_run,
        })
        .await
    }

    pub(super) async fn admit_deletion(
        &self,
        old: &Value,
        options: &Value,
        dry_run: bool,
    ) -> Result<(), Failure> {
        self.admit(Change {
            operation: Operation::Delete,
            pair: Pair {
                object: None,
                old: Some(old),
            },
            options: options.clone(),
            dry_run,
        })
        .await
    }

    /// The options of a request as they are told to whoever admits it.
    fn options_document(&self, kind: &str, dry_run: bool) -> Value {
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        for field in ["fieldManager", "fieldValidation"] {
            let text = self.query.text(field);
            if !text.is_empty() {
                options[field] = json!(text);
            }
        }
        if dry_run {
            options["dryRun"] = json!(["All"]);
        }
        options
    }

    async fn admit(&self, change: Change<'_>) -> Result<(), Failure> {
        let resource = &self.target.resource;
        let configures = resource.group == GROUP && PLURALS.contains(&resource.plural.as_str());
        if self.inside || configures {
            return Ok(());
        }
        let configured = self.api.configured.now(&self.api.store);
        if configured.is_empty() {
            return Ok(());
        }
        let pair = change.pair;
        let object = pair.object.or(pair.old).unwrap_or(&Value::Null);
        let name = match self.info.name.as_str() {
            "" => text_of(object, "name"),
            name => name,
        };
        let namespace = if self.target.is("", "namespaces") {
            name
        } else if resource.namespaced {
            self.info.namespace.as_str()
        } else {
            ""
        };
        let request = Request {
            operation: change.operation,
            resource,
            version: &self.target.version.name,
            subresource: &self.info.subresource,
            name,
            namespace,
            options: change.options,
            dry_run: change.dry_run,
            user: self.user,
        };
        let namespace = self.api.store.get("namespaces", namespace);
        let mut subject = Subject {
            request: &request,
            namespace: namespace.map(|namespace| namespace.value()),
            pair,
            shown: HashMap::new(),
        };
        self.judge(&configured.policies, &mut subject).await?;
        self.ask(&configured.hooks, &mut subject).await
    }

    async fn ask(&self, hooks: &[Hook], subject: &mut Subject<'_>) -> Result<(), Failure> {
        let mut matching = Vec::new();
        for hook in hooks {
            if let Some(version) = subject.version(&hook.matching) {
                subject.show(self, version).await?;
                matching.push((hook, version));
            }
        }
        let mut asked = Vec::new();
        for (hook, version) in matching {
            if self.is_due(hook, subject, version)? {
                let pair = subject.pair(version);
                asked.push(hook.ask(&self.api.store, subject.request, pair, version));
            }
        }
        let mut refusal = None;
        for heard in join_all(asked).await {
            self.warn(heard.warnings);
            for (key, text) in heard.annotations {
                self.noted.annotate(key, text);
            }
            refusal = refusal.or(heard.refusal);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Whether the conditions of a webhook hold.
    fn is_due(&self, hook: &Hook, subject: &Subject<'_>, version: &str) -> Result<bool, Failure> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        match hook.conditions.verdict(&self.scope(subject, version)) {
            Verdict::Met => Ok(true),
            Verdict::Unmet => Ok(false),
            Verdict::Unknown(why) if hook.fails_open => {
                tracing::warn!(
                    webhook = hook.name,
                    why,
                    "cannot tell whether to ask the webhook"
                );
                Ok(false)
            }
            Verdict::Unknown(why) => {
                let name = subject.request.name;
                let qualified = self.target.resource.qualified();
                let message = format!("{qualified} {name:?} is forbidden: {why}");
                Err(Failure::forbidden(&self.target.about(name), message))
            }
        }
    }

    /// What expressions about a write may use.
    pub(super) fn scope<'s>(&self, subject: &Subject<'_>, version: &str) -> Scope<'s> {
        let (pair, request) = (subject.pair(version), subject.request);
        let object = |object: Option<&Value>| Ok(dynamic(object.unwrap_or(&Value::Null)));
        let [authorizer, resource] = authorizer_values(&self.api.access.authorizer, request);
        vec![
            ("object", object(pair.object)),
            ("oldObject", object(pair.old)),
            ("request", Ok(dynamic(&request.document(version)))),
            ("authorizer", Ok(authorizer)),
            ("authorizer.requestResource", Ok(resource)),
        ]
    }
}
