//! Volumes: made, found again, refused, filled, grown, listed, deleted.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use tintype_csi::v1;
use tintype_csi::v1::controller_service_capability::rpc::Type as Can;
use tintype_csi::v1::volume_capability::{AccessType, MountVolume, access_mode::Mode};
use tintype_driver::BackendChoice;
use tonic::Code;

use crate::rig::*;

#[tokio::test]
async fn it_says_who_it_is_and_what_it_can_do() {
    let rig = Rig::new().await;
    let info = rig.client.get_plugin_info().await.unwrap();
    assert_eq!(info.name, "csi.example.org");
    assert_eq!(info.manifest["backend"], "directory");
    assert!(rig.client.probe().await.unwrap());
    let plugin = rig.client.get_plugin_capabilities().await.unwrap();
    assert!(plugin.controller && plugin.expands_online);
    assert!(plugin.group_controller && !plugin.accessibility_constraints);
    let can = rig.client.controller_get_capabilities().await.unwrap();
    for capability in [
        Can::CreateDeleteVolume,
        Can::CreateDeleteSnapshot,
        Can::CloneVolume,
        Can::ListVolumes,
        Can::ListSnapshots,
        Can::GetCapacity,
        Can::ExpandVolume,
    ] {
        assert!(can.has(capability), "{capability:?}");
    }
    assert!(!can.has(Can::PublishUnpublishVolume));
    let node = rig.client.node_get_info().await.unwrap();
    assert_eq!((node.id.as_str(), node.max_volumes), ("here", None));
}

#[tokio::test]
async fn the_same_name_is_the_same_volume_and_other_wishes_are_refused() {
    for backend in [BackendChoice::Directory, BackendChoice::Null] {
        let rig = Rig::with(backend).await;
        let made = rig.volume("v").await;
        assert_eq!((made.id.as_str(), made.capacity_bytes), ("v", 1 << 20));
        assert_eq!(rig.volume("v").await, made);
        let cut = rig.snapshot("s", &made).await;
        let parameters = BTreeMap::from([("a.example/key".to_owned(), "x".to_owned())]);
        let same = [
            v1::CreateVolumeRequest {
                capacity_range: None,
                ..volume("v")
            },
            v1::CreateVolumeRequest {
                capacity_range: range(1, MIB),
                ..volume("v")
            },
        ];
        for request in same {
            assert_eq!(rig.client.create_volume(request).await.unwrap(), made);
        }
        let others = [
            v1::CreateVolumeRequest {
                capacity_range: range(2 * MIB, 0),
                ..volume("v")
            },
            v1::CreateVolumeRequest {
                capacity_range: range(0, 1),
                ..volume("v")
            },
            v1::CreateVolumeRequest {
                volume_capabilities: vec![block()],
                ..volume("v")
            },
            v1::CreateVolumeRequest {
                parameters,
                ..volume("v")
            },
            from_snapshot(volume("v"), &cut.id),
            from_volume(volume("v"), &made.id),
        ];
        for request in others {
            refused(
                rig.client.create_volume(request).await,
                Code::AlreadyExists,
                "\"v\"",
            );
        }
    }
}

#[tokio::test]
async fn bad_requests_are_refused_by_field() {
    let rig = Rig::new().await;
    let base = || volume("v");
    let with = |capability| v1::CreateVolumeRequest {
        volume_capabilities: vec![capability],
        ..base()
    };
    let parameters = BTreeMap::from([("tpye".to_owned(), "x".to_owned())]);
    let xfs = AccessType::Mount(MountVolume {
        fs_type: "xfs".into(),
        ..Default::default()
    });
    let xfs = access(xfs, Mode::SingleNodeWriter);
    let cases = [
        (volume(""), "name: is missing"),
        (volume(&"n".repeat(129)), "name: has 129 bytes"),
        (volume("a\nb"), "name: \"a\\nb\" has control characters"),
        (
            v1::CreateVolumeRequest {
                capacity_range: range(-1, 0),
                ..base()
            },
            "required_bytes",
        ),
        (
            v1::CreateVolumeRequest {
                capacity_range: range(2, 1),
                ..base()
            },
            "capacity_range",
        ),
        (
            v1::CreateVolumeRequest {
                volume_capabilities: vec![],
                ..base()
            },
            "capabilities",
        ),
        (
            with(v1::VolumeCapability {
                access_type: None,
                ..mount()
            }),
            "volume_capabilities",
        ),
        (
            with(v1::VolumeCapability {
                access_mode: None,
                ..mount()
            }),
            "access_mode",
        ),
        (
            v1::CreateVolumeRequest {
                volume_capabilities: vec![mount(), block()],
                ..base()
            },
            "diff",
        ),
        (
            v1::CreateVolumeRequest {
                volume_capabilities: vec![mount(), xfs],
                ..base()
            },
            "diff",
        ),
        (
            v1::CreateVolumeRequest {
                parameters,
                ..base()
            },
            "parameters: \"tpye\"",
        ),
        (
            from_snapshot(base(), ""),
            "volume_content_source.snapshot.snapshot_id",
        ),
        (
            v1::CreateVolumeRequest {
                volume_content_source: Some(v1::VolumeContentSource::default()),
                ..base()
            },
            "volume_content_source",
        ),
    ];
    for (request, words) in cases {
        refused(
            rig.client.create_volume(request).await,
            Code::InvalidArgument,
            words,
        );
    }
    refused(
        rig.client.delete_volume(delete_volume("")).await,
        Code::InvalidArgument,
        "volume_id",
    );
    assert!(rig.names("volumes").is_empty() && rig.names("aside").is_empty());
}

#[tokio::test]
async fn names_that_are_no_file_names_get_ids_that_are() {
    let rig = Rig::new().await;
    for name in ["../../etc", "..", "a/b", "ümlaut", "with space"] {
        let made = rig.volume(name).await;
        assert_eq!(rig.volume(name).await.id, made.id);
        assert!(rig.data(&made).is_dir());
        rig.client
            .delete_volume(delete_volume(&made.id))
            .await
            .unwrap();
    }
    // An id that was never given out deletes nothing, wherever it may point.
    for id in ["../snapshots", "..", "/etc"] {
        rig.client.delete_volume(delete_volume(id)).await.unwrap();
        rig.client
            .delete_snapshot(delete_snapshot(id))
            .await
            .unwrap();
    }
    assert!(rig.store("snapshots").is_dir());
}

#[tokio::test]
async fn a_clone_and_a_restore_hold_what_the_source_held() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    fs::write(rig.data(&made).join("file"), "before").unwrap();
    let cut = rig.snapshot("s", &made).await;
    fs::write(rig.data(&made).join("file"), "after").unwrap();
    let clone = rig
        .client
        .create_volume(from_volume(volume("c"), "v"))
        .await
        .unwrap();
    let restored = rig.restore("r", &cut).await;
    assert_eq!(fs::read(rig.data(&clone).join("file")).unwrap(), b"after");
    assert_eq!(
        fs::read(rig.data(&restored).join("file")).unwrap(),
        b"before"
    );
    assert_eq!(
        restored.content_source,
        from_snapshot(volume(""), "s").volume_content_source
    );
    assert_eq!(
        clone.content_source,
        from_volume(volume(""), "v").volume_content_source
    );
    // Neither depends on where it came from.
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    rig.client
        .delete_snapshot(delete_snapshot("s"))
        .await
        .unwrap();
    assert_eq!(
        fs::read(rig.data(&restored).join("file")).unwrap(),
        b"before"
    );
    // And a retry still finds it.
    assert_eq!(rig.restore("r", &cut).await, restored);
}

#[tokio::test]
async fn a_source_must_exist_fit_and_be_of_the_same_kind() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    let cut = rig.snapshot("s", &made).await;
    let create = |request| rig.client.create_volume(request);
    refused(
        create(from_snapshot(volume("r"), "none")).await,
        Code::NotFound,
        "\"none\"",
    );
    refused(
        create(from_volume(volume("r"), "none")).await,
        Code::NotFound,
        "\"none\"",
    );
    refused(
        create(from_volume(volume("r"), "r")).await,
        Code::NotFound,
        "\"r\"",
    );
    for capacity_range in [range(MIB - 1, 0), range(0, MIB - 1)] {
        let request = v1::CreateVolumeRequest {
            capacity_range,
            ..volume("r")
        };
        refused(
            create(from_snapshot(request, &cut.id)).await,
            Code::OutOfRange,
            "1048576",
        );
    }
    let request = v1::CreateVolumeRequest {
        volume_capabilities: vec![block()],
        ..volume("r")
    };
    refused(
        create(from_snapshot(request, &cut.id)).await,
        Code::InvalidArgument,
        "`block`",
    );
    let request = v1::CreateVolumeRequest {
        capacity_range: None,
        ..volume("r")
    };
    let fitting = create(from_snapshot(request, &cut.id)).await.unwrap();
    assert_eq!(fitting.capacity_bytes, cut.size_bytes);
    assert_eq!(rig.names("aside"), [""; 0]);
}

#[tokio::test]
async fn a_block_volume_is_a_sparse_file_that_grows() {
    let rig = Rig::new().await;
    let request = v1::CreateVolumeRequest {
        capacity_range: range(64 * MIB, 0),
        volume_capabilities: vec![block()],
        ..volume("b")
    };
    let made = rig.client.create_volume(request.clone()).await.unwrap();
    let disk = fs::OpenOptions::new()
        .write(true)
        .open(rig.data(&made))
        .unwrap();
    disk.write_all_at(b"boot", 32 << 20).unwrap();
    let cut = rig.snapshot("s", &made).await;
    disk.write_all_at(b"gone", 32 << 20).unwrap();
    let larger = v1::CreateVolumeRequest {
        name: "r".into(),
        capacity_range: range(128 * MIB, 0),
        ..request
    };
    let restored = rig
        .client
        .create_volume(from_snapshot(larger, &cut.id))
        .await
        .unwrap();
    let copy = fs::File::open(rig.data(&restored)).unwrap();
    let found = copy.metadata().unwrap();
    assert_eq!(found.len(), 128 << 20);
    assert!(found.blocks() * 512 < 1 << 20);
    let mut read = [0; 4];
    copy.read_exact_at(&mut read, 32 << 20).unwrap();
    assert_eq!(&read, b"boot");
    let expand = v1::ControllerExpandVolumeRequest {
        volume_id: "b".into(),
        capacity_range: range(96 * MIB, 0),
        ..Default::default()
    };
    let grown = rig
        .client
        .controller_expand_volume(expand.clone())
        .await
        .unwrap();
    assert_eq!(
        (grown.capacity_bytes, grown.node_expansion_required),
        (96 << 20, false)
    );
    assert_eq!(disk.metadata().unwrap().len(), 96 << 20);
    assert_eq!(
        rig.client.controller_expand_volume(expand).await.unwrap(),
        grown
    );
}

#[tokio::test]
async fn volumes_grow_and_never_shrink() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    let expand = |id: &str, capacity_range| {
        rig.client
            .controller_expand_volume(v1::ControllerExpandVolumeRequest {
                volume_id: id.into(),
                capacity_range,
                ..Default::default()
            })
    };
    assert_eq!(
        expand("v", range(4 * MIB, 0)).await.unwrap().capacity_bytes,
        4 << 20
    );
    assert_eq!(
        expand("v", range(MIB, 0)).await.unwrap().capacity_bytes,
        4 << 20
    );
    refused(
        expand("v", range(0, MIB)).await,
        Code::OutOfRange,
        "4194304",
    );
    refused(
        expand("v", None).await,
        Code::InvalidArgument,
        "capacity_range",
    );
    refused(
        expand("none", range(1, 0)).await,
        Code::NotFound,
        "\"none\"",
    );
    assert_eq!(rig.snapshot("s", &made).await.size_bytes, 4 << 20);
    let rig = rig.again().await;
    assert_eq!(rig.snapshot("s2", &made).await.size_bytes, 4 << 20);
}

#[tokio::test]
async fn lists_come_in_pages_that_survive_changes() {
    let rig = Rig::with(BackendChoice::Null).await;
    for number in 0..10 {
        rig.volume(&format!("v{number}")).await;
    }
    let page = |max_entries, token: Option<String>| {
        let starting_token = token.unwrap_or_default();
        rig.client.list_volumes(v1::ListVolumesRequest {
            max_entries,
            starting_token,
        })
    };
    let first = page(4, None).await.unwrap();
    let ids: Vec<_> = first
        .entries
        .iter()
        .map(|entry| entry.volume.id.as_str())
        .collect();
    assert_eq!(ids, ["v0", "v1", "v2", "v3"]);
    // The last one of a page may be gone when the next is asked for.
    rig.client.delete_volume(delete_volume("v3")).await.unwrap();
    let second = page(4, first.next_token).await.unwrap();
    assert_eq!(second.entries[0].volume.id, "v4");
    let third = page(4, second.next_token).await.unwrap();
    assert_eq!((third.entries.len(), third.next_token), (2, None));
    assert_eq!(page(0, None).await.unwrap().entries.len(), 9);
    refused(
        page(4, Some("elsewhere".into())).await,
        Code::Aborted,
        "starting_token",
    );
    refused(page(-1, None).await, Code::InvalidArgument, "max_entries");
}

#[tokio::test]
async fn capabilities_are_confirmed_or_explained() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let ask = |id: &str, capability| {
        rig.client
            .validate_volume_capabilities(v1::ValidateVolumeCapabilitiesRequest {
                volume_id: id.into(),
                volume_capabilities: vec![capability],
                ..Default::default()
            })
    };
    assert!(ask("v", mount()).await.unwrap().confirmed);
    let other = ask("v", block()).await.unwrap();
    assert!(
        !other.confirmed && other.message.contains("`block`"),
        "{other:?}"
    );
    refused(ask("none", mount()).await, Code::NotFound, "\"none\"");
}

#[tokio::test]
async fn there_is_room() {
    let rig = Rig::new().await;
    let room = rig
        .client
        .get_capacity(v1::GetCapacityRequest::default())
        .await
        .unwrap();
    assert!(room.available > 0);
}

#[tokio::test]
async fn deletion_is_idempotent_and_leaves_nothing() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    fs::create_dir_all(rig.data(&made).join("a/b/c")).unwrap();
    fs::write(rig.data(&made).join("a/b/c/file"), "x").unwrap();
    for _ in 0..3 {
        rig.client.delete_volume(delete_volume("v")).await.unwrap();
    }
    assert!(rig.names("volumes").is_empty() && rig.names("aside").is_empty());
    // The name is free again.
    assert!(
        fs::read_dir(rig.data(&rig.volume("v").await))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn racing_creations_of_one_name_make_one_volume() {
    let rig = Rig::new().await;
    let mut calls = Vec::new();
    for number in 0..32 {
        let client = rig.client.clone();
        let capacity_range = range(if number % 2 == 0 { MIB } else { 2 * MIB }, 2 * MIB);
        let request = v1::CreateVolumeRequest {
            capacity_range,
            ..volume("v")
        };
        calls.push(tokio::spawn(
            async move { client.create_volume(request).await },
        ));
    }
    let mut sizes = std::collections::BTreeSet::new();
    for call in calls {
        match call.await.unwrap() {
            Ok(made) => drop(sizes.insert(made.capacity_bytes)),
            Err(error) => assert_eq!(error.code, Code::AlreadyExists, "{error}"),
        }
    }
    assert_eq!(sizes.len(), 1);
    assert_eq!(rig.names("volumes"), ["v"]);
}
