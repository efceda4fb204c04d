//! Says what our definitions would break in a living cluster, and how to move it there: `tintype crds --check`.
//!
//! Only looks. What was seen is judged in [`find`]; whether an object fits a schema in [`fits`].

mod find;
mod fits;
mod see;

use tintype_api::crds_with;

use crate::crds::{Args, Verdict, advice, listed};
use find::{Finding, Weight, find};

/// Looks at the cluster the flags name.
pub async fn check(args: &Args) -> anyhow::Result<Verdict> {
    let definitions = crds_with(&args.options()?)?;
    let seen = see::see(&args.client().await?, &definitions).await?;
    Ok(verdict(&find(&seen, &definitions)))
}

fn verdict(findings: &[Finding]) -> Verdict {
    let to_do = findings.iter().any(|it| it.weight == Weight::Breaks);
    if findings.is_empty() {
        let text =
            "nothing stands in the way: the definitions can be applied as they are\n".to_owned();
        return Verdict { text, to_do };
    }
    let told = findings.iter().map(|it| {
        let lines = vec![it.what.clone(), it.why.clone(), advice(&it.cure)];
        (it.weight.word(), lines)
    });
    let count = |weight| findings.iter().filter(|it| it.weight == weight).count();
    let sum = format!(
        "{} would break, {} to know of",
        count(Weight::Breaks),
        count(Weight::Note)
    );
    Verdict {
        text: format!("{}\n{sum}\n", listed(told)),
        to_do,
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
            !note.to_do && note.text.ends_with("0 would break, 1 to know of\n"),
            "{}",
            note.text
        );
        assert!(verdict(&[finding(Weight::Note), finding(Weight::Breaks)]).to_do);
    }
}
