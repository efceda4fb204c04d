//! Asks of each snapshot, content and claim why it is not as it should be.
//!
//! Shows the machines of `core` what was listed; what is not in a list is absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use tintype_core::claim::{self, Abilities, Grant, GrantFrom, GrantTo, Settings, SourceSight};
use tintype_core::object::{
    Claim, ClaimPhase, Class, Content, ContentSource, DataSource, DataSourceKind, Key, Snapshot,
    StorageClass, Volume,
};
use tintype_core::pair::{self, ClassSight};
use tintype_core::snapshot::{self, Placement};
use tintype_core::why::{self, Answer};
use tintype_core::{Seen, Time, content};

use super::cluster::Cluster;
use super::{Finding, State};

/// All lists, as the machines read them, by key.
struct Rows {
    snapshots: BTreeMap<Key, Arc<Snapshot>>,
    contents: BTreeMap<Key, Arc<Content>>,
    classes: BTreeMap<Key, Arc<Class>>,
    claims: BTreeMap<Key, Arc<Claim>>,
    volumes: BTreeMap<Key, Arc<Volume>>,
    storage_classes: BTreeMap<Key, Arc<StorageClass>>,
}

/// What waits, and why; nothing about those that are well.
pub(super) fn all(cluster: &Cluster) -> Vec<Finding> {
    let rows = Rows::of(cluster);
    let mut findings = Vec::new();
    for row in rows.snapshots.values() {
        let namespace = row.meta.key.namespace.to_string();
        if cluster.looks_at(Some(&namespace)) {
            let answer = why::snapshot(&rows.snapshot(row));
            findings.extend(finding("VolumeSnapshot", &row.meta.key, answer));
        }
    }
    for row in rows.contents.values() {
        if cluster.looks_at(Some(&row.snapshot.key.namespace.to_string())) {
            let answer = why::content(&rows.content(row));
            findings.extend(finding("VolumeSnapshotContent", &row.meta.key, answer));
        }
    }
    for row in rows.claims.values() {
        let waits = row.phase == ClaimPhase::Pending;
        if waits && cluster.looks_at(Some(&row.meta.key.namespace.to_string())) {
            let annotations = cluster.claims.iter().find(|it| {
                it.name_any() == *row.meta.key.name
                    && it.namespace().as_deref() == Some(&*row.meta.key.namespace)
            });
            let annotations = annotations.map(|it| it.annotations().clone());
            let answer = rows.claim(row, annotations.unwrap_or_default());
            findings.extend(finding("PersistentVolumeClaim", &row.meta.key, answer));
        }
    }
    findings
}

/// Grants are not read here: the provisioner says in an event when one is missing.
fn granted(claim: &Claim, source: &DataSource) -> Arc<Grant> {
    let grant = Grant {
        key: source.key.clone(),
        from: vec![GrantFrom {
            group: "".into(),
            kind: "PersistentVolumeClaim".into(),
            namespace: (&*claim.meta.key.namespace).into(),
        }],
        to: vec![GrantTo {
            group: (&*source.group).into(),
            kind: (&*source.kind_text).into(),
            name: None,
        }],
    };
    Arc::new(grant)
}

/// Its volume is made by hand, or not at all.
fn is_static(claim: &Claim, driver: &str) -> bool {
    claim.class.as_deref().is_none_or(str::is_empty) || driver == "kubernetes.io/no-provisioner"
}

fn finding(kind: &str, key: &Key, answer: Answer) -> Option<Finding> {
    let (state, says) = match answer {
        Answer::Well => return None,
        Answer::Waits(says) => (State::Look, says),
        Answer::Stuck(says) => (State::Wrong, says),
    };
    Some(Finding::new(
        state,
        "waiting",
        format!("{kind} {key}"),
        says,
    ))
}

fn seen<T>(rows: &BTreeMap<Key, Arc<T>>, key: &Key) -> Seen<Arc<T>> {
    rows.get(key)
        .map_or(Seen::Absent, |it| Seen::Present(it.clone()))
}

fn by_key<O, T>(objects: &[O], of: fn(&O) -> T, key: fn(&T) -> &Key) -> BTreeMap<Key, Arc<T>> {
    let rows = objects.iter().map(of);
    rows.map(|it| (key(&it).clone(), Arc::new(it))).collect()
}

impl Rows {
    fn of(cluster: &Cluster) -> Self {
        Self {
            snapshots: by_key(&cluster.snapshots, Snapshot::of, |it| &it.meta.key),
            contents: by_key(&cluster.contents, Content::of, |it| &it.meta.key),
            classes: by_key(&cluster.classes, Class::of, |it| &it.meta.key),
            claims: by_key(&cluster.claims, Claim::of, |it| &it.meta.key),
            volumes: by_key(&cluster.volumes, Volume::of, |it| &it.meta.key),
            storage_classes: by_key(&cluster.storage_classes, StorageClass::of, |it| {
                &it.meta.key
            }),
        }
    }

    fn snapshot(&self, row: &Arc<Snapshot>) -> snapshot::Sighting {
        let content = row.content_name().map_or(Seen::Absent, |name| {
            seen(&self.contents, &Key::cluster(name))
        });
        let claim = row
            .claim_key()
            .map_or(Seen::Absent, |it| seen(&self.claims, &it));
        let volume = claim.present().and_then(|it| it.volume.as_deref());
        let volume = volume.map_or(Seen::Absent, |it| seen(&self.volumes, &Key::cluster(it)));
        let csi = volume.present().and_then(|it| it.csi.as_ref());
        let driver = csi.map(|it| it.driver.to_string());
        snapshot::Sighting {
            class: match &row.class {
                Some(name) => ClassSight::Named(seen(&self.classes, &Key::cluster(&**name))),
                None => ClassSight::Defaults(driver.map(|driver| {
                    let all = self.classes.values();
                    let defaults = all.filter(|it| it.default && *it.driver == *driver);
                    defaults.cloned().collect()
                })),
            },
            being_restored: self.claims.values().any(|it| {
                let source = it.source.as_ref();
                it.phase == ClaimPhase::Pending
                    && source.is_some_and(|it| {
                        it.kind == DataSourceKind::Snapshot && it.key == row.meta.key
                    })
            }),
            group_key: row.group_key(),
            group: Seen::Unknown,
            snapshot: Seen::Present(row.clone()),
            fresh: true,
            content,
            looked_up: true,
            claim,
            volume,
            keep_mode: true,
            placement: Placement::Anywhere,
            memory: pair::Memory::default(),
        }
    }

    fn content(&self, row: &Arc<Content>) -> content::Sighting {
        let class = row.class.as_deref().map(Key::cluster);
        content::Sighting {
            content: Seen::Present(row.clone()),
            class: class.map(|it| seen(&self.classes, &it)),
            driver: row.driver.clone(),
            memory: content::Memory::default(),
            now: Time(0),
        }
    }

    fn source(&self, row: &Claim) -> SourceSight {
        let Some(source) = &row.source else {
            return SourceSight::None;
        };
        match source.kind {
            DataSourceKind::Snapshot => {
                let snapshot = seen(&self.snapshots, &source.key);
                let bound = snapshot.present().and_then(|it| it.bound.as_deref());
                let content = bound.map(Key::cluster);
                let content = content.map_or(Seen::Absent, |it| seen(&self.contents, &it));
                SourceSight::Snapshot {
                    origin: content.present().and_then(|it| self.origin(it)),
                    snapshot,
                    content,
                }
            }
            DataSourceKind::Claim => {
                let claim = seen(&self.claims, &source.key);
                let volume = claim.present().and_then(|it| it.volume.as_deref());
                let volume = volume.map(Key::cluster);
                SourceSight::Claim {
                    volume: volume.map_or(Seen::Absent, |it| seen(&self.volumes, &it)),
                    claim,
                }
            }
            DataSourceKind::WrongGroup | DataSourceKind::Foreign => SourceSight::None,
        }
    }

    /// The volume a content was cut from.
    fn origin(&self, content: &Content) -> Option<Arc<Volume>> {
        let ContentSource::Volume(handle) = &content.source else {
            return None;
        };
        let mut volumes = self.volumes.values();
        let cut_from = |it: &&Arc<Volume>| {
            it.csi
                .as_ref()
                .is_some_and(|it| *it.driver == *content.driver && *it.handle == **handle)
        };
        volumes.find(cut_from).cloned()
    }

    /// A claim as its driver's provisioner would see it, if the driver can do everything.
    fn claim(&self, row: &Arc<Claim>, annotations: BTreeMap<String, String>) -> Answer {
        let class = row.class.as_deref().map(Key::cluster);
        let class = class.map_or(Seen::Absent, |it| seen(&self.storage_classes, &it));
        let of_class = class.present().map(|it| it.provisioner.clone());
        let driver = row.provisioner.clone().or(of_class).unwrap_or_default();
        if is_static(row, &driver) {
            return Answer::Well;
        }
        let mut settings = Settings::new(&*driver);
        settings.cross_namespace = true;
        settings.abilities = Abilities {
            snapshots: true,
            clones: true,
            modify: true,
            single_node_modes: true,
            topology: false,
        };
        let mut row = row.clone();
        if row.provisioner.is_none() {
            // The cluster has not asked yet; what it will be asked is answered already.
            let mut asked = (*row).clone();
            asked.provisioner = Some(driver);
            row = Arc::new(asked);
        }
        let source = self.source(&row);
        let grants = row.source.iter().map(|it| granted(&row, it)).collect();
        let name = settings.volume_name(&row);
        why::claim(&claim::Sighting {
            volume: seen(&self.volumes, &Key::cluster(name)).map(|_| ()),
            claim: Seen::Present(row),
            annotations,
            class,
            attributes: Seen::Unknown,
            source,
            grants,
            nodes: Arc::new([]),
            settings: Arc::new(settings),
            memory: claim::Memory::default(),
            now: Time(0),
        })
    }
}
