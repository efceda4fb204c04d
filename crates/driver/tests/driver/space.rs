//! A full file system: the right code, and nothing half-made left.

use std::fs;
use std::path::PathBuf;

use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;
use tintype_driver::BackendChoice;
use tintype_testing::not_run;
use tonic::Code;

use crate::rig::*;

/// A small file system, gone with the test.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

async fn on_eight_mebibytes() -> Option<(Rig, Small)> {
    let place = TempDir::new().unwrap();
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    let options = Some(c"size=8m,nr_inodes=300");
    match rustix::mount::mount("tmpfs", &data, "tmpfs", MountFlags::empty(), options) {
        Ok(()) => {
            let small = Small(data);
            Some((Rig::at(place, BackendChoice::Directory).await, small))
        }
        Err(errno) => {
            not_run(&format!("it needs to mount a tmpfs: {errno}"));
            None
        }
    }
}

#[tokio::test]
async fn out_of_space_is_said_and_leaves_nothing_half_made() {
    let Some((rig, _small)) = on_eight_mebibytes().await else {
        return;
    };
    let made = rig.volume("v").await;
    fs::write(rig.data(&made).join("a"), vec![1; 3 << 20]).unwrap();
    fs::write(rig.data(&made).join("b"), vec![2; 2 << 20]).unwrap();
    let cut = rig.client.create_snapshot(snapshot("s", "v")).await;
    refused(cut, Code::ResourceExhausted, "free some space");
    let cloned = rig
        .client
        .create_volume(from_volume(volume("c"), "v"))
        .await
        .unwrap_err();
    assert_eq!(
        (cloned.code, cloned.is_uncertain()),
        (Code::ResourceExhausted, false)
    );
    assert_eq!(rig.names("volumes"), ["v"]);
    assert!(rig.names("snapshots").is_empty() && rig.names("aside").is_empty());
    // With room again, the same request works.
    fs::remove_file(rig.data(&made).join("a")).unwrap();
    let cut = rig.snapshot("s", &made).await;
    // And deleting gives the room back.
    rig.client
        .delete_snapshot(delete_snapshot(&cut.id))
        .await
        .unwrap();
    fs::write(rig.data(&made).join("a"), vec![1; 5 << 20]).unwrap();
}

#[tokio::test]
async fn out_of_inodes_is_said_too() {
    let Some((rig, _small)) = on_eight_mebibytes().await else {
        return;
    };
    let made = rig.volume("v").await;
    for number in 0..200 {
        fs::write(rig.data(&made).join(number.to_string()), "").unwrap();
    }
    let cut = rig.client.create_snapshot(snapshot("s", "v")).await;
    refused(cut, Code::ResourceExhausted, "free some space");
    assert!(rig.names("snapshots").is_empty() && rig.names("aside").is_empty());
}
