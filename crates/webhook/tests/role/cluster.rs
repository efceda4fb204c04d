//! An embedded API server with the definitions and manifests that are shipped.

use std::net::{Ipv4Addr, SocketAddr};

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tintype_api::{ConversionWebhook, CrdOptions};
use tintype_apiserver::{Config, Server};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::caller::PATIENCE;

const MANIFESTS: [&str; 2] = [
    include_str!("../../../../deploy/webhook/webhook.yaml"),
    include_str!("../../../../deploy/webhook/validation.yaml"),
];

pub(crate) struct Cluster {
    pub(crate) server: Server,
    /// With all rights.
    pub(crate) client: Client,
    _folder: tempfile::TempDir,
    _end: DropGuard,
}

impl Cluster {
    /// Definitions with the webhook's overlay, and every document of the manifests word for word.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: folder.path().to_owned(),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let server = Server::open(config).unwrap();
        let end = CancellationToken::new();
        server.spawn_controllers(end.clone());
        let client = Client::new(server.local("admin", &["system:masters"]), "default");
        let cluster = Self {
            server,
            client,
            _folder: folder,
            _end: end.drop_guard(),
        };
        let options = CrdOptions {
            serve_legacy: true,
            conversion: Some(ConversionWebhook::default()),
        };
        for definition in tintype_api::crds_with(&options).unwrap() {
            cluster.apply(&definition).await;
        }
        for text in MANIFESTS {
            for document in serde_yaml_ng::Deserializer::from_str(text) {
                cluster.apply(&Value::deserialize(document).unwrap()).await;
            }
        }
        cluster
    }

    /// The webhook's service account.
    pub(crate) fn webhook(&self) -> Client {
        Client::new(
            self.server
                .local_account("kube-system", "snapshot-conversion-webhook"),
            "kube-system",
        )
    }

    pub(crate) fn api(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    pub(crate) async fn apply(&self, document: &Value) -> Value {
        let made = self.try_apply(document).await;
        serde_json::to_value(made.unwrap_or_else(|error| panic!("{error}: {document}"))).unwrap()
    }

    pub(crate) async fn try_apply(&self, document: &Value) -> Result<DynamicObject, kube::Error> {
        let text = |field: &str| document[field].as_str().unwrap().to_owned();
        let namespace = document["metadata"]["namespace"].as_str();
        let api = self.api(&text("apiVersion"), &text("kind"), namespace);
        let object: DynamicObject = serde_json::from_value(document.clone()).unwrap();
        api.create(&PostParams::default(), &object).await
    }

    /// Says that the Service is served here; there is no kubelet to find it out.
    pub(crate) async fn serve_at(&self, address: SocketAddr) {
        let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": "snapshot-conversion-webhook-service", "namespace": "kube-system"},
            "subsets": [{"addresses": [{"ip": address.ip().to_string()}],
                "ports": [{"name": "webhook", "port": address.port()}]}]});
        self.apply(&endpoints).await;
    }

    /// Reads until what is wanted is there.
    pub(crate) async fn until(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let reading = async {
            loop {
                let object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
                if wanted(&object) {
                    return object;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, reading).await;
        found.unwrap_or_else(|_| panic!("{name} never got there"))
    }

    pub(crate) async fn patch_status(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        status: Value,
    ) -> Value {
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = api
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
        serde_json::to_value(patched.unwrap()).unwrap()
    }
}
