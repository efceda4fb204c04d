//! Checks that rules see texts with a format as what they stand for.

use super::*;

#[test]
fn formats_of_times_make_times_of_texts() {
    let shaped = |rule: &str| {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
        "span": {"type": "string", "format": "duration"}, "raw": {"type": "string", "format": "byte"},
        "plain": {"type": "string", "format": "datetime"}},
        "x-kubernetes-validations": [{"rule": rule}]}}})
    };
    let full = json!({"at": "2024-05-01T22:30:00-05:00", "day": "2024-05-01", "span": "1 day 2h",
        "raw": "aGk=", "plain": "2024-05-01T22:30:00Z"});
    let good = [
        "self.at == timestamp('2024-05-02T03:30:00Z')",
        "self.at.getDate() == 2 && self.at.getDate('-05:00') == 1",
        "self.day.getFullYear() == 2024 && self.day.getMonth() == 4 && self.day.getHours() == 0",
        "self.day == timestamp('2024-05-01T00:00:00Z') && self.day < self.at",
        "type(self.day) == google.protobuf.Timestamp",
        "self.span == duration('26h') && self.span.getHours() == 26",
        "self.raw == b'hi'",
        "self.plain == '2024-05-01T22:30:00Z'",
    ];
    for rule in good {
        let schema = Schema::compile(&shaped(rule)).unwrap();
        check(&schema, &Value::Null, &full, &[]);
    }
    let refused = |rule: &str| Schema::compile(&shaped(rule)).unwrap_err()[0].to_string();
    for (rule, types) in [
        ("self.day == '2024-05-01'", "(timestamp, string)"),
        ("self.span == '26h'", "(duration, string)"),
        ("self.plain == self.at", "(string, timestamp)"),
    ] {
        let got = refused(rule);
        assert!(got.contains(types), "{rule}: {got}");
    }
}
