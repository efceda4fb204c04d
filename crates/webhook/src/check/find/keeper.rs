//! Says who looks after an object beside the person who applies it. Pure.
//!
//! By the marks that deployers leave on what is theirs. Does not know what they would do.

use serde_json::Value;

/// Who keeps it, in words; none if nobody says so.
pub(super) fn keeper(object: &Value) -> Option<String> {
    let meta = &object["metadata"];
    let annotation = |key: &str| meta["annotations"][key].as_str();
    let label = |key: &str| meta["labels"][key].as_str();
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        let namespace = annotation("meta.helm.sh/release-namespace").unwrap_or_default();
        return Some(format!("Helm, in its release {namespace}/{release}"));
    }
    // The application is what stands before the first colon.
    let tracked = annotation("argocd.argoproj.io/tracking-id").and_then(|it| it.split(':').next());
    if let Some(application) = tracked.or(label("argocd.argoproj.io/instance")) {
        return Some(format!("Argo CD, in its application {application}"));
    }
    for kind in ["kustomize", "helm"] {
        let of = |field| label(&format!("{kind}.toolkit.fluxcd.io/{field}"));
        if let (Some(name), Some(namespace)) = (of("name"), of("namespace")) {
            return Some(format!("Flux, in {namespace}/{name}"));
        }
    }
    if label("addonmanager.kubernetes.io/mode") == Some("Reconcile") {
        return Some("the cluster's add-on manager".to_owned());
    }
    label("app.kubernetes.io/managed-by").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deployers_are_known_by_their_marks() {
        for (meta, wanted) in [
            (json!({}), None),
            (
                json!({"labels": {"app": "x"}, "annotations": {"a": "b"}}),
                None,
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"},
                    "annotations": {"meta.helm.sh/release-name": "snap", "meta.helm.sh/release-namespace": "kube-system"}}),
                Some("Helm, in its release kube-system/snap"),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "infra:apiextensions.k8s.io/CustomResourceDefinition:/x"}}),
                Some("Argo CD, in its application infra"),
            ),
            (
                json!({"labels": {"argocd.argoproj.io/instance": "infra"}}),
                Some("Argo CD, in its application infra"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "infra", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}),
                Some("Flux, in flux-system/infra"),
            ),
            (
                json!({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}),
                Some("the cluster's add-on manager"),
            ),
            (
                json!({"labels": {"addonmanager.kubernetes.io/mode": "EnsureExists"}}),
                None,
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "olm"}}),
                Some("olm"),
            ),
        ] {
            let found = keeper(&json!({ "metadata": meta }));
            assert_eq!(found.as_deref(), wanted, "{meta}");
        }
    }
}
