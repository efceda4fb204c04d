//! Names what a write is about, for those who decide whether it may be.
//!
//! Does not decide.

use serde_json::{Value, json};

use crate::auth::User;
use crate::registry::{Resource, subresource_shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A write that is asked for. Its objects are beside it, since they come in several versions.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub operation: Operation,
    pub resource: &'a Resource,
    /// The version that was asked for.
    pub version: &'a str,
    pub subresource: &'a str,
    pub name: &'a str,
    /// Of a Namespace: its own name.
    pub namespace: &'a str,
    /// CreateOptions, UpdateOptions or DeleteOptions.
    pub options: Value,
    pub dry_run: bool,
    pub user: &'a User,
}

/// The object of a write as it shall be and as it was, in one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub object: Option<&'a Value>,
    pub old: Option<&'a Value>,
}

impl Request<'_> {
    pub(crate) fn is_namespace(&self) -> bool {
        self.resource.group.is_empty() && self.resource.plural == "namespaces"
    }

    /// Group, version and kind of the object, were the request made in `version`.
    pub(crate) fn kind(&self, version: &str) -> Value {
        let resource = self.resource;
        let own = (resource.kind.as_str(), "", "");
        let (kind, group, other) = match self.subresource {
            "" => own,
            subresource => {
                let (kind, group, version, _) = subresource_shape(resource, subresource);
                (kind, group, version)
            }
        };
        if other.is_empty() {
            json!({"group": resource.group, "version": version, "kind": kind})
        } else {
            json!({"group": group, "version": other, "kind": kind})
        }
    }

    /// Whether the object is not of the resource's own kind, such as a Scale.
    pub(crate) fn is_of_other_kind(&self) -> bool {
        let kind = self.kind(self.version);
        kind["kind"] != json!(self.resource.kind) || kind["group"] != json!(self.resource.group)
    }

    /// Group, version and plural.
    pub(crate) fn plural(&self, version: &str) -> Value {
        json!({"group": self.resource.group, "version": version, "resource": self.resource.plural})
    }

    /// The `request` of an AdmissionReview without uid and objects: what expressions see, too.
    /// `version` is the one that was matched.
    pub(crate) fn document(&self, version: &str) -> Value {
        let mut document = json!({
            "kind": self.kind(version),
            "resource": self.plural(version),
            "requestKind": self.kind(self.version),
            "requestResource": self.plural(self.version),
            "operation": self.operation.as_str(),
            "userInfo": user_info(self.user),
            "dryRun": self.dry_run,
            "options": self.options,
        });
        for (field, text) in [
            ("name", self.name),
            ("namespace", self.namespace),
            ("subResource", self.subresource),
            ("requestSubResource", self.subresource),
        ] {
            if !text.is_empty() {
                document[field] = json!(text);
            }
        }
        document
    }
}

/// A user as reviews of all sorts show one.
pub(crate) fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
