//! Volumes in images: made, shown, cut, restored, grown, and let go of.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tintype_csi::v1;
use tintype_driver::{BackendChoice, Config, Driver};
use tintype_testing::not_run;
use tonic::Code;

use crate::ground::*;
use crate::rig::*;

#[tokio::test]
async fn what_was_cut_comes_back_on_every_file_system() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for (fs_type, least) in [("", 16), ("ext4", 16), ("xfs", 300)] {
        let name = format!("v{fs_type}");
        let request = sized(&name, files(fs_type), 1);
        let made = rig.client.create_volume(request.clone()).await.unwrap();
        assert_eq!(made.capacity_bytes, least << 20, "{fs_type}");
        assert_eq!(rig.client.create_volume(request).await.unwrap(), made);
        let target = rig.show_as(&name, files(fs_type), &name).await.unwrap();
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o777, "{fs_type}");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{fs_type}");
        fs::write(target.join("file"), "kept").unwrap();
        let cut = rig.snapshot(&format!("s{fs_type}"), &made).await;
        fs::write(target.join("file"), "lost").unwrap();
        fs::write(target.join("other"), "new").unwrap();
        let larger = sized(&format!("r{fs_type}"), files(fs_type), 500);
        let restored = from_snapshot(larger, &cut.id);
        let restored = rig.client.create_volume(restored).await.unwrap();
        // The original goes; its snapshot and what was made from that stay.
        rig.hide_from(&name, &target).await.unwrap();
        rig.client
            .delete_volume(delete_volume(&name))
            .await
            .unwrap();
        let shown = rig
            .show_as(&restored.id, files(fs_type), &restored.id)
            .await;
        let shown = shown.unwrap();
        assert_eq!(fs::read(shown.join("file")).unwrap(), b"kept");
        assert!(!shown.join("other").exists());
        assert!(total(&shown) > 400 << 20, "{fs_type}: {}", total(&shown));
        rig.hide_from(&restored.id, &shown).await.unwrap();
    }
    let (data, place) = (rig.store(""), rig.end().await);
    assert!(
        devices(place.path()).is_empty(),
        "{:?}",
        devices(place.path())
    );
    assert!(mounts(&data).is_empty());
}

#[tokio::test]
async fn a_clone_of_a_volume_in_use_is_of_one_moment_too() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for fs_type in ["ext4", "xfs"] {
        let name = format!("v{fs_type}");
        let request = sized(&name, files(fs_type), 1);
        rig.client.create_volume(request.clone()).await.unwrap();
        let target = rig.show_as(&name, files(fs_type), &name).await.unwrap();
        fs::write(target.join("file"), "kept").unwrap();
        let clone = v1::CreateVolumeRequest {
            name: format!("c{fs_type}"),
            capacity_range: None,
            ..request
        };
        let clone = from_volume(clone, &name);
        let clone = rig.client.create_volume(clone).await.unwrap();
        // Both at once, with the same UUID.
        let shown = rig.show_as(&clone.id, files(""), &clone.id).await.unwrap();
        assert_eq!(fs::read(shown.join("file")).unwrap(), b"kept");
        fs::write(shown.join("file"), "changed").unwrap();
        assert_eq!(fs::read(target.join("file")).unwrap(), b"kept");
        rig.hide_from(&name, &target).await.unwrap();
        rig.hide_from(&clone.id, &shown).await.unwrap();
    }
    rig.end().await;
}

#[tokio::test]
async fn types_that_cannot_be_or_do_not_fit_are_refused() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let create = |request| rig.client.create_volume(request);
    let outcome = create(sized("v", files("btrfs"), 1)).await;
    refused(outcome, Code::InvalidArgument, "use ext4 or xfs");
    let tight = v1::CreateVolumeRequest {
        capacity_range: range(MIB, 20 * MIB),
        ..sized("v", files("xfs"), 1)
    };
    refused(create(tight).await, Code::OutOfRange, "needs 314572800");
    let made = create(sized("v", files("ext4"), 1)).await.unwrap();
    let outcome = create(sized("v", files("xfs"), 1)).await;
    refused(outcome, Code::AlreadyExists, "ext4");
    let cut = rig.snapshot("s", &made).await;
    let other = from_snapshot(sized("r", files("xfs"), 400), &cut.id);
    refused(
        create(other).await,
        Code::InvalidArgument,
        "contents are \"ext4\"",
    );
    let bytes = from_snapshot(sized("r", block(), 400), &cut.id);
    refused(create(bytes).await, Code::InvalidArgument, "`mount`");
    let vast = create(sized("w", files(""), 2048)).await;
    refused(vast, Code::ResourceExhausted, "--pool-size");
    rig.end().await;
}

#[tokio::test]
async fn a_block_volume_is_a_device_and_is_cut_and_restored_larger() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let request = sized("b", block(), 8);
    let made = rig.client.create_volume(request).await.unwrap();
    let target = rig.show_as("b", block(), "disk").await.unwrap();
    assert!(fs::metadata(&target).unwrap().file_type().is_block_device());
    let disk = OpenOptions::new().read(true).write(true).open(&target);
    let disk = disk.unwrap();
    disk.write_all_at(b"kept", 4 << 20).unwrap();
    // Not synced by whoever wrote it: the cut does that.
    let cut = rig.snapshot("s", &made).await;
    disk.write_all_at(b"lost", 4 << 20).unwrap();
    drop(disk);
    let larger = from_snapshot(sized("r", block(), 16), &cut.id);
    rig.client.create_volume(larger).await.unwrap();
    let shown = rig.show_as("r", block(), "other").await.unwrap();
    let disk = File::open(&shown).unwrap();
    let mut word = [0; 4];
    disk.read_exact_at(&mut word, 4 << 20).unwrap();
    assert_eq!(&word, b"kept");
    disk.read_exact_at(&mut word, (16 << 20) - 4).unwrap();
    assert!(disk.read_exact_at(&mut word, 16 << 20).is_err());
    drop(disk);
    let expand = v1::ControllerExpandVolumeRequest {
        volume_id: "r".into(),
        capacity_range: range(24 * MIB, 0),
        ..Default::default()
    };
    rig.client.controller_expand_volume(expand).await.unwrap();
    let disk = File::open(&shown).unwrap();
    disk.read_exact_at(&mut word, (24 << 20) - 4).unwrap();
    drop(disk);
    rig.hide_from("r", &shown).await.unwrap();
    rig.hide_from("b", &target).await.unwrap();
    rig.client.delete_volume(delete_volume("b")).await.unwrap();
    let place = rig.end().await;
    assert!(
        devices(place.path()).is_empty(),
        "{:?}",
        devices(place.path())
    );
}

fn may_grow_ext4() -> bool {
    let sets = rustix::thread::capabilities(None).unwrap();
    sets.effective
        .contains(rustix::thread::CapabilitySet::SYS_RESOURCE)
}

#[tokio::test]
async fn a_volume_grows_while_it_is_used() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for (fs_type, from, to) in [("ext4", 16, 200), ("xfs", 300, 500)] {
        let name = format!("v{fs_type}");
        let request = sized(&name, files(fs_type), from);
        rig.client.create_volume(request).await.unwrap();
        let target = rig.show_as(&name, files(fs_type), &name).await.unwrap();
        let open = File::create(target.join("open")).unwrap();
        let before = total(&target);
        let expand = v1::ControllerExpandVolumeRequest {
            volume_id: name.clone(),
            capacity_range: range(to * MIB, 0),
            ..Default::default()
        };
        let done = rig.client.controller_expand_volume(expand).await.unwrap();
        assert_eq!(done.capacity_bytes, u64::try_from(to * MIB).unwrap());
        let on_node = v1::NodeExpandVolumeRequest {
            volume_id: name.clone(),
            volume_path: target.to_str().unwrap().to_owned(),
            capacity_range: range(to * MIB, 0),
            ..Default::default()
        };
        let on_node = rig.client.node_expand_volume(on_node).await;
        let grown = before + u64::try_from((to - from) * MIB * 9 / 10).unwrap();
        if fs_type == "ext4" && !may_grow_ext4() {
            not_run("while ext4 is used: it needs CAP_SYS_RESOURCE");
            assert!(done.node_expansion_required);
            refused(on_node, Code::FailedPrecondition, "CAP_SYS_RESOURCE");
            assert_eq!(total(&target), before);
            drop(open);
            rig.hide_from(&name, &target).await.unwrap();
            rig.show_as(&name, files(fs_type), &name).await.unwrap();
            assert!(total(&target) >= grown, "{}", total(&target));
            rig.hide_from(&name, &target).await.unwrap();
            continue;
        }
        on_node.unwrap();
        assert!(!done.node_expansion_required);
        assert!(total(&target) >= grown, "{fs_type}: {}", total(&target));
        open.write_all_at(b"still open", 0).unwrap();
        drop(open);
        rig.hide_from(&name, &target).await.unwrap();
    }
    rig.end().await;
}

#[tokio::test]
async fn many_snapshots_share_their_blocks_and_give_them_back() {
    const SNAPSHOTS: usize = 100;
    let Some(rig) = image_rig().await else {
        return;
    };
    let pool = rig.store("pool");
    let request = sized("v", files(""), 256);
    let made = rig.client.create_volume(request).await.unwrap();
    let target = rig.show_as("v", files(""), "v").await.unwrap();
    fs::write(target.join("large"), vec![7; 64 << 20]).unwrap();
    rig.snapshot("first", &made).await;
    let before = used(&pool);
    for number in 0..SNAPSHOTS {
        fs::write(target.join("small"), number.to_string()).unwrap();
        rig.snapshot(&format!("s{number}"), &made).await;
    }
    // 6.4 GiB of contents in a pool of 1 GiB.
    let grown = used(&pool) - before;
    assert!(grown < 256 << 20, "{grown}");
    fs::write(target.join("large"), vec![8; 64 << 20]).unwrap();
    for name in [0, SNAPSHOTS - 1].map(|number| format!("s{number}")) {
        let cut = rig.client.get_snapshot(v1::GetSnapshotRequest {
            snapshot_id: name.clone(),
            ..Default::default()
        });
        let request = sized(&format!("r{name}"), files(""), 256);
        let request = from_snapshot(request, &cut.await.unwrap().id);
        let restored = rig.client.create_volume(request).await.unwrap();
        let shown = rig.show_as(&restored.id, files(""), &name).await.unwrap();
        assert_eq!(fs::read_to_string(shown.join("small")).unwrap(), name[1..]);
        assert_eq!(fs::read(shown.join("large")).unwrap(), vec![7; 64 << 20]);
        rig.hide_from(&restored.id, &shown).await.unwrap();
        rig.client
            .delete_volume(delete_volume(&restored.id))
            .await
            .unwrap();
    }
    for name in (0..SNAPSHOTS)
        .map(|number| format!("s{number}"))
        .chain(["first".into()])
    {
        rig.client
            .delete_snapshot(delete_snapshot(&name))
            .await
            .unwrap();
    }
    // The kernel gives blocks back a little later. What is left is one volume of 64 MiB.
    let began = Instant::now();
    while used(&pool) > before + (32 << 20) {
        assert!(began.elapsed() < PATIENCE, "{} of {before}", used(&pool));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.hide_from("v", &target).await.unwrap();
    rig.end().await;
}

/// Stretches of a file on XFS that lie by themselves.
fn extents(image: &Path) -> u64 {
    let said = Command::new("xfs_io")
        .args(["-r", "-c", "stat"])
        .arg(image)
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let count = text
        .lines()
        .find_map(|it| it.strip_prefix("fsxattr.nextents = "));
    count.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// A clone takes time for each stretch of its file, so there may not be one more for each snapshot.
#[tokio::test]
async fn a_volume_that_is_cut_again_and_again_stays_in_few_pieces() {
    const SNAPSHOTS: u64 = 80;
    let Some(rig) = image_rig().await else {
        return;
    };
    for fs_type in ["ext4", "xfs"] {
        let (name, copy) = (format!("v{fs_type}"), format!("r{fs_type}"));
        let request = sized(&name, files(fs_type), 300);
        let made = rig.client.create_volume(request).await.unwrap();
        let cut = rig.snapshot(&format!("s{fs_type}"), &made).await;
        let restored = from_snapshot(sized(&copy, files(fs_type), 300), &cut.id);
        let restored = rig.client.create_volume(restored).await.unwrap();
        for volume in [made, restored] {
            let id = &volume.id;
            let target = rig.show_as(id, files(fs_type), id).await.unwrap();
            let image = rig.store("pool/volumes").join(id).join("data");
            fs::write(target.join("small"), "first").unwrap();
            rig.snapshot(&format!("{id}-first"), &volume).await;
            let before = extents(&image);
            for number in 0..SNAPSHOTS {
                fs::write(target.join("small"), number.to_string()).unwrap();
                rig.snapshot(&format!("{id}-{number}"), &volume).await;
            }
            let more = extents(&image) - before;
            println!("{id}: {more} more than {before}");
            assert!(more < SNAPSHOTS / 2, "{id}: {more} more than {before}");
            rig.hide_from(id, &target).await.unwrap();
        }
    }
    rig.end().await;
}

#[tokio::test]
async fn what_is_published_outlives_the_driver_and_is_adopted() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for (id, capability) in [("v", files("")), ("b", block()), ("idle", files(""))] {
        let request = sized(id, capability, 16);
        rig.client.create_volume(request).await.unwrap();
    }
    let target = rig.show_as("v", files(""), "v").await.unwrap();
    let disk = rig.show_as("b", block(), "b").await.unwrap();
    let staged = rig.show_as("idle", files(""), "idle").await.unwrap();
    rig.hide_from("idle", &staged).await.unwrap();
    let rig = rig.again().await;
    let attached = devices(rig.place.path());
    assert_eq!(attached.len(), 3, "{attached:?}");
    fs::write(target.join("file"), "while the driver was away, too").unwrap();
    for (id, capability, shown) in [("v", files(""), &target), ("b", block(), &disk)] {
        // Done already, in this very way.
        rig.show_as(id, capability, id).await.unwrap();
        let outcome = rig.client.delete_volume(delete_volume(id)).await;
        refused(outcome, Code::FailedPrecondition, "is published at");
        assert!(shown.exists());
    }
    assert_eq!(devices(rig.place.path()), attached);
    rig.hide_from("v", &target).await.unwrap();
    rig.hide_from("b", &disk).await.unwrap();
    let place = rig.end().await;
    assert!(
        devices(place.path()).is_empty(),
        "{:?}",
        devices(place.path())
    );
}

#[tokio::test]
async fn a_volume_in_use_elsewhere_is_not_deleted() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let made = rig.client.create_volume(sized("v", files(""), 16)).await;
    let target = rig.show_as("v", files(""), "v").await.unwrap();
    let elsewhere = rig.place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    rustix::mount::mount_bind(&target, &elsewhere).unwrap();
    rig.hide_from("v", &target).await.unwrap();
    let delete = || rig.client.delete_volume(delete_volume("v"));
    refused(
        delete().await,
        Code::FailedPrecondition,
        "in use on /dev/loop",
    );
    fs::write(elsewhere.join("file"), "alive").unwrap();
    // The same device again, and the same file system.
    let target = rig.show_as("v", files(""), "v").await.unwrap();
    assert_eq!(fs::read(target.join("file")).unwrap(), b"alive");
    rig.hide_from("v", &target).await.unwrap();
    rustix::mount::unmount(&elsewhere, rustix::mount::UnmountFlags::empty()).unwrap();
    delete().await.unwrap();
    assert_eq!(made.unwrap().id, "v");
    rig.end().await;
}

#[tokio::test]
async fn a_data_dir_that_shares_blocks_itself_needs_no_pool_file() {
    let Some(place) = ground() else {
        return;
    };
    // The folder in a pool of another driver will do.
    let config = images(&place);
    let outer = Rig::of(place, config).await;
    let inner = TempDir::new_in(outer.store("pool")).unwrap();
    let rig = Rig::at(inner, BackendChoice::Auto).await;
    assert!(rig.store("pool").is_dir() && !rig.store("pool.img").exists());
    let made = rig.volume("v").await;
    let cut = rig.snapshot("s", &made).await;
    let request = from_snapshot(sized("r", files(""), 16), &cut.id);
    rig.client.create_volume(request).await.unwrap();
    let rig = rig.again().await;
    assert_eq!(rig.volume("v").await, made);
    drop(rig.end().await);
    outer.end().await;
}

#[test]
fn auto_takes_images_where_it_can_and_says_why() {
    let Some(place) = ground() else {
        return;
    };
    let config = Config {
        backend: BackendChoice::Auto,
        ..images(&place)
    };
    let driver = Driver::open(config.clone()).unwrap();
    let (name, why) = driver.backend();
    assert_eq!(name, "image");
    assert!(why.starts_with("auto: "), "{why}");
    drop(driver);
    // What was made with images stays with them.
    let again = Driver::open(config).unwrap();
    assert_eq!(again.backend(), ("image", "the data dir was made with it"));
}

#[test]
fn auto_takes_folders_where_there_is_no_room_for_a_pool_and_says_so() {
    let Some(place) = ground() else {
        return;
    };
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &data, "tmpfs", flags, c"size=8m").unwrap();
    let driver = Driver::open(config(&data, BackendChoice::Auto)).unwrap();
    let (name, why) = driver.backend();
    assert_eq!(name, "directory");
    assert!(why.contains("a pool needs 320"), "{why}");
    drop(driver);
    let image = Driver::open(config(&data, BackendChoice::Image)).unwrap_err();
    assert!(image.to_string().contains("--backend directory"), "{image}");
    rustix::mount::unmount(&data, rustix::mount::UnmountFlags::empty()).unwrap();
}
