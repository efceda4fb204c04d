//! Makes figures of what was measured.
//! Pure: arithmetic and names. The names in JSON are kept from version to version.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::processes::Usage;
use super::requests::Requests;

/// What was done with the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stage {
    #[serde(rename = "snap")]
    Create,
    #[serde(rename = "delete")]
    Delete,
}

impl Stage {
    pub(super) fn reached(self) -> &'static str {
        match self {
            Self::Create => "got ready",
            Self::Delete => "were gone",
        }
    }
}

/// One stage in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub mode: Stage,
    pub driver: String,
    pub n: u32,
    pub pvcs: u32,
    /// How many got there.
    pub done: usize,
    /// All did.
    pub complete: bool,
    /// Until the last request was answered.
    pub create_s: f64,
    /// Until the last snapshot was there.
    pub seconds: f64,
    pub per_s: f64,
    /// Of creation: from the request to ready. Of deletion: from the beginning of the stage.
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
    /// API requests for each snapshot, the measurement's own included; null if uncounted.
    pub writes_per_item: Option<f64>,
    pub reads_per_item: Option<f64>,
    /// By verb, resource and code, from one for 50 snapshots on.
    pub calls: Option<BTreeMap<String, f64>>,
    /// By the name given; null if there is no such process.
    pub proc: BTreeMap<String, Option<Spent>>,
}

/// What a process uses, and how much of its processor time went into this stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spent {
    #[serde(flatten)]
    pub now: Usage,
    pub stage_cpu_s: f64,
}

/// What was seen of one stage.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) mode: Stage,
    pub(super) driver: String,
    pub(super) n: u32,
    pub(super) pvcs: u32,
    /// The requests' answers took this long.
    pub(super) sent: Duration,
    pub(super) whole: Duration,
    /// One for each snapshot that got there.
    pub(super) latencies: Vec<Duration>,
    pub(super) requests: Option<Requests>,
    /// Name, and usage before and after.
    pub(super) processes: Vec<(String, Option<Usage>, Option<Usage>)>,
}

impl Measured {
    pub(super) fn figures(mut self) -> Figures {
        self.latencies.sort_unstable();
        let done = self.latencies.len();
        let whole = self.whole.as_secs_f64();
        let each = |count: u64| round(float(count) / f64::from(self.n), 2);
        let calls = |requests: &Requests| {
            let named = requests.named().map(|(name, count)| (name, each(count)));
            named.filter(|(_, share)| *share >= 0.02).collect()
        };
        let requests = self.requests.as_ref();
        Figures {
            mode: self.mode,
            driver: self.driver,
            n: self.n,
            pvcs: self.pvcs,
            done,
            complete: u32::try_from(done) == Ok(self.n),
            create_s: round(self.sent.as_secs_f64(), 2),
            seconds: round(whole, 2),
            per_s: if whole > 0.0 {
                round(float(done as u64) / whole, 1)
            } else {
                0.0
            },
            p50_s: percentile(&self.latencies, 50),
            p99_s: percentile(&self.latencies, 99),
            writes_per_item: requests.map(|requests| each(requests.writes())),
            reads_per_item: requests.map(|requests| each(requests.reads())),
            calls: requests.map(calls),
            proc: self.processes.into_iter().map(spent).collect(),
        }
    }
}

fn spent((name, before, now): (String, Option<Usage>, Option<Usage>)) -> (String, Option<Spent>) {
    let since = |now: Usage| round(now.cpu_s - before.map_or(0.0, |before| before.cpu_s), 2);
    (
        name,
        now.map(|now| Spent {
            now,
            stage_cpu_s: since(now),
        }),
    )
}

/// The smallest value that is greater than `part` of a hundred of the others.
fn percentile(sorted: &[Duration], part: usize) -> Option<f64> {
    sorted
        .get(sorted.len() * part / 100)
        .map(|time| round(time.as_secs_f64(), 3))
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

/// One JSON document a line.
pub(super) fn lines(all: &[Figures]) -> String {
    let line = |figures| serde_json::to_string(figures).unwrap_or_default() + "\n";
    all.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(latencies: impl Iterator<Item = u64>) -> Measured {
        Measured {
            mode: Stage::Create,
            driver: "d".to_owned(),
            n: 100,
            pvcs: 5,
            sent: Duration::from_millis(500),
            whole: Duration::from_secs(2),
            latencies: latencies.map(Duration::from_millis).collect(),
            requests: None,
            processes: vec![("gone".to_owned(), None, None)],
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let figures = measured((0..100).rev()).figures();
        assert_eq!((figures.p50_s, figures.p99_s), (Some(0.05), Some(0.099)));
        assert!(figures.complete);
        let figures = measured([7].into_iter()).figures();
        assert_eq!((figures.p50_s, figures.p99_s), (Some(0.007), Some(0.007)));
        assert_eq!(
            (figures.done, figures.complete, figures.per_s),
            (1, false, 0.5)
        );
        assert_eq!(measured([].into_iter()).figures().p50_s, None);
    }

    #[test]
    fn requests_are_told_for_each_snapshot() {
        let text = |posts| {
            format!(
                "apiserver_request_total{{code=\"201\",resource=\"r\",verb=\"POST\"}} {posts}\n\
                 apiserver_request_total{{code=\"200\",resource=\"r\",verb=\"GET\"}} 1\n"
            )
        };
        let mut measured = measured(0..100);
        measured.requests = Some(Requests::parse(&text(450)));
        let figures = measured.figures();
        assert_eq!(
            (figures.writes_per_item, figures.reads_per_item),
            (Some(4.5), Some(0.01))
        );
        let calls = BTreeMap::from([("POST r 201".to_owned(), 4.5)]);
        assert_eq!(figures.calls, Some(calls));
    }

    #[test]
    fn the_names_in_json_are_kept() {
        let mut measured = measured(0..100);
        let usage = |cpu_s| {
            Some(Usage {
                rss_mib: 5.5,
                peak_mib: 6.0,
                cpu_s,
            })
        };
        measured
            .processes
            .push(("p".to_owned(), usage(1.25), usage(2.0)));
        assert_eq!(
            lines(&[measured.figures()]),
            concat!(
                r#"{"mode":"snap","driver":"d","n":100,"pvcs":5,"done":100,"complete":true,"#,
                r#""create_s":0.5,"seconds":2.0,"per_s":50.0,"p50_s":0.05,"p99_s":0.099,"#,
                r#""writes_per_item":null,"reads_per_item":null,"calls":null,"#,
                r#""proc":{"gone":null,"p":{"rss_mib":5.5,"peak_mib":6.0,"cpu_s":2.0,"#,
                r#""stage_cpu_s":0.75}}}"#,
                "\n"
            )
        );
    }
}
