//! `tintype restore` and `tintype doctor`, as a person types them, against a running sandbox.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::process::{Up, succeed, text, tintype};

/// Longer than anything here takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

fn snapshot_kind(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: "snapshot.storage.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "snapshot.storage.k8s.io/v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn snapshots() -> ApiResource {
    snapshot_kind("VolumeSnapshot", "volumesnapshots")
}

async fn create(api: &Api<DynamicObject>, kind: &ApiResource, name: &str, spec: Value) {
    let object = DynamicObject::new(name, kind).data(json!({ "spec": spec }));
    api.create(&PostParams::default(), &object).await.unwrap();
}

async fn until<K>(api: Api<K>, name: &str, condition: impl Condition<K>)
where
    K: Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let waiting = Box::pin(await_condition(api, name, condition));
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited
        .unwrap_or_else(|_| panic!("{name} takes too long"))
        .unwrap();
}

/// A claim `data` and a ready snapshot `monday` of it, and a namespace `dev`.
async fn prepare(client: &Client) {
    let claims = ApiResource::erase::<PersistentVolumeClaim>(&());
    let api = Api::default_namespaced_with(client.clone(), &claims);
    let spec = json!({"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}}});
    create(&api, &claims, "data", spec).await;
    let snapshots = snapshots();
    let api = Api::default_namespaced_with(client.clone(), &snapshots);
    let spec = json!({"source": {"persistentVolumeClaimName": "data"}});
    create(&api, &snapshots, "monday", spec).await;
    let ready =
        |it: Option<&DynamicObject>| it.is_some_and(|it| it.data["status"]["readyToUse"] == true);
    until(api, "monday", ready).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let dev = serde_json::from_value(json!({"metadata": {"name": "dev"}})).unwrap();
    namespaces
        .create(&PostParams::default(), &dev)
        .await
        .unwrap();
}

fn command(up: &Up, line: &[&str]) -> Command {
    let mut command = tintype();
    command
        .args(line)
        .env("KUBECONFIG", kubeconfig(&up.data_dir));
    command
}

fn kubeconfig(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("kubeconfig")
}

/// Runs in a thread of its own: the sandbox's pipe is read by nobody meanwhile.
fn refused(up: &Up, line: &[&str], words: &str) {
    let output = command(up, line).output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{said}");
}

async fn count(client: &Client, kind: ApiResource) -> usize {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    api.list(&ListParams::default()).await.unwrap().items.len()
}

#[tokio::test]
async fn a_snapshot_is_restored_into_another_namespace_and_nothing_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let client = up.client().await;
    prepare(&client).await;

    let restore = ["restore", "default/monday", "--to", "dev/copy"];
    let dry = succeed(command(&up, &restore).arg("--dry-run"));
    let printed = text(&dry.stdout);
    assert_eq!(printed.matches("\n---\n").count(), 2, "{printed}");
    assert!(printed.contains("deletionPolicy: Retain"), "{printed}");
    assert_eq!(count(&client, snapshots()).await, 1);

    let done = succeed(command(&up, &restore).arg("--clean-up"));
    assert_eq!(
        text(&done.stdout),
        "snapshot default/monday is imported as dev/import-copy (content import-dev-copy, Retain: the data on storage stays)\n\
         claim dev/copy is created, and filled from the snapshot\n\
         claim dev/copy is bound\n\
         the import is removed\n"
    );
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "dev");
    let claim = claims.get("copy").await.unwrap();
    assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));
    assert_eq!(count(&client, snapshots()).await, 1);
    let contents = snapshot_kind("VolumeSnapshotContent", "volumesnapshotcontents");
    assert_eq!(count(&client, contents).await, 1);

    // The data is still there: it can be restored again, without an import beside its snapshot.
    let again = succeed(&mut command(&up, &["restore", "monday", "--to", "again"]));
    assert_eq!(
        text(&again.stdout),
        "claim default/again is created, and filled from the snapshot\n\
         claim default/again is bound\n"
    );
    refused(&up, &restore, "claim dev/copy exists already");
    let nowhere = ["restore", "monday", "--to", "none/copy"];
    refused(&up, &nowhere, "namespace none does not exist");
    let nothing = ["restore", "tuesday", "--to", "copy"];
    refused(&up, &nothing, "snapshot default/tuesday does not exist");
    let other = ["restore", "monday", "--to", "x", "--class", "none"];
    refused(&up, &other, "--class none does not exist");
}

/// Rights of a person called jane, in the whole cluster.
async fn allow(client: &Client, name: &str, verbs: &[&str]) {
    let rule = |group: &str| json!({"apiGroups": [group], "resources": ["*"], "verbs": verbs});
    let rules = ["", "storage.k8s.io", "snapshot.storage.k8s.io"].map(rule);
    let metadata = json!({"name": name});
    let role = json!({"metadata": metadata, "rules": rules});
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let role = serde_json::from_value(role).unwrap();
    roles.create(&PostParams::default(), &role).await.unwrap();
    let api = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": metadata,
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": api, "kind": "User", "name": "jane"}]});
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let binding = serde_json::from_value(binding).unwrap();
    let made = bindings.create(&PostParams::default(), &binding).await;
    made.unwrap();
}

/// The kubeconfig of somebody who acts as jane.
fn as_jane(up: &Up) -> std::path::PathBuf {
    let mut config = Kubeconfig::read_from(kubeconfig(&up.data_dir)).unwrap();
    for user in &mut config.auth_infos {
        let info = user.auth_info.as_mut().unwrap();
        info.impersonate = Some("jane".to_owned());
    }
    let path = up.data_dir.join("kubeconfig-of-jane");
    std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn whoever_lacks_a_right_is_told_which_and_nothing_is_left_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let client = up.client().await;
    prepare(&client).await;
    let jane = as_jane(&up);
    let restore = || {
        let mut command = command(&up, &["restore", "default/monday", "--to", "dev/copy"]);
        command.arg("--clean-up").env("KUBECONFIG", &jane);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let doctor = || {
        let mut command = command(&up, &["doctor", "-o", "json"]);
        succeed(command.env("KUBECONFIG", &jane))
    };
    let said = restore();
    let words = "you may not get volumesnapshots.snapshot.storage.k8s.io in namespace default; ask";
    assert!(said.contains(words), "{said}");
    let unread = |object: &str| {
        let rights = findings(&doctor()).into_iter();
        let mut rights = rights.filter(|it| it["check"] == "rights");
        rights.any(|it| it["object"] == object)
    };
    assert!(unread("persistentvolumeclaims"));

    allow(&client, "readers", &["get", "list"]).await;
    let said = restore();
    let contents = "create volumesnapshotcontents.snapshot.storage.k8s.io in the whole cluster";
    assert!(
        said.contains(&format!("you may not {contents}, nor ")),
        "{said}"
    );
    assert!(!unread("persistentvolumeclaims"));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), "dev");
    assert!(claims.get_opt("copy").await.unwrap().is_none());
    let kind = || snapshot_kind("VolumeSnapshotContent", "volumesnapshotcontents");
    assert_eq!(count(&client, kind()).await, 1);

    // All but the last step: nothing is begun either.
    allow(&client, "makers", &["create", "watch"]).await;
    let said = restore();
    let delete = "you may not delete volumesnapshotcontents.snapshot.storage.k8s.io";
    assert!(said.contains(delete), "{said}");
    assert_eq!(count(&client, kind()).await, 1);
}

fn findings(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let client = up.client().await;
    prepare(&client).await;
    let well = succeed(&mut command(&up, &["doctor", "-o", "json"]));
    let kept = |it: &Value| it["object"] == "dataSourceRef.namespace" && it["state"] == "ok";
    assert!(findings(&well).iter().any(kept), "{}", text(&well.stdout));

    let snapshots = snapshots();
    let api = Api::default_namespaced_with(client.clone(), &snapshots);
    let spec = json!({"source": {"persistentVolumeClaimName": "data"},
        "volumeSnapshotClassName": "none"});
    create(&api, &snapshots, "broken", spec).await;
    let output = command(&up, &["doctor"]).output().unwrap();
    assert!(!output.status.success());
    let table = text(&output.stdout);
    let line = table.lines().nth(1).unwrap_or_default();
    for word in ["wrong", "waiting", "VolumeSnapshot default/broken"] {
        assert!(line.contains(word), "{table}");
    }
    let elsewhere = ["doctor", "-n", "dev", "-o", "json"];
    succeed(&mut command(&up, &elsewhere));
    // Nobody installed grants here: none is there.
    let claims = ApiResource::erase::<PersistentVolumeClaim>(&());
    let api = Api::namespaced_with(client.clone(), "dev", &claims);
    let spec = json!({"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}},
        "dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
            "namespace": "default", "name": "monday"}});
    create(&api, &claims, "cross", spec).await;
    let output = command(&up, &elsewhere).output().unwrap();
    let says = |it: &Value| {
        it["says"]
            .as_str()
            .is_some_and(|it| it.contains("ReferenceGrant"))
    };
    assert!(
        findings(&output).iter().any(says),
        "{}",
        text(&output.stdout)
    );
    let mut nobody = tintype();
    let missing = folder.path().join("none");
    nobody.arg("doctor").arg("--kubeconfig").arg(&missing);
    let said = text(&nobody.output().unwrap().stderr);
    assert!(said.contains("cannot use --kubeconfig"), "{said}");
}
