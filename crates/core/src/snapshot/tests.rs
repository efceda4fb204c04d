//! Tells in a table what the snapshot machine does: facts on the left, the next step on the right.

use super::*;
use crate::pair::{Choice, Memory, Policy};

const SNAPSHOT: SnapshotFact = SnapshotFact {
    deleting: false,
    source: SourceFact::Claim,
    protected: true,
    source_finalizer: true,
    bound_finalizer: true,
    class_named: true,
    bound: false,
    ready: false,
    in_flight: true,
    complains: false,
    content_expected: true,
};

const CONTENT: ContentFact = ContentFact {
    sight: Sight::Ours,
    deleting: false,
    protected: true,
    being_deleted: false,
    cut: false,
    policy: DeletionPolicy::Delete,
    class_owed: false,
};

const CHOICE: Choice = Choice {
    policy: Policy::Delete,
    drives_volume: true,
    secrets_resolve: true,
};

/// Protected, its claim too, and read in this pass; no content yet.
const FACTS: Facts = Facts {
    snapshot: Seen::Present(SNAPSHOT),
    fresh: true,
    content: Seen::NotCached,
    looked_up: false,
    class: ClassFact::Chosen(CHOICE),
    claim: ClaimFact::Bound,
    claim_protected: true,
    node: NodeFact::Settled,
    group: GroupFact::None,
    being_restored: false,
    publication: Publication::Nothing,
    said: None,
    memory: Memory {
        in_grace: false,
        creation_refused: false,
        retry_due: false,
    },
};

fn snapshot(change: impl FnOnce(&mut SnapshotFact)) -> Facts {
    let mut it = SNAPSHOT;
    change(&mut it);
    Facts {
        snapshot: Seen::Present(it),
        ..FACTS
    }
}

fn content(change: impl FnOnce(&mut ContentFact)) -> Facts {
    let mut it = CONTENT;
    change(&mut it);
    Facts {
        content: Seen::Present(it),
        ..FACTS
    }
}

fn deleting(content: Seen<ContentFact>, bound: bool) -> Facts {
    Facts {
        content,
        ..snapshot(|it| (it.deleting, it.bound) = (true, bound))
    }
}

fn check(table: &[(&str, Facts, Next)]) {
    for (words, facts, next) in table {
        assert_eq!(decide(facts), *next, "{words}");
    }
}

const fn gone(change: ContentFact) -> ContentFact {
    ContentFact {
        being_deleted: true,
        ..change
    }
}

#[test]
fn a_new_snapshot_is_protected_then_its_claim_then_its_content_is_made() {
    let bare = |it: &mut SnapshotFact| {
        (it.protected, it.source_finalizer, it.bound_finalizer) = (false, false, false);
    };
    check(&[
        (
            "nothing is on it yet",
            snapshot(bare),
            Verdict::Do(Step::Protect),
        ),
        (
            "nothing is on its claim yet",
            Facts {
                claim_protected: false,
                ..FACTS
            },
            Verdict::Do(Step::ProtectClaim),
        ),
        (
            "an old complaint stands",
            snapshot(|it| it.complains = true),
            Verdict::Do(Step::Retract),
        ),
        (
            "it was protected in an earlier pass",
            Facts {
                fresh: false,
                ..FACTS
            },
            Verdict::Do(Step::LookUpSnapshot),
        ),
        ("all is in order", FACTS, Verdict::Do(Step::CreateContent)),
    ]);
}

#[test]
fn what_is_missing_is_said_once_after_a_look_for_a_content_nobody_heard_of() {
    let missing = Facts {
        class: ClassFact::Missing,
        ..FACTS
    };
    let complaint = Complaint::ClassMissing;
    check(&[
        (
            "the claim might be let go",
            missing,
            Verdict::Do(Step::LookUpContent),
        ),
        (
            "there is none",
            Facts {
                content: Seen::Absent,
                looked_up: true,
                ..missing
            },
            Verdict::Do(Step::Complain(complaint)),
        ),
        (
            "it was said",
            Facts {
                content: Seen::Absent,
                said: Some(complaint),
                ..missing
            },
            Verdict::Rest(Waiting::ForCure(complaint)),
        ),
        (
            "no claim of ours to lose",
            Facts {
                claim_protected: false,
                ..missing
            },
            Verdict::Do(Step::Complain(complaint)),
        ),
    ]);
}

#[test]
fn a_bound_snapshot_never_gets_a_second_content() {
    let bound = snapshot(|it| it.bound = true);
    check(&[
        (
            "the cache lacks it",
            bound,
            Verdict::Do(Step::LookUpContent),
        ),
        (
            "it is gone",
            Facts {
                content: Seen::Absent,
                ..bound
            },
            Verdict::Do(Step::Complain(Complaint::ContentMissing)),
        ),
    ]);
}

#[test]
fn a_content_is_adopted_protected_and_published() {
    let told = |publication, in_grace| Facts {
        publication,
        memory: Memory {
            in_grace,
            ..FACTS.memory
        },
        ..content(|_| {})
    };
    check(&[
        (
            "another's, says the cache",
            content(|it| it.sight = Sight::OfAnother),
            Verdict::Do(Step::LookUpContent),
        ),
        (
            "made to be adopted",
            content(|it| it.sight = Sight::Unclaimed),
            Verdict::Do(Step::BindContent),
        ),
        (
            "made without its finalizer",
            content(|it| it.protected = false),
            Verdict::Do(Step::ProtectContent),
        ),
        (
            "a quick driver may answer yet",
            told(Publication::BoundOnly, true),
            Verdict::Wait(Timer::Grace, Waiting::ForDriver),
        ),
        (
            "it did not",
            told(Publication::BoundOnly, false),
            Verdict::Do(Step::Publish),
        ),
        (
            "it answered",
            told(Publication::News, true),
            Verdict::Do(Step::Publish),
        ),
    ]);
}

#[test]
fn a_snapshot_goes_after_its_content() {
    let with = |content| deleting(Seen::Present(content), true);
    let going = ContentFact {
        deleting: true,
        ..gone(CONTENT)
    };
    let kept = ContentFact {
        policy: DeletionPolicy::Retain,
        ..gone(CONTENT)
    };
    let restored = Facts {
        being_restored: true,
        ..with(CONTENT)
    };
    let complaint = Complaint::BeingRestored;
    check(&[
        (
            "the cache lacks the content",
            deleting(Seen::NotCached, true),
            Verdict::Do(Step::LookUpContent),
        ),
        (
            "it is told first",
            with(CONTENT),
            Verdict::Do(Step::AskContentDeletion),
        ),
        (
            "then it is deleted",
            with(gone(CONTENT)),
            Verdict::Do(Step::DeleteContent),
        ),
        (
            "the sidecar has to let it go",
            with(going),
            Verdict::Rest(Waiting::ForContentRemoval),
        ),
        (
            "it is gone",
            deleting(Seen::Absent, true),
            Verdict::Do(Step::Release),
        ),
        ("it stays", with(kept), Verdict::Do(Step::Release)),
        (
            "a claim is being filled",
            restored,
            Verdict::Do(Step::Complain(complaint)),
        ),
        (
            "it went before it was bound; one may have been made since",
            deleting(Seen::Absent, false),
            Verdict::Do(Step::LookUpContent),
        ),
    ]);
}
