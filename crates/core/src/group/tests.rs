//! Says in words what the group machine decides: facts in, step or reason out.

use super::*;
use crate::pair::{Choice, Memory, Policy};

const GROUP: GroupFact = GroupFact {
    deleting: false,
    source: SourceFact::Selector,
    protected: true,
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

/// Everything in order, and no group content yet.
const START: Facts = Facts {
    group: Seen::Present(GROUP),
    fresh: true,
    content: Seen::NotCached,
    looked_up: false,
    class: ClassFact::Chosen(CHOICE),
    claims: ClaimsFact::Bound,
    claim_unprotected: false,
    node: NodeFact::Settled,
    members: MembersFact::Settled,
    owned: OwnedFact::Going,
    being_restored: false,
    publication: Publication::Nothing,
    said: None,
    memory: Memory {
        in_grace: false,
        creation_refused: false,
        retry_due: false,
    },
};

const MEMBER: member::Facts = member::Facts {
    told: true,
    snapshot: Seen::NotCached,
    content: Seen::NotCached,
    known: false,
    recorded: false,
};

#[track_caller]
fn check(facts: Facts, expected: Next) {
    assert_eq!(decide(&facts), expected, "{facts:?}");
}

#[track_caller]
fn does(facts: Facts, step: Step) {
    check(facts, Verdict::Do(step));
}

#[track_caller]
fn complains(facts: Facts, complaint: Complaint) {
    // With no content cached, and its finalizer on, it looks first: one may have been made.
    let facts = Facts {
        content: match facts.content {
            Seen::NotCached => Seen::Absent,
            other @ (Seen::Unknown | Seen::Absent | Seen::Present(_)) => other,
        },
        looked_up: true,
        ..facts
    };
    does(facts, Step::Complain(complaint));
    check(
        Facts {
            said: Some(complaint),
            ..facts
        },
        Verdict::Rest(Waiting::ForCure(complaint)),
    );
}

fn group(change: impl FnOnce(&mut GroupFact)) -> Facts {
    let mut fact = GROUP;
    change(&mut fact);
    Facts {
        group: Seen::Present(fact),
        ..START
    }
}

/// With its content.
fn bound(change: impl FnOnce(&mut GroupFact, &mut ContentFact)) -> Facts {
    let (mut fact, mut content) = (GROUP, CONTENT);
    fact.bound = true;
    content.cut = true;
    change(&mut fact, &mut content);
    Facts {
        group: Seen::Present(fact),
        content: Seen::Present(content),
        ..START
    }
}

#[test]
fn protects_itself_then_its_claims_then_asks_for_the_cut() {
    does(group(|it| it.protected = false), Step::Protect);
    does(group(|it| it.class_named = false), Step::Protect);
    let open = Facts {
        claim_unprotected: true,
        ..START
    };
    does(open, Step::ProtectClaim);
    does(
        Facts {
            fresh: false,
            ..START
        },
        Step::LookUpGroup,
    );
    does(START, Step::CreateContent);
    does(
        Facts {
            claim_unprotected: true,
            ..group(|it| it.complains = true)
        },
        Step::Retract,
    );
}

#[test]
fn says_what_is_in_the_way_of_a_cut() {
    complains(
        group(|it| it.source = SourceFact::Unclear),
        Complaint::SourceUnclear,
    );
    complains(
        group(|it| it.source = SourceFact::BadSelector),
        Complaint::SelectorUnclear,
    );
    for (class, complaint) in [
        (ClassFact::Missing, Complaint::ClassMissing),
        (ClassFact::NoDefault, Complaint::NoDefaultClass),
        (ClassFact::SeveralDefaults, Complaint::SeveralDefaultClasses),
        (
            ClassFact::Chosen(Choice {
                drives_volume: false,
                ..CHOICE
            }),
            Complaint::ClassOfOtherDriver,
        ),
        (
            ClassFact::Chosen(Choice {
                secrets_resolve: false,
                ..CHOICE
            }),
            Complaint::SecretUnclear,
        ),
    ] {
        complains(Facts { class, ..START }, complaint);
    }
    for (claims, complaint) in [
        (ClaimsFact::None, Complaint::NoClaims),
        (ClaimsFact::NotBound, Complaint::ClaimsNotBound),
        (ClaimsFact::VolumeMissing, Complaint::VolumesMissing),
        (ClaimsFact::VolumeOfAnother, Complaint::VolumesOfAnother),
        (ClaimsFact::VolumeNotCsi, Complaint::VolumesNotCsi),
        (ClaimsFact::SeveralDrivers, Complaint::SeveralDrivers),
        (ClaimsFact::SeveralClasses, Complaint::SeveralClasses),
        (ClaimsFact::Deleting, Complaint::ClaimsDeleting),
    ] {
        complains(Facts { claims, ..START }, complaint);
        // Also when no class follows from such claims.
        let class = ClassFact::Undecided;
        complains(
            Facts {
                class,
                claims,
                ..START
            },
            complaint,
        );
    }
}

#[test]
fn waits_for_caches_before_it_says_anything() {
    let caches = Verdict::Rest(Waiting::ForCaches);
    check(
        Facts {
            group: Seen::Unknown,
            ..START
        },
        caches,
    );
    check(
        Facts {
            content: Seen::Unknown,
            ..START
        },
        caches,
    );
    check(
        Facts {
            class: ClassFact::Unknown,
            ..START
        },
        caches,
    );
    check(
        Facts {
            claims: ClaimsFact::Unknown,
            ..START
        },
        caches,
    );
    check(
        Facts {
            class: ClassFact::Undecided,
            ..START
        },
        caches,
    );
    check(
        Facts {
            members: MembersFact::Open(member::Facts {
                snapshot: Seen::Unknown,
                ..MEMBER
            }),
            ..bound(|_, _| {})
        },
        caches,
    );
}

#[test]
fn a_content_that_was_refused_is_tried_again_later() {
    let refused = |retry_due| Facts {
        memory: Memory {
            creation_refused: true,
            retry_due,
            ..START.memory
        },
        content: Seen::Absent,
        looked_up: true,
        ..START
    };
    does(refused(false), Step::Complain(Complaint::CreationRefused));
    check(
        Facts {
            said: Some(Complaint::CreationRefused),
            ..refused(false)
        },
        Verdict::Wait(Timer::Retry, Waiting::ForCure(Complaint::CreationRefused)),
    );
    does(refused(true), Step::CreateContent);
}

#[test]
fn is_never_cut_again_once_it_was_bound() {
    let lost = |content| Facts {
        content,
        ..group(|it| it.bound = true)
    };
    does(lost(Seen::NotCached), Step::LookUpContent);
    does(
        lost(Seen::Absent),
        Step::Complain(Complaint::ContentMissing),
    );
    let import = |content| Facts {
        content,
        ..group(|it| it.source = SourceFact::Content)
    };
    does(import(Seen::NotCached), Step::LookUpContent);
    does(
        import(Seen::Absent),
        Step::Complain(Complaint::ContentMissing),
    );
}

#[test]
fn binds_a_content_that_was_made_for_it_and_no_other() {
    let seen = |sight| {
        bound(|it, content| {
            it.bound = false;
            content.sight = sight;
        })
    };
    does(seen(Sight::Unclaimed), Step::BindContent);
    does(
        bound(|_, content| content.class_owed = true),
        Step::BindContent,
    );
    does(seen(Sight::OfAnother), Step::LookUpContent);
    does(
        Facts {
            looked_up: true,
            ..seen(Sight::OfAnother)
        },
        Step::Complain(Complaint::ContentOfAnother),
    );
    does(
        seen(Sight::WrongOrigin),
        Step::Complain(Complaint::ContentMismatch),
    );
    does(
        bound(|_, content| content.protected = false),
        Step::ProtectContent,
    );
    does(bound(|it, _| it.protected = false), Step::Protect);
}

#[test]
fn makes_members_before_it_says_ready() {
    let open = |member: member::Facts| Facts {
        members: MembersFact::Open(member),
        publication: Publication::News,
        ..bound(|_, _| {})
    };
    does(open(MEMBER), Step::Member(member::Step::MakeSnapshot));
    let made = Seen::Present(member::SnapshotSight::Ours);
    does(
        open(member::Facts {
            snapshot: made,
            ..MEMBER
        }),
        Step::Member(member::Step::MakeContent),
    );
    // A list that the driver has not given yet holds nothing up.
    does(
        open(member::Facts {
            told: false,
            ..MEMBER
        }),
        Step::Publish,
    );
    complains(
        Facts {
            members: MembersFact::Wrong,
            ..open(MEMBER)
        },
        Complaint::MembersWrong,
    );
    complains(
        open(member::Facts {
            snapshot: Seen::Present(member::SnapshotSight::OfAnother),
            ..MEMBER
        }),
        Complaint::MemberTaken,
    );
    check(
        open(member::Facts {
            snapshot: made,
            content: Seen::Present(member::ContentSight::Going),
            ..MEMBER
        }),
        Verdict::Rest(Waiting::ForContentRemoval),
    );
}

#[test]
fn a_member_is_made_again_only_for_a_group_that_surely_is_there() {
    let lost = Facts {
        members: MembersFact::Open(MEMBER),
        ..bound(|it, _| it.ready = true)
    };
    does(
        Facts {
            fresh: false,
            ..lost
        },
        Step::LookUpGroup,
    );
    does(lost, Step::Member(member::Step::MakeSnapshot));
}

#[test]
fn a_quick_driver_saves_the_write_of_the_bound_name() {
    let young = Facts {
        publication: Publication::BoundOnly,
        memory: Memory {
            in_grace: true,
            ..START.memory
        },
        ..bound(|_, content| content.cut = false)
    };
    check(young, Verdict::Wait(Timer::Grace, Waiting::ForDriver));
    does(
        Facts {
            memory: START.memory,
            ..young
        },
        Step::Publish,
    );
    check(bound(|_, _| {}), Verdict::Rest(Waiting::ForDriver));
    check(
        bound(|it, _| it.ready = true),
        Verdict::Rest(Waiting::Settled),
    );
}

fn deleting(change: impl FnOnce(&mut GroupFact, &mut ContentFact)) -> Facts {
    bound(|group, content| {
        group.deleting = true;
        content.being_deleted = true;
        change(group, content);
    })
}

#[test]
fn goes_after_its_members_and_its_content() {
    does(
        deleting(|_, content| content.being_deleted = false),
        Step::AskContentDeletion,
    );
    does(
        deleting(|_, content| content.protected = false),
        Step::ProtectContent,
    );
    let staying = |facts| Facts {
        owned: OwnedFact::Staying,
        ..facts
    };
    does(staying(deleting(|_, _| {})), Step::DeleteMember);
    does(deleting(|_, _| {}), Step::DeleteContent);
    check(
        deleting(|_, content| content.deleting = true),
        Verdict::Rest(Waiting::ForContentRemoval),
    );
    does(
        Facts {
            content: Seen::Absent,
            ..deleting(|_, _| {})
        },
        Step::Release,
    );
    // Members go with a group that is retained too; what is on storage stays.
    let retained = |_: &mut GroupFact, content: &mut ContentFact| {
        content.policy = DeletionPolicy::Retain;
    };
    does(staying(deleting(retained)), Step::DeleteMember);
    does(deleting(retained), Step::Release);
    // Also when the content was lost.
    does(
        staying(Facts {
            content: Seen::Absent,
            ..deleting(|_, _| {})
        }),
        Step::DeleteMember,
    );
    check(
        deleting(|group, _| group.protected = false),
        Verdict::Rest(Waiting::ForOthers),
    );
    check(
        Facts {
            owned: OwnedFact::Unknown,
            ..deleting(|_, _| {})
        },
        Verdict::Rest(Waiting::ForCaches),
    );
}

#[test]
fn d12_a_group_deleted_before_it_was_bound_takes_its_content_along() {
    let unbound = |content, looked_up| Facts {
        content,
        looked_up,
        ..deleting(|group, _| group.bound = false)
    };
    does(unbound(Seen::NotCached, false), Step::LookUpContent);
    does(unbound(Seen::Absent, false), Step::LookUpContent);
    does(unbound(Seen::Absent, true), Step::Release);
    does(
        unbound(Seen::Present(CONTENT), false),
        Step::AskContentDeletion,
    );
    does(
        unbound(
            Seen::Present(ContentFact {
                being_deleted: true,
                ..CONTENT
            }),
            false,
        ),
        Step::DeleteContent,
    );
}

#[test]
fn waits_for_a_restore_from_a_member() {
    let restored = Facts {
        being_restored: true,
        owned: OwnedFact::Staying,
        ..deleting(|_, content| content.being_deleted = false)
    };
    complains(restored, Complaint::BeingRestored);
}

#[test]
fn a_content_of_another_is_not_destroyed() {
    let foreign = |looked_up| Facts {
        looked_up,
        ..deleting(|_, content| content.sight = Sight::OfAnother)
    };
    does(foreign(false), Step::LookUpContent);
    does(foreign(true), Step::Release);
}
