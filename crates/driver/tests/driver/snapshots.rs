//! Snapshots: cut, found again, refused, listed, deleted, many at once.

use std::fs;
use std::time::Duration;

use tintype_csi::v1;
use tintype_driver::BackendChoice;
use tonic::Code;

use crate::rig::*;

#[tokio::test]
async fn a_snapshot_keeps_what_was_there_and_outlives_its_source() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    fs::write(rig.data(&made).join("file"), "kept").unwrap();
    let before = fs::metadata(rig.data(&made).join("file"))
        .unwrap()
        .modified()
        .unwrap();
    let cut = rig.snapshot("s", &made).await;
    assert_eq!((cut.id.as_str(), cut.source_volume_id.as_str()), ("s", "v"));
    assert_eq!((cut.size_bytes, cut.ready_to_use), (1 << 20, true));
    fs::write(rig.data(&made).join("after"), "").unwrap();
    let after = fs::metadata(rig.data(&made).join("after")).unwrap();
    // File systems stamp with a clock that lags behind by a tick.
    let after = after.modified().unwrap() + Duration::from_secs(1);
    let cut_at = cut.creation_time.unwrap();
    assert!((before..after).contains(&cut_at), "{cut_at:?}");
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    // The same request again, after a lost reply, say.
    assert_eq!(rig.snapshot("s", &made).await, cut);
    let rig = rig.again().await;
    assert_eq!(rig.snapshot("s", &made).await, cut);
    let restored = rig.restore("r", &cut).await;
    assert_eq!(fs::read(rig.data(&restored).join("file")).unwrap(), b"kept");
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let rig = Rig::new().await;
    let create = |name: &str, source: &str| rig.client.create_snapshot(snapshot(name, source));
    rig.volume("v").await;
    rig.volume("w").await;
    refused(
        create("", "v").await,
        Code::InvalidArgument,
        "name: is missing",
    );
    refused(
        create("s", "").await,
        Code::InvalidArgument,
        "source_volume_id: is missing",
    );
    refused(create("s", "none").await, Code::NotFound, "volume \"none\"");
    create("s", "v").await.unwrap();
    refused(
        create("s", "w").await,
        Code::AlreadyExists,
        "cut from \"v\", not \"w\"",
    );
    let get = |id: &str| {
        let snapshot_id = id.to_owned();
        rig.client.get_snapshot(v1::GetSnapshotRequest {
            snapshot_id,
            ..Default::default()
        })
    };
    assert_eq!(get("s").await.unwrap().id, "s");
    refused(get("none").await, Code::NotFound, "snapshot \"none\"");
    let none = rig.client.delete_snapshot(delete_snapshot("")).await;
    refused(none, Code::InvalidArgument, "snapshot_id");
    rig.client
        .delete_snapshot(delete_snapshot("none"))
        .await
        .unwrap();
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let rig = Rig::with(BackendChoice::Null).await;
    for source in ["a", "b"] {
        rig.volume(source).await;
        for number in 0..5 {
            let request = snapshot(&format!("{source}-{number}"), source);
            rig.client.create_snapshot(request).await.unwrap();
        }
    }
    let ids = |page: tintype_csi::ListPage<tintype_csi::Snapshot>| {
        page.entries
            .into_iter()
            .map(|entry| entry.id)
            .collect::<Vec<_>>()
    };
    let base = v1::ListSnapshotsRequest::default;
    let by_id = v1::ListSnapshotsRequest {
        snapshot_id: "a-3".into(),
        ..base()
    };
    assert_eq!(
        ids(rig.client.list_snapshots(by_id.clone()).await.unwrap()),
        ["a-3"]
    );
    let both = v1::ListSnapshotsRequest {
        source_volume_id: "b".into(),
        ..by_id
    };
    assert!(ids(rig.client.list_snapshots(both).await.unwrap()).is_empty());
    let none = v1::ListSnapshotsRequest {
        snapshot_id: "none".into(),
        ..base()
    };
    assert!(ids(rig.client.list_snapshots(none).await.unwrap()).is_empty());
    let mut request = v1::ListSnapshotsRequest {
        source_volume_id: "b".into(),
        max_entries: 3,
        ..base()
    };
    let first = rig.client.list_snapshots(request.clone()).await.unwrap();
    request.starting_token = first.next_token.clone().unwrap();
    assert_eq!(ids(first), ["b-0", "b-1", "b-2"]);
    let second = rig.client.list_snapshots(request).await.unwrap();
    assert_eq!(second.next_token, None);
    assert_eq!(ids(second), ["b-3", "b-4"]);
    assert_eq!(
        ids(rig.client.list_snapshots(base()).await.unwrap()).len(),
        10
    );
}

#[tokio::test]
async fn the_null_backend_snapshots_what_it_never_saw_and_remembers() {
    let rig = Rig::with(BackendChoice::Null).await;
    let cut = rig
        .client
        .create_snapshot(snapshot("s", "from-elsewhere"))
        .await
        .unwrap();
    assert!(cut.ready_to_use);
    rig.volume("v").await;
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    let rig = rig.again().await;
    assert_eq!(
        rig.client
            .create_snapshot(snapshot("s", "from-elsewhere"))
            .await
            .unwrap(),
        cut
    );
    let volumes = rig
        .client
        .list_volumes(v1::ListVolumesRequest::default())
        .await
        .unwrap();
    assert!(volumes.entries.is_empty());
    rig.client
        .delete_snapshot(delete_snapshot("s"))
        .await
        .unwrap();
    let rig = rig.again().await;
    let all = rig
        .client
        .list_snapshots(v1::ListSnapshotsRequest::default())
        .await
        .unwrap();
    assert!(all.entries.is_empty());
}

#[tokio::test]
async fn many_volumes_are_snapshotted_at_once() {
    let rig = Rig::new().await;
    let mut calls = Vec::new();
    for number in 0..16 {
        let made = rig.volume(&format!("v{number}")).await;
        for file in 0..20 {
            let path = rig.data(&made).join(file.to_string());
            fs::write(path, format!("{number} {file}")).unwrap();
        }
        let client = rig.client.clone();
        let request = snapshot(&format!("s{number}"), &made.id);
        calls.push(tokio::spawn(async move {
            client.create_snapshot(request).await
        }));
    }
    for (number, call) in calls.into_iter().enumerate() {
        let restored = rig
            .restore(&format!("r{number}"), &call.await.unwrap().unwrap())
            .await;
        for file in 0..20 {
            let text = fs::read_to_string(rig.data(&restored).join(file.to_string())).unwrap();
            assert_eq!(text, format!("{number} {file}"));
        }
    }
}

#[tokio::test]
async fn races_of_one_name_end_in_one_snapshot_or_none() {
    let rig = Rig::new().await;
    for source in ["a", "b"] {
        rig.volume(source).await;
    }
    let mut calls = Vec::new();
    for number in 0..48 {
        let client = rig.client.clone();
        calls.push(tokio::spawn(async move {
            match number % 3 {
                0 => client.create_snapshot(snapshot("s", "a")).await.map(drop),
                1 => client.create_snapshot(snapshot("s", "b")).await.map(drop),
                _ => client.delete_snapshot(delete_snapshot("s")).await,
            }
        }));
    }
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert_eq!(error.code, Code::AlreadyExists, "{error}");
        }
    }
    let listed = rig
        .client
        .list_snapshots(v1::ListSnapshotsRequest::default())
        .await
        .unwrap();
    let listed: Vec<_> = listed.entries.into_iter().map(|entry| entry.id).collect();
    assert_eq!(rig.names("snapshots"), listed);
    assert!(rig.names("aside").is_empty());
}

#[tokio::test]
async fn a_caller_that_gave_up_finds_the_snapshot_at_the_next_try() {
    let rig = Rig::new().await;
    let made = rig.volume("v").await;
    for number in 0..2000 {
        fs::write(rig.data(&made).join(number.to_string()), "x").unwrap();
    }
    let hasty = rig.client.clone().with_deadline(Duration::from_millis(5));
    let error = hasty.create_snapshot(snapshot("s", "v")).await.unwrap_err();
    assert!(error.is_uncertain(), "{error}");
    let cut = rig.snapshot("s", &made).await;
    let restored = rig.restore("r", &cut).await;
    assert_eq!(fs::read_dir(rig.data(&restored)).unwrap().count(), 2000);
    assert_eq!(rig.names("snapshots"), ["s"]);
}
