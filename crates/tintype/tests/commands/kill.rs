//! What is left after `kill -9` in the middle of work: everything that was acknowledged.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{conditions::is_deleted, wait::await_condition},
};
use serde_json::json;
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};
use tintype_csi::{Address, Client, v1::ListSnapshotsRequest};

use crate::process::Up;

const PATIENCE: Duration = Duration::from_secs(90);
const SNAPSHOTS: usize = 40;
/// Some are ready by then, some under way, some only written down.
const KILLED_AFTER: usize = 8;

#[tokio::test]
async fn unfinished_snapshots_finish_and_nothing_is_lost_or_leaked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut up = Up::start(&data);
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(up.client().await);
    let claim = json!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "16Mi"}}
    }});
    let claim = serde_json::from_value(claim).unwrap();
    claims.create(&PostParams::default(), &claim).await.unwrap();
    up.until("claim default/data is bound");

    let snapshots: Api<VolumeSnapshot> = Api::default_namespaced(up.client().await);
    let written: BTreeSet<String> = stream::iter(0..SNAPSHOTS)
        .map(|at| write(snapshots.clone(), format!("snap-{at:02}")))
        .buffer_unordered(8)
        .collect()
        .await;
    assert_eq!(written.len(), SNAPSHOTS);
    for _ in 0..KILLED_AFTER {
        up.until("snapshot default/snap-");
    }
    up.signal("KILL");

    let up = Up::start(&data);
    let snapshots: Api<VolumeSnapshot> = Api::default_namespaced(up.client().await);
    let found = snapshots.list(&ListParams::default()).await.unwrap();
    let found: BTreeSet<_> = found
        .into_iter()
        .filter_map(|it| it.metadata.name)
        .collect();
    assert_eq!(found, written);
    for name in &written {
        let ready = |it: Option<&VolumeSnapshot>| it.is_some_and(VolumeSnapshot::ready);
        let waiting = await_condition(snapshots.clone(), name, ready);
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect(name)
            .unwrap();
    }
    assert_eq!(stored(&up).await, SNAPSHOTS);

    let contents: Api<VolumeSnapshotContent> = Api::all(up.client().await);
    let contents_before = contents.list(&ListParams::default()).await.unwrap();
    assert_eq!(contents_before.items.len(), SNAPSHOTS);
    for name in &written {
        snapshots
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }
    for content in contents_before {
        let (name, uid) = (
            content.metadata.name.unwrap(),
            content.metadata.uid.unwrap(),
        );
        let waiting = await_condition(contents.clone(), &name, is_deleted(&uid));
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect(&name)
            .unwrap();
    }
    assert_eq!(stored(&up).await, 0);
}

async fn write(snapshots: Api<VolumeSnapshot>, name: String) -> String {
    let mut snapshot = VolumeSnapshot::default();
    snapshot.metadata.name = Some(name.clone());
    snapshot.spec.source.persistent_volume_claim_name = Some("data".into());
    snapshots
        .create(&PostParams::default(), &snapshot)
        .await
        .unwrap();
    name
}

/// Snapshots on storage, as the driver tells.
async fn stored(up: &Up) -> usize {
    let address = Address::at(up.data_dir.join("csi.sock")).unwrap();
    let client = Client::connect(&address, Duration::ZERO).await.unwrap();
    client
        .list_snapshots(ListSnapshotsRequest::default())
        .await
        .unwrap()
        .entries
        .len()
}
