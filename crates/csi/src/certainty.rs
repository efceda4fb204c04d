//! Tells what a failed call says about the storage: surely nothing happened, or it may have.
//!
//! It does not know what the caller will do about it.

use std::fmt;

use tonic::{Code, Status};

/// What is known of the effect of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It had none: the driver refused.
    Certain,
    /// It may have had one, or may still get it.
    Uncertain,
}

/// What a call is for, where that changes the meaning of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// `CreateVolume`: no space here is a definite answer.
    Provision,
    /// All else: no space now may be followed by space later, with the call still going on.
    Other,
}

/// Classifies the code of an answer.
///
/// `None` is a call that no driver answered: a broken connection, or a reply that breaks the
/// specification.
pub fn certainty(answer: Option<Code>, purpose: Purpose) -> Certainty {
    match (answer, purpose) {
        (Some(Code::ResourceExhausted), Purpose::Provision) => Certainty::Certain,
        (
            None
            | Some(
                Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Unavailable
                | Code::ResourceExhausted
                | Code::Aborted,
            ),
            _,
        ) => Certainty::Uncertain,
        (Some(_), _) => Certainty::Certain,
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The call's name in the specification, such as `CreateSnapshot`.
    pub rpc: &'static str,
    /// The answer's code; `Unavailable` or `Unknown` if there was no answer.
    pub code: Code,
    /// The driver's words, or those of the connection.
    pub message: String,
    /// Whether the call may have had an effect.
    pub certainty: Certainty,
}

impl CallError {
    /// The call may have had an effect.
    pub fn is_uncertain(&self) -> bool {
        self.certainty == Certainty::Uncertain
    }

    /// Reads what tonic made of an answer or of the lack of one.
    pub(crate) fn of_status(rpc: &'static str, purpose: Purpose, status: &Status) -> Self {
        let cause = std::error::Error::source(status);
        // Only a status made on this side has a cause; one from the driver came as text.
        let answer = cause.is_none().then_some(status.code());
        let message = match cause {
            Some(cause) => chain(cause),
            None => status.message().to_owned(),
        };
        Self {
            rpc,
            code: status.code(),
            message,
            certainty: certainty(answer, purpose),
        }
    }

    /// The caller's patience ended first.
    pub(crate) fn deadline(rpc: &'static str) -> Self {
        Self {
            rpc,
            code: Code::DeadlineExceeded,
            message: "no answer before the deadline".to_owned(),
            certainty: Certainty::Uncertain,
        }
    }

    /// The driver said OK and then broke the specification: it may well have done the work.
    pub(crate) fn malformed(rpc: &'static str, problem: impl fmt::Display) -> Self {
        Self {
            rpc,
            code: Code::Internal,
            message: format!("the driver's reply breaks the CSI specification: {problem}"),
            certainty: certainty(None, Purpose::Other),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} failed with {:?}: {}",
            self.rpc, self.code, self.message
        )
    }
}

impl std::error::Error for CallError {}

/// The texts of an error and its causes, less those that repeat their parent's.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_class() {
        use Certainty::{Certain, Uncertain};
        let table = [
            (Code::Cancelled, Uncertain),
            (Code::Unknown, Certain),
            (Code::InvalidArgument, Certain),
            (Code::DeadlineExceeded, Uncertain),
            (Code::NotFound, Certain),
            (Code::AlreadyExists, Certain),
            (Code::PermissionDenied, Certain),
            (Code::ResourceExhausted, Uncertain),
            (Code::FailedPrecondition, Certain),
            (Code::Aborted, Uncertain),
            (Code::OutOfRange, Certain),
            (Code::Unimplemented, Certain),
            (Code::Internal, Certain),
            (Code::Unavailable, Uncertain),
            (Code::DataLoss, Certain),
            (Code::Unauthenticated, Certain),
        ];
        for (code, expected) in table {
            assert_eq!(certainty(Some(code), Purpose::Other), expected, "{code:?}");
        }
    }

    #[test]
    fn no_space_for_a_volume_is_a_definite_answer() {
        let certain = certainty(Some(Code::ResourceExhausted), Purpose::Provision);
        assert_eq!(certain, Certainty::Certain);
        let aborted = certainty(Some(Code::Aborted), Purpose::Provision);
        assert_eq!(aborted, Certainty::Uncertain);
    }

    #[test]
    fn no_answer_is_never_certain() {
        for purpose in [Purpose::Provision, Purpose::Other] {
            assert_eq!(certainty(None, purpose), Certainty::Uncertain);
        }
    }

    #[test]
    fn a_status_with_a_cause_came_from_this_side() {
        let mut status = Status::internal("broken pipe");
        let from_driver = CallError::of_status("Probe", Purpose::Other, &status);
        assert_eq!(from_driver.certainty, Certainty::Certain);
        status.set_source(std::sync::Arc::new(std::io::Error::other("broken pipe")));
        let from_here = CallError::of_status("Probe", Purpose::Other, &status);
        assert_eq!(from_here.certainty, Certainty::Uncertain);
    }
}
