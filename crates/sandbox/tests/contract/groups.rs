//! Group snapshots for administrators who import them, for users who delete what they should not,
//! and for the bill: what each costs in requests.

use std::time::Instant;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tintype_api::{
    VolumeGroupSnapshot, VolumeGroupSnapshotClass, VolumeGroupSnapshotContent, VolumeSnapshot,
    VolumeSnapshotContent, keys, names,
};
use tintype_csi::v1;

use crate::rig::{PATIENCE, Rig, controller, work};
use crate::secrets::{may_read_secrets, secret};

pub(crate) const CREATE: &str = "CreateVolumeGroupSnapshot";

/// Claims `data-0`, … of tier `db`, and the class `groups`.
pub(crate) async fn with_claims(count: usize, parameters: &Value) -> Rig {
    let rig = Rig::start_with(|it| it.allow_non_atomic_groups = true).await;
    class(&rig, parameters).await;
    for at in 0..count {
        let name = format!("data-{at}");
        rig.world.bound_claim(&name, &json!({})).await;
        label(&rig, &name, "tier", "db").await;
    }
    rig
}

/// The class `groups`.
pub(crate) async fn class(rig: &Rig, parameters: &Value) {
    let class =
        json!({"driver": "csi.tintype.dev", "deletionPolicy": "Delete", "parameters": parameters});
    rig.world
        .create_clusterwide::<VolumeGroupSnapshotClass>("groups", class)
        .await;
}

pub(crate) async fn label(rig: &Rig, claim: &str, key: &str, value: &str) {
    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let label = Patch::Merge(json!({"metadata": {"labels": {key: value}}}));
    let patched = claims.patch(claim, &PatchParams::default(), &label).await;
    patched.unwrap();
}

/// A group of the claims of tier `db`.
pub(crate) async fn ask(rig: &Rig, name: &str) {
    ask_for(rig, name, &json!({"tier": "db"})).await;
}

/// A group of the claims with these labels.
pub(crate) async fn ask_for(rig: &Rig, name: &str, labels: &Value) {
    let selector = json!({ "matchLabels": labels });
    let spec = json!({"volumeGroupSnapshotClassName": "groups", "source": {"selector": selector}});
    rig.world
        .create::<VolumeGroupSnapshot>(name, json!({ "spec": spec }))
        .await;
}

pub(crate) async fn ready(rig: &Rig, name: &str) -> VolumeGroupSnapshot {
    let is_ready = |it: Option<&VolumeGroupSnapshot>| {
        let status = it.and_then(|it| it.status.as_ref());
        status.and_then(|it| it.ready_to_use) == Some(true)
    };
    rig.world
        .until(rig.world.namespaced(), name, is_ready)
        .await
}

pub(crate) async fn complains(rig: &Rig, name: &str, words: &'static str) {
    let says = move |it: Option<&VolumeGroupSnapshot>| {
        let error = it.and_then(|it| it.status.as_ref()?.error.as_ref());
        error.is_some_and(|it| it.message.as_ref().is_some_and(|it| it.contains(words)))
    };
    rig.world.until(rig.world.namespaced(), name, says).await;
}

pub(crate) async fn members(rig: &Rig, group: &VolumeGroupSnapshot) -> Vec<VolumeSnapshot> {
    let of_group = |it: &VolumeSnapshot| {
        let owners = it.metadata.owner_references.as_deref().unwrap_or_default();
        owners
            .iter()
            .any(|it| Some(&it.uid) == group.metadata.uid.as_ref())
    };
    let all = rig.world.namespaced::<VolumeSnapshot>();
    let all = all.list(&ListParams::default()).await.unwrap().items;
    let mut members = Vec::new();
    for member in all.into_iter().filter(of_group) {
        members.push(rig.ready(member.metadata.name.as_deref().unwrap()).await);
    }
    members
}

pub(crate) async fn delete(rig: &Rig, name: &str) {
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    rig.world.delete(groups, name).await;
}

pub(crate) async fn nothing_is_left(rig: &Rig) {
    let contents = rig.world.clusterwide::<VolumeGroupSnapshotContent>();
    let all = ListParams::default();
    for content in contents.list(&all).await.unwrap() {
        rig.world.gone(contents.clone(), &content).await;
    }
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    for snapshot in snapshots.list(&all).await.unwrap() {
        rig.world.gone(snapshots.clone(), &snapshot).await;
    }
    let contents = rig.world.clusterwide::<VolumeSnapshotContent>();
    for content in contents.list(&all).await.unwrap() {
        rig.world.gone(contents.clone(), &content).await;
    }
    rig.nothing_is_left().await;
}

/// No claim has the finalizer any more.
pub(crate) async fn claims_are_free(rig: &Rig) {
    let claims = rig.world.namespaced::<PersistentVolumeClaim>();
    let free = |it: Option<&PersistentVolumeClaim>| {
        let held = it.and_then(|it| it.metadata.finalizers.as_ref());
        !held.is_some_and(|all| all.iter().any(|it| it == keys::FINALIZER_CLAIM_AS_SOURCE))
    };
    for claim in claims.list(&ListParams::default()).await.unwrap() {
        let name = claim.metadata.name.unwrap();
        rig.world.until(claims.clone(), &name, free).await;
    }
}

/// The budget of issue and spec group 4.13: upstream needs 86 requests for a group of five.
#[tokio::test]
async fn a_group_of_five_costs_fifty_requests_at_most_and_its_deletion_twenty_nine() {
    let rig = with_claims(5, &json!({})).await;
    rig.log.lock().unwrap().clear();
    ask(&rig, "nightly").await;
    let group = ready(&rig, "nightly").await;
    let members = members(&rig, &group).await;
    assert_eq!(members.len(), 5);
    for member in &members {
        let size = &member.status.as_ref().unwrap().restore_size;
        assert!(size.is_some(), "{member:?}");
    }
    claims_are_free(&rig).await;
    let told = rig
        .told("default", "nightly", &["GroupSnapshotReady"])
        .await;
    for member in &members {
        let name = member.metadata.name.as_deref().unwrap();
        rig.told("default", name, &["SnapshotReady"]).await;
    }
    let made = without_conflicts(&rig);
    println!("a group of five: {made:?}");
    let reads: usize = made
        .iter()
        .filter(|(what, _)| what.starts_with("GET"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(reads, 0, "{made:?}");
    // On a machine so busy that a second passes, names alone and what is said of them are more.
    let late = told.contains(&"CreatingGroupSnapshot".to_owned());
    let most = if late { 64 } else { 50 };
    assert!(made.values().sum::<usize>() <= most, "{made:?}");
    rig.log.lock().unwrap().clear();
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    let deleted = without_conflicts(&rig);
    println!("its deletion: {deleted:?}");
    assert!(deleted.values().sum::<usize>() <= 29, "{deleted:?}");
    rig.stop().await;
}

/// A write that met another one is repeated; how often that happens is chance.
fn without_conflicts(rig: &Rig) -> std::collections::BTreeMap<String, usize> {
    let mut work = work(&rig.log);
    work.retain(|what, _| !what.ends_with(" 409"));
    work
}

/// Set by `cargo xtask groups`.
const GROUPS: &str = "TINTYPE_TEST_GROUPS";
const MEMBERS: &str = "TINTYPE_TEST_MEMBERS";

fn number(name: &str, default: usize) -> usize {
    let given = std::env::var_os(name);
    given.map_or(default, |given| given.to_str().unwrap().parse().unwrap())
}

/// Waits until the list of groups is as it should be; longer the more there are.
async fn until_groups(rig: &Rig, count: u32, holds: impl Fn(&[VolumeGroupSnapshot]) -> bool) {
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let waiting = async {
        while !holds(&groups.list(&ListParams::default()).await.unwrap().items) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let patience = PATIENCE * (2 + count / 5);
    tokio::time::timeout(patience, waiting).await.unwrap();
}

/// Enough to be in each other's way: all are cut from the same claims. With `cargo xtask groups` a
/// hundred.
#[tokio::test(flavor = "multi_thread")]
async fn many_groups_of_twenty_leave_nothing() {
    let (count, members) = (number(GROUPS, 10), number(MEMBERS, 20));
    let rig = with_claims(members, &json!({})).await;
    rig.log.lock().unwrap().clear();
    let names: Vec<String> = (0..count).map(|at| format!("group-{at:04}")).collect();
    let began = Instant::now();
    stream::iter(&names)
        .for_each_concurrent(16, |name| ask(&rig, name))
        .await;
    let many = u32::try_from(count).unwrap();
    let is_ready = |it: &VolumeGroupSnapshot| {
        let status = it.status.as_ref();
        status.and_then(|it| it.ready_to_use) == Some(true)
    };
    until_groups(&rig, many, |all| all.iter().all(is_ready)).await;
    tell("ready", began, &rig, count * members);
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let made = snapshots.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(made.len(), count * members);
    assert_eq!(rig.world.stored().await.1.len(), count * members);

    rig.log.lock().unwrap().clear();
    let groups = rig.world.namespaced::<VolumeGroupSnapshot>();
    let began = Instant::now();
    for name in &names {
        groups.delete(name, &DeleteParams::default()).await.unwrap();
    }
    until_groups(&rig, many, <[_]>::is_empty).await;
    nothing_is_left(&rig).await;
    claims_are_free(&rig).await;
    tell("gone", began, &rig, count * members);
    rig.stop().await;
}

/// What it took, for who runs it alone.
fn tell(what: &str, began: Instant, rig: &Rig, members: usize) {
    let asked = rig.log.lock().unwrap().len();
    println!(
        "{members} members {what} in {:.1} s, {asked} requests",
        began.elapsed().as_secs_f64()
    );
}

#[tokio::test]
async fn d14_a_member_goes_with_its_group_and_not_before() {
    let rig = with_claims(2, &json!({})).await;
    ask(&rig, "nightly").await;
    let group = ready(&rig, "nightly").await;
    let member = members(&rig, &group).await.remove(0);
    let name = member.metadata.name.clone().unwrap();
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let now = DeleteParams::default();
    snapshots.delete(&name, &now).await.unwrap();
    let refused = rig.complains(&name, "default/nightly").await;
    assert!(refused.metadata.deletion_timestamp.is_some());
    rig.told("default", &name, &["SnapshotDeletePending"]).await;
    assert_eq!(rig.world.stored().await.1.len(), 2);
    delete(&rig, "nightly").await;
    rig.world.gone(snapshots, &member).await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}

/// With groups switched off the controller does not know whether a member's group is there.
#[tokio::test]
async fn d2_members_do_no_harm_to_a_controller_without_groups() {
    let mut rig = with_claims(2, &json!({})).await;
    ask(&rig, "nightly").await;
    let group = ready(&rig, "nightly").await;
    let member = members(&rig, &group).await.remove(0);
    let name = member.metadata.name.clone().unwrap();
    let off = ["--feature-gates=CSIVolumeGroupSnapshot=false"];
    let without = controller(rig.client("snapshot-controller"), &off);
    std::mem::replace(&mut rig.controller, without).stop().await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    let now = DeleteParams::default();
    snapshots.delete(&name, &now).await.unwrap();
    rig.complains(&name, "default/nightly").await;
    // Singles are made and deleted as ever.
    rig.cut("monday", "data-0").await;
    rig.ready("monday").await;
    rig.delete("monday").await;
    let groups = controller(rig.client("snapshot-controller"), &[]);
    std::mem::replace(&mut rig.controller, groups).stop().await;
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}

/// Spec group 4.10: what an administrator writes to have a group snapshot that is there already.
async fn import(rig: &Rig, group: &str, handles: &[String], policy: &str) {
    for (at, handle) in handles.iter().enumerate() {
        let name = format!("imported-{at}");
        let reference = json!({"namespace": "default", "name": name});
        let content = json!({"spec": {
            "deletionPolicy": policy, "driver": "csi.tintype.dev",
            "source": {"snapshotHandle": handle}, "volumeSnapshotRef": reference,
        }});
        rig.world
            .create_clusterwide::<VolumeSnapshotContent>(&name, content)
            .await;
    }
    let content = json!({"spec": {
        "deletionPolicy": policy, "driver": "csi.tintype.dev",
        "source": {"groupSnapshotHandles": {
            "volumeGroupSnapshotHandle": group, "volumeSnapshotHandles": handles,
        }},
        "volumeGroupSnapshotRef": {"namespace": "default", "name": "weekly"},
    }});
    // A name that a single content has too: they must not be taken for each other.
    rig.world
        .create_clusterwide::<VolumeGroupSnapshotContent>("imported-0", content)
        .await;
    let source = json!({"volumeGroupSnapshotContentName": "imported-0"});
    rig.world
        .create::<VolumeGroupSnapshot>("weekly", json!({"spec": {"source": source}}))
        .await;
    for at in 0..handles.len() {
        let name = format!("imported-{at}");
        let source = json!({ "volumeSnapshotContentName": name });
        rig.world
            .create::<VolumeSnapshot>(&name, json!({"spec": {"source": source}}))
            .await;
    }
}

#[tokio::test]
async fn d11_d13_a_group_is_imported_whatever_its_content_is_called() {
    let mut rig = with_claims(2, &json!({})).await;
    ask(&rig, "nightly").await;
    let group = ready(&rig, "nightly").await;
    members(&rig, &group).await;
    let contents = rig.world.clusterwide::<VolumeGroupSnapshotContent>();
    let name = names::group_content_name(group.metadata.uid.as_deref().unwrap());
    let retain = Patch::Merge(json!({"spec": {"deletionPolicy": "Retain"}}));
    let made = contents
        .patch(&name, &PatchParams::default(), &retain)
        .await;
    let singles = rig.world.clusterwide::<VolumeSnapshotContent>();
    for single in singles.list(&ListParams::default()).await.unwrap() {
        let name = single.metadata.name.unwrap();
        let kept = singles.patch(&name, &PatchParams::default(), &retain).await;
        kept.unwrap();
    }
    let status = made.unwrap().status.unwrap();
    let on_storage = status.volume_group_snapshot_handle.unwrap();
    let listed = status.volume_snapshot_info_list.unwrap();
    let handles: Vec<String> = listed
        .into_iter()
        .filter_map(|it| it.snapshot_handle)
        .collect();
    assert_eq!(handles.len(), 2);
    delete(&rig, "nightly").await;
    let left = contents.get(&name).await.unwrap();
    let now = DeleteParams::default();
    contents.delete(&name, &now).await.unwrap();
    rig.world.gone(contents.clone(), &left).await;
    let snapshots = rig.world.namespaced::<VolumeSnapshot>();
    for left in snapshots.list(&ListParams::default()).await.unwrap() {
        rig.world.gone(snapshots.clone(), &left).await;
    }
    for left in singles.list(&ListParams::default()).await.unwrap() {
        let name = left.metadata.name.clone().unwrap();
        singles
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
        rig.world.gone(singles.clone(), &left).await;
    }
    assert_eq!(rig.world.stored().await.1.len(), 2, "data that is to stay");

    import(&rig, &on_storage, &handles, "Delete").await;
    let group = ready(&rig, "weekly").await;
    for at in 0..2 {
        let joined = |it: Option<&VolumeSnapshot>| {
            let owners = it.and_then(|it| it.metadata.owner_references.as_ref());
            owners.is_some_and(|all| all.iter().any(|it| it.name == "weekly"))
        };
        let name = format!("imported-{at}");
        let member = rig.world.until(rig.world.namespaced(), &name, joined).await;
        let status = member.status.unwrap();
        assert_eq!(status.ready_to_use, Some(true));
        assert_eq!(status.volume_group_snapshot_name.as_deref(), Some("weekly"));
    }
    assert_eq!(members(&rig, &group).await.len(), 2);
    // A controller that starts fills its caches with groups as groups (D11).
    let again = controller(rig.client("snapshot-controller"), &[]);
    std::mem::replace(&mut rig.controller, again).stop().await;
    delete(&rig, "weekly").await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}

/// Members are made from secrets that only the group can name.
#[tokio::test]
async fn d4_secrets_named_after_the_group_reach_all_its_members() {
    let rig = with_claims(
        2,
        &json!({
            "csi.storage.k8s.io/group-snapshotter-secret-name": "key-${volumegroupsnapshot.name}",
            "csi.storage.k8s.io/group-snapshotter-secret-namespace": "${volumegroupsnapshot.namespace}",
        }),
    )
    .await;
    may_read_secrets(&rig).await;
    ask(&rig, "nightly").await;
    complains(&rig, "nightly", "Secret default/key-nightly does not exist").await;
    secret(&rig, "key-nightly").await;
    let group = ready(&rig, "nightly").await;
    assert_eq!(members(&rig, &group).await.len(), 2);
    let calls = rig
        .proxy
        .calls::<v1::CreateVolumeGroupSnapshotRequest>(CREATE);
    let password = calls.last().unwrap().secrets.get("password").cloned();
    assert_eq!(password.as_deref(), Some("hunter2"));
    let singles = rig.world.clusterwide::<VolumeSnapshotContent>();
    for single in singles.list(&ListParams::default()).await.unwrap() {
        let all = single.metadata.annotations.unwrap();
        assert_eq!(all[keys::ANNOTATION_DELETION_SECRET_NAME], "key-nightly");
        assert_eq!(all[keys::ANNOTATION_DELETION_SECRET_NAMESPACE], "default");
    }
    delete(&rig, "nightly").await;
    nothing_is_left(&rig).await;
    rig.stop().await;
}
