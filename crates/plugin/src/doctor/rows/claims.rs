//! Shows the machine of claims what was listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tintype_core::claim::{self, Abilities, Grant, GrantFrom, GrantTo, Settings, SourceSight};
use tintype_core::object::{
    Claim, Content, ContentSource, DataSource, DataSourceKind, Key, Volume,
};
use tintype_core::{Seen, Time};

use super::Rows;

/// The provisioner can say whether it is allowed; its event does.
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

impl Rows {
    /// A claim as its driver's provisioner would see it, if the driver can do everything; none if
    /// no provisioner is asked.
    pub(in crate::doctor) fn claim(
        &self,
        row: &Arc<Claim>,
        annotations: BTreeMap<String, String>,
    ) -> Option<claim::Sighting> {
        let class = self.storage_classes.named(row.class.as_deref());
        let of_class = class.present().map(|it| it.provisioner.clone());
        let driver = row.provisioner.clone().or(of_class).unwrap_or_default();
        if is_static(row, &driver) {
            return None;
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
        let grants = if self.grants.whole {
            self.grants.items.clone()
        } else {
            row.source.iter().map(|it| granted(&row, it)).collect()
        };
        let name = settings.volume_name(&row);
        Some(claim::Sighting {
            volume: self.volumes.seen(&Key::cluster(name)).map(|_| ()),
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

    fn source(&self, row: &Claim) -> SourceSight {
        let Some(source) = &row.source else {
            return SourceSight::None;
        };
        match source.kind {
            DataSourceKind::Snapshot => {
                let snapshot = self.snapshots.seen(&source.key);
                let bound = snapshot.present().and_then(|it| it.bound.as_deref());
                let content = self.contents.named(bound);
                SourceSight::Snapshot {
                    origin: content.present().and_then(|it| self.origin(it)),
                    snapshot,
                    content,
                }
            }
            DataSourceKind::Claim => {
                let claim = self.claims.seen(&source.key);
                let volume = claim.present().and_then(|it| it.volume.as_deref());
                SourceSight::Claim {
                    volume: self.volumes.named(volume),
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
        let mut volumes = self.volumes.all();
        let cut_from = |it: &&Arc<Volume>| {
            it.csi
                .as_ref()
                .is_some_and(|it| *it.driver == *content.driver && *it.handle == **handle)
        };
        volumes.find(cut_from).cloned()
    }
}
