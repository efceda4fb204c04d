//! Says in words what the group content machine decides beyond that of single contents.

use super::*;
use crate::DeletionPolicy;
use crate::content::{ClassFact, ContentFact, Origin, Outcome};

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

fn facts(list: List, change: impl FnOnce(&mut ContentFact)) -> Facts {
    let mut content = CONTENT;
    change(&mut content);
    Facts {
        common: content::Facts {
            content: Seen::Present(content),
            class: ClassFact::Usable,
            outcome: Outcome::None,
            confirmed: false,
            news: false,
            said: false,
            call_due: true,
            failing: false,
        },
        list,
    }
}

fn not_due(mut facts: Facts) -> Facts {
    facts.common.call_due = false;
    facts
}

#[track_caller]
fn check(facts: Facts, expected: Next) {
    assert_eq!(decide(&facts), expected, "{facts:?}");
}

#[track_caller]
fn does(facts: Facts, step: content::Step) {
    check(facts, Verdict::Do(Step::Common(step)));
}

#[test]
fn with_its_list_it_lives_as_any_content() {
    let whole = |change: fn(&mut ContentFact)| facts(List::Whole, change);
    does(whole(|_| {}), content::Step::MarkCreating);
    does(
        whole(|it| it.being_created = true),
        content::Step::CreateOnStorage,
    );
    does(
        whole(|it| (it.deleting, it.being_deleted, it.handle) = (true, true, true)),
        content::Step::DeleteOnStorage,
    );
    does(
        whole(|it| (it.origin, it.handle) = (Origin::Existing, true)),
        content::Step::AskStatus,
    );
    check(
        whole(|it| (it.handle, it.ready) = (true, true)),
        Verdict::Rest(Waiting::Settled),
    );
    does(
        whole(|it| it.origin = Origin::Unclear),
        content::Step::RecordFailure,
    );
}

#[test]
fn d3_a_lost_list_is_had_back_from_the_members() {
    for ready in [false, true] {
        let lost = facts(List::Restorable, |it| (it.handle, it.ready) = (true, ready));
        check(lost, Verdict::Do(Step::RestoreList));
        check(not_due(lost), Verdict::Do(Step::RestoreList));
    }
}

#[test]
fn d3_without_members_the_driver_is_asked() {
    let lost = |ready| facts(List::Lost, |it| (it.handle, it.ready) = (true, ready));
    does(lost(true), content::Step::AskStatus);
    does(lost(false), content::Step::CreateOnStorage);
    check(
        not_due(lost(true)),
        Verdict::Wait(Timer::Poll, Waiting::ForDriver),
    );
}

#[test]
fn what_is_owed_comes_before_a_lost_list() {
    for list in [List::Restorable, List::Lost] {
        let mut told = facts(list, |it| (it.handle, it.being_created) = (true, true));
        does(told, content::Step::ClearMark);
        told.common.outcome = Outcome::Created;
        told.common.news = true;
        does(told, content::Step::RecordStatus);
        told.common.outcome = Outcome::Uncertain;
        does(told, content::Step::RecordFailure);
    }
}

#[test]
fn d3_a_lost_list_keeps_nothing_from_going() {
    for list in [List::Restorable, List::Lost] {
        for ready in [false, true] {
            let going = facts(list, |it| {
                (it.deleting, it.being_deleted) = (true, true);
                (it.handle, it.ready) = (true, ready);
            });
            does(going, content::Step::DeleteOnStorage);
            check(
                not_due(going),
                Verdict::Wait(Timer::Poll, Waiting::ForDriver),
            );
            let mut gone = going;
            gone.common.outcome = Outcome::Deleted;
            does(gone, content::Step::Release);
        }
    }
}
