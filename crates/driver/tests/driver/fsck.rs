//! Names against files: what `fsck` says, what it repairs, and that looking changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tintype_driver::{BackendChoice, Config, Finding, Remedy, fsck};

use crate::ground::*;
use crate::rig::*;

/// What `fsck` says of a store, by words that are in it.
fn find<'a>(findings: &'a [Finding], words: &str) -> &'a Finding {
    let found = findings.iter().find(|it| it.problem.contains(words));
    found.unwrap_or_else(|| panic!("{words:?} is not in {findings:#?}"))
}

#[tokio::test]
async fn names_are_compared_with_files_and_repaired() {
    let rig = Rig::new().await;
    for id in ["good", "damaged", "lost", "bare"] {
        let made = rig.volume(id).await;
        rig.snapshot(&format!("of-{id}"), &made).await;
    }
    let config = config(&rig.store(""), BackendChoice::Auto);
    assert!(
        fsck(&config, false)
            .unwrap_err()
            .to_string()
            .contains("another driver runs")
    );
    let place = rig.end().await;
    let store = place.path().join("data");
    let clean = fsck(&config, false).unwrap();
    assert!(clean.is_clean() && clean.findings.is_empty(), "{clean:?}");
    assert_eq!(clean.objects, 8);
    let record = |path: &str| store.join(path).join("record.json");
    let before = fs::read(record("volumes/damaged")).unwrap();
    fs::write(record("volumes/damaged"), "scribble").unwrap();
    fs::remove_file(record("snapshots/of-damaged")).unwrap();
    fs::remove_dir_all(store.join("volumes/lost/data")).unwrap();
    // Without its second copy either: nothing to put back from.
    fs::write(record("volumes/bare"), "scribble").unwrap();
    rustix::fs::removexattr(store.join("volumes/bare"), "user.tintype.record").unwrap();
    fs::write(store.join("volumes/stray"), "").unwrap();
    let found = fsck(&config, false).unwrap();
    assert!(!found.is_clean());
    assert_eq!(found.findings.len(), 5, "{found:#?}");
    let repairable = &find(&found.findings, "volumes/damaged/record.json").remedy;
    assert!(matches!(repairable, Remedy::Possible(_)), "{repairable:?}");
    assert_eq!(fs::read(record("volumes/damaged")).unwrap(), b"scribble");
    let repaired = fsck(&config, true).unwrap();
    for words in [
        "volumes/damaged/record.json",
        "snapshots/of-damaged/record.json",
    ] {
        let remedy = &find(&repaired.findings, words).remedy;
        assert!(matches!(remedy, Remedy::Done(_)), "{remedy:?}");
    }
    for words in [
        "volumes/bare/record.json",
        "volumes/lost/data",
        "volumes/stray",
    ] {
        let remedy = &find(&repaired.findings, words).remedy;
        assert!(matches!(remedy, Remedy::Advice(_)), "{remedy:?}");
    }
    assert_eq!(fs::read(record("volumes/damaged")).unwrap(), before);
    fs::remove_file(store.join("volumes/stray")).unwrap();
    for lost in ["volumes/lost", "volumes/bare"] {
        fs::remove_dir_all(store.join(lost)).unwrap();
    }
    assert!(fsck(&config, true).unwrap().findings.is_empty());
    let rig = Rig::at(place, BackendChoice::Auto).await;
    rig.volume("damaged").await;
    assert_eq!(rig.names("snapshots").len(), 4);
    let nothing = Config {
        data_dir: rig.place.path().join("nothing"),
        ..config
    };
    let error = fsck(&nothing, true).unwrap_err().to_string();
    assert!(error.contains("no store in"), "{error}");
    assert!(!nothing.data_dir.exists());
}

#[tokio::test]
async fn images_are_compared_with_their_names_too() {
    let Some(rig) = image_rig().await else {
        return;
    };
    for id in ["good", "missing", "short", "forgotten"] {
        rig.client
            .create_volume(sized(id, block(), 16))
            .await
            .unwrap();
    }
    rig.show_as("forgotten", block(), "shown").await.unwrap();
    let place = rig.end().await;
    let config = images(&place);
    let rig = Rig::of(place, config.clone()).await;
    let volumes = rig.store("pool/volumes");
    fs::remove_file(volumes.join("missing/data")).unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(volumes.join("short/data"))
        .unwrap();
    file.set_len(4096).unwrap();
    drop(file);
    let place = rig.end().await;
    // Published, so the pool stayed: its folder can be taken away under the device.
    fs::remove_dir_all(volumes.join("forgotten")).unwrap();
    let attached = devices(&place.path().join("data/pool/volumes"));
    assert_eq!(attached.len(), 1, "{attached:?}");
    rustix::mount::unmount(
        place.path().join("shown"),
        rustix::mount::UnmountFlags::empty(),
    )
    .unwrap();
    let found = fsck(&config, true).unwrap();
    find(&found.findings, "volumes/missing/data");
    find(&found.findings, "has 4096 bytes of 16777216");
    find(&found.findings, "is to show volume \"forgotten\"");
    find(&found.findings, "volume \"forgotten\" is attached");
    assert_eq!(found.findings.len(), 4, "{found:#?}");
    assert!(
        devices(place.path()).is_empty(),
        "{:?}",
        devices(place.path())
    );
}

/// Every name below a folder, with its length and when it changed.
fn all_of(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let there = fs::symlink_metadata(&path).unwrap();
        if there.is_dir() {
            found.extend(all_of(&path));
        }
        found.insert(path, (there.len(), there.mtime(), there.mtime_nsec()));
    }
    found
}

#[tokio::test]
async fn looking_changes_nothing_and_repairing_sweeps() {
    for backend in [BackendChoice::Directory, BackendChoice::Null] {
        let rig = Rig::with(backend).await;
        rig.volume("good").await;
        rig.volume("gone").await;
        rig.client
            .delete_volume(delete_volume("gone"))
            .await
            .unwrap();
        let config = config(&rig.store(""), BackendChoice::Auto);
        let place = rig.end().await;
        let store = place.path().join("data");
        fs::create_dir_all(store.join("aside/7/data")).unwrap();
        fs::write(store.join("aside/7/data/file"), "half").unwrap();
        let before = all_of(&store);
        for _ in 0..2 {
            let found = fsck(&config, false).unwrap();
            let leftover = &find(&found.findings, "aside holds 1 that").remedy;
            assert!(matches!(leftover, Remedy::Possible(_)), "{leftover:?}");
            assert_eq!((found.findings.len(), found.objects), (1, 1), "{found:#?}");
            assert!(!found.is_clean());
            assert_eq!(all_of(&store), before);
        }
        let repaired = fsck(&config, true).unwrap();
        assert!(repaired.is_clean(), "{repaired:#?}");
        assert_eq!(repaired.findings.len(), 1, "{repaired:#?}");
        assert!(!store.join("aside/7").exists());
        assert!(fsck(&config, false).unwrap().findings.is_empty());
    }
}

#[tokio::test]
async fn looking_at_images_mounts_to_read_and_thaws_nothing() {
    let Some(rig) = image_rig().await else {
        return;
    };
    let request = sized("v", files(""), 16);
    rig.client.create_volume(request).await.unwrap();
    let place = rig.end().await;
    let (config, store) = (images(&place), place.path().join("data"));
    assert!(mounts(&store).is_empty());
    fs::write(store.join("frozen/v"), "").unwrap();
    let before = all_of(&store);
    for _ in 0..2 {
        let found = fsck(&config, false).unwrap();
        let mark = &find(&found.findings, "frozen/v says").remedy;
        assert!(matches!(mark, Remedy::Possible(_)), "{mark:?}");
        assert_eq!((found.findings.len(), found.objects), (1, 1), "{found:#?}");
        assert!(mounts(&store).is_empty(), "{:?}", mounts(&store));
        assert_eq!(all_of(&store), before);
    }
    let repaired = fsck(&config, true).unwrap();
    assert!(repaired.is_clean(), "{repaired:#?}");
    assert_eq!(repaired.findings.len(), 1, "{repaired:#?}");
    assert!(!store.join("frozen/v").exists());
    assert!(fsck(&config, false).unwrap().findings.is_empty());
    // What is in use stays mounted.
    let rig = Rig::of(place, config.clone()).await;
    let target = rig.show_as("v", files(""), "shown").await.unwrap();
    let place = rig.end().await;
    let there = mounts(place.path());
    assert!(there.len() >= 2, "{there:?}");
    assert!(fsck(&config, false).unwrap().findings.is_empty());
    assert_eq!(mounts(place.path()), there);
    let rig = Rig::of(place, config).await;
    rig.hide_from("v", &target).await.unwrap();
    rig.end().await;
}
