//! Says in words what the snapshot and content machines do with objects as a server sends them.
//!
//! Documentation that runs: documents in, steps and writes out. Every reachable state is visited
//! in `world/`.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tintype_core::object::{Claim, Class, Content, Snapshot, Volume};
    use tintype_core::snapshot::{self, ClassSight, Complaint, Memory, Sighting, Step, Waiting};
    use tintype_core::write::{Kind, Verb, Write};
    use tintype_core::{Seen, Stamp, Time, Timer, Verdict, content};

    const UID: &str = "0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
    const CONTENT: &str = "snapcontent-0b6fd1ab-5a5c-4d4e-9d41-2f4f7d0d6f5e";
    const AS_SOURCE: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
    const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
    const OF_CLAIM: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
    const OF_CONTENT: &str =
        "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

    fn read<T: serde::de::DeserializeOwned, R>(document: Value, of: fn(&T) -> R) -> Seen<Arc<R>> {
        Seen::Present(Arc::new(of(&serde_json::from_value(document).unwrap())))
    }

    /// Puts `patch` over `document`, as a merge patch does.
    fn with(mut document: Value, patch: Value) -> Value {
        match (&mut document, patch) {
            (Value::Object(old), Value::Object(new)) => {
                for (key, value) in new {
                    let before = old.remove(&key).unwrap_or(Value::Null);
                    if !value.is_null() {
                        old.insert(key, with(before, value));
                    }
                }
                document
            }
            (_, new) => new,
        }
    }

    fn snapshot(patch: Value) -> Seen<Arc<Snapshot>> {
        let document = json!({
            "metadata": {"namespace": "db", "name": "nightly", "uid": UID, "resourceVersion": "7",
                "finalizers": [AS_SOURCE, BOUND]},
            "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "fast"},
        });
        read(with(document, patch), Snapshot::of)
    }

    fn content(patch: Value) -> Seen<Arc<Content>> {
        let document = json!({
            "metadata": {"name": CONTENT, "uid": "c", "resourceVersion": "8", "finalizers": [OF_CONTENT]},
            "spec": {"deletionPolicy": "Delete", "driver": "csi.example", "source": {"volumeHandle": "vol-1"},
                "volumeSnapshotClassName": "fast",
                "volumeSnapshotRef": {"namespace": "db", "name": "nightly", "uid": UID}},
        });
        read(with(document, patch), Content::of)
    }

    fn class(name: &str, driver: &str) -> Arc<Class> {
        let document =
            json!({"metadata": {"name": name}, "driver": driver, "deletionPolicy": "Delete"});
        Arc::new(Class::of(&serde_json::from_value(document).unwrap()))
    }

    /// A snapshot of a bound claim, with a class, and no content yet.
    fn world() -> Sighting {
        Sighting {
            snapshot: snapshot(json!({})),
            content: Seen::NotCached,
            looked_up: false,
            fresh: false,
            class: ClassSight::Named(Seen::Present(class("fast", "csi.example"))),
            claim: read(
                json!({"metadata": {"namespace": "db", "name": "data", "uid": "p", "resourceVersion": "5",
                        "finalizers": [OF_CLAIM]},
                    "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}),
                Claim::of,
            ),
            volume: read(
                json!({"metadata": {"name": "pv-1"}, "spec": {
                    "claimRef": {"namespace": "db", "name": "data", "uid": "p"},
                    "csi": {"driver": "csi.example", "volumeHandle": "vol-1"}}}),
                Volume::of,
            ),
            being_restored: false,
            record_mode: true,
            memory: Memory::default(),
        }
    }

    fn next(seen: &Sighting) -> Verdict<Step, Waiting> {
        snapshot::decide(&seen.facts())
    }

    fn write(step: Step, seen: &Sighting) -> Write {
        snapshot::render(step, seen, Stamp(1_800_000_000)).unwrap()
    }

    fn body(write: &Write) -> &Value {
        match &write.verb {
            Verb::Patch { body, .. } | Verb::Create(body) => body,
            other => panic!("{other:?} has no body"),
        }
    }

    fn reason(write: &Write) -> &'static str {
        write.event.as_ref().map_or("", |it| it.reason.as_str())
    }

    const READY: &str = r#"{"status": {"snapshotHandle": "s-1", "creationTime": 1800000000000000000,
        "restoreSize": 1048576, "readyToUse": true}}"#;

    fn ready() -> Value {
        serde_json::from_str(READY).unwrap()
    }

    #[test]
    fn both_finalizers_and_the_default_class_are_one_write() {
        let mut seen = world();
        seen.snapshot = snapshot(json!({"metadata": {"finalizers": null},
            "spec": {"volumeSnapshotClassName": null}}));
        seen.class = ClassSight::Defaults(Some(vec![class("fast", "csi.example")]));
        assert_eq!(next(&seen), Verdict::Do(Step::Protect));
        let write = write(Step::Protect, &seen);
        assert_eq!(
            *body(&write),
            json!({"metadata": {"finalizers": [AS_SOURCE, BOUND], "resourceVersion": "7"},
                "spec": {"volumeSnapshotClassName": "fast"}})
        );
    }

    #[test]
    fn contents_are_made_with_their_finalizer() {
        let mut seen = world();
        assert_eq!(next(&seen), Verdict::Do(Step::LookUpSnapshot));
        // Written or read in this pass: it is surely not bound yet.
        seen.fresh = true;
        assert_eq!(next(&seen), Verdict::Do(Step::CreateContent));
        let write = write(Step::CreateContent, &seen);
        assert_eq!((write.kind, &*write.key.name), (Kind::Content, CONTENT));
        assert_eq!(body(&write)["metadata"]["finalizers"], json!([OF_CONTENT]));
        assert_eq!(body(&write)["spec"]["source"]["volumeHandle"], "vol-1");
        assert_eq!(body(&write)["spec"]["volumeSnapshotRef"]["uid"], UID);
    }

    #[test]
    fn a_quick_driver_saves_the_write_of_the_bound_name() {
        let mut seen = world();
        seen.content = content(json!({}));
        seen.memory.in_grace = true;
        assert_eq!(next(&seen), Verdict::Wait(Timer::Grace, Waiting::ForDriver));
        seen.memory.in_grace = false;
        assert_eq!(next(&seen), Verdict::Do(Step::Publish));
        let write = write(Step::Publish, &seen);
        assert_eq!(reason(&write), "CreatingSnapshot");
        assert_eq!(
            body(&write)["status"],
            json!({"boundVolumeSnapshotContentName": CONTENT, "readyToUse": false})
        );
    }

    #[test]
    fn created_and_ready_together_make_one_write_and_one_event() {
        let mut seen = world();
        seen.content = content(ready());
        seen.memory.in_grace = true;
        assert_eq!(next(&seen), Verdict::Do(Step::Publish));
        let write = write(Step::Publish, &seen);
        assert_eq!(reason(&write), "SnapshotReady");
        assert_eq!(
            body(&write)["status"],
            json!({"boundVolumeSnapshotContentName": CONTENT, "readyToUse": true,
                "creationTime": "2027-01-15T08:00:00Z", "restoreSize": "1Mi"})
        );
    }

    #[test]
    fn a_pass_that_changes_nothing_does_nothing() {
        let mut seen = world();
        seen.content = content(ready());
        let status = body(&write(Step::Publish, &seen)).clone();
        seen.snapshot = snapshot(json!({"status": status["status"]}));
        assert_eq!(next(&seen), Verdict::Rest(Waiting::Settled));
    }

    #[test]
    fn d5_a_snapshot_whose_content_is_gone_is_never_cut_again() {
        let mut seen = world();
        seen.snapshot = snapshot(
            json!({"status": {"boundVolumeSnapshotContentName": CONTENT, "readyToUse": true}}),
        );
        assert_eq!(next(&seen), Verdict::Do(Step::LookUpContent));
        seen.content = Seen::Absent;
        let complaint = Complaint::ContentMissing;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
        let told = body(&write(Step::Complain(complaint), &seen)).clone();
        assert_eq!(told["status"]["readyToUse"], false);
        seen.snapshot = snapshot(with(
            json!({"status": {"boundVolumeSnapshotContentName": CONTENT}}),
            json!({"status": told["status"]}),
        ));
        assert_eq!(next(&seen), Verdict::Rest(Waiting::ForCure(complaint)));
    }

    #[test]
    fn d7_a_ready_snapshot_whose_class_is_gone_is_left_alone() {
        let mut seen = world();
        seen.content = content(ready());
        let status = body(&write(Step::Publish, &seen))["status"].clone();
        seen.snapshot = snapshot(json!({ "status": status }));
        seen.class = ClassSight::Named(Seen::Absent);
        assert_eq!(next(&seen), Verdict::Rest(Waiting::Settled));
    }

    #[test]
    fn d16b_a_failed_snapshot_does_not_hold_its_claim() {
        let failed = snapshot(json!({"status": {"error": {"message": "no"}}}));
        assert!(!failed.present().unwrap().holds_its_claim(Seen::Absent));
        let marked = content(json!({"metadata": {"annotations": {
            "snapshot.storage.kubernetes.io/volumesnapshot-being-created": "yes"}}}));
        let marked = marked.as_ref().map(AsRef::as_ref);
        assert!(failed.present().unwrap().holds_its_claim(marked));
    }

    #[test]
    fn d25_an_error_without_a_message_is_read() {
        let mut seen = world();
        seen.snapshot = snapshot(json!({"status": {"error": {}}}));
        seen.content = content(json!({"status": {"error": {}}}));
        assert!(matches!(next(&seen), Verdict::Do(Step::Publish)));
    }

    #[test]
    fn d27_a_snapshot_with_neither_class_nor_claim_can_be_deleted() {
        let mut seen = world();
        seen.snapshot = snapshot(
            json!({"metadata": {"deletionTimestamp": "2027-01-15T08:00:00Z"},
            "spec": {"volumeSnapshotClassName": null}}),
        );
        seen.class = ClassSight::Defaults(None);
        seen.claim = Seen::NotCached;
        seen.volume = Seen::NotCached;
        assert_eq!(next(&seen), Verdict::Do(Step::LookUpContent));
        (seen.content, seen.looked_up) = (Seen::Absent, true);
        assert_eq!(next(&seen), Verdict::Do(Step::Release));
        assert_eq!(
            body(&write(Step::Release, &seen))["metadata"]["finalizers"],
            json!([])
        );
    }

    #[test]
    fn d29_a_class_of_another_driver_is_refused_by_name() {
        let mut seen = world();
        seen.class = ClassSight::Named(Seen::Present(class("fast", "csi.other")));
        // Its claim is held, so it is made sure first that nothing was cut.
        assert_eq!(next(&seen), Verdict::Do(Step::LookUpContent));
        (seen.content, seen.looked_up) = (Seen::Absent, true);
        let complaint = Complaint::ClassOfOtherDriver;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
        let text = complaint.text(&seen);
        for word in ["fast", "csi.other", "csi.example", "db/data", "pv-1"] {
            assert!(text.contains(word), "{word} is not in: {text}");
        }
    }

    #[test]
    fn a_restore_in_progress_is_told_on_the_snapshot() {
        let mut seen = world();
        seen.snapshot =
            snapshot(json!({"metadata": {"deletionTimestamp": "2027-01-15T08:00:00Z"}}));
        seen.content = content(ready());
        seen.being_restored = true;
        let complaint = Complaint::BeingRestored;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
        let write = write(Step::Complain(complaint), &seen);
        assert_eq!(reason(&write), "SnapshotDeletePending");
        seen.being_restored = false;
        assert_eq!(next(&seen), Verdict::Do(Step::AskContentDeletion));
    }

    fn sidecar(patch: Value) -> content::Sighting {
        content::Sighting {
            content: content(patch),
            class: Some(Seen::Present(class("fast", "csi.example"))),
            driver: "csi.example".into(),
            memory: content::Memory::default(),
            now: Time(1),
        }
    }

    #[test]
    fn the_mark_comes_before_the_call() {
        let seen = sidecar(json!({}));
        assert_eq!(
            content::decide(&seen.facts()),
            Verdict::Do(content::Step::MarkCreating)
        );
    }

    #[test]
    fn d32_a_marked_content_whose_class_went_still_comes_to_an_end() {
        let mut seen = sidecar(json!({"metadata": {
            "deletionTimestamp": "2027-01-15T08:00:00Z",
            "annotations": {
                "snapshot.storage.kubernetes.io/volumesnapshot-being-created": "yes",
                "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes"}}}));
        seen.class = Some(Seen::Absent);
        assert_eq!(
            content::decide(&seen.facts()),
            Verdict::Do(content::Step::CreateOnStorage)
        );
    }

    #[test]
    fn a_stored_status_is_not_cleared_before_the_finalizer_goes() {
        let going = json!({"metadata": {
            "deletionTimestamp": "2027-01-15T08:00:00Z",
            "annotations": {"snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes"}}});
        let mut seen = sidecar(with(going, ready()));
        assert_eq!(
            content::decide(&seen.facts()),
            Verdict::Do(content::Step::DeleteOnStorage)
        );
        seen.memory.folded_deleted();
        assert_eq!(
            content::decide(&seen.facts()),
            Verdict::Do(content::Step::Release)
        );
    }
}
