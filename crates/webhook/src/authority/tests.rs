//! Plays months of an authority's life in the embedded API server, with two replicas.

use std::net::{Ipv4Addr, SocketAddr};

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{ServerName, UnixTime};
use serde_json::Value;
use tintype_api::{ConversionWebhook, CrdOptions};
use tintype_apiserver::{Config, Server};

use super::*;

const START: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;

struct Cluster {
    client: Client,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
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
        let options = CrdOptions {
            conversion: Some(ConversionWebhook::default()),
            ..CrdOptions::default()
        };
        for definition in tintype_api::crds_with(&options).unwrap() {
            let object: DynamicObject = serde_json::from_value(definition).unwrap();
            cluster
                .definitions()
                .create(&PostParams::default(), &object)
                .await
                .unwrap();
        }
        cluster
    }

    fn definitions(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        Api::all_with(self.client.clone(), &ApiResource::from_gvk(&kind))
    }

    fn replica(&self) -> Keeper {
        let names = Names {
            namespace: "kube-system".into(),
            secret: "certificates".into(),
            service: "snapshot-conversion-webhook-service".into(),
        };
        let metrics = tintype_runtime::Metrics::new().unwrap().reviews().unwrap();
        Keeper::new(
            &self.client,
            names,
            Lives::default(),
            Shown::default(),
            metrics,
        )
    }

    async fn bundle(&self) -> Vec<CertificateDer<'static>> {
        let all = self.definitions();
        let name = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
        let definition = all.get(name).await.unwrap();
        let client = &definition.data["spec"]["conversion"]["webhook"]["clientConfig"];
        let Some(text) = client["caBundle"].as_str() else {
            return Vec::new();
        };
        let text = STANDARD.decode(text).unwrap();
        CertificateDer::pem_slice_iter(&text)
            .map(Result::unwrap)
            .collect()
    }

    async fn lose_bundle(&self) {
        let patch: Value =
            json!({"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": null}}}}});
        let name = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";
        let all = self.definitions();
        all.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

/// Whether an API server that was told of `bundle` takes the replica for the webhook at `now`.
fn trusts(bundle: &[CertificateDer<'static>], replica: &Keeper, now: i64) -> bool {
    use rustls::client::danger::ServerCertVerifier as _;
    let mut roots = rustls::RootCertStore::empty();
    for authority in bundle {
        roots.add(authority.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from("snapshot-conversion-webhook-service.kube-system.svc").unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap()));
    let shown = replica.shown.current().unwrap();
    verifier
        .build()
        .unwrap()
        .verify_server_cert(&shown.cert[0], &[], &name, &[], now)
        .is_ok()
}

#[tokio::test]
async fn two_replicas_are_trusted_for_years_at_every_moment() {
    let cluster = Cluster::start().await;
    let (mut one, mut other) = (cluster.replica(), cluster.replica());
    let (first, second) = tokio::join!(one.pass(START), other.pass(START));
    first.unwrap();
    second.unwrap();
    assert_eq!(cluster.bundle().await.len(), 1, "whoever wrote first won");
    let mut seen = Vec::new();
    for day in 0..800 {
        let now = START + day * DAY;
        // What a server knows that has not heard of today's news.
        let before = cluster.bundle().await;
        if day % 3 != 0 {
            one.pass(now).await.unwrap();
        }
        other.pass(now).await.unwrap();
        for bundle in [&before, &cluster.bundle().await] {
            assert!(trusts(bundle, &other, now), "day {day}");
            assert!(trusts(bundle, &one, now), "day {day}");
            seen.extend(
                bundle
                    .iter()
                    .filter(|it| !seen.contains(*it))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
    }
    assert_eq!(seen.len(), 4, "a new authority each 240 days");
}

/// A definition that is applied anew comes without bundle.
#[tokio::test]
async fn a_bundle_that_was_lost_is_written_again() {
    let cluster = Cluster::start().await;
    let mut replica = cluster.replica();
    replica.pass(START).await.unwrap();
    let told = cluster.bundle().await;
    cluster.lose_bundle().await;
    assert_eq!(cluster.bundle().await, []);
    replica.pass(START + 10).await.unwrap();
    assert_eq!(cluster.bundle().await, told);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_replaced() {
    let cluster = Cluster::start().await;
    let mut replica = cluster.replica();
    replica.pass(START).await.unwrap();
    let told = cluster.bundle().await;
    let garbage = Patch::Merge(json!({"data": {"ca.key": "Z2FyYmFnZQ=="}}));
    replica
        .secrets
        .patch("certificates", &PatchParams::default(), &garbage)
        .await
        .unwrap();
    replica.pass(START + 10).await.unwrap();
    replica.pass(START + 20).await.unwrap();
    let now = cluster.bundle().await;
    assert_ne!(now, told);
    assert!(trusts(&now, &replica, START + 20));
}
