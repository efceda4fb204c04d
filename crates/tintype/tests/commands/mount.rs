//! `tintype mount` and `unmount`, as a person types them.

use std::fs;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::process::{Up, succeed, text, tintype};

async fn with_claim(up: &mut Up) {
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(up.client().await);
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}}
    }});
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    up.until("claim default/data is bound");
}

#[tokio::test]
async fn a_volume_is_looked_into_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(&folder.path().join("data"));
    with_claim(&mut up).await;
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::create_dir(&one).unwrap();
    for dir in [&one, &two] {
        let mut mount = tintype();
        mount
            .args(["mount", "data"])
            .arg(dir)
            .arg("--data-dir")
            .arg(&up.data_dir);
        succeed(&mut mount);
    }
    fs::write(one.join("letter"), "here").unwrap();
    assert_eq!(fs::read_to_string(two.join("letter")).unwrap(), "here");
    for dir in [&one, &two] {
        succeed(
            tintype()
                .arg("unmount")
                .arg(dir)
                .arg("--data-dir")
                .arg(&up.data_dir),
        );
    }
    // What stood there before stands there again, and what did not does not.
    assert_eq!(fs::read_dir(&one).unwrap().count(), 0);
    assert!(!two.exists());
    assert!(up.signal("TERM").success());
}

#[tokio::test]
async fn what_cannot_be_mounted_is_said_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let mut up = Up::start(&folder.path().join("data"));
    with_claim(&mut up).await;
    let full = folder.path().join("full");
    fs::create_dir_all(full.join("thesis")).unwrap();
    let free = folder.path().join("free");
    let refused = |arguments: &[&str], dir: &std::path::Path| {
        let mut command = tintype();
        command
            .args(arguments)
            .arg(dir)
            .arg("--data-dir")
            .arg(&up.data_dir);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    };
    let error = refused(&["mount", "other"], &free);
    assert!(
        error.contains("claim default/other does not exist; `kubectl get pvc -A`"),
        "{error}"
    );
    let error = refused(&["mount", "data", "-n", "elsewhere"], &free);
    assert!(
        error.contains("claim elsewhere/data does not exist"),
        "{error}"
    );
    let error = refused(&["mount", "data"], &full);
    assert!(
        error.contains("is not empty; give an empty directory"),
        "{error}"
    );
    let error = refused(&["unmount"], &free);
    assert!(error.contains("nothing is mounted anywhere"), "{error}");
    assert!(full.join("thesis").exists() && !free.exists());
}
