//! `tintype csi-driver fsck`: what it says, what it repairs, and its codes.

use std::{collections::BTreeMap, fs, path::Path, process::Output};

use tintype_csi::{Address, Client, v1};
use tintype_driver::{BackendChoice, Config, Driver};
use tokio_util::sync::CancellationToken;

use crate::process::{text, tintype};

/// Longer than anything takes on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// A store with one volume, on which no driver runs any more.
async fn store(folder: &Path) {
    let config = Config {
        data_dir: folder.join("data"),
        driver_name: "csi.example.org".to_owned(),
        backend: BackendChoice::Directory,
        node_id: "here".to_owned(),
        topology: BTreeMap::new(),
        pool_size: None,
        allow_non_atomic_groups: false,
    };
    let address = Address::at(folder.join("csi.sock")).unwrap();
    let (stop, driver) = (CancellationToken::new(), Driver::open(config).unwrap());
    let task = tokio::spawn({
        let (address, stop) = (address.clone(), stop.clone());
        async move { driver.serve(&address, stop).await }
    });
    let client = Client::connect(&address, PATIENCE).await.unwrap();
    let access = v1::VolumeCapability {
        access_type: Some(v1::volume_capability::AccessType::Mount(
            v1::volume_capability::MountVolume::default(),
        )),
        access_mode: Some(v1::volume_capability::AccessMode {
            mode: v1::volume_capability::access_mode::Mode::SingleNodeWriter.into(),
        }),
    };
    let request = v1::CreateVolumeRequest {
        name: "v".to_owned(),
        volume_capabilities: vec![access],
        ..Default::default()
    };
    client.create_volume(request).await.unwrap();
    stop.cancel();
    task.await.unwrap().unwrap();
}

fn fsck(data_dir: &Path, args: &[&str]) -> Output {
    let mut command = tintype();
    command.args(["csi-driver", "fsck", "--data-dir"]);
    command.arg(data_dir).args(args).output().unwrap()
}

/// Its code and its report; what is logged beside it is no part of that.
fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), text(&output.stdout))
}

#[tokio::test]
async fn damage_is_reported_then_repaired_then_gone() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path()).await;
    let data = folder.path().join("data");
    let clean = (
        Some(0),
        "volumes, snapshots and groups: 1; findings: 0\n".to_owned(),
    );
    assert_eq!(said(&fsck(&data, &[])), clean);
    let record = data.join("volumes/v/record.json");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, "scribble").unwrap();
    for _ in 0..2 {
        let (code, report) = said(&fsck(&data, &[]));
        assert_eq!(code, Some(1), "{report}");
        let lines: Vec<&str> = report.lines().collect();
        assert!(
            lines[0].contains("volumes/v/record.json is damaged: "),
            "{report}"
        );
        assert_eq!(lines[1], "  with --repair: put back from its second copy");
        assert_eq!(lines[2], "volumes, snapshots and groups: 1; findings: 1");
        assert_eq!(fs::read(&record).unwrap(), b"scribble");
    }
    let (code, report) = said(&fsck(&data, &["--repair"]));
    assert_eq!(code, Some(0), "{report}");
    assert!(
        report.contains("\n  repaired: put back from its second copy\n"),
        "{report}"
    );
    assert_eq!(fs::read(&record).unwrap(), whole);
    assert_eq!(said(&fsck(&data, &[])), clean);
}

#[test]
fn no_store_is_said_and_none_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    for args in [&[][..], &["--repair"]] {
        let output = fsck(&missing, args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("there is no store in "), "{error}");
        assert!(error.contains("--data-dir"), "{error}");
        assert!(!missing.exists());
    }
}
