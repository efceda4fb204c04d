//! Says in words what the group content machine decides: facts in, step or reason out.

use super::*;

const CONTENT: ContentFact = ContentFact {
    ours: true,
    deleting: false,
    protected: true,
    origin: Origin::Volumes,
    unbound: false,
    being_created: false,
    being_deleted: false,
    handle: false,
    listed: false,
    ready: false,
    policy: DeletionPolicy::Delete,
};

const START: Facts = Facts {
    content: Seen::Present(CONTENT),
    class: ClassFact::Usable,
    outcome: Outcome::None,
    confirmed: false,
    news: false,
    said: false,
    call_due: true,
    failing: false,
    restorable: false,
};

fn content(change: impl FnOnce(&mut ContentFact)) -> Facts {
    let mut fact = CONTENT;
    change(&mut fact);
    Facts {
        content: Seen::Present(fact),
        ..START
    }
}

#[track_caller]
fn check(facts: Facts, expected: Next) {
    assert_eq!(decide(&facts), expected, "{facts:?}");
}

#[track_caller]
fn does(facts: Facts, step: Step) {
    check(facts, Verdict::Do(step));
}

#[track_caller]
fn rests(facts: Facts, why: Waiting) {
    check(facts, Verdict::Rest(why));
}

#[test]
fn marks_then_calls_then_writes_then_unmarks() {
    does(START, Step::MarkCreating);
    does(content(|it| it.being_created = true), Step::CreateOnStorage);
    let made = Facts {
        outcome: Outcome::Created,
        news: true,
        ..content(|it| it.being_created = true)
    };
    does(made, Step::RecordStatus);
    does(
        Facts {
            news: false,
            ..made
        },
        Step::ClearMark,
    );
    rests(
        content(|it| (it.handle, it.listed, it.ready) = (true, true, true)),
        Waiting::Settled,
    );
}

#[test]
fn one_that_is_not_ready_is_asked_for_again() {
    let slow = |call_due| Facts {
        call_due,
        ..content(|it| (it.handle, it.listed) = (true, true))
    };
    does(slow(true), Step::CreateOnStorage);
    check(slow(false), Verdict::Wait(Timer::Poll, Waiting::ForDriver));
    check(
        Facts {
            failing: true,
            ..slow(false)
        },
        Verdict::Wait(Timer::Retry, Waiting::ForDriver),
    );
}

#[test]
fn an_imported_one_is_only_asked_about() {
    let imported = |change: fn(&mut ContentFact)| {
        content(|it| {
            (it.origin, it.handle) = (Origin::Existing, true);
            change(it);
        })
    };
    does(imported(|_| {}), Step::AskStatus);
    does(imported(|it| it.being_created = true), Step::ClearMark);
    rests(imported(|it| it.ready = true), Waiting::Settled);
    // Also before anybody claims it, as upstream does.
    does(imported(|it| it.unbound = true), Step::AskStatus);
}

#[test]
fn a_failure_is_told_and_the_mark_goes_only_when_nothing_can_be_left() {
    for outcome in [Outcome::Refused, Outcome::Uncertain, Outcome::NotCalled] {
        let failed = |said| Facts {
            outcome,
            said,
            call_due: false,
            failing: true,
            ..content(|it| it.being_created = true)
        };
        does(failed(false), Step::RecordFailure);
        check(
            failed(true),
            Verdict::Wait(Timer::Retry, Waiting::ForDriver),
        );
    }
    does(
        Facts {
            outcome: Outcome::Refused,
            confirmed: true,
            ..content(|it| it.being_created = true)
        },
        Step::ClearMark,
    );
}

#[test]
fn a_class_is_needed_to_cut_and_for_nothing_else() {
    for class in [ClassFact::Missing, ClassFact::Unusable] {
        let without = |change: fn(&mut ContentFact), said| Facts {
            class,
            said,
            ..content(change)
        };
        does(without(|_| {}, false), Step::RecordFailure);
        rests(without(|_| {}, true), Waiting::ForClass);
        rests(
            without(
                |it| (it.handle, it.listed, it.ready) = (true, true, true),
                false,
            ),
            Waiting::Settled,
        );
        // D32, of groups.
        does(
            without(
                |it| (it.deleting, it.being_deleted, it.being_created) = (true, true, true),
                false,
            ),
            Step::CreateOnStorage,
        );
    }
    rests(
        Facts {
            class: ClassFact::Unknown,
            ..START
        },
        Waiting::ForCaches,
    );
}

#[test]
fn d3_a_lost_list_is_had_back() {
    let lost = |ready| content(|it| (it.handle, it.ready) = (true, ready));
    for ready in [false, true] {
        does(
            Facts {
                restorable: true,
                ..lost(ready)
            },
            Step::RestoreList,
        );
    }
    // Without the members' contents, from the driver.
    does(lost(true), Step::AskStatus);
    does(lost(false), Step::CreateOnStorage);
    check(
        Facts {
            call_due: false,
            ..lost(true)
        },
        Verdict::Wait(Timer::Poll, Waiting::ForDriver),
    );
}

#[test]
fn goes_only_when_its_group_asked_and_nothing_is_uncertain() {
    let going = |change: fn(&mut ContentFact)| {
        content(|it| {
            (it.deleting, it.being_deleted, it.handle) = (true, true, true);
            change(it);
        })
    };
    does(going(|_| {}), Step::DeleteOnStorage);
    does(
        Facts {
            outcome: Outcome::Deleted,
            ..going(|_| {})
        },
        Step::Release,
    );
    does(
        going(|it| it.policy = DeletionPolicy::Retain),
        Step::Release,
    );
    does(going(|it| it.handle = false), Step::Release);
    rests(going(|it| it.protected = false), Waiting::ForOthers);
    // By hand, or while a cut may be under way: not yet.
    rests(
        going(|it| (it.being_deleted, it.ready, it.listed) = (false, true, true)),
        Waiting::ForGroup,
    );
    does(
        going(|it| (it.being_created, it.handle) = (true, false)),
        Step::CreateOnStorage,
    );
    // An imported one nobody ever claimed.
    does(
        going(|it| {
            (it.being_deleted, it.unbound, it.origin) = (false, true, Origin::Existing);
        }),
        Step::DeleteOnStorage,
    );
    let failed = Facts {
        outcome: Outcome::DeleteFailed,
        failing: true,
        call_due: false,
        ..going(|_| {})
    };
    does(failed, Step::RecordFailure);
    check(
        Facts {
            said: true,
            ..failed
        },
        Verdict::Wait(Timer::Retry, Waiting::ForDriver),
    );
}

#[test]
fn leaves_alone_what_is_not_its_own() {
    rests(content(|it| it.ours = false), Waiting::NotOurs);
    rests(content(|it| it.unbound = true), Waiting::ForGroup);
    rests(
        Facts {
            content: Seen::Absent,
            ..START
        },
        Waiting::NotOurs,
    );
    rests(
        Facts {
            content: Seen::Unknown,
            ..START
        },
        Waiting::ForCaches,
    );
    does(
        content(|it| it.origin = Origin::Unclear),
        Step::RecordFailure,
    );
    rests(
        Facts {
            said: true,
            ..content(|it| it.origin = Origin::Unclear)
        },
        Waiting::ForSource,
    );
}
