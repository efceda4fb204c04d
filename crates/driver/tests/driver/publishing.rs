//! Volumes at paths of the node: shown, hidden, never covering or deleting what is not theirs.

use std::fs;
use std::path::{Path, PathBuf};

use tintype_csi::v1::node_service_capability::rpc::Type as Can;
use tintype_csi::v1::volume_capability::{AccessType, MountVolume, access_mode::Mode};
use tintype_csi::{CallError, v1};
use tintype_driver::BackendChoice;
use tintype_testing::{may_mount, not_run, without_mounts};
use tonic::Code;

use crate::rig::*;

fn publish(id: &str, target: &Path) -> v1::NodePublishVolumeRequest {
    v1::NodePublishVolumeRequest {
        volume_id: id.into(),
        staging_target_path: "/tmp/staging".into(),
        target_path: target.to_str().unwrap().into(),
        volume_capability: Some(mount()),
        ..Default::default()
    }
}

fn unpublish(id: &str, target: &Path) -> v1::NodeUnpublishVolumeRequest {
    let target_path = target.to_str().unwrap().into();
    v1::NodeUnpublishVolumeRequest {
        volume_id: id.into(),
        target_path,
    }
}

impl Rig {
    fn target(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    async fn show(&self, id: &str, target: &Path) -> Result<(), CallError> {
        self.client.node_publish_volume(publish(id, target)).await
    }

    async fn hide(&self, id: &str, target: &Path) -> Result<(), CallError> {
        self.client
            .node_unpublish_volume(unpublish(id, target))
            .await
    }
}

#[tokio::test]
async fn a_volume_is_staged_shown_measured_and_hidden() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    let can = rig.client.node_get_capabilities().await.unwrap();
    assert!(can.has(Can::StageUnstageVolume) && can.has(Can::GetVolumeStats));
    let staging_target_path = rig.target("staging").to_str().unwrap().to_owned();
    let stage = v1::NodeStageVolumeRequest {
        volume_id: "v".into(),
        staging_target_path: staging_target_path.clone(),
        volume_capability: Some(mount()),
        ..Default::default()
    };
    rig.client.node_stage_volume(stage.clone()).await.unwrap();
    rig.client.node_stage_volume(stage).await.unwrap();
    let target = rig.target("here");
    for _ in 0..2 {
        rig.show("v", &target).await.unwrap();
    }
    fs::write(target.join("file"), "through").unwrap();
    assert_eq!(fs::read(rig.data(&made).join("file")).unwrap(), b"through");
    assert_eq!(target.is_symlink(), !may_mount());
    let stats = v1::NodeGetVolumeStatsRequest {
        volume_id: "v".into(),
        volume_path: target.to_str().unwrap().into(),
        ..Default::default()
    };
    let found = rig
        .client
        .node_get_volume_stats(stats.clone())
        .await
        .unwrap();
    let bytes = found.bytes.unwrap();
    assert!(
        bytes.total >= bytes.used + bytes.available && found.trouble.is_none(),
        "{found:?}"
    );
    let elsewhere = v1::NodeGetVolumeStatsRequest {
        volume_path: "/".into(),
        ..stats.clone()
    };
    let outcome = rig.client.node_get_volume_stats(elsewhere).await;
    refused(outcome, Code::NotFound, "not published at");
    for _ in 0..2 {
        rig.hide("v", &target).await.unwrap();
        assert!(!target.exists() && !target.is_symlink());
    }
    let volume_id = "v".into();
    let unstage = v1::NodeUnstageVolumeRequest {
        volume_id,
        staging_target_path,
    };
    rig.client
        .node_unstage_volume(unstage.clone())
        .await
        .unwrap();
    rig.client.node_unstage_volume(unstage).await.unwrap();
    assert_eq!(fs::read(rig.data(&made).join("file")).unwrap(), b"through");
    assert!(rig.names("published").is_empty());
}

#[tokio::test]
async fn what_is_at_a_path_is_neither_covered_nor_deleted() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let full = rig.target("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("precious"), "data").unwrap();
    refused(
        rig.show("v", &full).await,
        Code::FailedPrecondition,
        "somebody else",
    );
    rig.hide("v", &full).await.unwrap();
    assert_eq!(fs::read(full.join("precious")).unwrap(), b"data");
    let orphan = rig.target("no/such/folder");
    refused(
        rig.show("v", &orphan).await,
        Code::FailedPrecondition,
        "does not exist",
    );
    // An empty folder may be used, and stays.
    let empty = rig.target("empty");
    fs::create_dir(&empty).unwrap();
    rig.show("v", &empty).await.unwrap();
    fs::write(empty.join("file"), "x").unwrap();
    rig.hide("v", &empty).await.unwrap();
    assert!(fs::read_dir(&empty).unwrap().next().is_none());
}

#[tokio::test]
async fn a_path_shows_one_volume_in_one_way() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    rig.volume("w").await;
    let target = rig.target("here");
    rig.show("v", &target).await.unwrap();
    refused(rig.show("w", &target).await, Code::AlreadyExists, "\"v\"");
    let readonly = v1::NodePublishVolumeRequest {
        readonly: true,
        ..publish("v", &target)
    };
    let outcome = rig.client.node_publish_volume(readonly).await;
    refused(outcome, Code::AlreadyExists, "for writing");
    refused(
        rig.hide("w", &target).await,
        Code::FailedPrecondition,
        "\"v\"",
    );
    rig.hide("v", &target).await.unwrap();
    rig.show("w", &target).await.unwrap();
    rig.hide("w", &target).await.unwrap();
}

#[tokio::test]
async fn a_published_volume_is_not_deleted() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let target = rig.target("here");
    rig.show("v", &target).await.unwrap();
    let delete = || rig.client.delete_volume(delete_volume("v"));
    refused(delete().await, Code::FailedPrecondition, "is published at");
    let rig = rig.again().await;
    let delete = || rig.client.delete_volume(delete_volume("v"));
    refused(delete().await, Code::FailedPrecondition, "is published at");
    rig.hide("v", &target).await.unwrap();
    delete().await.unwrap();
    refused(rig.hide("v", &target).await, Code::NotFound, "\"v\"");
}

#[tokio::test]
async fn a_place_that_vanished_holds_nothing_back() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let target = rig.target("here");
    rig.show("v", &target).await.unwrap();
    // As after a restart of the machine.
    if may_mount() {
        rustix::mount::unmount(&target, rustix::mount::UnmountFlags::empty()).unwrap();
    } else {
        fs::remove_file(&target).unwrap();
    }
    rig.show("v", &target).await.unwrap();
    rig.hide("v", &target).await.unwrap();
    rig.show("v", &target).await.unwrap();
    if may_mount() {
        rustix::mount::unmount(&target, rustix::mount::UnmountFlags::empty()).unwrap();
    } else {
        fs::remove_file(&target).unwrap();
    }
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    assert!(rig.names("published").is_empty());
}

#[tokio::test]
async fn reading_only_means_that_where_it_can_be_enforced() {
    if let Some(why) = without_mounts() {
        not_run(&why);
        return;
    }
    let rig = Rig::new().await;
    rig.volume("v").await;
    let reader = access(
        AccessType::Mount(MountVolume::default()),
        Mode::SingleNodeReaderOnly,
    );
    let flags = MountVolume {
        mount_flags: vec!["ro,noexec".into()],
        ..Default::default()
    };
    let requests = [
        v1::NodePublishVolumeRequest {
            readonly: true,
            ..publish("v", &rig.target("a"))
        },
        v1::NodePublishVolumeRequest {
            volume_capability: Some(reader),
            ..publish("v", &rig.target("b"))
        },
        v1::NodePublishVolumeRequest {
            volume_capability: Some(access(AccessType::Mount(flags), Mode::SingleNodeWriter)),
            ..publish("v", &rig.target("c"))
        },
    ];
    for request in requests {
        let target = PathBuf::from(&request.target_path);
        rig.client.node_publish_volume(request).await.unwrap();
        let error = fs::write(target.join("file"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        rig.hide("v", &target).await.unwrap();
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn a_block_volume_is_shown_as_a_file() {
    let rig = Rig::new().await;
    let capability = vec![block()];
    let request = v1::CreateVolumeRequest {
        volume_capabilities: capability,
        ..volume("b")
    };
    let made = rig.client.create_volume(request).await.unwrap();
    let target = rig.target("disk");
    refused(
        rig.show("b", &target).await,
        Code::InvalidArgument,
        "`mount`",
    );
    let request = v1::NodePublishVolumeRequest {
        volume_capability: Some(block()),
        ..publish("b", &target)
    };
    rig.client.node_publish_volume(request).await.unwrap();
    assert_eq!(fs::metadata(&target).unwrap().len(), 1 << 20);
    fs::write(&target, "sector").unwrap();
    rig.hide("b", &target).await.unwrap();
    assert!(!target.exists());
    assert_eq!(fs::read(rig.data(&made)).unwrap(), b"sector");
}

#[tokio::test]
async fn bad_requests_are_refused_by_field() {
    let rig = Rig::new().await;
    rig.volume("v").await;
    let base = || publish("v", &rig.target("here"));
    let nfs = MountVolume {
        mount_flags: vec!["password=hunter2".into()],
        ..Default::default()
    };
    let nfs = Some(access(AccessType::Mount(nfs), Mode::SingleNodeWriter));
    let text = String::from;
    let cases = [
        (
            v1::NodePublishVolumeRequest {
                volume_id: text(""),
                ..base()
            },
            "volume_id",
        ),
        (
            v1::NodePublishVolumeRequest {
                target_path: text(""),
                ..base()
            },
            "target_path",
        ),
        (
            v1::NodePublishVolumeRequest {
                target_path: text("a/b"),
                ..base()
            },
            "target_path",
        ),
        (
            v1::NodePublishVolumeRequest {
                target_path: text("/a/../b"),
                ..base()
            },
            "target_path",
        ),
        (
            v1::NodePublishVolumeRequest {
                volume_capability: None,
                ..base()
            },
            "volume_capability",
        ),
        (
            v1::NodePublishVolumeRequest {
                volume_capability: nfs,
                ..base()
            },
            "\"password\"",
        ),
    ];
    for (request, words) in cases {
        let outcome = rig.client.node_publish_volume(request).await;
        assert!(!format!("{outcome:?}").contains("hunter2"));
        refused(outcome, Code::InvalidArgument, words);
    }
    let unstaged = v1::NodePublishVolumeRequest {
        staging_target_path: text(""),
        ..base()
    };
    let outcome = rig.client.node_publish_volume(unstaged).await;
    refused(outcome, Code::FailedPrecondition, "staging_target_path");
    refused(
        rig.show("none", &rig.target("here")).await,
        Code::NotFound,
        "\"none\"",
    );
    let null = Rig::with(BackendChoice::Null).await;
    null.volume("v").await;
    let outcome = null.show("v", &null.target("here")).await;
    refused(outcome, Code::FailedPrecondition, "--backend null");
}
