//! Judges a write by the admission policies that are bound: finds parameters, warns, refuses.
//!
//! Does not evaluate: the policy does.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::admit::Subject;
use super::{Call, Converter};
use crate::admission::{Action, Binding, Complaint, ParamRef, Policy, Request, Scope, labels};
use crate::registry::{Catalog, Target};
use crate::schema::cel::dynamic;
use crate::status::Failure;
use crate::store::Object;

/// The annotation of what policies with the action Audit speak against.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

/// A complaint, and who has it.
struct Denial<'a> {
    policy: &'a str,
    /// Absent if the policy itself cannot be used.
    binding: Option<&'a str>,
    complaint: Complaint,
}

impl Call<'_> {
    /// Refuses what a bound policy denies. The first refusal is told.
    pub(super) async fn judge(
        &self,
        policies: &[Policy],
        subject: &mut Subject<'_>,
    ) -> Result<(), Failure> {
        let (mut denials, mut audited) = (Vec::new(), Vec::new());
        for policy in policies.iter().filter(|policy| !policy.bindings.is_empty()) {
            let Some(version) = subject.version(&policy.matching) else {
                continue;
            };
            subject.show(self, version).await?;
            let kind = match self.param_kind(policy) {
                Ok(kind) => kind,
                Err(why) => {
                    let why = format!("failed to configure policy: {why}");
                    denials.extend(misconfigured(policy, None, why));
                    continue;
                }
            };
            for binding in &policy.bindings {
                let narrowed = binding.matching.as_ref();
                if narrowed.is_some_and(|matching| subject.version(matching).is_none()) {
                    continue;
                }
                match self.params(kind.as_ref(), binding, subject.request).await {
                    Err(why) => {
                        let why = format!("failed to configure binding: {why}");
                        denials.extend(misconfigured(policy, Some(binding), why));
                    }
                    Ok(params) => {
                        for params in params {
                            let scope = self.policy_scope(subject, version);
                            let judgement = policy.judge(scope, params.as_ref());
                            for (key, text) in judgement.annotations {
                                let key = format!("{}/{key}", policy.name);
                                self.noted.annotate(key, text);
                            }
                            let complaints = judgement.complaints;
                            denials.extend(self.act(policy, binding, complaints, &mut audited));
                        }
                    }
                }
            }
        }
        if !audited.is_empty() {
            self.noted
                .annotate(FAILURES.into(), json!(audited).to_string());
        }
        match denials.into_iter().next() {
            Some(denial) => Err(self.denied(subject.request, denial)),
            None => Ok(()),
        }
    }

    /// Warns as the binding says; gives back what is denied, and adds what goes into the audit log.
    fn act<'a>(
        &self,
        policy: &'a Policy,
        binding: &'a Binding,
        complaints: Vec<Complaint>,
        audited: &mut Vec<Value>,
    ) -> Vec<Denial<'a>> {
        let mut denials = Vec::new();
        for complaint in complaints {
            for action in &binding.actions {
                match action {
                    Action::Deny => denials.push(Denial {
                        policy: &policy.name,
                        binding: Some(&binding.name),
                        complaint: complaint.clone(),
                    }),
                    Action::Warn => self.warn([format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, complaint.message
                    )]),
                    Action::Audit => audited.push(failure(policy, binding, &complaint)),
                }
            }
        }
        denials
    }

    fn policy_scope<'s>(&self, subject: &Subject<'_>, version: &str) -> Scope<'s> {
        let mut scope = self.scope(subject, version);
        // The namespace of a Namespace is itself, which does not count.
        let namespace = subject
            .namespace
            .as_ref()
            .filter(|_| !subject.request.is_namespace());
        let namespace = namespace.unwrap_or(&Value::Null);
        scope.push(("namespaceObject", Ok(dynamic(namespace))));
        scope
    }

    /// The resource of a policy's parameters, if it has any.
    fn param_kind(&self, policy: &Policy) -> Result<Option<Target>, String> {
        let Some((api_version, kind)) = &policy.params else {
            return Ok(None);
        };
        let found = resource_of(self.catalog, api_version, kind);
        found.map(Some).ok_or_else(|| {
            format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'")
        })
    }

    /// All parameters to judge with, one after the other; none of them where the binding names none.
    async fn params(
        &self,
        kind: Option<&Target>,
        binding: &Binding,
        request: &Request<'_>,
    ) -> Result<Vec<Option<Value>>, String> {
        let (Some(kind), Some(reference)) = (kind, &binding.params) else {
            return Ok(vec![None]);
        };
        let found = self.param_objects(kind, reference, request)?;
        if found.is_empty() && reference.must_exist {
            return Err(
                "no params found for policy binding with `Deny` parameterNotFoundAction".into(),
            );
        }
        let converter = Converter::new(kind);
        converter
            .prepare(&self.api.store, &found)
            .await
            .map_err(|failure| failure.message().to_owned())?;
        Ok(found
            .iter()
            .map(|object| Some(converter.value(object)))
            .collect())
    }

    fn param_objects(
        &self,
        kind: &Target,
        reference: &ParamRef,
        request: &Request<'_>,
    ) -> Result<Vec<Arc<Object>>, String> {
        let namespace = match (kind.resource.namespaced, reference.namespace.as_str()) {
            (true, "") if request.namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped \
                     resources"
                        .into(),
                );
            }
            (true, "") => request.namespace,
            (true, namespace) => namespace,
            (false, "") => "",
            (false, _) => {
                return Err(
                    "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
                        .into(),
                );
            }
        };
        let (store, bucket) = (&self.api.store, &kind.resource.bucket);
        if let Some(name) = &reference.name {
            let key = super::info::key_of(namespace, name);
            return Ok(store.get(bucket, &key).into_iter().collect());
        }
        let prefix = match namespace {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        let mut objects = store.list(bucket, &prefix).objects;
        if !reference.selector.selects_all() {
            objects.retain(|object| reference.selector.matches(labels(&object.value())));
        }
        Ok(objects)
    }

    fn denied(&self, request: &Request<'_>, denial: Denial<'_>) -> Failure {
        let Complaint {
            message, reason, ..
        } = denial.complaint;
        let by = match denial.binding {
            Some(binding) => format!(" with binding '{binding}'"),
            None => String::new(),
        };
        let why = format!(
            "ValidatingAdmissionPolicy '{}'{by} denied request: {message}",
            denial.policy
        );
        let reason = if reason.is_empty() {
            "Invalid".to_owned()
        } else {
            reason
        };
        let code = match reason.as_str() {
            "Unauthorized" => StatusCode::UNAUTHORIZED,
            "Forbidden" => StatusCode::FORBIDDEN,
            "RequestEntityTooLarge" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let qualified = self.target.resource.qualified();
        let about = self.target.about(request.name);
        let whole = format!("{qualified} {:?} is forbidden: {why}", request.name);
        let failure = Failure::forbidden(&about, whole).with_causes(&json!([{"message": why}]));
        failure.answered(code, reason)
    }
}

/// A complaint as the audit log has it.
fn failure(policy: &Policy, binding: &Binding, complaint: &Complaint) -> Value {
    let actions: Vec<&str> = binding
        .actions
        .iter()
        .map(|action| action.as_str())
        .collect();
    json!({"message": complaint.message, "policy": policy.name, "binding": binding.name,
        "expressionIndex": complaint.at.to_string(), "validationActions": actions})
}

fn misconfigured<'a>(
    policy: &'a Policy,
    binding: Option<&'a Binding>,
    message: String,
) -> Option<Denial<'a>> {
    if policy.fails_open {
        tracing::warn!(
            policy = policy.name,
            why = message,
            "the policy cannot be used, and is ignored"
        );
        return None;
    }
    Some(Denial {
        policy: &policy.name,
        binding: binding.map(|binding| binding.name.as_str()),
        complaint: Complaint {
            message,
            reason: String::new(),
            at: 0,
        },
    })
}

/// The served resource of a kind.
pub(super) fn resource_of(catalog: &Catalog, api_version: &str, kind: &str) -> Option<Target> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let mut targets = catalog.at(group, version).into_iter();
    targets.find(|target| target.resource.kind == kind)
}
