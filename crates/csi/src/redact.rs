//! Prints messages that carry credentials without the credentials.
//!
//! The generator derives no `Debug` for a message with a field called `secrets`; this file gives it
//! one. A message that is missing here does not compile wherever it is printed or sent.

use std::collections::BTreeMap;
use std::fmt;

use crate::v1;

/// The keys of the secrets, which help, without the values, which hurt.
struct Keys<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map()
            .entries(self.0.keys().map(|key| (key, format_args!("***"))))
            .finish()
    }
}

// The exhaustive pattern makes a new field a compile error here.
macro_rules! redacted {
    ($($message:ident { $($field:ident),* })*) => {$(
        impl fmt::Debug for v1::$message {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($field,)* secrets } = self;
                out.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    .field("secrets", &Keys(secrets))
                    .finish()
            }
        }
    )*};
}

redacted! {
    CreateVolumeRequest {
        name, capacity_range, volume_capabilities, parameters, volume_content_source,
        accessibility_requirements, mutable_parameters
    }
    DeleteVolumeRequest { volume_id }
    ControllerPublishVolumeRequest {
        volume_id, node_id, volume_capability, readonly, volume_context
    }
    ControllerUnpublishVolumeRequest { volume_id, node_id }
    ValidateVolumeCapabilitiesRequest {
        volume_id, volume_context, volume_capabilities, parameters, mutable_parameters
    }
    ControllerModifyVolumeRequest { volume_id, mutable_parameters }
    ControllerExpandVolumeRequest { volume_id, capacity_range, volume_capability }
    CreateSnapshotRequest { source_volume_id, name, parameters }
    DeleteSnapshotRequest { snapshot_id }
    ListSnapshotsRequest { max_entries, starting_token, source_volume_id, snapshot_id }
    GetSnapshotRequest { snapshot_id }
    CreateVolumeGroupSnapshotRequest { name, source_volume_ids, parameters }
    DeleteVolumeGroupSnapshotRequest { group_snapshot_id, snapshot_ids }
    GetVolumeGroupSnapshotRequest { group_snapshot_id, snapshot_ids }
    NodeStageVolumeRequest {
        volume_id, publish_context, staging_target_path, volume_capability, volume_context
    }
    NodePublishVolumeRequest {
        volume_id, publish_context, staging_target_path, target_path, volume_capability, readonly,
        volume_context
    }
    NodeExpandVolumeRequest {
        volume_id, volume_path, capacity_range, staging_target_path, volume_capability
    }
    GetMetadataAllocatedRequest { snapshot_id, starting_offset, max_results }
    GetMetadataDeltaRequest { base_snapshot_id, target_snapshot_id, starting_offset, max_results }
}

impl fmt::Debug for v1::volume_capability::MountVolume {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fs_type,
            mount_flags,
            volume_mount_group,
        } = self;
        out.debug_struct("MountVolume")
            .field("fs_type", fs_type)
            .field(
                "mount_flags",
                &format_args!("[{} hidden]", mount_flags.len()),
            )
            .field("volume_mount_group", volume_mount_group)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_printed_as_keys_only() {
        let request = v1::CreateSnapshotRequest {
            name: "a".into(),
            secrets: [("password".to_owned(), "hunter2".to_owned())].into(),
            ..Default::default()
        };
        let text = format!("{request:?}");
        assert!(
            text.contains("password") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn mount_flags_are_not_printed() {
        let mount = v1::volume_capability::MountVolume {
            mount_flags: vec!["password=hunter2".into()],
            ..Default::default()
        };
        let capability = v1::VolumeCapability {
            access_type: Some(v1::volume_capability::AccessType::Mount(mount)),
            access_mode: None,
        };
        assert!(!format!("{capability:?}").contains("hunter2"));
    }

    #[test]
    fn no_message_with_secrets_derives_debug() {
        let source = include_str!("generated/csi.v1.rs");
        let mut with_secrets = 0;
        for block in source.split("::prost::Message)]").skip(1) {
            let body = block.split("\n}").next().unwrap_or_default();
            if body.contains("pub secrets:") {
                with_secrets += 1;
                assert!(
                    block.trim_start().starts_with("#[prost(skip_debug)]"),
                    "{body}"
                );
            }
        }
        assert_eq!(with_secrets, 19);
    }
}
