//! The flags of the webhook role: upstream's names and defaults, of its conversion webhook and of the validation webhook
//! before it.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use tintype_runtime::flags::{HttpFlags, LogFlags, go_bool};

/// Converts group snapshots between their versions, and refuses snapshot objects that cannot work.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "snapshot-conversion-webhook",
    version,
    args_override_self = true
)]
pub struct Args {
    /// Certificate to serve with, PEM; its issuers may follow. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of that certificate, PEM. Read again when it changes
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Make, rotate and publish the certificate instead of reading files
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub self_signed: bool,
    /// With --self-signed: the Secret that the replicas share, in their namespace
    #[arg(
        long,
        value_name = "NAME",
        default_value = "snapshot-conversion-webhook-secret"
    )]
    pub secret_name: String,
    /// With --self-signed: the Service under whose name the webhook is called
    #[arg(
        long,
        value_name = "NAME",
        default_value = "snapshot-conversion-webhook-service"
    )]
    pub service_name: String,
    /// With --self-signed: the namespace of Secret and Service; the pod's own if empty
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub service_namespace: String,
    /// Port to serve on; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    pub port: u16,
    /// Address to serve on; every address of the host if empty
    #[arg(long, value_name = "IP", default_value = "", hide_default_value = true)]
    pub bind_address: String,
    /// Kubeconfig file; in a pod the service account is used instead
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Refuse a change of the volume mode that a content records
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub prevent_volume_mode_conversion: bool,
    /// Validate group snapshots too, at /volumegroupsnapshot
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub enable_volume_group_snapshot_webhook: bool,
    /// Metrics and health in the clear
    #[command(flatten)]
    pub http: HttpFlags,
    /// How the log is written
    #[command(flatten)]
    pub log: LogFlags,
}

impl Default for Args {
    fn default() -> Self {
        Self::parse_from(["snapshot-conversion-webhook"])
    }
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificates {
    Files { certificate: PathBuf, key: PathBuf },
    SelfSigned,
}

/// Flags that do not go together.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    #[error("--tls-cert-file must be specified, or --self-signed")]
    NoCertificate,
    #[error("--tls-private-key-file must be specified, or --self-signed")]
    NoKey,
    #[error(
        "--self-signed makes its own certificate; take out --tls-cert-file and --tls-private-key-file"
    )]
    Both,
    #[error(
        "--bind-address={0} is no IP address; write one such as 127.0.0.1 or ::, or leave it out"
    )]
    BindAddress(String),
}

impl Args {
    pub(crate) fn certificates(&self) -> Result<Certificates, ArgsError> {
        let files = (
            self.tls_cert_file.clone(),
            self.tls_private_key_file.clone(),
        );
        match (self.self_signed, files) {
            (true, (None, None)) => Ok(Certificates::SelfSigned),
            (true, _) => Err(ArgsError::Both),
            (false, (None, _)) => Err(ArgsError::NoCertificate),
            (false, (Some(_), None)) => Err(ArgsError::NoKey),
            (false, (Some(certificate), Some(key))) => Ok(Certificates::Files { certificate, key }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Args {
        let line = std::iter::once(&"snapshot-conversion-webhook").chain(line);
        Args::try_parse_from(line).unwrap()
    }

    #[test]
    fn a_certificate_is_given_or_made() {
        let of = |line: &[&str]| parsed(line).certificates().map_err(|it| it.to_string());
        assert_eq!(of(&["--self-signed"]), Ok(Certificates::SelfSigned));
        let files = Certificates::Files {
            certificate: "a".into(),
            key: "b".into(),
        };
        assert_eq!(
            of(&["--tls-cert-file=a", "--tls-private-key-file=b"]),
            Ok(files)
        );
        assert!(
            of(&[])
                .unwrap_err()
                .starts_with("--tls-cert-file must be specified")
        );
        let lone = of(&["--tls-cert-file=a"]);
        assert!(
            lone.unwrap_err()
                .starts_with("--tls-private-key-file must be specified")
        );
        assert!(
            of(&["--self-signed", "--tls-cert-file=a"])
                .unwrap_err()
                .contains("take out")
        );
    }
}
