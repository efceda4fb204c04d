//! Plays the controller over documents: what one snapshot can see, and a server that takes writes.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tintype_core::object::{Claim, ClaimPhase, Class, Content, Snapshot, Volume};
use tintype_core::pair::{ClassSight, Memory};
use tintype_core::snapshot::{self, Placement, Sighting, Step};
use tintype_core::write::{Kind, Write};
use tintype_core::{Seen, Stamp, Timer, Verdict};

use crate::server::Server;

/// What a watch makes of a document: what cannot be read is left alone.
pub(crate) fn row<T: DeserializeOwned, R>(
    document: Option<&Value>,
    of: fn(&T) -> R,
) -> Seen<Arc<R>> {
    let read = document.and_then(|it| serde_json::from_value::<T>(it.clone()).ok());
    read.map_or(Seen::NotCached, |it| Seen::Present(Arc::new(of(&it))))
}

/// What an answer says of the object.
pub(crate) fn answer<T: DeserializeOwned, R>(
    object: Option<&Value>,
    of: fn(&T) -> R,
) -> Seen<Arc<R>> {
    object.map_or(Seen::Absent, |it| row(Some(it), of))
}

/// One snapshot called `monday`, and everything it can see.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) server: Server,
    /// All classes there are.
    pub(crate) classes: Vec<Value>,
    /// The volume of the claim.
    pub(crate) volume: Option<Value>,
    /// A claim is being filled from the snapshot.
    pub(crate) being_restored: bool,
    /// Type and reason of each event, in order.
    pub(crate) events: Vec<String>,
}

impl Cluster {
    pub(crate) fn new(snapshot: Value, content: Option<Value>, claim: Option<Value>) -> Self {
        let mut server = Server::default();
        server.put(Kind::Snapshot, snapshot);
        if let Some(content) = content {
            server.put(Kind::Content, content);
        }
        if let Some(claim) = claim {
            server.put(Kind::Claim, claim);
        }
        Self {
            server,
            classes: Vec::new(),
            volume: None,
            being_restored: false,
            events: Vec::new(),
        }
    }

    pub(crate) fn snapshot(&self) -> Seen<Arc<Snapshot>> {
        row(self.server.get(Kind::Snapshot, "monday"), Snapshot::of)
    }

    fn class_of(&self, snapshot: Option<&Snapshot>, driver: Option<&str>) -> ClassSight {
        let all = || self.classes.iter();
        match (snapshot.and_then(|it| it.class.as_deref()), driver) {
            (Some(name), _) => {
                let found = all().find(|it| it["metadata"]["name"] == name);
                ClassSight::Named(row(found, Class::of))
            }
            (None, Some(driver)) => {
                let rows = all().filter_map(|it| row(Some(it), Class::of).present().cloned());
                let fits = |it: &Arc<Class>| it.default && &*it.driver == driver;
                ClassSight::Defaults(Some(rows.filter(fits).collect()))
            }
            (None, None) => ClassSight::Defaults(None),
        }
    }

    /// As the controller gathers it, once the grace is over.
    fn sighting(&self) -> Sighting {
        let snapshot = self.snapshot();
        let seen = snapshot.present();
        let name = seen.and_then(|it| it.content_name());
        let claim = seen
            .and_then(|it| it.claim_key())
            .map_or(Seen::NotCached, |key| {
                row(self.server.get(Kind::Claim, &key.name), Claim::of)
            });
        let bound = claim
            .present()
            .is_some_and(|it| it.phase == ClaimPhase::Bound);
        let volume = if bound {
            row(self.volume.as_ref(), Volume::of)
        } else {
            Seen::NotCached
        };
        let driver = volume.present().and_then(|it| it.csi.as_ref());
        Sighting {
            content: name.map_or(Seen::NotCached, |name| {
                row(self.server.get(Kind::Content, &name), Content::of)
            }),
            fresh: false,
            looked_up: false,
            class: self.class_of(seen.map(AsRef::as_ref), driver.map(|it| &*it.driver)),
            volume,
            claim,
            group_key: seen.and_then(|it| it.group_key()),
            group: Seen::NotCached,
            being_restored: self.being_restored,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: Memory {
                in_grace: true,
                ..Memory::default()
            },
            snapshot,
        }
    }

    /// Passes over the snapshot until it rests; `before` is asked before each step.
    pub(crate) fn settle<E>(
        &mut self,
        mut before: impl FnMut(&Self, Step, &[Step]) -> Result<(), E>,
    ) -> Result<Vec<Step>, E> {
        let mut seen = self.sighting();
        let mut steps = Vec::new();
        loop {
            let step = match snapshot::decide(&seen.facts()) {
                Verdict::Do(step) => step,
                Verdict::Wait(Timer::Grace, _) if seen.memory.in_grace => {
                    seen.memory.in_grace = false;
                    continue;
                }
                Verdict::Wait(..) | Verdict::Rest(_) => return Ok(steps),
            };
            before(self, step, &steps)?;
            steps.push(step);
            let write = snapshot::render(step, &seen, Stamp(1_800_000_000));
            let write = write.expect("each step of this machine is a write or a look");
            // What the server will not have is said, or left alone for a while.
            let Ok(object) = self.server.apply(&write) else {
                return Ok(steps);
            };
            if let Some(event) = &write.event {
                let kind = if event.warning { "Warning" } else { "Normal" };
                self.events
                    .push(format!("{kind} {}", event.reason.as_str()));
                assert!(!event.message.is_empty(), "{event:?}");
            }
            // An answer that cannot be read: the shell leaves the key alone for a while.
            if !self.fold(&mut seen, &write, step, object.as_ref()) {
                return Ok(steps);
            }
        }
    }

    /// As the controller does; `false` if the answer cannot be read.
    fn fold(&self, seen: &mut Sighting, write: &Write, step: Step, object: Option<&Value>) -> bool {
        match write.kind {
            Kind::Snapshot => {
                seen.snapshot = answer(object, Snapshot::of);
                seen.fresh = true;
                if step == Step::Protect {
                    seen.class = self.class_of(seen.snapshot.present().map(AsRef::as_ref), None);
                }
                !matches!(seen.snapshot, Seen::NotCached)
            }
            Kind::Content => {
                seen.content = answer(object, Content::of);
                seen.looked_up |= step == Step::LookUpContent;
                !matches!(seen.content, Seen::NotCached)
            }
            Kind::Claim => {
                seen.claim = answer(object, Claim::of);
                !matches!(seen.claim, Seen::NotCached)
            }
            Kind::Group => {
                seen.group = Seen::Absent;
                true
            }
            Kind::Volume | Kind::GroupContent | Kind::AttributesClass => false,
        }
    }
}
