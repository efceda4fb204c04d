//! Decides what the cluster's side owes a `VolumeSnapshotContent` whose snapshot is not there.
//!
//! While its snapshot is there, [`snapshot`](crate::snapshot) looks after the content. A content
//! made by hand, or restored from a backup, may point at a snapshot that never was; nobody would
//! ever mark it as going, so it could never be deleted (D24).
//!
//! **Guarantees.** A content is never deleted here: only one that somebody deleted is let go, and
//! only once a read past the cache found no snapshot of that uid. What becomes of the storage is
//! for its deletion policy to say.

use std::sync::Arc;

use tintype_api::keys;

use crate::object::{Content, Snapshot};
use crate::write::{Kind, Write};
use crate::{Seen, Verdict};

/// One write to the API server, or one read past the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put the finalizer on a content that came without.
    Protect,
    /// Read the snapshot past the cache.
    LookUpSnapshot,
    /// Mark the content: no snapshot needs it.
    AskDeletion,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The content is not there (any more).
    Gone,
    /// A cache is not filled yet.
    ForCaches,
    /// No snapshot was ever bound to it.
    Unbound,
    /// Its snapshot looks after it.
    ForSnapshot,
    /// It stands on its own, or goes already.
    Settled,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The content itself.
    pub content: Seen<ContentFact>,
    /// A snapshot of the name it points at, and whether it is of that uid.
    pub snapshot: Seen<bool>,
    /// The snapshot was read past the cache in this pass.
    pub looked_up: bool,
}

/// The content's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentFact {
    /// It points at a uid.
    pub bound: bool,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Its finalizer is on it.
    pub protected: bool,
    /// The being-deleted mark.
    pub being_deleted: bool,
}

/// What was gathered for one content.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The content.
    pub content: Seen<Arc<Content>>,
    /// The snapshot of the name it points at.
    pub snapshot: Seen<Arc<Snapshot>>,
    /// The snapshot was read past the cache in this pass.
    pub looked_up: bool,
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let owner = self.content.present().map(|it| it.snapshot.uid.clone());
        Facts {
            content: self.content.as_ref().map(|it| content_fact(it)),
            snapshot: self
                .snapshot
                .as_ref()
                .map(|it| Some(&it.meta.uid) == owner.as_ref()),
            looked_up: self.looked_up,
        }
    }
}

fn content_fact(content: &Content) -> ContentFact {
    ContentFact {
        bound: !content.snapshot.uid.is_empty(),
        deleting: content.meta.deleting,
        protected: content.meta.has_finalizer(keys::FINALIZER_CONTENT),
        being_deleted: content.being_deleted,
    }
}

/// Something may be owed: what the shell passes to this machine, and nothing else.
pub fn concerns(content: &Content) -> bool {
    let it = content_fact(content);
    it.bound && (owes_protection(it) || owes_mark(it))
}

const fn owes_protection(content: ContentFact) -> bool {
    !content.protected && !content.deleting
}

const fn owes_mark(content: ContentFact) -> bool {
    content.protected && content.deleting && !content.being_deleted
}

/// Returns the next step for a content, or why there is none. Upstream: syncContent.
pub fn decide(facts: &Facts) -> Verdict<Step, Waiting> {
    let content = match facts.content {
        Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
        Seen::NotCached | Seen::Absent => return Verdict::Rest(Waiting::Gone),
        Seen::Present(content) => content,
    };
    if !content.bound {
        return Verdict::Rest(Waiting::Unbound);
    }
    match facts.snapshot {
        Seen::Unknown => return Verdict::Rest(Waiting::ForCaches),
        Seen::Present(true) => return Verdict::Rest(Waiting::ForSnapshot),
        Seen::Present(false) | Seen::NotCached | Seen::Absent => {}
    }
    if owes_protection(content) {
        return Verdict::Do(Step::Protect);
    }
    if !owes_mark(content) {
        return Verdict::Rest(Waiting::Settled);
    }
    // What it marks may be destroyed: no cache is believed.
    if facts.looked_up {
        Verdict::Do(Step::AskDeletion)
    } else {
        Verdict::Do(Step::LookUpSnapshot)
    }
}

/// The write a step comes to; none if the content is not there.
pub fn render(step: Step, seen: &Sighting) -> Option<Write> {
    let content = seen.content.present()?;
    match step {
        Step::Protect => {
            let finalizers = content.meta.with_finalizer(keys::FINALIZER_CONTENT);
            Some(Write::finalizers(Kind::Content, &content.meta, &finalizers))
        }
        Step::LookUpSnapshot => Some(Write::get(Kind::Snapshot, content.snapshot.key.clone())),
        Step::AskDeletion => Some(Write::annotate(
            Kind::Content,
            &content.meta,
            keys::ANNOTATION_BEING_DELETED,
            "yes".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOING: ContentFact = ContentFact {
        bound: true,
        deleting: true,
        protected: true,
        being_deleted: false,
    };

    fn next(content: ContentFact, snapshot: Seen<bool>, looked_up: bool) -> Verdict<Step, Waiting> {
        decide(&Facts {
            content: Seen::Present(content),
            snapshot,
            looked_up,
        })
    }

    #[test]
    fn d24_a_content_of_no_snapshot_can_be_deleted() {
        for unseen in [Seen::NotCached, Seen::Absent, Seen::Present(false)] {
            assert_eq!(
                next(GOING, unseen, false),
                Verdict::Do(Step::LookUpSnapshot)
            );
            assert_eq!(next(GOING, unseen, true), Verdict::Do(Step::AskDeletion));
        }
        let marked = ContentFact {
            being_deleted: true,
            ..GOING
        };
        let settled = Verdict::Rest(Waiting::Settled);
        assert_eq!(next(marked, Seen::Absent, true), settled);
    }

    #[test]
    fn a_content_is_left_to_its_snapshot_as_long_as_that_may_be_there() {
        for looked_up in [false, true] {
            assert_eq!(
                next(GOING, Seen::Present(true), looked_up),
                Verdict::Rest(Waiting::ForSnapshot)
            );
            assert_eq!(
                next(GOING, Seen::Unknown, looked_up),
                Verdict::Rest(Waiting::ForCaches)
            );
        }
    }

    #[test]
    fn nobody_deletes_a_content_for_want_of_its_snapshot() {
        let standing = ContentFact {
            deleting: false,
            ..GOING
        };
        let bare = ContentFact {
            protected: false,
            ..standing
        };
        let unbound = ContentFact {
            bound: false,
            ..GOING
        };
        for snapshot in [Seen::NotCached, Seen::Absent, Seen::Present(false)] {
            assert_eq!(
                next(standing, snapshot, true),
                Verdict::Rest(Waiting::Settled)
            );
            assert_eq!(next(bare, snapshot, true), Verdict::Do(Step::Protect));
            assert_eq!(
                next(unbound, snapshot, true),
                Verdict::Rest(Waiting::Unbound)
            );
        }
    }
}
