//! Decides the next step for a claim or a volume from a few facts about it and its counterpart.
//!
//! Pure: knows no names, sizes, objects or clients. Mirrors the rules of Kubernetes' persistent volume controller.
//! One step at a time, so that a lost reply or a conflict always falls between two decisions.

/// `status.phase` of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimPhase {
    Pending,
    Bound,
    Lost,
}

/// `status.phase` of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumePhase {
    Pending,
    Available,
    Bound,
    Released,
    Failed,
}

/// The volume that a claim names, or else the one that was found for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counterpart {
    None,
    /// Named, and not in the cache: that alone says nothing.
    NotCached,
    /// Named, and the server says there is no such volume.
    Absent,
    /// Belongs to nobody.
    Free {
        fits: bool,
    },
    /// Its `claimRef` names this claim.
    Ours {
        with_uid: bool,
        phase: VolumePhase,
    },
    /// Its `claimRef` names another claim.
    Others,
}

/// Who could make a volume for the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provisioning {
    /// No class, or one without a provisioner, or one that does not exist.
    Nobody,
    /// The claim leaves its class open, and there is a default one.
    DefaultClass,
    /// A provisioner that waits until a node is chosen.
    OnceANodeIsSelected,
    External {
        asked: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClaimFacts {
    pub(super) deleting: bool,
    pub(super) phase: ClaimPhase,
    /// The annotation that says binding was completed once.
    pub(super) completed: bool,
    /// `spec.volumeName` is set.
    pub(super) named: bool,
    pub(super) counterpart: Counterpart,
    pub(super) provisioning: Provisioning,
    /// The status shows what the bound volume offers.
    pub(super) status_current: bool,
}

/// What to do next for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimStep {
    Rest(ClaimWaits),
    /// Ask the server for the named volume, past the cache.
    LookUpVolume,
    /// Write the claim into the volume's `claimRef`.
    TakeVolume,
    MarkVolumeBound,
    /// Write the volume's name and the annotations into the claim.
    BindClaim,
    MarkClaimBound,
    MarkClaimLost,
    SetDefaultClass,
    /// Say by annotation which provisioner is to make a volume.
    AskProvisioner,
}

/// Why there is nothing to do for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimWaits {
    Bound,
    Lost,
    Deleting,
    ForItsVolume,
    ForItsVolumeToFit,
    ForAVolumeOfAnotherClaim,
    ForAVolume,
    ForANode,
    ForTheProvisioner,
}

pub(super) fn claim(facts: ClaimFacts) -> ClaimStep {
    use ClaimStep::{LookUpVolume, Rest};
    match (facts.counterpart, facts.completed) {
        (Counterpart::NotCached, _) => LookUpVolume,
        (Counterpart::None | Counterpart::Absent | Counterpart::Others, true) => lost(facts),
        (Counterpart::Ours { with_uid, phase }, _) => bind(facts, with_uid, phase),
        (Counterpart::None, false) => provision(facts),
        (Counterpart::Absent, false) => Rest(ClaimWaits::ForItsVolume),
        (Counterpart::Others, false) => Rest(ClaimWaits::ForAVolumeOfAnotherClaim),
        (Counterpart::Free { fits: false }, false) => Rest(ClaimWaits::ForItsVolumeToFit),
        (Counterpart::Free { .. }, _) => take(facts),
    }
}

fn lost(facts: ClaimFacts) -> ClaimStep {
    match facts.phase {
        ClaimPhase::Lost => ClaimStep::Rest(ClaimWaits::Lost),
        ClaimPhase::Pending | ClaimPhase::Bound => ClaimStep::MarkClaimLost,
    }
}

fn take(facts: ClaimFacts) -> ClaimStep {
    if facts.deleting {
        ClaimStep::Rest(ClaimWaits::Deleting)
    } else {
        ClaimStep::TakeVolume
    }
}

/// The volume is ours: complete both sides, the volume first, so that nobody else takes it.
fn bind(facts: ClaimFacts, with_uid: bool, phase: VolumePhase) -> ClaimStep {
    if !with_uid {
        take(facts)
    } else if phase != VolumePhase::Bound {
        ClaimStep::MarkVolumeBound
    } else if !facts.named || !facts.completed {
        ClaimStep::BindClaim
    } else if facts.phase != ClaimPhase::Bound || !facts.status_current {
        ClaimStep::MarkClaimBound
    } else {
        ClaimStep::Rest(ClaimWaits::Bound)
    }
}

fn provision(facts: ClaimFacts) -> ClaimStep {
    use ClaimStep::Rest;
    if facts.deleting {
        return Rest(ClaimWaits::Deleting);
    }
    match facts.provisioning {
        Provisioning::Nobody => Rest(ClaimWaits::ForAVolume),
        Provisioning::DefaultClass => ClaimStep::SetDefaultClass,
        Provisioning::OnceANodeIsSelected => Rest(ClaimWaits::ForANode),
        Provisioning::External { asked: false } => ClaimStep::AskProvisioner,
        Provisioning::External { asked: true } => Rest(ClaimWaits::ForTheProvisioner),
    }
}

/// How a volume names its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimRef {
    None,
    /// Reserved by name; no claim has taken it.
    ByName,
    ByUid,
}

/// The claim that a volume names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimSeen {
    /// The cache has no claim of that name, or another uid: that alone says nothing.
    NotCached,
    /// The server says that the claim of that uid is gone.
    Absent,
    Present(Names),
}

/// Which volume the claim names in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Nothing,
    This,
    Another,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeFacts {
    pub(super) phase: VolumePhase,
    pub(super) claim_ref: ClaimRef,
    pub(super) claim: ClaimSeen,
    /// Made for its claim, and to be deleted with it.
    pub(super) made_to_order: bool,
}

/// What to do next for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeStep {
    Rest,
    /// Ask the server for the claim, past the cache.
    LookUpClaim,
    Mark(VolumePhase),
    /// Give up the claim that chose another volume.
    Unbind,
}

pub(super) fn volume(facts: VolumeFacts) -> VolumeStep {
    use VolumePhase::{Available, Released};
    match (facts.claim_ref, facts.claim) {
        (ClaimRef::ByName, ClaimSeen::Present(Names::This))
        | (ClaimRef::ByUid, ClaimSeen::Present(Names::Nothing | Names::This)) => {
            // The claim's own decision completes the binding.
            VolumeStep::Rest
        }
        (ClaimRef::None | ClaimRef::ByName, _) => mark(facts, Available),
        (ClaimRef::ByUid, ClaimSeen::NotCached) if facts.phase == Released => VolumeStep::Rest,
        (ClaimRef::ByUid, ClaimSeen::NotCached) => VolumeStep::LookUpClaim,
        (ClaimRef::ByUid, ClaimSeen::Present(Names::Another)) if !facts.made_to_order => {
            VolumeStep::Unbind
        }
        (ClaimRef::ByUid, ClaimSeen::Absent | ClaimSeen::Present(Names::Another)) => {
            mark(facts, Released)
        }
    }
}

/// A failed volume stays so: what failed was its release.
fn mark(facts: VolumeFacts, phase: VolumePhase) -> VolumeStep {
    if facts.phase == phase
        || (facts.phase == VolumePhase::Failed && phase == VolumePhase::Released)
    {
        VolumeStep::Rest
    } else {
        VolumeStep::Mark(phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: ClaimFacts = ClaimFacts {
        deleting: false,
        phase: ClaimPhase::Pending,
        completed: false,
        named: false,
        counterpart: Counterpart::None,
        provisioning: Provisioning::Nobody,
        status_current: false,
    };
    const OURS: Counterpart = ours(VolumePhase::Bound);
    const COMPLETED: ClaimFacts = ClaimFacts {
        phase: ClaimPhase::Bound,
        completed: true,
        named: true,
        counterpart: OURS,
        status_current: true,
        ..NEW
    };

    const fn ours(phase: VolumePhase) -> Counterpart {
        Counterpart::Ours {
            with_uid: true,
            phase,
        }
    }

    fn new(counterpart: Counterpart) -> ClaimFacts {
        ClaimFacts { counterpart, ..NEW }
    }

    fn named(counterpart: Counterpart) -> ClaimFacts {
        ClaimFacts {
            named: true,
            ..new(counterpart)
        }
    }

    fn completed(counterpart: Counterpart) -> ClaimFacts {
        ClaimFacts {
            counterpart,
            ..COMPLETED
        }
    }

    fn from(provisioning: Provisioning) -> ClaimFacts {
        ClaimFacts {
            provisioning,
            ..NEW
        }
    }

    fn check(cases: &[(&str, ClaimFacts, ClaimStep)]) {
        for (case, facts, step) in cases {
            assert_eq!(claim(*facts), *step, "{case}");
        }
    }

    #[test]
    fn a_claim_without_a_volume_waits_for_one_or_has_it_made() {
        use ClaimStep::{AskProvisioner, Rest, SetDefaultClass};
        use Provisioning::{DefaultClass, External, OnceANodeIsSelected};
        let deleting = |facts| ClaimFacts {
            deleting: true,
            ..facts
        };
        let not_asked = External { asked: false };
        let asked = External { asked: true };
        check(&[
            ("no class", NEW, Rest(ClaimWaits::ForAVolume)),
            ("open class", from(DefaultClass), SetDefaultClass),
            (
                "no node yet",
                from(OnceANodeIsSelected),
                Rest(ClaimWaits::ForANode),
            ),
            ("not asked", from(not_asked), AskProvisioner),
            ("asked", from(asked), Rest(ClaimWaits::ForTheProvisioner)),
            (
                "deleting",
                deleting(from(not_asked)),
                Rest(ClaimWaits::Deleting),
            ),
        ]);
    }

    #[test]
    fn a_claim_takes_the_volume_that_was_found_or_named() {
        use ClaimStep::{LookUpVolume, Rest, TakeVolume};
        let fits = Counterpart::Free { fits: true };
        let too_small = Counterpart::Free { fits: false };
        let by_name = Counterpart::Ours {
            with_uid: false,
            phase: VolumePhase::Available,
        };
        let deleting = ClaimFacts {
            deleting: true,
            ..named(fits)
        };
        check(&[
            ("found", new(fits), TakeVolume),
            ("named", named(fits), TakeVolume),
            ("reserved for us", named(by_name), TakeVolume),
            ("deleting", deleting, Rest(ClaimWaits::Deleting)),
            (
                "too small",
                named(too_small),
                Rest(ClaimWaits::ForItsVolumeToFit),
            ),
            (
                "taken by another",
                named(Counterpart::Others),
                Rest(ClaimWaits::ForAVolumeOfAnotherClaim),
            ),
            ("not cached", named(Counterpart::NotCached), LookUpVolume),
            (
                "absent",
                named(Counterpart::Absent),
                Rest(ClaimWaits::ForItsVolume),
            ),
        ]);
    }

    #[test]
    fn binding_completes_the_volume_before_the_claim() {
        use ClaimStep::{BindClaim, MarkClaimBound, MarkVolumeBound, Rest};
        let unmarked = ClaimFacts {
            phase: ClaimPhase::Pending,
            ..COMPLETED
        };
        let outdated = ClaimFacts {
            status_current: false,
            ..COMPLETED
        };
        let found_again = ClaimFacts {
            phase: ClaimPhase::Lost,
            ..COMPLETED
        };
        check(&[
            ("taken", new(ours(VolumePhase::Available)), MarkVolumeBound),
            (
                "just made",
                new(ours(VolumePhase::Pending)),
                MarkVolumeBound,
            ),
            ("volume marked", new(OURS), BindClaim),
            ("named beforehand", named(OURS), BindClaim),
            ("claim written", unmarked, MarkClaimBound),
            ("volume changed", outdated, MarkClaimBound),
            ("lost and found", found_again, MarkClaimBound),
            ("done", COMPLETED, Rest(ClaimWaits::Bound)),
        ]);
    }

    #[test]
    fn a_claim_is_lost_only_when_the_server_says_that_its_volume_is() {
        use ClaimStep::{LookUpVolume, MarkClaimLost, Rest, TakeVolume};
        let lost = ClaimFacts {
            phase: ClaimPhase::Lost,
            ..completed(Counterpart::Absent)
        };
        let freed = completed(Counterpart::Free { fits: false });
        check(&[
            (
                "not cached",
                completed(Counterpart::NotCached),
                LookUpVolume,
            ),
            ("absent", completed(Counterpart::Absent), MarkClaimLost),
            ("of another", completed(Counterpart::Others), MarkClaimLost),
            ("no name", completed(Counterpart::None), MarkClaimLost),
            ("said already", lost, Rest(ClaimWaits::Lost)),
            ("claimRef removed", freed, TakeVolume),
        ]);
    }

    #[test]
    fn a_volume_follows_its_claim() {
        use ClaimRef::{ByName, ByUid};
        use ClaimSeen::{Absent, NotCached, Present};
        use VolumePhase::{Available, Bound, Failed, Pending, Released};
        use VolumeStep::{LookUpClaim, Mark, Rest, Unbind};
        for (case, phase, claim_ref, claim, step) in [
            ("new", Pending, ClaimRef::None, NotCached, Mark(Available)),
            ("free", Available, ClaimRef::None, NotCached, Rest),
            (
                "recycled by hand",
                Released,
                ClaimRef::None,
                NotCached,
                Mark(Available),
            ),
            ("reserved", Pending, ByName, NotCached, Mark(Available)),
            ("reserved, idle", Available, ByName, NotCached, Rest),
            (
                "reserved, claim is here",
                Pending,
                ByName,
                Present(Names::This),
                Rest,
            ),
            (
                "made to order",
                Pending,
                ByUid,
                Present(Names::Nothing),
                Rest,
            ),
            ("bound", Bound, ByUid, Present(Names::This), Rest),
            ("not cached", Bound, ByUid, NotCached, LookUpClaim),
            ("claim gone", Bound, ByUid, Absent, Mark(Released)),
            ("released", Released, ByUid, Absent, Rest),
            ("released, restarted", Released, ByUid, NotCached, Rest),
            ("failed", Failed, ByUid, Absent, Rest),
            (
                "claim chose another",
                Available,
                ByUid,
                Present(Names::Another),
                Unbind,
            ),
        ] {
            let facts = VolumeFacts {
                phase,
                claim_ref,
                claim,
                made_to_order: false,
            };
            assert_eq!(volume(facts), step, "{case}");
        }
        let superfluous = VolumeFacts {
            phase: Available,
            claim_ref: ByUid,
            claim: Present(Names::Another),
            made_to_order: true,
        };
        assert_eq!(volume(superfluous), Mark(Released));
    }
}
