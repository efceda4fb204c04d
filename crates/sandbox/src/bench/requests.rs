//! Reads how many requests an API server has answered, and what came between two readings.
//! Pure: knows the text of `/metrics` and nothing of snapshots.

use std::collections::BTreeMap;

/// Answered requests by verb, resource (with subresource) and code. Watches, connections, leases
/// and what is no resource are left out: they do not depend on how many snapshots there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Requests(BTreeMap<(String, String, String), u64>);

impl Requests {
    /// Reads `/metrics`; other metrics are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut requests = Self::default();
        for line in text.lines() {
            if let Some((key, count)) = counted(line) {
                *requests.0.entry(key).or_default() += count;
            }
        }
        requests
    }

    /// What came after `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let later = |(key, count): (&(String, String, String), &u64)| {
            let before = earlier.0.get(key).copied().unwrap_or_default();
            let more = count.saturating_sub(before);
            (more > 0).then(|| (key.clone(), more))
        };
        Self(self.0.iter().filter_map(later).collect())
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(super) fn reads(&self) -> u64 {
        let read = self
            .0
            .iter()
            .filter(|((verb, ..), _)| matches!(verb.as_str(), "GET" | "LIST"));
        read.map(|(_, count)| count).sum()
    }

    pub(super) fn writes(&self) -> u64 {
        self.total() - self.reads()
    }

    /// `VERB resource code` and how many.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, u64)> {
        let name = |(verb, resource, code): &(String, String, String)| {
            format!("{verb} {resource} {code}").trim_end().to_owned()
        };
        self.0.iter().map(move |(key, count)| (name(key), *count))
    }
}

/// One line of `apiserver_request_total`, if it counts.
fn counted(line: &str) -> Option<((String, String, String), u64)> {
    let (labels, value) = line
        .strip_prefix("apiserver_request_total{")?
        .rsplit_once("} ")?;
    let label = |wanted: &str| {
        let mut found = labels.split(',').filter_map(|label| label.split_once('='));
        let (_, value) = found.find(|(name, _)| *name == wanted)?;
        Some(value.trim_matches('"').to_owned())
    };
    let (verb, mut resource) = (label("verb")?, label("resource")?);
    if matches!(verb.as_str(), "WATCH" | "CONNECT") || matches!(resource.as_str(), "leases" | "") {
        return None;
    }
    if let Some(subresource) = label("subresource").filter(|it| !it.is_empty()) {
        resource = format!("{resource}/{subresource}");
    }
    Some((
        (verb, resource, label("code").unwrap_or_default()),
        whole(value.split(' ').next()?)?,
    ))
}

/// Counters are written as numbers with a fraction or an exponent once they are large.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests is whole and far below 2^53"
)]
fn whole(number: &str) -> Option<u64> {
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# HELP apiserver_request_total Counter
apiserver_request_total{code="201",component="apiserver",dry_run="",group="g",resource="volumesnapshots",scope="resource",subresource="",verb="POST",version="v1"} 4
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 90
"#;
    const AFTER: &str = r#"apiserver_request_total{code="201",component="apiserver",dry_run="",group="g",resource="volumesnapshots",scope="resource",subresource="",verb="POST",version="v1"} 1.000004e+06
apiserver_request_total{code="200",group="g",resource="volumesnapshots",subresource="status",verb="PATCH"} 7
apiserver_request_total{code="200",group="h",resource="volumesnapshots",subresource="status",verb="PATCH"} 1
apiserver_request_total{code="200",resource="volumesnapshots",subresource="",verb="LIST"} 2
apiserver_request_total{code="0",resource="volumesnapshots",subresource="",verb="WATCH"} 5
apiserver_request_total{code="200",resource="",subresource="",verb="GET"} 5
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT"} 99
apiserver_request_duration{resource="pods",verb="GET"} 3
"#;

    #[test]
    fn counts_what_came_between() {
        let between = Requests::parse(AFTER).since(&Requests::parse(BEFORE));
        let named: Vec<_> = between.named().collect();
        let wanted = [
            ("LIST volumesnapshots 200", 2),
            ("PATCH volumesnapshots/status 200", 8),
            ("POST volumesnapshots 201", 1_000_000),
        ];
        assert_eq!(named, wanted.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!((between.reads(), between.writes()), (2, 1_000_008));
    }
}
