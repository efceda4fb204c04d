//! Judges versions: in which objects may be stored, and which are served. Pure.

use serde_json::Value;
use tintype_core::stored::{Plan, Stuck, plan};

use super::{Finding, Seen, Weight};

/// How objects get out of versions that are stored no more.
const MIGRATE: &str = "tintype crds --migrate-stored";

/// One definition as it is, and as it would be.
struct Change<'a> {
    name: &'a str,
    now: &'a Value,
    then: &'a Value,
    /// Surely without objects.
    empty: bool,
}

pub(super) fn versions(
    name: &str,
    seen: &Seen,
    now: &Value,
    then: &Value,
    found: &mut Vec<Finding>,
) {
    let empty = matches!(seen.objects.get(name), Some(Ok(objects)) if objects.is_empty());
    let change = Change {
        name,
        now,
        then,
        empty,
    };
    let mut tell = |weight, (why, cure): Told| {
        found.push(Finding {
            weight,
            what: name.to_owned(),
            why,
            cure,
        });
    };
    let stored = now["status"]["storedVersions"].as_array();
    for version in stored.into_iter().flatten().filter_map(Value::as_str) {
        if let Some((weight, told)) = change.of_stored(version) {
            tell(weight, told);
        }
    }
    let served = |it: &Value| it["served"] == true;
    let served_then = names(then, served);
    let gone = names(now, served).into_iter();
    for version in gone.filter(|it| !served_then.contains(it)) {
        tell(Weight::Breaks, unserved(version));
    }
}

/// Why it matters, and what to do.
type Told = (String, String);

impl Change<'_> {
    /// What is to be told of a version in which objects may be stored.
    fn of_stored(&self, version: &str) -> Option<(Weight, Told)> {
        let to_store = |it: &Value| it["storage"] == true;
        let is_now = names(self.now, to_store).contains(&version);
        if !names(self.then, |_| true).contains(&version) {
            let why = format!(
                "objects may be stored as {version}, which the new definition does not have; it is refused"
            );
            let cure = match (is_now, self.empty) {
                (true, true) => format!(
                    "it has no objects: kubectl delete crd {}, then apply",
                    self.name
                ),
                (true, false) => Stuck::Foreign(version.to_owned()).cure().to_owned(),
                (false, _) => self.cure("before applying"),
            };
            return Some((Weight::Breaks, (why, cure)));
        }
        let drops = self.then["spec"]["conversion"].is_null();
        if self.loses_members(version) && drops && !self.empty {
            let why = format!(
                "group snapshots stored as {version} lose their lists of members when read as another version"
            );
            let cure = if is_now {
                format!(
                    "apply with --conversion webhook and the webhook running; or stop controllers and sidecars, \
                     apply, {MIGRATE}, and start them again"
                )
            } else {
                self.cure("before applying")
            };
            return Some((Weight::Breaks, (why, cure)));
        }
        let stays = names(self.then, to_store).contains(&version);
        let when = if is_now {
            "after applying"
        } else {
            "at leisure"
        };
        let why = format!("objects may still be stored as {version}");
        (!stays).then(|| (Weight::Note, (why, self.cure(when))))
    }

    /// How what is stored in older versions is moved out of them.
    fn cure(&self, when: &str) -> String {
        match plan(self.now, self.empty) {
            Plan::Move(_) | Plan::Done(_) => format!("{when}, {MIGRATE}"),
            Plan::Stuck(why) => format!("{why}; {}", why.cure()),
        }
    }

    /// In this version the members of a group have another form than in all others.
    fn loses_members(&self, version: &str) -> bool {
        self.name.starts_with("volumegroupsnapshotcontents.") && version == "v1beta1"
    }
}

fn unserved(version: &str) -> Told {
    let why = format!(
        "{version} is served now and would not be: who asks for it is told that there is no such kind"
    );
    let cure = if ["v1beta1", "v1alpha1"].contains(&version) {
        "apply with --serve-legacy, or move manifests with tintype convert and clients to v1 first"
    } else {
        "move clients to v1 first"
    };
    (why, cure.to_owned())
}

/// The versions of a definition that are `kept`.
pub(super) fn names(definition: &Value, kept: impl Fn(&Value) -> bool) -> Vec<&str> {
    let versions = definition["spec"]["versions"].as_array();
    let kept = versions.into_iter().flatten().filter(|it| kept(it));
    kept.filter_map(|it| it["name"].as_str()).collect()
}
