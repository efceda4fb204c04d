//! Boils what was seen of one claim down to the small facts [`decide`](super::decide) reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_api::names;

use super::complaint::Complaint;
use super::grant::Grant;
use super::memory::{Memory, Outcome, Turn};
use super::request::{self, Why};
use super::settings::Settings;
use super::source::{SourceFact, SourceSight};
use crate::object::{AttributesClass, Claim, ClaimPhase, StorageClass};
use crate::topology::{Lack, Node};
use crate::{Seen, Time};

/// What the shell gathered for one claim.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The claim.
    pub claim: Seen<Arc<Claim>>,
    /// Its annotations, where the class's templates use them.
    pub annotations: BTreeMap<String, String>,
    /// Its storage class.
    pub class: Seen<Arc<StorageClass>>,
    /// Its `VolumeAttributesClass`, once it was read.
    pub attributes: Seen<Arc<AttributesClass>>,
    /// The volume that will be made for it, by name.
    pub volume: Seen<()>,
    /// Where the data comes from.
    pub source: SourceSight,
    /// Grants of the namespace the data comes from, if it is another.
    pub grants: Vec<Arc<Grant>>,
    /// Where the driver is.
    pub nodes: Arc<[Node]>,
    /// The same for all claims.
    pub settings: Arc<Settings>,
    /// What this process remembers.
    pub memory: Memory,
    /// Now.
    pub now: Time,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The claim itself.
    pub claim: Seen<ClaimFact>,
    /// Its storage class.
    pub class: ClassFact,
    /// Which node's provisioner has it.
    pub node: NodeFact,
    /// The volume object made for it.
    pub volume: Seen<()>,
    /// What is wrong with the claim, or the class's parameters.
    pub shape: Option<Complaint>,
    /// What its data comes from.
    pub source: SourceFact,
    /// Its `VolumeAttributesClass`.
    pub attributes: AttributesFact,
    /// Where it may be made.
    pub topology: TopologyFact,
    /// What the last call came to.
    pub outcome: Outcome,
    /// Nobody can use what is on storage, whatever becomes of the claim.
    pub stray: bool,
    /// The server has said that the claim is marked.
    pub confirmed: bool,
    /// Whether a call in doubt can be repeated.
    pub repeat: Repeat,
    /// A failure of the driver was not told yet.
    pub untold: bool,
    /// The complaint that was told last.
    pub said_complaint: Option<Complaint>,
    /// It was told that somebody else is to fill it.
    pub populator_told: bool,
    /// The driver has no room on the selected node.
    pub exhausted: bool,
    /// The driver may be called.
    pub call_due: bool,
}

/// The claim's own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimFact {
    /// The cluster asks this driver's provisioner.
    pub ours: bool,
    /// The provisioner of another node has it.
    pub elsewhere: bool,
    /// The in-flight finalizer is on it.
    pub marked: bool,
    /// That of another provisioner of this driver is: of another node's, or of one for all nodes.
    pub marked_by_other: bool,
    /// Whether it has a volume, or names one.
    pub bound: Bound,
    /// `deletionTimestamp` is set.
    pub deleting: bool,
}

/// Which volume a claim has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// None.
    No,
    /// The one that is made for it.
    Here,
    /// Another.
    Elsewhere,
}

/// The storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassFact {
    /// Its cache is not filled.
    Unknown,
    /// It does not exist.
    Missing,
    /// It names another provisioner.
    OfAnother,
    /// It binds late, and no node was selected yet.
    Waits,
    /// In order.
    Fine,
}

/// Which node's provisioner has a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeFact {
    /// There is one provisioner for all nodes.
    Unneeded,
    /// This one.
    Here,
    /// None, and no provisioner takes it by itself.
    NotTaken,
    /// Whoever takes it first.
    Free(Turn),
}

/// A claim's `VolumeAttributesClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttributesFact {
    /// It names none.
    Unneeded,
    /// It was not looked at yet.
    Unseen,
    /// It cannot be used.
    Refused(Complaint),
    /// In order.
    Fine,
}

/// Where a volume may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopologyFact {
    /// Somewhere, or anywhere.
    Fine,
    /// There is no place to ask for.
    Lacks(Complaint),
    /// The selected node is gone.
    NodeGone,
}

/// Whether a call in doubt can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// To the letter: this process made it.
    Remembered,
    /// From what is there now.
    Possible,
    /// Once the content was read.
    LookUpContent,
    /// Once the attributes class was read.
    LookUpAttributes,
    /// A cache is not filled.
    Unknown,
    /// What the volume was made from is gone.
    Impossible,
}

/// The claim that memory speaks of: one that went is dealt with before another of its name is.
pub fn meet(claim: Seen<Arc<Claim>>, memory: &mut Memory) -> Seen<Arc<Claim>> {
    let Seen::Present(row) = &claim else {
        return claim;
    };
    if memory.of != row.meta.uid {
        if memory.in_debt() {
            return Seen::Absent;
        }
        *memory = Memory {
            of: row.meta.uid.clone(),
            ..Memory::default()
        };
    }
    claim
}

impl Sighting {
    /// The facts of what was seen.
    pub fn facts(&self) -> Facts {
        let claim = self.claim.present();
        let class = self.class_fact();
        let memory = &self.memory;
        let class_changed = memory.infeasible.as_ref().is_some_and(|uid| {
            let class = self.class.present();
            class.is_some_and(|it| it.meta.uid != *uid)
        });
        let asking = class == ClassFact::Fine && !memory.in_debt();
        Facts {
            claim: self.claim.as_ref().map(|it| self.claim_fact(it)),
            class,
            node: claim.map_or(NodeFact::Unneeded, |it| self.node_fact(it)),
            volume: self.volume,
            shape: claim.and_then(|it| self.shape(it)),
            source: claim.map_or(SourceFact::Nothing, |it| self.source_fact(it)),
            attributes: claim.map_or(AttributesFact::Unneeded, |it| self.attributes_fact(it)),
            topology: if asking {
                self.topology_fact()
            } else {
                TopologyFact::Fine
            },
            outcome: memory.outcome,
            stray: memory.stray,
            confirmed: memory.confirmed,
            repeat: self.repeat(),
            untold: memory.failure.is_some() && !memory.said,
            said_complaint: memory.said_complaint,
            populator_told: memory.populator_told,
            exhausted: memory.exhausted,
            call_due: memory.backoff.due(self.now) || class_changed,
        }
    }

    /// What was made has its object: nothing more is remembered of it.
    pub fn settle(&mut self) {
        let bound = self.claim.present().map(|it| self.bound(it));
        if self.volume.present().is_some() || bound == Some(Bound::Here) {
            let of = self.memory.of.clone();
            self.memory = Memory {
                of,
                ..Memory::default()
            };
        }
    }

    /// What a call for the volume would be for.
    pub fn why(&self) -> Why {
        let wanted = self.claim.present().is_some_and(|it| {
            let fact = self.claim_fact(it);
            fact.ours && !fact.elsewhere && !fact.deleting && fact.bound == Bound::No
        });
        if wanted && request::topology(self).is_ok() {
            Why::Wanted
        } else {
            Why::FindOut
        }
    }

    /// The name the volume has, on storage and as an object: as it was asked for, else as it will be.
    pub fn volume_name(&self) -> Option<String> {
        let asked = self.memory.request.as_ref().map(|it| it.name.clone());
        asked.or_else(|| self.claim.present().map(|it| self.settings.volume_name(it)))
    }

    fn claim_fact(&self, claim: &Claim) -> ClaimFact {
        let selected = claim.selected_node.as_deref();
        ClaimFact {
            ours: claim.provisioner.as_deref() == Some(&*self.settings.driver),
            elsewhere: self
                .settings
                .node
                .as_ref()
                .is_some_and(|it| selected.is_some_and(|node| *node != *it.name)),
            marked: claim.meta.has_finalizer(&self.settings.mark),
            marked_by_other: self.mark_of_other(claim).is_some(),
            bound: self.bound(claim),
            deleting: claim.meta.deleting,
        }
    }

    /// The in-flight finalizer of another provisioner of this driver.
    pub(super) fn mark_of_other<'a>(&self, claim: &'a Claim) -> Option<&'a str> {
        let (driver, mark) = (&self.settings.driver, &self.settings.mark);
        let mut finalizers = claim.meta.finalizers.iter().map(|it| &**it);
        finalizers.find(|it| **it != **mark && names::is_in_flight_finalizer(it, driver))
    }

    fn bound(&self, claim: &Claim) -> Bound {
        match &claim.volume {
            Some(name) if **name == *self.settings.volume_name(claim) => Bound::Here,
            None if claim.phase == ClaimPhase::Pending => Bound::No,
            Some(_) | None => Bound::Elsewhere,
        }
    }

    fn class_fact(&self) -> ClassFact {
        let selected = || {
            let claim = self.claim.present();
            claim.is_some_and(|it| it.selected_node.is_some())
        };
        match &self.class {
            Seen::Unknown => ClassFact::Unknown,
            Seen::NotCached | Seen::Absent => ClassFact::Missing,
            Seen::Present(class) if *class.provisioner != *self.settings.driver => {
                ClassFact::OfAnother
            }
            Seen::Present(class) if class.waits && !selected() => ClassFact::Waits,
            Seen::Present(_) => ClassFact::Fine,
        }
    }

    fn node_fact(&self, claim: &Claim) -> NodeFact {
        let Some(node) = &self.settings.node else {
            return NodeFact::Unneeded;
        };
        match &claim.selected_node {
            Some(selected) if *selected == node.name => NodeFact::Here,
            Some(_) => NodeFact::NotTaken,
            None if !node.immediate => NodeFact::NotTaken,
            None => {
                let turn = self.memory.turn;
                let due = turn == Turn::Waits && self.memory.lots.due(self.now);
                NodeFact::Free(if due { Turn::Due } else { turn })
            }
        }
    }

    fn shape(&self, claim: &Claim) -> Option<Complaint> {
        if claim.has_selector {
            return Some(Complaint::Selector);
        }
        if claim.requested.is_none_or(|it| it == 0) {
            return Some(Complaint::NoSize);
        }
        let class = self.class.present()?;
        request::trouble(self, claim, class).map(|it| it.0)
    }

    fn attributes_fact(&self, claim: &Claim) -> AttributesFact {
        if claim.attributes_class.is_none() || !self.settings.attributes_class {
            return AttributesFact::Unneeded;
        }
        if !self.settings.abilities.modify {
            return AttributesFact::Refused(Complaint::AttributesUnsupported);
        }
        match &self.attributes {
            Seen::Unknown | Seen::NotCached => AttributesFact::Unseen,
            Seen::Absent => AttributesFact::Refused(Complaint::AttributesMissing),
            Seen::Present(class) if *class.driver != *self.settings.driver => {
                AttributesFact::Refused(Complaint::AttributesOfAnother)
            }
            Seen::Present(_) => AttributesFact::Fine,
        }
    }

    fn topology_fact(&self) -> TopologyFact {
        match request::topology(self) {
            Ok(_) => TopologyFact::Fine,
            Err(Lack::NodeGone) => TopologyFact::NodeGone,
            Err(Lack::NoKeys) => TopologyFact::Lacks(Complaint::NodeWithoutDriver),
            Err(Lack::NoLabel) => TopologyFact::Lacks(Complaint::NodeWithoutLabel),
            Err(Lack::NotAllowed) => TopologyFact::Lacks(Complaint::NodeNotAllowed),
            Err(Lack::Nowhere) => TopologyFact::Lacks(Complaint::DriverNowhere),
        }
    }

    fn repeat(&self) -> Repeat {
        if self.memory.request.is_some() && self.memory.outcome == Outcome::Uncertain {
            return Repeat::Remembered;
        }
        if matches!(self.class, Seen::Unknown) {
            return Repeat::Unknown;
        }
        let source = self.source_to_repeat();
        if source != Repeat::Possible {
            return source;
        }
        let named = self
            .claim
            .present()
            .and_then(|it| it.attributes_class.as_ref());
        let unread = matches!(self.attributes, Seen::Unknown | Seen::NotCached);
        if named.is_some() && self.settings.attributes_class && unread {
            return Repeat::LookUpAttributes;
        }
        let of_driver = self
            .class
            .present()
            .is_some_and(|it| *it.provisioner == *self.settings.driver);
        if of_driver && request::request(self, Why::FindOut).is_some() {
            Repeat::Possible
        } else {
            Repeat::Impossible
        }
    }
}

impl Settings {
    /// The name of a claim's volume, on storage and as an object.
    pub fn volume_name(&self, claim: &Claim) -> String {
        names::csi_name(&self.prefix, &claim.meta.uid.to_string(), self.uid_length)
    }
}
