//! Makes one object what it is in `v1`, and tells what that took. Pure.
//!
//! Old forms are those of upstream's releases and of the pages that still print them: `v1alpha1` and `v1beta1` of
//! snapshots, `v1alpha1` to `v1beta2` of group snapshots. Status is left out where its form differs: it is written by the
//! roles, and `kubectl apply` drops it.

use serde_json::{Map, Value, json};
use tintype_api::{API_VERSION, GROUP, GROUP_API_VERSION, GROUP_OF_GROUPS, conversion, keys};
use tintype_core::validation::{Kind, invalid};

/// What was done, and what is left to do.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) changes: Vec<String>,
    pub(super) needs: Vec<String>,
}

impl Report {
    fn changed(&mut self, what: impl Into<String>) {
        self.changes.push(what.into());
    }
}

/// Changes `object` in place; of a List, each item.
pub(super) fn migrate(object: &mut Value) -> Report {
    let mut report = Report::default();
    if object["kind"]
        .as_str()
        .is_some_and(|it| it.ends_with("List"))
        && object["items"].is_array()
    {
        for (at, item) in object["items"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let of_item = migrate(item);
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            let named = |it: String| format!("items[{at}] {name}: {it}");
            report
                .changes
                .extend(of_item.changes.into_iter().map(named));
            report.needs.extend(of_item.needs.into_iter().map(named));
        }
    }
    let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    let (Some((group, version)), Some(kind)) =
        (api_version.split_once('/'), object["kind"].as_str())
    else {
        return report;
    };
    let kind = kind.trim_end_matches("List").to_owned();
    let is_list = object["items"].is_array();
    let current = match group {
        GROUP => API_VERSION,
        GROUP_OF_GROUPS => GROUP_API_VERSION,
        _ => return report,
    };
    if api_version != current {
        report.changed(format!("apiVersion: {api_version} is now {current}"));
    }
    if !is_list {
        match (kind.as_str(), version) {
            ("VolumeSnapshot", "v1alpha1") => first_snapshot(object, &mut report),
            ("VolumeSnapshotContent", "v1alpha1") => first_content(object, &mut report),
            ("VolumeSnapshotClass", "v1alpha1") => first_class(object, &mut report),
            ("VolumeGroupSnapshot", "v1alpha1") => first_group(object, &mut report),
            ("VolumeGroupSnapshotContent", "v1alpha1") => first_group_content(object, &mut report),
            ("VolumeGroupSnapshotContent", "v1beta1") => last_lists(object, &mut report),
            _ => {}
        }
    }
    object["apiVersion"] = current.into();
    if !is_list {
        reference(object, &mut report);
        needs(&kind, object, &mut report);
    }
    report
}

/// The member list of `v1beta1` under its new name, with what its annotation holds.
fn last_lists(object: &mut Value, report: &mut Report) {
    let before = object["status"].clone();
    if conversion::convert(object, GROUP_API_VERSION).is_ok() && object["status"] != before {
        report.changed("status.volumeSnapshotHandlePairList: is now status.volumeSnapshotInfoList");
    }
}

fn first_snapshot(object: &mut Value, report: &mut Report) {
    no_status(object, report);
    let Some(source) = source_of(object) else {
        return;
    };
    if let Some(name) = source.remove("name") {
        source.remove("kind");
        source.remove("apiGroup");
        source.insert("persistentVolumeClaimName".into(), name);
        report.changed("spec.source.name: is now spec.source.persistentVolumeClaimName");
    }
    rename(
        object,
        "snapshotContentName",
        "source.volumeSnapshotContentName",
        report,
    );
    rename(
        object,
        "snapshotClassName",
        "volumeSnapshotClassName",
        report,
    );
}

fn first_content(object: &mut Value, report: &mut Report) {
    no_status(object, report);
    let Some(spec) = object["spec"].as_object_mut() else {
        return;
    };
    if let Some(Value::Object(csi)) = spec.remove("csiVolumeSnapshotSource") {
        let handle = csi.get("snapshotHandle").cloned().unwrap_or_default();
        spec.insert(
            "driver".into(),
            csi.get("driver").cloned().unwrap_or_default(),
        );
        spec.insert("source".into(), json!({ "snapshotHandle": handle }));
        report.changed(
            "spec.csiVolumeSnapshotSource: is now spec.driver and spec.source.snapshotHandle",
        );
    }
    if spec.remove("persistentVolumeRef").is_some() {
        report.changed("spec.persistentVolumeRef: is no more");
    }
    rename(
        object,
        "snapshotClassName",
        "volumeSnapshotClassName",
        report,
    );
}

fn first_class(object: &mut Value, report: &mut Report) {
    if let Some(driver) = object
        .as_object_mut()
        .and_then(|it| it.remove("snapshotter"))
    {
        object["driver"] = driver;
        report.changed("snapshotter: is now driver");
    }
    if object["deletionPolicy"].is_null() {
        object["deletionPolicy"] = "Delete".into();
        report.changed("deletionPolicy: must be said now; it was Delete unless said");
    }
    let Some(parameters) = object.get_mut("parameters").and_then(Value::as_object_mut) else {
        return;
    };
    for (old, new) in [
        ("csiSnapshotterSecretName", keys::PARAMETER_SECRET_NAME),
        (
            "csiSnapshotterSecretNamespace",
            keys::PARAMETER_SECRET_NAMESPACE,
        ),
    ] {
        if let Some(value) = parameters.remove(old) {
            parameters.entry(new).or_insert(value);
            report.changed(format!("parameters.{old}: is now parameters[{new}]"));
        }
    }
}

fn first_group(object: &mut Value, report: &mut Report) {
    no_status(object, report);
    rename(
        object,
        "snapshotContentName",
        "source.volumeGroupSnapshotContentName",
        report,
    );
    let Some(Value::Object(selector)) = source_of(object).and_then(|it| it.get_mut("selector"))
    else {
        return;
    };
    let known = ["matchLabels", "matchExpressions"];
    let labels: Vec<String> = selector
        .keys()
        .filter(|it| !known.contains(&it.as_str()))
        .cloned()
        .collect();
    for label in labels {
        let Some(value) = selector.remove(&label) else {
            continue;
        };
        let under = selector.entry("matchLabels").or_insert_with(|| json!({}));
        if let Some(under) = under.as_object_mut() {
            report.changed(format!(
                "spec.source.selector.{label}: is now spec.source.selector.matchLabels.{label}"
            ));
            under.insert(label, value);
        }
    }
}

fn first_group_content(object: &mut Value, report: &mut Report) {
    no_status(object, report);
    let Some(source) = source_of(object) else {
        return;
    };
    if let Some(handle) = source.remove("volumeGroupSnapshotHandle") {
        source.insert(
            "groupSnapshotHandles".into(),
            json!({ "volumeGroupSnapshotHandle": handle }),
        );
        report.changed(
            "spec.source.volumeGroupSnapshotHandle: is now \
             spec.source.groupSnapshotHandles.volumeGroupSnapshotHandle",
        );
    }
    if let Some(volumes) = source.remove("persistentVolumeNames") {
        report.changed("spec.source.persistentVolumeNames: is no more");
        report.needs.push(format!(
            "spec.source.volumeHandles: the CSI ids of the volumes {volumes} \
             (kubectl get pv NAME -o jsonpath='{{.spec.csi.volumeHandle}}')"
        ));
    }
}

/// A reference of an older version names the same object.
fn reference(object: &mut Value, report: &mut Report) {
    for (field, group, current) in [
        ("volumeSnapshotRef", GROUP, API_VERSION),
        ("volumeGroupSnapshotRef", GROUP_OF_GROUPS, GROUP_API_VERSION),
    ] {
        let Some(Value::String(version)) = object.pointer_mut(&format!("/spec/{field}/apiVersion"))
        else {
            continue;
        };
        if version.starts_with(&format!("{group}/")) && version != current {
            report.changed(format!(
                "spec.{field}.apiVersion: {version} is now {current}"
            ));
            current.clone_into(version);
        }
    }
}

/// What `v1` asks for and the object does not say.
fn needs(kind: &str, object: &Value, report: &mut Report) {
    let (judged, required): (Kind, &[&str]) = match kind {
        "VolumeSnapshot" => (Kind::Snapshot, &[]),
        "VolumeGroupSnapshot" => (Kind::Group, &[]),
        "VolumeSnapshotContent" => (Kind::Content, &["/spec/driver", "/spec/deletionPolicy"]),
        "VolumeGroupSnapshotContent" => (
            Kind::GroupContent,
            &["/spec/driver", "/spec/deletionPolicy"],
        ),
        "VolumeSnapshotClass" => (Kind::Class, &["/driver", "/deletionPolicy"]),
        "VolumeGroupSnapshotClass" => (Kind::GroupClass, &["/driver", "/deletionPolicy"]),
        _ => return,
    };
    for pointer in required {
        if object.pointer(pointer).is_none_or(Value::is_null) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let cure = if field.ends_with("driver") {
                "the name of the CSI driver"
            } else {
                "Delete or Retain: whether the snapshot on storage goes with the object"
            };
            report.needs.push(format!("{field}: {cure}"));
        }
    }
    // As in the blog that made groups known.
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.bytes().any(|it| it.is_ascii_uppercase()) {
        let small = name.to_ascii_lowercase();
        report.needs.push(format!(
            "metadata.name: {name}: names have no capital letters; write {small}, also where another object names it"
        ));
    }
    let handles = &object["spec"]["source"]["groupSnapshotHandles"];
    if judged == Kind::GroupContent
        && handles.is_object()
        && !handles["volumeSnapshotHandles"].is_array()
    {
        report.needs.push(
            "spec.source.groupSnapshotHandles.volumeSnapshotHandles: the CSI ids of the group's snapshots; \
             the storage knows them"
                .to_owned(),
        );
    }
    // A source that was asked for in words above need not be asked for again.
    let asked = report.needs.iter().any(|it| it.starts_with("spec.source."));
    let found = invalid(judged, object)
        .into_iter()
        .filter(|it| !(asked && it.field == "spec.source"));
    report.needs.extend(found.map(|it| it.to_string()));
}

fn no_status(object: &mut Value, report: &mut Report) {
    if object
        .as_object_mut()
        .and_then(|it| it.remove("status"))
        .is_some()
    {
        report.changed("status: left out; the roles write it");
    }
}

/// `spec.source`, made if there is none.
fn source_of(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let spec = object.get_mut("spec")?.as_object_mut()?;
    spec.entry("source")
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// Moves a field of `spec` to another place below it.
fn rename(object: &mut Value, from: &str, to: &str, report: &mut Report) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(value) = spec.remove(from) else {
        return;
    };
    let (parent, field) = to
        .split_once('.')
        .map_or((None, to), |(it, field)| (Some(it), field));
    let place = match parent {
        Some(parent) => spec
            .entry(parent)
            .or_insert_with(|| json!({}))
            .as_object_mut(),
        None => Some(spec),
    };
    if let Some(place) = place {
        place.insert(field.to_owned(), value);
        report.changed(format!("spec.{from}: is now spec.{to}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_of_snapshots_is_known_too() {
        let mut snapshot = json!({"apiVersion": "snapshot.storage.k8s.io/v1alpha1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s"}, "spec": {"snapshotClassName": "fast",
                "source": {"name": "data", "kind": "PersistentVolumeClaim"}}, "status": {"readyToUse": true}});
        let report = migrate(&mut snapshot);
        assert_eq!(
            snapshot,
            json!({"apiVersion": API_VERSION, "kind": "VolumeSnapshot", "metadata": {"name": "s"},
            "spec": {"volumeSnapshotClassName": "fast", "source": {"persistentVolumeClaimName": "data"}}})
        );
        assert_eq!((report.changes.len(), report.needs.len()), (4, 0));
        let mut class = json!({"apiVersion": "snapshot.storage.k8s.io/v1alpha1", "kind": "VolumeSnapshotClass",
            "metadata": {"name": "fast"}, "snapshotter": "d",
            "parameters": {"csiSnapshotterSecretName": "s", "csiSnapshotterSecretNamespace": "n", "tier": "1"}});
        assert_eq!(migrate(&mut class).needs, [""; 0]);
        assert_eq!(
            class["parameters"],
            json!({"csi.storage.k8s.io/snapshotter-secret-name": "s",
                "csi.storage.k8s.io/snapshotter-secret-namespace": "n", "tier": "1"})
        );
        assert_eq!(
            (&class["driver"], &class["deletionPolicy"]),
            (&json!("d"), &json!("Delete"))
        );
        let mut content = json!({"apiVersion": "snapshot.storage.k8s.io/v1alpha1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": "c"}, "spec": {"csiVolumeSnapshotSource": {"driver": "d", "snapshotHandle": "h"},
                "volumeSnapshotRef": {"apiVersion": "snapshot.storage.k8s.io/v1alpha1", "name": "s", "namespace": "n"}}});
        let needs = migrate(&mut content).needs;
        assert_eq!(
            needs,
            [
                "spec.deletionPolicy: Delete or Retain: whether the snapshot on storage goes with the object"
            ]
        );
        assert_eq!(content["spec"]["source"], json!({"snapshotHandle": "h"}));
        assert_eq!(
            content["spec"]["volumeSnapshotRef"]["apiVersion"],
            API_VERSION
        );
    }

    #[test]
    fn members_of_a_group_keep_what_is_known_of_them() {
        let infos = "[{\"readyToUse\":true,\"snapshotHandle\":\"s\",\"volumeHandle\":\"v\"}]";
        let mut group = json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1beta1", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "g", "annotations": {keys::ANNOTATION_GROUP_INFO_LIST: infos}},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "source": {"volumeHandles": ["v"]},
                "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}},
            "status": {"volumeSnapshotHandlePairList": [{"volumeHandle": "v", "snapshotHandle": "s"}]}});
        let report = migrate(&mut group);
        assert_eq!(report.needs, [""; 0]);
        assert_eq!(
            group["status"]["volumeSnapshotInfoList"][0]["readyToUse"],
            true
        );
        assert_eq!(report.changes.len(), 2, "{:?}", report.changes);
    }

    #[test]
    fn volumes_that_were_named_by_their_objects_are_asked_for_by_their_handles() {
        let mut group = json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1alpha1", "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "g"}, "spec": {"source": {"persistentVolumeNames": ["pv-a"]},
                "volumeGroupSnapshotRef": {"name": "g", "namespace": "n"}}});
        let needs = migrate(&mut group).needs;
        assert_eq!(needs.len(), 3, "{needs:?}");
        assert!(needs[0].contains("the volumes [\"pv-a\"]"), "{needs:?}");
    }

    #[test]
    fn each_item_of_a_list_is_converted() {
        let item = json!({"apiVersion": "snapshot.storage.k8s.io/v1beta1", "kind": "VolumeSnapshot",
            "metadata": {"name": "s"}, "spec": {"source": {}}});
        for (api_version, kind) in [
            ("v1", "List"),
            ("snapshot.storage.k8s.io/v1beta1", "VolumeSnapshotList"),
        ] {
            let mut list = json!({"apiVersion": api_version, "kind": kind, "items": [item]});
            let report = migrate(&mut list);
            assert_eq!(list["items"][0]["apiVersion"], API_VERSION);
            assert!(
                report.needs[0].starts_with("items[0] s: spec.source: {}: set one of"),
                "{report:?}"
            );
        }
    }

    #[test]
    fn a_name_that_was_never_valid_is_told() {
        let mut class = json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1alpha1", "kind": "VolumeGroupSnapshotClass",
            "metadata": {"name": "csi-groupSnapclass"}, "driver": "d", "deletionPolicy": "Delete"});
        let needs = migrate(&mut class).needs;
        assert!(needs[0].contains("write csi-groupsnapclass"), "{needs:?}");
    }

    #[test]
    fn whatever_is_not_ours_is_left_alone() {
        for object in [
            json!({"apiVersion": "v1", "kind": "Pod"}),
            json!({}),
            json!({"apiVersion": 7, "kind": []}),
        ] {
            let mut same = object.clone();
            assert!(migrate(&mut same).changes.is_empty());
            assert_eq!(same, object);
        }
    }
}
