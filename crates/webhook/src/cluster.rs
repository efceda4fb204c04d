//! An embedded API server for tests, with definitions in it.

use std::net::{Ipv4Addr, SocketAddr};

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use tintype_apiserver::{Config, Server};

use crate::read;

pub(crate) struct Cluster {
    pub(crate) client: Client,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start(definitions: Vec<Value>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::open(Config {
            data_dir: folder.path().to_owned(),
            addr,
        })
        .unwrap();
        let client = Client::new(server.local("admin", &["system:masters"]), "default");
        let cluster = Self {
            client,
            _folder: folder,
        };
        for definition in definitions {
            create(&cluster.definitions(), definition).await;
        }
        cluster
    }

    pub(crate) fn definitions(&self) -> Api<DynamicObject> {
        read::definitions(&self.client)
    }

    pub(crate) async fn definition(&self, name: &str) -> Value {
        read::document(self.definitions().get(name).await.unwrap())
    }
}

pub(crate) async fn create(api: &Api<DynamicObject>, document: Value) -> Value {
    let object: DynamicObject = serde_json::from_value(document).unwrap();
    let created = api.create(&PostParams::default(), &object).await;
    read::document(created.unwrap())
}

pub(crate) async fn merge(api: &Api<DynamicObject>, name: &str, patch: &Value) -> Value {
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    read::document(api.patch(name, &params, &patch).await.unwrap())
}
