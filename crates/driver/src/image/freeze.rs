//! Freezes several file systems and thaws them again, whatever happens in between.
//!
//! Three things see to the thaw: this process, on every path out of here; a process of its own, the
//! guard, if this one dies or takes longer than [`LONGEST`]; and a mark on disk, for the next start,
//! if both were killed. It does not know what is done while they are frozen.

use std::fs::{self, File};
use std::io::{PipeWriter, Write as _, pipe};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::ioctl;
use crate::refusal::Refusal;

/// Whoever writes waits so long at most. A freeze takes milliseconds; a minute is what callers of
/// CSI have patience for.
const LONGEST: Duration = Duration::from_secs(30);

/// A mounted file system.
#[derive(Debug)]
pub(super) struct Subject {
    /// Of the volume, for its mark.
    pub(super) id: String,
    /// Where it is mounted.
    pub(super) place: PathBuf,
    /// Its root folder.
    pub(super) folder: OwnedFd,
}

/// File systems that are frozen as long as this lives.
#[derive(Debug)]
pub(super) struct Freeze {
    marks: PathBuf,
    subjects: Vec<Subject>,
    /// For each subject that was got to: whether we froze it, or somebody had before.
    ours: Vec<bool>,
    guard: Option<Guard>,
}

impl Freeze {
    /// Freezes all of them. `marks` is the folder where that is written down.
    pub(super) fn begin(marks: &Path, subjects: Vec<Subject>) -> Result<Self, Refusal> {
        Self::begin_for(marks, subjects, LONGEST)
    }

    fn begin_for(marks: &Path, subjects: Vec<Subject>, longest: Duration) -> Result<Self, Refusal> {
        // From here on, whatever fails is undone when this is dropped.
        let mut freeze = Self {
            marks: marks.to_owned(),
            subjects,
            ours: Vec::new(),
            guard: None,
        };
        if freeze.subjects.is_empty() {
            return Ok(freeze);
        }
        for subject in &freeze.subjects {
            // Not synced: a machine that goes down has nothing frozen when it is back.
            let mark = marks.join(&subject.id);
            File::create(&mark).map_err(Refusal::io("write", mark))?;
        }
        freeze.guard = Some(Guard::post(&freeze.subjects, longest)?);
        for subject in &freeze.subjects {
            match ioctl::freeze(&subject.folder) {
                Ok(()) => freeze.ours.push(true),
                // By a hook of a backup, say: it is as good as ours, and not ours to undo.
                Err(Errno::BUSY) => freeze.ours.push(false),
                Err(errno) => return Err(Refusal::io("freeze", &subject.place)(errno)),
            }
        }
        Ok(freeze)
    }

    /// Thaws them. Fails if any was thawed before by somebody else: then what was done meanwhile
    /// was not done at one moment.
    pub(super) fn end(mut self) -> Result<(), Refusal> {
        if self.release() {
            return Ok(());
        }
        let places: Vec<_> = self
            .subjects
            .iter()
            .map(|subject| subject.place.display().to_string())
            .collect();
        Err(Refusal::Again(format!(
            "{} could not be kept still for as long as the cut took; try again",
            places.join(", ")
        )))
    }

    /// Whether all were frozen until now.
    fn release(&mut self) -> bool {
        let mut held = true;
        let mut thawed = true;
        for (subject, ours) in self.subjects.iter().zip(self.ours.drain(..)) {
            if !ours && ioctl::freeze(&subject.folder) == Err(Errno::BUSY) {
                continue;
            }
            match ioctl::thaw(&subject.folder) {
                Ok(()) => held &= ours,
                Err(Errno::INVAL) => held = false,
                Err(errno) => {
                    tracing::error!(place = %subject.place.display(), %errno, "cannot thaw");
                    thawed = false;
                }
            }
        }
        if let Some(guard) = self.guard.take() {
            // With something left to thaw, the guard tries as if we had died.
            held &= guard.dismiss(thawed);
        }
        for subject in self.subjects.iter().filter(|_| thawed) {
            let mark = self.marks.join(&subject.id);
            if let Err(error) = fs::remove_file(&mark) {
                tracing::warn!(mark = %mark.display(), %error, "left for the next start to remove");
            }
        }
        held && thawed
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        if self.guard.is_some() {
            self.release();
        }
    }
}

/// A process that thaws if we do not.
#[derive(Debug)]
struct Guard {
    process: Pid,
    /// Closed when we die, however we die.
    voice: PipeWriter,
}

impl Guard {
    fn post(subjects: &[Subject], longest: Duration) -> Result<Self, Refusal> {
        let post = || {
            let (ears, voice) = pipe()?;
            let folders: Vec<BorrowedFd<'_>> =
                subjects.iter().map(|it| it.folder.as_fd()).collect();
            let process = ioctl::fork_guard(&folders, ears.as_fd(), longest)?;
            Ok::<_, std::io::Error>(Self { process, voice })
        };
        post().map_err(Refusal::io("post a guard over", &subjects[0].place))
    }

    /// Waits until it is gone. Whether it had nothing to do.
    fn dismiss(mut self, in_peace: bool) -> bool {
        if in_peace {
            // It may have gone by itself, when the time was over.
            let _ = self.voice.write_all(b".");
        }
        drop(self.voice);
        loop {
            match waitpid(Some(self.process), WaitOptions::empty()) {
                Err(Errno::INTR) | Ok(None) => {}
                Ok(Some((_, status))) => return status.exit_status() == Some(0),
                Err(_) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Instant;

    use super::*;
    use crate::image::testing::{Small, small};

    /// Whether a file can be made in a file system: on a thread, as it may take for ever.
    fn is_frozen(small: &Small) -> bool {
        match ioctl::freeze(small.open()) {
            Err(Errno::BUSY) => true,
            Ok(()) => {
                ioctl::thaw(small.open()).unwrap();
                false
            }
            Err(errno) => panic!("{errno}"),
        }
    }

    fn subject(small: &Small) -> Vec<Subject> {
        vec![Subject {
            id: "v".into(),
            place: small.place.clone(),
            folder: small.open(),
        }]
    }

    fn marks(small: &Small) -> usize {
        fs::read_dir(small.marks()).unwrap().count()
    }

    #[test]
    fn frozen_from_beginning_to_end() {
        let Some(small) = small() else {
            return;
        };
        let freeze = Freeze::begin(&small.marks(), subject(&small)).unwrap();
        assert!(is_frozen(&small));
        assert_eq!(marks(&small), 1);
        freeze.end().unwrap();
        assert!(!is_frozen(&small));
        assert_eq!(marks(&small), 0);
    }

    #[test]
    fn thawed_on_the_way_out_of_an_error() {
        let Some(small) = small() else {
            return;
        };
        drop(Freeze::begin(&small.marks(), subject(&small)).unwrap());
        assert!(!is_frozen(&small));
        // The second cannot be frozen: a pipe has no file system that can.
        let mut both = subject(&small);
        both.push(Subject {
            id: "w".into(),
            place: "/pipe".into(),
            folder: OwnedFd::from(pipe().unwrap().0),
        });
        let problem = Freeze::begin(&small.marks(), both).unwrap_err().to_string();
        assert!(problem.contains("/pipe"), "{problem}");
        assert!(!is_frozen(&small));
        assert_eq!(marks(&small), 0);
    }

    #[test]
    fn thawed_when_the_time_is_over_and_said() {
        let Some(small) = small() else {
            return;
        };
        let longest = Duration::from_millis(100);
        let freeze = Freeze::begin_for(&small.marks(), subject(&small), longest).unwrap();
        let began = Instant::now();
        while is_frozen(&small) {
            assert!(began.elapsed() < Duration::from_secs(90));
            std::thread::sleep(Duration::from_millis(5));
        }
        let problem = freeze.end().unwrap_err();
        assert!(matches!(problem, Refusal::Again(_)), "{problem}");
        assert_eq!(marks(&small), 0);
    }

    #[test]
    fn what_somebody_else_froze_stays_frozen() {
        let Some(small) = small() else {
            return;
        };
        ioctl::freeze(small.open()).unwrap();
        let freeze = Freeze::begin(&small.marks(), subject(&small)).unwrap();
        freeze.end().unwrap();
        assert!(is_frozen(&small));
        // Thawed by whoever froze it, in the middle: the cut does not count.
        let freeze = Freeze::begin(&small.marks(), subject(&small)).unwrap();
        ioctl::thaw(small.open()).unwrap();
        let problem = freeze.end().unwrap_err();
        assert!(matches!(problem, Refusal::Again(_)), "{problem}");
        assert!(!is_frozen(&small));
    }

    /// Names the mounted folder to the process that is to die with it frozen.
    const PLACE: &str = "TINTYPE_TEST_FREEZE";
    const ENTRY: &str = "image::freeze::tests::dies_with_it_frozen_when_entered_again";

    /// Not a test unless the process was started for it.
    #[test]
    fn dies_with_it_frozen_when_entered_again() {
        let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else {
            return;
        };
        let folder = OwnedFd::from(File::open(&place).unwrap());
        let (id, marks) = ("v".into(), place.with_file_name("marks"));
        let freeze = Freeze::begin(&marks, vec![Subject { id, place, folder }]).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .unwrap();
        drop(freeze);
    }

    #[test]
    fn thawed_when_the_process_is_killed() {
        let Some(small) = small() else {
            return;
        };
        let status = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--nocapture"])
            .env(PLACE, &small.place)
            .status()
            .unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        // The mark tells that it was frozen when the process died.
        assert_eq!(marks(&small), 1);
        let began = Instant::now();
        while is_frozen(&small) {
            assert!(began.elapsed() < Duration::from_secs(60), "still frozen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
