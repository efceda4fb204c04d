//! Lets clients list and watch as client-go does, while others write, the server restarts and forgets,
//! and compares what each ends with with a full list.
//!
//! Each schedule is made from a seed, which a failure names. A client takes one small step at a time,
//! so that it may fall behind as far as chance wants it to.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const SCHEDULES: u64 = 100;
const STEPS: usize = 120;
const ALL: &str = "/api/v1/configmaps";
const NAMESPACES: [&str; 2] = ["default", "kube-public"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// So few that clients often come too late.
const BOUNDS: Bounds = Bounds {
    events: 25,
    bytes: 1 << 20,
};

/// What a client watches: the path and the query of its selectors.
const SCOPES: [(&str, &str); 5] = [
    (ALL, ""),
    (MAPS, ""),
    (ALL, "labelSelector=l%3Dx"),
    (ALL, "labelSelector=l%20notin%20(x,y)"),
    (ALL, "fieldSelector=metadata.name%3Dsentinel"),
];

/// How a list that was begun goes on.
enum State {
    Unlisted,
    /// A page of a list is there, and this is where the next one begins.
    Listing(String),
    /// Listed by a watch that is not yet at its mark.
    Streaming(Body),
    Listed,
    Watching(Body),
}

struct Reflector {
    path: &'static str,
    selector: &'static str,
    state: State,
    buffer: Vec<u8>,
    /// Of a list that is not complete.
    coming: BTreeMap<String, Value>,
    map: BTreeMap<String, Value>,
    version: u64,
    lists: usize,
    expired: usize,
}

fn key(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    format!("{}/{}", text("namespace"), text("name"))
}

fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap();
    text.parse().unwrap()
}

impl Reflector {
    fn new((path, selector): (&'static str, &'static str)) -> Self {
        Self {
            path,
            selector,
            state: State::Unlisted,
            buffer: Vec::new(),
            coming: BTreeMap::new(),
            map: BTreeMap::new(),
            version: 0,
            lists: 0,
            expired: 0,
        }
    }

    async fn step(&mut self, world: &World, random: &mut StdRng) {
        match &self.state {
            State::Unlisted if random.random_bool(0.4) => self.stream(world).await,
            State::Unlisted => {
                let limit = random.random_range(0..4);
                self.page(world, &format!("limit={limit}")).await;
            }
            State::Listing(token) => {
                let query = format!("limit=2&continue={token}");
                self.page(world, &query).await;
            }
            State::Listed => {
                let from = format!("resourceVersion={}&allowWatchBookmarks=true", self.version);
                let body = self.watch(world, &from).await;
                self.state = State::Watching(body);
            }
            State::Streaming(_) | State::Watching(_) => {
                for _ in 0..random.random_range(1..6) {
                    self.read();
                }
            }
        }
    }

    async fn page(&mut self, world: &World, query: &str) {
        let path = format!("{}?{}&{query}", self.path, self.selector);
        let answer = world.get(&path).await;
        if answer.code == 410 {
            self.expired += 1;
            self.relist();
            return;
        }
        let list = answer.expect(200);
        for item in list["items"].as_array().unwrap() {
            self.coming.insert(key(item), item.clone());
        }
        if let Some(token) = list["metadata"]["continue"].as_str() {
            self.state = State::Listing(token.to_owned());
        } else {
            self.listed(version(&list));
            self.state = State::Listed;
        }
    }

    async fn stream(&mut self, world: &World) {
        let query =
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
        let body = self.watch(world, query).await;
        self.state = State::Streaming(body);
    }

    async fn watch(&mut self, world: &World, query: &str) -> Body {
        self.buffer.clear();
        let path = format!("{}?watch=1&{}&{query}", self.path, self.selector);
        let response = world.raw("GET", &path, &[], "").await;
        assert_eq!(response.status(), 200);
        response.into_body()
    }

    fn listed(&mut self, at: u64) {
        self.map = std::mem::take(&mut self.coming);
        self.version = at;
        self.lists += 1;
    }

    fn relist(&mut self) {
        self.coming.clear();
        self.state = State::Unlisted;
    }

    /// Reads what is there of the watch, at most one chunk.
    fn read(&mut self) {
        let (State::Streaming(body) | State::Watching(body)) = &mut self.state else {
            return;
        };
        match body.frame().now_or_never() {
            None => return,
            Some(None) if matches!(self.state, State::Streaming(_)) => return self.relist(),
            Some(None) => {
                self.state = State::Listed;
                return;
            }
            Some(Some(frame)) => {
                let frame = frame.unwrap();
                self.buffer.extend_from_slice(frame.data_ref().unwrap());
            }
        }
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let event: Value = serde_json::from_slice(&line).unwrap();
            if event["type"] == "ERROR" {
                assert_eq!(event["object"]["code"], 410);
                self.expired += 1;
                return self.relist();
            }
            self.take_in(event["type"].as_str().unwrap(), &event["object"]);
        }
    }

    fn take_in(&mut self, kind: &str, object: &Value) {
        let at = version(object);
        if matches!(self.state, State::Streaming(_)) {
            if kind == "ADDED" {
                assert!(self.coming.insert(key(object), object.clone()).is_none());
            } else {
                let mark = &object["metadata"]["annotations"]["k8s.io/initial-events-end"];
                assert_eq!((kind, mark), ("BOOKMARK", &json!("true")));
                self.listed(at);
                let State::Streaming(body) = std::mem::replace(&mut self.state, State::Listed)
                else {
                    unreachable!("it was looked at above");
                };
                self.state = State::Watching(body);
            }
            return;
        }
        assert!(at > self.version || kind == "BOOKMARK" && at >= self.version);
        self.version = at;
        let before = match kind {
            "ADDED" | "MODIFIED" => self.map.insert(key(object), object.clone()),
            "DELETED" => self.map.remove(&key(object)),
            _ => return,
        };
        assert_eq!(before.is_none(), kind == "ADDED", "{kind} {object}");
    }
}

/// A write of any kind; whether it is refused is of no matter.
async fn write(world: &World, kind: usize, place: &str, name: &str, label: &str) {
    let maps = format!("/api/v1/namespaces/{place}/configmaps");
    let at = format!("{maps}/{name}");
    let mut object = config_map(name);
    object["metadata"]["labels"] = json!({ "l": label });
    let answer = match kind {
        0..=2 => world.post(&maps, object).await,
        3..=4 => world.delete(&at).await,
        5 => world.put(&at, object).await,
        6 => world.merge(&at, json!({"data": {"n": label}})).await,
        _ => {
            let labels = json!({"metadata": {"labels": {"l": label}}});
            world.merge(&at, labels).await
        }
    };
    assert!(
        matches!(answer.code, 200 | 201 | 404 | 409),
        "{:#}",
        answer.body
    );
}

async fn some_writes(world: &World, random: &mut StdRng) {
    let count = random.random_range(1..5);
    let chosen: Vec<_> = (0..count)
        .map(|_| {
            let place = NAMESPACES[random.random_range(0..NAMESPACES.len())];
            let name = NAMES[random.random_range(0..NAMES.len())];
            let label = ["x", "y", "z"][random.random_range(0..3)];
            (random.random_range(0..10), place, name, label)
        })
        .collect();
    let writes = chosen
        .into_iter()
        .map(|(kind, place, name, label)| write(world, kind, place, name, label));
    join_all(writes).await;
}

/// Everybody reads to the end of what the server still says, and lets go of it.
fn hang_up(reflectors: &mut [Reflector]) {
    for reflector in reflectors {
        while matches!(reflector.state, State::Streaming(_) | State::Watching(_)) {
            reflector.read();
        }
    }
}

async fn run(seed: u64) -> (usize, usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::in_memory(BOUNDS);
    let mut reflectors: Vec<Reflector> = SCOPES.into_iter().map(Reflector::new).collect();
    for _ in 0..STEPS {
        match random.random_range(0..40) {
            0 => {
                world.api.close();
                hang_up(&mut reflectors);
                world = world.restart();
            }
            1..20 => some_writes(&world, &mut random).await,
            _ => {
                let one = random.random_range(0..reflectors.len());
                reflectors[one].step(&world, &mut random).await;
            }
        }
    }
    let mut sentinel = config_map("sentinel");
    for (label, place) in [("x", "default"), ("z", "kube-public")] {
        sentinel["metadata"]["labels"] = json!({ "l": label });
        let maps = format!("/api/v1/namespaces/{place}/configmaps");
        world.post(&maps, sentinel.clone()).await.expect(201);
    }
    let mut counts = (0, 0);
    for reflector in &mut reflectors {
        let path = format!("{}?{}", reflector.path, reflector.selector);
        let list = world.get(&path).await.expect(200);
        let items = list["items"].as_array().unwrap();
        let wanted: BTreeMap<String, Value> =
            items.iter().map(|item| (key(item), item.clone())).collect();
        // The last change that it can see; a bookmark or list may have brought it beyond.
        let last = items.iter().map(version).max().unwrap();
        while reflector.version < last || !matches!(reflector.state, State::Watching(_)) {
            reflector.step(&world, &mut random).await;
        }
        assert_eq!(reflector.map, wanted, "{path}");
        counts = (counts.0 + reflector.lists, counts.1 + reflector.expired);
    }
    counts
}

#[tokio::test]
async fn whoever_lists_and_watches_ends_with_what_a_list_says() {
    let (mut lists, mut expired) = (0, 0);
    for seed in 0..SCHEDULES {
        let place = Seed(seed);
        let counts = run(place.0).await;
        (lists, expired) = (lists + counts.0, expired + counts.1);
    }
    println!("{SCHEDULES} schedules, {lists} lists, {expired} times told to start anew");
    assert!(expired > 0, "nobody ever came too late");
}

/// Says which schedule it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}
