//! Names every way in which a call can fail and gives each its gRPC code.
//!
//! It does not know which call failed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use tonic::{Code, Status};

use crate::copy::CopyError;

/// The kinds of things that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Volume,
    Snapshot,
    Group,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Volume => "volume",
            Self::Snapshot => "snapshot",
            Self::Group => "group",
        })
    }
}

/// Why a call is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{field}: {problem}")]
    Invalid {
        field: &'static str,
        problem: String,
    },
    #[error("{kind} {id:?} does not exist")]
    Missing { kind: Kind, id: String },
    #[error("{kind} {name:?} exists already and is another one: {difference}")]
    Taken {
        kind: Kind,
        name: String,
        difference: String,
    },
    #[error("{0}")]
    Precondition(String),
    /// Data is not there any more, or not as it was.
    #[error("{0}")]
    Lost(String),
    #[error("{0}")]
    NoRoom(String),
    /// It may work at another time.
    #[error("{0}")]
    Again(String),
    #[error("{program} failed on {path:?}: {problem}")]
    Tool {
        program: &'static str,
        path: PathBuf,
        problem: String,
    },
    #[error("{0}")]
    OutOfRange(String),
    #[error("{0}")]
    Occupied(String),
    #[error("{0}")]
    NotThere(String),
    #[error("this node cannot be reached from where the volume is wanted; it is in {0}")]
    Elsewhere(String),
    #[error(
        "starting_token {0:?} was not given out by this driver; start the list again without one"
    )]
    Token(String),
    #[error(
        "the record of {kind} {id:?} in {path:?} is damaged ({problem}); stop the driver and run \
         `tintype csi-driver fsck --repair`, or delete the {kind}"
    )]
    Damaged {
        kind: Kind,
        id: String,
        path: PathBuf,
        problem: String,
    },
    #[error("cannot {action} {path:?}: {}", explain(source))]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the driver is stopping; try again when it is back")]
    Stopping,
}

/// The system's words, with a cure where there is one.
fn explain(error: &io::Error) -> String {
    let cure = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC) => {
            "; free some space or inodes (`df -i`) on that file system, or delete snapshots"
        }
        Some(Errno::DQUOT) => "; raise the quota, or delete snapshots",
        Some(Errno::ROFS) => "; mount that file system for writing",
        Some(Errno::IO) => "; look into the kernel's log for that disk, then restart the driver",
        Some(Errno::ACCESS | Errno::PERM) => {
            "; run the driver as a user who may, for all files as root or with CAP_DAC_OVERRIDE"
        }
        Some(Errno::MFILE | Errno::NFILE) => "; raise the limit of open files",
        _ => "",
    };
    format!("{error}{cure}")
}

impl Refusal {
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }

    pub(crate) fn missing(kind: Kind, id: &str) -> Self {
        Self::Missing {
            kind,
            id: id.to_owned(),
        }
    }

    /// Names the operation and the object of a failed system call, for `map_err`.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source: source.into(),
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::Missing { .. } | Self::NotThere(_) => Code::NotFound,
            Self::Taken { .. } | Self::Occupied(_) => Code::AlreadyExists,
            Self::Precondition(_) => Code::FailedPrecondition,
            Self::OutOfRange(_) => Code::OutOfRange,
            // CSI, CreateVolume: unable to provision in `accessible_topology`.
            Self::Elsewhere(_) | Self::NoRoom(_) => Code::ResourceExhausted,
            // CSI, ListVolumes: invalid `starting_token`.
            Self::Token(_) | Self::Again(_) => Code::Aborted,
            Self::Damaged { .. } | Self::Lost(_) => Code::DataLoss,
            // The programs are run in one language, and know no other sign.
            Self::Tool { problem, .. } if problem.contains("No space left on device") => {
                Code::ResourceExhausted
            }
            Self::Tool { .. } => Code::Internal,
            Self::Stopping => Code::Unavailable,
            Self::Io { source, .. } => match source.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOSPC | Errno::DQUOT) => Code::ResourceExhausted,
                Some(Errno::FBIG) => Code::OutOfRange,
                Some(Errno::BUSY | Errno::ROFS) => Code::FailedPrecondition,
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Code::Unavailable,
                _ => Code::Internal,
            },
        }
    }
}

impl From<CopyError> for Refusal {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
            CopyError::Stopped => Self::Stopping,
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code();
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::error!(%refusal, "a call failed");
        }
        Self::new(code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_storage_lacks_is_told_with_a_code_the_path_and_a_cure() {
        let table = [
            (Errno::NOSPC, Code::ResourceExhausted, "or inodes (`df -i`)"),
            (Errno::DQUOT, Code::ResourceExhausted, "raise the quota"),
            (Errno::ROFS, Code::FailedPrecondition, "for writing"),
            (Errno::IO, Code::Internal, "the kernel's log"),
            (Errno::MFILE, Code::Unavailable, "limit of open files"),
        ];
        for (errno, code, cure) in table {
            let refusal = Refusal::io("make the folder", "/data/aside/1")(errno);
            let status = Status::from(refusal);
            assert_eq!(status.code(), code, "{errno}");
            let text = status.message();
            assert!(
                text.contains("/data/aside/1") && text.contains(cure),
                "{text}"
            );
        }
    }
}
