//! Says why an object is not as somebody wants it: asks the machine that decides on it, and puts
//! that machine's rest into words.
//!
//! Decides nothing itself, so what a person reads is what the program does. Whoever asks has read
//! everything past any cache; what was not found is [`Seen::Absent`](crate::Seen).

use crate::object::Meta;
use crate::{Verdict, claim, content, group, group_content, snapshot};

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
        Verdict::Do(_) => next_step(CONTROLLER),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::Gone | Waiting::Settled => Answer::Well,
            Waiting::ForCaches => told(row.error.as_deref(), unread),
            Waiting::ForDriver => told(row.error.as_deref(), || {
                Answer::Waits(format!(
                    "VolumeSnapshotContent \"{content}\" is not ready yet"
                ))
            }),
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
    let error = row.error().map(|it| it.message.as_ref());
    let sidecar = sidecar(&row.driver);
    let in_the_way = || told(seen.trouble().as_deref().or(error), || next_step(&sidecar));
    match content::decide(&seen.facts()) {
        Verdict::Do(content::Step::RecordFailure) => in_the_way(),
        Verdict::Do(_) => told(error, || next_step(&sidecar)),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::NotOurs => not_ours(&sidecar),
            Waiting::Settled => Answer::Well,
            Waiting::ForCaches => told(error, unread),
            Waiting::ForSource | Waiting::ForClass => in_the_way(),
            Waiting::ForDriver => told(error, || for_driver(&sidecar)),
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

/// Why a `VolumeGroupSnapshot` is not ready, or does not go.
pub fn group(seen: &group::Sighting) -> Answer {
    use group::{Step, Waiting};
    let Some(row) = seen.group.present() else {
        return Answer::Well;
    };
    let content = row.content_name().unwrap_or_default();
    match group::decide(&seen.facts()) {
        Verdict::Do(Step::Complain(complaint)) => Answer::Stuck(complaint.text(seen)),
        Verdict::Do(_) => next_step(CONTROLLER),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::Gone | Waiting::Settled => Answer::Well,
            Waiting::ForCaches => told(row.error.as_deref(), unread),
            Waiting::ForDriver => told(row.error.as_deref(), || {
                Answer::Waits(format!(
                    "VolumeGroupSnapshotContent \"{content}\" is not ready yet{}",
                    unready_members(seen)
                ))
            }),
            Waiting::ForContentRemoval => Answer::Waits(format!(
                "VolumeGroupSnapshotContent \"{content}\", or the content of a member, is being removed first"
            )),
            Waiting::ForOthers => held(&row.meta),
            Waiting::ForCure(complaint) => Answer::Stuck(complaint.text(seen)),
        },
    }
}

/// Each snapshot of a group that is not ready, and the claim it is of.
fn unready_members(seen: &group::Sighting) -> String {
    let unready = seen.members.iter().filter(|it| {
        let snapshot = it.snapshot.present();
        snapshot.is_none_or(|it| it.ready != Some(true))
    });
    let named: Vec<String> = unready
        .map(|it| {
            let claim = it.volume.as_ref().and_then(|it| it.claim.as_ref());
            let claim = claim.map_or("that is gone", |it| &it.key.name);
            format!("VolumeSnapshot {} of claim {claim}", it.keys.snapshot.name)
        })
        .collect();
    if named.is_empty() {
        String::new()
    } else {
        format!(": of its members, {}", named.join(", "))
    }
}

/// Why a `VolumeGroupSnapshotContent` is not ready, or does not go.
pub fn group_content(seen: &group_content::Sighting) -> Answer {
    use content::Waiting;
    use group_content::Step;
    let Some(row) = seen.content.present() else {
        return Answer::Well;
    };
    let error = row.error().map(|it| it.message.as_ref());
    let sidecar = sidecar(&row.driver);
    let in_the_way = || told(seen.trouble().as_deref().or(error), || next_step(&sidecar));
    match group_content::decide(&seen.facts()) {
        Verdict::Do(Step::Common(content::Step::RecordFailure)) => in_the_way(),
        Verdict::Do(Step::Common(_) | Step::RestoreList) => told(error, || next_step(&sidecar)),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::NotOurs => not_ours(&sidecar),
            Waiting::Settled => Answer::Well,
            Waiting::ForCaches => told(error, unread),
            Waiting::ForSource | Waiting::ForClass => in_the_way(),
            Waiting::ForDriver | Waiting::ForGroup => told(error, || for_driver(&sidecar)),
            Waiting::ForSnapshot if row.meta.deleting => Answer::Waits(format!(
                "it is being deleted, and goes with VolumeGroupSnapshot {}: delete that",
                row.group.key
            )),
            Waiting::ForSnapshot => Answer::Waits(format!(
                "no group snapshot is bound to it; create VolumeGroupSnapshot {}",
                row.group.key
            )),
            Waiting::ForOthers => held(&row.meta),
        },
    }
}

/// Why a `PersistentVolumeClaim` has no volume yet; `event` is what was said of it last.
pub fn claim(seen: &claim::Sighting, event: Option<&str>) -> Answer {
    use claim::{Step, Waiting};
    if seen.claim.present().is_none() {
        return Answer::Well;
    }
    let provisioner = format!("the csi-provisioner of driver {}", seen.settings.driver);
    match claim::decide(&seen.facts()) {
        Verdict::Do(Step::Complain(complaint)) => complained(complaint, seen),
        Verdict::Do(Step::TellPopulator) => populator(),
        Verdict::Do(_) => told(event, || next_step(&provisioner)),
        Verdict::Rest(why) | Verdict::Wait(_, why) => match why {
            Waiting::NotOurs | Waiting::Settled => Answer::Well,
            Waiting::ForCaches => told(event, unread),
            Waiting::ForPopulator => populator(),
            Waiting::ForConsumer => Answer::Waits(
                "its class binds late: the volume is made once a pod that uses it is placed"
                    .to_owned(),
            ),
            Waiting::ForDriver => told(event, || for_driver(&provisioner)),
            Waiting::ForTurn => Answer::Waits("a node's provisioner takes it soon".to_owned()),
            Waiting::ForCure(complaint) => complained(complaint, seen),
        },
    }
}

/// What becomes ready by itself is waited for; if it does not, it says why itself.
fn complained(complaint: claim::Complaint, seen: &claim::Sighting) -> Answer {
    use claim::Complaint;
    let text = complaint.text(seen);
    if matches!(
        complaint,
        Complaint::SnapshotNotBound | Complaint::SnapshotNotReady | Complaint::SourceClaimNotBound
    ) {
        Answer::Waits(text)
    } else {
        Answer::Stuck(text)
    }
}

const CONTROLLER: &str = "the snapshot-controller";

fn sidecar(driver: &str) -> String {
    format!("the csi-snapshotter of driver {driver}")
}

/// What somebody said already; else what follows from what is there.
fn told(words: Option<&str>, otherwise: impl FnOnce() -> Answer) -> Answer {
    let words = words.filter(|it| !it.trim().is_empty());
    words.map_or_else(otherwise, |it| Answer::Stuck(it.to_owned()))
}

fn next_step(program: &str) -> Answer {
    Answer::Waits(format!(
        "{program} goes on with it; if nothing happens, see that it runs, and what its log says"
    ))
}

fn for_driver(program: &str) -> Answer {
    Answer::Waits(format!("{program} waits for the driver's answer"))
}

fn not_ours(sidecar: &str) -> Answer {
    Answer::Stuck(format!(
        "{sidecar} passes it over: its class is of another driver than spec.driver; name one of the same driver"
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
