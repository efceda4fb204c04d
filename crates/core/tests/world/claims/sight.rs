//! Shows the world to the machine: builds a sighting of real objects and asks for its facts.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tintype_core::claim::{self, Facts, Outcome, Settings, Sighting, SourceSight, Turn};
use tintype_core::object::{Claim, Content, Snapshot, StorageClass, Uid};
use tintype_core::retry::{Backoff, Schedule};
use tintype_core::{Seen, Time};

use super::{BLANK, Bound, Memory, Snap, World};

const UIDS: [&str; 2] = [
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000001",
];

fn read<O: serde::de::DeserializeOwned, R>(document: Value, of: fn(&O) -> R) -> Arc<R> {
    Arc::new(of(&serde_json::from_value(document).unwrap()))
}

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| {
    let mut settings = Settings::new("csi.example");
    settings.abilities.snapshots = true;
    Arc::new(settings)
});

static CLASS: LazyLock<Arc<StorageClass>> = LazyLock::new(|| {
    let class = json!({"metadata": {"name": "fast", "uid": "c"}, "provisioner": "csi.example"});
    read(class, StorageClass::of)
});

static CONTENT: LazyLock<Arc<Content>> = LazyLock::new(|| {
    let content = json!({"metadata": {"name": "content"}, "spec": {
        "driver": "csi.example", "deletionPolicy": "Delete", "source": {"snapshotHandle": "s"},
        "volumeSnapshotRef": {"namespace": "db", "name": "nightly", "uid": "s"}},
        "status": {"snapshotHandle": "s"}});
    read(content, Content::of)
});

/// Restored or not, uid, deleting, marked, bound to which.
static CLAIMS: LazyLock<Vec<Arc<Claim>>> = LazyLock::new(|| {
    (0..48)
        .map(|number: usize| {
            let mut claim = json!({"metadata": {"namespace": "db", "name": "data",
                "uid": UIDS[number / 12 % 2], "resourceVersion": "1", "annotations":
                {"volume.kubernetes.io/storage-provisioner": "csi.example"}},
                "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}});
            if number / 24 == 1 {
                claim["spec"]["dataSource"] = json!({"apiGroup": "snapshot.storage.k8s.io",
                    "kind": "VolumeSnapshot", "name": "nightly"});
            }
            if number / 6 % 2 == 1 {
                claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            if number / 3 % 2 == 1 {
                claim["metadata"]["finalizers"] = json!([&*SETTINGS.mark]);
            }
            match number % 3 {
                1 => claim["spec"]["volumeName"] = format!("pvc-{}", UIDS[number / 12 % 2]).into(),
                2 => claim["spec"]["volumeName"] = "other".into(),
                _ => {}
            }
            read(claim, Claim::of)
        })
        .collect()
});

/// Deleting, protected.
static SNAPSHOTS: LazyLock<Vec<Arc<Snapshot>>> = LazyLock::new(|| {
    (0..4)
        .map(|number| {
            let mut snapshot = json!({"metadata": {"namespace": "db", "name": "nightly",
                "uid": "s", "resourceVersion": "1"},
                "spec": {"source": {"volumeSnapshotContentName": "content"}},
                "status": {"boundVolumeSnapshotContentName": "content", "readyToUse": true}});
            if number / 2 == 1 {
                snapshot["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            if number % 2 == 1 {
                snapshot["metadata"]["finalizers"] =
                    json!([tintype_api::keys::FINALIZER_PROVISIONER]);
            }
            read(snapshot, Snapshot::of)
        })
        .collect()
});

/// A request and a volume to remember: their words matter to nobody here.
static ASKED: LazyLock<[Arc<claim::Request>; 2]> = LazyLock::new(|| {
    [0, 1].map(|uid| {
        let mut seen = blank(false);
        seen.claim = Seen::Present(CLAIMS[uid * 12].clone());
        seen.class = Seen::Present(CLASS.clone());
        Arc::new(claim::request(&seen, claim::Why::Wanted).unwrap())
    })
});

fn blank(restore: bool) -> Sighting {
    Sighting {
        claim: Seen::NotCached,
        annotations: BTreeMap::new(),
        class: Seen::NotCached,
        attributes: Seen::NotCached,
        volume: Seen::NotCached,
        source: if restore {
            SourceSight::Snapshot {
                snapshot: Seen::NotCached,
                content: Seen::NotCached,
                origin: None,
            }
        } else {
            SourceSight::None
        },
        grants: Vec::new(),
        nodes: Arc::new([]),
        settings: SETTINGS.clone(),
        memory: claim::Memory::default(),
        now: Time(0),
    }
}

fn claim_object(restore: bool, it: super::Claim) -> Arc<Claim> {
    let bound = match it.bound {
        Bound::No => 0,
        Bound::Here => 1,
        Bound::Elsewhere => 2,
    };
    let flags = usize::from(it.deleting) * 6 + usize::from(it.marked) * 3;
    CLAIMS[usize::from(restore) * 24 + usize::from(it.uid) * 12 + flags + bound].clone()
}

fn uid(of: u8) -> Uid {
    Uid::parse(UIDS[usize::from(of)])
}

impl Memory {
    fn real(self) -> claim::Memory {
        let mut backoff = Backoff::default();
        if !self.due {
            backoff.failed(Time(0), Schedule { start: 9, max: 9 }, 0);
        }
        claim::Memory {
            of: self.of.map(uid).unwrap_or_default(),
            outcome: self.outcome,
            confirmed: self.confirmed,
            backoff,
            request: self
                .of
                .filter(|_| self.asked)
                .map(|it| ASKED[usize::from(it)].clone()),
            failure: self.failing.then(|| "it failed".into()),
            said: self.said,
            said_complaint: self.complaint,
            turn: Turn::None,
            ..claim::Memory::default()
        }
    }

    fn of_real(real: &claim::Memory) -> Self {
        let of = (0..2).find(|it| uid(*it) == real.of);
        Self {
            of,
            outcome: real.outcome,
            confirmed: real.confirmed,
            asked: real.request.is_some(),
            failing: real.failure.is_some(),
            said: real.said,
            complaint: real.said_complaint,
            due: real.backoff.due(Time(0)),
        }
    }
}

impl World {
    /// What the shell would show the machine; what is settled is forgotten first.
    pub(super) fn sight(&mut self) -> Sighting {
        let restore = self.setup.0.restore;
        let mut seen = blank(restore);
        let mut memory = self.it.memory.real();
        let claim = self.it.claim.map(|it| claim_object(restore, it));
        let present = claim.present().is_some();
        seen.claim = claim::meet(claim, &mut memory);
        seen.memory = memory;
        seen.class = self.it.class.map(|()| CLASS.clone());
        if let SourceSight::Snapshot {
            snapshot, content, ..
        } = &mut seen.source
        {
            let object = |it: Snap| {
                SNAPSHOTS[usize::from(it.deleting) * 2 + usize::from(it.protected)].clone()
            };
            *snapshot = self.it.snapshot.map(object);
            *content = self.it.content.map(|()| CONTENT.clone());
        }
        if !present {
            seen.source = SourceSight::None;
        }
        if let Some(of) = self.about() {
            seen.volume = self.it.volumes[usize::from(of)].map(|_| ());
        }
        seen.settle();
        self.it.memory = Memory::of_real(&seen.memory);
        if seen.claim.present().is_none() && !seen.memory.in_debt() {
            self.it.memory = BLANK;
        }
        seen
    }

    /// The uid of the claim whose volume is the matter now.
    pub(super) fn about(&self) -> Option<u8> {
        let memory = self.it.memory;
        let debt = !matches!(memory.outcome, Outcome::None | Outcome::Nothing);
        let cached = self.it.claim.present().map(|it| it.uid);
        if debt { memory.of } else { cached }
    }

    pub(super) fn facts(&mut self) -> Facts {
        self.sight().facts()
    }

    /// Lets the machine's own memory fold something in.
    pub(super) fn remember(&mut self, fold: impl FnOnce(&mut claim::Memory)) {
        let mut real = self.it.memory.real();
        fold(&mut real);
        self.it.memory = Memory::of_real(&real);
    }

    /// What the driver made, for the memory.
    pub(super) fn made() -> claim::Volume {
        claim::Volume {
            handle: "v".to_owned(),
            capacity: 1 << 30,
            context: BTreeMap::new(),
            topology: Vec::new(),
        }
    }

    pub(super) fn request(of: u8) -> Arc<claim::Request> {
        ASKED[usize::from(of)].clone()
    }
}
