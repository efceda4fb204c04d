//! The driver's side: the machines of the group content and of its members' contents, and the calls
//! they make.

use std::sync::Arc;

use tintype_core::object::{Content, GroupContent};
use tintype_core::write::Kind;
use tintype_core::{DeletionPolicy, Seen, Stamp, Verdict, content, group_content};

use super::cluster::{Cluster, DRIVER, SCHEDULE, VOLUMES, parse};
use super::rows::{fold, seen};
use super::storage::{CLAIM_GONE, How};

impl Cluster {
    pub(super) fn pass_sidecar(&mut self, how: How) -> bool {
        let row = seen(
            &self.sidecar,
            Kind::GroupContent,
            &self.names.content,
            GroupContent::of,
        );
        let members = (0..2).filter_map(|at| {
            let name = &self.names.member_contents[at];
            let row = seen(&self.sidecar, Kind::Content, name, Content::of);
            row.present().cloned()
        });
        let memory = std::mem::take(&mut self.group_memory);
        let mut sighting = group_content::Sighting {
            class: row
                .present()
                .and_then(|it| it.class.clone())
                .map(|_| self.class()),
            driver: DRIVER.into(),
            members: members.collect(),
            memory: memory.about(row.present().map(AsRef::as_ref)),
            now: self.now,
            content: row,
        };
        let done = match group_content::decide(&sighting.facts()) {
            Verdict::Do(step) => {
                self.do_sidecar(step, &mut sighting, how);
                true
            }
            Verdict::Wait(..) | Verdict::Rest(_) => false,
        };
        self.group_memory = sighting.memory;
        done
    }

    fn do_sidecar(
        &mut self,
        step: group_content::Step,
        seen: &mut group_content::Sighting,
        how: How,
    ) {
        use content::Step::{AskStatus, CreateOnStorage, DeleteOnStorage};
        use group_content::Step::Common;
        let row = seen.content.present().unwrap().clone();
        if let Some(write) = group_content::render(step, seen, Stamp(0)) {
            if let Ok(object) = self.server.apply(&write) {
                fold(&mut self.sidecar, &write, object.clone());
                let object = object.map(|it| Arc::new(parse(&it, GroupContent::of)));
                seen.see(object.map_or(Seen::Absent, Seen::Present));
                if let Common(step) = step {
                    seen.memory.calls.folded(step);
                }
            }
            return;
        }
        let reply = match step {
            Common(CreateOnStorage) => {
                self.may_cut(&row);
                let name = group_content::group_snapshot_name("groupsnapshot", &row, None);
                self.storage.create(&name, row.volumes(), how)
            }
            Common(AskStatus) => self.storage.ask(row.handle().unwrap_or_default()),
            Common(DeleteOnStorage) => {
                self.may_delete(&row);
                match self.storage.delete(&row, seen.snapshot_ids(), how) {
                    Ok(()) => seen.memory.calls.folded_deleted(),
                    Err((outcome, failure)) => {
                        let calls = &mut seen.memory.calls;
                        calls.folded_failure(outcome, failure, self.now, SCHEDULE, 0);
                    }
                }
                return;
            }
            Common(_) | group_content::Step::RestoreList => panic!("renders nothing: {step:?}"),
        };
        match reply {
            Ok(reply) => {
                let (now, wall) = (self.now, Stamp(1));
                seen.memory
                    .folded_reply(&row, reply, (now, wall), (SCHEDULE, 0));
            }
            Err((outcome, failure)) => {
                let calls = &mut seen.memory.calls;
                calls.folded_failure(outcome, failure, self.now, SCHEDULE, 0);
            }
        }
    }

    pub(super) fn pass_sidecar_member(&mut self, at: usize) -> bool {
        let row = seen(
            &self.sidecar,
            Kind::Content,
            &self.names.member_contents[at],
            Content::of,
        );
        let memory = std::mem::take(&mut self.member_memory[at]);
        let mut sighting = content::Sighting {
            class: None,
            driver: DRIVER.into(),
            memory: memory.about(row.present().map(AsRef::as_ref)),
            now: self.now,
            content: row,
        };
        let Verdict::Do(step) = content::decide(&sighting.facts()) else {
            self.member_memory[at] = sighting.memory;
            return false;
        };
        if let Some(write) = content::render(step, &sighting, Stamp(0)) {
            if let Ok(object) = self.server.apply(&write) {
                fold(&mut self.sidecar, &write, object.clone());
                let object = object.map(|it| Arc::new(parse(&it, Content::of)));
                sighting.see(object.map_or(Seen::Absent, Seen::Present));
                sighting.memory.folded(step);
            }
        } else if step == content::Step::AskStatus {
            self.ask_member(&mut sighting);
        } else {
            self.storage.harm = Some("a member is cut or deleted on its own");
        }
        self.member_memory[at] = sighting.memory;
        true
    }

    fn ask_member(&self, sighting: &mut content::Sighting) {
        let id = sighting.content.present().and_then(|it| it.handle());
        let id = id.unwrap_or_default().to_owned();
        let Some((group, ready)) = self.storage.ask_member(&id) else {
            let failure = content::CallFailure {
                what: "Failed".into(),
                code: "".into(),
                message: "no such snapshot".into(),
                busy: false,
            };
            let outcome = content::Outcome::NotCalled;
            let memory = &mut sighting.memory;
            memory.folded_failure(outcome, failure, self.now, SCHEDULE, 0);
            return;
        };
        let reply = content::Reply {
            handle: id.into(),
            creation_time: Some(1_000_000_000),
            size: 1 << 20,
            ready,
            group: Some(group.into()),
        };
        sighting.memory.folded_reply(reply, self.now, Stamp(1), 0);
    }

    /// What is cut must be there, and marked.
    pub(super) fn may_cut(&mut self, row: &GroupContent) {
        let name = group_content::group_snapshot_name("groupsnapshot", row, None);
        if self.storage.cuts.contains_key(&name) {
            return;
        }
        let stands = self.group_content();
        if stands.as_ref().is_none_or(|it| !it.being_created) {
            self.storage.harm = Some("leak: a cut that nobody wrote down before");
        }
        // One that failed and says so does not hold its claims (D16b).
        let failed = stands.is_some_and(|it| it.error().is_some());
        let gone = (0..2).any(|at| {
            let cut = row.volumes().iter().any(|it| **it == *VOLUMES[at]);
            cut && self.claim(at).is_none()
        });
        if gone && !failed && self.group().is_some_and(|it| it.error.is_none()) {
            self.storage.harm = Some(CLAIM_GONE);
        }
    }

    /// Only what was asked to go is destroyed.
    pub(super) fn may_delete(&mut self, row: &GroupContent) {
        // One that belongs to nobody yet is its administrator's.
        let asked = row.group.uid.is_empty() || self.group().is_none_or(|it| it.meta.deleting);
        if !asked || !row.meta.deleting || row.policy == DeletionPolicy::Retain {
            self.storage.harm = Some("data is destroyed that nobody asked to go");
        }
    }
}
