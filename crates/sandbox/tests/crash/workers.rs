//! Asks for claims, snapshots, restored claims and deletions, many at once, until nobody answers.
//! Writes into the ledger what was answered; knows nothing of what comes of it.

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use http::{Method, Request, header::CONTENT_TYPE};
use kube::Client;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tintype_api::{API_VERSION, GROUP};

use crate::ledger::{Kind, Ledger, Wish};

const WORKERS: u64 = 4;
pub(crate) const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

pub(crate) fn snapshots() -> String {
    format!("/apis/{API_VERSION}/namespaces/default/volumesnapshots")
}

/// Asks for one object that stays; the server must answer.
pub(crate) async fn order(client: &Client, ledger: &Mutex<Ledger>, wish: Wish) {
    let (name, kind) = match &wish {
        Wish::Claim { name } | Wish::Restore { name, .. } => (name, Kind::Claim),
        Wish::Snapshot { name, .. } => (name, Kind::Snapshot),
        Wish::Delete { .. } => panic!("nothing stays of {wish:?}"),
    };
    ledger.lock().unwrap().expect(name, kind, true);
    let answer = ask(client, &wish, Disk::Works).await.unwrap();
    note(&mut ledger.lock().unwrap(), &wish, &answer);
}

/// Whether the server may say that it cannot write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Works,
    MayBreak,
}

/// Ends when the server does, or when its disk breaks.
pub(crate) async fn work(client: Client, ledger: Arc<Mutex<Ledger>>, seed: u64, disk: Disk) {
    let workers = (0..WORKERS).map(|number| {
        let mut random = StdRng::seed_from_u64(seed ^ (number << 60));
        let (client, ledger) = (client.clone(), Arc::clone(&ledger));
        async move {
            loop {
                let wish = ledger.lock().unwrap().wish(&mut random);
                let Some(answer) = ask(&client, &wish, disk).await else {
                    return;
                };
                note(&mut ledger.lock().unwrap(), &wish, &answer);
            }
        }
    });
    join_all(workers).await;
}

/// The object in the server's answer; nothing if it did not answer.
async fn ask(client: &Client, wish: &Wish, disk: Disk) -> Option<Value> {
    let (method, path, body) = request(wish);
    let request = Request::builder().method(method).uri(path);
    let request = request.header(CONTENT_TYPE, "application/json");
    let request = request
        .body(body.map_or_else(Vec::new, |body| body.to_string().into()))
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(answer) => Some(answer),
        Err(kube::Error::Api(status)) if disk == Disk::MayBreak && status.code == 500 => None,
        Err(kube::Error::Api(status)) => panic!("{wish:?} was refused: {status:?}"),
        Err(_) => None,
    }
}

fn request(wish: &Wish) -> (Method, String, Option<Value>) {
    match wish {
        Wish::Claim { name } => (Method::POST, CLAIMS.to_owned(), Some(claim(name))),
        Wish::Restore { name, from } => {
            let mut claim = claim(name);
            claim["spec"]["dataSource"] =
                json!({"apiGroup": GROUP, "kind": "VolumeSnapshot", "name": from});
            (Method::POST, CLAIMS.to_owned(), Some(claim))
        }
        Wish::Snapshot { name, of } => {
            let snapshot = json!({
                "apiVersion": API_VERSION,
                "kind": "VolumeSnapshot",
                "metadata": {"name": name},
                "spec": {"source": {"persistentVolumeClaimName": of}}
            });
            (Method::POST, snapshots(), Some(snapshot))
        }
        Wish::Delete {
            kind: Kind::Claim,
            name,
        } => (Method::DELETE, format!("{CLAIMS}/{name}"), None),
        Wish::Delete {
            kind: Kind::Snapshot,
            name,
        } => (Method::DELETE, format!("{}/{name}", snapshots()), None),
    }
}

fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}}
        }
    })
}

fn note(ledger: &mut Ledger, wish: &Wish, answer: &Value) {
    match wish {
        Wish::Delete { name, .. } => ledger.deleted(name),
        Wish::Claim { name } | Wish::Snapshot { name, .. } | Wish::Restore { name, .. } => {
            let meta = &answer["metadata"];
            let uid = meta["uid"].as_str().unwrap().to_owned();
            ledger.made(name, uid, version(&meta["resourceVersion"]));
        }
    }
}

pub(crate) fn version(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}
