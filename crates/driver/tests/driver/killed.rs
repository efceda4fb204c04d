//! Images and `kill -9`: nothing acknowledged is lost, nothing leaks, nothing stays frozen.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tintype_csi::{Address, Client, v1};
use tintype_driver::{BackendChoice, Driver};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::ground::*;
use crate::rig::*;

/// Names the folder to the process that is to be a driver.
const PLACE: &str = "TINTYPE_TEST_DRIVER";
const ENTRY: &str = "killed::is_a_driver_when_entered_again";

/// Not a test unless the process was started to be a driver.
#[tokio::test]
async fn is_a_driver_when_entered_again() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
        return;
    };
    // A test that is killed leaves no driver running.
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal)).unwrap();
    let mut config = config(&place.join("data"), BackendChoice::Image);
    config.pool_size = Some(POOL);
    let driver = Driver::open(config).unwrap();
    let address = Address::at(place.join("csi.sock")).unwrap();
    driver
        .serve(&address, CancellationToken::new())
        .await
        .unwrap();
}

/// A driver in a process of its own. Dropped, it is killed.
struct Machine(Child);

impl Machine {
    async fn start(place: &Path) -> (Self, Client) {
        // Left by one that was killed; we are to reach the new one.
        let _ = fs::remove_file(place.join("csi.sock"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--nocapture"])
            .env(PLACE, place)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = Address::at(place.join("csi.sock")).unwrap();
        let client = Client::connect(&address, PATIENCE).await.unwrap();
        (Self(child), client.with_deadline(PATIENCE))
    }

    fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Writes to a file system all the time, and tells how far it got.
struct Writer {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Writer {
    fn start(folder: &Path) -> Self {
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut file = File::create(folder.join("written")).unwrap();
        let thread = thread::spawn({
            let (stop, count) = (Arc::clone(&stop), Arc::clone(&count));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    file.write_all(&[1; 4096]).unwrap();
                    file.sync_data().unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Self {
            stop,
            count,
            thread,
        }
    }

    /// Waits until more was written: impossible as long as the file system is frozen.
    async fn must_go_on(&self) {
        let before = self.count.load(Ordering::Relaxed);
        let began = Instant::now();
        while self.count.load(Ordering::Relaxed) < before + 2 {
            assert!(began.elapsed() < PATIENCE, "the volume is still frozen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

async fn show(client: &Client, place: &Path, id: &str) -> PathBuf {
    let staging = place.join("staging").to_str().unwrap().to_owned();
    let stage = v1::NodeStageVolumeRequest {
        volume_id: id.into(),
        staging_target_path: staging.clone(),
        volume_capability: Some(files("")),
        ..Default::default()
    };
    client.node_stage_volume(stage).await.unwrap();
    let target = place.join(format!("shown-{id}"));
    let publish = v1::NodePublishVolumeRequest {
        volume_id: id.into(),
        staging_target_path: staging,
        target_path: target.to_str().unwrap().to_owned(),
        volume_capability: Some(files("")),
        ..Default::default()
    };
    client.node_publish_volume(publish).await.unwrap();
    target
}

async fn hide(client: &Client, id: &str, target: &Path) {
    let unpublish = v1::NodeUnpublishVolumeRequest {
        volume_id: id.into(),
        target_path: target.to_str().unwrap().to_owned(),
    };
    client.node_unpublish_volume(unpublish).await.unwrap();
    let unstage = v1::NodeUnstageVolumeRequest {
        volume_id: id.into(),
        staging_target_path: "/tmp/staging".into(),
    };
    client.node_unstage_volume(unstage).await.unwrap();
}

/// What a client was told in one round.
#[derive(Default)]
struct Told {
    snapshots: BTreeSet<String>,
    groups: BTreeSet<(String, Vec<String>)>,
    volumes: BTreeSet<String>,
}

/// Makes things until the driver is gone.
async fn make(client: Client, round: u64) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let name = format!("{round}-{number}");
        let Ok(cut) = client
            .create_snapshot(snapshot(&format!("s{name}"), "v"))
            .await
        else {
            break;
        };
        told.snapshots.insert(cut.id.clone());
        let group = v1::CreateVolumeGroupSnapshotRequest {
            name: format!("g{name}"),
            source_volume_ids: vec!["v".into(), "w".into()],
            ..Default::default()
        };
        let Ok(group) = client.create_volume_group_snapshot(group).await else {
            break;
        };
        let members = group.snapshots.iter().map(|it| it.id.clone()).collect();
        told.groups.insert((group.id, members));
        let request = from_snapshot(sized(&format!("r{name}"), files(""), 16), &cut.id);
        let Ok(volume) = client.create_volume(request).await else {
            break;
        };
        told.volumes.insert(volume.id);
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_driver_loses_nothing_leaks_nothing_and_freezes_nothing() {
    const ROUNDS: u64 = 6;
    let Some(place) = Box::pin(async { ground() }).await else {
        return;
    };
    Box::pin(rounds(place, ROUNDS)).await;
}

async fn rounds(place: TempDir, rounds: u64) {
    let (mut machine, mut client) = Machine::start(place.path()).await;
    for id in ["v", "w"] {
        let request = sized(id, files(""), 64);
        client.create_volume(request).await.unwrap();
    }
    let shown = show(&client, place.path(), "v").await;
    let other = show(&client, place.path(), "w").await;
    let pool = place.path().join("data/pool");
    let empty = used(&pool);
    let writer = Writer::start(&shown);
    for round in 0..rounds {
        let making = tokio::spawn(make(client, round));
        // Different moments of the work, the same at every run of this test.
        let chance = u64::from(blake3::hash(&round.to_le_bytes()).as_bytes()[0]);
        tokio::time::sleep(Duration::from_millis(200 + 3 * chance)).await;
        machine.kill();
        let told = making.await.unwrap();
        println!(
            "round {round}: {} snapshots, {} groups, {} volumes acknowledged",
            told.snapshots.len(),
            told.groups.len(),
            told.volumes.len()
        );
        writer.must_go_on().await;
        (machine, client) = Machine::start(place.path()).await;
        writer.must_go_on().await;
        check(&client, place.path(), &told).await;
        clear(&client).await;
    }
    writer.end();
    hide(&client, "v", &shown).await;
    hide(&client, "w", &other).await;
    for id in ["v", "w"] {
        client.delete_volume(delete_volume(id)).await.unwrap();
    }
    let began = Instant::now();
    while used(&pool) > empty {
        assert!(began.elapsed() < PATIENCE, "{} of {empty}", used(&pool));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    machine.kill();
    // One that ends as it should takes all away.
    let config = images(&place);
    let place = Rig::of(place, config).await.end().await;
    assert!(
        devices(place.path()).is_empty(),
        "{:?}",
        devices(place.path())
    );
    assert!(mounts(&place.path().join("data")).is_empty());
}

/// All that was acknowledged is there, and nothing is half there.
async fn check(client: &Client, place: &Path, told: &Told) {
    let snapshots = client
        .list_snapshots(v1::ListSnapshotsRequest::default())
        .await;
    let snapshots = snapshots.unwrap().entries;
    let ids: BTreeSet<String> = snapshots.iter().map(|it| it.id.clone()).collect();
    assert!(told.snapshots.is_subset(&ids), "{ids:?}");
    for (group, members) in &told.groups {
        let get = v1::GetVolumeGroupSnapshotRequest {
            group_snapshot_id: group.clone(),
            snapshot_ids: members.clone(),
            ..Default::default()
        };
        let found = client.get_volume_group_snapshot(get).await.unwrap();
        assert_eq!(found.snapshots.len(), 2);
    }
    let volumes = client.list_volumes(v1::ListVolumesRequest::default()).await;
    let volumes = volumes.unwrap().entries;
    for listed in &volumes {
        assert_eq!(listed.trouble, None, "{listed:?}");
    }
    let ids: BTreeSet<String> = volumes.into_iter().map(|it| it.volume.id).collect();
    assert!(told.volumes.is_subset(&ids), "{ids:?}");
    for (folder, known) in [
        ("volumes", ids.len()),
        ("snapshots", snapshots.len()),
        ("aside", 0),
    ] {
        let there = fs::read_dir(place.join("data/pool").join(folder)).unwrap();
        assert_eq!(there.count(), known, "{folder}");
    }
    assert_eq!(fs::read_dir(place.join("data/frozen")).unwrap().count(), 0);
    // A file is behind one device, whoever attached it.
    let attached = devices(place);
    let distinct: BTreeSet<_> = attached.iter().collect();
    assert_eq!(distinct.len(), attached.len(), "{attached:?}");
    if let Some(last) = snapshots.last() {
        let request = from_snapshot(sized("last", files(""), 64), &last.id);
        client.create_volume(request).await.unwrap();
        let shown = show(client, place, "last").await;
        assert!(fs::read_dir(&shown).unwrap().count() <= 1);
        hide(client, "last", &shown).await;
    }
}

/// Deletes all but the two volumes.
async fn clear(client: &Client) {
    let volumes = client.list_volumes(v1::ListVolumesRequest::default()).await;
    for listed in volumes.unwrap().entries {
        let id = listed.volume.id;
        if !["v", "w"].contains(&id.as_str()) {
            client.delete_volume(delete_volume(&id)).await.unwrap();
        }
    }
    let list = || client.list_snapshots(v1::ListSnapshotsRequest::default());
    for cut in list().await.unwrap().entries {
        // Members go with their group, which the first of them takes along.
        let Some(group) = &cut.group_snapshot_id else {
            client
                .delete_snapshot(delete_snapshot(&cut.id))
                .await
                .unwrap();
            continue;
        };
        let all = list().await.unwrap().entries;
        let members = all
            .iter()
            .filter(|it| it.group_snapshot_id.as_ref() == Some(group));
        let snapshot_ids: Vec<String> = members.map(|it| it.id.clone()).collect();
        if !snapshot_ids.is_empty() {
            let delete = v1::DeleteVolumeGroupSnapshotRequest {
                group_snapshot_id: group.clone(),
                snapshot_ids,
                ..Default::default()
            };
            client.delete_volume_group_snapshot(delete).await.unwrap();
        }
    }
    assert!(list().await.unwrap().entries.is_empty());
}

fn fsfreeze(what: &str, place: &Path) -> bool {
    let mut command = Command::new("fsfreeze");
    command.arg(what).arg(place).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[tokio::test]
async fn what_a_driver_and_its_guard_left_frozen_is_thawed_and_nothing_else() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let mut shown = Vec::new();
    for id in ["ours", "theirs"] {
        rig.client
            .create_volume(sized(id, files(""), 16))
            .await
            .unwrap();
        shown.push(rig.show_as(id, files(""), id).await.unwrap());
    }
    let place = rig.end().await;
    for place in &shown {
        assert!(fsfreeze("--freeze", place));
    }
    fs::write(place.path().join("data/frozen/ours"), "").unwrap();
    // A volume that is no more: its mark holds nothing up.
    fs::write(place.path().join("data/frozen/gone"), "").unwrap();
    let config = images(&place);
    let rig = Rig::of(place, config).await;
    assert!(!fsfreeze("--unfreeze", &shown[0]), "it was still frozen");
    assert_eq!(rig.names("frozen").len(), 0);
    fs::write(shown[0].join("file"), "thawed").unwrap();
    // Somebody's backup holds this one, and can be cut nevertheless.
    let cut = rig
        .client
        .create_snapshot(snapshot("s", "theirs"))
        .await
        .unwrap();
    assert!(fsfreeze("--unfreeze", &shown[1]), "it was thawed by us");
    assert_eq!(cut.id, "s");
    for (id, place) in ["ours", "theirs"].into_iter().zip(&shown) {
        rig.hide_from(id, place).await.unwrap();
    }
    rig.end().await;
}

#[tokio::test]
async fn a_pool_that_was_half_made_is_made_anew_and_one_that_is_missing_is_missed() {
    let Some(place) = ground() else {
        return;
    };
    let (config, data) = (images(&place), place.path().join("data"));
    fs::create_dir(&data).unwrap();
    // As if killed while the file system was made.
    File::create(data.join("pool.new"))
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    fs::create_dir(data.join("pool")).unwrap();
    let rig = Rig::of(place, config.clone()).await;
    let made = rig.volume("v").await;
    let names = ["frozen", "lock", "mounts", "pool", "pool.img", "store.json"];
    assert_eq!(rig.names(""), names);
    let place = rig.end().await;
    // As if killed before the pool got its name.
    fs::rename(data.join("pool.img"), data.join("pool.new")).unwrap();
    let rig = Rig::of(place, config.clone()).await;
    assert_eq!(rig.volume("v").await, made);
    let place = rig.end().await;
    fs::rename(data.join("pool.img"), place.path().join("away")).unwrap();
    let error = Driver::open(config.clone()).unwrap_err().to_string();
    assert!(
        error.contains("pool.img is missing, and with it all volumes"),
        "{error}"
    );
    fs::rename(place.path().join("away"), data.join("pool.img")).unwrap();
    // A pool grows when it is told to.
    let larger = tintype_driver::Config {
        pool_size: Some(2 * POOL),
        ..config.clone()
    };
    let rig = Rig::of(place, larger).await;
    assert!(total(&rig.store("pool")) > POOL * 3 / 2);
    assert_eq!(rig.volume("v").await, made);
    let place = rig.end().await;
    // And never shrinks.
    let rig = Rig::of(place, config).await;
    assert!(total(&rig.store("pool")) > POOL * 3 / 2);
    let outcome = rig.client.delete_volume(delete_volume("v")).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    let mut text = String::new();
    let mut label = File::open(rig.store("store.json")).unwrap();
    label.read_to_string(&mut text).unwrap();
    assert!(text.contains("\"pool\": \"file\""), "{text}");
    let none = rig.client.create_snapshot(snapshot("s", "v")).await;
    refused(none, Code::NotFound, "\"v\"");
    rig.end().await;
}
