//! Our cluster side: the machines of the group, its members and the guard of the claims, through
//! rows, facts and rendered writes.

use std::sync::Arc;

use serde_json::json;
use tintype_api::keys;
use tintype_core::group::{self, Picked, member};
use tintype_core::object::{Claim, Content, Group, GroupContent, Key, Snapshot, Volume};
use tintype_core::pair::{ClassSight, Memory};
use tintype_core::snapshot::{self, Placement};
use tintype_core::write::{Kind, Verb, Write};
use tintype_core::{Seen, Stamp, Verdict, guard};

use super::super::server::Refusal;
use super::cluster::{CLAIMS, Cluster, DRIVER, GROUP, NAMESPACE, Request, VOLUMES, parse};
use super::rows::{fold, seen};

impl Cluster {
    fn claim_row(&self, at: usize) -> Option<Arc<Claim>> {
        let row = seen(&self.controller, Kind::Claim, CLAIMS[at], Claim::of);
        row.present().cloned()
    }

    /// What the shell would gather for the group.
    fn sighting(&self) -> group::Sighting {
        let rows = &self.controller;
        let group = seen(rows, Kind::Group, GROUP, Group::of);
        let name = self.names.content.clone();
        let content = seen(rows, Kind::GroupContent, &name, GroupContent::of);
        let row = group.present().cloned();
        let waits = row
            .as_ref()
            .is_some_and(|it| !it.meta.deleting && it.bound.is_none() && it.error.is_none());
        let class = row.as_ref().is_some_and(|it| it.class.is_some());
        let dynamic = row.as_ref().is_some_and(|it| it.dynamic());
        let cut_from = row.filter(|it| dynamic && !it.meta.deleting && it.ready != Some(true));
        group::Sighting {
            claims: cut_from.map_or(Seen::NotCached, |_| Seen::Present(self.picked(&content))),
            members: content
                .present()
                .filter(|_| dynamic)
                .map_or_else(Vec::new, |it| self.members(it)),
            owned: Seen::Present((0..2).filter_map(|at| self.owned(at)).collect()),
            fresh: self.fresh[0],
            looked_up: self.looked_up[0],
            class: if class {
                ClassSight::Named(self.class())
            } else {
                ClassSight::Defaults(None)
            },
            restored: None,
            placement: Placement::Anywhere,
            memory: Memory {
                in_grace: self.grace && waits,
                ..Memory::default()
            },
            group,
            content,
        }
    }

    fn owned(&self, at: usize) -> Option<Arc<Snapshot>> {
        let name = &self.names.member_snapshots[at];
        let row = seen(&self.controller, Kind::Snapshot, name, Snapshot::of);
        let row = row.present()?;
        row.group_key().map(|_| row.clone())
    }

    fn picked(&self, content: &Seen<Arc<GroupContent>>) -> Vec<Picked> {
        let covered = |at: &usize| {
            let volumes = content.present().map(|it| it.volumes());
            volumes.is_none_or(|all| all.iter().any(|it| **it == *VOLUMES[*at]))
        };
        let pick = |at| {
            Some(Picked {
                claim: self.claim_row(at)?,
                volume: Seen::Present(volume(at)),
            })
        };
        (0..2).filter(covered).filter_map(pick).collect()
    }

    fn members(&self, content: &GroupContent) -> Vec<member::Sighting> {
        let rows = &self.controller;
        let member = |handle: &str| {
            let at = VOLUMES.iter().position(|it| *it == handle).unwrap();
            member::Sighting {
                volume_handle: handle.into(),
                keys: member::Keys {
                    snapshot: Key::namespaced(NAMESPACE, self.names.member_snapshots[at].clone()),
                    content: Key::cluster(self.names.member_contents[at].clone()),
                },
                info: content
                    .members()
                    .iter()
                    .find(|it| *it.volume == *handle)
                    .cloned(),
                volume: Some(volume(at)),
                snapshot: seen(
                    rows,
                    Kind::Snapshot,
                    &self.names.member_snapshots[at],
                    Snapshot::of,
                ),
                content: seen(
                    rows,
                    Kind::Content,
                    &self.names.member_contents[at],
                    Content::of,
                ),
            }
        };
        content.volumes().iter().map(|it| member(it)).collect()
    }

    pub(super) fn pass_group(&mut self, how: Request) -> bool {
        let sighting = self.sighting();
        let Verdict::Do(step) = group::decide(&sighting.facts()) else {
            (self.fresh[0], self.looked_up[0]) = (false, false);
            return false;
        };
        let write = group::render(step, &sighting, Stamp(0)).expect("a step renders");
        self.grace |= step == group::Step::CreateContent;
        self.written(0, &write, how);
        true
    }

    pub(super) fn pass_member(&mut self, at: usize, how: Request) -> bool {
        let rows = &self.controller;
        let snapshot = seen(
            rows,
            Kind::Snapshot,
            &self.names.member_snapshots[at],
            Snapshot::of,
        );
        let content = seen(
            rows,
            Kind::Content,
            &self.names.member_contents[at],
            Content::of,
        );
        let row = snapshot.present();
        let group_key = row.and_then(|it| it.group_key().or_else(|| self.group_of(&content)));
        let claim = row.and_then(|it| it.claim_key());
        let sighting = snapshot::Sighting {
            fresh: self.fresh[1 + at],
            content,
            looked_up: self.looked_up[1 + at],
            class: ClassSight::Defaults(None),
            claim: claim.as_ref().map_or(Seen::NotCached, |_| {
                seen(rows, Kind::Claim, CLAIMS[at], Claim::of)
            }),
            volume: claim.map_or(Seen::NotCached, |_| Seen::Present(volume(at))),
            group: group_key.as_ref().map_or(Seen::NotCached, |_| {
                seen(rows, Kind::Group, GROUP, Group::of)
            }),
            group_key,
            being_restored: false,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: Memory::default(),
            snapshot,
        };
        let Verdict::Do(step) = snapshot::decide(&sighting.facts()) else {
            (self.fresh[1 + at], self.looked_up[1 + at]) = (false, false);
            return false;
        };
        let write = snapshot::render(step, &sighting, Stamp(0)).expect("a step renders");
        self.written(1 + at, &write, how);
        true
    }

    /// The group whose storage this content's snapshot is part of.
    fn group_of(&self, content: &Seen<Arc<Content>>) -> Option<Key> {
        let status = content.present()?.status.as_ref()?;
        let name = &self.names.content;
        let of_group = seen(&self.controller, Kind::GroupContent, name, GroupContent::of);
        let of_group = of_group.present()?;
        let same = status.group_handle.as_deref() == Some(of_group.handle()?);
        same.then(|| of_group.group.key.clone())
    }

    pub(super) fn pass_guard(&mut self, at: usize) -> bool {
        let group = seen(&self.controller, Kind::Group, GROUP, Group::of);
        let name = self.names.content.clone();
        let content = seen(
            &self.controller,
            Kind::GroupContent,
            &name,
            GroupContent::of,
        );
        let content = content.as_ref().map(AsRef::as_ref);
        let covered = content
            .present()
            .is_none_or(|it| it.volumes().iter().any(|it| **it == *VOLUMES[at]));
        let held = group
            .present()
            .is_some_and(|it| covered && it.holds_its_claims(content));
        let sighting = guard::Sighting {
            kind: Kind::Claim,
            finalizer: keys::FINALIZER_CLAIM_AS_SOURCE,
            object: self
                .claim_row(at)
                .map_or(Seen::NotCached, |it| Seen::Present(it.meta.clone())),
            held: guard::held(true, held),
        };
        let Verdict::Do(step) = guard::decide(&sighting.facts()) else {
            return false;
        };
        let write = guard::render(step, &sighting).expect("a step renders");
        if let Ok(object) = self.server.apply(&write) {
            fold(&mut self.controller, &write, object);
        }
        true
    }

    /// Sends a write of the controller's and folds the reply; a pass ends with any refusal.
    fn written(&mut self, pass: usize, write: &Write, how: Request) {
        let answer = self.server.apply(write);
        match (answer, how) {
            (Ok(object), Request::Works) => {
                fold(&mut self.controller, write, object);
                let own = if pass == 0 {
                    Kind::Group
                } else {
                    Kind::Snapshot
                };
                let other = if pass == 0 {
                    Kind::GroupContent
                } else {
                    Kind::Content
                };
                let read = write.verb == Verb::Get;
                self.fresh[pass] |= write.kind == own;
                self.looked_up[pass] |= read && write.kind == other;
            }
            (Ok(_), Request::ReplyLost)
            | (Err(Refusal::Conflict | Refusal::Gone | Refusal::Denied), _) => {
                (self.fresh[pass], self.looked_up[pass]) = (false, false);
            }
        }
    }
}

fn volume(at: usize) -> Arc<Volume> {
    let volume = json!({
        "metadata": {"name": VOLUMES[at], "uid": VOLUMES[at], "resourceVersion": "1"},
        "spec": {
            "claimRef": {"namespace": NAMESPACE, "name": CLAIMS[at], "uid": CLAIMS[at]},
            "csi": {"driver": DRIVER, "volumeHandle": VOLUMES[at]},
        },
    });
    Arc::new(parse(&volume, Volume::of))
}
