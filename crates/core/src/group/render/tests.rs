//! Pins what groups write: whom their contents are for, what is never taken back, what is never
//! written over.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node as NodeObject;
use serde_json::{Value, json};

use super::super::{Complaint, Picked, Sighting, Step, decide, member, render};
use crate::object::{
    Affinity, Claim, Content, Group, GroupClass, GroupContent, Key, Node, Snapshot, Volume,
};
use crate::pair::{ClassSight, Memory};
use crate::snapshot::Placement;
use crate::write::{Verb, Write};
use crate::{Seen, Stamp, Verdict};

fn parse<T: serde::de::DeserializeOwned, R>(object: &Value, read: impl FnOnce(&T) -> R) -> Arc<R> {
    Arc::new(read(&serde_json::from_value(object.clone()).unwrap()))
}

fn group(change: &Value) -> Arc<Group> {
    let mut object = json!({
        "apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": "nightly", "namespace": "shop", "uid": "group", "resourceVersion": "7",
            "finalizers": ["groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"]},
        "spec": {"volumeGroupSnapshotClassName": "gold",
            "source": {"selector": {"matchLabels": {"tier": "db"}}}},
    });
    json_patch::merge(&mut object, change);
    parse(&object, Group::of)
}

fn volume(at: usize, nodes: &[&str]) -> Arc<Volume> {
    let object = json!({
        "metadata": {"name": format!("pv-{at}")},
        "spec": {
            "claimRef": {"namespace": "shop", "name": format!("data-{at}"), "uid": format!("claim-{at}")},
            "csi": {"driver": "d", "volumeHandle": format!("vol-{at}")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "node", "operator": "In", "values": nodes}]}]}},
        },
    });
    parse(&object, Volume::of)
}

fn picked(at: usize, nodes: &[&str]) -> Picked {
    let object = json!({
        "metadata": {"name": format!("data-{at}"), "namespace": "shop", "uid": format!("claim-{at}"),
            "resourceVersion": "1",
            "finalizers": ["snapshot.storage.kubernetes.io/pvc-as-source-protection"]},
        "spec": {"volumeName": format!("pv-{at}")},
        "status": {"phase": "Bound"},
    });
    Picked {
        claim: parse(&object, Claim::of),
        volume: Seen::Present(volume(at, nodes)),
    }
}

fn class() -> ClassSight {
    let object = json!({"metadata": {"name": "gold"}, "driver": "d", "deletionPolicy": "Delete"});
    ClassSight::Named(Seen::Present(parse(&object, GroupClass::of).0.clone()))
}

/// Two claims, and nothing made yet.
fn world(first: &[&str], second: &[&str]) -> Sighting {
    let claims = vec![picked(0, first), picked(1, second)];
    let affinities: Vec<&Affinity> = claims
        .iter()
        .filter_map(|it| it.volume.present()?.affinity.as_deref())
        .collect();
    let placement = Placement::among(&affinities, &[node("n2"), node("n1"), node("n3")]);
    Sighting {
        group: Seen::Present(group(&json!({}))),
        fresh: true,
        content: Seen::Absent,
        looked_up: true,
        class: class(),
        claims: Seen::Present(claims),
        members: vec![],
        owned: Seen::Present(vec![]),
        restored: None,
        placement,
        memory: Memory::default(),
    }
}

fn node(name: &str) -> Node {
    let object = json!({"metadata": {"name": name, "labels": {"node": name}}});
    Node::of(&serde_json::from_value::<NodeObject>(object).unwrap())
}

fn body(write: &Write) -> &Value {
    match &write.verb {
        Verb::Create(body) | Verb::Patch { body, .. } => body,
        Verb::Get
        | Verb::ReplaceFinalizers { .. }
        | Verb::ReplaceMeta { .. }
        | Verb::Delete { .. } => panic!("{write:?} has no body"),
    }
}

/// A group content with one member told, for the node `n2`.
fn with_content(seen: &mut Sighting, labels: &Value) {
    let object = json!({
        "metadata": {"name": "groupsnapcontent-group", "uid": "content", "resourceVersion": "3",
            "labels": labels,
            "finalizers": ["groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection"]},
        "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandles": ["vol-0"]},
            "volumeGroupSnapshotRef": {"namespace": "shop", "name": "nightly", "uid": "group"}},
        "status": {"volumeGroupSnapshotHandle": "g", "readyToUse": true,
            "volumeSnapshotInfoList": [{"volumeHandle": "vol-0", "snapshotHandle": "s-0", "readyToUse": true}]},
    });
    let content = parse(&object, GroupContent::of);
    let row = seen.group.present().unwrap().clone();
    let keys = member::Keys::of(&row, "vol-0");
    let snapshot = json!({"metadata": {"name": keys.snapshot.name, "namespace": "shop", "uid": "member",
        "resourceVersion": "4",
        "ownerReferences": [{"apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshot", "name": "nightly", "uid": "group"}]},
        "spec": {"source": {"persistentVolumeClaimName": "data-0"}}});
    seen.members = vec![member::Sighting {
        volume_handle: "vol-0".into(),
        info: content.members().first().cloned(),
        volume: Some(volume(0, &["n2"])),
        snapshot: Seen::Present(parse(&snapshot, Snapshot::of)),
        content: Seen::Absent,
        keys,
    }];
    seen.content = Seen::Present(content);
}

#[test]
fn d21_a_group_and_its_members_are_for_the_node_that_has_all_volumes() {
    let seen = world(&["n1", "n2"], &["n2", "n3"]);
    assert_eq!(decide(&seen.facts()), Verdict::Do(Step::CreateContent));
    let made = render(Step::CreateContent, &seen, Stamp(0)).unwrap();
    let managed_by = json!({"snapshot.storage.kubernetes.io/managed-by": "n2"});
    assert_eq!(body(&made)["metadata"]["labels"], managed_by);

    let mut seen = seen;
    with_content(&mut seen, &managed_by);
    let member = Step::Member(member::Step::MakeContent);
    assert_eq!(decide(&seen.facts()), Verdict::Do(member));
    let made = render(member, &seen, Stamp(0)).unwrap();
    assert_eq!(body(&made)["metadata"]["labels"], managed_by);

    with_content(&mut seen, &json!({}));
    let made = render(member, &seen, Stamp(0)).unwrap();
    assert!(body(&made)["metadata"]["labels"].is_null());
}

/// No sidecar would ever look at it: better to say so than to make it.
#[test]
fn d21_volumes_that_no_one_node_has_are_told() {
    let seen = world(&["n1"], &["n3"]);
    let complaint = Complaint::NodeMissing;
    assert_eq!(
        decide(&seen.facts()),
        Verdict::Do(Step::Complain(complaint))
    );
    let text = complaint.text(&seen);
    assert!(text.contains("data-0, data-1"), "{text}");
}

/// What a controller of 8.2 to 8.5 made is owned by the group in the version of its time.
#[test]
fn d15_members_owned_in_an_old_version_are_members() {
    for version in ["v1beta1", "v1beta2", "v1"] {
        let object = json!({
            "metadata": {"name": "m", "namespace": "shop", "uid": "m", "ownerReferences": [{
                "apiVersion": format!("groupsnapshot.storage.k8s.io/{version}"),
                "kind": "VolumeGroupSnapshot", "name": "nightly", "uid": "group"}]},
            "spec": {"source": {"persistentVolumeClaimName": "data-0"}},
        });
        let snapshot = parse(&object, Snapshot::of);
        let key = snapshot.group_key();
        assert_eq!(key, Some(Key::namespaced("shop", "nightly")), "{version}");
    }
}

/// A member that has its status is not written again, whatever the group still waits for; one
/// whose volume has no claim is made all the same.
#[test]
fn d23_what_a_member_says_is_never_taken_back() {
    let mut seen = world(&["n2"], &["n2"]);
    with_content(&mut seen, &json!({}));
    let uid = "member";
    let content = |status: Value| {
        let object = json!({
            "metadata": {"name": seen.members[0].keys.content.name, "uid": "c", "resourceVersion": "5",
                "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"]},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandle": "vol-0"},
                "volumeSnapshotRef": {"namespace": "shop", "name": seen.members[0].keys.snapshot.name, "uid": uid}},
            "status": status,
        });
        Seen::Present(parse(&object, Content::of))
    };
    let ready = json!({"snapshotHandle": "s-0", "volumeGroupSnapshotHandle": "g", "readyToUse": true,
        "restoreSize": 1});
    let part = json!({"snapshotHandle": "s-0", "readyToUse": false});
    let (ready, part) = (content(ready), content(part));
    seen.members[0].content = ready;
    assert!(seen.open_member().is_none());

    seen.members[0].content = part;
    let record = render(Step::Member(member::Step::Record), &seen, Stamp(0)).unwrap();
    assert_eq!(
        body(&record)["status"],
        json!({"volumeGroupSnapshotHandle": "g", "readyToUse": true})
    );

    let bare = json!({"metadata": {"name": "pv-0"},
        "spec": {"csi": {"driver": "d", "volumeHandle": "vol-0"}}});
    seen.members[0].volume = Some(parse(&bare, Volume::of));
    (seen.members[0].snapshot, seen.members[0].content) = (Seen::Absent, Seen::Absent);
    let made = render(Step::Member(member::Step::MakeSnapshot), &seen, Stamp(0)).unwrap();
    assert_eq!(
        body(&made)["spec"]["source"]["persistentVolumeClaimName"],
        ""
    );
}

/// The class of a group that names none is a patch of what was seen, not a PUT of the whole: what
/// somebody else changed meanwhile stays, and a conflict is followed by another look.
#[test]
fn d28_a_default_class_writes_nothing_else_and_only_what_was_seen() {
    let mut seen = world(&["n2"], &["n2"]);
    let unnamed = json!({"spec": {"volumeGroupSnapshotClassName": null}, "metadata": {"finalizers": ["theirs"]}});
    seen.group = Seen::Present(group(&unnamed));
    let ClassSight::Named(Seen::Present(class)) = class() else {
        unreachable!()
    };
    seen.class = ClassSight::Defaults(Some(vec![class]));
    assert_eq!(decide(&seen.facts()), Verdict::Do(Step::Protect));
    let write = render(Step::Protect, &seen, Stamp(0)).unwrap();
    let body = body(&write);
    assert_eq!(
        body["spec"],
        json!({"volumeGroupSnapshotClassName": "gold"})
    );
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    assert_eq!(body["metadata"]["finalizers"][0], "theirs");
    assert!(body["status"].is_null());
}
