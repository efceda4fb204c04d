//! Checks sets of fields and the entries of managers.

use serde_json::json;

use super::*;

fn set(fields: &serde_json::Value) -> FieldSet {
    FieldSet::decode(fields).unwrap()
}

#[test]
fn sets_are_read_and_written_as_they_are() {
    let fields = json!({"f:spec": {".": {}, "f:a": {}, "f:l": {"k:{\"a\":1,\"b\":\"x\"}": {".": {}, "f:v": {}}, "v:\"y\"": {}}}});
    let read = set(&fields);
    assert_eq!(read.encode(), fields);
    assert_eq!(
        read.paths(),
        [
            ".spec",
            ".spec.a",
            ".spec.l[a=1,b=\"x\"]",
            ".spec.l[a=1,b=\"x\"].v",
            ".spec.l[=\"y\"]"
        ]
    );
    let spaced = json!({"f:l": {"k:{\"b\": \"x\", \"a\": 1}": {}}});
    assert!(set(&spaced).touches("f:l"));
    assert_eq!(
        set(&spaced).encode(),
        json!({"f:l": {"k:{\"a\":1,\"b\":\"x\"}": {}}})
    );
    for bad in [
        json!([]),
        json!({"q:x": {}}),
        json!({"k:{": {}}),
        json!({"f:a": 1}),
    ] {
        assert!(FieldSet::decode(&bad).is_none(), "{bad}");
    }
}

#[test]
fn sets_are_joined_and_taken_apart() {
    let a = set(&json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
    let b = set(&json!({"f:b": {}, "f:d": {}}));
    assert_eq!(a.intersection(&b), set(&json!({"f:b": {}})));
    let mut both = a.clone();
    both.union(&b);
    assert_eq!(
        both,
        set(&json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {}}))
    );
    let mut rest = a.clone();
    rest.subtract(&b);
    assert_eq!(rest, set(&json!({"f:a": {}, "f:b": {"f:c": {}}})));
    let mut rest = a;
    rest.cut(&b);
    assert_eq!(rest, set(&json!({"f:a": {}})));
}

#[test]
fn old_updaters_share_an_entry() {
    let mut managers = Managers::default();
    for i in 0..15 {
        let manager = Manager {
            name: format!("m{i}"),
            operation: Operation::Update,
            api_version: "v1".into(),
            subresource: String::new(),
        };
        let old = json!({"data": {}});
        let new = json!({"data": {format!("k{i}"): "v"}});
        let place = Place::free();
        let found = changes(place, Some(&old), Some(&new));
        managers.update(&manager, &found, &format!("2024-01-01T00:00:{i:02}Z"));
    }
    let entries = managers.encode();
    let names: Vec<&str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["manager"].as_str().unwrap())
        .collect();
    let expected = [
        "ancient-changes",
        "m6",
        "m7",
        "m8",
        "m9",
        "m10",
        "m11",
        "m12",
        "m13",
        "m14",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        entries[0]["fieldsV1"]["f:data"].as_object().unwrap().len(),
        6
    );
    assert_eq!(Managers::decode(&entries).encode(), entries);
}
