//! Checks a whole server: its doors, its callers, its controllers.

mod auditing;
mod binding;
mod collecting;
mod doors;
mod protecting;
mod rights;
mod tokens;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::local::{Call, CallError, LocalClient, Shape, WatchEvent};

/// Far above what anything takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server in a folder of its own, with controllers, and an administrator's client.
struct Sandbox {
    server: Server,
    client: LocalClient,
    _stop: DropGuard,
    dir: tempfile::TempDir,
}

fn open(dir: &tempfile::TempDir) -> Result<Server, OpenError> {
    open_with(dir, PATIENCE)
}

fn open_with(dir: &tempfile::TempDir, shutdown: Duration) -> Result<Server, OpenError> {
    let config = Config {
        data_dir: dir.path().join("data"),
        addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    Server::open_with(config, shutdown)
}

fn sandbox() -> Sandbox {
    sandbox_with(PATIENCE)
}

/// One whose requests under way have so long to end once it is to.
fn sandbox_with(shutdown: Duration) -> Sandbox {
    let dir = tempfile::tempdir().expect("temporary folder");
    let server = open_with(&dir, shutdown).expect("opens");
    let stop = CancellationToken::new();
    server.spawn_controllers(stop.clone());
    let client = LocalClient::new(server.local("admin", &["system:masters"]));
    Sandbox {
        server,
        client,
        _stop: stop.drop_guard(),
        dir,
    }
}

impl Sandbox {
    async fn create(&self, path: &str, object: Value) -> Value {
        self.client
            .call(Call::create(path, object))
            .await
            .expect("created")
    }

    async fn namespace(&self, name: &str) {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.create("/api/v1/namespaces", namespace).await;
    }

    async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.client.call(Call::get(path)).await
    }

    async fn delete(&self, path: &str, options: Value) {
        self.client
            .call(Call::delete(path, options))
            .await
            .expect("deleted");
    }

    /// Waits until the object is as wanted; `None` is an object that is not there.
    async fn until(&self, path: &str, wanted: impl Fn(Option<&Value>) -> bool) {
        let (collection, name) = path.rsplit_once('/').expect("a path with a name");
        let selected = format!("{collection}?fieldSelector=metadata.name%3D{name}");
        let waiting = async {
            let list = self.get(&selected).await.expect("listed");
            if wanted(list["items"].get(0)) {
                return;
            }
            let version = list["metadata"]["resourceVersion"]
                .as_str()
                .expect("version");
            let path = format!("{selected}&watch=1&resourceVersion={version}");
            let mut events = self
                .client
                .watch(&path, Shape::Whole)
                .await
                .expect("watched");
            while let Some(event) = events.next().await {
                let done = match event.expect("an event") {
                    WatchEvent::Put(object) => wanted(Some(&object)),
                    WatchEvent::Gone(_) => wanted(None),
                    WatchEvent::Bookmark(_) => false,
                };
                if done {
                    return;
                }
            }
            panic!("the watch of {path} ended");
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "{path} is {:#?}", self.get(path).await);
    }

    async fn until_gone(&self, path: &str) {
        self.until(path, |object| object.is_none()).await;
    }
}
