//! Keeps the owners of an object's fields: `metadata.managedFields`.
//!
//! Does not compare objects: it is told what changed.

use serde_json::{Value, json};

use super::compare::Changes;
use super::set::FieldSet;

/// Updaters beyond this many share one entry, as in Kubernetes.
const UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manager {
    pub name: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    manager: Manager,
    time: String,
    fields: FieldSet,
}

/// All owners of one object's fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Managers(Vec<Entry>);

/// A field that somebody else owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub manager: String,
    pub path: String,
}

impl Manager {
    /// An applier is one whatever version it speaks.
    fn same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As conflicts name it.
    fn printed(&self, time: &str) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        match self.operation {
            Operation::Apply => text,
            Operation::Update if time.is_empty() => format!("{text} using {}", self.api_version),
            Operation::Update => format!("{text} using {} at {time}", self.api_version),
        }
    }
}

impl Managers {
    /// Reads `metadata.managedFields`; what cannot be read is nobody's.
    pub(crate) fn decode(list: &Value) -> Self {
        let entries = list.as_array().into_iter().flatten();
        Self(entries.filter_map(decode).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn encode(&self) -> Value {
        let mut entries: Vec<&Entry> = self.0.iter().collect();
        entries.sort_by_key(|entry| {
            let Manager {
                name,
                operation,
                api_version,
                subresource,
            } = &entry.manager;
            (*operation, &entry.time, name, api_version, subresource)
        });
        entries.into_iter().map(encode).collect()
    }

    /// An update by `manager` changed the object: it owns what it set.
    pub(crate) fn update(&mut self, manager: &Manager, changes: &Changes, now: &str) {
        for entry in &mut self.0 {
            entry.fields.subtract(&changes.set);
            entry.fields.subtract(&changes.removed);
        }
        if !changes.set.is_empty() {
            match self.0.iter_mut().find(|entry| entry.manager.same(manager)) {
                Some(entry) => {
                    entry.fields.union(&changes.set);
                    now.clone_into(&mut entry.time);
                }
                None => self.0.push(Entry {
                    manager: manager.clone(),
                    time: now.to_owned(),
                    fields: changes.set.clone(),
                }),
            }
        }
        self.tidy();
        self.cap();
    }

    /// What `manager` applied last time.
    pub(crate) fn last(&self, manager: &Manager) -> FieldSet {
        let entry = self.0.iter().find(|entry| entry.manager.same(manager));
        entry.map(|entry| entry.fields.clone()).unwrap_or_default()
    }

    /// `manager` applies these fields and no others.
    pub(crate) fn set(&mut self, manager: &Manager, fields: FieldSet, now: &str) {
        self.0.retain(|entry| !entry.manager.same(manager));
        self.0.push(Entry {
            manager: manager.clone(),
            time: now.to_owned(),
            fields,
        });
        self.tidy();
    }

    /// All fields that anybody owns.
    pub(crate) fn union(&self) -> FieldSet {
        let mut all = FieldSet::default();
        self.0.iter().for_each(|entry| all.union(&entry.fields));
        all
    }

    /// Whether `manager` owns this field, and nobody else does.
    pub(crate) fn owned_by_none_but(&self, manager: &Manager, path: &[String]) -> bool {
        let mut owners = self.0.iter().filter(|entry| entry.fields.contains(path));
        owners
            .next()
            .is_some_and(|entry| entry.manager.same(manager))
            && owners.next().is_none()
    }

    /// The owners of one field as those of `path` in another kind of object, which is a view of
    /// this one.
    pub(crate) fn seen_as(&self, field: &[String], path: &[String], api_version: &str) -> Self {
        let owners = self.0.iter().filter(|entry| entry.fields.contains(field));
        let entries = owners.map(|entry| {
            let mut seen = entry.clone();
            api_version.clone_into(&mut seen.manager.api_version);
            seen.fields = FieldSet::default();
            seen.fields.insert(path);
            seen
        });
        Self(entries.collect())
    }

    /// The changed fields that others than `manager` own.
    pub(crate) fn conflicts(&self, manager: &Manager, changed: &FieldSet) -> Vec<Conflict> {
        let others = self.0.iter().filter(|entry| !entry.manager.same(manager));
        let conflicts = others.flat_map(|entry| {
            let shared = entry.fields.intersection(changed);
            let manager = entry.manager.printed(&entry.time);
            shared.paths().into_iter().map(move |path| Conflict {
                manager: manager.clone(),
                path,
            })
        });
        conflicts.collect()
    }

    /// Others than `manager` lose what it changed, and what is no more.
    pub(crate) fn yield_to(&mut self, manager: &Manager, changes: &Changes) {
        for entry in &mut self.0 {
            if !entry.manager.same(manager) {
                entry.fields.subtract(&changes.set);
                entry.fields.subtract(&changes.removed);
            }
        }
        self.tidy();
    }

    /// Whether both own the same, whenever that came about.
    pub(crate) fn same_but_for_times(&self, other: &Self) -> bool {
        let plain = |managers: &Self| {
            let mut managers = managers.clone();
            managers.0.iter_mut().for_each(|entry| entry.time.clear());
            managers.encode()
        };
        plain(self) == plain(other)
    }

    fn tidy(&mut self) {
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Joins the oldest updaters of a version once there are too many.
    fn cap(&mut self) {
        let updater = |entry: &Entry| entry.manager.operation == Operation::Update;
        let excess = self.0.iter().filter(|entry| updater(entry)).count();
        let Some(excess) = excess.checked_sub(UPDATERS).filter(|excess| *excess > 0) else {
            return;
        };
        let (mut updaters, mut all): (Vec<Entry>, Vec<Entry>) = self.0.drain(..).partition(updater);
        updaters.sort_by(|a, b| a.time.cmp(&b.time));
        let newer = updaters.split_off(excess + 1);
        for old in updaters {
            let manager = Manager {
                name: ANCIENT.to_owned(),
                subresource: String::new(),
                ..old.manager
            };
            match all.iter_mut().find(|entry| entry.manager.same(&manager)) {
                Some(entry) => {
                    entry.fields.union(&old.fields);
                    entry.time = old.time;
                }
                None => all.push(Entry {
                    manager,
                    time: old.time,
                    fields: old.fields,
                }),
            }
        }
        all.extend(newer);
        self.0 = all;
    }
}

fn decode(entry: &Value) -> Option<Entry> {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let operation = match entry["operation"].as_str()? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    Some(Entry {
        manager: Manager {
            name: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
        },
        time: text("time"),
        fields: FieldSet::decode(&entry["fieldsV1"])?,
    })
}

fn encode(entry: &Entry) -> Value {
    let manager = &entry.manager;
    let mut value = json!({
        "manager": manager.name,
        "operation": match manager.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
        "apiVersion": manager.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.encode(),
    });
    if !entry.time.is_empty() {
        value["time"] = json!(entry.time);
    }
    if !manager.subresource.is_empty() {
        value["subresource"] = json!(manager.subresource);
    }
    value
}
