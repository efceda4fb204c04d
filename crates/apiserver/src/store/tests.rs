//! Drives the whole store: what survives, what is seen, in which order.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use futures::future::join_all;
use serde_json::json;

use super::*;

#[expect(clippy::unnecessary_wraps, reason = "as a write takes it")]
fn draft(name: &str, value: u64) -> Option<Draft> {
    Some(Draft::encode(
        &json!({"metadata": {"name": name}, "value": value}),
    ))
}

fn write(name: &str, expect: Expect, draft: Option<Draft>) -> Write {
    Write {
        resource: "things".into(),
        key: name.into(),
        expect,
        draft,
    }
}

const SEVEN: Bounds = Bounds {
    events: 7,
    bytes: usize::MAX,
};

async fn create(store: &Store, name: &str) -> Arc<Object> {
    store
        .commit(write(name, Expect::Absent, draft(name, 0)))
        .await
        .unwrap()
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    create(&store, "a").await;
    let b = create(&store, "b").await;
    store
        .commit(write("b", Expect::Unchanged(b.rv), None))
        .await
        .unwrap();
    assert_eq!(store.rv(), 3);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.rv(), 3);
    assert_eq!(store.list("things", "").objects.len(), 1);
    assert_eq!(
        store.since("things", 2, Bounds::default()).unwrap_err(),
        Expired { oldest: 3 }
    );
    assert_eq!(create(&store, "b").await.rv, 4);
}

#[tokio::test]
async fn a_write_meets_the_object_it_expects_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = create(&store, "a").await;
    let refused = |expect, draft| {
        let store = store.clone();
        async move { store.commit(write("a", expect, draft)).await.unwrap_err() }
    };
    assert!(matches!(
        refused(Expect::Absent, draft("a", 1)).await,
        WriteError::Exists
    ));
    let second = store
        .commit(write("a", Expect::Unchanged(first.rv), draft("a", 1)))
        .await
        .unwrap();
    assert_eq!(second.value()["metadata"]["resourceVersion"], "2");
    assert!(matches!(
        refused(Expect::Unchanged(1), draft("a", 2)).await,
        WriteError::Changed
    ));
    assert!(matches!(
        refused(Expect::Unchanged(1), None).await,
        WriteError::Changed
    ));
    let gone = store
        .commit(write("a", Expect::Unchanged(2), None))
        .await
        .unwrap();
    assert_eq!(gone.value()["metadata"]["resourceVersion"], "3");
    assert!(matches!(
        refused(Expect::Unchanged(2), draft("a", 3)).await,
        WriteError::Missing
    ));
}

#[tokio::test]
async fn of_many_writers_of_one_object_one_wins_each_round() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    create(&store, "a").await;
    for round in 1..=20 {
        let rv = store.get("things", "a").unwrap().rv;
        let tries = (0..8).map(|n| {
            store.commit(write(
                "a",
                Expect::Unchanged(rv),
                draft("a", round * 100 + n),
            ))
        });
        let won = join_all(tries).await.into_iter().flatten().count();
        assert_eq!(won, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_every_change_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let watcher = store.clone();
    let watching = tokio::spawn(async move {
        let mut news = watcher.subscribe("things");
        let (mut seen, mut reached) = (Vec::new(), 0);
        while seen.len() < 400 {
            let (events, up_to) = watcher.since("things", reached, SEVEN).unwrap();
            if events.is_empty() {
                news.changed().await.unwrap();
            }
            reached = up_to;
            seen.extend(events.into_iter().map(|event| event.rv));
        }
        seen
    });
    let writers = (0..4).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                create(&store, &format!("{writer}-{n}")).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(watching.await.unwrap(), (1..=400).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_page_continues_the_list_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for name in ["n/a", "n/b", "n/c", "n0/x", "m/z"] {
        create(&store, name).await;
    }
    let at = store.rv();
    store
        .commit(write("n/c", Expect::Unchanged(3), None))
        .await
        .unwrap();
    create(&store, "n/bb").await;
    let page = store.list_at("things", "n/", "n/a", at).unwrap();
    let keys: Vec<&str> = page.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, ["n/b", "n/c"]);
    let now = store.list("things", "n/");
    assert_eq!((now.rv, now.objects.len()), (7, 3));
}

#[tokio::test]
async fn a_second_process_is_told_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("stop that one"), "{error}");
    drop(store);
    Store::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    create(&Store::open(dir.path()).unwrap(), "a").await;
    fs::write(dir.path().join("FORMAT"), "tintype-store 2\n").unwrap();
    let before = files(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::NewerVersion {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn a_damaged_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    create(&store, "some-name").await;
    drop(store);
    let path = dir.path().join("store.redb");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(9)
        .position(|part| part == b"some-name")
        .unwrap();
    bytes[at] ^= 0x20;
    fs::write(&path, bytes).unwrap();
    let before = files(dir.path());
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(files(dir.path()), before);
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert!(matches!(
        Store::open(dir.path()).unwrap_err(),
        OpenError::Damaged { .. }
    ));
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("FORMAT.new"), "tint").unwrap();
    fs::write(dir.path().join("store.redb.new"), [0; 5000]).unwrap();
    create(&Store::open(dir.path()).unwrap(), "a").await;
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.list("things", "").objects.len(), 1);
    assert!(!dir.path().join("store.redb.new").exists());
}

#[tokio::test]
async fn creates_of_many_clients_share_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let writes = (0..500).map(|n| create_owned(store.clone(), format!("name-{n}")));
    let rvs: HashSet<u64> = join_all(writes).await.into_iter().collect();
    assert_eq!(rvs, (1..=500).collect());
    drop(store);
    assert_eq!(
        Store::open(dir.path())
            .unwrap()
            .list("things", "")
            .objects
            .len(),
        500
    );
}

async fn create_owned(store: Store, name: String) -> u64 {
    create(&store, &name).await.rv
}

#[tokio::test]
async fn what_an_earlier_process_could_not_sync_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    create(&Store::open(dir.path()).unwrap(), "a").await;
    let file = dir.path().join("store.redb");
    let before = inode(&file);
    fs::write(dir.path().join("DOUBT"), []).unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.list("things", "").objects.len(), 1);
    assert_ne!(inode(&file), before);
    assert!(!dir.path().join("DOUBT").exists());
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

/// A storage that no program would go on over.
#[derive(Debug, Default)]
struct Broken(
    redb::backends::InMemoryBackend,
    std::sync::atomic::AtomicBool,
);

impl StorageBackend for Broken {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        assert!(!self.1.load(std::sync::atomic::Ordering::SeqCst), "broken");
        self.0.write(offset, data)
    }
}

#[tokio::test]
async fn a_writer_that_dies_is_noticed() {
    let storage = Arc::new(Broken::default());
    let store = Store::open_backend(storage.clone(), Bounds::default()).unwrap();
    create(&store, "a").await;
    storage.1.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = store
        .commit(write("b", Expect::Absent, draft("b", 0)))
        .await
        .unwrap_err();
    assert!(matches!(refused, WriteError::Disk(_)), "{refused}");
    store.ended().await;
    assert!(store.get("things", "a").is_some());
}
