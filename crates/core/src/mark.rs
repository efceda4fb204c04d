//! Decides whether a snapshot or a content carries the label by which releases 3 to 7 marked invalid objects.
//!
//! The label lets an administrator list, before definitions are made stricter, what would not be let in any more. What is
//! invalid is for [`validation`] to say.
//!
//! **Guarantees.** Nothing but that label is written, on the version that was judged. An object that goes is left alone.

use std::sync::Arc;

use serde_json::{Value, json};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent, keys};

use crate::object::Meta;
use crate::validation::{self, invalid};
use crate::write::{Kind, Part, Verb, Write};
use crate::{Seen, Verdict};

/// A snapshot or content, as far as the label goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// Identity and version.
    pub meta: Meta,
    /// Something is wrong with it by itself.
    pub invalid: bool,
    /// It carries the label.
    pub labelled: bool,
}

impl Marked {
    /// Reads a snapshot.
    pub fn of_snapshot(object: &VolumeSnapshot) -> Self {
        let spec = json!({ "spec": object.spec });
        Self::of(
            Meta::of(&object.metadata),
            validation::Kind::Snapshot,
            &spec,
            {
                let labels = object.metadata.labels.as_ref();
                labels.is_some_and(|it| it.contains_key(keys::LABEL_INVALID_SNAPSHOT))
            },
        )
    }

    /// Reads a content.
    pub fn of_content(object: &VolumeSnapshotContent) -> Self {
        let spec = json!({ "spec": object.spec });
        Self::of(
            Meta::of(&object.metadata),
            validation::Kind::Content,
            &spec,
            {
                let labels = object.metadata.labels.as_ref();
                labels.is_some_and(|it| it.contains_key(keys::LABEL_INVALID_CONTENT))
            },
        )
    }

    fn of(meta: Meta, kind: validation::Kind, object: &Value, labelled: bool) -> Self {
        Self {
            meta,
            invalid: !invalid(kind, object).is_empty(),
            labelled,
        }
    }

    /// Something is to be done.
    pub const fn is_due(&self) -> bool {
        self.invalid != self.labelled && !self.meta.deleting
    }
}

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put the label on.
    Label,
    /// Take it off.
    Unlabel,
}

/// Why there is nothing to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// The object is not there (any more).
    Gone,
    /// The cache is not filled yet.
    ForCaches,
    /// The label is as it should be, or the object goes.
    Settled,
}

/// Everything the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// `deletionTimestamp` is set.
    pub deleting: bool,
    /// Something is wrong with it.
    pub invalid: bool,
    /// It carries the label.
    pub labelled: bool,
}

/// The facts of what was seen.
pub fn facts(seen: &Seen<Arc<Marked>>) -> Seen<Facts> {
    seen.as_ref().map(|it| Facts {
        deleting: it.meta.deleting,
        invalid: it.invalid,
        labelled: it.labelled,
    })
}

/// Returns the next step for an object, or why there is none.
pub const fn decide(seen: Seen<Facts>) -> Verdict<Step, Waiting> {
    match seen {
        Seen::Unknown => Verdict::Rest(Waiting::ForCaches),
        Seen::NotCached | Seen::Absent => Verdict::Rest(Waiting::Gone),
        Seen::Present(it) => match (it.deleting, it.invalid, it.labelled) {
            (false, true, false) => Verdict::Do(Step::Label),
            (false, false, true) => Verdict::Do(Step::Unlabel),
            (true, _, _) | (false, true, true) | (false, false, false) => {
                Verdict::Rest(Waiting::Settled)
            }
        },
    }
}

/// The write a step comes to; none if the object is not there.
pub fn render(step: Step, kind: Kind, label: &str, seen: &Seen<Arc<Marked>>) -> Option<Write> {
    let meta = &seen.present()?.meta;
    let value = match step {
        Step::Label => json!(""),
        Step::Unlabel => Value::Null,
    };
    Some(Write {
        kind,
        key: meta.key.clone(),
        verb: Verb::Patch {
            part: Part::Object,
            body: json!({"metadata": {"resourceVersion": meta.version.to_string(), "labels": {label: value}}}),
        },
        event: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_follows_what_is_wrong() {
        let next = |deleting, invalid, labelled| {
            decide(Seen::Present(Facts {
                deleting,
                invalid,
                labelled,
            }))
        };
        assert_eq!(next(false, true, false), Verdict::Do(Step::Label));
        assert_eq!(next(false, false, true), Verdict::Do(Step::Unlabel));
        let settled = Verdict::Rest(Waiting::Settled);
        for (deleting, invalid, labelled) in [
            (false, true, true),
            (false, false, false),
            (true, true, false),
            (true, false, true),
        ] {
            assert_eq!(next(deleting, invalid, labelled), settled);
        }
        assert_eq!(decide(Seen::Unknown), Verdict::Rest(Waiting::ForCaches));
        assert_eq!(decide(Seen::NotCached), Verdict::Rest(Waiting::Gone));
    }

    #[test]
    fn the_labels_are_upstreams_and_conditional() {
        let snapshot: VolumeSnapshot = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "resourceVersion": "7",
                "labels": {"snapshot.storage.kubernetes.io/invalid-snapshot-resource": ""}},
            "spec": {"source": {"persistentVolumeClaimName": "c"}},
        }))
        .unwrap();
        let row = Marked::of_snapshot(&snapshot);
        assert!(row.labelled && !row.invalid);
        let seen = Seen::Present(Arc::new(row));
        let write = render(
            Step::Unlabel,
            Kind::Snapshot,
            keys::LABEL_INVALID_SNAPSHOT,
            &seen,
        )
        .unwrap();
        let body = json!({"metadata": {"resourceVersion": "7",
            "labels": {"snapshot.storage.kubernetes.io/invalid-snapshot-resource": null}}});
        assert_eq!(
            write.verb,
            Verb::Patch {
                part: Part::Object,
                body
            }
        );
        let content: VolumeSnapshotContent = serde_json::from_value(json!({"metadata": {"name": "c"},
            "spec": {"source": {"volumeHandle": "v"}, "volumeSnapshotRef": {"name": "", "namespace": "n"}}}))
        .unwrap();
        let row = Marked::of_content(&content);
        assert!(row.invalid && !row.labelled && row.is_due());
    }
}
