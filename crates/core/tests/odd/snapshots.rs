//! The cluster's side: snapshots and contents without one, among odd objects.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use tintype_core::object::{Claim, Class, Content, Snapshot, Volume};
use tintype_core::snapshot::Step;
use tintype_core::write::Kind;
use tintype_core::{Verdict, orphan};

use crate::MAX_STEPS;
use crate::cluster::{Cluster, answer, row};
use crate::documents::{self, CONTENT, UID, check};
use crate::server::Server;

/// Nothing is destroyed, and nothing let go, but for a snapshot that is being deleted.
fn witness(cluster: &Cluster, step: Step, before: &[Step]) -> Result<(), TestCaseError> {
    prop_assert!(before.len() < MAX_STEPS, "never at rest: {before:?}");
    let snapshot = cluster.server.get(Kind::Snapshot, "monday").unwrap();
    let deleting = !snapshot["metadata"]["deletionTimestamp"].is_null();
    let name = snapshot["status"]["boundVolumeSnapshotContentName"]
        .as_str()
        .filter(|it| !it.is_empty())
        .or(snapshot["spec"]["source"]["volumeSnapshotContentName"].as_str())
        .unwrap_or(CONTENT);
    let content = cluster.server.get(Kind::Content, name);
    let points_back = content.is_some_and(|it| {
        let owner = &it["spec"]["volumeSnapshotRef"];
        owner["uid"] == UID && owner["name"] == "monday" && owner["namespace"] == "ns"
    });
    let policy = content.map_or(&Value::Null, |it| &it["spec"]["deletionPolicy"]);
    match step {
        Step::AskContentDeletion => prop_assert!(deleting && points_back, "{content:?}"),
        Step::DeleteContent => {
            prop_assert!(deleting && points_back && policy == "Delete", "{content:?}");
        }
        Step::Release => prop_assert!(deleting, "{snapshot}"),
        Step::CreateContent => {
            let bound = &snapshot["status"]["boundVolumeSnapshotContentName"];
            prop_assert!(!deleting && bound.as_str().is_none_or(str::is_empty), "D5");
        }
        Step::Protect
        | Step::ProtectClaim
        | Step::LookUpSnapshot
        | Step::BindContent
        | Step::ProtectContent
        | Step::LookUpContent
        | Step::Publish
        | Step::Complain(_)
        | Step::Retract
        | Step::LookUpGroup
        | Step::JoinGroup => {}
    }
    Ok(())
}

/// A size that the definition would refuse is never written.
fn conforms(cluster: &Cluster, before: Option<&Value>) -> Result<(), TestCaseError> {
    let now = cluster.server.get(Kind::Snapshot, "monday");
    let size = |it: Option<&Value>| it.map(|it| it["status"]["restoreSize"].clone());
    if size(now) != size(before) {
        let written = size(now).unwrap_or_default();
        let digits = |it: &str| it.starts_with(|letter: char| letter.is_ascii_digit());
        prop_assert!(written.as_str().is_none_or(digits), "{written}");
    }
    Ok(())
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let all = (
        documents::snapshot(),
        proptest::option::of(documents::content()),
        documents::class(),
        documents::claim(),
        documents::volume(),
    );
    all.prop_map(|(snapshot, content, class, claim, volume)| {
        let mut cluster = Cluster::new(snapshot, content, Some(claim));
        cluster.classes.push(class);
        cluster.volume = Some(volume);
        cluster
    })
}

#[test]
fn whatever_a_snapshot_sees_it_rests_soon_and_destroys_nothing_unasked() {
    let taken = RefCell::new(BTreeSet::new());
    check(4_000, &cluster(), |mut cluster| {
        let before = cluster.server.get(Kind::Snapshot, "monday").cloned();
        let steps = cluster.settle(witness)?;
        conforms(&cluster, before.as_ref())?;
        taken.borrow_mut().extend(steps.into_iter().map(name_of));
        // Left alone it has nothing more to do: what it said, it does not say again. What cannot
        // be read is of other definitions than these, and is left alone for a while each time.
        let content = cluster.server.get(Kind::Content, CONTENT);
        let unreadable = cluster.snapshot().present().is_none()
            || (content.is_some() && row(content, Content::of).present().is_none());
        let again = cluster.settle(witness)?;
        let writes = again.iter().filter(|it| {
            !matches!(
                it,
                Step::LookUpContent | Step::LookUpSnapshot | Step::LookUpGroup
            )
        });
        prop_assert!(unreadable || writes.count() == 0, "{again:?}");
        Ok(())
    });
    // The cases come to everything there is to do, but for joining a group that is there.
    let all = [
        "AskContentDeletion",
        "BindContent",
        "Complain",
        "CreateContent",
        "DeleteContent",
        "LookUpContent",
        "LookUpGroup",
        "LookUpSnapshot",
        "Protect",
        "ProtectClaim",
        "ProtectContent",
        "Publish",
        "Release",
        "Retract",
    ];
    let all = BTreeSet::from(all.map(str::to_owned));
    assert_eq!(taken.into_inner(), all);
}

/// The step's name, without what it carries.
fn name_of(step: Step) -> String {
    let text = format!("{step:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

#[test]
fn an_odd_content_without_snapshot_is_let_go_only_once_it_is_deleted() {
    let orphans = (
        documents::content(),
        proptest::option::of(documents::snapshot()),
    );
    check(2_000, &orphans, |(content, snapshot)| {
        let mut server = Server::default();
        server.put(Kind::Content, content);
        if let Some(snapshot) = snapshot {
            server.put(Kind::Snapshot, snapshot);
        }
        let mut seen = orphan::Sighting {
            content: row(server.get(Kind::Content, CONTENT), Content::of),
            snapshot: row(server.get(Kind::Snapshot, "monday"), Snapshot::of),
            looked_up: false,
        };
        for _ in 0..MAX_STEPS {
            let Verdict::Do(step) = orphan::decide(&seen.facts()) else {
                return Ok(());
            };
            let metadata = &server.get(Kind::Content, CONTENT).unwrap()["metadata"];
            let deleting = !metadata["deletionTimestamp"].is_null();
            prop_assert!(step != orphan::Step::AskDeletion || deleting);
            let write = orphan::render(step, &seen).expect("a step comes to a write");
            let Ok(object) = server.apply(&write) else {
                return Ok(());
            };
            if write.kind == Kind::Snapshot {
                seen.snapshot = answer(object.as_ref(), Snapshot::of);
                seen.looked_up = true;
            } else {
                seen.content = answer(object.as_ref(), Content::of);
            }
        }
        Err(TestCaseError::fail("never at rest"))
    });
}

/// Reading is for whatever a server may send; what is of the wrong type is an error, no panic.
#[test]
fn reading_any_document_never_panics() {
    check(4_000, &documents::anything(), |value| {
        let wrapped =
            serde_json::json!({"metadata": {"name": "a"}, "spec": value, "status": value});
        for document in [value, wrapped] {
            let document = Some(&document);
            row(document, Snapshot::of);
            row(document, Content::of);
            row(document, Class::of);
            row(document, Claim::of);
            row(document, Volume::of);
        }
        Ok(())
    });
}
