//! Words every failure as a Kubernetes `Status`: code, reason, message, details.
//!
//! Does not decide what fails.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::schema::error::FieldError;

/// What a `Status` is about: the plural or the kind, as each message of Kubernetes has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub group: String,
    pub kind: String,
    pub name: String,
}

impl About {
    /// `widgets.example.com`, or `configmaps` of the core group.
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        for (field, value) in [
            ("group", &self.group),
            ("kind", &self.kind),
            ("name", &self.name),
        ] {
            if !value.is_empty() {
                details.insert(field.into(), json!(value));
            }
        }
        details
    }
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub code: StatusCode,
    reason: Cow<'static, str>,
    message: String,
    details: Option<Box<Map<String, Value>>>,
    /// Where a list that cannot go on as it began may go on nevertheless.
    next: Option<Box<str>>,
    /// Answered as text, as a server without such a path does.
    pub plain: bool,
    /// What was noticed before it failed.
    pub warnings: Vec<String>,
}

impl Failure {
    pub(crate) fn new(
        code: StatusCode,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
            next: None,
            plain: false,
            warnings: Vec::new(),
        }
    }

    fn about(mut self, about: &About) -> Self {
        self.details = Some(Box::new(about.details()));
        self
    }

    /// With `details` as somebody else worded them.
    pub(crate) fn with_details(mut self, details: Option<Map<String, Value>>) -> Self {
        self.details = details.map(Box::new);
        self
    }

    /// With another code and reason than its kind has.
    pub(crate) fn answered(mut self, code: StatusCode, reason: String) -> Self {
        self.code = code;
        self.reason = reason.into();
        self
    }

    pub(crate) fn with_causes(mut self, causes: &Value) -> Self {
        self.details
            .get_or_insert_default()
            .insert("causes".into(), causes.clone());
        self
    }

    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// What was to be made is there already.
    pub(crate) fn is_exists(&self) -> bool {
        self.reason == "AlreadyExists"
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn not_found(about: &About) -> Self {
        let message = format!("{} {:?} not found", about.qualified(), about.name);
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(about)
    }

    /// The resource itself is not there.
    pub(crate) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(&About::default())
    }

    /// Not even a path of the API.
    pub(crate) fn no_such_page() -> Self {
        let mut failure = Self::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found\n");
        failure.plain = true;
        failure
    }

    pub(crate) fn already_exists(about: &About) -> Self {
        let message = format!("{} {:?} already exists", about.qualified(), about.name);
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(about)
    }

    pub(crate) fn conflict(about: &About, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {why}",
            about.qualified(),
            about.name
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(about)
    }

    pub(crate) fn modified(about: &About) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(about, why)
    }

    pub(crate) fn forbidden(about: &About, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(about)
    }

    /// `about` is worded with the kind here, not with the plural.
    pub(crate) fn invalid(about: &About, errors: &[FieldError]) -> Self {
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| {
                json!({"reason": error.reason.as_str(), "message": error.detail, "field": error.path})
            })
            .collect();
        let mut messages: Vec<String> = Vec::new();
        for error in errors {
            let message = format!("{}: {}", error.path, error.detail);
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        let list = match messages.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {:?} is invalid: {list}", about.qualified(), about.name);
        let mut failure =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(about);
        if let Some(details) = &mut failure.details {
            details.insert("causes".into(), json!(causes));
        }
        failure
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            .about(&About::default())
    }

    /// A definition that goes takes no new objects.
    pub(crate) fn terminating_definition() -> Self {
        let message = "create not allowed while custom resource definition is terminating";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            .about(&About::default())
    }

    /// A patch that does not fit the object.
    pub(crate) fn rejected_patch() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(&About::default())
    }

    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             {accepted}"
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        )
    }

    /// A watch or list from before what is remembered.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// The same of a list in pages, which may go on with another token, as of now.
    pub(crate) fn expired_page(message: impl Into<String>, next: String) -> Self {
        Self {
            next: Some(next.into()),
            ..Self::expired(message)
        }
    }

    /// A resourceVersion that was never given.
    pub(crate) fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut failure = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        let cause = json!({"reason": "ResourceVersionTooLarge",
            "message": "Too large resource version"});
        let details = json!({"causes": [cause], "retryAfterSeconds": 1});
        failure.details = details.as_object().cloned().map(Box::new);
        failure
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        let mut failure = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            message.clone(),
        );
        let causes = json!({"causes": [{"message": message}]});
        failure.details = causes.as_object().cloned().map(Box::new);
        failure
    }

    /// The server failed for a reason that is told as it is.
    pub(crate) fn internal_plain(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(next) = &self.next {
            status["metadata"]["continue"] = json!(next);
        }
        if let Some(details) = &self.details {
            status["details"] = Value::Object((**details).clone());
        }
        status
    }
}

/// What a request answers that has nothing to show.
pub(crate) fn success(code: StatusCode) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "code": code.as_u16()})
}

/// What a delete answers when the object is gone at once. `about` is worded with the plural.
pub(crate) fn deleted(about: &About, uid: &str) -> Value {
    let mut details = about.details();
    details.insert("uid".into(), json!(uid));
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": details})
}

#[cfg(test)]
mod tests {
    use crate::schema::error::FieldError;

    use super::*;

    fn about(group: &str, kind: &str, name: &str) -> About {
        About {
            group: group.into(),
            kind: kind.into(),
            name: name.into(),
        }
    }

    #[test]
    fn words_a_missing_object_as_kubernetes_does() {
        let status = Failure::not_found(&about("", "configmaps", "one")).status();
        let expected = json!({"apiVersion": "v1", "code": 404,
            "details": {"kind": "configmaps", "name": "one"}, "kind": "Status",
            "message": "configmaps \"one\" not found", "metadata": {},
            "reason": "NotFound", "status": "Failure"});
        assert_eq!(status, expected);
    }

    #[test]
    fn lists_several_field_errors_in_brackets() {
        let errors = [
            FieldError::required("spec.size", ""),
            FieldError::forbidden("spec.lo", "no"),
        ];
        let status = Failure::invalid(&about("x.io", "Widget", "w"), &errors).status();
        assert_eq!(
            status["message"],
            "Widget.x.io \"w\" is invalid: [spec.size: Required value, spec.lo: Forbidden: no]"
        );
        assert_eq!(
            status["details"]["causes"][1]["reason"],
            "FieldValueForbidden"
        );
        assert_eq!(status["code"], 422);
    }

    #[test]
    fn says_what_was_deleted() {
        let status = deleted(&about("", "configmaps", "one"), "u");
        assert_eq!(
            status["details"],
            json!({"kind": "configmaps", "name": "one", "uid": "u"})
        );
    }
}
