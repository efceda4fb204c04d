//! `tintype restore`: fills a new claim, in any namespace, from a snapshot.
//!
//! A claim can be filled from a snapshot of its own namespace only, on every cluster whose API
//! server drops `dataSourceRef.namespace`. So the snapshot's handle is imported into the claim's
//! namespace first, by a content that is retained: nothing here can delete data. Does not know how
//! volumes are made.

mod cluster;
mod plan;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Resource, ResourceExt as _};
use tintype_api::{VolumeSnapshot, VolumeSnapshotContent};
use tokio::time::timeout;

use crate::access::Access;
use cluster::Cluster;
pub use plan::{Plan, Refusal, Source, Target, plan};

/// What to restore, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The snapshot: NAME, or NAMESPACE/NAME
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// The claim to create: NAME, or NAMESPACE/NAME
    #[arg(long, value_name = "CLAIM")]
    pub to: String,
    /// Namespace of names that have none; else the context's
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Storage class of the claim; else the source claim's, else the default class of the driver
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// Size of the claim, such as 10Gi; else what the snapshot needs
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// Remove the imported snapshot once the claim is bound; the data on storage stays
    #[arg(long)]
    pub clean_up: bool,
    /// Print what would be created, and create nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How --dry-run prints it
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml", value_parser = ["yaml", "json"])]
    pub output: String,
    /// How many seconds each step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Which cluster
    #[command(flatten)]
    pub access: Access,
}

/// Restores, and says what was done.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = args.access.open().await?;
    let default = args.namespace.as_deref();
    let default = default
        .unwrap_or_else(|| client.default_namespace())
        .to_owned();
    let from = named(&args.snapshot, &default).context("SNAPSHOT cannot be used")?;
    let to = named(&args.to, &default).context("--to cannot be used")?;
    let cluster = Cluster::new(client, Duration::from_secs(args.timeout));
    let source = cluster.source(&from).await?;
    let target = Target {
        namespace: to.0,
        claim: to.1,
        class: args.class.clone(),
        size: args.size.clone(),
    };
    let plan = plan(&source, &target)?;
    if args.dry_run {
        return say(&print(&plan, &args.output)?);
    }
    cluster.check(&plan, args.clean_up).await?;
    cluster.carry_out(&plan, args.clean_up).await
}

/// Namespace and name.
fn named(text: &str, default: &str) -> anyhow::Result<(String, String)> {
    let (namespace, name) = text.split_once('/').unwrap_or((default, text));
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        bail!("\"{text}\" is neither NAME nor NAMESPACE/NAME");
    }
    Ok((namespace.to_owned(), name.to_owned()))
}

fn print(plan: &Plan, format: &str) -> anyhow::Result<String> {
    let documents = plan.documents();
    if format == "json" {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": documents});
        return Ok(serde_json::to_string_pretty(&list)?);
    }
    let texts = documents.iter().map(serde_yaml_ng::to_string);
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("---\n"))
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", line.trim_end()).context("cannot write to standard output")
}

impl Cluster {
    async fn carry_out(&self, plan: &Plan, clean_up: bool) -> anyhow::Result<()> {
        let target = &plan.target;
        let claim = format!("{}/{}", target.namespace, target.claim);
        if let Some(import) = &plan.import {
            self.create(&import.content).await?;
            self.create(&import.snapshot).await?;
            let name = import.snapshot.name_any();
            say(&format!(
                "snapshot {} is imported as {}/{name} (content {}, Retain: the data on storage stays)",
                plan.source,
                target.namespace,
                import.content.name_any()
            ))?;
            let snapshots: Api<VolumeSnapshot> = self.namespaced(&target.namespace);
            let ready = |it: Option<&VolumeSnapshot>| it.is_some_and(VolumeSnapshot::ready);
            let waited = self.wait(snapshots.clone(), &name, ready).await?;
            if !waited {
                let status = snapshots.get_opt(&name).await?.and_then(|it| it.status);
                let error = status.and_then(|it| it.error?.message);
                let why = error.unwrap_or_else(|| {
                    "is the snapshot-controller running, and the csi-snapshotter of its driver?"
                        .to_owned()
                });
                bail!(
                    "the imported snapshot {}/{name} is not ready: {why}",
                    target.namespace
                );
            }
        }
        self.create(&plan.claim).await?;
        say(&format!(
            "claim {claim} is created, and filled from the snapshot"
        ))?;
        if plan.waits {
            let clean_up = plan.removal();
            return say(&format!(
                "its class binds late: the volume is made once a pod that uses it is placed{}",
                clean_up.map_or_else(String::new, |it| format!("; then the import can go: {it}"))
            ));
        }
        let claims: Api<PersistentVolumeClaim> = self.namespaced(&target.namespace);
        let bound = |it: Option<&PersistentVolumeClaim>| {
            let status = it.and_then(|it| it.status.as_ref());
            status.and_then(|it| it.phase.as_deref()) == Some("Bound")
        };
        if !self.wait(claims, &target.claim, bound).await? {
            bail!(
                "claim {claim} is not bound yet, and nothing was removed; `kubectl describe pvc -n {} {}` says what it waits for",
                target.namespace,
                target.claim
            );
        }
        say(&format!("claim {claim} is bound"))?;
        match plan.removal() {
            Some(_) if clean_up => self.remove(plan).await,
            Some(removal) => say(&format!("the import is not needed any more: {removal}")),
            None => Ok(()),
        }
    }

    async fn remove(&self, plan: &Plan) -> anyhow::Result<()> {
        let Some(import) = &plan.import else {
            return Ok(());
        };
        let snapshots: Api<VolumeSnapshot> = self.namespaced(&plan.target.namespace);
        self.delete(snapshots, &import.snapshot.name_any()).await?;
        let contents: Api<VolumeSnapshotContent> = self.cluster_wide();
        self.delete(contents, &import.content.name_any()).await?;
        say("the import is removed")
    }

    async fn delete<K>(&self, api: Api<K>, name: &str) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Send
            + serde::de::DeserializeOwned
            + 'static,
    {
        let Some(object) = api.get_opt(name).await? else {
            return Ok(());
        };
        let uid = object.uid().unwrap_or_default();
        api.delete(name, &kube::api::DeleteParams::default())
            .await
            .with_context(|| format!("cannot delete {} {name}", K::kind(&())))?;
        if !self.wait(api, name, is_deleted(&uid)).await? {
            bail!(
                "{} {name} is still there; what holds it is in its finalizers",
                K::kind(&())
            );
        }
        Ok(())
    }

    /// False if it took too long.
    async fn wait<K>(
        &self,
        api: Api<K>,
        name: &str,
        condition: impl Condition<K>,
    ) -> anyhow::Result<bool>
    where
        K: Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let waiting = Box::pin(await_condition(api, name, condition));
        match timeout(self.patience, waiting).await {
            Ok(done) => done
                .map(|_| true)
                .with_context(|| format!("cannot watch {name}")),
            Err(_) => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_a_namespace() {
        let pair = |text| named(text, "here").unwrap();
        assert_eq!(pair("a"), ("here".to_owned(), "a".to_owned()));
        assert_eq!(pair("b/a"), ("b".to_owned(), "a".to_owned()));
        for wrong in ["", "/", "a/", "/a", "a/b/c"] {
            named(wrong, "here").unwrap_err();
        }
    }
}
