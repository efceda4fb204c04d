//! Says in one sentence in what state an object of a user is.
//! Pure. Whoever calls prints a line when the sentence changes, and stays silent when there is none.

use serde_json::Value;

use crate::words;

/// Kinds a user makes or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Claim,
    Volume,
    Snapshot,
    Content,
    StorageClass,
    SnapshotClass,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Claim,
        Self::Volume,
        Self::Snapshot,
        Self::Content,
        Self::StorageClass,
        Self::SnapshotClass,
    ];

    /// Group, version, kind and plural, as the API server knows them.
    pub(crate) const fn resource(self) -> [&'static str; 4] {
        const SNAPSHOTS: &str = "snapshot.storage.k8s.io";
        match self {
            Self::Claim => ["", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"],
            Self::Volume => ["", "v1", "PersistentVolume", "persistentvolumes"],
            Self::Snapshot => [SNAPSHOTS, "v1", "VolumeSnapshot", "volumesnapshots"],
            Self::Content => [
                SNAPSHOTS,
                "v1",
                "VolumeSnapshotContent",
                "volumesnapshotcontents",
            ],
            Self::StorageClass => ["storage.k8s.io", "v1", "StorageClass", "storageclasses"],
            Self::SnapshotClass => [
                SNAPSHOTS,
                "v1",
                "VolumeSnapshotClass",
                "volumesnapshotclasses",
            ],
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Content => "snapshot content",
            Self::StorageClass => "storage class",
            Self::SnapshotClass => "snapshot class",
        }
    }
}

/// What follows the object's name, and whether the object has got there where it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    /// In brackets, with the time it took if the goal is reached.
    pub(crate) detail: Vec<String>,
    pub(crate) reached: bool,
}

/// The object's state; none if there is nothing a user would want to know of it.
pub(crate) fn sentence(kind: Kind, object: &Value) -> Option<Sentence> {
    let deleting = !object["metadata"]["deletionTimestamp"].is_null();
    let told = match kind {
        Kind::Claim | Kind::Snapshot if deleting => being_deleted(object),
        Kind::Claim => claim(object),
        Kind::Snapshot => snapshot(object),
        Kind::Volume => return volume(object),
        Kind::Content => return content(object, deleting),
        Kind::StorageClass => class(
            object,
            "provisioner",
            "reclaimPolicy",
            "storageclass.kubernetes.io",
        ),
        Kind::SnapshotClass => class(
            object,
            "driver",
            "deletionPolicy",
            "snapshot.storage.kubernetes.io",
        ),
    };
    Some(told)
}

fn claim(object: &Value) -> Sentence {
    let (spec, status) = (&object["spec"], &object["status"]);
    match text(&status["phase"]) {
        Some("Bound") => {
            let size = text(&status["capacity"]["storage"]);
            reached("is bound", size.map(quantity).into_iter().collect())
        }
        Some("Lost") => waiting(
            "has lost its volume",
            text(&spec["volumeName"]).map(Into::into),
        ),
        _ => {
            let size = text(&spec["resources"]["requests"]["storage"]).map(quantity);
            let size = size.as_deref().unwrap_or("a volume");
            let source = match &spec["dataSource"] {
                Value::Null => &spec["dataSourceRef"],
                source => source,
            };
            let mut from = String::new();
            if let (Some(kind), Some(name)) = (text(&source["kind"]), text(&source["name"])) {
                let kind = match kind {
                    "VolumeSnapshot" => "snapshot",
                    "PersistentVolumeClaim" => "claim",
                    other => other,
                };
                from = format!(" from {kind} {name}");
            }
            let class = text(&spec["storageClassName"]).filter(|class| !class.is_empty());
            waiting(
                format!("asks for {size}{from}"),
                class.map(|class| format!("class {class}")),
            )
        }
    }
}

fn snapshot(object: &Value) -> Sentence {
    let (spec, status) = (&object["spec"], &object["status"]);
    if status["readyToUse"] == true {
        return reached(
            "is ready",
            text(&status["restoreSize"])
                .map(quantity)
                .into_iter()
                .collect(),
        );
    }
    if let Some(message) = text(&status["error"]["message"]) {
        return waiting(format!("is not ready: {}", one_line(message)), None);
    }
    if !status["creationTime"].is_null() {
        return waiting("is cut, and not ready yet", None);
    }
    let source = &spec["source"];
    let of = match (
        text(&source["persistentVolumeClaimName"]),
        text(&source["volumeSnapshotContentName"]),
    ) {
        (Some(claim), _) => format!("of claim {claim} is asked for"),
        (None, Some(content)) => format!("of content {content} is asked for"),
        (None, None) => "is asked for".to_owned(),
    };
    let class = text(&spec["volumeSnapshotClassName"]).map(|class| format!("class {class}"));
    waiting(of, class)
}

/// A volume speaks up when its claim has gone and it has not.
fn volume(object: &Value) -> Option<Sentence> {
    let policy = text(&object["spec"]["persistentVolumeReclaimPolicy"]);
    match text(&object["status"]["phase"])? {
        "Released" if policy == Some("Retain") => Some(waiting(
            "is kept, its claim is gone",
            Some("policy Retain".to_owned()),
        )),
        "Failed" => {
            let why = text(&object["status"]["message"]).map(one_line);
            Some(waiting("could not be reclaimed", why))
        }
        _ => None,
    }
}

/// Contents made for a snapshot follow it silently; those a user made have their own life.
fn content(object: &Value, deleting: bool) -> Option<Sentence> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let handle = text(&spec["source"]["snapshotHandle"])?;
    if deleting {
        return Some(being_deleted(object));
    }
    if let Some(message) = text(&status["error"]["message"]) {
        return Some(waiting(
            format!("is not ready: {}", one_line(message)),
            None,
        ));
    }
    if status["readyToUse"] == true {
        let size = status["restoreSize"].as_u64().filter(|size| *size > 0);
        return Some(reached(
            "is ready",
            size.map(words::size).into_iter().collect(),
        ));
    }
    Some(waiting(
        format!("points at {handle}"),
        text(&spec["driver"]).map(Into::into),
    ))
}

fn class(object: &Value, driver: &str, policy: &str, prefix: &str) -> Sentence {
    let default = &object["metadata"]["annotations"][format!("{prefix}/is-default-class")];
    let detail = [&object[driver], &object[policy]]
        .into_iter()
        .filter_map(text)
        .map(Into::into);
    let text = if default == "true" {
        "is there, the default"
    } else {
        "is there"
    };
    Sentence {
        text: text.to_owned(),
        detail: detail.collect(),
        reached: false,
    }
}

fn being_deleted(object: &Value) -> Sentence {
    /// Those that the sandbox's own parts take off again need no mention.
    const OURS: [&str; 2] = ["kubernetes.io/", "snapshot.storage.kubernetes.io/"];
    let finalizers = object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten();
    let held: Vec<&str> = finalizers
        .filter_map(text)
        .filter(|finalizer| !OURS.iter().any(|ours| finalizer.starts_with(ours)))
        .collect();
    let held = (!held.is_empty()).then(|| format!("held by {}", held.join(", ")));
    waiting("is being deleted", held)
}

fn reached(text: &str, detail: Vec<String>) -> Sentence {
    Sentence {
        text: text.to_owned(),
        detail,
        reached: true,
    }
}

fn waiting(text: impl Into<String>, detail: Option<String>) -> Sentence {
    Sentence {
        text: text.into(),
        detail: detail.into_iter().collect(),
        reached: false,
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

/// Messages come from drivers and may hold anything; a line stays a line.
pub(super) fn one_line(message: &str) -> String {
    message
        .split(char::is_control)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `1Gi` as `1 GiB`; what is not plain bytes or binary units stays as it was written.
fn quantity(text: &str) -> String {
    let (digits, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let shift = match unit {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        _ => return text.to_owned(),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
    {
        Some(bytes) => words::size(bytes),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(kind: Kind, object: &Value) -> String {
        sentence(kind, object).map_or("-".to_owned(), |said| {
            format!(
                "{} {:?}{}",
                said.text,
                said.detail,
                if said.reached { " reached" } else { "" }
            )
        })
    }

    #[test]
    fn a_claim_from_wish_to_end() {
        let mut claim = json!({
            "metadata": {"name": "data"},
            "spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "tintype"}
        });
        assert_eq!(
            said(Kind::Claim, &claim),
            r#"asks for 1 GiB ["class tintype"]"#
        );
        claim["spec"]["dataSource"] = json!({"kind": "VolumeSnapshot", "name": "snap"});
        assert_eq!(
            said(Kind::Claim, &claim),
            r#"asks for 1 GiB from snapshot snap ["class tintype"]"#
        );
        claim["status"] = json!({"phase": "Bound", "capacity": {"storage": "1536Mi"}});
        assert_eq!(said(Kind::Claim, &claim), r#"is bound ["1.5 GiB"] reached"#);
        claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        claim["metadata"]["finalizers"] =
            json!(["kubernetes.io/pvc-protection", "me.example/hold"]);
        assert_eq!(
            said(Kind::Claim, &claim),
            r#"is being deleted ["held by me.example/hold"]"#
        );
    }

    #[test]
    fn a_snapshot_from_wish_to_ready() {
        let mut snapshot = json!({"spec": {"source": {"persistentVolumeClaimName": "data"}}});
        assert_eq!(
            said(Kind::Snapshot, &snapshot),
            "of claim data is asked for []"
        );
        snapshot["status"] = json!({"error": {"message": "no class:\n  make one"}});
        assert_eq!(
            said(Kind::Snapshot, &snapshot),
            "is not ready: no class: make one []"
        );
        snapshot["status"] = json!({"creationTime": "2026-01-01T00:00:00Z", "readyToUse": false});
        assert_eq!(
            said(Kind::Snapshot, &snapshot),
            "is cut, and not ready yet []"
        );
        snapshot["status"] = json!({"readyToUse": true, "restoreSize": "12582912"});
        assert_eq!(
            said(Kind::Snapshot, &snapshot),
            r#"is ready ["12 MiB"] reached"#
        );
    }

    #[test]
    fn only_what_a_user_made_or_must_know_is_told() {
        let dynamic = json!({"spec": {"source": {"volumeHandle": "v"}}});
        assert_eq!(said(Kind::Content, &dynamic), "-");
        let made = json!({"spec": {"driver": "d", "source": {"snapshotHandle": "s1"}}});
        assert_eq!(said(Kind::Content, &made), r#"points at s1 ["d"]"#);
        let volume = |phase: &str| {
            let spec = json!({"persistentVolumeReclaimPolicy": "Retain"});
            said(
                Kind::Volume,
                &json!({"spec": spec, "status": {"phase": phase}}),
            )
        };
        assert_eq!(volume("Bound"), "-");
        assert_eq!(
            volume("Released"),
            r#"is kept, its claim is gone ["policy Retain"]"#
        );
    }

    #[test]
    fn a_default_class_says_so() {
        let mut class = json!({
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "csi.tintype.dev", "reclaimPolicy": "Delete"
        });
        let wanted = r#"is there, the default ["csi.tintype.dev", "Delete"]"#;
        assert_eq!(said(Kind::StorageClass, &class), wanted);
        class["metadata"] = json!({});
        assert_eq!(
            said(Kind::StorageClass, &class),
            r#"is there ["csi.tintype.dev", "Delete"]"#
        );
    }

    #[test]
    fn odd_quantities_stay_as_written() {
        assert_eq!(quantity("1.5Gi"), "1.5Gi");
        assert_eq!(quantity("99999999999Ti"), "99999999999Ti");
        assert_eq!(quantity("-1"), "-1");
        assert_eq!(quantity(""), "");
    }
}
