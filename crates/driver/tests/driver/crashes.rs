//! What a driver finds when it starts: its own leftovers, damage, another driver, strange folders.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tempfile::TempDir;
use tintype_csi::v1;
use tintype_driver::{BackendChoice, Driver, OpenError};
use tonic::Code;

use crate::rig::*;

#[tokio::test]
async fn leftovers_of_a_crash_are_swept_and_the_rest_is_kept() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    fs::write(rig.data(&made).join("file"), "kept").unwrap();
    let cut = rig.snapshot("s", &made).await;
    let place = rig.end().await;
    // Half a snapshot that was being made, half a volume that was being removed.
    let aside = place.path().join("data/aside");
    fs::create_dir_all(aside.join("0/data/folder")).unwrap();
    fs::write(aside.join("0/data/folder/file"), "half").unwrap();
    fs::create_dir_all(aside.join("17/data")).unwrap();
    fs::write(aside.join("17/record.json"), "tintype-rec").unwrap();
    fs::write(aside.join("18"), "").unwrap();
    let rig = Rig::at(place, BackendChoice::Auto).await;
    assert!(rig.names("aside").is_empty());
    assert_eq!(
        (rig.names("volumes"), rig.names("snapshots")),
        (vec!["v".into()], vec!["s".into()])
    );
    assert_eq!(rig.volume("v").await, made);
    let restored = rig.restore("r", &cut).await;
    assert_eq!(fs::read(rig.data(&restored).join("file")).unwrap(), b"kept");
}

#[tokio::test]
async fn a_damaged_record_is_said_and_harms_no_other() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    let other = rig.volume("w").await;
    let cut = rig.snapshot("s", &made).await;
    let place = rig.end().await;
    let record = place.path().join("data/volumes/v/record.json");
    let text = fs::read_to_string(&record)
        .unwrap()
        .replace("1048576", "2097152");
    fs::write(&record, text).unwrap();
    fs::remove_file(place.path().join("data/snapshots/s/record.json")).unwrap();
    let rig = Rig::at(place, BackendChoice::Directory).await;
    let words = "checksum does not match";
    refused(
        rig.client.create_volume(volume("v")).await,
        Code::DataLoss,
        words,
    );
    refused(
        rig.client.create_snapshot(snapshot("t", "v")).await,
        Code::DataLoss,
        "record.json",
    );
    let request = from_snapshot(volume("r"), &cut.id);
    refused(
        rig.client.create_volume(request).await,
        Code::DataLoss,
        "No such file",
    );
    rig.snapshot("t", &other).await;
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    rig.client
        .delete_snapshot(delete_snapshot("s"))
        .await
        .unwrap();
    assert_eq!(
        (rig.names("volumes"), rig.names("snapshots")),
        (vec!["w".into()], vec!["t".into()])
    );
    rig.volume("v").await;
}

#[tokio::test]
async fn data_that_is_lost_is_said_and_not_made_up() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    fs::remove_dir(rig.data(&made)).unwrap();
    let listed = rig
        .client
        .list_volumes(v1::ListVolumesRequest::default())
        .await
        .unwrap();
    let trouble = listed.entries[0].trouble.as_deref().unwrap();
    assert!(trouble.contains("is lost"), "{trouble}");
    refused(
        rig.client.create_snapshot(snapshot("s", "v")).await,
        Code::Internal,
        "volumes/v/data",
    );
    assert!(rig.names("snapshots").is_empty() && rig.names("aside").is_empty());
}

#[tokio::test]
async fn a_folder_has_one_driver_of_one_kind() {
    let rig = Rig::new().await;
    let data = rig.store("");
    let second = Driver::open(config(&data, BackendChoice::Directory));
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    let place = rig.end().await;
    let other = Driver::open(config(&data, BackendChoice::Null));
    assert!(
        matches!(other, Err(OpenError::OtherBackend { .. })),
        "{other:?}"
    );
    let image = Driver::open(config(&data, BackendChoice::Image));
    assert!(
        matches!(image, Err(OpenError::OtherBackend { .. })),
        "{image:?}"
    );
    let again = Driver::open(config(&data, BackendChoice::Auto)).unwrap();
    assert_eq!(
        again.backend(),
        ("directory", "the data dir was made with it")
    );
    drop(place);
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("aside")).unwrap();
    fs::write(place.path().join("aside/precious"), "data").unwrap();
    let outcome = Driver::open(config(place.path(), BackendChoice::Auto));
    assert!(matches!(outcome, Err(OpenError::Foreign(_))), "{outcome:?}");
    assert_eq!(
        fs::read(place.path().join("aside/precious")).unwrap(),
        b"data"
    );
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let place = TempDir::new().unwrap();
    drop(Driver::open(config(place.path(), BackendChoice::Directory)).unwrap());
    let label = place.path().join("store.json");
    let text = fs::read_to_string(&label)
        .unwrap()
        .replacen("record 1", "record 2", 1);
    fs::write(&label, &text).unwrap();
    let error = Driver::open(config(place.path(), BackendChoice::Auto))
        .unwrap_err()
        .to_string();
    assert!(error.contains("its version is 2"), "{error}");
    assert_eq!(fs::read_to_string(&label).unwrap(), text);
}

#[test]
fn bad_names_are_refused_at_the_start() {
    let place = TempDir::new().unwrap();
    for name in ["", "-a", "a.", "a b", "a/b", &"a".repeat(64)] {
        let mut config = config(place.path(), BackendChoice::Auto);
        config.driver_name = name.to_owned();
        let outcome = Driver::open(config);
        assert!(
            matches!(outcome, Err(OpenError::BadName(_))),
            "{name:?}: {outcome:?}"
        );
    }
    let mut config = config(place.path(), BackendChoice::Auto);
    config.node_id = String::new();
    assert!(matches!(Driver::open(config), Err(OpenError::BadNode(_))));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_long_copy_and_leaves_nothing() {
    let rig = Rig::new().await;
    let capability = vec![block()];
    let request = v1::CreateVolumeRequest {
        volume_capabilities: capability,
        ..volume("b")
    };
    let made = rig.client.create_volume(request).await.unwrap();
    let disk = fs::OpenOptions::new()
        .write(true)
        .open(rig.data(&made))
        .unwrap();
    // A pattern of data and holes that takes long to copy and no room.
    for at in 0..30_000 {
        disk.write_all_at(b"x", at << 17).unwrap();
    }
    let client = rig.client.clone();
    let call = tokio::spawn(async move { client.create_snapshot(snapshot("s", "b")).await });
    let aside = rig.store("aside");
    while fs::read_dir(&aside).unwrap().next().is_none() && !call.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.stop();
    let outcome = call.await.unwrap();
    let place = rig.end().await;
    let found = fs::read_dir(place.path().join("data/snapshots"))
        .unwrap()
        .count();
    assert_eq!(found == 1, outcome.is_ok(), "{outcome:?}");
    assert_eq!(fs::read_dir(aside).unwrap().count(), 0);
}
