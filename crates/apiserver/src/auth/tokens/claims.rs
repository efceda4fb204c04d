//! Says what a service account's token claims, in the form Kubernetes gives it.
//!
//! Does not sign and does not know whether a claim holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::auth::user::{User, service_account};

const EXTRA: &str = "authentication.kubernetes.io/";

/// An object that a token is about or bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub name: String,
    pub uid: String,
}

/// The claim `kubernetes.io`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Private {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    pub serviceaccount: Reference,
}

/// All claims; times in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub aud: Vec<String>,
    pub exp: u64,
    pub iat: u64,
    pub iss: String,
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub private: Private,
    pub nbf: u64,
    pub sub: String,
}

impl Private {
    pub(super) fn subject(&self) -> String {
        service_account(&self.namespace, &self.serviceaccount.name)
    }

    /// The user that a token with this claim and this id stands for.
    pub(super) fn user(&self, id: &str) -> User {
        let groups = [
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", self.namespace),
        ];
        let mut extra = BTreeMap::new();
        let mut say = |key: &str, value: String| extra.insert(format!("{EXTRA}{key}"), vec![value]);
        say("credential-id", format!("JTI={id}"));
        for (kind, reference) in [("pod", &self.pod), ("node", &self.node)] {
            if let Some(reference) = reference {
                say(&format!("{kind}-name"), reference.name.clone());
                say(&format!("{kind}-uid"), reference.uid.clone());
            }
        }
        User {
            uid: self.serviceaccount.uid.clone(),
            extra,
            ..User::authenticated(self.subject(), groups.into())
        }
    }
}
