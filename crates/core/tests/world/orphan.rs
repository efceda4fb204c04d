//! Plays the machine of contents whose snapshot is not there, and whoever makes a snapshot vanish.

use tintype_core::orphan::{self, ContentFact, Facts, Step};
use tintype_core::{Seen, Verdict};

use super::controller::Request;
use super::model::World;

impl World {
    /// Somebody tears the finalizers off the snapshot: it goes, and nobody was asked.
    pub(crate) fn forces(&mut self, name: usize) -> Option<()> {
        let snap = self.snaps[name].filter(|it| self.setup.0.forced && it.bound)?;
        self.snaps[name] = None;
        self.forced[snap.uid] = Some(snap.deleting);
        Some(())
    }

    /// What the orphan machine sees of this content.
    pub(crate) fn orphan_facts(&self, at: usize) -> Facts {
        let content = self.controller.contents[at];
        let owner = content.present().and_then(|it| it.owner);
        Facts {
            content: content.map(|it| ContentFact {
                bound: it.owner.is_some(),
                deleting: it.deleting,
                protected: it.protected,
                being_deleted: it.being_deleted,
            }),
            snapshot: self.controller.snaps[self.name_of(at)].map(|it| Some(it.uid) == owner),
            looked_up: self.controller.owner_looked_up[at],
        }
    }

    /// The name of the snapshot this content is for.
    const fn name_of(&self, at: usize) -> usize {
        if self.setup.0.names == 1 { 0 } else { at }
    }

    /// One step of the orphan machine.
    pub(crate) fn orphan(mut self, at: usize, how: Request) -> Option<Self> {
        if self.controller.theirs || !self.controller.caught_up || how == Request::Denied {
            return None; // Upstream has nothing of the kind (D24).
        }
        let Verdict::Do(step) = orphan::decide(&self.orphan_facts(at)) else {
            return None;
        };
        let name = self.name_of(at);
        let folds = how == Request::Works;
        if step == Step::LookUpSnapshot {
            if !folds {
                return None;
            }
            self.controller.snaps[name] = self.snaps[name].map_or(Seen::Absent, Seen::Present);
            self.controller.owner_looked_up[at] = true;
            return Some(self);
        }
        // Whatever comes of the write, the pass looks again.
        self.controller.owner_looked_up[at] = false;
        if !folds && !self.fault() {
            return None;
        }
        let mut content = *self.controller.contents[at].present()?;
        if self.contents[at] != Some(content) {
            return Some(self); // Conflict.
        }
        match step {
            Step::Protect => content.protected = true,
            Step::AskDeletion => content.being_deleted = true,
            Step::LookUpSnapshot => return None,
        }
        self.put_content(at, content);
        if folds {
            self.controller.contents[at] = self.contents[at].map_or(Seen::Absent, Seen::Present);
        }
        Some(self)
    }
}
