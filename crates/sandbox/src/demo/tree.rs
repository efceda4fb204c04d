//! Fills a volume with something worth losing: a real directory tree and a folder of odd files.
//! Knows nothing of volumes but their path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    copy::{self, Cap, LeftOut, Plan},
    listing::FileError,
    odd,
    parallel::Tally,
};

/// Trees that some machine has, most telling first.
const KNOWN: [&str; 5] = ["/usr/share", "/usr/lib", "/usr/include", "/usr", "/etc"];

/// Enough to be real, little enough to be quick.
const CAP: Cap = Cap {
    bytes: 32 << 20,
    entries: 5_000,
    file: 4 << 20,
};

/// Fewer files than this are no tree (a container image may have an almost empty `/usr/share`).
const FEWEST: usize = 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FillError {
    #[error("none of {} has files to fill a volume with; name a folder with --from", KNOWN.join(", "))]
    NothingFound,
    #[error("{} is not a folder; name one with --from", crate::words::path(.0))]
    NotAFolder(PathBuf),
    #[error(transparent)]
    File(#[from] FileError),
}

/// What will go into the volume.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) from: PathBuf,
    plan: Plan,
}

impl Source {
    /// The tree below `from`, all of it, or else a part of one found on this machine.
    /// `except` is the sandbox's own folder: never to be copied into itself.
    pub(crate) fn choose(
        from: Option<&Path>,
        except: &Path,
        tally: &Tally,
    ) -> Result<Self, FillError> {
        if let Some(from) = from {
            if fs::metadata(from)
                .map_err(FileError::at("read", from))?
                .is_dir()
            {
                return Ok(Self {
                    from: from.to_owned(),
                    plan: copy::plan(from, except, None, tally)?,
                });
            }
            return Err(FillError::NotAFolder(from.to_owned()));
        }
        for known in KNOWN
            .map(Path::new)
            .into_iter()
            .filter(|path| path.is_dir())
        {
            let plan = copy::plan(known, except, Some(CAP), tally)?;
            if plan.files() >= FEWEST {
                return Ok(Self {
                    from: known.to_owned(),
                    plan,
                });
            }
        }
        Err(FillError::NothingFound)
    }

    /// Bytes that filling will write, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.plan.bytes
    }

    /// Files, folders and links that it will make, about.
    pub(crate) fn entries(&self) -> u64 {
        self.plan.entries()
    }

    /// Fills the empty folder `volume`; what could not be kept is counted.
    pub(crate) fn fill(self, volume: &Path, tally: &Tally) -> Result<LeftOut, FillError> {
        let mut left_out = self.plan.carry_out(&volume.join("tree"), tally)?;
        if !odd::fill(&volume.join("odd"))? {
            *left_out.entry("an extended attribute").or_default() += 1;
        }
        Ok(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::manifest::Manifest;

    #[test]
    fn a_tree_of_this_machine_fills_a_volume() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let tally = Tally::default();
        let source = Source::choose(None, dir.path(), &tally).unwrap();
        assert!(source.bytes() <= CAP.bytes);
        source.fill(&volume, &tally).unwrap();
        let manifest = Manifest::record(&volume, &tally).unwrap();
        assert!(manifest.files() >= FEWEST, "{} files", manifest.files());
        assert!(volume.join("odd/sparse").exists());
    }

    #[test]
    fn a_source_has_to_be_a_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            Source::choose(Some(file.path()), Path::new("/"), &Tally::default()).unwrap_err();
        let wanted = format!(
            "{} is not a folder; name one with --from",
            file.path().display()
        );
        assert_eq!(error.to_string(), wanted);
        let error = Source::choose(
            Some(Path::new("/no/such")),
            Path::new("/"),
            &Tally::default(),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such");
    }
}
