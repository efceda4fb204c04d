//! Images when things go wrong below them: no room, no file, damage, read-only.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tintype_driver::Config;
use tonic::Code;

use crate::ground::*;
use crate::rig::*;

/// Writes until there is no room, and says how that was told.
fn fill_up(path: &Path, most: usize) -> Option<std::io::Error> {
    let mut file = File::create(path).unwrap();
    for _ in 0..most {
        let written = file
            .write_all(&vec![5; 1 << 20])
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            return Some(error);
        }
    }
    None
}

#[tokio::test]
async fn a_full_pool_is_said_harms_nobody_else_and_can_be_freed() {
    let Some(place) = ground() else {
        return;
    };
    let config = Config {
        pool_size: Some(400 << 20),
        ..images(&place)
    };
    let rig = Rig::of(place, config).await;
    let made = rig
        .client
        .create_volume(sized("v", files(""), 240))
        .await
        .unwrap();
    rig.client
        .create_volume(sized("w", files(""), 32))
        .await
        .unwrap();
    let shown = rig.show_as("v", files(""), "v").await.unwrap();
    let other = rig.show_as("w", files(""), "w").await.unwrap();
    fs::write(other.join("file"), "of somebody else").unwrap();
    File::open(other.join("file")).unwrap().sync_all().unwrap();
    assert!(fill_up(&shown.join("large"), 150).is_none());
    let cut = rig.snapshot("s", &made).await;
    // All blocks again: the snapshot keeps the old ones, and there are not as many.
    fs::remove_file(shown.join("large")).unwrap();
    let error = fill_up(&shown.join("more"), 220);
    println!("the volume was told {error:?}");
    for outcome in [
        rig.client
            .create_snapshot(snapshot("t", "w"))
            .await
            .map(drop),
        rig.client
            .create_volume(sized("x", files(""), 16))
            .await
            .map(drop),
        rig.client
            .create_volume(from_snapshot(sized("r", files(""), 240), &cut.id))
            .await
            .map(drop),
    ] {
        refused(outcome, Code::ResourceExhausted, "the pool at ");
    }
    assert!(rig.names("pool/aside").is_empty());
    let trouble = rig.trouble("w").await.unwrap();
    assert!(trouble.contains("--pool-size"), "{trouble}");
    assert_eq!(fs::read(other.join("file")).unwrap(), b"of somebody else");
    // Deleting works without room, and gives room.
    rig.client
        .delete_snapshot(delete_snapshot("s"))
        .await
        .unwrap();
    rig.hide_from("v", &shown).await.unwrap();
    rig.client.delete_volume(delete_volume("v")).await.unwrap();
    let began = std::time::Instant::now();
    while rig
        .client
        .create_snapshot(snapshot("t", "w"))
        .await
        .is_err()
    {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fs::write(other.join("file"), "still alive").unwrap();
    File::open(other.join("file")).unwrap().sync_all().unwrap();
    rig.hide_from("w", &other).await.unwrap();
    rig.end().await;
}

/// Bytes that a process may still take of the file system at a path.
fn available(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_bavail * found.f_frsize
}

#[tokio::test]
async fn room_that_was_only_taken_in_advance_is_no_reason_to_refuse() {
    const LEFT: u64 = 48 << 20;
    let Some(rig) = image_rig().await else {
        return;
    };
    let request = sized("v", files(""), 512);
    let made = rig.client.create_volume(request).await.unwrap();
    let shown = rig.show_as("v", files(""), "v").await.unwrap();
    assert!(fill_up(&shown.join("large"), 200).is_none());
    rig.snapshot("s", &made).await;
    let (pool, before) = (rig.store("pool"), available(&rig.store("pool")));
    let large = OpenOptions::new().write(true).open(shown.join("large"));
    let large = large.unwrap();
    for mebibyte in 0..200 {
        large.write_all_at(&[6; 4096], mebibyte << 20).unwrap();
    }
    large.sync_all().unwrap();
    // Less than a mebibyte was written to blocks that the snapshot shares.
    let taken = before - available(&pool);
    assert!(taken > 100 << 20, "{taken}");
    let filler = File::create(pool.join("filler")).unwrap();
    let room = available(&pool) - LEFT;
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, room).unwrap();
    assert!(available(&pool) <= LEFT);
    rig.snapshot("t", &made).await;
    assert!(available(&pool) > LEFT);
    drop((large, filler));
    rig.hide_from("v", &shown).await.unwrap();
    rig.end().await;
}

#[tokio::test]
async fn an_image_that_is_missing_cut_off_or_damaged_is_said_and_harms_no_other() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for id in ["missing", "short", "damaged", "whole"] {
        rig.client
            .create_volume(sized(id, files(""), 16))
            .await
            .unwrap();
        rig.client
            .create_snapshot(snapshot(&format!("of-{id}"), id))
            .await
            .unwrap();
    }
    let image = |id: &str| rig.store("pool/volumes").join(id).join("data");
    fs::remove_file(image("missing")).unwrap();
    // Not kept open: the pool would stay mounted, and the folder of the test with it.
    let open = |id: &str| OpenOptions::new().write(true).open(image(id)).unwrap();
    open("short").set_len(1 << 20).unwrap();
    // The superblock stays; what it speaks of does not.
    open("damaged")
        .write_all_at(&vec![0xff; 64 << 10], 4096)
        .unwrap();
    fs::remove_file(rig.store("pool/snapshots/of-missing/data")).unwrap();
    for (id, words) in [
        ("missing", "pool/volumes/missing/data"),
        ("short", "has 1048576 bytes of 16777216"),
        ("damaged", "e2fsck -f"),
    ] {
        let shown = rig.show_as(id, files(""), id).await;
        refused(shown, Code::DataLoss, words);
    }
    for id in ["missing", "short"] {
        let cut = rig.client.create_snapshot(snapshot("t", id)).await;
        refused(cut, Code::DataLoss, id);
    }
    let request = from_snapshot(sized("r", files(""), 16), "of-missing");
    let outcome = rig.client.create_volume(request).await;
    refused(outcome, Code::DataLoss, "snapshots/of-missing/data");
    assert!(rig.names("pool/aside").is_empty());
    // The snapshots of the damaged ones are as good as before.
    for id in ["short", "damaged"] {
        let request = from_snapshot(sized("r", files(""), 16), &format!("of-{id}"));
        rig.client.create_volume(request).await.unwrap();
        let shown = rig.show_as("r", files(""), "r").await.unwrap();
        rig.hide_from("r", &shown).await.unwrap();
        rig.client.delete_volume(delete_volume("r")).await.unwrap();
    }
    let shown = rig.show_as("whole", files(""), "whole").await.unwrap();
    fs::write(shown.join("file"), "x").unwrap();
    rig.hide_from("whole", &shown).await.unwrap();
    for id in ["missing", "short", "damaged"] {
        rig.client.delete_volume(delete_volume(id)).await.unwrap();
    }
    assert_eq!(rig.names("pool/volumes"), ["whole"]);
    rig.end().await;
}

#[tokio::test]
async fn read_only_below_is_said_with_a_cure() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let made = rig
        .client
        .create_volume(sized("v", files(""), 16))
        .await
        .unwrap();
    let shown = rig.show_as("v", files(""), "v").await.unwrap();
    let remount = |place: &Path, flags: rustix::mount::MountFlags| {
        rustix::mount::mount_remount(place, flags, c"").unwrap();
    };
    // As the kernel does with a volume whose file system is in disorder.
    let mounted = rig.store("mounts/v");
    remount(&mounted, rustix::mount::MountFlags::RDONLY);
    let trouble = rig.trouble("v").await.unwrap();
    assert!(
        trouble.contains("read-only") && trouble.contains("e2fsck"),
        "{trouble}"
    );
    // What is there can be saved.
    rig.snapshot("saved", &made).await;
    remount(&mounted, rustix::mount::MountFlags::empty());
    assert_eq!(rig.trouble("v").await, None);
    rig.hide_from("v", &shown).await.unwrap();
    remount(&rig.store("pool"), rustix::mount::MountFlags::RDONLY);
    let cut = rig.client.create_snapshot(snapshot("s", "v")).await;
    refused(
        cut,
        Code::FailedPrecondition,
        "mount that file system for writing",
    );
    let gone = rig.client.delete_volume(delete_volume("v")).await;
    refused(gone, Code::FailedPrecondition, "pool/");
    remount(&rig.store("pool"), rustix::mount::MountFlags::empty());
    rig.snapshot("s", &made).await;
    rig.end().await;
}

#[tokio::test]
async fn no_inodes_left_below_is_said() {
    let Some(place) = ground() else {
        return;
    };
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    let options = Some(c"size=600m,nr_inodes=40");
    rustix::mount::mount("tmpfs", &data, "tmpfs", flags, options).unwrap();
    let config = Config {
        pool_size: Some(400 << 20),
        ..images(&place)
    };
    let rig = Rig::of(place, config).await;
    rig.client
        .create_volume(sized("v", files(""), 16))
        .await
        .unwrap();
    let mut fillers = 0;
    while File::create(data.join(format!("filler-{fillers}"))).is_ok() {
        fillers += 1;
    }
    // No folder can be made to mount the volume at.
    let shown = rig.show_as("v", files(""), "v").await;
    refused(shown, Code::ResourceExhausted, "mounts/v");
    for filler in 0..fillers {
        fs::remove_file(data.join(format!("filler-{filler}"))).unwrap();
    }
    let shown = rig.show_as("v", files(""), "v").await.unwrap();
    rig.hide_from("v", &shown).await.unwrap();
    let place = rig.end().await;
    rustix::mount::unmount(&data, rustix::mount::UnmountFlags::empty()).unwrap();
    drop(place);
}
