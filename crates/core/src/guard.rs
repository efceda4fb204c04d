//! Decides when an object that others are made from may go: lets a finalizer off once nobody needs
//! it.
//!
//! Serves the claim snapshots are cut from, and the snapshot claims are filled from. Keyed by the
//! guarded object, so that a finalizer left by somebody long gone is found too, with no sweeper;
//! and a count, not a flag: of two who hold it, the first to finish does not let it go (D31).
//! The finalizer is put on by [`snapshot`](crate::snapshot) and [`claim`](crate::claim), before
//! they use the object.
//!
//! **Guarantees.** The finalizer goes only while nobody who may be in flight holds the object. Who
//! failed and says so does not hold it (D16b).

use crate::object::Meta;
use crate::write::{Kind, Verb, Write};
use crate::{Seen, Verdict};

/// The only step there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Take the finalizer off.
    Release,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// No object, or no finalizer of this guard on it.
    Free,
    /// Somebody may be in flight.
    ForHolders,
    /// A cache is not filled yet.
    ForCaches,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The object, and whether the finalizer is on it.
    pub object: Seen<bool>,
    /// `Present` while somebody holds it, `Absent` if nobody does, `Unknown` before all are cached.
    pub held: Seen<()>,
}

/// Whether somebody holds the object, as [`Facts`] wants to know it.
///
/// `all_cached`: everybody who might is in the caches, each first list having been read whole.
pub const fn held(all_cached: bool, by_somebody: bool) -> Seen<()> {
    match (all_cached, by_somebody) {
        (false, _) => Seen::Unknown,
        (true, true) => Seen::Present(()),
        (true, false) => Seen::Absent,
    }
}

/// What was gathered for one guarded object.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Its kind.
    pub kind: Kind,
    /// Its finalizer of this guard.
    pub finalizer: &'static str,
    /// Its metadata.
    pub object: Seen<Meta>,
    /// As in [`Facts`].
    pub held: Seen<()>,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        Facts {
            object: self
                .object
                .as_ref()
                .map(|it| it.has_finalizer(self.finalizer)),
            held: self.held,
        }
    }
}

/// Returns the next step, or why there is none.
pub fn decide(facts: &Facts) -> Verdict<Step, Waiting> {
    match (facts.object, facts.held) {
        (Seen::Unknown, _) | (Seen::Present(true), Seen::Unknown) => {
            Verdict::Rest(Waiting::ForCaches)
        }
        (Seen::NotCached | Seen::Absent | Seen::Present(false), _) => Verdict::Rest(Waiting::Free),
        (Seen::Present(true), Seen::Present(())) => Verdict::Rest(Waiting::ForHolders),
        (Seen::Present(true), Seen::NotCached | Seen::Absent) => Verdict::Do(Step::Release),
    }
}

/// The write a step comes to; none if the object is not there.
pub fn render(step: Step, seen: &Sighting) -> Option<Write> {
    let meta = seen.object.present()?;
    match step {
        Step::Release => Some(without_finalizer(seen.kind, meta, seen.finalizer)),
    }
}

/// PUT of the object with one more finalizer.
pub(crate) fn with_finalizer(kind: Kind, meta: &Meta, finalizer: &str) -> Write {
    replace(kind, meta, |all| all.push(finalizer.to_owned()))
}

/// PUT of the object with one finalizer less.
pub(crate) fn without_finalizer(kind: Kind, meta: &Meta, finalizer: &str) -> Write {
    replace(kind, meta, |all| all.retain(|it| it != finalizer))
}

fn replace(kind: Kind, meta: &Meta, change: impl FnOnce(&mut Vec<String>)) -> Write {
    let mut finalizers = meta
        .finalizers
        .iter()
        .map(|it| it.clone().into_owned())
        .collect();
    change(&mut finalizers);
    Write {
        kind,
        key: meta.key.clone(),
        verb: Verb::ReplaceFinalizers {
            version: meta.version.clone(),
            finalizers,
        },
        event: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_go_only_when_it_is_sure_that_nobody_holds() {
        for object in [
            Seen::Unknown,
            Seen::NotCached,
            Seen::Absent,
            Seen::Present(false),
        ] {
            for held in [
                Seen::Unknown,
                Seen::NotCached,
                Seen::Absent,
                Seen::Present(()),
            ] {
                let verdict = decide(&Facts { object, held });
                assert!(matches!(verdict, Verdict::Rest(_)), "{object:?} {held:?}");
            }
        }
        let held = |held| {
            decide(&Facts {
                object: Seen::Present(true),
                held,
            })
        };
        assert_eq!(held(Seen::Unknown), Verdict::Rest(Waiting::ForCaches));
        assert_eq!(held(Seen::Present(())), Verdict::Rest(Waiting::ForHolders));
        assert_eq!(held(Seen::Absent), Verdict::Do(Step::Release));
    }
}
