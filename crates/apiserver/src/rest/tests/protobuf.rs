//! Objects as client-go sends them: numbers of fields from the published interface, encoded here by hand.

use serde_json::json;

use super::*;

const PROTOBUF: [(&str, &str); 2] = [
    ("content-type", "application/vnd.kubernetes.protobuf"),
    (
        "accept",
        "application/vnd.kubernetes.protobuf,application/json",
    ),
];

/// A field's value.
enum Of {
    Text(&'static str),
    Number(u64),
    Bytes(Vec<u8>),
    Fields(Vec<(u64, Of)>),
}
use Of::{Bytes as Raw, Fields, Number, Text};

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

fn encode(fields: Vec<(u64, Of)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in fields {
        let bytes = match value {
            Number(value) => {
                varint(number << 3, &mut out);
                varint(value, &mut out);
                continue;
            }
            Text(text) => text.as_bytes().to_vec(),
            Raw(bytes) => bytes,
            Fields(fields) => encode(fields),
        };
        varint(number << 3 | 2, &mut out);
        varint(bytes.len() as u64, &mut out);
        out.extend(bytes);
    }
    out
}

/// The whole body: the magic, the type, the object.
fn body_of(api_version: &'static str, kind: &'static str, object: Vec<(u64, Of)>) -> Vec<u8> {
    let meta = Fields(vec![(1, Text(api_version)), (2, Text(kind))]);
    let unknown = vec![(1, meta), (2, Fields(object)), (3, Text("")), (4, Text(""))];
    [b"k8s\0".to_vec(), encode(unknown)].concat()
}

/// Metadata as Go writes it: with its zero values.
fn named(name: &'static str) -> Of {
    let empty = |number| (number, Text(""));
    Fields(vec![
        (1, Text(name)),
        empty(2),
        empty(3),
        empty(4),
        empty(5),
        empty(6),
        (7, Number(0)),
        (8, Fields(vec![])),
    ])
}

fn entry(key: &'static str, value: Of) -> Of {
    Fields(vec![(1, Text(key)), (2, value)])
}

fn quantity(text: &'static str) -> Of {
    Fields(vec![(1, Text(text))])
}

/// 2027-01-15T08:00:00 and 5 µs.
fn moment() -> Of {
    Fields(vec![(1, Number(1_800_000_000)), (2, Number(5000))])
}

impl World {
    async fn create_protobuf(&self, path: &str, body: Vec<u8>) -> Value {
        self.ask("POST", path, &PROTOBUF, body).await.expect(201)
    }
}

const DEFAULT: &str = "/api/v1/namespaces/default";

#[tokio::test]
async fn what_people_write_is_taken_in_protobuf() {
    let world = World::new();
    let map = vec![(1, named("m")), (2, entry("k", Text("v")))];
    let map = body_of("v1", "ConfigMap", map);
    let made = world
        .create_protobuf(&format!("{DEFAULT}/configmaps"), map)
        .await;
    assert_eq!(
        (&made["metadata"]["name"], &made["data"]),
        (&json!("m"), &json!({"k": "v"}))
    );
    let secret = vec![
        (1, named("s")),
        (2, entry("k", Raw(vec![0, 255]))),
        (3, Text("Opaque")),
    ];
    let secret = body_of("v1", "Secret", secret);
    let made = world
        .create_protobuf(&format!("{DEFAULT}/secrets"), secret)
        .await;
    assert_eq!(
        (&made["data"], &made["type"]),
        (&json!({"k": "AP8="}), &json!("Opaque"))
    );
    let container = Fields(vec![(1, Text("c")), (2, Text("i"))]);
    let spec = Fields(vec![(2, container), (3, Text("Never")), (10, Text("n"))]);
    let pod = body_of(
        "v1",
        "Pod",
        vec![(1, named("p")), (2, spec), (3, Fields(vec![]))],
    );
    let made = world.create_protobuf(&format!("{DEFAULT}/pods"), pod).await;
    let spec = &made["spec"];
    assert_eq!(
        (&spec["containers"][0]["image"], &spec["nodeName"]),
        (&json!("i"), &json!("n"))
    );
    assert_eq!(spec["restartPolicy"], "Never");
    let spec = Fields(vec![(3, Text("x://1")), (4, Number(1))]);
    let node = body_of(
        "v1",
        "Node",
        vec![(1, named("n")), (2, spec), (3, Fields(vec![]))],
    );
    let made = world.create_protobuf("/api/v1/nodes", node).await;
    assert_eq!(
        made["spec"],
        json!({"providerID": "x://1", "unschedulable": true})
    );
}

#[tokio::test]
async fn volumes_and_claims_are_taken_in_protobuf() {
    let world = World::new();
    let resources = Fields(vec![(2, entry("storage", quantity("1Gi")))]);
    let spec = Fields(vec![
        (1, Text("ReadWriteOnce")),
        (2, resources),
        (3, Text("")),
        (5, Text("fast")),
    ]);
    let claim = vec![(1, named("c")), (2, spec), (3, Fields(vec![]))];
    let claim = body_of("v1", "PersistentVolumeClaim", claim);
    let path = format!("{DEFAULT}/persistentvolumeclaims");
    let made = world.create_protobuf(&path, claim).await;
    assert_eq!(made["spec"]["accessModes"], json!(["ReadWriteOnce"]));
    assert_eq!(
        made["spec"]["resources"],
        json!({"requests": {"storage": "1Gi"}})
    );
    assert_eq!(made["spec"]["storageClassName"], "fast");
    let csi = Fields(vec![(1, Text("d.e.com")), (2, Text("h")), (3, Number(1))]);
    let spec = Fields(vec![
        (1, entry("storage", quantity("2Gi"))),
        (2, Fields(vec![(22, csi)])),
        (3, Text("ReadWriteOnce")),
        (5, Text("Delete")),
    ]);
    let volume = vec![(1, named("v")), (2, spec), (3, Fields(vec![]))];
    let volume = body_of("v1", "PersistentVolume", volume);
    let made = world
        .create_protobuf("/api/v1/persistentvolumes", volume)
        .await;
    let spec = &made["spec"];
    assert_eq!(spec["capacity"], json!({"storage": "2Gi"}));
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Delete");
    assert_eq!(
        (&spec["csi"]["driver"], &spec["csi"]["volumeHandle"]),
        (&json!("d.e.com"), &json!("h"))
    );
}

#[tokio::test]
async fn what_controllers_write_is_taken_in_protobuf() {
    let world = World::new();
    let about = Fields(vec![(1, Text("Pod")), (2, Text("default")), (3, Text("p"))]);
    let event = vec![
        (1, named("e")),
        (2, about),
        (3, Text("Because")),
        (4, Text("it is so")),
        (5, Fields(vec![(1, Text("me"))])),
        (6, moment()),
        (7, moment()),
        (8, Number(3)),
        (9, Text("Normal")),
        (10, Fields(vec![])),
    ];
    let event = body_of("v1", "Event", event);
    let made = world
        .create_protobuf(&format!("{DEFAULT}/events"), event)
        .await;
    assert_eq!(made["involvedObject"]["name"], "p");
    assert_eq!(
        (&made["reason"], &made["count"]),
        (&json!("Because"), &json!(3))
    );
    assert_eq!(made["firstTimestamp"], "2027-01-15T08:00:00Z");
    assert!(made["eventTime"].is_null());
    let spec = Fields(vec![
        (1, Text("me")),
        (2, Number(15)),
        (3, moment()),
        (4, moment()),
        (5, Number(0)),
    ]);
    let lease = body_of(
        "coordination.k8s.io/v1",
        "Lease",
        vec![(1, named("l")), (2, spec)],
    );
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let made = world.create_protobuf(path, lease).await;
    assert_eq!(
        made["spec"],
        json!({"holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0,
            "acquireTime": "2027-01-15T08:00:00.000005Z", "renewTime": "2027-01-15T08:00:00.000005Z"})
    );
    let account = json!({"metadata": {"name": "robot"}});
    world
        .post(&format!("{DEFAULT}/serviceaccounts"), account)
        .await
        .expect(201);
    let spec = Fields(vec![(1, Text("vault")), (4, Number(600))]);
    let request = body_of(
        "authentication.k8s.io/v1",
        "TokenRequest",
        vec![(1, Fields(vec![])), (2, spec), (3, Fields(vec![]))],
    );
    let path = format!("{DEFAULT}/serviceaccounts/robot/token");
    let made = world.create_protobuf(&path, request).await;
    assert_eq!(made["spec"]["audiences"], json!(["vault"]));
    let token: &'static str = made["status"]["token"].as_str().unwrap().to_owned().leak();
    let spec = Fields(vec![(1, Text(token)), (2, Text("vault"))]);
    let review = body_of(
        "authentication.k8s.io/v1",
        "TokenReview",
        vec![(1, Fields(vec![])), (2, spec), (3, Fields(vec![]))],
    );
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let made = world.create_protobuf(path, review).await;
    assert_eq!(
        made["status"]["user"]["username"],
        "system:serviceaccount:default:robot"
    );
}

#[tokio::test]
async fn options_of_a_deletion_are_taken_in_protobuf() {
    let world = World::new();
    world.post(MAPS, config_map("one")).await.expect(201);
    let options = |policy: &'static str, uid: &'static str| {
        let preconditions = Fields(vec![(1, Text(uid))]);
        let mut options = vec![(4, Text(policy))];
        if !uid.is_empty() {
            options.push((2, preconditions));
        }
        body_of("v1", "DeleteOptions", options)
    };
    let other = world
        .ask("DELETE", &at("one"), &PROTOBUF, options("Background", "u"))
        .await;
    other.expect(409);
    let wrong = world
        .ask("DELETE", &at("one"), &PROTOBUF, options("Sometimes", ""))
        .await;
    wrong.expect(422);
    let held = world
        .ask("DELETE", &at("one"), &PROTOBUF, options("Foreground", ""))
        .await;
    assert_eq!(
        held.expect(200)["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
}
