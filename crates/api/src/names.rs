//! Spells the names that programs derive from other names: contents, CSI names, members, leases.
//!
//! A name is what makes a repeated create find the first one, so these are contract. Looks up nothing.

use sha2::{Digest as _, Sha256};

/// Lease of the cluster-wide controller.
pub const CONTROLLER_LEASE: &str = "snapshot-controller-leader";
/// Prefix of CSI snapshot names, unless a flag says otherwise.
pub const SNAPSHOT_PREFIX: &str = "snapshot";
/// Prefix of CSI group snapshot names, unless a flag says otherwise.
pub const GROUP_SNAPSHOT_PREFIX: &str = "groupsnapshot";
/// Prefix of volume names, unless a flag says otherwise.
pub const VOLUME_PREFIX: &str = "pvc";

/// The content of a dynamic snapshot.
pub fn content_name(snapshot_uid: &str) -> String {
    format!("snapcontent-{snapshot_uid}")
}

/// The content of a dynamic group snapshot.
pub fn group_content_name(group_uid: &str) -> String {
    format!("groupsnapcontent-{group_uid}")
}

/// A name for the driver: the prefix and the uid; with `length`, the uid without dashes cut to it.
///
/// Serves snapshots, group snapshots and volumes alike.
pub fn csi_name(prefix: &str, uid: &str, length: Option<usize>) -> String {
    length.map_or_else(
        || format!("{prefix}-{uid}"),
        |length| {
            let short: String = uid.chars().filter(|it| *it != '-').take(length).collect();
            format!("{prefix}-{short}")
        },
    )
}

/// The snapshot of one volume of a dynamic group.
pub fn member_snapshot_name(group_uid: &str, volume_handle: &str) -> String {
    format!("snapshot-{}", member_hash(group_uid, volume_handle))
}

/// The content of one volume of a dynamic group.
pub fn member_content_name(group_uid: &str, volume_handle: &str) -> String {
    format!("snapcontent-{}", member_hash(group_uid, volume_handle))
}

/// The volume made for a claim.
pub fn volume_name(claim_uid: &str) -> String {
    csi_name(VOLUME_PREFIX, claim_uid, None)
}

/// The finalizer that says: this driver's provisioner may have made a volume nobody else knows of.
pub fn in_flight_finalizer(driver: &str) -> String {
    // No driver's name has an underscore: it is what sets nodes apart.
    let keep = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.');
    let name: String = driver
        .chars()
        .map(|it| if keep(it) { it } else { '-' })
        .collect();
    format!("{}{name}", crate::keys::FINALIZER_IN_FLIGHT_PREFIX)
}

/// The same of the provisioner on one node: at most 63 characters after the prefix.
pub fn in_flight_finalizer_on(driver: &str, node: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{driver} {node}"));
    let hash = format!("{:x}", hash.finalize());
    format!("{}{}", in_flight_on_nodes(driver), &hash[..8])
}

/// Whether a finalizer is that of this driver's provisioner, for all nodes or for any of them.
pub fn is_in_flight_finalizer(finalizer: &str, driver: &str) -> bool {
    finalizer == in_flight_finalizer(driver) || finalizer.starts_with(&in_flight_on_nodes(driver))
}

fn in_flight_on_nodes(driver: &str) -> String {
    /// What 63 characters leave beside an underscore and eight digits.
    const LENGTH: usize = 54;
    let mut name = in_flight_finalizer(driver);
    name.truncate(crate::keys::FINALIZER_IN_FLIGHT_PREFIX.len() + LENGTH);
    name + "_"
}

/// Who keeps a `CSIStorageCapacity`: the provisioner, or the one on this node. At most 63 letters.
pub fn capacity_manager(node: Option<&str>) -> String {
    const WHO: &str = "external-provisioner";
    let Some(node) = node else {
        return WHO.to_owned();
    };
    let name = format!("{WHO}-{node}");
    if name.len() <= 63 {
        return name;
    }
    let mut hash = Sha256::new();
    hash.update(node);
    let hash = format!("{:x}", hash.finalize());
    format!("{WHO}-{}", &hash[..16])
}

/// Lease of a snapshot sidecar.
pub fn snapshotter_lease(driver: &str) -> String {
    leader_name(&format!("external-snapshotter-leader-{driver}"))
}

/// Lease of a provisioning sidecar.
pub fn provisioner_lease(driver: &str) -> String {
    leader_name(driver)
}

/// A text as the name of a lease or of its holder: letters, digits and dashes, not ending in a dash.
pub fn leader_name(text: &str) -> String {
    let keep = |it: char| if it.is_ascii_alphanumeric() { it } else { '-' };
    let mut name: String = text.chars().map(keep).collect();
    if name.ends_with('-') {
        name.push('X');
    }
    name
}

fn member_hash(group_uid: &str, volume_handle: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(group_uid);
    hash.update(volume_handle);
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";

    #[test]
    fn contents_are_named_after_the_uid() {
        assert_eq!(content_name(UID), format!("snapcontent-{UID}"));
        assert_eq!(group_content_name(UID), format!("groupsnapcontent-{UID}"));
        assert_eq!(volume_name(UID), format!("pvc-{UID}"));
    }

    #[test]
    fn a_claim_in_flight_names_the_driver() {
        assert_eq!(
            in_flight_finalizer("csi.example/x y"),
            "provisioner.tintype.dev/csi.example-x-y"
        );
        let on_node = in_flight_finalizer_on("csi.example", "n1");
        assert_eq!(
            on_node.len(),
            "provisioner.tintype.dev/csi.example_12345678".len()
        );
        assert_ne!(on_node, in_flight_finalizer_on("csi.example", "n2"));
        assert!(is_in_flight_finalizer(&on_node, "csi.example"));
        assert!(!is_in_flight_finalizer(&on_node, "csi.exam"));
        let central = in_flight_finalizer("csi.example");
        assert!(is_in_flight_finalizer(&central, "csi.example"));
        let long = in_flight_finalizer_on(&"d".repeat(63), "n1");
        assert_eq!(long.split_once('/').unwrap().1.len(), 63);
    }

    #[test]
    fn a_capacity_object_names_its_keeper() {
        assert_eq!(capacity_manager(None), "external-provisioner");
        assert_eq!(capacity_manager(Some("n1")), "external-provisioner-n1");
        let long = capacity_manager(Some(&"n".repeat(60)));
        assert!(long.len() <= 63, "{long}");
        assert_ne!(long, capacity_manager(Some(&"n".repeat(61))));
    }

    #[test]
    fn csi_names_keep_dashes_unless_cut() {
        assert_eq!(csi_name("snapshot", UID, None), format!("snapshot-{UID}"));
        assert_eq!(csi_name("snap", UID, Some(8)), "snap-0b6fd1ab");
        assert_eq!(csi_name("snap", UID, Some(10)), "snap-0b6fd1ab5a");
        assert_eq!(csi_name("snap", UID, Some(0)), "snap-");
        assert_eq!(
            csi_name("snap", UID, Some(99)),
            "snap-0b6fd1ab5a5c4d4e9d412f4f7d0d6f5e"
        );
    }

    #[test]
    fn members_are_named_after_group_uid_and_volume_handle() {
        // printf 'uidvol' | sha256sum
        let hash = "59a84980f8ef4826da54c7ced3605cf80e85f6bb08948be904a09383f8317b93";
        assert_eq!(
            member_snapshot_name("uid", "vol"),
            format!("snapshot-{hash}")
        );
        assert_eq!(
            member_content_name("uid", "vol"),
            format!("snapcontent-{hash}")
        );
    }

    #[test]
    fn leases_have_no_odd_letters_and_no_dash_at_the_end() {
        assert_eq!(
            snapshotter_lease("hostpath.csi.k8s.io"),
            "external-snapshotter-leader-hostpath-csi-k8s-io"
        );
        assert_eq!(
            snapshotter_lease("a/b_c"),
            "external-snapshotter-leader-a-b-c"
        );
        assert_eq!(leader_name("host.example."), "host-example-X");
        assert_eq!(leader_name("höst"), "h-st");
        assert_eq!(leader_name("ä"), "-X");
        assert_eq!(leader_name(""), "");
        assert_eq!(provisioner_lease("csi.tintype.dev"), "csi-tintype-dev");
    }
}
