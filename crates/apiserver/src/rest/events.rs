//! Converts an event between `v1` and `events.k8s.io/v1`: one store, two spellings.
//!
//! Does not know anything else of events.

use serde_json::{Map, Value, json};

/// `v1` field, `events.k8s.io/v1` field.
const RENAMED: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];
/// The same, with another name for the same idea.
const REPORTER: (&str, &str) = ("reportingComponent", "reportingController");

/// Rewrites an event for a group: "" or `events.k8s.io`. What fits already stays.
pub(crate) fn convert(event: &mut Value, group: &str) {
    let Some(fields) = event.as_object_mut() else {
        return;
    };
    for (core, new) in RENAMED.into_iter().chain([REPORTER]) {
        if group.is_empty() {
            rename(fields, new, core);
        } else {
            rename(fields, core, new);
        }
    }
    let version = if group.is_empty() {
        "v1"
    } else {
        "events.k8s.io/v1"
    };
    fields.insert("apiVersion".into(), json!(version));
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.into(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_to_the_other_group_and_back() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "p"}, "reason": "R", "message": "m", "type": "Normal",
            "source": {"component": "c"}, "count": 2, "reportingComponent": "c",
            "eventTime": null});
        let mut event = core.clone();
        convert(&mut event, "events.k8s.io");
        let expected = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "e"}, "regarding": {"name": "p"}, "reason": "R", "note": "m",
            "type": "Normal", "deprecatedSource": {"component": "c"}, "deprecatedCount": 2,
            "reportingController": "c", "eventTime": null});
        assert_eq!(event, expected);
        convert(&mut event, "");
        assert_eq!(event, core);
    }
}
