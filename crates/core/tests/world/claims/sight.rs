//! Shows the world to the machine: builds a sighting of real objects and asks for its facts.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tintype_api::{keys, names};
use tintype_core::claim::{self, Facts, Outcome, OwnNode, Settings, Sighting, SourceSight};
use tintype_core::object::{Claim, Content, Snapshot, StorageClass, Uid};
use tintype_core::retry::{Backoff, Schedule};
use tintype_core::{Seen, Time, topology};

use super::{ANYWHERE, BLANK, Bound, Memory, Node, Places, Snap, World};

const UIDS: [&str; 2] = [
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000001",
];

fn read<O: serde::de::DeserializeOwned, R>(document: Value, of: fn(&O) -> R) -> Arc<R> {
    Arc::new(of(&serde_json::from_value(document).unwrap()))
}

/// By what matters about places.
static SETTINGS: LazyLock<[Arc<Settings>; 4]> = LazyLock::new(|| {
    [
        Places::Everywhere,
        Places::NodeGoes,
        Places::NodeChanges,
        Places::EachNode,
    ]
    .map(|places| {
        let node = (places == Places::EachNode).then(|| OwnNode {
            name: "n1".into(),
            immediate: true,
        });
        let mut settings = Settings::new("csi.example").on(node);
        settings.abilities.snapshots = true;
        settings.abilities.topology = places != Places::Everywhere;
        settings.strict_topology = true;
        Arc::new(settings)
    })
});

/// Binds at once, binds late.
static CLASSES: LazyLock<[Arc<StorageClass>; 2]> = LazyLock::new(|| {
    ["Immediate", "WaitForFirstConsumer"].map(|mode| {
        let class = json!({"metadata": {"name": "fast", "uid": "c"},
            "provisioner": "csi.example", "volumeBindingMode": mode});
        read(class, StorageClass::of)
    })
});

/// Without the first, with it.
static NODES: LazyLock<[Arc<[topology::Node]>; 2]> = LazyLock::new(|| {
    let node = |name: &str| topology::Node {
        name: name.to_owned(),
        keys: vec!["host".to_owned()],
        labels: Some(BTreeMap::from([("host".to_owned(), name.to_owned())])),
    };
    [Arc::new([node("n2")]), Arc::new([node("n1"), node("n2")])]
});

static CONTENT: LazyLock<Arc<Content>> = LazyLock::new(|| {
    let content = json!({"metadata": {"name": "content"}, "spec": {
        "driver": "csi.example", "deletionPolicy": "Delete", "source": {"snapshotHandle": "s"},
        "volumeSnapshotRef": {"namespace": "db", "name": "nightly", "uid": "s"}},
        "status": {"snapshotHandle": "s"}});
    read(content, Content::of)
});

/// Whose marks, which node is selected, restored or not, uid, deleting, marked, bound to which.
static CLAIMS: LazyLock<Vec<Arc<Claim>>> = LazyLock::new(|| {
    (0..432)
        .map(|number: usize| {
            let mut claim = json!({"metadata": {"namespace": "db", "name": "data",
                "uid": UIDS[number / 12 % 2], "resourceVersion": "1", "annotations":
                {"volume.kubernetes.io/storage-provisioner": "csi.example"}},
                "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}}}});
            if number / 24 % 2 == 1 {
                claim["spec"]["dataSource"] = json!({"apiGroup": "snapshot.storage.k8s.io",
                    "kind": "VolumeSnapshot", "name": "nightly"});
            }
            if number / 6 % 2 == 1 {
                claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            }
            let other = names::in_flight_finalizer_on("csi.example", "n2");
            let mark = &SETTINGS[if number < 144 { 0 } else { 3 }].mark;
            let marks = [
                (number / 3 % 2 == 1).then_some(&**mark),
                (number >= 288).then_some(&*other),
            ];
            let marks: Vec<&str> = marks.into_iter().flatten().collect();
            claim["metadata"]["finalizers"] = json!(marks);
            if !(number / 48).is_multiple_of(3) {
                let node = format!("n{}", number / 48 % 3);
                claim["metadata"]["annotations"][keys::ANNOTATION_SELECTED_NODE] = node.into();
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
                snapshot["metadata"]["finalizers"] = json!([keys::FINALIZER_PROVISIONER]);
            }
            read(snapshot, Snapshot::of)
        })
        .collect()
});

/// Requests to remember, by uid and place: their words matter to nobody here.
static ASKED: LazyLock<[[Arc<claim::Request>; 3]; 2]> = LazyLock::new(|| {
    [0, 1].map(|uid| {
        [0, 1, 2].map(|node| {
            let places = match node {
                0 => Places::Everywhere,
                _ => Places::NodeChanges,
            };
            let mut seen = blank(false, places);
            seen.claim = Seen::Present(CLAIMS[uid * 12 + node * 48].clone());
            seen.class = Seen::Present(CLASSES[1].clone());
            seen.nodes = NODES[1].clone();
            Arc::new(claim::request(&seen, claim::Why::Wanted).unwrap())
        })
    })
});

/// The node that is asked for.
fn place_of(request: &claim::Request) -> Node {
    let first = request
        .topology
        .as_ref()
        .map(|it| &*it.requisite[0]["host"]);
    match first {
        None => ANYWHERE,
        Some("n1") => 1,
        Some(_) => 2,
    }
}

fn blank(restore: bool, places: Places) -> Sighting {
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
        settings: SETTINGS[places as usize].clone(),
        memory: claim::Memory::default(),
        now: Time(0),
    }
}

fn claim_object(places: Places, restore: bool, it: super::Claim) -> Arc<Claim> {
    let bound = match it.bound {
        Bound::No => 0,
        Bound::Here => 1,
        Bound::Elsewhere => 2,
    };
    let marks = match (places, it.marked_by_other) {
        (Places::EachNode, true) => 288,
        (Places::EachNode, false) => 144,
        (Places::Everywhere | Places::NodeGoes | Places::NodeChanges, _) => 0,
    };
    let node = usize::from(it.selected.unwrap_or(ANYWHERE)) * 48;
    let whose = usize::from(restore) * 24 + usize::from(it.uid) * 12;
    let flags = usize::from(it.deleting) * 6 + usize::from(it.marked) * 3;
    CLAIMS[marks + node + whose + flags + bound].clone()
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
            doubt: self.doubt,
            backoff,
            request: self
                .of
                .zip(self.asked)
                .map(|(of, place)| ASKED[usize::from(of)][usize::from(place)].clone()),
            stray: self.stray,
            exhausted: self.exhausted,
            failure: self.failing.then(|| "it failed".into()),
            said: self.said,
            said_complaint: self.complaint,
            turn: self.turn,
            ..claim::Memory::default()
        }
    }

    fn of_real(real: &claim::Memory) -> Self {
        let of = (0..2).find(|it| uid(*it) == real.of);
        Self {
            of,
            outcome: real.outcome,
            confirmed: real.confirmed,
            doubt: real.doubt,
            asked: real.request.as_deref().map(place_of),
            stray: real.stray,
            exhausted: real.exhausted,
            turn: real.turn,
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
        let places = self.setup.0.places;
        let mut seen = blank(restore, places);
        let mut memory = self.it.memory.real();
        let claim = self.it.claim.map(|it| claim_object(places, restore, it));
        let present = claim.present().is_some();
        seen.claim = claim::meet(claim, &mut memory);
        seen.memory = memory;
        let late = usize::from(places.late());
        seen.class = self.it.class.map(|()| CLASSES[late].clone());
        seen.nodes = match places {
            Places::Everywhere => Arc::new([]),
            Places::NodeGoes | Places::NodeChanges => {
                NODES[usize::from(self.it.first_node)].clone()
            }
            Places::EachNode => Arc::new([NODES[1][0].clone()]),
        };
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

    /// The driver is asked: as before if that is in doubt, else for what there is now.
    pub(super) fn ask(&mut self, of: u8) -> Option<()> {
        let seen = self.sight();
        let why = seen.why();
        let before = self.it.memory;
        let place = match before.asked {
            Some(place) if before.outcome == Outcome::Uncertain => place,
            Some(_) | None => place_of(&claim::request(&seen, why)?),
        };
        let request = ASKED[usize::from(of)][usize::from(place)].clone();
        self.remember(|it| it.folded_asked(request, why, Time(0)));
        Some(())
    }
}
