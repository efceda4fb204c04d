//! Says in words what the snapshot and content machines do with objects as a server sends them.
//!
//! Documentation that runs: documents in, steps and writes out. Every reachable state is visited
//! in `world/`.

#[cfg(test)]
mod tests {
    use std::borrow::Borrow;
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tintype_core::object::{Affinity, Claim, Class, Content, Node, Snapshot, Volume};
    use tintype_core::pair::{ClassSight, Memory};
    use tintype_core::retry::Schedule;
    use tintype_core::snapshot::{self, Complaint, Placement, Sighting, Step, Waiting};
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
    fn with(mut document: Value, patch: impl Borrow<Value>) -> Value {
        json_patch::merge(&mut document, patch.borrow());
        document
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
            group_key: None,
            group: Seen::NotCached,
            being_restored: false,
            keep_mode: true,
            placement: Placement::Anywhere,
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
        let told = write(Step::Publish, &seen);
        assert_eq!(reason(&told), "CreatingSnapshot");
        assert_eq!(
            body(&told)["status"],
            json!({"boundVolumeSnapshotContentName": CONTENT, "readyToUse": false})
        );
    }

    #[test]
    fn a_snapshot_that_waits_says_for_whom() {
        let mut seen = world();
        let mut words = |it| {
            seen.content = it;
            write(Step::Publish, &seen).event.unwrap().message
        };
        let queued = words(content(json!({})));
        assert!(
            queued.contains("the csi-snapshotter of CSI driver csi.example to begin"),
            "{queued}"
        );
        let mark = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";
        let begun = words(content(json!({"metadata": {"annotations": {mark: "yes"}}})));
        assert!(
            begun.contains("Waiting for CSI driver csi.example to create"),
            "{begun}"
        );
    }

    #[test]
    fn each_write_that_is_refused_is_told_in_upstreams_word() {
        let mut seen = world();
        seen.content = content(json!({}));
        for (step, reason) in [
            (Step::Protect, "SnapshotFinalizerError"),
            (Step::ProtectClaim, "SnapshotContentCreationFailed"),
            (Step::BindContent, "SnapshotBindFailed"),
            (Step::Publish, "SnapshotStatusUpdateFailed"),
            (
                Step::Complain(Complaint::ClassMissing),
                "SnapshotStatusUpdateFailed",
            ),
            (Step::DeleteContent, "SnapshotContentObjectDeleteError"),
            (Step::Release, "SnapshotFinalizerError"),
        ] {
            let event = snapshot::refusal(step, &seen, "not today").unwrap();
            assert!(event.warning && event.message.contains("not today"));
            assert_eq!(event.reason.as_str(), reason, "{step:?}");
        }
        assert_eq!(snapshot::refusal(Step::LookUpContent, &seen, ""), None);
        // A refusal of the content is a fact: its complaint tells it.
        assert_eq!(snapshot::refusal(Step::CreateContent, &seen, ""), None);
        let row = seen.snapshot.present().unwrap();
        let event = snapshot::claim_refusal(&row.meta, "data", "not today");
        assert_eq!(event.reason.as_str(), "ErrorPVCFinalizer");
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

    #[test]
    fn d8_an_error_that_stands_is_not_written_again() {
        let failed = json!({"status": {"readyToUse": false, "error": {
            "time": "2027-01-15T08:00:00Z", "message": "no space"}}});
        let mut seen = world();
        seen.content = content(failed);
        let told = body(&write(Step::Publish, &seen))["status"].clone();
        seen.snapshot = snapshot(json!({ "status": told }));
        // Another time alone is no news.
        seen.content = content(json!({"status": {"readyToUse": false, "error": {
            "time": "2027-01-15T09:00:00Z", "message": "no space"}}}));
        assert_eq!(next(&seen), Verdict::Rest(Waiting::ForDriver));
    }

    #[test]
    fn d9_a_mark_leaves_every_other_annotation_alone() {
        let mut seen = world();
        seen.content = content(json!({"metadata": {"annotations": {"backup.example/id": "7"}}}));
        let asked = write(Step::AskContentDeletion, &seen);
        let marks = [asked, sidecar_write(content::Step::MarkCreating)];
        for (write, mark) in marks.iter().zip(["being-deleted", "being-created"]) {
            let key = format!("snapshot.storage.kubernetes.io/volumesnapshot-{mark}");
            assert_eq!(
                *body(write),
                json!({"metadata": {"annotations": {key: "yes"}, "resourceVersion": "8"}})
            );
        }
        let cleared = sidecar_write(content::Step::ClearMark);
        let annotations = &body(&cleared)["metadata"]["annotations"];
        assert_eq!(annotations.as_object().unwrap().len(), 1);
    }

    fn sidecar_write(step: content::Step) -> Write {
        content::render(step, &sidecar(json!({})), Stamp(0)).unwrap()
    }

    #[test]
    fn d20_readiness_is_asked_for_on_a_timer_of_its_own() {
        let mut memory = content::Memory::default();
        let schedule = Schedule {
            start: 1_000,
            max: 300_000,
        };
        let failure = || content::CallFailure {
            what: "Failed to create snapshot".into(),
            code: "Unavailable".into(),
            message: "not now".into(),
            busy: false,
        };
        for _ in 0..20 {
            memory.folded_failure(content::Outcome::Uncertain, failure(), Time(0), schedule, 0);
        }
        assert_eq!(memory.backoff.remaining(Time(0)), 300_000);
        // Whatever went wrong before, looks are quick at first, then slower, and never rare.
        let looks: Vec<_> = (0..10)
            .map(|_| {
                memory.folded_reply(unready(), Time(0), Stamp(0), 0);
                memory.backoff.remaining(Time(0))
            })
            .collect();
        assert_eq!(looks[..3], [100, 200, 500]);
        assert_eq!(looks[9], 15_000);
        assert!(looks.is_sorted());
        // Those that began together do not ask together for ever.
        memory.folded_reply(unready(), Time(0), Stamp(0), 255);
        assert_eq!(memory.backoff.remaining(Time(0)), 11_250);
    }

    fn unready() -> content::Reply {
        content::Reply {
            handle: "s-1".into(),
            creation_time: Some(1),
            size: 0,
            ready: false,
            group: None,
        }
    }

    #[test]
    fn d30_a_change_of_mode_is_allowed_in_the_open() {
        let mut seen = world();
        let block = json!({"metadata": {"name": "pv-1"}, "spec": {"volumeMode": "Block",
            "csi": {"driver": "csi.example", "volumeHandle": "vol-1"}}});
        seen.volume = read(block, Volume::of);
        let allowed = "snapshot.storage.kubernetes.io/allow-volume-mode-change";
        for (keep, annotation) in [(true, json!(null)), (false, json!("true"))] {
            seen.keep_mode = keep;
            let write = write(Step::CreateContent, &seen);
            assert_eq!(body(&write)["spec"]["sourceVolumeMode"], "Block");
            assert_eq!(body(&write)["metadata"]["annotations"][allowed], annotation);
        }
    }

    #[test]
    fn what_may_just_not_have_come_yet_is_complained_of_only_after_a_moment() {
        let mut seen = world();
        seen.claim = Seen::NotCached;
        seen.volume = Seen::NotCached;
        seen.memory.in_grace = true;
        let complaint = Complaint::ClaimMissing;
        let cure = Waiting::ForCure(complaint);
        assert_eq!(next(&seen), Verdict::Wait(Timer::Grace, cure));
        seen.memory.in_grace = false;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
        // What will not change by itself is said at once.
        let mut seen = world();
        seen.class = ClassSight::Named(Seen::Present(class("fast", "csi.other")));
        (seen.content, seen.looked_up) = (Seen::Absent, true);
        seen.memory.in_grace = true;
        let complaint = Complaint::ClassOfOtherDriver;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
    }

    #[test]
    fn a_content_is_for_the_sidecar_of_a_node_that_reaches_the_volume() {
        let node = |name: &str| {
            let object =
                json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}});
            Node::of(&serde_json::from_value(object).unwrap())
        };
        let volume = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2", "n3"]}]}]}}}});
        let affinity = Affinity::of(&serde_json::from_value(volume).unwrap()).unwrap();
        let mut seen = world();
        seen.fresh = true;
        seen.placement = Placement::among(&[&affinity], &[node("n3"), node("n1"), node("n2")]);
        assert_eq!(next(&seen), Verdict::Do(Step::CreateContent));
        let made = write(Step::CreateContent, &seen);
        assert_eq!(
            body(&made)["metadata"]["labels"],
            json!({"snapshot.storage.kubernetes.io/managed-by": "n2"})
        );
        seen.placement = Placement::Anywhere;
        let made = write(Step::CreateContent, &seen);
        assert!(body(&made)["metadata"]["labels"].is_null());
        // No sidecar would ever look at it: better to say so than to make it.
        seen.placement = Placement::among(&[&affinity], &[node("n1")]);
        (seen.content, seen.looked_up) = (Seen::Absent, true);
        let complaint = Complaint::NodeMissing;
        assert_eq!(next(&seen), Verdict::Do(Step::Complain(complaint)));
        assert!(complaint.text(&seen).contains("pv-1"));
    }

    #[test]
    fn a_change_that_may_be_the_cure_is_tried_at_once() {
        let mut seen = sidecar(json!({"metadata": {"generation": 1}}));
        let fail = |seen: &mut content::Sighting| {
            let failure = content::CallFailure {
                what: "Failed to create snapshot".into(),
                code: "InvalidArgument".into(),
                message: "no such tier".into(),
                busy: false,
            };
            let schedule = Schedule {
                start: 60_000,
                max: 300_000,
            };
            seen.memory.tried = seen.cause().map(Arc::new);
            let refused = content::Outcome::Refused;
            seen.memory
                .folded_failure(refused, failure, seen.now, schedule, 0);
        };
        let due = |seen: &content::Sighting| {
            let memory = seen.memory.clone().encouraged(&seen.cause().unwrap());
            memory.backoff.due(seen.now)
        };
        fail(&mut seen);
        assert!(!due(&seen), "nothing changed");
        seen.content = content(json!({"metadata": {"generation": 1, "resourceVersion": "99"}}));
        assert!(!due(&seen), "a status or a mark was written");
        let anew = json!({"metadata": {"name": "fast", "resourceVersion": "2"},
            "driver": "csi.example", "deletionPolicy": "Delete"});
        seen.class = Some(read(anew, Class::of));
        assert!(due(&seen), "the class was made anew");
        fail(&mut seen);
        seen.content = content(json!({"metadata": {"generation": 2}}));
        assert!(due(&seen), "the spec was changed");
        fail(&mut seen);
        let going =
            json!({"metadata": {"generation": 2, "deletionTimestamp": "2027-01-15T08:00:00Z"}});
        seen.content = content(going);
        assert!(due(&seen), "it is to go");
    }

    #[test]
    fn the_secret_to_list_with_knows_only_the_content() {
        let class = |namespace: &str| {
            let document = json!({"metadata": {"name": "fast"}, "driver": "csi.example",
                "deletionPolicy": "Delete", "parameters": {
                    "csi.storage.k8s.io/snapshotter-list-secret-name": "list-${volumesnapshotcontent.name}",
                    "csi.storage.k8s.io/snapshotter-list-secret-namespace": namespace}});
            Class::of(&serde_json::from_value(document).unwrap())
        };
        let content = content(json!({}));
        let content = content.present().unwrap();
        let secret = content::list_secret(&class("vault"), content)
            .unwrap()
            .unwrap();
        assert_eq!(secret.namespace, "vault");
        assert_eq!(secret.name, format!("list-{CONTENT}"));
        let why = content::list_secret(&class("${volumesnapshot.namespace}"), content).unwrap_err();
        assert!(why.contains("VolumeSnapshotClass \"fast\""), "{why}");
        assert!(why.contains("volumesnapshot.namespace"), "{why}");
    }
}
