//! Asks why of objects of any shape: nothing panics, and whatever is not well says why in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tintype_core::claim::{self, Abilities, Settings, SourceSight};
use tintype_core::object::{
    Claim, ClaimPhase, Class, Content, DataSourceKind, Group, GroupContent, Snapshot, StorageClass,
    Volume,
};
use tintype_core::pair::{self, ClassSight};
use tintype_core::snapshot::{self, Placement};
use tintype_core::why::{self, Answer};
use tintype_core::{Seen, Time, content, group, group_content};

use crate::cluster::row;
use crate::documents::{self, CONTENT, DRIVER, UID, check, clean, maybe, one_of, spoiled};

const CASES: u32 = 4_000;

/// What was found of an object that somebody looked for.
fn found<T>(row: Seen<Arc<T>>, readable: bool) -> Seen<Arc<T>> {
    match row {
        Seen::Present(it) if readable => Seen::Present(it),
        Seen::Present(_) | Seen::Unknown | Seen::NotCached | Seen::Absent if !readable => {
            Seen::Unknown
        }
        Seen::Present(_) | Seen::Unknown | Seen::NotCached | Seen::Absent => Seen::Absent,
    }
}

/// An object, none, or one that may not be read.
fn perhaps(document: impl Strategy<Value = Value>) -> impl Strategy<Value = (Value, bool)> {
    let readable = prop_oneof![5 => Just(true), 1 => Just(false)];
    (maybe(document), readable)
}

fn said(answer: &Answer) -> Result<(), TestCaseError> {
    match answer {
        Answer::Well => {}
        Answer::Waits(text) | Answer::Stuck(text) => prop_assert!(!text.trim().is_empty()),
    }
    Ok(())
}

#[test]
fn every_snapshot_that_is_not_ready_says_why() {
    let all = (
        documents::snapshot(),
        perhaps(documents::content()),
        perhaps(documents::class()),
        perhaps(documents::claim()),
        perhaps(documents::volume()),
        any::<(bool, bool)>(),
    );
    check(CASES, &all, |all| {
        let (snapshot, content, class, claim, volume, (restored, named)) = all;
        let class = found(row(Some(&class.0), Class::of), class.1);
        let seen = snapshot::Sighting {
            snapshot: row(Some(&snapshot), Snapshot::of),
            fresh: true,
            content: found(row(Some(&content.0), Content::of), content.1),
            looked_up: true,
            class: match class {
                class if named => ClassSight::Named(class),
                Seen::Present(class) => ClassSight::Defaults(Some(vec![class])),
                _ => ClassSight::Defaults(None),
            },
            claim: found(row(Some(&claim.0), Claim::of), claim.1),
            volume: found(row(Some(&volume.0), Volume::of), volume.1),
            group_key: None,
            group: Seen::Absent,
            being_restored: restored,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: pair::Memory::default(),
        };
        let answer = why::snapshot(&seen);
        said(&answer)?;
        let waits = seen.snapshot.present();
        let waits = waits.is_some_and(|it| it.ready != Some(true) && !it.meta.deleting);
        prop_assert!(!waits || answer != Answer::Well, "{snapshot}");
        Ok(())
    });
}

#[test]
fn every_content_that_is_not_ready_says_why() {
    let all = (documents::content(), perhaps(documents::class()));
    check(CASES, &all, |(document, class)| {
        let content = row(Some(&document), Content::of);
        let named = content.present().is_some_and(|it| it.class.is_some());
        let driver = content.present().map(|it| it.driver.clone());
        let seen = content::Sighting {
            class: named.then(|| found(row(Some(&class.0), Class::of), class.1)),
            driver: driver.unwrap_or_else(|| DRIVER.into()),
            memory: content::Memory::default(),
            now: Time(0),
            content,
        };
        let answer = why::content(&seen);
        said(&answer)?;
        let waits = seen.content.present();
        let waits = waits.is_some_and(|it| !it.ready() && !it.meta.deleting);
        prop_assert!(!waits || answer != Answer::Well, "{document}");
        Ok(())
    });
}

/// A claim that waits, of this provisioner.
fn restore() -> impl Strategy<Value = Value> {
    let from = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
        "name": "monday"});
    let source = prop_oneof![
        4 => Just(json!({"dataSource": from})),
        1 => Just(json!({"dataSource": {"kind": "VolumeSnapshot", "name": "monday"}})),
        1 => Just(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "data"}})),
        1 => Just(json!({"dataSource": {"apiGroup": "x", "kind": "Y", "name": "monday"}})),
        1 => Just(json!({"dataSourceRef": {"apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot", "namespace": "other", "name": "monday"}})),
        1 => Just(json!({})),
    ];
    let size = one_of(&["1Gi", "1", "0", "many", ""]);
    let more = (maybe(one_of(&["quick", ""])), maybe(Just(json!({}))));
    spoiled(
        (source, size, more).prop_map(|(source, size, (attributes, selector))| {
            let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": "ns", "name": "copy", "uid": "q", "resourceVersion": "1",
                "annotations": {"volume.kubernetes.io/storage-provisioner": DRIVER}},
            "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"],
                "selector": selector, "volumeAttributesClassName": attributes,
                "resources": {"requests": {"storage": size}}}});
            for (field, value) in source.as_object().into_iter().flatten() {
                claim["spec"][field] = value.clone();
            }
            clean(claim)
        }),
    )
}

fn storage_class() -> impl Strategy<Value = Value> {
    let mode = one_of(&["Immediate", "WaitForFirstConsumer", "perhaps", ""]);
    let parameters = one_of(&[
        "csi.storage.k8s.io/fstype",
        "csi.storage.k8s.io/unknown",
        "x",
    ]);
    spoiled((mode, parameters).prop_map(|(mode, parameter)| {
        let key = parameter.as_str().unwrap_or_default();
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "fast", "uid": "f"}, "provisioner": DRIVER,
            "volumeBindingMode": mode, "parameters": {key: "${pvc.name}"}})
    }))
}

#[test]
fn every_claim_that_waits_says_why() {
    let all = (
        restore(),
        perhaps(storage_class()),
        perhaps(documents::snapshot()),
        perhaps(documents::content()),
        any::<(bool, bool)>(),
        select(&[None, Some(""), Some("the disk is on fire")][..]),
    );
    check(CASES, &all, |all| {
        let (document, class, snapshot, content, (abilities, elsewhere), event) = all;
        let claim = row(Some(&document), Claim::of);
        let mut settings = Settings::new(DRIVER);
        settings.cross_namespace = elsewhere;
        settings.abilities = Abilities {
            snapshots: abilities,
            clones: abilities,
            ..Abilities::default()
        };
        let kind = claim.present().and_then(|it| it.source.as_ref());
        let source = match kind.map(|it| it.kind) {
            Some(DataSourceKind::Snapshot) => SourceSight::Snapshot {
                snapshot: found(row(Some(&snapshot.0), Snapshot::of), snapshot.1),
                content: found(row(Some(&content.0), Content::of), content.1),
                origin: None,
            },
            Some(DataSourceKind::Claim) => SourceSight::Claim {
                claim: Seen::Absent,
                volume: Seen::Absent,
            },
            Some(DataSourceKind::WrongGroup | DataSourceKind::Foreign) | None => SourceSight::None,
        };
        let seen = claim::Sighting {
            annotations: BTreeMap::new(),
            class: found(row(Some(&class.0), StorageClass::of), class.1),
            attributes: Seen::Absent,
            volume: Seen::Absent,
            source,
            grants: Vec::new(),
            nodes: Arc::new([]),
            settings: Arc::new(settings),
            memory: claim::Memory::default(),
            now: Time(0),
            claim,
        };
        let answer = why::claim(&seen, event);
        said(&answer)?;
        let of_driver = |it: &Arc<StorageClass>| *it.provisioner == *DRIVER;
        let ours = seen.class.present().is_none_or(of_driver);
        let waits = seen.claim.present().is_some_and(|it| {
            it.phase == ClaimPhase::Pending
                && it.volume.is_none()
                && !it.meta.deleting
                && it.provisioner.as_deref() == Some(DRIVER)
        });
        prop_assert!(!(waits && ours) || answer != Answer::Well, "{document}");
        Ok(())
    });
}

fn group() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        4 => Just(json!({"selector": {"matchLabels": {"app": "db"}}})),
        1 => Just(json!({"selector": {"matchExpressions": [{"key": "a", "operator": "?"}]}})),
        1 => Just(json!({"volumeGroupSnapshotContentName": CONTENT})),
        1 => Just(json!({})),
    ];
    let status = maybe(Just(json!({"boundVolumeGroupSnapshotContentName": CONTENT,
        "readyToUse": false, "error": {"message": "no"}})));
    let class = maybe(one_of(&["gold", "gone", ""]));
    spoiled((source, status, class).prop_map(|(source, status, class)| {
        clean(json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot",
            "metadata": {"namespace": "ns", "name": "group", "uid": UID, "resourceVersion": "1"},
            "spec": {"source": source, "volumeGroupSnapshotClassName": class},
            "status": status}))
    }))
}

fn group_content() -> impl Strategy<Value = Value> {
    let handles = json!({"volumeGroupSnapshotHandle": "g", "volumeSnapshotHandles": ["s"]});
    let source = prop_oneof![
        4 => Just(json!({"volumeHandles": ["vol-1", "vol-2"]})),
        1 => Just(json!({"groupSnapshotHandles": handles})),
        1 => Just(json!({})),
    ];
    let infos = json!([{"volumeHandle": "vol-1", "snapshotHandle": "s"}]);
    let status = maybe(prop_oneof![
        Just(json!({"volumeGroupSnapshotHandle": "g", "volumeSnapshotInfoList": infos})),
        Just(json!({"volumeGroupSnapshotHandle": "g", "readyToUse": true})),
        Just(json!({"error": {"message": "no"}})),
    ]);
    spoiled((source, status).prop_map(|(source, status)| {
        clean(json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": CONTENT, "uid": "c", "resourceVersion": "1"},
            "spec": {"deletionPolicy": "Delete", "driver": DRIVER, "source": source,
                "volumeGroupSnapshotClassName": "gold",
                "volumeGroupSnapshotRef": {"namespace": "ns", "name": "group", "uid": UID}},
            "status": status}))
    }))
}

#[test]
fn every_group_and_its_content_say_why() {
    let all = (
        group(),
        perhaps(group_content()),
        perhaps(documents::class()),
        perhaps(documents::claim()),
        perhaps(documents::volume()),
    );
    check(CASES, &all, |(document, content, class, claim, volume)| {
        let group = row(Some(&document), Group::of);
        let class = found(row(Some(&class.0), Class::of), class.1);
        let content = found(row(Some(&content.0), GroupContent::of), content.1);
        let known = claim.1;
        let claim: Seen<Arc<Claim>> = row(Some(&claim.0), Claim::of);
        let picked = claim.present().map(|it| group::Picked {
            claim: it.clone(),
            volume: found(row(Some(&volume.0), Volume::of), volume.1),
        });
        let seen = group::Sighting {
            fresh: true,
            content: content.clone(),
            looked_up: true,
            class: ClassSight::Named(class.clone()),
            claims: if known {
                Seen::Present(picked.into_iter().collect())
            } else {
                Seen::Unknown
            },
            members: Vec::new(),
            owned: Seen::Present(Vec::new()),
            restored: None,
            placement: Placement::Anywhere,
            memory: pair::Memory::default(),
            group,
        };
        let answer = why::group(&seen);
        said(&answer)?;
        let waits = seen.group.present();
        let waits = waits.is_some_and(|it| it.ready != Some(true) && !it.meta.deleting);
        prop_assert!(!waits || answer != Answer::Well, "{document}");
        let driver = content.present().map(|it| it.driver.clone());
        let seen = group_content::Sighting {
            class: Some(class),
            driver: driver.unwrap_or_else(|| DRIVER.into()),
            members: Vec::new(),
            memory: group_content::Memory::default(),
            now: Time(0),
            content,
        };
        let answer = why::group_content(&seen);
        said(&answer)?;
        let waits = seen.content.present();
        let waits = waits.is_some_and(|it| !it.ready() && !it.meta.deleting);
        prop_assert!(!waits || answer != Answer::Well);
        Ok(())
    });
}
