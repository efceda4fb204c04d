//! Plays months of an authority's life in the embedded API server, with two replicas.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{ServerName, UnixTime};
use tintype_api::{ConversionWebhook, CrdOptions};

use super::*;
use crate::cluster::{Cluster, merge};

const START: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3600;

const DEFINITION: &str = "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io";

async fn cluster() -> Cluster {
    let options = CrdOptions {
        conversion: Some(ConversionWebhook::default()),
        ..CrdOptions::default()
    };
    Cluster::start(tintype_api::crds_with(&options).unwrap()).await
}

impl Cluster {
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
        let definition = self.definition(DEFINITION).await;
        let client = &definition["spec"]["conversion"]["webhook"]["clientConfig"];
        let Some(text) = client["caBundle"].as_str() else {
            return Vec::new();
        };
        let text = STANDARD.decode(text).unwrap();
        CertificateDer::pem_slice_iter(&text)
            .map(Result::unwrap)
            .collect()
    }

    async fn lose_bundle(&self) {
        let patch =
            json!({"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": null}}}}});
        merge(&self.definitions(), DEFINITION, &patch).await;
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
    let cluster = cluster().await;
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
    let cluster = cluster().await;
    let mut replica = cluster.replica();
    replica.pass(START).await.unwrap();
    let told = cluster.bundle().await;
    cluster.lose_bundle().await;
    assert_eq!(cluster.bundle().await, []);
    replica.pass(START + 10).await.unwrap();
    assert_eq!(cluster.bundle().await, told);
}

/// Nobody is turned away meanwhile, whichever replica is asked.
#[tokio::test]
async fn a_secret_that_was_damaged_or_deleted_is_replaced() {
    let cluster = cluster().await;
    let (mut one, mut other) = (cluster.replica(), cluster.replica());
    one.pass(START).await.unwrap();
    other.pass(START).await.unwrap();
    let mut now = START;
    for deleted in [false, true] {
        let told = cluster.bundle().await;
        if deleted {
            let params = kube::api::DeleteParams::default();
            one.secrets.delete("certificates", &params).await.unwrap();
        } else {
            let garbage = Patch::Merge(json!({"data": {"ca.key": "Z2FyYmFnZQ=="}}));
            let params = PatchParams::default();
            let patched = one.secrets.patch("certificates", &params, &garbage).await;
            patched.unwrap();
        }
        for _ in 0..3 {
            now += 10;
            one.pass(now).await.unwrap();
            let bundle = cluster.bundle().await;
            assert!(trusts(&bundle, &one, now) && trusts(&bundle, &other, now));
            other.pass(now).await.unwrap();
            let bundle = cluster.bundle().await;
            assert!(trusts(&bundle, &one, now) && trusts(&bundle, &other, now));
        }
        let bundle = cluster.bundle().await;
        assert_ne!(bundle[0], told[0]);
        let newest = &bundle[..1];
        assert!(trusts(newest, &one, now) && trusts(newest, &other, now));
    }
}
