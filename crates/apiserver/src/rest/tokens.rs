//! Gives out the tokens of service accounts and reviews tokens.
//!
//! Does not sign and does not judge: the token issuer does.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest};
use serde_json::{Value, json};

use super::query::WriteOptions;
use super::reviews::{text, texts};
use super::{Call, Reply, body};
use crate::admission::user_info;
use crate::auth::{ISSUER, Private, Reference};
use crate::pki;
use crate::schema::error::FieldError;
use crate::status::{About, Failure};

const GROUP: &str = "authentication.k8s.io";
/// What a token lives without a wish, in seconds, and what may be wished for.
const LIFE: i64 = 3600;
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;

impl Call<'_> {
    /// Answers a TokenRequest for the service account that the path names.
    pub(super) async fn create_token(&self, bytes: &Bytes) -> Result<Reply, Failure> {
        let options = WriteOptions::parse(self.query, "CreateOptions")?;
        let tokens = &self.api.access.tokens;
        let account = tokens.account(&self.info.namespace, &self.info.name);
        let missing = || Failure::not_found(&self.target.about(&self.info.name));
        let (mut private, _) = account.ok_or_else(missing)?;
        let request = self.token_request(bytes)?;
        let spec = request.spec.clone().unwrap_or_default();
        let life = spec.expiration_seconds.unwrap_or(LIFE);
        self.check_request(&request, life)?;
        let shown = json!(request);
        Box::pin(self.admit_creation(&shown, options.dry_run)).await?;
        if let Some(bound) = &spec.bound_object_ref {
            self.bind_token(&mut private, bound)?;
        }
        let now = pki::now();
        let seconds = Duration::from_secs(u64::try_from(life).unwrap_or_default());
        let audiences = spec.audiences.filter(|list| !list.is_empty());
        let audiences = audiences.unwrap_or_else(|| vec![ISSUER.to_owned()]);
        let token = tokens.issue(private, &audiences, seconds, now);
        let token = token.ok_or_else(|| Failure::internal("the system gives no random numbers"))?;
        let expires = jiff::Timestamp::try_from(now)
            .and_then(|now| now.checked_add(jiff::SignedDuration::from_secs(life)))
            .map_err(Failure::internal)?;
        // A dry run is told what it would get, but nothing that opens a door.
        let token = if options.dry_run {
            String::new()
        } else {
            token
        };
        let answer = json!({
            "kind": "TokenRequest",
            "apiVersion": format!("{GROUP}/v1"),
            "metadata": {
                "name": self.info.name, "namespace": self.info.namespace,
                "creationTimestamp": super::now(),
            },
            "spec": {
                "audiences": audiences, "expirationSeconds": life,
                "boundObjectRef": spec.bound_object_ref,
            },
            "status": {
                "token": token,
                "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            },
        });
        Ok(Reply::json(StatusCode::CREATED, &answer))
    }

    fn token_request(&self, bytes: &Bytes) -> Result<TokenRequest, Failure> {
        let mut object = body::decode(self.headers, bytes, "TokenRequest")?.value;
        let version = format!("{GROUP}/v1");
        for (field, expected) in [("kind", "TokenRequest"), ("apiVersion", version.as_str())] {
            let given = text(&object, field);
            if !given.is_empty() && given != expected {
                return Err(Failure::bad_request(format!(
                    "the {field} of the body is {given:?}, it must be {expected:?}"
                )));
            }
        }
        let mut whole = json!({"apiVersion": version, "kind": "TokenRequest"});
        for field in ["metadata", "spec"] {
            if object[field].is_object() {
                whole[field] = object[field].take();
            }
        }
        if whole["spec"].is_null() {
            whole["spec"] = json!({});
        }
        serde_json::from_value(whole).map_err(|error| {
            Failure::bad_request(format!(
                "TokenRequest in version \"v1\" cannot be handled as a TokenRequest: {error}"
            ))
        })
    }

    fn check_request(&self, request: &TokenRequest, life: i64) -> Result<(), Failure> {
        let mut errors = Vec::new();
        for (field, given, wanted) in [
            ("name", &request.metadata.name, &self.info.name),
            (
                "namespace",
                &request.metadata.namespace,
                &self.info.namespace,
            ),
        ] {
            let given = given.as_deref().unwrap_or_default();
            if !given.is_empty() && given != wanted {
                let why = format!("must match the service account {field} if specified");
                errors.push(FieldError::invalid_text(
                    &format!("metadata.{field}"),
                    given,
                    &why,
                ));
            }
        }
        let too = match life {
            ..SHORTEST => "may not specify a duration less than 10 minutes",
            SHORTEST..=LONGEST => "",
            _ => "may not specify a duration larger than 2^32 seconds",
        };
        if !too.is_empty() {
            errors.push(FieldError::invalid(
                "spec.expirationSeconds",
                &json!(life),
                too,
            ));
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid(&about("TokenRequest", ""), &errors))
    }

    /// Binds a token to an object, which must be there.
    fn bind_token(
        &self,
        private: &mut Private,
        bound: &BoundObjectReference,
    ) -> Result<(), Failure> {
        let one = |text: &Option<String>| text.clone().unwrap_or_default();
        let (version, kind) = (one(&bound.api_version), one(&bound.kind));
        let (name, uid) = (one(&bound.name), one(&bound.uid));
        let (plural, key, place) = match (version.as_str(), kind.as_str()) {
            ("v1", "Pod") => ("pods", self.beside(&name), &mut private.pod),
            ("v1", "Secret") => ("secrets", self.beside(&name), &mut private.secret),
            ("v1", "Node") => ("nodes", name.clone(), &mut private.node),
            _ => {
                let (group, version) = version.split_once('/').unwrap_or(("", &version));
                return Err(Failure::bad_request(format!(
                    "cannot bind token to object of type {group}/{version}, Kind={kind}"
                )));
            }
        };
        let found = self.api.store.get(plural, &key);
        let found = found.ok_or_else(|| {
            let kind = plural.to_owned();
            let (group, name) = (String::new(), name.clone());
            Failure::not_found(&About { group, kind, name })
        })?;
        let object = found.value();
        let now = reference(&object["metadata"]);
        if !uid.is_empty() && uid != now.uid {
            let why = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            );
            let group = String::new();
            return Err(Failure::conflict(&About { group, kind, name }, &why));
        }
        *place = Some(now);
        if plural == "pods" {
            self.check_pod(&object)?;
            private.node = self.node_of(&object);
        }
        Ok(())
    }

    /// A pod's token is for the account that the pod runs as.
    fn check_pod(&self, pod: &Value) -> Result<(), Failure> {
        let account = match text(&pod["spec"], "serviceAccountName") {
            "" => "default",
            name => name,
        };
        if account == self.info.name {
            return Ok(());
        }
        Err(Failure::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different \
             serviceaccount name.",
            self.info.name
        )))
    }

    fn node_of(&self, pod: &Value) -> Option<Reference> {
        let name = text(&pod["spec"], "nodeName");
        let node = self.api.store.get("nodes", name)?;
        Some(reference(&node.value()["metadata"]))
    }

    /// The key of an object in the account's namespace.
    fn beside(&self, name: &str) -> String {
        super::info::key_of(&self.info.namespace, name)
    }

    /// Says whom a token stands for.
    pub(super) fn review_token(&self, spec: &Value) -> Result<Value, Failure> {
        let token = text(spec, "token");
        if token.is_empty() {
            return Err(Failure::bad_request(
                "token is required for TokenReview in authentication",
            ));
        }
        let audiences = texts(&spec["audiences"]);
        let checked = self.api.access.tokens.check(token, &audiences, pki::now());
        Ok(match checked {
            Ok(bearer) => json!({
                "authenticated": true, "user": user_info(&bearer.user), "audiences": bearer.audiences,
            }),
            Err(why) => json!({"user": {}, "error": format!("[invalid bearer token, {why}]")}),
        })
    }
}

fn about(kind: &str, name: &str) -> About {
    About {
        group: GROUP.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn reference(metadata: &Value) -> Reference {
    Reference {
        name: text(metadata, "name").to_owned(),
        uid: text(metadata, "uid").to_owned(),
    }
}
