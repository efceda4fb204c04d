//! Decides what is next for the webhook's certificate. Pure.
//!
//! **Guarantee.** No certificate is shown of an authority that API servers have not been told of, as long as there is
//! another to show: a new authority is published beside the old one first, and used at a later pass.

/// The authority in the Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// There is no Secret.
    Absent,
    /// The Secret cannot be used.
    Damaged,
    /// It is time for a new one.
    Due,
    Fresh,
}

/// The certificate this replica shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// There is none, or it is about to end.
    None,
    /// Another authority than the newest issued it.
    OfAnother,
    /// The newest issued it, and it is time for another.
    Due,
    Good,
}

/// Whether API servers know the authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// Not looked at in this pass.
    Unknown,
    /// It could not be told, or not everywhere.
    Failed,
    /// Told in this pass; not every server may have heard.
    JustNow,
    /// They knew already.
    Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) shared: Shared,
    pub(super) leaf: Leaf,
    pub(super) published: Published,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Write a new authority into the Secret, beside those that still count.
    Make,
    /// Tell API servers of all of them.
    Publish,
    /// Show a new certificate of the newest.
    Issue,
}

/// The next step, or none until something changes.
pub(super) const fn decide(facts: Facts) -> Option<Step> {
    match (facts.shared, facts.published, facts.leaf) {
        (Shared::Absent | Shared::Damaged | Shared::Due, _, _) => Some(Step::Make),
        (Shared::Fresh, Published::Unknown, _) => Some(Step::Publish),
        // Better a certificate that is not trusted yet than none; one of the same authority is trusted.
        (Shared::Fresh, _, Leaf::None | Leaf::Due)
        | (Shared::Fresh, Published::Before, Leaf::OfAnother) => Some(Step::Issue),
        (Shared::Fresh, _, Leaf::Good)
        | (Shared::Fresh, Published::Failed | Published::JustNow, Leaf::OfAnother) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(shared: Shared, published: Published, leaf: Leaf) -> Option<Step> {
        decide(Facts {
            shared,
            leaf,
            published,
        })
    }

    #[test]
    fn a_first_start_makes_publishes_and_issues() {
        assert_eq!(
            next(Shared::Absent, Published::Unknown, Leaf::None),
            Some(Step::Make)
        );
        assert_eq!(
            next(Shared::Fresh, Published::Unknown, Leaf::None),
            Some(Step::Publish)
        );
        assert_eq!(
            next(Shared::Fresh, Published::JustNow, Leaf::None),
            Some(Step::Issue)
        );
        assert_eq!(next(Shared::Fresh, Published::JustNow, Leaf::Good), None);
    }

    #[test]
    fn a_new_authority_is_used_only_once_it_was_known_before() {
        assert_eq!(
            next(Shared::Due, Published::Unknown, Leaf::Good),
            Some(Step::Make)
        );
        assert_eq!(
            next(Shared::Fresh, Published::Unknown, Leaf::OfAnother),
            Some(Step::Publish)
        );
        assert_eq!(
            next(Shared::Fresh, Published::JustNow, Leaf::OfAnother),
            None
        );
        assert_eq!(
            next(Shared::Fresh, Published::Failed, Leaf::OfAnother),
            None
        );
        assert_eq!(
            next(Shared::Fresh, Published::Before, Leaf::OfAnother),
            Some(Step::Issue)
        );
    }

    #[test]
    fn there_is_always_a_certificate_to_show() {
        for published in [Published::Failed, Published::JustNow, Published::Before] {
            for leaf in [Leaf::None, Leaf::Due] {
                assert_eq!(next(Shared::Fresh, published, leaf), Some(Step::Issue));
            }
        }
    }
}
