//! Prints the definitions, as upstream ships them or with what is laid over them: `tintype crds`.
//!
//! With `--check` it looks at a cluster instead, and with `--migrate-stored` it gets one ready; how is in
//! [`check`](crate::check) and [`migrate`](crate::migrate).

use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comfy_table::{ContentArrangement, Table, presets};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tintype_api::{CRDS, ConversionWebhook, CrdOptions, crds_with};

const EXAMPLES: &str = "\
Examples:
  tintype crds | kubectl apply -f -     install the definitions, as upstream has them
  tintype crds --check                  look first
  tintype crds --migrate-stored         get out of versions that are stored no more";

/// Print the definitions of the snapshot kinds, or say what they would break in a cluster, or move what it stores.
#[derive(Debug, Clone, clap::Parser)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Who converts group snapshot contents between versions: nobody, as upstream, or the webhook
    #[arg(long, value_name = "BY", value_enum, default_value_t = Conversion::None)]
    pub conversion: Conversion,
    /// With --conversion webhook: the authorities that vouch for it, PEM; else the webhook itself says so
    #[arg(long, value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
    /// With --conversion webhook: its Service
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service)]
    pub webhook_service: Option<(String, String)>,
    /// Serve v1beta1 of snapshots, with a warning, and answer v1alpha1 of groups with what to change
    #[arg(long)]
    pub serve_legacy: bool,
    /// Print no definitions; say what these would break in a cluster
    ///
    /// Changes nothing. Exit status: 0 nothing would break, 3 something would, 1 the cluster could not be looked at.
    #[arg(long, group = "cluster")]
    pub check: bool,
    /// Print no definitions; write each object in a cluster once, so that older versions can go
    ///
    /// Each is written as it is, in the version that its definition in the cluster stores; what nothing is stored in any
    /// more is dropped from status.storedVersions. Can be called again at any time. Exit status: 0 all is moved, 3
    /// something is left, 1 the cluster could not be looked at.
    #[arg(long, group = "cluster", conflicts_with_all = ["conversion", "ca_bundle", "webhook_service", "serve_legacy"])]
    pub migrate_stored: bool,
    /// With --check or --migrate-stored: the cluster; else $KUBECONFIG, ~/.kube/config or the pod's own
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// With --check or --migrate-stored: context of the kubeconfig; else its current one
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub context: Option<String>,
}

/// Who converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Conversion {
    /// The API server, which changes the version and drops what it does not know
    None,
    /// The webhook of deploy/webhook/, which loses nothing
    Webhook,
}

fn service(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(
            "write NAMESPACE/NAME, such as kube-system/snapshot-conversion-webhook-service"
                .to_owned(),
        ),
    }
}

/// What is to be told of a cluster.
#[derive(Debug)]
pub struct Verdict {
    /// For a person.
    pub text: String,
    /// Somebody has to do something.
    pub to_do: bool,
}

/// What is told, line by line behind one word, as wide as the terminal.
pub(crate) fn listed(told: impl Iterator<Item = (&'static str, Vec<String>)>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    for (word, lines) in told {
        table.add_row([word.to_owned(), lines.join("\n")]);
    }
    table.trim_fmt() + "\n"
}

/// The line that says what to do.
pub(crate) fn advice(cure: &str) -> String {
    format!("→ {cure}")
}

impl Args {
    /// The cluster that the flags name.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = match &self.kubeconfig {
            Some(path) => {
                let name = || format!("cannot use --kubeconfig {}", path.display());
                let file = Kubeconfig::read_from(path).with_context(name)?;
                let config = Config::from_custom_kubeconfig(file, &options).await;
                config.with_context(name)?
            }
            None if self.context.is_some() => {
                let config = Config::from_kubeconfig(&options).await;
                config.context(
                    "cannot use --context; kubectl config get-contexts lists what there is",
                )?
            }
            None => Config::infer().await.context(
                "no cluster to look at; set KUBECONFIG, or give --kubeconfig and perhaps --context",
            )?,
        };
        Client::try_from(config).context("cannot make a Kubernetes client")
    }

    pub(crate) fn options(&self) -> anyhow::Result<CrdOptions> {
        if self.conversion == Conversion::None {
            anyhow::ensure!(
                self.ca_bundle.is_none() && self.webhook_service.is_none(),
                "--ca-bundle and --webhook-service say where the webhook is; add --conversion webhook"
            );
            return Ok(CrdOptions {
                serve_legacy: self.serve_legacy,
                conversion: None,
            });
        }
        let mut webhook = ConversionWebhook::default();
        if let Some((namespace, name)) = &self.webhook_service {
            (webhook.namespace, webhook.service) = (namespace.clone(), name.clone());
        }
        if let Some(file) = &self.ca_bundle {
            let text = std::fs::read(file)
                .with_context(|| format!("cannot read --ca-bundle={}", file.display()))?;
            let first = CertificateDer::from_pem_slice(&text);
            first.with_context(|| {
                format!(
                    "--ca-bundle={} holds no certificate in PEM form",
                    file.display()
                )
            })?;
            webhook.ca_bundle = Some(STANDARD.encode(text));
        }
        Ok(CrdOptions {
            serve_legacy: self.serve_legacy,
            conversion: Some(webhook),
        })
    }
}

/// The definitions, one document after the other.
pub fn print(args: &Args) -> anyhow::Result<String> {
    let options = args.options()?;
    if options == CrdOptions::default() {
        // Word for word, with comments.
        let texts = CRDS.iter().map(|(_, text)| text.trim_end());
        return Ok(texts.collect::<Vec<_>>().join("\n---\n"));
    }
    let mut texts = Vec::new();
    for definition in crds_with(&options)? {
        texts.push(serde_yaml_ng::to_string(&definition).context("cannot write a definition")?);
    }
    Ok(texts.join("---\n"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    fn args(line: &[&str]) -> Args {
        Args::try_parse_from(std::iter::once(&"crds").chain(line)).unwrap()
    }

    fn printed(line: &[&str]) -> Vec<Value> {
        let text = print(&args(line)).unwrap();
        serde_yaml_ng::Deserializer::from_str(&text)
            .map(|it| Value::deserialize(it).unwrap())
            .collect()
    }

    #[test]
    fn what_is_printed_is_what_is_asked_for() {
        assert_eq!(printed(&[]), tintype_api::crds().unwrap());
        let legacy = CrdOptions {
            serve_legacy: true,
            conversion: None,
        };
        assert_eq!(printed(&["--serve-legacy"]), crds_with(&legacy).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.crt");
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        std::fs::write(&file, made.cert.pem()).unwrap();
        let file = file.to_str().unwrap();
        let all = printed(&[
            "--conversion",
            "webhook",
            "--webhook-service=a/b",
            "--ca-bundle",
            file,
        ]);
        let with: Vec<&Value> = all
            .iter()
            .filter(|it| it["spec"]["conversion"].is_object())
            .collect();
        assert_eq!(with.len(), 1);
        let client = &with[0]["spec"]["conversion"]["webhook"]["clientConfig"];
        assert_eq!(
            (&client["service"]["namespace"], &client["service"]["name"]),
            (&"a".into(), &"b".into())
        );
        assert_eq!(client["caBundle"], STANDARD.encode(made.cert.pem()));
    }

    #[test]
    fn flags_that_do_not_go_together_are_told() {
        let error = print(&args(&["--ca-bundle=x"])).unwrap_err().to_string();
        assert!(error.ends_with("add --conversion webhook"), "{error}");
        let missing = args(&["--conversion=webhook", "--ca-bundle=/no/such"]);
        assert_eq!(
            print(&missing).unwrap_err().to_string(),
            "cannot read --ca-bundle=/no/such"
        );
        let no_pem = args(&["--conversion=webhook", "--ca-bundle=/dev/null"]);
        assert!(
            print(&no_pem)
                .unwrap_err()
                .to_string()
                .contains("holds no certificate")
        );
        for line in [
            &["--webhook-service=a"][..],
            &["--webhook-service=/b"],
            &["--webhook-service=a/b/c"],
            &["--kubeconfig=x"],
            &["--context=x"],
            &["--check", "--migrate-stored"],
            // What is moved is as the cluster has it.
            &["--migrate-stored", "--serve-legacy"],
            &["--migrate-stored", "--conversion=webhook"],
        ] {
            assert!(
                Args::try_parse_from(["crds"].iter().chain(line)).is_err(),
                "{line:?}"
            );
        }
        args(&["--check", "--serve-legacy", "--kubeconfig=x", "--context=y"]);
        args(&["--migrate-stored", "--kubeconfig=x"]);
    }
}
