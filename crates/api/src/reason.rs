//! Lists the reasons of events: the words that other programs match on.
//!
//! They are upstream's, letter for letter. Messages are free text and live where they are said.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $kind:ident,)*) => {
        /// Why an event is sent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it stands in the event.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Its events are of type `Warning`; else `Normal`.
            pub const fn warns(self) -> bool {
                match self {
                    $(Self::$name => reasons!(@ $kind),)*
                }
            }
        }
    };
    (@ Warning) => { true };
    (@ Normal) => { false };
}

reasons! {
    // Of snapshots, by the controller.
    /// A dynamic snapshot waits for its driver.
    CreatingSnapshot Normal,
    /// The data has been cut.
    SnapshotCreated Normal,
    /// Volumes can be made from it.
    SnapshotReady Normal,
    /// The class it names cannot be had.
    GetSnapshotClassFailed Warning,
    /// No class is named and no single default fits.
    SetDefaultSnapshotClassFailed Warning,
    /// The snapshot is not a valid one.
    SnapshotValidationError Warning,
    /// A finalizer of the snapshot could not be changed.
    SnapshotFinalizerError Warning,
    /// The finalizer of the claim could not be changed.
    ErrorPVCFinalizer Warning,
    /// The content is not there.
    SnapshotContentMissing Warning,
    /// The content is not fit for this snapshot.
    SnapshotContentMismatch Warning,
    /// The content belongs to another snapshot.
    SnapshotContentMisbound Warning,
    /// The content does not point back.
    SnapshotMisbound Warning,
    /// Binding to the content failed.
    SnapshotBindFailed Warning,
    /// The content has a handle it should not have.
    SnapshotHandleSet Warning,
    /// The claim is not there.
    SnapshotPVCSourceMissing Warning,
    /// No content could be prepared.
    SnapshotContentCreationFailed Warning,
    /// The content was refused by the server.
    CreateSnapshotContentFailed Warning,
    /// The status could not be written.
    SnapshotStatusUpdateFailed Warning,
    /// Deletion waits for a restore.
    SnapshotDeletePending Warning,
    /// The content could not be deleted.
    SnapshotContentObjectDeleteError Warning,
    // Of contents, by the controller and the sidecar.
    /// The content is not a valid one.
    ContentValidationError Warning,
    /// The driver did not make the snapshot.
    SnapshotCreationFailed Warning,
    /// The state of the snapshot could not be found out.
    SnapshotContentCheckandUpdateFailed Warning,
    /// The driver did not delete the snapshot (also: the members of a group remain).
    SnapshotDeleteError Warning,
    // Of group snapshots.
    /// A dynamic group snapshot waits for its driver.
    CreatingGroupSnapshot Normal,
    /// The data of all members has been cut.
    GroupSnapshotCreated Normal,
    /// Volumes can be made from all members.
    GroupSnapshotReady Normal,
    /// The class it names cannot be had.
    GetGroupSnapshotClassFailed Warning,
    /// No class is named and no single default fits.
    SetDefaultGroupSnapshotClassFailed Warning,
    /// The group snapshot is not a valid one.
    GroupSnapshotValidationError Warning,
    /// A finalizer of the group snapshot could not be changed.
    GroupSnapshotFinalizerError Warning,
    /// The group content is not there.
    GroupSnapshotContentMissing Warning,
    /// The group content is not fit for this group snapshot.
    GroupSnapshotContentMismatch Warning,
    /// The group content belongs to another group snapshot.
    GroupSnapshotContentMisbound Warning,
    /// The group content does not point back.
    GroupSnapshotMisbound Warning,
    /// Binding to the group content failed.
    GroupSnapshotBindFailed Warning,
    /// The group content has a handle it should not have.
    GroupSnapshotHandleSet Warning,
    /// No group content could be prepared.
    GroupSnapshotContentCreationFailed Warning,
    /// The group content could not be made.
    CreateGroupSnapshotContentFailed Warning,
    /// The status could not be written.
    GroupSnapshotStatusUpdateFailed Warning,
    /// The group content could not be deleted.
    GroupSnapshotContentObjectDeleteError Warning,
    // Of group contents.
    /// The group content is not a valid one.
    GroupContentValidationError Warning,
    /// The driver did not make the group snapshot.
    GroupSnapshotCreationFailed Warning,
    /// The state of the group snapshot could not be found out.
    GroupSnapshotContentCheckandUpdateFailed Warning,
    /// The driver did not delete the group snapshot.
    GroupSnapshotDeleteError Warning,
    // Of claims, by the provisioner and the binder.
    /// A volume is being made for the claim.
    Provisioning Normal,
    /// The volume is there.
    ProvisioningSucceeded Normal,
    /// No volume could be made.
    ProvisioningFailed Warning,
    /// The claim waits for somebody else's provisioner.
    ExternalProvisioning Normal,
    /// A volume could not be removed from storage.
    VolumeFailedDelete Warning,
    // Of leases.
    /// A lease was won or lost.
    LeaderElection Normal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    /// Upstream's snapshot programs, by a search through their sources: 45 strings.
    const OF_SNAPSHOTS: &str = "
        ContentValidationError CreateGroupSnapshotContentFailed CreateSnapshotContentFailed
        CreatingGroupSnapshot CreatingSnapshot ErrorPVCFinalizer GetGroupSnapshotClassFailed
        GetSnapshotClassFailed GroupContentValidationError GroupSnapshotBindFailed
        GroupSnapshotContentCheckandUpdateFailed GroupSnapshotContentCreationFailed
        GroupSnapshotContentMisbound GroupSnapshotContentMismatch GroupSnapshotContentMissing
        GroupSnapshotContentObjectDeleteError GroupSnapshotCreated GroupSnapshotCreationFailed
        GroupSnapshotDeleteError GroupSnapshotFinalizerError GroupSnapshotHandleSet
        GroupSnapshotMisbound GroupSnapshotReady GroupSnapshotStatusUpdateFailed
        GroupSnapshotValidationError SetDefaultGroupSnapshotClassFailed
        SetDefaultSnapshotClassFailed SnapshotBindFailed SnapshotContentCheckandUpdateFailed
        SnapshotContentCreationFailed SnapshotContentMisbound SnapshotContentMismatch
        SnapshotContentMissing SnapshotContentObjectDeleteError SnapshotCreated
        SnapshotCreationFailed SnapshotDeleteError SnapshotDeletePending SnapshotFinalizerError
        SnapshotHandleSet SnapshotMisbound SnapshotPVCSourceMissing SnapshotReady
        SnapshotStatusUpdateFailed SnapshotValidationError";
    /// Upstream's provisioner, the binder of Kubernetes, and client-go's lease.
    const OF_OTHERS: &str = "
        ExternalProvisioning LeaderElection Provisioning ProvisioningFailed ProvisioningSucceeded
        VolumeFailedDelete";
    const NORMAL: &str = "
        CreatingGroupSnapshot CreatingSnapshot ExternalProvisioning GroupSnapshotCreated
        GroupSnapshotReady LeaderElection Provisioning ProvisioningSucceeded SnapshotCreated
        SnapshotReady";

    #[test]
    fn reasons_are_exactly_those_of_upstream() {
        assert_eq!(OF_SNAPSHOTS.split_whitespace().count(), 45);
        let expected: BTreeSet<&str> = OF_SNAPSHOTS
            .split_whitespace()
            .chain(OF_OTHERS.split_whitespace())
            .collect();
        let ours: BTreeSet<&str> = Reason::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(ours, expected);
        assert_eq!(ours.len(), Reason::ALL.len());
    }

    #[test]
    fn only_progress_is_normal() {
        let expected: BTreeSet<&str> = NORMAL.split_whitespace().collect();
        let ours: BTreeSet<&str> = Reason::ALL
            .iter()
            .filter(|it| !it.warns())
            .map(|it| it.as_str())
            .collect();
        assert_eq!(ours, expected);
    }
}
