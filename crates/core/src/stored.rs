//! Decides how objects get into the version that their definition stores now, so that older versions can go.
//!
//! A server writes in the storage version and leaves what it has not written as it was; `status.storedVersions` keeps
//! every version that something may still be in, and a definition without one of these is refused. Writing each object
//! once, unchanged, moves it. Group contents are the exception: without a webhook a server drops their list of members
//! when it reads `v1beta1` as another version (D3), so that list is read in its own version and written along.
//!
//! **Guarantees.** Nothing is written where a field could be lost by it: then the plan says why, and what helps. Every
//! write is for the version that was read.
//!
//! Documents are plain JSON, as servers have them. Does not know how they are read and written.

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Value, json};
use tintype_api::GROUP_VERSIONS;
use tintype_api::conversion::convert;

/// The kind whose versions differ in shape.
const CONTENT: &str = "VolumeGroupSnapshotContent";
/// The version in which it names its members otherwise.
const PAIRS: &str = "v1beta1";
const PAIR_LIST: &str = "/status/volumeSnapshotHandlePairList";
const INFO_LIST: &str = "/status/volumeSnapshotInfoList";

/// What there is to do about the objects of one definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// All are stored in this version already.
    Done(String),
    /// Each is written once.
    Move(Move),
    /// As the definition is, it cannot be done without loss.
    Stuck(Stuck),
}

/// How objects are moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The versions in which something may still be stored.
    pub from: Vec<String>,
    /// The version that is stored now.
    pub to: String,
    /// The version in which lists of members are read first: without a webhook `to` does not show them.
    pub members_in: Option<&'static str>,
}

/// Why objects cannot be moved; each names a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stuck {
    /// The definition does not say what it stores, or what is stored.
    Unclear,
    /// The version that is stored now is not served.
    Unserved(String),
    /// The version that is stored now is not known here.
    Newer(String),
    /// What is stored in this version has no form in any later one.
    Foreign(String),
    /// Group contents are in this version, which is neither served nor converted.
    Unread(String),
    /// Group contents of this version would go back to `v1beta1`, which has no room for what is known of members.
    Backwards(String),
}

impl Stuck {
    /// What to do about it.
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Unclear => {
                "look at it with kubectl get crd -o yaml, and apply the definitions of tintype crds"
            }
            Self::Unserved(_) => "apply definitions that serve it, such as those of tintype crds",
            Self::Newer(_) => "use the tintype that comes with that version",
            Self::Foreign(_) => {
                "there is no way to move them: set deletionPolicy Retain on the contents whose data is to stay on \
                 storage and note their handles, delete the objects and then the definition, apply the new one, and \
                 import what stayed by its handles"
            }
            Self::Unread(_) => {
                "apply definitions that serve it, such as those of tintype crds; or run the webhook and apply those of \
                 tintype crds --conversion webhook"
            }
            Self::Backwards(_) => {
                "apply definitions that store a later version, such as those of tintype crds; or run the webhook and \
                 apply those of tintype crds --conversion webhook"
            }
        }
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclear => {
                f.write_str("the definition does not say in which versions objects are stored")
            }
            Self::Unserved(version) => write!(
                f,
                "{version} is the version to store, but it is not served: nothing can be written in it"
            ),
            Self::Newer(version) => {
                write!(f, "{version} is the version to store, and not known here")
            }
            Self::Foreign(version) => write!(
                f,
                "objects may be stored as {version}, which has no form in any later version"
            ),
            Self::Unread(version) => write!(
                f,
                "lists of members stored as {version} cannot be read: it is not served, and no webhook converts it"
            ),
            Self::Backwards(version) => write!(
                f,
                "group contents stored as {version} would lose what is known of their members: {PAIRS} is the version \
                 to store, and no webhook converts it"
            ),
        }
    }
}

/// What to do about the objects of a definition, as a server has it with its status; `empty` if it has no objects, so
/// that nothing can be lost.
pub fn plan(definition: &Value, empty: bool) -> Plan {
    let of = |kept: fn(&Value) -> bool| -> Vec<&str> {
        let all = definition["spec"]["versions"].as_array();
        let kept = all.into_iter().flatten().filter(|it| kept(it));
        kept.filter_map(|it| it["name"].as_str()).collect()
    };
    let served = of(|it| it["served"] == true);
    let stored = definition["status"]["storedVersions"].as_array();
    let stored: Vec<&str> = stored
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let &[to] = of(|it| it["storage"] == true).as_slice() else {
        return Plan::Stuck(Stuck::Unclear);
    };
    if stored.is_empty() {
        return Plan::Stuck(Stuck::Unclear);
    }
    let from: Vec<&str> = stored.into_iter().filter(|it| *it != to).collect();
    let Some(first) = from.first() else {
        return Plan::Done(to.to_owned());
    };
    let reshaped = definition["spec"]["names"]["kind"] == CONTENT
        && definition["spec"]["conversion"]["strategy"] != "Webhook";
    let foreign = from.iter().find(|it| !GROUP_VERSIONS.contains(it));
    let stuck = match foreign {
        _ if empty => None,
        _ if !served.contains(&to) => Some(Stuck::Unserved(to.to_owned())),
        _ if !GROUP_VERSIONS.contains(&to) => Some(Stuck::Newer(to.to_owned())),
        Some(foreign) => Some(Stuck::Foreign((*foreign).to_owned())),
        None if reshaped && to == PAIRS => Some(Stuck::Backwards((*first).to_owned())),
        None if reshaped && from.contains(&PAIRS) && !served.contains(&PAIRS) => {
            Some(Stuck::Unread(PAIRS.to_owned()))
        }
        None => None,
    };
    if let Some(stuck) = stuck {
        return Plan::Stuck(stuck);
    }
    Plan::Move(Move {
        members_in: (reshaped && from.contains(&PAIRS)).then_some(PAIRS),
        from: from.into_iter().map(str::to_owned).collect(),
        to: to.to_owned(),
    })
}

/// One write: a merge patch that names the version it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// It goes to the status.
    pub status: bool,
    /// The patch.
    pub body: Value,
}

/// The write that moves an object and changes nothing.
pub fn unchanged(object: &Value) -> Rewrite {
    Rewrite {
        status: false,
        body: json!({"metadata": {"resourceVersion": object["metadata"]["resourceVersion"]}}),
    }
}

/// The write that moves a group content with its members, of which `old` is how `v1beta1` shows it and `new` how the
/// version does that it moves to. None if these are not of one moment: then both are to be read again.
pub fn with_members(new: &Value, old: &Value) -> Option<Rewrite> {
    if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
        return None;
    }
    let shows = |it: &Value, list| {
        let members = it.pointer(list).and_then(Value::as_array);
        members.is_some_and(|it| !it.is_empty())
    };
    let mut rewrite = unchanged(new);
    // Of one that is stored in the new form, the old one shows nothing.
    if !shows(new, INFO_LIST) && shows(old, PAIR_LIST) {
        let mut whole = old.clone();
        convert(&mut whole, new["apiVersion"].as_str()?).ok()?;
        rewrite.status = true;
        rewrite.body["status"] = json!({"volumeSnapshotInfoList": whole.pointer(INFO_LIST)?});
    }
    Some(rewrite)
}
