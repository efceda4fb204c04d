//! Groups: cut at one moment, all or nothing, found again, deleted as a whole.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tintype_csi::v1::group_controller_service_capability::rpc::Type as Can;
use tintype_csi::{CallError, GroupSnapshot, v1};
use tintype_driver::{BackendChoice, Config};
use tonic::Code;

use crate::ground::*;
use crate::rig::*;

fn group(name: &str, sources: &[&str]) -> v1::CreateVolumeGroupSnapshotRequest {
    v1::CreateVolumeGroupSnapshotRequest {
        name: name.into(),
        source_volume_ids: sources.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn members(group: &GroupSnapshot) -> Vec<String> {
    group.snapshots.iter().map(|it| it.id.clone()).collect()
}

fn delete(id: &str, members: &[String]) -> v1::DeleteVolumeGroupSnapshotRequest {
    v1::DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: id.into(),
        snapshot_ids: members.to_vec(),
        ..Default::default()
    }
}

impl Rig {
    async fn group(&self, name: &str, sources: &[&str]) -> Result<GroupSnapshot, CallError> {
        let request = group(name, sources);
        self.client.create_volume_group_snapshot(request).await
    }

    async fn describe(&self, id: &str, members: &[String]) -> Result<GroupSnapshot, CallError> {
        let request = v1::GetVolumeGroupSnapshotRequest {
            group_snapshot_id: id.into(),
            snapshot_ids: members.to_vec(),
            ..Default::default()
        };
        self.client.get_volume_group_snapshot(request).await
    }

    async fn snapshots(&self) -> usize {
        let all = v1::ListSnapshotsRequest::default();
        self.client.list_snapshots(all).await.unwrap().entries.len()
    }
}

/// The rules are the same for every backend; this one needs nothing.
async fn folders() -> Rig {
    let place = tempfile::TempDir::new().unwrap();
    let config = Config {
        allow_non_atomic_groups: true,
        ..config(&place.path().join("data"), BackendChoice::Directory)
    };
    let rig = Rig::of(place, config).await;
    for id in ["a", "b", "c"] {
        rig.volume(id).await;
    }
    rig
}

#[tokio::test]
async fn copies_one_after_the_other_are_no_group_unless_that_is_accepted() {
    let rig = Rig::new().await;
    rig.volume("a").await;
    rig.volume("b").await;
    let can = rig
        .client
        .group_controller_get_capabilities()
        .await
        .unwrap();
    assert!(can.has(Can::CreateDeleteGetVolumeGroupSnapshot));
    let outcome = rig.group("g", &["a", "b"]).await;
    refused(
        outcome,
        Code::FailedPrecondition,
        "--allow-non-atomic-groups",
    );
    assert_eq!(rig.snapshots().await, 0);
    folders().await.group("g", &["a", "b"]).await.unwrap();
}

#[tokio::test]
async fn a_group_is_cut_once_found_again_and_deleted_whole() {
    let rig = folders().await;
    fs::write(rig.store("volumes/a/data/file"), "of a").unwrap();
    let cut = rig.group("g", &["b", "a"]).await.unwrap();
    assert!(cut.ready_to_use && cut.creation_time.is_some());
    for member in &cut.snapshots {
        assert_eq!(member.group_snapshot_id.as_deref(), Some(cut.id.as_str()));
        assert_eq!(member.creation_time, cut.creation_time);
        assert!(member.ready_to_use);
    }
    // The order of the sources says nothing.
    assert_eq!(rig.group("g", &["a", "b"]).await.unwrap(), cut);
    let rig = rig.again().await;
    assert_eq!(rig.group("g", &["b", "a"]).await.unwrap(), cut);
    let mut ids = members(&cut);
    assert_eq!(rig.describe(&cut.id, &ids).await.unwrap(), cut);
    ids.reverse();
    assert_eq!(rig.describe(&cut.id, &ids).await.unwrap(), cut);
    let of_a = cut.snapshots.iter().find(|it| it.source_volume_id == "a");
    let restored = rig.restore("r", of_a.unwrap()).await;
    assert_eq!(fs::read(rig.data(&restored).join("file")).unwrap(), b"of a");
    let alone = rig.client.delete_snapshot(delete_snapshot(&ids[0])).await;
    refused(alone, Code::InvalidArgument, "is part of group");
    let deletion = || rig.client.delete_volume_group_snapshot(delete("g", &ids));
    deletion().await.unwrap();
    deletion().await.unwrap();
    assert_eq!(rig.snapshots().await, 0);
    assert!(rig.names("groups").is_empty() && rig.names("snapshots").is_empty());
    refused(rig.describe("g", &ids).await, Code::NotFound, "group \"g\"");
}

#[tokio::test]
async fn requests_that_do_not_fit_are_refused_and_change_nothing() {
    let rig = folders().await;
    let cut = rig.group("g", &["a", "b"]).await.unwrap();
    let ids = members(&cut);
    let invalid = Code::InvalidArgument;
    refused(rig.group("", &["a"]).await, invalid, "name: is missing");
    refused(
        rig.group("h", &[]).await,
        invalid,
        "source_volume_ids: is missing",
    );
    refused(
        rig.group("h", &["a", "a"]).await,
        invalid,
        "names \"a\" twice",
    );
    refused(
        rig.group("h", &["a", "none"]).await,
        Code::NotFound,
        "\"none\"",
    );
    let taken = Code::AlreadyExists;
    refused(rig.group("g", &["a"]).await, taken, "cut from");
    refused(rig.group("g", &["a", "b", "c"]).await, taken, "cut from");
    let other = v1::CreateVolumeGroupSnapshotRequest {
        parameters: [("example.org/kind".to_owned(), "other".to_owned())].into(),
        ..group("g", &["a", "b"])
    };
    let other = rig.client.create_volume_group_snapshot(other).await;
    refused(other, taken, "parameters");
    // A snapshot that has the id of a member already, cut by itself.
    let squatter = rig
        .client
        .create_snapshot(snapshot("h/a", "a"))
        .await
        .unwrap();
    refused(
        rig.group("h", &["a", "b"]).await,
        taken,
        "member of this id",
    );
    let member = rig.client.create_snapshot(snapshot("g/a", "a")).await;
    refused(member, taken, "member of group \"g\"");
    let lists = [
        vec![],
        vec![ids[0].clone()],
        vec![ids[0].clone(), squatter.id.clone()],
    ];
    for list in lists {
        let get = rig.describe("g", &list).await;
        refused(get, invalid, "snapshot_ids");
        let gone = rig
            .client
            .delete_volume_group_snapshot(delete("g", &list))
            .await;
        refused(gone, invalid, "snapshot_ids");
    }
    assert_eq!(rig.describe("g", &ids).await.unwrap(), cut);
    assert_eq!(rig.snapshots().await, 3);
}

#[tokio::test]
async fn a_group_is_cut_whole_or_not_at_all() {
    let rig = folders().await;
    // The last of them has lost its data.
    fs::remove_dir(rig.store("volumes/c/data")).unwrap();
    rig.group("g", &["a", "b", "c"]).await.unwrap_err();
    assert!(rig.names("snapshots").is_empty() && rig.names("groups").is_empty());
    assert!(rig.names("aside").is_empty());
    let cut = rig.group("g", &["a", "b"]).await.unwrap();
    rig.snapshot("alone", &rig.volume("a").await).await;
    let place = rig.end().await;
    // As if killed between the members and their group, or in the middle of a deletion.
    fs::remove_dir_all(place.path().join("data/groups/g")).unwrap();
    let rig = Rig::at(place, BackendChoice::Directory).await;
    assert_eq!(rig.names("snapshots"), ["alone"]);
    refused(
        rig.describe("g", &members(&cut)).await,
        Code::NotFound,
        "\"g\"",
    );
    // A group that cannot be read holds on to its members.
    let place = rig.end().await;
    let config = Config {
        allow_non_atomic_groups: true,
        ..config(&place.path().join("data"), BackendChoice::Directory)
    };
    let rig = Rig::of(place, config).await;
    let cut = rig.group("g", &["a", "b"]).await.unwrap();
    fs::write(rig.store("groups/g/record.json"), "scribble").unwrap();
    let rig = rig.again().await;
    assert_eq!(rig.snapshots().await, 3);
    refused(
        rig.group("g", &["a", "b"]).await,
        Code::DataLoss,
        "record.json",
    );
    let deletion = delete("g", &members(&cut));
    rig.client
        .delete_volume_group_snapshot(deletion)
        .await
        .unwrap();
    assert_eq!(rig.names("snapshots"), ["alone"]);
    rig.end().await;
}

/// Writes a number to one volume, waits until it is on disk, then to the other, and so on.
struct Log {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

/// A number takes one sector.
const SECTOR: u64 = 512;

impl Log {
    fn start(paths: [PathBuf; 2], pause: Duration) -> Self {
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let files = paths.map(|path| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            options.open(path).unwrap()
        });
        let thread = thread::spawn({
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            move || {
                for number in 1_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    for file in &files {
                        let at = (number - 1) * SECTOR;
                        file.write_all_at(&number.to_le_bytes(), at).unwrap();
                        file.sync_data().unwrap();
                    }
                    count.store(number, Ordering::Relaxed);
                    thread::sleep(pause);
                }
            }
        });
        Self {
            stop,
            count,
            thread,
        }
    }

    async fn until_more(&self) {
        let before = self.count.load(Ordering::Relaxed);
        let began = Instant::now();
        while self.count.load(Ordering::Relaxed) < before + 3 {
            assert!(began.elapsed() < PATIENCE, "nothing is written any more");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// How many numbers a log has, all of them in order.
fn length(path: &Path) -> u64 {
    let file = File::open(path).unwrap();
    let mut bytes = [0; 8];
    for number in 0.. {
        let found = file.read_exact_at(&mut bytes, number * SECTOR).is_ok();
        let found = if found { u64::from_le_bytes(bytes) } else { 0 };
        if found == 0 {
            return number;
        }
        assert_eq!(found, number + 1);
    }
    unreachable!("numbers never end")
}

/// The log of a volume restored from a snapshot.
async fn restored(rig: &Rig, from: &tintype_csi::Snapshot, access: v1::VolumeCapability) -> u64 {
    let request = from_snapshot(sized("restored", access.clone(), 64), &from.id);
    rig.client.create_volume(request).await.unwrap();
    let shown = rig.show_as("restored", access, "restored").await.unwrap();
    let log = if shown.is_dir() {
        shown.join("log")
    } else {
        shown.clone()
    };
    let length = length(&log);
    rig.hide_from("restored", &shown).await.unwrap();
    rig.client
        .delete_volume(delete_volume("restored"))
        .await
        .unwrap();
    length
}

/// Cuts a group; a caller of CSI tries again after `ABORTED`.
async fn cut_both(rig: &Rig, name: &str) -> [tintype_csi::Snapshot; 2] {
    let began = Instant::now();
    loop {
        match rig.group(name, &["a", "b"]).await {
            Ok(cut) => {
                let of = |id: &str| cut.snapshots.iter().find(|it| it.source_volume_id == id);
                return ["a", "b"].map(|id| of(id).unwrap().clone());
            }
            Err(error) if error.code == Code::Aborted => {
                assert!(began.elapsed() < PATIENCE, "{error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn write_order(rig: &Rig, access: v1::VolumeCapability, pause: Duration) {
    let mut shown = Vec::new();
    for id in ["a", "b"] {
        let request = sized(id, access.clone(), 32);
        rig.client.create_volume(request).await.unwrap();
        shown.push(rig.show_as(id, access.clone(), id).await.unwrap());
    }
    let log = |at: usize| {
        let path: &PathBuf = &shown[at];
        if path.is_dir() {
            path.join("log")
        } else {
            path.clone()
        }
    };
    let writing = Log::start([log(0), log(1)], pause);
    for number in 0..4 {
        writing.until_more().await;
        let [first, second] = cut_both(rig, &format!("g{number}")).await;
        let first = restored(rig, &first, access.clone()).await;
        let second = restored(rig, &second, access.clone()).await;
        // A number is in the second volume only if it is in the first, where it was written before.
        assert!(
            second <= first && first <= second + 1,
            "{first} and {second}"
        );
        assert!(first > 0);
    }
    // The same one after the other is not: this proof can fail.
    let first = rig
        .client
        .create_snapshot(snapshot("s1", "a"))
        .await
        .unwrap();
    writing.until_more().await;
    let second = rig
        .client
        .create_snapshot(snapshot("s2", "b"))
        .await
        .unwrap();
    let first = restored(rig, &first, access.clone()).await;
    let second = restored(rig, &second, access.clone()).await;
    assert!(second > first, "{first} and {second}");
    writing.end();
    for (id, shown) in ["a", "b"].into_iter().zip(&shown) {
        rig.hide_from(id, shown).await.unwrap();
        rig.client.delete_volume(delete_volume(id)).await.unwrap();
    }
}

#[tokio::test]
async fn writes_are_cut_in_the_order_they_were_made_in_file_systems() {
    let Some(rig) = image_rig().await else {
        return;
    };
    write_order(&rig, files("ext4"), Duration::ZERO).await;
    rig.end().await;
}

#[tokio::test]
async fn writes_are_cut_in_the_order_they_were_made_on_devices() {
    let Some(rig) = image_rig().await else {
        return;
    };
    // A device cannot be held, so there has to be a pause at some time.
    write_order(&rig, block(), Duration::from_millis(50)).await;
    rig.end().await;
}

#[tokio::test]
async fn devices_that_are_never_quiet_are_refused_rather_than_cut_apart() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let mut shown = Vec::new();
    for id in ["a", "b"] {
        rig.client
            .create_volume(sized(id, block(), 64))
            .await
            .unwrap();
        shown.push(rig.show_as(id, block(), id).await.unwrap());
    }
    let writing = Log::start([shown[0].clone(), shown[1].clone()], Duration::ZERO);
    writing.until_more().await;
    match rig.group("g", &["a", "b"]).await {
        // Between two writes, after all.
        Ok(cut) => {
            let mut lengths = Vec::new();
            for id in ["a", "b"] {
                let member = cut.snapshots.iter().find(|it| it.source_volume_id == id);
                lengths.push(restored(&rig, member.unwrap(), block()).await);
            }
            assert!(
                lengths[1] <= lengths[0] && lengths[0] <= lengths[1] + 1,
                "{lengths:?}"
            );
        }
        Err(error) => {
            refused::<()>(Err(error), Code::Aborted, "without a pause");
            let left = fs::read_dir(rig.store("pool/snapshots")).unwrap().count();
            assert_eq!(left, 0);
        }
    }
    writing.end();
    for (id, shown) in ["a", "b"].into_iter().zip(&shown) {
        rig.hide_from(id, shown).await.unwrap();
    }
    rig.end().await;
}

#[tokio::test]
async fn files_and_devices_are_cut_together() {
    let Some(rig) = image_rig().await else {
        return;
    };
    rig.client
        .create_volume(sized("a", files("xfs"), 300))
        .await
        .unwrap();
    rig.client
        .create_volume(sized("b", block(), 16))
        .await
        .unwrap();
    rig.client
        .create_volume(sized("c", files("ext4"), 16))
        .await
        .unwrap();
    let shown = rig.show_as("a", files("xfs"), "a").await.unwrap();
    let disk = rig.show_as("b", block(), "b").await.unwrap();
    fs::write(shown.join("file"), "in a").unwrap();
    let cut = rig.group("g", &["a", "b", "c"]).await.unwrap();
    assert_eq!(cut.snapshots.len(), 3);
    fs::write(shown.join("file"), "later").unwrap();
    let of_a = cut
        .snapshots
        .iter()
        .find(|it| it.source_volume_id == "a")
        .unwrap();
    let request = from_snapshot(sized("r", files(""), 300), &of_a.id);
    rig.client.create_volume(request).await.unwrap();
    let restored = rig.show_as("r", files(""), "r").await.unwrap();
    assert_eq!(fs::read(restored.join("file")).unwrap(), b"in a");
    for (id, shown) in [("a", &shown), ("b", &disk), ("r", &restored)] {
        rig.hide_from(id, shown).await.unwrap();
    }
    rig.end().await;
}
