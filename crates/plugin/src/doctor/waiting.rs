//! Asks of each snapshot, content, group and claim why it is not as it should be.
//!
//! Does not know how the machines see them: that is in `rows`.

use kube::ResourceExt as _;
use tintype_core::object::{ClaimPhase, Key};
use tintype_core::why::{self, Answer};

use super::cluster::Cluster;
use super::rows::Rows;
use super::{Finding, State};

/// What waits, and why; nothing about those that are well.
pub(super) fn all(cluster: &Cluster) -> Vec<Finding> {
    let rows = Rows::of(cluster);
    let looks_at = |key: &Key| cluster.looks_at(Some(&key.namespace.to_string()));
    let mut findings = Vec::new();
    for row in rows.snapshots.all().filter(|it| looks_at(&it.meta.key)) {
        let answer = why::snapshot(&rows.snapshot(row));
        findings.extend(finding("VolumeSnapshot", &row.meta.key, answer));
    }
    for row in rows.contents.all().filter(|it| looks_at(&it.snapshot.key)) {
        let answer = why::content(&rows.content(row));
        findings.extend(finding("VolumeSnapshotContent", &row.meta.key, answer));
    }
    for row in rows.groups.all().filter(|it| looks_at(&it.meta.key)) {
        let answer = why::group(&rows.group(row));
        findings.extend(finding("VolumeGroupSnapshot", &row.meta.key, answer));
    }
    for row in rows
        .group_contents
        .all()
        .filter(|it| looks_at(&it.group.key))
    {
        let answer = why::group_content(&rows.group_content(row));
        findings.extend(finding("VolumeGroupSnapshotContent", &row.meta.key, answer));
    }
    let waits = |phase: ClaimPhase| phase == ClaimPhase::Pending;
    for row in rows.claims.all().filter(|it| looks_at(&it.meta.key)) {
        let sighting = waits(row.phase).then(|| {
            let document = cluster.claims.items.iter().find(|it| {
                it.name_any() == *row.meta.key.name
                    && it.namespace().as_deref() == Some(&*row.meta.key.namespace)
            });
            let annotations = document.map(|it| it.annotations().clone());
            rows.claim(row, annotations.unwrap_or_default())
        });
        if let Some(seen) = sighting.flatten() {
            let event = cluster.warnings.get(&row.meta.uid.to_string());
            let answer = why::claim(&seen, event.map(String::as_str));
            findings.extend(finding("PersistentVolumeClaim", &row.meta.key, answer));
        }
    }
    findings
}

fn finding(kind: &str, key: &Key, answer: Answer) -> Option<Finding> {
    let (state, says) = match answer {
        Answer::Well => return None,
        Answer::Waits(says) => (State::Look, says),
        Answer::Stuck(says) => (State::Wrong, says),
    };
    Some(Finding::new(
        state,
        "waiting",
        format!("{kind} {key}"),
        says,
    ))
}

#[cfg(test)]
mod tests;
