//! Lists what each controller of ours needs.
//!
//! Knows nothing of what they do with it.

use serde_json::{Value, json};

use super::{READ, rule};

/// The controllers, named as the service accounts of Kubernetes' own, with what each needs.
pub(super) fn all() -> Vec<(&'static str, Value)> {
    [storage(), others()].concat()
}

fn storage() -> Vec<(&'static str, Value)> {
    let events = rule(
        &["", "events.k8s.io"],
        &["events"],
        &["create", "patch", "update"],
    );
    vec![
        (
            "persistent-volume-binder",
            json!([
                rule(
                    &[""],
                    &["persistentvolumes", "persistentvolumeclaims"],
                    &READ
                ),
                rule(
                    &[""],
                    &["persistentvolumes", "persistentvolumeclaims"],
                    &["update", "patch"]
                ),
                rule(
                    &[""],
                    &["persistentvolumes/status", "persistentvolumeclaims/status"],
                    &["update", "patch"],
                ),
                rule(&["storage.k8s.io"], &["storageclasses"], &READ),
                events,
            ]),
        ),
        (
            "pvc-protection-controller",
            json!([
                rule(
                    &[""],
                    &["persistentvolumeclaims"],
                    &["get", "list", "watch", "update", "patch"]
                ),
                rule(&[""], &["pods"], &READ),
            ]),
        ),
        (
            "pv-protection-controller",
            json!([rule(
                &[""],
                &["persistentvolumes"],
                &["get", "list", "watch", "update", "patch"],
            )]),
        ),
    ]
}

fn others() -> Vec<(&'static str, Value)> {
    vec![
        (
            "namespace-controller",
            json!([
                rule(&[""], &["namespaces"], &["get", "list", "watch", "delete"]),
                rule(
                    &[""],
                    &["namespaces/finalize", "namespaces/status"],
                    &["update", "patch"]
                ),
                rule(
                    &["*"],
                    &["*"],
                    &["get", "list", "watch", "delete", "deletecollection"],
                ),
            ]),
        ),
        (
            "generic-garbage-collector",
            json!([rule(
                &["*"],
                &["*"],
                &["get", "list", "watch", "patch", "update", "delete"],
            )]),
        ),
        (
            "service-account-controller",
            json!([
                rule(
                    &[""],
                    &["serviceaccounts"],
                    &["get", "list", "watch", "create"]
                ),
                rule(&[""], &["namespaces"], &READ),
            ]),
        ),
        (
            "root-ca-cert-publisher",
            json!([
                rule(
                    &[""],
                    &["configmaps"],
                    &["get", "list", "watch", "create", "update", "patch"]
                ),
                rule(&[""], &["namespaces"], &READ),
            ]),
        ),
        (
            "clusterrole-aggregation-controller",
            json!([rule(
                &["rbac.authorization.k8s.io"],
                &["clusterroles"],
                &["escalate", "get", "list", "patch", "update", "watch"],
            )]),
        ),
    ]
}
