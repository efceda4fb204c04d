//! Measures snapshots of images: `cargo bench -p tintype-driver --bench image`, as root.
//!
//! Prints what one snapshot of a volume of 10 GiB with 1 GiB of data takes while 8 MiB are not yet
//! written, what each hundred of 1,000 take, and what `df` says of the pool, also when all of them
//! are deleted. `TMPDIR` says on which disk; `/dev/shm` tells most of what the snapshots themselves take.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it is run by hand, and prints what it finds"
)]

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use tintype_csi::v1::volume_capability::{AccessMode, AccessType, MountVolume, access_mode::Mode};
use tintype_csi::{Address, Client, v1};
use tintype_driver::{BackendChoice, Config, Driver};
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;
const SNAPSHOTS: usize = 1000;
const DIRTY: u8 = 10;
/// Mebibytes: 8 in the file that was written meanwhile, and room that XFS took in advance.
const STAYS: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: images need root");
        return;
    }
    let prefix = format!("tintype-test-{}-", std::process::id());
    let place = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
    let driver = Driver::open(Config {
        data_dir: place.path().join("data"),
        driver_name: "csi.example.org".to_owned(),
        backend: BackendChoice::Image,
        node_id: "here".to_owned(),
        topology: std::collections::BTreeMap::new(),
        pool_size: Some(16 << 30),
        allow_non_atomic_groups: false,
    });
    let driver = driver.unwrap();
    let address = Address::at(place.path().join("csi.sock")).unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (address, stop) = (address.clone(), stop.clone());
        async move { driver.serve(&address, stop).await }
    });
    let client = Client::connect(&address, PATIENCE).await.unwrap();
    measure(&client.with_deadline(PATIENCE), place.path()).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
}

async fn measure(client: &Client, place: &Path) {
    let capability = Some(v1::VolumeCapability {
        access_type: Some(AccessType::Mount(MountVolume::default())),
        access_mode: Some(AccessMode {
            mode: Mode::SingleNodeWriter.into(),
        }),
    });
    let create = v1::CreateVolumeRequest {
        name: "v".to_owned(),
        capacity_range: Some(v1::CapacityRange {
            required_bytes: 10 << 30,
            limit_bytes: 0,
        }),
        volume_capabilities: capability.clone().into_iter().collect(),
        ..Default::default()
    };
    client.create_volume(create).await.unwrap();
    let (staging, target) = (place.join("staging"), place.join("shown"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let stage = v1::NodeStageVolumeRequest {
        volume_id: "v".to_owned(),
        staging_target_path: text(&staging),
        volume_capability: capability.clone(),
        ..Default::default()
    };
    client.node_stage_volume(stage).await.unwrap();
    let publish = v1::NodePublishVolumeRequest {
        volume_id: "v".to_owned(),
        staging_target_path: text(&staging),
        target_path: text(&target),
        volume_capability: capability,
        ..Default::default()
    };
    client.node_publish_volume(publish).await.unwrap();
    fs::write(target.join("data"), vec![7; 1024 * MIB]).unwrap();
    File::open(target.join("data")).unwrap().sync_all().unwrap();
    let pool = place.join("data/pool");
    let full = used(&pool);
    println!("pool after 1 GiB of data: {full} MiB used");

    let mut times = Vec::new();
    for number in 0..DIRTY {
        fs::write(target.join("dirty"), vec![number; 8 * MIB]).unwrap();
        times.push(cut(client, &format!("dirty-{number}")).await);
    }
    println!("a snapshot with 8 MiB dirty: {}", told(&mut times));

    let before = used(&pool);
    let mut times = Vec::with_capacity(SNAPSHOTS);
    for number in 0..SNAPSHOTS {
        fs::write(target.join("small"), number.to_string()).unwrap();
        times.push(cut(client, &format!("s{number}")).await);
    }
    let after = used(&pool);
    println!("{SNAPSHOTS} snapshots: {before} MiB used before, {after} MiB after");
    for (number, hundred) in times.chunks_mut(100).enumerate() {
        println!("those from {:4} on: {}", number * 100, told(hundred));
    }
    let ratio = median(&times[SNAPSHOTS - 100..]).div_duration_f64(median(&times[..100]));
    println!("the last 100 against the first 100, by their medians: {ratio:.2}");

    let began = Instant::now();
    for number in 0..SNAPSHOTS {
        delete(client, &format!("s{number}")).await;
    }
    let each = began.elapsed() / u32::try_from(SNAPSHOTS).unwrap();
    for number in 0..DIRTY {
        delete(client, &format!("dirty-{number}")).await;
    }
    let (began, answered) = (Instant::now(), used(&pool));
    // The kernel frees blocks in the background.
    while used(&pool) > full + STAYS && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (later, left) = (began.elapsed(), used(&pool));
    println!("all deleted, {each:.1?} each: {answered} MiB used, {left} MiB {later:.1?} later");
    hide(client, &target).await;
}

async fn cut(client: &Client, name: &str) -> Duration {
    let began = Instant::now();
    let request = v1::CreateSnapshotRequest {
        name: name.to_owned(),
        source_volume_id: "v".to_owned(),
        ..Default::default()
    };
    client.create_snapshot(request).await.unwrap();
    began.elapsed()
}

async fn delete(client: &Client, id: &str) {
    let request = v1::DeleteSnapshotRequest {
        snapshot_id: id.to_owned(),
        ..Default::default()
    };
    client.delete_snapshot(request).await.unwrap();
}

async fn hide(client: &Client, target: &Path) {
    let request = v1::NodeUnpublishVolumeRequest {
        volume_id: "v".to_owned(),
        target_path: target.to_str().unwrap().to_owned(),
    };
    client.node_unpublish_volume(request).await.unwrap();
}

/// Mebibytes, as df(1) tells.
fn used(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    (found.f_blocks - found.f_bfree) * found.f_frsize / MIB as u64
}

/// Sorts them.
fn told(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let worst = times[times.len() - 1];
    format!("median {:.1?}, worst {worst:.1?}", median(times))
}

/// Of sorted times.
fn median(times: &[Duration]) -> Duration {
    times[times.len() / 2]
}
