//! Definitions as releases left them, and what becomes of their objects.

use proptest::prelude::*;
use serde_json::{Value, json};
use tintype_api::keys::ANNOTATION_GROUP_INFO_LIST;

use super::*;

/// Versions as `name`, with `*` behind the one to store and `-` behind one that is not served.
fn definition(kind: &str, versions: &[&str], stored: &[&str]) -> Value {
    let versions = versions.iter().map(|it| {
        json!({"name": it.trim_end_matches(['*', '-']), "storage": it.contains('*'), "served": !it.contains('-')})
    });
    json!({"spec": {"names": {"kind": kind}, "versions": versions.collect::<Vec<_>>(), "conversion": {"strategy": "None"}},
        "status": {"storedVersions": stored}})
}

fn moves(from: &[&str], to: &str, members_in: Option<&'static str>) -> Plan {
    Plan::Move(Move {
        from: from.iter().map(ToString::to_string).collect(),
        to: to.to_owned(),
        members_in,
    })
}

#[test]
fn every_release_leaves_something_that_can_be_moved_or_a_reason() {
    let stuck = |why: Stuck| Plan::Stuck(why);
    for (kind, versions, stored, wanted) in [
        // As 6.0 to 8.6 leave clusters that had 2.0.
        (
            "VolumeSnapshot",
            &["v1*", "v1beta1-"][..],
            &["v1beta1", "v1"][..],
            moves(&["v1beta1"], "v1", None),
        ),
        (
            "VolumeSnapshot",
            &["v1*", "v1beta1-"],
            &["v1"],
            Plan::Done("v1".into()),
        ),
        // As 4.0 left them.
        (
            "VolumeSnapshot",
            &["v1", "v1beta1*"],
            &["v1beta1"],
            Plan::Done("v1beta1".into()),
        ),
        // As 8.6 leaves clusters that had 8.2.
        (
            CONTENT,
            &["v1", "v1beta2*", "v1beta1"],
            &["v1beta1", "v1beta2"],
            moves(&["v1beta1"], "v1beta2", Some("v1beta1")),
        ),
        (
            "VolumeGroupSnapshot",
            &["v1", "v1beta2*", "v1beta1"],
            &["v1beta1", "v1beta2"],
            moves(&["v1beta1"], "v1beta2", None),
        ),
        (
            CONTENT,
            &["v1*", "v1beta2"],
            &["v1beta2", "v1"],
            moves(&["v1beta2"], "v1", None),
        ),
        (
            CONTENT,
            &["v1*", "v1beta2", "v1beta1-"],
            &["v1beta1", "v1beta2", "v1"],
            stuck(Stuck::Unread("v1beta1".into())),
        ),
        // Older definitions were applied over newer ones.
        (
            CONTENT,
            &["v1beta1*", "v1beta2"],
            &["v1beta2", "v1beta1"],
            stuck(Stuck::Backwards("v1beta2".into())),
        ),
        (
            "VolumeGroupSnapshot",
            &["v1beta1*", "v1alpha1-"],
            &["v1alpha1", "v1beta1"],
            stuck(Stuck::Foreign("v1alpha1".into())),
        ),
        (
            "VolumeSnapshot",
            &["v2*", "v1"],
            &["v1", "v2"],
            stuck(Stuck::Newer("v2".into())),
        ),
        (
            "VolumeSnapshot",
            &["v1*-", "v1beta1"],
            &["v1beta1", "v1"],
            stuck(Stuck::Unserved("v1".into())),
        ),
        ("VolumeSnapshot", &["v1*"], &[], stuck(Stuck::Unclear)),
        ("VolumeSnapshot", &["v1"], &["v1"], stuck(Stuck::Unclear)),
    ] {
        let definition = definition(kind, versions, stored);
        assert_eq!(plan(&definition, false), wanted, "{definition}");
    }
}

#[test]
fn a_webhook_reads_every_list() {
    for (versions, stored) in [
        (["v1", "v1beta2*", "v1beta1"], ["v1beta1", "v1beta2"]),
        (["v1", "v1beta2*", "v1beta1-"], ["v1beta1", "v1beta2"]),
        (["v1", "v1beta2", "v1beta1*"], ["v1beta2", "v1beta1"]),
    ] {
        let mut definition = definition(CONTENT, &versions, &stored);
        definition["spec"]["conversion"]["strategy"] = "Webhook".into();
        assert_eq!(
            plan(&definition, false),
            moves(&stored[..1], stored[1], None)
        );
    }
}

/// What is not there cannot be lost.
#[test]
fn versions_of_no_object_can_always_go() {
    let old = definition(
        "VolumeGroupSnapshot",
        &["v1beta1*", "v1alpha1-"],
        &["v1alpha1", "v1beta1"],
    );
    assert_eq!(plan(&old, true), moves(&["v1alpha1"], "v1beta1", None));
    let unread = definition(CONTENT, &["v1*", "v1beta1-"], &["v1beta1", "v1"]);
    assert!(matches!(plan(&unread, true), Plan::Move(_)));
    assert_eq!(plan(&json!({}), true), Plan::Stuck(Stuck::Unclear));
}

#[test]
fn what_cannot_be_moved_names_its_version_and_the_cure() {
    let version = || "v0".to_owned();
    for stuck in [
        Stuck::Unserved(version()),
        Stuck::Newer(version()),
        Stuck::Foreign(version()),
        Stuck::Unread(version()),
        Stuck::Backwards(version()),
    ] {
        assert!(stuck.to_string().contains("v0"), "{stuck}");
        assert!(stuck.cure().contains("tintype") || stuck.cure().contains("import"));
    }
    assert!(!Stuck::Unclear.to_string().is_empty() && !Stuck::Unclear.cure().is_empty());
}

fn content(version: &str, number: &str, status: &Value) -> Value {
    json!({"apiVersion": format!("groupsnapshot.storage.k8s.io/{version}"), "kind": CONTENT,
        "metadata": {"name": "g", "resourceVersion": number}, "status": status})
}

#[test]
fn members_of_the_old_form_are_written_along() {
    let pairs = json!([{"volumeHandle": "v", "snapshotHandle": "s"}]);
    let old = content(
        "v1beta1",
        "7",
        &json!({"readyToUse": true, "volumeSnapshotHandlePairList": pairs}),
    );
    let new = content("v1beta2", "7", &json!({"readyToUse": true}));
    let wanted = Rewrite {
        status: true,
        body: json!({"metadata": {"resourceVersion": "7"}, "status": {"volumeSnapshotInfoList": pairs}}),
    };
    assert_eq!(with_members(&new, &old), Some(wanted));
    // What the webhook of 8.4 noted of them comes along.
    let mut noted = old.clone();
    let more = json!([{"volumeHandle": "v", "snapshotHandle": "s", "restoreSize": 5}]);
    noted["metadata"]["annotations"] = json!({ANNOTATION_GROUP_INFO_LIST: more.to_string()});
    let body = with_members(&new, &noted).unwrap().body;
    assert_eq!(body["status"]["volumeSnapshotInfoList"], more);
    // Between the two looks somebody wrote it.
    assert_eq!(
        with_members(&content("v1beta2", "8", &json!({})), &old),
        None
    );
    let plain = Rewrite {
        status: false,
        body: json!({"metadata": {"resourceVersion": "7"}}),
    };
    let bare = content("v1beta1", "7", &json!({"volumeSnapshotHandlePairList": []}));
    for (new, old) in [
        (
            content("v1beta2", "7", &json!({"volumeSnapshotInfoList": more})),
            old,
        ),
        (new.clone(), bare),
        (new.clone(), content("v1beta1", "7", &Value::Null)),
    ] {
        assert_eq!(with_members(&new, &old), Some(plain.clone()), "{old}");
    }
    assert_eq!(unchanged(&new), plain);
}

/// As a server without webhook keeps and shows a content: in the version it was written in, and in any other without
/// the list that the other does not have.
fn shown(kept: &Value, version: &str) -> Value {
    let mut shown = kept.clone();
    shown["apiVersion"] = format!("groupsnapshot.storage.k8s.io/{version}").into();
    let foreign = if version == PAIRS {
        "volumeSnapshotInfoList"
    } else {
        "volumeSnapshotHandlePairList"
    };
    if let Some(status) = shown["status"].as_object_mut() {
        status.remove(foreign);
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is stored in whichever version, moving it keeps all its members, and moving it again changes nothing.
    #[test]
    fn d3_no_member_is_lost_by_moving(
        handles in proptest::collection::vec(("[a-c]{1,2}", "[a-c]{1,2}"), 0..4),
        old in any::<bool>(),
        ready in any::<Option<bool>>(),
    ) {
        let members: Vec<Value> = handles
            .iter()
            .map(|(volume, snapshot)| json!({"volumeHandle": volume, "snapshotHandle": snapshot}))
            .collect();
        let (version, list) = if old {
            (PAIRS, "volumeSnapshotHandlePairList")
        } else {
            ("v1beta2", "volumeSnapshotInfoList")
        };
        let mut status = json!({ list: members });
        if let Some(ready) = ready {
            status["readyToUse"] = ready.into();
        }
        let mut kept = content(version, "7", &status);
        for _ in 0..2 {
            let rewrite = with_members(&shown(&kept, "v1beta2"), &shown(&kept, PAIRS)).unwrap();
            let mut after = shown(&kept, "v1beta2");
            if let Some(list) = rewrite.body["status"].get("volumeSnapshotInfoList") {
                prop_assert!(rewrite.status);
                after["status"]["volumeSnapshotInfoList"] = list.clone();
            }
            kept = after;
            let found = kept["status"]["volumeSnapshotInfoList"].as_array().cloned().unwrap_or_default();
            prop_assert_eq!(&found, &members);
            prop_assert_eq!(kept["status"].get("readyToUse").and_then(Value::as_bool), ready);
        }
    }
}
