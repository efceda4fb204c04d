//! Checks tokens against a store whose objects come and go.

use super::*;
use crate::store::{Draft, Expect, Write};

const START: Duration = Duration::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

struct World {
    tokens: Tokens,
    store: Store,
    _dir: tempfile::TempDir,
}

fn at(after: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + START + Duration::from_secs(after)
}

fn reference(name: &str, uid: &str) -> Reference {
    Reference {
        name: name.into(),
        uid: uid.into(),
    }
}

fn robot() -> Private {
    Private {
        namespace: "ns".into(),
        node: None,
        pod: None,
        secret: None,
        serviceaccount: reference("robot", "u1"),
    }
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap().serialize_der();
        let tokens = Tokens::new(&key, store.clone()).unwrap();
        let world = Self {
            tokens,
            store,
            _dir: dir,
        };
        world.put("serviceaccounts", "ns/robot", "u1", None).await;
        world
    }

    async fn put(&self, bucket: &str, key: &str, uid: &str, deleted: Option<SystemTime>) {
        let mut metadata = json!({"uid": uid});
        if let Some(deleted) = deleted {
            let deleted = jiff::Timestamp::try_from(deleted).unwrap();
            metadata["deletionTimestamp"] = json!(deleted.to_string());
        }
        let expect = match self.store.get(bucket, key) {
            Some(object) => Expect::Unchanged(object.rv),
            None => Expect::Absent,
        };
        self.write(bucket, key, expect, Some(&json!({"metadata": metadata})))
            .await;
    }

    async fn remove(&self, bucket: &str, key: &str) {
        let rv = self.store.get(bucket, key).unwrap().rv;
        self.write(bucket, key, Expect::Unchanged(rv), None).await;
    }

    async fn write(&self, bucket: &str, key: &str, expect: Expect, object: Option<&Value>) {
        let write = Write {
            resource: bucket.into(),
            key: key.into(),
            expect,
            draft: object.map(Draft::encode),
        };
        self.store.commit(write).await.unwrap();
    }

    fn token(&self, private: Private) -> String {
        self.tokens.issue(private, &[], HOUR, at(0)).unwrap()
    }

    /// Whom it stands for at a time, or why for nobody.
    fn whose(&self, token: &str, after: u64) -> Result<String, String> {
        let bearer = self.tokens.check(token, &[], at(after))?;
        Ok(bearer.user.name.clone())
    }
}

#[tokio::test]
async fn a_token_stands_for_its_account_until_it_expires() {
    let world = World::new().await;
    let token = world.token(robot());
    let bearer = world.tokens.check(&token, &[], at(0)).unwrap();
    assert_eq!(bearer.user.name, "system:serviceaccount:ns:robot");
    assert_eq!(bearer.user.uid, "u1");
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:ns",
        "system:authenticated",
    ];
    assert_eq!(bearer.user.groups, groups);
    let id = &bearer.user.extra["authentication.kubernetes.io/credential-id"][0];
    assert!(id.starts_with("JTI="), "{id}");
    for (after, good) in [(0, true), (3599, true), (3600, false), (3599, true)] {
        assert_eq!(world.whose(&token, after).is_ok(), good, "{after}");
    }
    let early = world.tokens.check(&token, &[], SystemTime::UNIX_EPOCH);
    assert_eq!(early.unwrap_err(), "service account token is not valid yet");
}

#[tokio::test]
async fn a_token_is_for_its_audiences_only() {
    let world = World::new().await;
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let vault = world
        .tokens
        .issue(robot(), &texts(&["vault", "db"]), HOUR, at(0))
        .unwrap();
    let why = world.whose(&vault, 0).unwrap_err();
    assert!(
        why.starts_with("token audiences [\"vault\", \"db\"] is invalid for"),
        "{why}"
    );
    let bearer = world
        .tokens
        .check(&vault, &texts(&["x", "db"]), at(0))
        .unwrap();
    assert_eq!(bearer.audiences, ["db"]);
    let ours = world.token(robot());
    assert!(
        world
            .tokens
            .check(&ours, &texts(&["vault"]), at(0))
            .is_err()
    );
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let world = World::new().await;
    let token = world.token(robot());
    assert!(world.whose(&token, 1).is_ok());
    world
        .put("serviceaccounts", "ns/robot", "u1", Some(at(10)))
        .await;
    assert!(world.whose(&token, 70).is_ok(), "what runs down may finish");
    let why = world.whose(&token, 71).unwrap_err();
    assert_eq!(why, "service account ns/robot has been deleted");
    world.remove("serviceaccounts", "ns/robot").await;
    assert_eq!(
        world.whose(&token, 2).unwrap_err(),
        "service account ns/robot not found"
    );
    world.put("serviceaccounts", "ns/robot", "u2", None).await;
    let why = world.whose(&token, 3).unwrap_err();
    assert_eq!(why, "service account UID (u2) does not match claim (u1)");
}

#[tokio::test]
async fn a_bound_token_ends_with_what_it_is_bound_to() {
    let world = World::new().await;
    for (bucket, key) in [("pods", "ns/p"), ("secrets", "ns/p"), ("nodes", "p")] {
        world.put(bucket, key, "b", None).await;
        let mut private = robot();
        let place = match bucket {
            "pods" => &mut private.pod,
            "secrets" => &mut private.secret,
            _ => &mut private.node,
        };
        *place = Some(reference("p", "b"));
        let token = world.token(private);
        assert!(world.whose(&token, 0).is_ok(), "{bucket}");
        world.remove(bucket, key).await;
        assert!(world.whose(&token, 0).is_err(), "{bucket}");
        world.put(bucket, key, "another", None).await;
        assert!(world.whose(&token, 0).is_err(), "{bucket}");
        assert!(world.whose(&world.token(robot()), 0).is_ok());
    }
}

#[tokio::test]
async fn the_node_of_a_pod_is_told_but_not_looked_for() {
    let world = World::new().await;
    world.put("pods", "ns/p", "b", None).await;
    let private = Private {
        pod: Some(reference("p", "b")),
        node: Some(reference("gone", "n")),
        ..robot()
    };
    let bearer = world
        .tokens
        .check(&world.token(private), &[], at(0))
        .unwrap();
    let extra =
        |key: &str| bearer.user.extra[&format!("authentication.kubernetes.io/{key}")].concat();
    assert_eq!(
        (extra("pod-name"), extra("node-uid")),
        ("p".into(), "n".into())
    );
}

#[tokio::test]
async fn tokens_beyond_what_is_remembered_are_checked_anew() {
    let world = World::new().await;
    let first = world.token(robot());
    for _ in 0..=REMEMBERED {
        let token = world.token(robot());
        assert!(world.whose(&token, 0).is_ok());
    }
    assert!(world.tokens.lock().len() <= REMEMBERED);
    assert!(world.whose(&first, 0).is_ok());
}
