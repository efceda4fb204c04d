//! Cuts the power at every sync of a run, reopens what is left and checks it against what was
//! acknowledged.
//!
//! Each run is made from a seed, and each failure names it; which of the writes sent at once share a
//! commit is left to the threads, as in life. Does not know how the store keeps its
//! bytes; what a power cut may leave is in `recorder`.

mod recorder;

use std::collections::BTreeMap;

use futures::executor::block_on;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::*;
use recorder::{Cut, Recorder, Remains};

const RESOURCE: &str = "things";
const NAMES: usize = 12;
const SEEDS: u64 = 3;
const BATCHES: usize = 30;
const FAILING_WRITES: usize = 60;

/// All objects by key.
type Objects = BTreeMap<String, Vec<u8>>;

/// What one resourceVersion changed.
#[derive(Debug, Clone)]
struct Entry {
    key: String,
    /// Absent if it was deleted.
    object: Option<Vec<u8>>,
    /// The writer was told that it failed, so that it is there or not until the next write.
    failed: bool,
}

/// What each resourceVersion changed, from 1 on.
#[derive(Debug, Clone, Default)]
struct History(Vec<Entry>);

impl History {
    fn at(&self, rv: u64) -> Objects {
        let mut objects = Objects::new();
        for (entry, at) in self.0.iter().zip(1..=rv) {
            match &entry.object {
                _ if entry.failed && at < rv => None,
                Some(object) => objects.insert(entry.key.clone(), object.clone()),
                None => objects.remove(&entry.key),
            };
        }
        objects
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Sends these writes at once, so that some share a commit, and records what they did.
    fn write(&mut self, store: &Store, recorder: &Recorder, writes: Vec<Write>) {
        let sent: Vec<(String, bool)> = writes
            .iter()
            .map(|write| (write.key.to_string(), write.draft.is_some()))
            .collect();
        let answers = block_on(join_all(
            writes.into_iter().map(|write| store.commit(write)),
        ));
        let mut done: Vec<(u64, String, Option<Vec<u8>>)> = Vec::new();
        for ((key, kept), answer) in sent.into_iter().zip(answers) {
            let object = answer.unwrap();
            done.push((object.rv, key, kept.then(|| object.json().to_vec())));
        }
        done.sort_by_key(|(rv, ..)| *rv);
        for (rv, key, object) in done {
            self.0.push(Entry {
                key,
                object,
                failed: false,
            });
            assert_eq!(rv, self.len());
        }
        recorder.acknowledged(self.len());
    }

    /// Sends one write, which may fail; tells whether it was done.
    fn try_write(&mut self, store: &Store, recorder: &Recorder, write: Write) -> bool {
        let rv = self.len() + 1;
        let key = write.key.to_string();
        let object = write
            .draft
            .clone()
            .map(|draft| draft.finish(write.key.clone(), rv).json().to_vec());
        let answer = block_on(store.commit(write));
        let failed = match &answer {
            Ok(object) => {
                assert_eq!(object.rv, rv);
                false
            }
            Err(WriteError::Disk(_)) => true,
            Err(other) => panic!("{other}"),
        };
        self.0.push(Entry {
            key,
            object,
            failed,
        });
        if !failed {
            recorder.acknowledged(rv);
        }
        !failed
    }
}

/// Creates, updates and deletes of objects from a few bytes to several pages.
fn random_writes(store: &Store, random: &mut StdRng) -> Vec<Write> {
    let first = random.random_range(0..NAMES);
    let count = random.random_range(1..=5);
    let mut writes = Vec::new();
    for n in 0..count {
        let key: Arc<str> = format!("ns/name-{}", (first + n) % NAMES).into();
        let found = store.get(RESOURCE, &key);
        let expect = found
            .as_ref()
            .map_or(Expect::Absent, |found| Expect::Unchanged(found.rv));
        let delete = found.is_some() && random.random_bool(0.3);
        let size = match random.random_range(0..4) {
            0 => random.random_range(2000..20_000),
            _ => random.random_range(0..700),
        };
        let text: String = (0..size).map(|_| random.random_range('a'..='z')).collect();
        let draft = Draft::encode(&json!({"metadata": {"name": &*key}, "text": text}));
        writes.push(Write {
            resource: RESOURCE.into(),
            key,
            expect,
            draft: (!delete).then_some(draft),
        });
    }
    writes
}

/// Opens what is left and finds everything acknowledged, and nothing by halves: all is as it was
/// together at one resourceVersion.
fn reopen(remains: Remains, history: &History) -> Result<(Store, Arc<Recorder>), String> {
    let recorder = Arc::new(Recorder::holding(remains.bytes));
    let store = Store::open_backend(recorder.clone(), Bounds::default())
        .map_err(|error| format!("{error:?}"))?;
    let (rv, acknowledged) = (store.rv(), remains.acknowledged);
    if rv < acknowledged || rv > history.len() {
        return Err(format!("at {rv}, of {acknowledged} to {}", history.len()));
    }
    let objects = store.list(RESOURCE, "").objects;
    let found: Objects = objects
        .iter()
        .map(|object| (object.key.to_string(), object.json().to_vec()))
        .collect();
    if found != history.at(rv) {
        return Err(format!("not as it was at {rv}"));
    }
    Ok((store, recorder))
}

/// Reopens, writes on, and cuts the power once more somewhere in that.
fn check(remains: Remains, history: &History, random: &mut StdRng) -> Result<(), String> {
    let (store, recorder) = reopen(remains, history)?;
    let mut history = History(history.0[..usize::try_from(store.rv()).unwrap()].to_vec());
    recorder.acknowledged(history.len());
    let writes = random_writes(&store, random);
    history.write(&store, &recorder, writes);
    drop(store);
    let barrier = random.random_range(0..recorder.barriers());
    let how = [Cut::Dropped, Cut::Prefix, Cut::Torn][random.random_range(0..3)];
    let once = |at| if at == barrier { vec![how] } else { Vec::new() };
    let mut result = Ok(());
    recorder.cut(random, once, |_, remains| {
        let after = reopen(remains, &history).map(drop);
        result =
            after.map_err(|what| format!("after {how:?} at {barrier} of a second run: {what}"));
    });
    result
}

/// Says where it happened when the database panics.
struct Place(String);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Runs one seed on a disk that leaves out every so-manieth sync, if not 0. Gives back how often
/// the power was cut, and what was wrong then.
fn run(seed: u64, lies: usize) -> (usize, Vec<String>) {
    let mut random = StdRng::seed_from_u64(seed);
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_backend(recorder.clone(), Bounds::default()).unwrap();
    recorder.begin();
    recorder.lie(lies);
    let mut history = History::default();
    for _ in 0..BATCHES {
        let writes = random_writes(&store, &mut random);
        history.write(&store, &recorder, writes);
    }
    drop(store);
    let ways = |_| vec![Cut::Dropped, Cut::Prefix, Cut::Torn, Cut::Torn, Cut::Kept];
    let (mut cuts, mut wrong) = (0, Vec::new());
    let mut inner = StdRng::seed_from_u64(!seed);
    recorder.cut(&mut random, ways, |how, remains| {
        cuts += 1;
        let place = Place(format!("seed {seed}, {how:?} at {}", remains.barrier));
        if let Err(what) = check(remains, &history, &mut inner) {
            wrong.push(format!("{}: {what}", place.0));
        }
    });
    (cuts, wrong)
}

#[test]
fn everything_acknowledged_survives_a_power_cut_at_any_sync() {
    let (cuts, wrong): (Vec<usize>, Vec<Vec<String>>) = (0..SEEDS).map(|seed| run(seed, 0)).unzip();
    println!(
        "{} power cuts, each followed by another",
        cuts.iter().sum::<usize>()
    );
    assert_eq!(wrong.concat(), [] as [String; 0]);
}

/// Runs one seed on a disk some of whose syncs fail, and cuts the power at each of the others.
fn run_failing(seed: u64) -> (usize, usize, Vec<String>) {
    let mut random = StdRng::seed_from_u64(seed);
    let recorder = Arc::new(Recorder::default());
    let store = Store::open_backend(recorder.clone(), Bounds::default()).unwrap();
    recorder.begin();
    let (mut history, mut failed) = (History::default(), 0);
    for _ in 0..FAILING_WRITES {
        let odds = if random.random_bool(0.3) { 0.5 } else { 0.0 };
        recorder.fail(seed, odds);
        let write = random_writes(&store, &mut random).swap_remove(0);
        failed += usize::from(!history.try_write(&store, &recorder, write));
    }
    recorder.fail(seed, 0.0);
    drop(store);
    let ways = |_| vec![Cut::Dropped, Cut::Torn, Cut::Kept];
    let (mut cuts, mut wrong) = (0, Vec::new());
    recorder.cut(&mut random, ways, |how, remains| {
        cuts += 1;
        let place = Place(format!("seed {seed}, {how:?} at {}", remains.barrier));
        if let Err(what) = reopen(remains, &history) {
            wrong.push(format!("{}: {what}", place.0));
        }
    });
    (cuts, failed, wrong)
}

#[test]
fn everything_acknowledged_survives_a_power_cut_after_syncs_that_failed() {
    let (mut all_cuts, mut all_failed) = (0, 0);
    for seed in 0..SEEDS {
        let (cuts, failed, wrong) = run_failing(seed);
        assert_eq!(wrong, [] as [String; 0]);
        (all_cuts, all_failed) = (all_cuts + cuts, all_failed + failed);
    }
    println!("{all_cuts} power cuts among {all_failed} writes whose sync failed");
    assert!(all_failed > 0);
}

#[test]
fn a_disk_that_leaves_out_syncs_is_found_out() {
    // Most runs lose something; which writes shared a sync decides where it is seen.
    let (cuts, wrong) = run(0, 7);
    println!("{} of {cuts} power cuts lost something", wrong.len());
    assert!(!wrong.is_empty());
}
