//! Looks at what concerns the whole cluster: definitions, programs, classes, leftovers. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use serde_json::Value;
use tintype_api::{keys, names};
use tintype_core::claim::holds_its_source;
use tintype_core::object::{Claim, DataSourceKind, Key};

use super::cluster::{Cluster, Kept};
use super::{Finding, State};

/// Marks a storage class as the default one.
const DEFAULT_STORAGE_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// A lease is renewed every few seconds; one that is older than its duration by so many is dead.
const LENIENCE: i64 = 15;
/// What `kubectl apply` was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All of them.
pub(super) fn all(cluster: &Cluster) -> Vec<Finding> {
    let mut findings = vec![definitions(cluster), namespaces(cluster)];
    findings.extend(rights(cluster));
    findings.extend(emptied(cluster));
    findings.extend(programs(cluster));
    findings.extend(defaults(cluster));
    findings.extend(without_snapshots(cluster));
    findings.extend(leftovers(cluster));
    findings
}

fn definitions(cluster: &Cluster) -> Finding {
    let check = "definitions";
    let group = tintype_api::GROUP;
    if cluster.missing_kinds.is_empty() {
        let versions = cluster.versions.join(", ");
        let says = format!("all kinds are served, in {versions}");
        return Finding::new(State::Ok, check, group, says);
    }
    let missing = cluster.missing_kinds.join(", ");
    let says = format!(
        "{missing} not served in {}; `tintype crds | kubectl apply -f -` installs them",
        tintype_api::VERSION
    );
    Finding::new(State::Wrong, check, group, says)
}

fn namespaces(cluster: &Cluster) -> Finding {
    let (state, says) = match &cluster.kept {
        Kept::Yes => (State::Ok, "the API server keeps it".to_owned()),
        Kept::Dropped => (
            State::Look,
            "the API server drops it silently: a claim that names a snapshot of another namespace gets an EMPTY volume, and no error; use `tintype restore`".to_owned(),
        ),
        Kept::Unknown(why) => (State::Look, format!("could not be found out: {why}")),
    };
    Finding::new(state, "other namespaces", "dataSourceRef.namespace", says)
}

/// What nobody could look at.
fn rights(cluster: &Cluster) -> Vec<Finding> {
    let found = cluster.lacking.iter().map(|it| {
        let says = format!(
            "not looked at, for want of the right to list them: {}; ask for that right, or have an administrator run this",
            it.why
        );
        Finding::new(State::Look, "rights", it.resource.clone(), says)
    });
    found.collect()
}

/// Claims whose `dataSourceRef.namespace` the API server dropped: `kubectl apply` keeps what was
/// asked for.
fn emptied(cluster: &Cluster) -> Vec<Finding> {
    let mut findings = Vec::new();
    for claim in &cluster.claims.items {
        let applied = claim.annotations().get(LAST_APPLIED);
        let applied: Value = applied
            .and_then(|it| serde_json::from_str(it).ok())
            .unwrap_or_default();
        let wanted = &applied["spec"]["dataSourceRef"];
        let text = |field: &str| wanted[field].as_str().unwrap_or_default();
        let (from, name) = (text("namespace"), text("name"));
        let spec = claim.spec.as_ref();
        let source = spec.and_then(|it| it.data_source_ref.as_ref());
        let kept = source.is_some_and(|it| it.namespace.is_some());
        let own = claim.namespace().unwrap_or_default();
        if from.is_empty() || *from == own || kept {
            continue;
        }
        if !cluster.looks_at(claim.metadata.namespace.as_ref()) {
            continue;
        }
        let gets = match source {
            None => "its volume is EMPTY, no copy".to_owned(),
            Some(it) => format!("it is filled from {} of its own namespace, not", it.name),
        };
        let says = format!(
            "it was applied with dataSourceRef.namespace \"{from}\", which the API server dropped silently: {gets} of {} {from}/{name}; delete it, and use `tintype restore {from}/{name} --to {own}/{}`",
            text("kind"),
            claim.name_any(),
        );
        let object = format!("PersistentVolumeClaim {own}/{}", claim.name_any());
        findings.push(Finding::new(State::Wrong, "other namespaces", object, says));
    }
    findings
}

/// Leases of the controller and of each driver's sidecars.
fn programs(cluster: &Cluster) -> Vec<Finding> {
    let check = "programs";
    if !cluster.leases.whole {
        return Vec::new();
    }
    let mut wanted = vec![(
        "snapshot-controller".to_owned(),
        names::CONTROLLER_LEASE.to_owned(),
    )];
    for driver in drivers_with_classes(cluster) {
        wanted.push((
            format!("csi-snapshotter of {driver}"),
            names::snapshotter_lease(driver),
        ));
        wanted.push((
            format!("csi-provisioner of {driver}"),
            names::provisioner_lease(driver),
        ));
    }
    let found = wanted.into_iter().map(|(program, name)| {
        let named = cluster
            .leases
            .items
            .iter()
            .filter(|it| it.name_any() == name);
        let newest = named.max_by_key(|it| renewed(it));
        let (state, says) = match newest {
            None => (
                State::Look,
                format!("has no lease {name}: it does not run, or runs without --leader-election"),
            ),
            Some(lease) => alive(lease, cluster.now),
        };
        Finding::new(state, check, program, says)
    });
    found.collect()
}

fn renewed(lease: &Lease) -> i64 {
    let time = lease.spec.as_ref().and_then(|it| it.renew_time.as_ref());
    time.map_or(0, |it| it.0.as_second())
}

fn alive(lease: &Lease, now: i64) -> (State, String) {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.unwrap_or_default();
    let age = now.saturating_sub(renewed(lease));
    let lasts = i64::from(spec.lease_duration_seconds.unwrap_or(15)) + LENIENCE;
    if holder.is_empty() {
        let says = "nobody holds its lease: it was stopped; start it again";
        (State::Wrong, says.to_owned())
    } else if age > lasts {
        let says = format!("{holder} has not renewed its lease for {age} s: it hangs, or is gone");
        (State::Wrong, says)
    } else {
        (State::Ok, format!("{holder} holds its lease"))
    }
}

fn drivers_with_classes(cluster: &Cluster) -> BTreeSet<&str> {
    cluster.classes.items.iter().map(|it| &*it.driver).collect()
}

/// More than one default: which is taken is nobody's choice.
fn defaults(cluster: &Cluster) -> Vec<Finding> {
    let check = "default classes";
    let mut by_driver: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for class in &cluster.classes.items {
        if is_true(class.annotations(), keys::ANNOTATION_DEFAULT_CLASS) {
            by_driver
                .entry(&class.driver)
                .or_default()
                .push(class.name_any());
        }
    }
    let several = by_driver.iter().filter(|(_, names)| names.len() > 1);
    let mut findings: Vec<Finding> = several
        .map(|(driver, names)| {
            let says = format!(
                "{} are all the default of driver {driver}, so snapshots that name no class are not made; take the annotation {} off all but one",
                names.join(", "),
                keys::ANNOTATION_DEFAULT_CLASS
            );
            Finding::new(State::Wrong, check, "VolumeSnapshotClass", says)
        })
        .collect();
    let storage = cluster.storage_classes.items.iter();
    let storage = storage.filter(|it| is_true(it.annotations(), DEFAULT_STORAGE_CLASS));
    let storage: Vec<String> = storage.map(ResourceExt::name_any).collect();
    if storage.len() > 1 {
        let says = format!(
            "{} are all the default; claims that name no class get the newest: take the annotation {DEFAULT_STORAGE_CLASS} off all but one",
            storage.join(", ")
        );
        findings.push(Finding::new(State::Look, check, "StorageClass", says));
    }
    findings
}

fn is_true(annotations: &BTreeMap<String, String>, key: &str) -> bool {
    annotations.get(key).map(String::as_str) == Some("true")
}

/// Drivers whose volumes nobody can take a snapshot of.
fn without_snapshots(cluster: &Cluster) -> Vec<Finding> {
    if !cluster.classes.whole {
        return Vec::new();
    }
    let with = drivers_with_classes(cluster);
    let drivers = cluster
        .storage_classes
        .items
        .iter()
        .map(|it| &*it.provisioner);
    let without: BTreeSet<&str> = drivers.filter(|it| !with.contains(it)).collect();
    let found = without.into_iter().map(|driver| {
        let says = "has a StorageClass and no VolumeSnapshotClass: its volumes cannot be snapshotted; create one if it can cut snapshots";
        Finding::new(State::Look, "drivers", driver, says)
    });
    found.collect()
}

/// Finalizers that nobody needs any more.
fn leftovers(cluster: &Cluster) -> Vec<Finding> {
    let check = "finalizers";
    let claims: Vec<Claim> = cluster.claims.items.iter().map(Claim::of).collect();
    let mut findings = Vec::new();
    for snapshot in &cluster.snapshots.items {
        let key = Key::namespaced(
            snapshot.namespace().unwrap_or_default(),
            snapshot.name_any(),
        );
        let has = |it: &String| it == keys::FINALIZER_PROVISIONER;
        let used = claims.iter().any(|claim| {
            let source = claim.source.as_ref();
            let named =
                source.is_some_and(|it| it.kind == DataSourceKind::Snapshot && it.key == key);
            named && holds_its_source(claim, "")
        });
        let looked = cluster.looks_at(snapshot.metadata.namespace.as_ref());
        let known = cluster.claims.whole;
        if looked && known && snapshot.finalizers().iter().any(has) && !used {
            let says = format!(
                "has {} and no claim is being filled from it; a csi-provisioner takes it off, so see that one runs",
                keys::FINALIZER_PROVISIONER
            );
            findings.push(Finding::new(
                State::Look,
                check,
                format!("VolumeSnapshot {key}"),
                says,
            ));
        }
    }
    for claim in &claims {
        let key = &claim.meta.key;
        let mark = claim
            .meta
            .finalizers
            .iter()
            .find(|it| it.starts_with(keys::FINALIZER_IN_FLIGHT_PREFIX));
        let looked = cluster.looks_at(Some(&key.namespace.to_string()));
        if let (true, true, Some(mark)) = (looked, claim.meta.deleting, mark) {
            let says = format!(
                "is being deleted, and {mark} keeps it until its csi-provisioner has made sure that no volume is left; see that one runs"
            );
            let object = format!("PersistentVolumeClaim {key}");
            findings.push(Finding::new(State::Look, check, object, says));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
