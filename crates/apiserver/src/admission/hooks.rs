//! Asks validating webhooks, all at once, and says what comes of their answers and failures.
//!
//! Does not know which objects they guard.

use std::time::Duration;

use serde_json::Value;

use super::conditions::Conditions;
use super::matching::Matching;
use super::request::{Pair, Request};
use super::review;
use crate::schema::error::go_quote;
use crate::status::Failure;
use crate::store::Store;
use crate::webhook;

/// What a webhook is given that names no timeout. As in Kubernetes.
const PATIENCE: u64 = 10;

/// What came of asking.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Absent if the write may be.
    pub refusal: Option<Failure>,
    pub warnings: Vec<String>,
    /// For the audit log, by key.
    pub annotations: Vec<(String, String)>,
}

/// One entry of `webhooks`.
#[derive(Debug)]
pub(crate) struct Hook {
    pub name: String,
    pub matching: Matching,
    pub conditions: Conditions,
    /// `failurePolicy: Ignore`.
    pub fails_open: bool,
    client: Value,
    timeout: Duration,
    review_version: &'static str,
}

impl Hook {
    /// All of one ValidatingWebhookConfiguration.
    pub(crate) fn all_of(configuration: &Value) -> Vec<Self> {
        let hooks = configuration["webhooks"].as_array().into_iter().flatten();
        hooks.filter_map(Self::read).collect()
    }

    /// None of one that could not have been created; it is told.
    fn read(hook: &Value) -> Option<Self> {
        let name = hook["name"].as_str().unwrap_or_default().to_owned();
        let matching = Matching::of_webhook(hook)
            .inspect_err(|why| tracing::error!(webhook = name, why, "cannot read the webhook"))
            .ok()?;
        let mut versions = hook["admissionReviewVersions"]
            .as_array()
            .into_iter()
            .flatten();
        let known = |version: &Value| review::VERSIONS.into_iter().find(|known| version == known);
        Some(Self {
            matching,
            conditions: Conditions::read(&hook["matchConditions"], false),
            fails_open: hook["failurePolicy"] == "Ignore",
            client: hook["clientConfig"].clone(),
            timeout: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(PATIENCE)),
            review_version: versions.find_map(known).unwrap_or("v1"),
            name,
        })
    }

    /// Asks about a write that matched at `version`.
    pub(crate) async fn ask(
        &self,
        store: &Store,
        request: &Request<'_>,
        pair: Pair<'_>,
        version: &str,
    ) -> Heard {
        let uid = uuid::Uuid::new_v4().to_string();
        let question = review::question(&uid, self.review_version, request, pair, version);
        let answer = webhook::call(store, &self.client, &question, self.timeout)
            .await
            .map_err(|why| format!("failed to call webhook: {why}"))
            .and_then(|said| {
                review::answer(&uid, self.review_version, &said)
                    .map_err(|why| format!("received invalid webhook response: {why}"))
            });
        match answer {
            Ok(answer) => {
                let annotations = answer.annotations.into_iter();
                let annotations =
                    annotations.map(|(key, text)| (format!("{}/{key}", self.name), text));
                Heard {
                    refusal: answer
                        .denied
                        .map(|status| review::denial(&self.name, &status)),
                    warnings: answer.warnings,
                    annotations: annotations.collect(),
                }
            }
            Err(why) => Heard {
                refusal: self.failed(&why),
                ..Heard::default()
            },
        }
    }

    fn failed(&self, why: &str) -> Option<Failure> {
        if self.fails_open {
            tracing::warn!(
                webhook = self.name,
                why,
                "the webhook failed, and is ignored"
            );
            return None;
        }
        let name = go_quote(&self.name);
        Some(Failure::internal(format!(
            "failed calling webhook {name}: {why}"
        )))
    }
}
