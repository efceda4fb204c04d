//! Compares what each role may do with what upstream's manifests give it: no more, no less.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use crate::world::World;

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const SNAPSHOT: &str = "snapshot.storage.k8s.io";
const GROUP: &str = "groupsnapshot.storage.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const READ: &str = "get list watch";

/// Account, group, resource (`*` before it: only in its own namespace), verbs.
const RIGHTS: [(&str, &str, &str, &str); 48] = [
    ("snapshot-controller", "", "persistentvolumes", READ),
    (
        "snapshot-controller",
        "",
        "persistentvolumeclaims",
        "get list update watch",
    ),
    (
        "snapshot-controller",
        "",
        "events",
        "create list patch update watch",
    ),
    ("snapshot-controller", "", "secrets", ""),
    ("snapshot-controller", "", "nodes", ""),
    (
        "snapshot-controller",
        SNAPSHOT,
        "volumesnapshotclasses",
        READ,
    ),
    (
        "snapshot-controller",
        SNAPSHOT,
        "volumesnapshotcontents",
        "create delete get list patch update watch",
    ),
    (
        "snapshot-controller",
        SNAPSHOT,
        "volumesnapshotcontents/status",
        "patch",
    ),
    (
        "snapshot-controller",
        SNAPSHOT,
        "volumesnapshots",
        "create delete get list patch update watch",
    ),
    (
        "snapshot-controller",
        SNAPSHOT,
        "volumesnapshots/status",
        "patch update",
    ),
    (
        "snapshot-controller",
        GROUP,
        "volumegroupsnapshotclasses",
        READ,
    ),
    (
        "snapshot-controller",
        GROUP,
        "volumegroupsnapshotcontents",
        "create delete get list patch update watch",
    ),
    (
        "snapshot-controller",
        GROUP,
        "volumegroupsnapshotcontents/status",
        "patch",
    ),
    (
        "snapshot-controller",
        GROUP,
        "volumegroupsnapshots",
        "get list patch update watch",
    ),
    (
        "snapshot-controller",
        GROUP,
        "volumegroupsnapshots/status",
        "patch update",
    ),
    (
        "snapshot-controller",
        "coordination.k8s.io",
        "*leases",
        "create delete get list update watch",
    ),
    ("csi-snapshotter", "", "persistentvolumes", ""),
    ("csi-snapshotter", "", "persistentvolumeclaims", ""),
    (
        "csi-snapshotter",
        "",
        "events",
        "create list patch update watch",
    ),
    ("csi-snapshotter", "", "secrets", ""),
    ("csi-snapshotter", SNAPSHOT, "volumesnapshotclasses", READ),
    (
        "csi-snapshotter",
        SNAPSHOT,
        "volumesnapshotcontents",
        "get list patch update watch",
    ),
    (
        "csi-snapshotter",
        SNAPSHOT,
        "volumesnapshotcontents/status",
        "patch update",
    ),
    ("csi-snapshotter", SNAPSHOT, "volumesnapshots", ""),
    ("csi-snapshotter", SNAPSHOT, "volumesnapshots/status", ""),
    ("csi-snapshotter", GROUP, "volumegroupsnapshotclasses", READ),
    (
        "csi-snapshotter",
        GROUP,
        "volumegroupsnapshotcontents",
        "get list patch update watch",
    ),
    (
        "csi-snapshotter",
        GROUP,
        "volumegroupsnapshotcontents/status",
        "patch update",
    ),
    ("csi-snapshotter", GROUP, "volumegroupsnapshots", ""),
    (
        "csi-snapshotter",
        "coordination.k8s.io",
        "*leases",
        "create delete get list update watch",
    ),
    (
        "csi-provisioner",
        "",
        "persistentvolumes",
        "create delete get list patch watch",
    ),
    (
        "csi-provisioner",
        "",
        "persistentvolumeclaims",
        "get list update watch",
    ),
    (
        "csi-provisioner",
        "",
        "events",
        "create list patch update watch",
    ),
    ("csi-provisioner", "", "secrets", ""),
    ("csi-provisioner", "", "nodes", READ),
    ("csi-provisioner", "", "*pods", "get"),
    ("csi-provisioner", "apps", "*replicasets", "get"),
    ("csi-provisioner", STORAGE, "storageclasses", READ),
    ("csi-provisioner", STORAGE, "csinodes", READ),
    ("csi-provisioner", STORAGE, "volumeattachments", READ),
    ("csi-provisioner", STORAGE, "volumeattributesclasses", READ),
    (
        "csi-provisioner",
        STORAGE,
        "*csistoragecapacities",
        "create delete get list patch update watch",
    ),
    (
        "csi-provisioner",
        SNAPSHOT,
        "volumesnapshots",
        "get list update watch",
    ),
    ("csi-provisioner", SNAPSHOT, "volumesnapshots/status", ""),
    (
        "csi-provisioner",
        SNAPSHOT,
        "volumesnapshotcontents",
        "get list",
    ),
    (
        "csi-provisioner",
        "gateway.networking.k8s.io",
        "referencegrants",
        READ,
    ),
    (
        "csi-provisioner",
        "coordination.k8s.io",
        "*leases",
        "create delete get list update watch",
    ),
    (
        "csi-provisioner",
        "rbac.authorization.k8s.io",
        "clusterroles",
        "",
    ),
];

#[tokio::test]
async fn each_role_has_the_rights_that_upstream_gives_it() {
    let world = World::start().await;
    let reviews: Api<SubjectAccessReview> = Api::all(world.cluster.client());
    let may = async |account: &str, group: &str, resource: &str, verb: &str, namespace: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:kube-system:{account}")),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()),
                    verb: Some(verb.to_owned()),
                    namespace: Some(namespace.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answer.status.unwrap().allowed
    };
    for (account, group, resource, verbs) in RIGHTS {
        let (resource, own_only) = match resource.strip_prefix('*') {
            Some(resource) => (resource, true),
            None => (resource, false),
        };
        for verb in VERBS {
            let listed = verbs.split(' ').any(|listed| listed == verb);
            let here = may(account, group, resource, verb, "kube-system").await;
            assert_eq!(here, listed, "{account} {verb} {resource}.{group}");
            let elsewhere = may(account, group, resource, verb, "default").await;
            assert_eq!(
                elsewhere,
                listed && !own_only,
                "{account} {verb} {resource}.{group}"
            );
        }
    }
    // A client is a handle to the server.
    drop(reviews);
    world.stop().await;
}
