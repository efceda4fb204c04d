//! Declares the flags that roles share, with upstream's names and defaults.
//!
//! Knows how they are written, not what they do. Values are read as Go's flags read them.

mod log;

use std::collections::BTreeMap;

use clap::{ArgAction, Args};

pub use log::{LogFlags, LogFormat};

use crate::GoDuration;
use crate::lease::Terms;
use crate::limit::Rate;

/// client-go's own defaults, for a rate or a burst of zero.
const QPS: f64 = 5.0;
const BURST: u32 = 10;

/// Flags of every role that works on the Kubernetes API.
#[derive(Debug, Clone, Args)]
pub struct RoleFlags {
    #[command(flatten)]
    pub leader: LeaderFlags,
    #[command(flatten)]
    pub rate: RateFlags,
    #[command(flatten)]
    pub http: HttpFlags,
    #[command(flatten)]
    pub log: LogFlags,
}

/// Who of several replicas works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderFlags {
    /// Work only while holding the lease
    #[arg(long, value_name = "BOOL", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub leader_election: bool,
    /// Namespace of the lease; the pod's own if empty
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub leader_election_namespace: String,
    /// How long others wait after the last sign of life
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub leader_election_lease_duration: GoDuration,
    /// How long a leader that cannot renew goes on
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub leader_election_renew_deadline: GoDuration,
    /// Between two renewals, or two looks of those who wait
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub leader_election_retry_period: GoDuration,
}

impl LeaderFlags {
    /// The durations.
    pub const fn terms(&self) -> Terms {
        Terms {
            duration: self.leader_election_lease_duration.0,
            renew_deadline: self.leader_election_renew_deadline.0,
            retry_period: self.leader_election_retry_period.0,
        }
    }
}

/// How fast requests may follow each other.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Requests")]
pub struct RateFlags {
    /// Requests per second to the API server; no limit of our own if not given
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number)]
    pub kube_api_qps: Option<f64>,
    /// Requests at once after a pause, where --kube-api-qps is given [default: 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub kube_api_burst: Option<i32>,
}

impl RateFlags {
    /// The limit; zero means client-go's default, and a negative rate none.
    pub(crate) fn rate(&self) -> Option<Rate> {
        let per_second = match self.kube_api_qps? {
            given if given < 0.0 => return None,
            0.0 => QPS,
            given => given,
        };
        let burst = self.kube_api_burst.and_then(|it| u32::try_from(it).ok());
        let burst = burst.filter(|it| *it > 0).unwrap_or(BURST);
        Some(Rate { per_second, burst })
    }

    fn notes(&self) -> Option<String> {
        (self.kube_api_burst.is_some() && self.kube_api_qps.is_none()).then(|| {
            "--kube-api-burst has no effect without --kube-api-qps: there is no limit".to_owned()
        })
    }
}

/// What is served over HTTP.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Metrics and health")]
pub struct HttpFlags {
    /// Address for metrics and health, such as :8080; nothing is served if empty
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        hide_default_value = true
    )]
    pub http_endpoint: String,
    /// Where metrics are served
    #[arg(long, value_name = "PATH", default_value = "/metrics")]
    pub metrics_path: String,
}

impl RoleFlags {
    /// What a person should know about flags that were taken and change nothing.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.log.notes();
        notes.extend(self.rate.notes());
        notes
    }
}

/// Labels as `--leader-election-labels` writes them: `key:value,key:value`.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((key, value)) if !key.is_empty() && !value.contains(':') => {
            Ok((key.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err(format!("\"{text}\" is no label; write KEY:VALUE")),
    }
}

/// The labels of all occurrences of the flag.
pub fn labels(given: Vec<(String, String)>) -> BTreeMap<String, String> {
    given.into_iter().collect()
}

/// A boolean as Go's flags take it.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(_) | Err(_) => Err("write a number, such as 20 or 0.5".to_owned()),
    }
}

/// The value of a flag that is no more: there is none, for giving it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {}

/// Refuses a flag that upstream once had, and says what to do instead.
pub fn removed(
    cure: &'static str,
) -> impl Fn(&str) -> Result<Removed, String> + Clone + Send + Sync + 'static {
    move |_| Err(format!("this flag is no more; {cure}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(args_override_self = true)]
    struct Line {
        #[command(flatten)]
        role: RoleFlags,
    }

    fn flags(line: &[&str]) -> RoleFlags {
        let line = std::iter::once(&"role").chain(line);
        Line::try_parse_from(line).unwrap().role
    }

    #[test]
    fn rates_are_read_as_client_go_reads_them() {
        let rate = |line: &[&str]| {
            let rate = flags(line).rate.rate();
            rate.map(|it| (it.per_second, it.burst))
        };
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&["--kube-api-qps=20"]), Some((20.0, 10)));
        assert_eq!(
            rate(&["--kube-api-qps", "2.5", "--kube-api-burst", "50"]),
            Some((2.5, 50))
        );
        assert_eq!(rate(&["--kube-api-qps=0"]), Some((5.0, 10)));
        assert_eq!(rate(&["--kube-api-qps=-1"]), None);
        assert_eq!(
            rate(&["--kube-api-qps=1", "--kube-api-burst=-3"]),
            Some((1.0, 10))
        );
        assert_eq!(rate(&["--kube-api-burst=50"]), None);
        assert_eq!(flags(&["--kube-api-burst=50"]).notes().len(), 1);
        assert!(Line::try_parse_from(["role", "--kube-api-qps=NaN"]).is_err());
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        let elects = |line: &[&str]| flags(line).leader.leader_election;
        assert!(!elects(&[]));
        assert!(elects(&["--leader-election"]));
        assert!(elects(&["--leader-election=1"]));
        assert!(!elects(&["--leader-election=F"]));
        // Go would take the word for an argument and stop reading flags.
        assert!(!elects(&["--leader-election", "false"]));
        assert!(elects(&[
            "--leader-election=false",
            "--leader-election=true"
        ]));
        assert!(Line::try_parse_from(["role", "--leader-election=yes"]).is_err());
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(label("a/b:c"), Ok(("a/b".to_owned(), "c".to_owned())));
        assert_eq!(label("a:"), Ok(("a".to_owned(), String::new())));
        for bad in ["", "a", ":b", "a:b:c", "a=b"] {
            assert_eq!(
                label(bad),
                Err(format!("\"{bad}\" is no label; write KEY:VALUE"))
            );
        }
    }

    #[test]
    fn an_unknown_flag_is_refused_with_the_nearest_name() {
        let error = Line::try_parse_from(["role", "--leader-elect"]).unwrap_err();
        assert!(error.to_string().contains("'--leader-election'"), "{error}");
    }

    #[test]
    fn leaders_have_upstreams_terms() {
        let terms = flags(&[]).leader.terms();
        assert_eq!(
            [terms.duration, terms.renew_deadline, terms.retry_period].map(|it| it.as_secs()),
            [15, 10, 5]
        );
    }
}
