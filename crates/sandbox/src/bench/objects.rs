//! Says which objects a measurement needs, under names of its own.
//! Pure: sends nothing.

use serde_json::{Value, json};
use tintype_api::API_VERSION;

use super::Args;

/// Everything a measurement makes bears it, so that its leftovers can be found.
pub(super) const LABEL: &str = "tintype.dev/bench";

/// The objects of one measurement.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    /// Tells this measurement's objects from those of others.
    tag: String,
    pub(super) namespace: String,
    /// Nobody else uses the namespace: it comes and goes with the measurement.
    pub(super) own_namespace: bool,
    pub(super) driver: String,
    pub(super) snapshots: u32,
    pub(super) pvcs: u32,
}

/// A request that makes an object: where to, and what.
pub(super) type Create = (String, Value);

impl Objects {
    pub(super) fn new(args: &Args, tag: String) -> Self {
        Self {
            namespace: args
                .namespace
                .clone()
                .unwrap_or_else(|| format!("tintype-bench-{tag}")),
            own_namespace: args.namespace.is_none(),
            tag,
            driver: args.driver.clone(),
            snapshots: args.snapshots,
            pvcs: args.pvcs,
        }
    }

    fn meta(&self, name: impl Into<String>) -> Value {
        json!({"name": name.into(), "labels": {LABEL: self.tag}})
    }

    /// Selects this measurement's objects.
    pub(super) fn selector(&self) -> String {
        format!("{LABEL}={}", self.tag)
    }

    pub(super) fn namespace(&self) -> Create {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": self.meta(&self.namespace)
        });
        (NAMESPACES.to_owned(), namespace)
    }

    pub(super) fn csi_driver(&self) -> Create {
        let driver = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": self.meta(&self.driver),
            "spec": {"attachRequired": false}
        });
        (CSI_DRIVERS.to_owned(), driver)
    }

    pub(super) fn class(&self) -> Create {
        let class = json!({
            "apiVersion": API_VERSION,
            "kind": "VolumeSnapshotClass",
            "metadata": self.meta(self.class_name()),
            "driver": self.driver,
            "deletionPolicy": "Delete"
        });
        (classes(), class)
    }

    /// A volume that the driver knows nothing of, for the claim of the same number.
    pub(super) fn volume(&self, number: u32) -> Create {
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": self.meta(self.volume_name(number)),
            "spec": {
                "capacity": {"storage": "1Mi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": self.class_name(),
                "claimRef": {"namespace": self.namespace, "name": self.volume_name(number)},
                "csi": {"driver": self.driver, "volumeHandle": self.volume_name(number)}
            }
        });
        (VOLUMES.to_owned(), volume)
    }

    pub(super) fn claim(&self, number: u32) -> Create {
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": self.meta(self.volume_name(number)),
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": self.class_name(),
                "volumeName": self.volume_name(number),
                "resources": {"requests": {"storage": "1Mi"}}
            }
        });
        (self.claims(), claim)
    }

    pub(super) fn snapshot(&self, number: u32) -> Create {
        let snapshot = json!({
            "apiVersion": API_VERSION,
            "kind": "VolumeSnapshot",
            "metadata": self.meta(self.snapshot_name(number)),
            "spec": {
                "volumeSnapshotClassName": self.class_name(),
                "source": {"persistentVolumeClaimName": self.volume_name(number % self.pvcs)}
            }
        });
        (self.snapshots(), snapshot)
    }

    pub(super) fn class_name(&self) -> String {
        format!("bench-{}", self.tag)
    }

    /// Also the claim's name.
    pub(super) fn volume_name(&self, number: u32) -> String {
        format!("bench-{}-{number}", self.tag)
    }

    pub(super) fn snapshot_name(&self, number: u32) -> String {
        format!("bench-{}-{number}", self.tag)
    }

    pub(super) fn claims(&self) -> String {
        format!("{NAMESPACES}/{}/persistentvolumeclaims", self.namespace)
    }

    pub(super) fn snapshots(&self) -> String {
        format!(
            "/apis/{API_VERSION}/namespaces/{}/volumesnapshots",
            self.namespace
        )
    }
}

pub(super) const NAMESPACES: &str = "/api/v1/namespaces";
pub(super) const VOLUMES: &str = "/api/v1/persistentvolumes";
pub(super) const CSI_DRIVERS: &str = "/apis/storage.k8s.io/v1/csidrivers";

pub(super) fn classes() -> String {
    format!("/apis/{API_VERSION}/volumesnapshotclasses")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn each_claim_is_bound_to_its_volume_from_the_start() {
        let line = ["bench", "--snapshots", "5", "--pvcs", "2"];
        let objects = Objects::new(&Args::parse_from(line), "t".to_owned());
        let (_, volume) = objects.volume(1);
        let (path, claim) = objects.claim(1);
        assert_eq!(
            path,
            "/api/v1/namespaces/tintype-bench-t/persistentvolumeclaims"
        );
        assert_eq!(
            volume["spec"]["claimRef"]["name"],
            claim["metadata"]["name"]
        );
        assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
        let (_, snapshot) = objects.snapshot(3);
        let source = &snapshot["spec"]["source"]["persistentVolumeClaimName"];
        assert_eq!(*source, claim["metadata"]["name"]);
    }
}
