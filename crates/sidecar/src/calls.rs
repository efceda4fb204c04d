//! Hands what is known of each call to the driver on to the metrics.

use std::time::Duration;

use tintype_csi::Observe;
use tintype_runtime::CallMetrics;
use tonic::Code;

/// Told of every call.
#[derive(Debug)]
pub(crate) struct Calls(pub(crate) CallMetrics);

impl Observe for Calls {
    fn called(&self, method: &'static str, code: Code, took: Duration) {
        self.0.called(method, go_name(code), took);
    }
}

/// The code as Go's gRPC prints it, which is what upstream's metrics say.
const fn go_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use tintype_runtime::Metrics;

    use super::*;

    #[test]
    fn codes_are_named_as_go_names_them() {
        let metrics = Metrics::new().unwrap();
        let calls = Calls(metrics.calls().unwrap());
        calls.called("/csi.v1.Identity/Probe", Code::Ok, Duration::ZERO);
        calls.called("/csi.v1.Identity/Probe", Code::Cancelled, Duration::ZERO);
        let text = metrics.text().unwrap();
        for code in ["OK", "Canceled"] {
            let label = format!("grpc_status_code=\"{code}\"");
            assert!(text.contains(&label), "{text}");
        }
    }
}
