//! Answers who somebody is and what they may do: reviews, which are created but never stored.
//!
//! Does not decide: the authorizer does.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, Reply, body};
use crate::admission::user_info;
use crate::auth::{Attributes, Decision, Granted, Rule, User, listed};
use crate::schema::error::FieldError;
use crate::status::Failure;

/// Kinds of the table that are answered here.
pub(crate) const PLURALS: [&str; 6] = [
    "selfsubjectaccessreviews",
    "selfsubjectrulesreviews",
    "subjectaccessreviews",
    "localsubjectaccessreviews",
    "selfsubjectreviews",
    "tokenreviews",
];

impl Call<'_> {
    /// Whether the target is a review.
    pub(super) fn is_review(&self) -> bool {
        !self.target.custom() && PLURALS.contains(&self.target.resource.plural.as_str())
    }

    pub(super) fn review(&self, bytes: &Bytes) -> Result<Reply, Failure> {
        let options = super::query::WriteOptions::parse(self.query, "CreateOptions")?;
        let decoded = body::decode(self.headers, bytes, &self.target.resource.kind)?;
        let incoming = self.take_in(decoded, options.field_validation)?;
        let mut review = incoming.object;
        review["status"] = match self.target.resource.plural.as_str() {
            "selfsubjectreviews" => json!({"userInfo": user_info(self.user)}),
            "tokenreviews" => self.review_token(&review["spec"])?,
            "selfsubjectrulesreviews" => self.list_rules(&review["spec"])?,
            "selfsubjectaccessreviews" => self.decide(self.user, &review["spec"])?,
            plural => {
                let namespace = &review["spec"]["resourceAttributes"]["namespace"];
                if plural == "localsubjectaccessreviews" && namespace != &json!(self.info.namespace)
                {
                    let why = "must match metadata.namespace";
                    let path = "spec.resourceAttributes.namespace";
                    return Err(self.refused(&[FieldError::invalid(path, namespace, why)]));
                }
                self.decide(&self.reviewed_user(&review["spec"])?, &review["spec"])?
            }
        };
        Ok(Reply::json(StatusCode::CREATED, &review).with_warnings(incoming.warnings))
    }

    fn refused(&self, errors: &[FieldError]) -> Failure {
        Failure::invalid(&self.target.about_kind(""), errors)
    }

    fn reviewed_user(&self, spec: &Value) -> Result<User, Failure> {
        let (name, groups) = (text(spec, "user"), texts(&spec["groups"]));
        if name.is_empty() && groups.is_empty() {
            let why = "at least one of user or group must be specified";
            return Err(self.refused(&[FieldError::invalid_text("spec.user", name, why)]));
        }
        let extra = spec["extra"].as_object().into_iter().flatten();
        Ok(User {
            name: name.to_owned(),
            uid: text(spec, "uid").to_owned(),
            groups,
            extra: extra
                .map(|(key, values)| (key.clone(), texts(values)))
                .collect(),
        })
    }

    fn decide(&self, user: &User, spec: &Value) -> Result<Value, Failure> {
        let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        if resource.is_object() == other.is_object() {
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(self.refused(&[FieldError::invalid("spec", spec, why)]));
        }
        let what = if resource.is_object() {
            Attributes {
                verb: text(resource, "verb"),
                group: text(resource, "group"),
                version: text(resource, "version"),
                resource: text(resource, "resource"),
                subresource: text(resource, "subresource"),
                namespace: text(resource, "namespace"),
                name: text(resource, "name"),
                path: "",
            }
        } else {
            Attributes {
                verb: text(other, "verb"),
                path: text(other, "path"),
                ..Attributes::default()
            }
        };
        let authorizer = &self.api.access.authorizer;
        Ok(match authorizer.authorize(user, &what) {
            Decision::Allow => {
                let mut status = json!({"allowed": true});
                let why = authorizer.why(user, &what);
                if !why.is_empty() {
                    status["reason"] = json!(why);
                }
                status
            }
            Decision::Deny { reason } if reason.is_empty() => json!({"allowed": false}),
            Decision::Deny { reason } => json!({"allowed": false, "reason": reason}),
        })
    }
}

impl Call<'_> {
    /// All that the caller may do in a namespace.
    fn list_rules(&self, spec: &Value) -> Result<Value, Failure> {
        let namespace = text(spec, "namespace");
        if namespace.is_empty() {
            return Err(Failure::bad_request("no namespace on request"));
        }
        let Granted { rules, problems } = self.api.access.authorizer.granted(self.user, namespace);
        let mut documents: Vec<Value> = Vec::new();
        for document in rules.iter().map(Rule::document) {
            // Several bindings often grant the same.
            if !documents.contains(&document) {
                documents.push(document);
            }
        }
        let (paths, resources): (Vec<&Value>, Vec<&Value>) = documents
            .iter()
            .partition(|rule| rule.get("nonResourceURLs").is_some());
        let mut status = json!({
            "resourceRules": resources, "nonResourceRules": paths,
            "incomplete": !problems.is_empty(),
        });
        if !problems.is_empty() {
            status["evaluationError"] = json!(listed(&problems));
        }
        Ok(status)
    }
}

pub(super) fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
