//! Says why an object is not as somebody wants it: asks the machine that decides on it, and puts
//! that machine's rest into words.
//!
//! Decides nothing itself, so what a person reads is what the program does. Whoever asks has read
//! everything past any cache; what was not found is [`Seen::Absent`](crate::Seen).

use crate::object::Meta;
use crate::{Verdict, claim, content, snapshot};

/// What keeps an object from being as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing does.
    Well,
    /// It goes on by itself: what it waits for.
    Waits(String),
    /// Somebody has to do something: cause and cure.
    Stuck(String),
}

/// Why a `VolumeSnapshot` is not ready, or does not go.
pub fn snapshot(seen: &snapshot::Sighting) -> Answer {
    use snapshot::{Step, Waiting};
    let Some(row) = seen.snapshot.present() else {
        return Answer::Well;
    };
    let content = row.content_name().unwrap_or_default();
    match snapshot::decide(&seen.facts()) {
        Verdict::Do(Step::Complain(complaint)) => Answer::Stuck(complaint.text(seen)),
        Verdict::Do(step) => next_step("the snapshot-controller", step),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::Gone | Waiting::Settled => Answer::Well,
            Waiting::ForCaches => unread(),
            Waiting::ForDriver => Answer::Waits(format!(
                "VolumeSnapshotContent \"{content}\" is not ready yet"
            )),
            Waiting::ForContentRemoval => Answer::Waits(format!(
                "VolumeSnapshotContent \"{content}\" is being removed first"
            )),
            Waiting::ForOthers => held(&row.meta),
            Waiting::ForGroup => {
                Answer::Waits("the group snapshot it belongs to comes, or goes, first".to_owned())
            }
            Waiting::ForCure(complaint) => Answer::Stuck(complaint.text(seen)),
        },
    }
}

/// Why a `VolumeSnapshotContent` is not ready, or does not go.
pub fn content(seen: &content::Sighting) -> Answer {
    use content::Waiting;
    let Some(row) = seen.content.present() else {
        return Answer::Well;
    };
    let told = row.status.as_ref().and_then(|it| it.error.as_deref());
    let told = told.map(|it| it.message.to_string());
    let sidecar = format!("the csi-snapshotter of driver {}", row.driver);
    match content::decide(&seen.facts()) {
        Verdict::Do(content::Step::RecordFailure) => {
            Answer::Stuck(seen.trouble().or(told).unwrap_or_default())
        }
        Verdict::Do(step) => told.map_or_else(|| next_step(&sidecar, step), Answer::Stuck),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::NotOurs => Answer::Stuck(
                "its VolumeSnapshotClass is of another driver than spec.driver; name one of the same in spec.volumeSnapshotClassName".to_owned(),
            ),
            Waiting::Settled => Answer::Well,
            Waiting::ForCaches => unread(),
            Waiting::ForSource | Waiting::ForClass => {
                Answer::Stuck(seen.trouble().or(told).unwrap_or_default())
            }
            Waiting::ForDriver => told.map_or_else(
                || Answer::Waits(format!("{sidecar} waits for the driver's answer")),
                Answer::Stuck,
            ),
            Waiting::ForSnapshot if row.meta.deleting => Answer::Waits(format!(
                "it is being deleted, and goes with VolumeSnapshot {}: delete that",
                row.snapshot.key
            )),
            Waiting::ForSnapshot => Answer::Waits(format!(
                "no snapshot is bound to it; create VolumeSnapshot {}",
                row.snapshot.key
            )),
            Waiting::ForGroup => Answer::Waits("it is cut with its group".to_owned()),
            Waiting::ForOthers => held(&row.meta),
        },
    }
}

/// Why a `PersistentVolumeClaim` has no volume yet.
pub fn claim(seen: &claim::Sighting) -> Answer {
    use claim::{Step, Waiting};
    if seen.claim.present().is_none() {
        return Answer::Well;
    }
    let provisioner = format!("the csi-provisioner of driver {}", seen.settings.driver);
    match claim::decide(&seen.facts()) {
        Verdict::Do(Step::Complain(complaint)) => Answer::Stuck(complaint.text(seen)),
        Verdict::Do(Step::TellPopulator) => populator(),
        Verdict::Do(step) => next_step(&provisioner, step),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::NotOurs | Waiting::Settled => Answer::Well,
            Waiting::ForCaches => unread(),
            Waiting::ForPopulator => populator(),
            Waiting::ForConsumer => Answer::Waits(
                "its class binds late: the volume is made once a pod that uses it is placed"
                    .to_owned(),
            ),
            Waiting::ForDriver => {
                Answer::Waits(format!("{provisioner} waits for the driver's answer"))
            }
            Waiting::ForTurn => Answer::Waits("a node's provisioner takes it soon".to_owned()),
            Waiting::ForCure(complaint) => Answer::Stuck(complaint.text(seen)),
        },
    }
}

fn next_step(program: &str, step: impl std::fmt::Debug) -> Answer {
    Answer::Waits(format!(
        "{program} takes the next step ({step:?}); if nothing happens, see that it runs"
    ))
}

fn populator() -> Answer {
    Answer::Waits("a volume populator is expected to fill it".to_owned())
}

fn unread() -> Answer {
    Answer::Waits("not everything it depends on could be read".to_owned())
}

fn held(meta: &Meta) -> Answer {
    let finalizers = meta.finalizers.join(", ");
    Answer::Stuck(format!(
        "it is being deleted, and finalizers of others hold it: {finalizers}; see to whoever put them on"
    ))
}

#[cfg(test)]
mod tests;
