//! Says what our definitions would break in a living cluster, and how to move it there: `tintype crds --check`.
//!
//! Only looks. What was seen is judged in [`find`]; whether an object fits a schema in [`fits`].

mod find;
mod fits;
mod see;

use std::path::Path;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tintype_api::crds_with;

use crate::crds::Args;
use find::{Finding, Weight, find};

/// What a look came to.
#[derive(Debug)]
pub struct Verdict {
    /// For a person.
    pub text: String,
    /// Something would break, or is broken.
    pub breaks: bool,
}

/// Looks at the cluster the flags name.
pub async fn check(args: &Args) -> anyhow::Result<Verdict> {
    let definitions = crds_with(&args.options()?)?;
    let client = client(args.kubeconfig.as_deref()).await?;
    let seen = see::see(&client, &definitions).await?;
    Ok(verdict(&find(&seen, &definitions)))
}

async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path);
            let file =
                file.with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            config.with_context(|| format!("cannot use the kubeconfig {}", path.display()))?
        }
        None => Config::infer()
            .await
            .context("there is no cluster to look at; give a --kubeconfig")?,
    };
    Client::try_from(config).context("cannot make a Kubernetes client")
}

fn verdict(findings: &[Finding]) -> Verdict {
    let breaks = findings.iter().any(|it| it.weight == Weight::Breaks);
    if findings.is_empty() {
        let text =
            "nothing stands in the way: the definitions can be applied as they are\n".to_owned();
        return Verdict { text, breaks };
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "what", "why", "what to do"]);
    for Finding {
        weight,
        what,
        why,
        cure,
    } in findings
    {
        table.add_row([weight.word(), what, why, cure]);
    }
    let count = |weight| findings.iter().filter(|it| it.weight == weight).count();
    let sum = format!(
        "{} would break, {} to know of",
        count(Weight::Breaks),
        count(Weight::Note)
    );
    Verdict {
        text: format!("{}\n{sum}\n", table.trim_fmt()),
        breaks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_what_why_and_what_to_do() {
        assert!(verdict(&[]).text.starts_with("nothing stands in the way"));
        let finding = |weight| Finding {
            weight,
            what: "it".into(),
            why: "so".into(),
            cure: "do".into(),
        };
        let note = verdict(&[finding(Weight::Note)]);
        assert!(
            !note.breaks && note.text.ends_with("0 would break, 1 to know of\n"),
            "{}",
            note.text
        );
        assert!(verdict(&[finding(Weight::Note), finding(Weight::Breaks)]).breaks);
    }
}
