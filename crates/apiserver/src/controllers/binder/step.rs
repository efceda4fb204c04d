//! Gathers the facts of one claim or volume from what is known, and turns the decision into a call.
//!
//! Knows neither the rules, which are in `decide`, nor what is written, which is in `render`.

use super::claim::{Claim, ClaimKey};
use super::decide::{
    self, ClaimFacts, ClaimPhase, ClaimRef, ClaimSeen, ClaimStep, Counterpart, Names, Provisioning,
    VolumeFacts, VolumePhase, VolumeStep,
};
use super::volume::{self, Volume};
use super::{Asked, Binder, render};
use crate::local::Call;

impl Binder {
    pub(super) fn next_of_claim(&mut self, key: &ClaimKey) -> Option<(Asked, Call)> {
        let claim = self.index.claim(key)?;
        let provisioning = self.provisioning(claim);
        let counterpart = self.counterpart(key, claim, provisioning);
        let volume = counterpart.and_then(|name| Some((name, self.index.volume(name)?)));
        let facts = ClaimFacts {
            deleting: claim.deleting,
            phase: claim.phase,
            completed: claim.completed,
            named: !claim.volume.is_empty(),
            counterpart: match (counterpart, volume) {
                (None, _) => Counterpart::None,
                (Some(name), None) if self.gone_volumes.contains(name) => Counterpart::Absent,
                (Some(_), None) => Counterpart::NotCached,
                (Some(name), Some((_, volume))) => self.tie(key, claim, name, volume),
            },
            provisioning,
            status_current: volume.is_some_and(|(_, volume)| {
                claim.shows_capacity && claim.shown_modes.as_ref() == Some(&volume.shown_modes)
            }),
        };
        let (asked, call) = match (decide::claim(facts), volume) {
            (ClaimStep::Rest(why), _) => {
                tracing::trace!(claim = ?key, ?why, "rests");
                return None;
            }
            (ClaimStep::LookUpVolume, _) => {
                let call = Call::get(render::volume_path(&claim.volume));
                (Asked::ForVolume(claim.volume.clone()), call)
            }
            (step, None) => (Asked::ToWrite, self.write_alone(step, key, claim)?),
            (ClaimStep::TakeVolume, Some((name, volume))) => {
                let call = render::take_volume(name, volume, key, claim);
                let name = name.to_owned();
                self.taking.insert(name.clone(), key.clone());
                (Asked::ToTake(name), call)
            }
            (step, Some((name, volume))) => {
                let call = match step {
                    ClaimStep::MarkVolumeBound => {
                        render::mark_volume(name, volume, VolumePhase::Bound)
                    }
                    ClaimStep::BindClaim => render::bind_claim(key, claim, name),
                    ClaimStep::MarkClaimBound => {
                        let becoming = claim.phase != ClaimPhase::Bound;
                        render::mark_claim_bound(key, claim, volume, becoming)
                    }
                    step => self.write_alone(step, key, claim)?,
                };
                (Asked::ToWrite, call)
            }
        };
        Some((asked, call))
    }

    /// The steps that need no volume.
    fn write_alone(&self, step: ClaimStep, key: &ClaimKey, claim: &Claim) -> Option<Call> {
        match step {
            ClaimStep::MarkClaimLost => Some(render::mark_claim_lost(key, claim)),
            ClaimStep::SetDefaultClass => {
                let class = self.index.default_class()?;
                Some(render::set_class(key, claim, class))
            }
            ClaimStep::AskProvisioner => {
                let class = self.index.classes.get(claim.class_name())?;
                let provisioner = class.provisioner.as_deref()?;
                Some(render::ask_provisioner(key, claim, provisioner))
            }
            ClaimStep::Rest(_)
            | ClaimStep::LookUpVolume
            | ClaimStep::TakeVolume
            | ClaimStep::MarkVolumeBound
            | ClaimStep::BindClaim
            | ClaimStep::MarkClaimBound => None,
        }
    }

    /// The volume that the claim names, or else one that is found for it.
    fn counterpart<'a>(
        &'a self,
        key: &ClaimKey,
        claim: &'a Claim,
        provisioning: Provisioning,
    ) -> Option<&'a str> {
        if !claim.volume.is_empty() {
            return Some(&claim.volume);
        }
        if claim.completed {
            return None;
        }
        // Kubernetes leaves the choice to the scheduler: until a node is chosen only a reserved volume binds.
        let only_reserved = provisioning == Provisioning::OnceANodeIsSelected || claim.deleting;
        let taken = |name: &str| self.taking.get(name).is_some_and(|by| by != key);
        self.index.find_volume(key, claim, only_reserved, taken)
    }

    fn tie(&self, key: &ClaimKey, claim: &Claim, name: &str, volume: &Volume) -> Counterpart {
        if volume.is_for(key, claim) {
            let with_uid = volume.claim.as_ref().is_some_and(|of| !of.uid.is_empty());
            Counterpart::Ours {
                with_uid,
                phase: volume.phase,
            }
        } else if volume.claim.is_some() || self.taking.get(name).is_some_and(|by| by != key) {
            Counterpart::Others
        } else {
            Counterpart::Free {
                fits: volume.fits(claim),
            }
        }
    }

    fn provisioning(&self, claim: &Claim) -> Provisioning {
        let Some(class) = &claim.class else {
            return match self.index.default_class() {
                Some(_) => Provisioning::DefaultClass,
                None => Provisioning::Nobody,
            };
        };
        let Some(class) = self.index.classes.get(class) else {
            return Provisioning::Nobody;
        };
        match &class.provisioner {
            _ if class.waits_for_node && !claim.node_selected => Provisioning::OnceANodeIsSelected,
            None => Provisioning::Nobody,
            Some(provisioner) => Provisioning::External {
                asked: claim.asked.as_ref() == Some(provisioner),
            },
        }
    }

    pub(super) fn next_of_volume(&self, name: &str) -> Option<(Asked, Call)> {
        let volume = self.index.volume(name)?;
        let claim_ref = volume.claim.as_ref();
        let uid = claim_ref.map_or("", |of| &of.uid);
        let facts = VolumeFacts {
            phase: volume.phase,
            claim_ref: match claim_ref {
                None => ClaimRef::None,
                Some(of) if of.uid.is_empty() => ClaimRef::ByName,
                Some(_) => ClaimRef::ByUid,
            },
            claim: claim_ref.map_or(ClaimSeen::NotCached, |of| self.seen(name, of)),
            made_to_order: volume.made_to_order,
        };
        match decide::volume(facts) {
            VolumeStep::Rest => None,
            VolumeStep::LookUpClaim => {
                let path = render::claim_path(&claim_ref?.key);
                Some((Asked::ForClaim(uid.to_owned()), Call::get(path)))
            }
            VolumeStep::Mark(phase) => {
                Some((Asked::ToWrite, render::mark_volume(name, volume, phase)))
            }
            VolumeStep::Unbind => Some((Asked::ToWrite, render::unbind(name, volume))),
        }
    }

    fn seen(&self, name: &str, of: &volume::ClaimRef) -> ClaimSeen {
        match self.index.claim(&of.key) {
            Some(claim) if of.uid.is_empty() || claim.uid == of.uid => {
                ClaimSeen::Present(match &*claim.volume {
                    "" => Names::Nothing,
                    named if named == name => Names::This,
                    _ => Names::Another,
                })
            }
            _ if self.gone_claims.contains(&of.uid) => ClaimSeen::Absent,
            _ => ClaimSeen::NotCached,
        }
    }
}
