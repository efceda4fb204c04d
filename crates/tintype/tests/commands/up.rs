//! Starts, refusals and ends of `tintype up`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, api::PostParams};

use crate::process::{Up, succeed, text, tintype};

#[tokio::test]
async fn both_signals_end_it_well() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut up = Up::start(&folder.path().join("data"));
        let status = up.signal(signal);
        assert!(status.success(), "{signal}: {status}");
    }
}

#[tokio::test]
async fn the_kubeconfig_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder.path().join("data"));
    let metadata = fs::metadata(up.data_dir.join("kubeconfig")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let classes: Api<StorageClass> = Api::all(up.client().await);
    classes.get("tintype").await.unwrap();
}

#[tokio::test]
async fn a_change_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(&folder.path().join("data"));
    let claim = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "16Mi"}}
        }
    }));
    let claims: Api<k8s_openapi::api::core::v1::PersistentVolumeClaim> =
        Api::default_namespaced(up.client().await);
    claims
        .create(&PostParams::default(), &claim.unwrap())
        .await
        .unwrap();
    let line = up.until("claim default/data is bound");
    assert!(
        line.starts_with("claim default/data is bound (16 MiB"),
        "{line}"
    );
}

#[test]
fn a_second_one_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let _up = Up::start(&data);
    let output = tintype()
        .args(["up", "--port", "0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.starts_with("tintype: a sandbox is running in"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_newer_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let about = folder.path().join("tintype.json");
    let newer = r#"{"layout": 99, "driver": "csi.tintype.dev"}"#;
    fs::write(&about, newer).unwrap();
    let output = tintype()
        .args(["up", "--port", "0", "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("made by a newer tintype"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(about).unwrap(), newer);
}

#[test]
fn a_damaged_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(Up::start(&data));
    let store = fs::read_dir(data.join("api"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let store = store
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    fs::write(&store, "scribble").unwrap();
    let output = tintype()
        .args(["up", "--port", "0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).starts_with("tintype: "), "{output:?}");
    assert_eq!(fs::read_to_string(store).unwrap(), "scribble");
}

#[test]
fn nothing_is_left_of_an_ephemeral_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tintype();
    command
        .args(["up", "--port", "0", "--ephemeral"])
        .args(["--driver-backend", "directory"])
        .env("TMPDIR", folder.path());
    let mut up = Up::of(command, folder.path());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(up.signal("TERM").success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn somebody_elses_kubeconfig_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let theirs = "apiVersion: v1\nkind: Config\nclusters: [{name: production, cluster: {}}]\n";
    fs::write(&file, theirs).unwrap();
    let mut command = tintype();
    command
        .args(["up", "--port", "0", "--kubeconfig"])
        .arg(&file);
    let output = command
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("names other clusters (production)"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), theirs);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn definitions_and_version_are_printed() {
    let output = succeed(tintype().arg("crds"));
    assert_eq!(
        text(&output.stdout)
            .matches("kind: CustomResourceDefinition")
            .count(),
        6
    );
    let output = succeed(tintype().arg("version"));
    assert_eq!(
        text(&output.stdout),
        concat!("tintype ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
