//! Tells the same story of a device: fill it with bytes, snapshot it, damage it, restore it, compare.
//! Sees the cluster through its API, the device through its path.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    compare::Difference,
    listing::FileError,
    parallel::Tally,
    report::Report,
    story::{Ending, Story, StoryError},
};
use crate::words;

const MIB: u64 = 1 << 20;

/// So large is the device.
const SIZE: u64 = 64 * MIB;

/// One mebibyte in so many stays a hole.
const HOLE: u64 = 4;

/// One mebibyte in so many is damaged.
const EVERY: u64 = 5;

/// A checksum for each mebibyte.
type Prints = Vec<blake3::Hash>;

impl Story {
    /// From the first claim to the comparison.
    pub(crate) async fn tell_of_a_device(
        &mut self,
        report: &mut Report,
    ) -> Result<Ending, StoryError> {
        // Filled, recorded, damage seen, restore compared.
        report.expect(SIZE * 4);
        report.begin("make a claim");
        self.objects.claim("data", SIZE / MIB, None).await?;
        let device = self.mount("data").await?;
        let size = words::size(SIZE);
        report.end(
            "make a claim",
            format!("default/data is a device of {size}"),
        );

        report.begin("fill it");
        self.on(report, &device, fill).await?;
        report.end(
            "fill it",
            format!("with bytes of our own and some holes, {size}"),
        );

        report.begin("record every byte");
        let before = self.on(report, &device, record).await?;
        report.end("record every byte", format!("{} checksums", before.len()));

        report.begin("snapshot it");
        self.objects.snapshot("before", "data").await?;
        report.end("snapshot it", "default/before is ready".to_owned());

        report.begin("damage it");
        let done = self.on(report, &device, damage).await?;
        let after = self.on(report, &device, record).await?;
        if different(&before, &after).len() != done {
            return Err(StoryError::Unharmed);
        }
        report.end(
            "damage it",
            words::count(done, "byte changed", "bytes changed"),
        );

        report.begin("restore it");
        self.objects
            .claim("restored", SIZE / MIB, Some("before"))
            .await?;
        let restored = self.mount("restored").await?;
        report.end(
            "restore it",
            "claim default/restored, from the snapshot".to_owned(),
        );

        report.begin("compare every byte");
        let restored = self.on(report, &restored, record).await?;
        let differences = different(&before, &restored);
        let outcome = match differences.len() {
            0 => format!("{size}: nothing differs"),
            many => words::count(many, "difference", "differences"),
        };
        report.end("compare every byte", outcome);
        Ok(Ending {
            differences,
            left_out: None,
            device: true,
        })
    }

    /// Works on a device, on a thread of its own.
    async fn on<T: Send + 'static>(
        &self,
        report: &Report,
        device: &Path,
        work: impl FnOnce(&File, &Tally) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StoryError> {
        let (path, tally) = (device.to_owned(), Arc::clone(&self.tally));
        let working = self.workers.spawn_blocking(move || {
            let device = OpenOptions::new().read(true).write(true).open(&path);
            let done = device.and_then(|device| {
                let done = work(&device, &tally)?;
                device.sync_all()?;
                Ok(done)
            });
            done.map_err(FileError::at("work on", &path))
        });
        report.during(working).await?.map_err(StoryError::Read)
    }
}

/// Bytes that no two places have in common, and that are the same at every run.
fn fill(device: &File, tally: &Tally) -> std::io::Result<()> {
    let mut bytes = vec![0; usize::try_from(MIB).unwrap_or(0)];
    for number in (0..SIZE / MIB).filter(|number| number % HOLE != 0) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&number.to_le_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        device.write_all_at(&bytes, number * MIB)?;
        tally.add(MIB);
    }
    Ok(())
}

fn record(device: &File, tally: &Tally) -> std::io::Result<Prints> {
    let mut bytes = vec![0; usize::try_from(MIB).unwrap_or(0)];
    let mut prints = Prints::new();
    for number in 0..SIZE / MIB {
        device.read_exact_at(&mut bytes, number * MIB)?;
        prints.push(blake3::hash(&bytes));
        tally.add(MIB);
    }
    Ok(prints)
}

/// Changes one byte here and there; how many.
fn damage(device: &File, _tally: &Tally) -> std::io::Result<usize> {
    let mut done = 0;
    for number in (0..SIZE / MIB).step_by(usize::try_from(EVERY).unwrap_or(1)) {
        let at = number * MIB + number * 512 + 1;
        let mut byte = [0];
        device.read_exact_at(&mut byte, at)?;
        device.write_all_at(&[!byte[0]], at)?;
        done += 1;
    }
    Ok(done)
}

fn different(before: &Prints, after: &Prints) -> Vec<Difference> {
    let pairs = before.iter().zip(after).enumerate();
    let changed = pairs.filter(|(_, (before, after))| before != after);
    changed
        .map(|(number, _)| Difference {
            path: PathBuf::from(format!("mebibyte {number}")),
            how: "has other bytes".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damage_is_seen_and_filling_again_heals_it() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(SIZE).unwrap();
        let tally = Tally::default();
        fill(&file, &tally).unwrap();
        let before = record(&file, &tally).unwrap();
        let done = damage(&file, &tally).unwrap();
        let after = record(&file, &tally).unwrap();
        assert_eq!(done, 13);
        assert_eq!(different(&before, &after).len(), done);
        assert!(different(&before, &before).is_empty());
    }
}
