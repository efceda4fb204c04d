//! Compares what is there with the ledger, and waits until everything unfinished is finished.
//! Then the API and the driver must tell the same: no volume, content or snapshot too many.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use http::Request;
use kube::Client;
use serde_json::Value;
use tintype_api::API_VERSION;
use tintype_csi::{
    Address,
    v1::{ListSnapshotsRequest, ListVolumesRequest},
};

use crate::{
    ledger::{Found, Kind, Ledger},
    machine::Machine,
    workers::{CLAIMS, snapshots, version},
};

/// Longer than any retry after a start takes, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// What the API and the driver tell.
#[derive(Debug)]
struct World {
    claims: Value,
    snapshots: Value,
    volumes: Value,
    contents: Value,
    stored_volumes: BTreeSet<String>,
    stored_snapshots: BTreeSet<String>,
}

/// Nothing promised is missing, and what was begun comes to its end. Else what is wrong.
pub(crate) async fn check(machine: &Machine, ledger: &Mutex<Ledger>) -> Vec<String> {
    let client = machine.client().await;
    let wrong = compare(&client, ledger).await;
    if !wrong.is_empty() {
        return wrong;
    }
    let began = Instant::now();
    loop {
        let world = World::look(&client, machine.data_dir()).await;
        let unfinished = world.unfinished(&ledger.lock().unwrap());
        if unfinished.is_empty() {
            // What was still on its way out has gone: from here on nobody may see it again.
            return compare(&client, ledger).await;
        }
        if began.elapsed() > PATIENCE {
            return unfinished;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn compare(client: &Client, ledger: &Mutex<Ledger>) -> Vec<String> {
    let (claims, snapshots) = (list(client, CLAIMS).await, list(client, &snapshots()).await);
    let mut found: Vec<Found> = items(&claims)
        .map(|item| known(Kind::Claim, item))
        .collect();
    found.extend(items(&snapshots).map(|item| known(Kind::Snapshot, item)));
    ledger
        .lock()
        .unwrap()
        .compare(&found, version(&snapshots["metadata"]["resourceVersion"]))
}

fn known(kind: Kind, item: &Value) -> Found {
    let meta = &item["metadata"];
    Found {
        kind,
        name: name(item).to_owned(),
        uid: meta["uid"].as_str().unwrap().to_owned(),
        version: version(&meta["resourceVersion"]),
        deleting: !meta["deletionTimestamp"].is_null(),
    }
}

impl World {
    async fn look(client: &Client, data_dir: &Path) -> Self {
        let address = Address::at(data_dir.join("csi.sock")).unwrap();
        let driver = tintype_csi::Client::connect(&address, PATIENCE)
            .await
            .unwrap();
        let volumes = driver
            .list_volumes(ListVolumesRequest::default())
            .await
            .unwrap();
        let stored = driver
            .list_snapshots(ListSnapshotsRequest::default())
            .await
            .unwrap();
        Self {
            claims: list(client, CLAIMS).await,
            snapshots: list(client, &snapshots()).await,
            volumes: list(client, "/api/v1/persistentvolumes").await,
            contents: list(
                client,
                &format!("/apis/{API_VERSION}/volumesnapshotcontents"),
            )
            .await,
            stored_volumes: volumes
                .entries
                .into_iter()
                .map(|listed| listed.volume.id)
                .collect(),
            stored_snapshots: stored
                .entries
                .into_iter()
                .map(|snapshot| snapshot.id)
                .collect(),
        }
    }

    /// Everything that is not yet as it should be in the end.
    fn unfinished(&self, ledger: &Ledger) -> Vec<String> {
        let mut left = Vec::new();
        for (list, at, wanted) in [
            (&self.claims, "/status/phase", Value::from("Bound")),
            (&self.volumes, "/status/phase", Value::from("Bound")),
            (&self.snapshots, "/status/readyToUse", Value::from(true)),
            (&self.contents, "/status/readyToUse", Value::from(true)),
        ] {
            for item in items(list) {
                if !item["metadata"]["deletionTimestamp"].is_null() {
                    left.push(format!("{} is still going: {item}", name(item)));
                } else if item.pointer(at) != Some(&wanted) {
                    left.push(format!("{} is not {wanted}: {item}", name(item)));
                }
            }
        }
        let handles = |list, at: &str| -> BTreeSet<String> {
            let handle = |item: &Value| item.pointer(at).and_then(Value::as_str).map(str::to_owned);
            items(list).filter_map(handle).collect()
        };
        let volumes = handles(&self.volumes, "/spec/csi/volumeHandle");
        let contents = handles(&self.contents, "/status/snapshotHandle");
        for (what, in_api, stored, wanted) in [
            (
                "volumes",
                volumes,
                &self.stored_volumes,
                ledger.stay(Kind::Claim),
            ),
            (
                "snapshots",
                contents,
                &self.stored_snapshots,
                ledger.stay(Kind::Snapshot),
            ),
        ] {
            if in_api != *stored {
                left.push(format!(
                    "{what}: the API has {in_api:?}, the driver {stored:?}"
                ));
            } else if in_api.len() != wanted {
                left.push(format!(
                    "{what}: there should be {wanted}, there are {in_api:?}"
                ));
            }
        }
        left
    }
}

async fn list(client: &Client, path: &str) -> Value {
    client
        .request(Request::get(path).body(Vec::new()).unwrap())
        .await
        .unwrap()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().unwrap().iter()
}

fn name(item: &Value) -> &str {
    item["metadata"]["name"].as_str().unwrap()
}
