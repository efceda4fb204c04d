//! Lists the built-in resources.
//!
//! Does not know their rules.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, batch::v1 as batch, coordination::v1 as coordination,
    core::v1 as core, events::v1 as events, networking::v1 as networking, policy::v1 as policy,
    rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::Builtin;
use crate::names::NameRule;

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const CREATE_ONLY: &[&str] = &["create"];

fn make<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A namespaced resource without peculiarities.
const fn namespaced<T: JsonSchema>(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
) -> Builtin {
    Builtin {
        group,
        version: "v1",
        kind,
        plural,
        singular,
        short_names: &[],
        categories: &[],
        namespaced: true,
        subresources: &[],
        verbs: ALL_VERBS,
        name_rule: NameRule::Subdomain,
        selectable_fields: &[],
        make_schema: make::<T>,
        schema_name: T::schema_name,
    }
}

/// A resource of the whole cluster.
const fn cluster<T: JsonSchema>(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
) -> Builtin {
    Builtin {
        namespaced: false,
        ..namespaced::<T>(group, kind, plural, singular)
    }
}

impl Builtin {
    const fn short(self, short_names: &'static [&'static str]) -> Self {
        Self {
            short_names,
            ..self
        }
    }

    const fn with(self, subresources: &'static [&'static str]) -> Self {
        Self {
            subresources,
            ..self
        }
    }

    const fn of(self, categories: &'static [&'static str]) -> Self {
        Self { categories, ..self }
    }

    const fn named(self, name_rule: NameRule) -> Self {
        Self { name_rule, ..self }
    }

    const fn selectable(self, selectable_fields: &'static [&'static str]) -> Self {
        Self {
            selectable_fields,
            ..self
        }
    }

    const fn only_created(self) -> Self {
        Self {
            verbs: CREATE_ONLY,
            ..self
        }
    }
}

const ALL: &[&str] = &["all"];
const API: &[&str] = &["api-extensions"];
const STATUS: &[&str] = &["status"];
const SCALED: &[&str] = &["scale", "status"];
const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const REGARDING_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];
const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

static BUILTINS: [Builtin; 43] = [
    namespaced::<core::ConfigMap>("", "ConfigMap", "configmaps", "configmap").short(&["cm"]),
    namespaced::<core::Endpoints>("", "Endpoints", "endpoints", "endpoints").short(&["ep"]),
    namespaced::<core::Event>("", "Event", "events", "event")
        .short(&["ev"])
        .selectable(EVENT_FIELDS),
    cluster::<core::Namespace>("", "Namespace", "namespaces", "namespace")
        .short(&["ns"])
        .with(&["finalize", "status"])
        .named(NameRule::Label)
        .selectable(&["status.phase"]),
    cluster::<core::Node>("", "Node", "nodes", "node")
        .short(&["no"])
        .with(STATUS)
        .selectable(&["spec.unschedulable"]),
    namespaced::<core::PersistentVolumeClaim>(
        "",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
    )
    .short(&["pvc"])
    .with(STATUS),
    cluster::<core::PersistentVolume>(
        "",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
    )
    .short(&["pv"])
    .with(STATUS),
    namespaced::<core::Pod>("", "Pod", "pods", "pod")
        .short(&["po"])
        .of(ALL)
        .with(&["binding", "eviction", "exec", "log", "status"])
        .selectable(POD_FIELDS),
    namespaced::<core::ResourceQuota>("", "ResourceQuota", "resourcequotas", "resourcequota")
        .short(&["quota"])
        .with(STATUS),
    namespaced::<core::Secret>("", "Secret", "secrets", "secret").selectable(&["type"]),
    namespaced::<core::ServiceAccount>("", "ServiceAccount", "serviceaccounts", "serviceaccount")
        .short(&["sa"])
        .with(&["token"]),
    namespaced::<core::Service>("", "Service", "services", "service")
        .short(&["svc"])
        .of(ALL)
        .with(STATUS)
        .named(NameRule::Label1035)
        .selectable(&["spec.clusterIP", "spec.type"]),
    cluster::<admission::MutatingWebhookConfiguration>(
        ADMISSION,
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
    )
    .of(API),
    cluster::<admission::ValidatingAdmissionPolicy>(
        ADMISSION,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
    )
    .of(API)
    .with(STATUS),
    cluster::<admission::ValidatingAdmissionPolicyBinding>(
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
    )
    .of(API),
    cluster::<admission::ValidatingWebhookConfiguration>(
        ADMISSION,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
    )
    .of(API),
    cluster::<apiextensions::CustomResourceDefinition>(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "customresourcedefinition",
    )
    .short(&["crd", "crds"])
    .of(API)
    .with(STATUS),
    namespaced::<apps::DaemonSet>("apps", "DaemonSet", "daemonsets", "daemonset")
        .short(&["ds"])
        .of(ALL)
        .with(STATUS),
    namespaced::<apps::Deployment>("apps", "Deployment", "deployments", "deployment")
        .short(&["deploy"])
        .of(ALL)
        .with(SCALED),
    namespaced::<apps::ReplicaSet>("apps", "ReplicaSet", "replicasets", "replicaset")
        .short(&["rs"])
        .of(ALL)
        .with(SCALED)
        .selectable(&["status.replicas"]),
    namespaced::<apps::StatefulSet>("apps", "StatefulSet", "statefulsets", "statefulset")
        .short(&["sts"])
        .of(ALL)
        .with(SCALED),
    cluster::<authentication::SelfSubjectReview>(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
        "selfsubjectreview",
    )
    .only_created(),
    cluster::<authentication::TokenReview>(
        "authentication.k8s.io",
        "TokenReview",
        "tokenreviews",
        "tokenreview",
    )
    .only_created(),
    namespaced::<authorization::LocalSubjectAccessReview>(
        "authorization.k8s.io",
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
    )
    .only_created(),
    cluster::<authorization::SelfSubjectAccessReview>(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
    )
    .only_created(),
    cluster::<authorization::SelfSubjectRulesReview>(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
    )
    .only_created(),
    cluster::<authorization::SubjectAccessReview>(
        "authorization.k8s.io",
        "SubjectAccessReview",
        "subjectaccessreviews",
        "subjectaccessreview",
    )
    .only_created(),
    namespaced::<batch::Job>("batch", "Job", "jobs", "job")
        .of(ALL)
        .with(STATUS)
        .selectable(&["status.successful"]),
    namespaced::<coordination::Lease>("coordination.k8s.io", "Lease", "leases", "lease"),
    namespaced::<events::Event>("events.k8s.io", "Event", "events", "event")
        .short(&["ev"])
        .selectable(REGARDING_FIELDS),
    namespaced::<networking::NetworkPolicy>(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
    )
    .short(&["netpol"]),
    namespaced::<policy::PodDisruptionBudget>(
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "poddisruptionbudget",
    )
    .short(&["pdb"])
    .with(STATUS),
    cluster::<rbac::ClusterRoleBinding>(
        RBAC,
        "ClusterRoleBinding",
        "clusterrolebindings",
        "clusterrolebinding",
    )
    .named(NameRule::PathSegment),
    cluster::<rbac::ClusterRole>(RBAC, "ClusterRole", "clusterroles", "clusterrole")
        .named(NameRule::PathSegment),
    namespaced::<rbac::RoleBinding>(RBAC, "RoleBinding", "rolebindings", "rolebinding")
        .named(NameRule::PathSegment),
    namespaced::<rbac::Role>(RBAC, "Role", "roles", "role").named(NameRule::PathSegment),
    cluster::<scheduling::PriorityClass>(
        "scheduling.k8s.io",
        "PriorityClass",
        "priorityclasses",
        "priorityclass",
    )
    .short(&["pc"]),
    cluster::<storage::CSIDriver>(STORAGE, "CSIDriver", "csidrivers", "csidriver"),
    cluster::<storage::CSINode>(STORAGE, "CSINode", "csinodes", "csinode"),
    namespaced::<storage::CSIStorageCapacity>(
        STORAGE,
        "CSIStorageCapacity",
        "csistoragecapacities",
        "csistoragecapacity",
    ),
    cluster::<storage::StorageClass>(STORAGE, "StorageClass", "storageclasses", "storageclass")
        .short(&["sc"]),
    cluster::<storage::VolumeAttachment>(
        STORAGE,
        "VolumeAttachment",
        "volumeattachments",
        "volumeattachment",
    )
    .with(STATUS),
    cluster::<storage::VolumeAttributesClass>(
        STORAGE,
        "VolumeAttributesClass",
        "volumeattributesclasses",
        "volumeattributesclass",
    )
    .short(&["vac"]),
];

/// Every built-in resource, by group and name.
pub(crate) fn builtins() -> &'static [Builtin] {
    &BUILTINS
}
