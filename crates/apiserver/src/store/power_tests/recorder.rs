//! Remembers in which order a file was written, and makes what a power cut could have left of it.
//!
//! The model: what was written before the last completed sync is there. Of what came after it, each
//! sector holds the state after any of the writes that touched it, as the page cache wrote it back
//! whenever it liked, one sector independent of the next. The length follows the same rule, since a
//! journal keeps its changes in order. Does not know what the bytes mean.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// A sync that failed, and what is on disk then. What it did not write is taken for clean.
    Failed(Vec<u8>),
    /// Every write up to this resourceVersion is acknowledged.
    Acknowledged(u64),
}

/// How a power cut treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing of it is there.
    Dropped,
    /// It is there up to some byte, in the order in which it was written.
    Prefix,
    /// Each sector is as some of the writes left it.
    Torn,
    /// All of it is there, but nobody was told.
    Kept,
}

/// What a power cut left.
#[derive(Debug)]
pub(super) struct Remains {
    pub bytes: Vec<u8>,
    /// How many syncs had been begun.
    pub barrier: usize,
    pub acknowledged: u64,
}

/// A file in memory.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Recording>);

#[derive(Debug, Default)]
struct Recording {
    start: Vec<u8>,
    now: Vec<u8>,
    steps: Vec<Step>,
    /// Every one of so many syncs does nothing, as on a disk that lies; none if 0.
    lies: usize,
    syncs: usize,
    failing: Option<Failing>,
}

/// A disk that fails some of the syncs.
#[derive(Debug)]
struct Failing {
    random: StdRng,
    odds: f64,
    /// What is on disk for certain, and what was written since.
    synced: Vec<u8>,
    since: Vec<Step>,
}

impl Recorder {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        let start = bytes.clone();
        Self(Mutex::new(Recording {
            start,
            now: bytes,
            ..Recording::default()
        }))
    }

    /// From now on every `n`-th sync is answered but not done.
    pub(super) fn lie(&self, n: usize) {
        self.recording().lies = n;
    }

    /// From now on a sync fails with these odds. As the system has it, some of the sectors written
    /// since the last sync are on disk then, the others never will be unless they are written again,
    /// and reading shows the one or the other, as pages were dropped from memory or not.
    pub(super) fn fail(&self, seed: u64, odds: f64) {
        let mut recording = self.recording();
        let recording = &mut *recording;
        match &mut recording.failing {
            Some(failing) => failing.odds = odds,
            None => {
                recording.failing = Some(Failing {
                    random: StdRng::seed_from_u64(seed),
                    odds,
                    synced: recording.now.clone(),
                    since: Vec::new(),
                });
            }
        }
    }

    pub(super) fn acknowledged(&self, rv: u64) {
        self.recording().steps.push(Step::Acknowledged(rv));
    }

    /// Forgets how the file came to be as it is; only later steps are cut.
    pub(super) fn begin(&self) {
        let mut recording = self.recording();
        recording.start = recording.now.clone();
        recording.steps.clear();
    }

    /// How many places there are to cut at: every sync, and the end.
    pub(super) fn barriers(&self) -> usize {
        1 + self
            .recording()
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Sync))
            .count()
    }

    /// Cuts the power at the barriers that `chosen` picks, as often and in such ways as it says.
    pub(super) fn cut(
        &self,
        random: &mut StdRng,
        chosen: impl Fn(usize) -> Vec<Cut>,
        mut then: impl FnMut(Cut, Remains),
    ) {
        let recording = self.recording();
        let mut durable = recording.start.clone();
        let (mut pending, mut barrier, mut acknowledged) = (Vec::new(), 0, 0);
        for step in recording.steps.iter().chain([&Step::Sync]) {
            match step {
                Step::Acknowledged(rv) => acknowledged = *rv,
                Step::Write(..) | Step::SetLen(_) => pending.push(step),
                Step::Failed(left) => {
                    durable.clone_from(left);
                    pending.clear();
                }
                Step::Sync => {
                    for how in chosen(barrier) {
                        let bytes = after_cut(&durable, &pending, how, random);
                        then(
                            how,
                            Remains {
                                bytes,
                                barrier,
                                acknowledged,
                            },
                        );
                    }
                    for step in pending.drain(..) {
                        apply(&mut durable, step);
                    }
                    barrier += 1;
                }
            }
        }
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap()
    }
}

fn apply(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::SetLen(len) => bytes.resize(size(*len), 0),
        Step::Write(at, data) => {
            let end = size(*at) + data.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[size(*at)..end].copy_from_slice(data);
        }
        Step::Sync | Step::Failed(_) | Step::Acknowledged(_) => {}
    }
}

fn after_cut(durable: &[u8], pending: &[&Step], how: Cut, random: &mut StdRng) -> Vec<u8> {
    let mut bytes = durable.to_vec();
    match how {
        Cut::Dropped => {}
        Cut::Kept => pending.iter().for_each(|step| apply(&mut bytes, step)),
        Cut::Prefix => {
            let whole = random.random_range(0..=pending.len());
            pending[..whole]
                .iter()
                .for_each(|step| apply(&mut bytes, step));
            if let Some(Step::Write(at, data)) = pending.get(whole) {
                let part = data[..random.random_range(0..=data.len())].to_vec();
                // A file does not grow by what is beyond its end.
                if bytes.len() >= size(*at) + part.len() {
                    apply(&mut bytes, &Step::Write(*at, part));
                }
            }
        }
        Cut::Torn => {
            let reached = random.random_range(0..=pending.len());
            tear(&mut bytes, pending, reached, random);
        }
    }
    bytes
}

fn tear(bytes: &mut Vec<u8>, pending: &[&Step], reached: usize, random: &mut StdRng) {
    let all = pending.len();
    let mut sectors: BTreeMap<u64, usize> = BTreeMap::new();
    for (n, step) in pending.iter().enumerate() {
        match step {
            // The length's changes reach the disk in order, apart from the data.
            Step::SetLen(_) if n < reached => apply(bytes, step),
            Step::Write(at, data) => {
                let end = at + data.len() as u64;
                for sector in at / SECTOR..end.div_ceil(SECTOR) {
                    let last =
                        *sectors
                            .entry(sector)
                            .or_insert_with(|| match random.random_range(0..3) {
                                0 => 0,
                                1 => all,
                                _ => random.random_range(0..=all),
                            });
                    if n < last {
                        let (from, to) =
                            ((sector * SECTOR).max(*at), ((sector + 1) * SECTOR).min(end));
                        let to = to.min(bytes.len() as u64);
                        if from < to {
                            let part = &data[size(from - at)..size(to - at)];
                            bytes[size(from)..size(to)].copy_from_slice(part);
                        }
                    }
                }
            }
            Step::SetLen(_) | Step::Sync | Step::Failed(_) | Step::Acknowledged(_) => {}
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.recording().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let recording = self.recording();
        let from = size(offset);
        let part = recording.now.get(from..from + out.len());
        out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.take(Step::SetLen(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.take(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.take(Step::Write(offset, data.to_vec()))
    }
}

impl Recorder {
    fn take(&self, step: Step) -> io::Result<()> {
        let mut recording = self.recording();
        let recording = &mut *recording;
        apply(&mut recording.now, &step);
        if let Some(failing) = &mut recording.failing {
            if !matches!(step, Step::Sync) {
                failing.since.push(step.clone());
            } else if failing.random.random_bool(failing.odds) {
                let left = failing.lose();
                if failing.random.random_bool(0.5) {
                    recording.now.clone_from(&left);
                }
                recording.steps.push(Step::Failed(left));
                return Err(io::Error::other("the disk did not take it"));
            } else {
                failing.settle();
            }
        }
        if matches!(step, Step::Sync) {
            recording.syncs += 1;
            if recording.lies != 0 && recording.syncs.is_multiple_of(recording.lies) {
                return Ok(());
            }
        }
        recording.steps.push(step);
        Ok(())
    }
}

impl Failing {
    /// What a failed sync left on disk; nothing else will follow.
    fn lose(&mut self) -> Vec<u8> {
        let since = std::mem::take(&mut self.since);
        let pending: Vec<&Step> = since.iter().collect();
        tear(&mut self.synced, &pending, pending.len(), &mut self.random);
        self.synced.clone()
    }

    fn settle(&mut self) {
        for step in self.since.drain(..) {
            apply(&mut self.synced, &step);
        }
    }
}
