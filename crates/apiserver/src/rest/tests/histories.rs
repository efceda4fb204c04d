//! Lets writers loose on the same few objects in random schedules, and checks the history of what
//! they were told against one line of states.
//!
//! A watch tells which writes there were, in which order. Every answer must then be right at some
//! moment between request and answer: this is linearizability, with the resourceVersion as witness.
//! Each schedule is made from a seed; when the store's thread answers is left to it, as in life.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::FutureExt as _;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const SCHEDULES: u64 = 2_000;
const WRITERS: usize = 4;
const OPERATIONS: usize = 5;
const NAMES: [&str; 2] = ["a", "b"];

/// What a writer asked for.
#[derive(Debug, Clone)]
enum Asked {
    Create,
    /// With the resourceVersion that was seen last, if any was.
    Replace(Option<String>),
    /// Sets one member and leaves the others.
    Merge,
    /// Sets `by` if it still is this.
    TestAndSet(String),
    Delete(Option<String>),
    Get,
    List,
}

/// One request and its answer.
#[derive(Debug)]
struct Told {
    asked: Asked,
    name: &'static str,
    /// Unlike any other: what was written.
    mark: String,
    /// The store's resourceVersion at the request and at the answer.
    from: u64,
    to: u64,
    code: u16,
    body: Value,
}

/// The objects by name.
type Objects = BTreeMap<String, Value>;

/// What was true after each change.
struct Line(Vec<(u64, Objects)>);

impl Line {
    /// The states that were true at some time from `from` to `to`.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Objects> {
        let first = self.0.partition_point(|(rv, _)| *rv <= from) - 1;
        let last = self.0.partition_point(|(rv, _)| *rv <= to);
        self.0[first..last].iter().map(|(_, objects)| objects)
    }

    fn at(&self, rv: u64) -> &Objects {
        let after = self.0.partition_point(|(at, _)| *at <= rv);
        &self.0[after - 1].1
    }

    /// Before and after the change of this resourceVersion.
    fn change(&self, rv: u64) -> (&Objects, &Objects) {
        let at = self.0.partition_point(|(at, _)| *at < rv);
        assert_eq!(self.0[at].0, rv, "nothing was written there");
        (&self.0[at - 1].1, &self.0[at].1)
    }
}

fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap();
    text.parse().unwrap()
}

/// Reads what a watch has to say by now, from the state at `from`.
async fn line(world: &World, maps: &str, from: u64) -> Line {
    let path = format!("{maps}?watch=1&resourceVersion={from}");
    let mut body = world.raw("GET", &path, &[], "").await.into_body();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().now_or_never() {
        text.extend_from_slice(frame.unwrap().unwrap().data_ref().unwrap());
    }
    let mut line = vec![(from, Objects::new())];
    for event in serde_json::Deserializer::from_slice(&text).into_iter::<Value>() {
        let event = event.unwrap();
        let (rv, mut objects) = line.last().unwrap().clone();
        let object = event["object"].clone();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let at = version(&object);
        assert!(at > rv);
        let before = match event["type"].as_str().unwrap() {
            "DELETED" => objects.remove(&name),
            _ => objects.insert(name, object),
        };
        assert_eq!(before.is_none(), event["type"] == "ADDED");
        line.push((at, objects));
    }
    Line(line)
}

/// One writer's course: each request as the one before left it.
async fn course(world: &World, maps: &str, writer: usize, mut random: StdRng) -> Vec<Told> {
    let mut seen: BTreeMap<&str, Value> = BTreeMap::new();
    let mut course = Vec::new();
    for n in 0..OPERATIONS {
        let name = NAMES[random.random_range(0..NAMES.len())];
        let rv =
            |seen: Option<&Value>| Some(seen?["metadata"]["resourceVersion"].as_str()?.to_owned());
        let last = seen.get(name);
        let by = last.and_then(|seen| seen["data"]["by"].as_str());
        let asked = match random.random_range(0..16) {
            0..=3 => Asked::Create,
            4..=6 => Asked::Replace(rv(last)),
            7 => Asked::Replace(None),
            8..=9 => Asked::Merge,
            10..=11 => Asked::TestAndSet(by.unwrap_or("nobody").to_owned()),
            12 => Asked::Delete(None),
            13 => Asked::Delete(rv(last)),
            14 => Asked::Get,
            _ => Asked::List,
        };
        let mark = format!("{writer}-{n}");
        let from = world.api.store.rv();
        let answer = ask(world, maps, name, &mark, &asked).await;
        let to = world.api.store.rv();
        if answer.body["kind"] == "ConfigMap" {
            seen.insert(name, answer.body.clone());
        }
        course.push(Told {
            asked,
            name,
            mark,
            from,
            to,
            code: answer.code,
            body: answer.body,
        });
    }
    course
}

async fn ask(world: &World, maps: &str, name: &str, mark: &str, asked: &Asked) -> Answer {
    let at = format!("{maps}/{name}");
    let mut object = config_map(name);
    object["data"] = json!({ "by": mark });
    match asked {
        Asked::Create => world.post(maps, object).await,
        Asked::Replace(rv) => {
            object["metadata"]["resourceVersion"] = json!(rv);
            world.put(&at, object).await
        }
        Asked::Merge => world.merge(&at, json!({"data": {mark: "set"}})).await,
        Asked::TestAndSet(was) => {
            let patch = json!([{"op": "test", "path": "/data/by", "value": was},
                {"op": "replace", "path": "/data/by", "value": mark}]);
            let kind = [("content-type", "application/json-patch+json")];
            world.ask("PATCH", &at, &kind, patch.to_string()).await
        }
        Asked::Delete(rv) => {
            let options = json!({"preconditions": {"resourceVersion": rv}});
            world.ask("DELETE", &at, &[], options.to_string()).await
        }
        Asked::Get => world.get(&at).await,
        Asked::List => world.get(maps).await,
    }
}

/// Whether the answer was right at some moment; how many writes it stands for.
fn check(line: &Line, told: &Told) -> Result<usize, String> {
    let found = match (&told.asked, told.code) {
        (Asked::List, 200) => as_listed(line, told),
        // The answer does not tell when it was deleted.
        (Asked::Get | Asked::Delete(_), 200) | (_, 404 | 409 | 422) => as_of_some_time(line, told),
        (_, 200 | 201) => as_written(line, told),
        _ => Err("not an answer to this"),
    };
    found.map_err(|what| format!("{what}: {told:#?}"))
}

type Found = Result<usize, &'static str>;

fn as_listed(line: &Line, told: &Told) -> Found {
    let rv = version(&told.body);
    let items = told.body["items"].as_array().unwrap().iter();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    let found: Objects = items.map(|item| (name(item), item.clone())).collect();
    if (told.from..=told.to).contains(&rv) && &found == line.at(rv) {
        Ok(0)
    } else {
        Err("the list never was")
    }
}

fn has_version(object: Option<&Value>, rv: &str) -> bool {
    object.is_some_and(|object| object["metadata"]["resourceVersion"] == rv)
}

fn as_of_some_time(line: &Line, told: &Told) -> Found {
    let sometime = |right: &dyn Fn(Option<&Value>) -> bool| {
        line.between(told.from, told.to)
            .any(|objects| right(objects.get(told.name)))
    };
    let (was, writes) = match (&told.asked, told.code) {
        (_, 404) => (sometime(&|object| object.is_none()), 0),
        (Asked::Get, 200) => (sometime(&|object| object == Some(&told.body)), 0),
        (Asked::Delete(Some(rv)), 200) => (sometime(&|object| has_version(object, rv)), 1),
        (Asked::Delete(None), 200) => (sometime(&|object| object.is_some()), 1),
        (Asked::Create, 409) => (sometime(&|object| object.is_some()), 0),
        (Asked::Replace(Some(rv)) | Asked::Delete(Some(rv)), 409) => {
            (sometime(&|object| !has_version(object, rv)), 0)
        }
        (Asked::TestAndSet(by), 422) => {
            let unmet = |object: &Value| object["data"]["by"] != **by;
            (sometime(&|object| object.is_none_or(unmet)), 0)
        }
        _ => (false, 0),
    };
    if was {
        Ok(writes)
    } else {
        Err("this was not so at any time")
    }
}

fn as_written(line: &Line, told: &Told) -> Found {
    let rv = version(&told.body);
    if rv <= told.from || rv > told.to {
        return Err("written before it was asked for, or after it was answered");
    }
    let (before, after) = line.change(rv);
    if after.get(told.name) != Some(&told.body) {
        return Err("the answer is not what was written");
    }
    let before = before.get(told.name);
    let mut expected = before.map_or_else(|| json!({}), |before| before["data"].clone());
    let allowed = match &told.asked {
        Asked::Create => before.is_none(),
        Asked::Replace(Some(rv)) => has_version(before, rv),
        Asked::TestAndSet(by) => expected["by"] == **by,
        _ => before.is_some(),
    };
    match &told.asked {
        Asked::Merge => expected[&told.mark] = json!("set"),
        Asked::TestAndSet(_) => expected["by"] = json!(told.mark),
        _ => expected = json!({ "by": told.mark }),
    }
    if allowed && told.body["data"] == expected {
        Ok(1)
    } else {
        Err("it does not follow from what was there before")
    }
}

/// Goes on with one future after the other, as chance has it.
fn interleave<T>(
    futures: Vec<Pin<Box<dyn Future<Output = T> + '_>>>,
    random: &mut StdRng,
) -> Vec<T> {
    let (mut open, mut done) = (futures, Vec::new());
    let mut context = Context::from_waker(Waker::noop());
    while !open.is_empty() {
        let at = random.random_range(0..open.len());
        match open[at].as_mut().poll(&mut context) {
            Poll::Ready(value) => {
                done.push(value);
                drop(open.swap_remove(at));
            }
            Poll::Pending => std::thread::yield_now(),
        }
    }
    done
}

async fn run(world: &World, seed: u64) -> Result<usize, String> {
    let mut random = StdRng::seed_from_u64(seed);
    let namespace = format!("schedule-{seed}");
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    world.post("/api/v1/namespaces", object).await.expect(201);
    let maps = format!("/api/v1/namespaces/{namespace}/configmaps");
    let start = world.api.store.rv();
    let courses = (0..WRITERS)
        .map(|writer| {
            let random = StdRng::seed_from_u64(random.random());
            let course = course(world, &maps, writer, random);
            // The runtime would hold up who is polled so often without giving way.
            Box::pin(tokio::task::unconstrained(course)) as Pin<Box<dyn Future<Output = _>>>
        })
        .collect();
    let told: Vec<Told> = interleave(courses, &mut random)
        .into_iter()
        .flatten()
        .collect();
    let line = line(world, &maps, start).await;
    let mut writes = 0;
    for told in &told {
        writes += check(&line, told)?;
    }
    if writes == line.0.len() - 1 {
        Ok(writes)
    } else {
        let changes = line.0.len() - 1;
        Err(format!("{changes} changes of {writes} writes: {told:#?}"))
    }
}

#[tokio::test]
async fn answers_to_concurrent_writers_follow_one_line_of_states() {
    let world = World::in_memory(Bounds::default());
    let mut writes = 0;
    for seed in 0..SCHEDULES {
        match run(&world, seed).await {
            Ok(count) => writes += count,
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    println!("{SCHEDULES} schedules with {writes} writes");
}
