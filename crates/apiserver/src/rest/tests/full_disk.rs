//! Fills the disk below the API: what is refused, what goes on, and how it comes back.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;

/// A file in memory on a disk that can be full.
#[derive(Debug, Default)]
struct Disk {
    file: InMemoryBackend,
    full: AtomicBool,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let disk = Arc::new(Disk::default());
    let world = World::over_backend(disk.clone(), Bounds::default());
    let a = world.post(MAPS, config_map("a")).await.expect(201);
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = world.post(MAPS, config_map("b")).await.expect(500);
        assert_eq!(refused["reason"], "InternalError");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("no storage space"), "{message}");
    }
    let changed = json!({"data": {"a": "2"}});
    world.merge(&at("a"), changed.clone()).await.expect(500);
    world.delete(&at("a")).await.expect(500);
    assert_eq!(world.get(&at("a")).await.expect(200), a);
    let list = world.get(MAPS).await.expect(200);
    assert_eq!(list["items"], json!([a]));
    world.get(&at("b")).await.expect(404);
    disk.full.store(false, Ordering::SeqCst);
    world.post(MAPS, config_map("b")).await.expect(201);
    world.merge(&at("a"), changed).await.expect(200);
    let before = world.get(MAPS).await.expect(200);
    let world = world.restart();
    let after = world.get(MAPS).await.expect(200);
    assert_eq!(before["items"], after["items"]);
}
