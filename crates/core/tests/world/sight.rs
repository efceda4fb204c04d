//! Says what the machines' facts are in a state of the world.
//!
//! Mirrors `Sighting::facts` of each machine, which the world of rows holds to this.

use std::sync::Arc;

use tintype_core::content::{self, CallFailure, Origin, Outcome, Reply};
use tintype_core::doubt::Doubt;
use tintype_core::pair::{Choice, ClassFact, ContentFact, Policy, Publication, Sight};
use tintype_core::retry::Schedule;
use tintype_core::snapshot::{self, ClaimFact, GroupFact, NodeFact, SnapshotFact, SourceFact};
use tintype_core::{Seen, Stamp, Time, guard};

use super::model::{Content, Ready, Recalled, Said, Snap, Trouble, World};

impl World {
    /// What the snapshot machine sees of this name.
    pub(crate) fn snapshot_facts(&self, name: usize) -> snapshot::Facts {
        let imported = self.setup.0.imported;
        let snap = self.controller.snaps[name];
        let content = snap.present().map_or(Seen::NotCached, |it| {
            self.controller.contents[self.content_of(it.uid)]
        });
        let source = if imported {
            SourceFact::Content
        } else {
            SourceFact::Claim
        };
        snapshot::Facts {
            snapshot: snap.map(|it| SnapshotFact {
                deleting: it.deleting,
                source,
                protected: it.source_finalizer || it.bound_finalizer,
                source_finalizer: it.source_finalizer,
                bound_finalizer: it.bound_finalizer,
                class_named: true,
                bound: it.bound,
                ready: it.ready == Ready::Yes,
                in_flight: it.holds_its_claim(content, imported),
                complains: it.error.is_some(),
                content_expected: true,
            }),
            content: content.map(|it| self.content_sight(snap.present(), it)),
            fresh: self.controller.fresh[name],
            looked_up: self.controller.looked_up[name],
            class: self.class_fact(),
            claim: self.claim_fact(),
            claim_protected: !imported
                && self
                    .controller
                    .claim
                    .present()
                    .is_some_and(|it| it.protected),
            node: NodeFact::Settled,
            group: GroupFact::None,
            being_restored: false,
            publication: match (snap.present(), content.present()) {
                (Some(snap), Some(content)) => publication(*snap, *content),
                (_, _) => Publication::Nothing,
            },
            said: snap.present().and_then(|it| match it.error {
                Some(Said::Complaint(complaint)) => Some(complaint),
                Some(Said::OfContent(_) | Said::Theirs) | None => None,
            }),
            memory: self.controller.memory[name],
        }
    }

    fn content_sight(&self, snap: Option<&Snap>, content: Content) -> ContentFact {
        let imported = self.setup.0.imported;
        let owner = snap.map(|it| it.uid);
        ContentFact {
            sight: if content.owner.is_some() && content.owner == owner {
                Sight::Ours
            } else if imported && content.owner.is_none() && self.is_meant(owner) {
                Sight::Unclaimed
            } else {
                Sight::OfAnother
            },
            deleting: content.deleting,
            protected: content.protected,
            being_deleted: content.being_deleted,
            cut: content.recorded || imported,
            policy: self.setup.0.policy,
            class_owed: imported && !content.classed,
        }
    }

    /// The imported content names the first snapshot.
    fn is_meant(&self, uid: Option<usize>) -> bool {
        self.setup.0.names == 1 || uid == Some(0)
    }

    fn class_fact(&self) -> ClassFact {
        match self.controller.class {
            Seen::Unknown => ClassFact::Unknown,
            Seen::NotCached | Seen::Absent => ClassFact::Missing,
            Seen::Present(()) => ClassFact::Chosen(Choice {
                policy: Policy::of(self.setup.0.policy),
                drives_volume: true,
                secrets_resolve: true,
            }),
        }
    }

    fn claim_fact(&self) -> ClaimFact {
        if self.setup.0.imported {
            return ClaimFact::Missing;
        }
        match self.controller.claim {
            Seen::Unknown => ClaimFact::Unknown,
            Seen::NotCached | Seen::Absent => ClaimFact::Missing,
            Seen::Present(it) if !it.bound => ClaimFact::NotBound,
            Seen::Present(it) if it.deleting => ClaimFact::Deleting,
            Seen::Present(_) => ClaimFact::Bound,
        }
    }

    /// What the guard of the claim sees.
    pub(crate) fn guard_facts(&self) -> guard::Facts {
        let known = !self.controller.snaps.contains(&Seen::Unknown);
        let held = self
            .controller
            .snaps
            .iter()
            .filter_map(Seen::present)
            .any(|it| {
                let content = self.controller.contents[self.content_of(it.uid)];
                it.holds_its_claim(content, self.setup.0.imported)
            });
        guard::Facts {
            object: self.controller.claim.map(|it| it.protected),
            held: guard::held(known, held),
        }
    }

    /// What the content machine sees of this content.
    pub(crate) fn content_facts(&self, at: usize) -> content::Facts {
        let imported = self.setup.0.imported;
        let content = self.sidecar.contents[at];
        let memory = self.sidecar.memory[at];
        let class = match (imported, self.sidecar.class) {
            (_, Seen::Unknown) => content::ClassFact::Unknown,
            (_, Seen::NotCached | Seen::Absent) => content::ClassFact::Missing,
            (_, Seen::Present(())) => content::ClassFact::Usable,
        };
        let row = content.present();
        content::Facts {
            content: content.map(|it| content::ContentFact {
                ours: true,
                deleting: it.deleting,
                protected: it.protected,
                origin: if imported {
                    Origin::Existing
                } else {
                    Origin::Volume
                },
                in_group: false,
                unbound: it.owner.is_none(),
                being_created: it.being_created,
                being_deleted: it.being_deleted,
                handle: it.recorded || imported,
                ready: it.ready == Ready::Yes,
                policy: self.setup.0.policy,
            }),
            class,
            outcome: memory.outcome,
            confirmed: memory.confirmed(),
            news: row.is_some_and(|it| memory.is_news_to(*it)),
            said: row.is_some_and(|it| {
                it.error.is_some() && it.error == self.trouble(*it, class, memory)
            }),
            call_due: memory.due,
            failing: memory.failing,
        }
    }

    /// What is in the way of a content now.
    pub(crate) fn trouble(
        &self,
        content: Content,
        class: content::ClassFact,
        memory: Recalled,
    ) -> Option<Trouble> {
        let unneeded = content.deleting && content.being_created || self.setup.0.imported;
        let classless = class == content::ClassFact::Missing;
        if !unneeded && classless {
            Some(Trouble::Class)
        } else {
            memory.failure
        }
    }
}

impl Snap {
    fn holds_its_claim(self, content: Seen<Content>, imported: bool) -> bool {
        let failed = match content {
            Seen::Present(it) if !it.recorded && !imported => {
                !it.being_created && it.error.is_some()
            }
            Seen::Present(_) | Seen::Absent => self.error.is_some(),
            Seen::Unknown | Seen::NotCached => false,
        };
        self.ready != Ready::Yes && !failed
    }
}

fn publication(snap: Snap, content: Content) -> Publication {
    let ready = content.ready == Ready::Yes;
    let error = if snap.ready == Ready::Yes {
        snap.error.is_some()
    } else {
        let theirs = content.error.filter(|_| !ready).map(Said::OfContent);
        snap.error != theirs
    };
    if (!snap.dated && content.recorded) || (ready && snap.ready != Ready::Yes) || error {
        Publication::News
    } else if !snap.bound || snap.ready == Ready::Unset {
        Publication::BoundOnly
    } else {
        Publication::Nothing
    }
}

/// The clock stands still: what is due and what is not is a fact of the state.
const NOW: Time = Time(1_000_000);
const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};

impl Recalled {
    /// As core keeps it.
    pub(crate) fn to_core(self) -> content::Memory {
        let mut memory = content::Memory {
            outcome: self.outcome,
            marked: self.marked,
            doubt: self.doubt,
            reply: self.reply.map(|ready| Arc::new(reply(ready))),
            failure: self.failure.map(|it| Arc::new(failure(it))),
            ..content::Memory::default()
        };
        match (self.failing, self.due) {
            (true, due) => {
                let at = if due { Time(0) } else { NOW };
                memory.backoff.failed(at, SCHEDULE, 0);
            }
            (false, false) => memory.backoff.later(NOW, 1, 0),
            (false, true) => {}
        }
        memory
    }

    /// Folds something in with core's own function.
    pub(crate) fn fold(&mut self, fold: impl FnOnce(&mut content::Memory)) {
        let mut memory = self.to_core();
        fold(&mut memory);
        *self = Self {
            of: self.of,
            outcome: memory.outcome,
            marked: memory.marked,
            doubt: Doubt {
                refusals: memory.doubt.refusals.min(2),
                ..memory.doubt
            },
            reply: memory.reply.as_ref().map(|it| it.ready),
            failure: self.failure.filter(|_| memory.failure.is_some()),
            failing: memory.backoff.failures() > 0,
            due: memory.backoff.due(NOW),
        };
    }

    /// The driver answered.
    pub(crate) fn answered(&mut self, ready: bool) {
        self.fold(|memory| memory.folded_reply(reply(ready), NOW, Stamp(0), 0));
    }

    /// The call failed.
    pub(crate) fn failed(&mut self, outcome: Outcome, trouble: Trouble) {
        self.failure = Some(trouble);
        self.fold(|memory| {
            memory.folded_failure(outcome, failure(trouble), NOW, SCHEDULE, 0);
        });
    }

    fn confirmed(self) -> bool {
        content::Memory {
            outcome: self.outcome,
            marked: self.marked,
            doubt: self.doubt,
            ..content::Memory::default()
        }
        .confirmed()
    }

    fn is_news_to(self, content: Content) -> bool {
        self.reply.is_some_and(|ready| {
            let same = if ready { Ready::Yes } else { Ready::No };
            !content.recorded || content.ready != same || content.error.is_some()
        })
    }
}

/// What the driver says of any snapshot.
pub(crate) fn reply(ready: bool) -> Reply {
    Reply {
        handle: "snap".into(),
        creation_time: Some(1),
        size: 1,
        ready,
        group: None,
    }
}

/// One text for each trouble.
pub(crate) fn failure(trouble: Trouble) -> CallFailure {
    CallFailure {
        what: "the call".into(),
        code: format!("{trouble:?}").into(),
        message: "it failed".into(),
        busy: false,
    }
}
