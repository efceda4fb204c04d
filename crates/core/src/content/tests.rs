//! Tells in a table what the content machine does: facts on the left, the next step on the right.

use super::*;

const CONTENT: ContentFact = ContentFact {
    ours: true,
    deleting: false,
    protected: true,
    origin: Origin::Volume,
    in_group: false,
    unbound: false,
    being_created: false,
    being_deleted: false,
    handle: false,
    ready: false,
    policy: DeletionPolicy::Delete,
};

/// New, and nothing was called yet.
const FACTS: Facts = Facts {
    content: Seen::Present(CONTENT),
    class: ClassFact::Usable,
    outcome: Outcome::None,
    confirmed: false,
    news: false,
    said: false,
    call_due: true,
    failing: false,
};

fn content(change: impl FnOnce(&mut ContentFact)) -> Facts {
    let mut it = CONTENT;
    change(&mut it);
    Facts {
        content: Seen::Present(it),
        ..FACTS
    }
}

fn marked(outcome: Outcome) -> Facts {
    Facts {
        outcome,
        ..content(|it| it.being_created = true)
    }
}

fn check(table: &[(&str, Facts, Next)]) {
    for (words, facts, next) in table {
        assert_eq!(decide(facts), *next, "{words}");
    }
}

#[test]
fn a_snapshot_is_marked_called_for_recorded_and_unmarked() {
    let recorded = |it: &mut ContentFact| (it.being_created, it.handle) = (true, true);
    check(&[
        ("it is new", FACTS, Verdict::Do(Step::MarkCreating)),
        (
            "it is marked",
            marked(Outcome::None),
            Verdict::Do(Step::CreateOnStorage),
        ),
        (
            "the driver answered",
            Facts {
                news: true,
                ..marked(Outcome::Created)
            },
            Verdict::Do(Step::RecordStatus),
        ),
        (
            "its handle is written",
            content(recorded),
            Verdict::Do(Step::ClearMark),
        ),
        (
            "it is not ready",
            Facts {
                call_due: false,
                ..content(|it| it.handle = true)
            },
            Verdict::Wait(Timer::Poll, Waiting::ForDriver),
        ),
        (
            "time to ask again",
            content(|it| it.handle = true),
            Verdict::Do(Step::CreateOnStorage),
        ),
        (
            "it is ready",
            content(|it| it.ready = true),
            Verdict::Rest(Waiting::Settled),
        ),
    ]);
}

#[test]
fn a_failure_is_told_and_only_a_certain_one_takes_the_mark_off() {
    let refused = Facts {
        confirmed: true,
        ..marked(Outcome::Refused)
    };
    check(&[
        (
            "surely nothing came of it",
            refused,
            Verdict::Do(Step::ClearMark),
        ),
        (
            "it may have come after all",
            marked(Outcome::Refused),
            Verdict::Do(Step::RecordFailure),
        ),
        (
            "nobody knows",
            marked(Outcome::Uncertain),
            Verdict::Do(Step::RecordFailure),
        ),
        (
            "it was told, and has to rest",
            Facts {
                said: true,
                call_due: false,
                failing: true,
                ..marked(Outcome::Uncertain)
            },
            Verdict::Wait(Timer::Retry, Waiting::ForDriver),
        ),
        (
            "it is asked again",
            Facts {
                said: true,
                failing: true,
                ..marked(Outcome::Uncertain)
            },
            Verdict::Do(Step::CreateOnStorage),
        ),
    ]);
}

#[test]
fn a_missing_class_stops_a_cut_but_not_the_end_of_one() {
    let missing = |facts| Facts {
        class: ClassFact::Missing,
        ..facts
    };
    let going = |it: &mut ContentFact| {
        (it.deleting, it.being_deleted, it.being_created) = (true, true, true);
    };
    check(&[
        (
            "it is said",
            missing(FACTS),
            Verdict::Do(Step::RecordFailure),
        ),
        (
            "it was said",
            Facts {
                said: true,
                ..missing(FACTS)
            },
            Verdict::Rest(Waiting::ForClass),
        ),
        (
            "what may have been cut has to be found out (D32)",
            missing(content(going)),
            Verdict::Do(Step::CreateOnStorage),
        ),
    ]);
}

#[test]
fn storage_is_deleted_only_when_the_snapshot_asked_for_it() {
    let by_hand = |it: &mut ContentFact| (it.deleting, it.handle, it.ready) = (true, true, true);
    let asked = |it: &mut ContentFact| {
        by_hand(it);
        it.being_deleted = true;
    };
    let kept = |it: &mut ContentFact| {
        asked(it);
        it.policy = DeletionPolicy::Retain;
    };
    let uncut = |it: &mut ContentFact| (it.deleting, it.being_deleted) = (true, true);
    check(&[
        (
            "deleted by hand",
            content(by_hand),
            Verdict::Rest(Waiting::ForSnapshot),
        ),
        (
            "its snapshot goes",
            content(asked),
            Verdict::Do(Step::DeleteOnStorage),
        ),
        (
            "storage is gone",
            Facts {
                outcome: Outcome::Deleted,
                ..content(asked)
            },
            Verdict::Do(Step::Release),
        ),
        (
            "it could not be deleted",
            Facts {
                outcome: Outcome::DeleteFailed,
                ..content(asked)
            },
            Verdict::Do(Step::RecordFailure),
        ),
        (
            "its policy is to stay",
            content(kept),
            Verdict::Do(Step::Release),
        ),
        (
            "nothing was ever cut",
            content(uncut),
            Verdict::Do(Step::Release),
        ),
    ]);
}

#[test]
fn making_and_deleting_back_off_each_on_its_own() {
    let schedule = crate::retry::Schedule {
        start: 1_000,
        max: 300_000,
    };
    let mut memory = Memory::default();
    let mut fail = |outcome| {
        let failure = CallFailure {
            what: "Failed".into(),
            code: "Internal".into(),
            message: "no".into(),
            busy: false,
        };
        memory.folded_failure(outcome, failure, crate::Time(0), schedule, 0);
        memory.backoff.remaining(crate::Time(0))
    };
    let delays = [Outcome::Uncertain, Outcome::Refused, Outcome::Refused].map(&mut fail);
    assert_eq!(delays, [1_000, 2_000, 4_000]);
    let delays = [Outcome::DeleteFailed, Outcome::DeleteFailed].map(&mut fail);
    assert_eq!(delays, [1_000, 2_000]);
}
