//! A driver that says where its bytes are: on a node, in a zone.

use std::collections::BTreeMap;

use tempfile::TempDir;
use tintype_csi::v1;
use tintype_driver::{BackendChoice, Config, Driver};
use tonic::Code;

use crate::rig::*;

const NODE: &str = "topology.csi.tintype.dev/node";
const ZONE: &str = "topology.csi.tintype.dev/zone";

type Place = BTreeMap<String, String>;

/// A place that has these labels.
fn place(segments: &[(&str, &str)]) -> Place {
    let owned = segments.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
    owned.collect()
}

fn here() -> Place {
    place(&[(NODE, "n1"), (ZONE, "z1")])
}

/// Places from which this driver's volumes cannot be reached.
fn elsewhere() -> [Place; 4] {
    [
        place(&[(NODE, "n2"), (ZONE, "z1")]),
        place(&[(NODE, "n1"), (ZONE, "z2")]),
        place(&[(ZONE, "z2")]),
        place(&[("example.org/rack", "r1")]),
    ]
}

async fn rig_at(topology: Place, backend: BackendChoice) -> Rig {
    let folder = TempDir::new().unwrap();
    let config = Config {
        topology,
        node_id: "n1".to_owned(),
        ..config(&folder.path().join("data"), backend)
    };
    Rig::of(folder, config).await
}

fn on_wire(segments: &Place) -> v1::Topology {
    v1::Topology {
        segments: segments.clone(),
    }
}

/// The same volume, to be reached from one of these places.
fn at(places: &[Place], request: v1::CreateVolumeRequest) -> v1::CreateVolumeRequest {
    let requirement = v1::TopologyRequirement {
        requisite: places.iter().map(on_wire).collect(),
        preferred: places.iter().map(on_wire).collect(),
    };
    v1::CreateVolumeRequest {
        accessibility_requirements: Some(requirement),
        ..request
    }
}

#[tokio::test]
async fn node_and_volumes_say_where_they_are() {
    let rig = rig_at(here(), BackendChoice::Directory).await;
    let able = rig.client.get_plugin_capabilities().await.unwrap();
    assert!(able.accessibility_constraints);
    let node = rig.client.node_get_info().await.unwrap();
    assert_eq!((node.id.as_str(), node.topology), ("n1", here()));
    // Wanted nowhere in particular, here, in the zone, or at one of several places.
    let wishes = [
        vec![],
        vec![here()],
        vec![place(&[(ZONE, "z1")])],
        vec![place(&[(NODE, "n2")]), place(&[(NODE, "n1")])],
    ];
    for (number, wish) in wishes.iter().enumerate() {
        let request = at(wish, volume(&format!("v{number}")));
        let made = rig.client.create_volume(request.clone()).await.unwrap();
        assert_eq!(made.accessible_topology, [here()]);
        // Asked again, after a lost answer, say.
        assert_eq!(rig.client.create_volume(request).await.unwrap(), made);
    }
    let rig = rig.again().await;
    let all = v1::ListVolumesRequest::default();
    let listed = rig.client.list_volumes(all).await.unwrap().entries;
    assert_eq!(listed.len(), wishes.len());
    for entry in listed {
        assert_eq!(entry.volume.accessible_topology, [here()]);
    }
}

#[tokio::test]
async fn what_is_wanted_elsewhere_is_refused_whatever_it_is_filled_from() {
    let rig = rig_at(here(), BackendChoice::Directory).await;
    let source = rig.volume("source").await;
    let cut = rig.snapshot("cut", &source).await;
    let wishes = [
        volume("v"),
        from_snapshot(volume("v"), &cut.id),
        from_volume(volume("v"), &source.id),
    ];
    for wish in wishes {
        for place in elsewhere() {
            let asked = rig.client.create_volume(at(&[place], wish.clone())).await;
            // CSI, CreateVolume: unable to provision in `accessible_topology`.
            refused(asked, Code::ResourceExhausted, NODE);
        }
        let asked = rig.client.create_volume(at(&elsewhere(), wish)).await;
        refused(asked, Code::ResourceExhausted, "z1");
    }
    assert_eq!(rig.names("volumes"), ["source"]);
    assert!(rig.names("aside").is_empty());
    let request = at(&[here()], from_snapshot(volume("v"), &cut.id));
    let made = rig.client.create_volume(request).await.unwrap();
    assert_eq!(made.accessible_topology, [here()]);
}

#[tokio::test]
async fn there_is_room_here_and_none_elsewhere() {
    let rig = rig_at(here(), BackendChoice::Directory).await;
    let asked = |place: Option<&Place>| v1::GetCapacityRequest {
        accessible_topology: place.map(on_wire),
        ..Default::default()
    };
    for place in [None, Some(&here()), Some(&place(&[(ZONE, "z1")]))] {
        let found = rig.client.get_capacity(asked(place)).await.unwrap();
        assert!(found.available > 0, "{place:?}");
    }
    for place in elsewhere() {
        let found = rig.client.get_capacity(asked(Some(&place))).await.unwrap();
        assert_eq!(found.available, 0, "{place:?}");
    }
}

#[tokio::test]
async fn without_a_place_everything_is_everywhere() {
    let rig = rig_at(Place::new(), BackendChoice::Null).await;
    let able = rig.client.get_plugin_capabilities().await.unwrap();
    assert!(!able.accessibility_constraints);
    let node = rig.client.node_get_info().await.unwrap();
    assert!(node.topology.is_empty());
    let request = at(&elsewhere(), volume("v"));
    let made = rig.client.create_volume(request).await.unwrap();
    assert!(made.accessible_topology.is_empty());
    let asked = v1::GetCapacityRequest {
        accessible_topology: Some(on_wire(&elsewhere()[0])),
        ..Default::default()
    };
    let found = rig.client.get_capacity(asked).await.unwrap();
    assert!(found.available > 0);
}

#[test]
fn a_place_that_cannot_be_a_label_is_refused_at_the_start() {
    let folder = TempDir::new().unwrap();
    for value in ["", "a b", "-a", "a.", "a/b", &"a".repeat(64)] {
        let config = Config {
            topology: place(&[(NODE, "n1"), (ZONE, value)]),
            ..config(&folder.path().join("data"), BackendChoice::Directory)
        };
        let error = Driver::open(config).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{ZONE} cannot be {value:?}: ")),
            "{error}"
        );
        assert!(error.contains("--zone"), "{error}");
    }
    assert!(!folder.path().join("data").exists());
}
