//! Passes keys through a machine that does as it is told, against a server that answers as it is
//! told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tintype_api::Reason;
use tintype_core::object::{Uid, Version};
use tintype_core::write::{Event, Kind, Part, Verb};

use super::*;
use crate::Recorder;

/// What was done, in order: by the machine and on the server.
type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A read past the cache.
    Look,
    /// The write of this number.
    Write(usize),
    Call,
}

/// What the machine decides, whatever it sees.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// As many writes, then rest.
    Writes(usize),
    /// The same look again and again: no answer makes it wiser.
    Looks,
    /// A call, then rest.
    Calls,
    /// One write with an event.
    Tells,
    /// Keys named "bad" panic; others write once.
    Panics,
}

#[derive(Debug)]
struct Toy {
    plan: Plan,
    log: Log,
    /// A refusal is a fact to this machine.
    takes_refusals: bool,
}

/// How many steps were folded in.
#[derive(Debug)]
struct Seen {
    folded: usize,
    refused: bool,
}

impl Machine for Toy {
    type Seen = Seen;
    type Step = Step;
    type Why = &'static str;

    const NAME: &'static str = "toy";

    fn observe(&self, key: &Key, _now: Time) -> Seen {
        assert!(
            !(matches!(self.plan, Plan::Panics) && &*key.name == "bad"),
            "as planned"
        );
        Seen {
            folded: 0,
            refused: false,
        }
    }

    fn decide(&self, seen: &Seen) -> Verdict<Step, &'static str> {
        match self.plan {
            _ if seen.refused => Verdict::Rest("refused"),
            Plan::Writes(most) if seen.folded < most => Verdict::Do(Step::Write(seen.folded)),
            Plan::Panics | Plan::Tells if seen.folded < 1 => Verdict::Do(Step::Write(0)),
            Plan::Calls if seen.folded < 1 => Verdict::Do(Step::Call),
            Plan::Looks => Verdict::Do(Step::Look),
            Plan::Writes(_) | Plan::Calls | Plan::Tells | Plan::Panics => Verdict::Rest("done"),
        }
    }

    fn render(&self, step: Step, _seen: &Seen, _wall: Stamp) -> Option<Write> {
        let verb = match step {
            Step::Look => Verb::Get,
            Step::Write(number) => Verb::Patch {
                part: Part::Object,
                body: json!({"metadata": {"resourceVersion": number.to_string()}}),
            },
            Step::Call => return None,
        };
        Some(Write {
            kind: Kind::Content,
            key: Key::cluster("a"),
            verb,
            event: matches!(self.plan, Plan::Tells).then(event),
        })
    }

    fn trying(&self, _key: &Key, _seen: &mut Seen, step: Step) {
        self.log.lock().unwrap().push(format!("tries {step:?}"));
    }

    fn fold(&self, _key: &Key, seen: &mut Seen, step: Step, _reply: Reply) {
        self.log.lock().unwrap().push(format!("folds {step:?}"));
        seen.folded += 1;
    }

    async fn call(&self, _key: &Key, step: Step, seen: &mut Seen) {
        self.log.lock().unwrap().push(format!("calls {step:?}"));
        seen.folded += 1;
    }

    fn refused(&self, _key: &Key, seen: &mut Seen, step: Step, why: &str) -> bool {
        self.log
            .lock()
            .unwrap()
            .push(format!("refused {step:?}: {why}"));
        seen.refused = self.takes_refusals;
        self.takes_refusals
    }

    fn refusal(&self, _key: &Key, _seen: &Seen, _step: Step, why: &str) -> Option<Event> {
        Some(Event {
            message: why.to_owned(),
            ..event()
        })
    }

    fn delay(&self, _seen: &Seen, _timer: Timer) -> Duration {
        Duration::ZERO
    }
}

fn event() -> Event {
    Event {
        about: Kind::Content,
        key: Key::cluster("a"),
        uid: Uid::parse("u1"),
        version: Version::parse("1"),
        warning: true,
        reason: Reason::SnapshotCreationFailed,
        message: "no space".to_owned(),
    }
}

const SCHEDULE: Schedule = Schedule {
    start: 1_000,
    max: 300_000,
};

/// An engine whose server answers with these codes, then with 200; 0: it does not answer.
fn engine(plan: Plan, takes_refusals: bool, codes: &[u16]) -> (Arc<Engine<Toy>>, Log) {
    let (engine, log, _) = telling(plan, takes_refusals, codes);
    (engine, log)
}

/// The same, with the events that were told.
fn telling(
    plan: Plan,
    takes_refusals: bool,
    codes: &[u16],
) -> (Arc<Engine<Toy>>, Log, crate::Events) {
    let log = Log::default();
    let (sent, codes) = (log.clone(), Mutex::new(VecDeque::from_iter(codes.to_vec())));
    let service = tower::service_fn(move |request: Request<Body>| {
        sent.lock().unwrap().push(request.method().to_string());
        let told = request.uri().path().ends_with("/events");
        let next = (!told).then(|| codes.lock().unwrap().pop_front());
        let code = next.flatten().unwrap_or(200);
        async move {
            if code == 0 {
                return Err(kube::Error::Service("no answer".into()));
            }
            let body = match code {
                200 => json!({"metadata": {"name": "a"}}),
                _ => json!({"kind": "Status", "status": "Failure", "message": "no", "code": code}),
            };
            let answer = Response::builder().status(code);
            Ok(answer
                .body(Body::from(body.to_string().into_bytes()))
                .unwrap())
        }
    });
    let client = Client::new(service, "default");
    let clock = Clock::start();
    let (recorder, events) = Recorder::start(client.clone(), "toy", clock);
    let toy = Toy {
        plan,
        log: log.clone(),
        takes_refusals,
    };
    let applier = Applier::new(client, recorder);
    let metrics = Metrics::new().unwrap();
    let queue = Arc::new(Queue::default());
    let engine = Engine::new(toy, queue, applier, clock, SCHEDULE, &metrics);
    (engine, log, events)
}

fn done(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

fn key() -> Key {
    Key::cluster("a")
}

/// Why [`Machine::trying`] is there: an effect nobody heard of counts too.
#[tokio::test]
async fn a_write_is_remembered_before_it_is_sent_and_though_no_answer_comes() {
    let (engine, log) = engine(Plan::Writes(1), false, &[0]);
    let (outcome, after) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Unreachable);
    assert!(after.is_some_and(|it| !it.is_zero()), "{after:?}");
    assert_eq!(done(&log), ["tries Write(0)", "PATCH"]);
    // The next pass does it again, and hears of it.
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    assert_eq!(done(&log), ["tries Write(0)", "PATCH", "folds Write(0)"]);
}

#[tokio::test]
async fn a_call_is_no_write_and_is_not_tried() {
    let (engine, log) = engine(Plan::Calls, false, &[]);
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    assert_eq!(done(&log), ["calls Call"]);
}

/// A kind of another shape than its definition says is no reason to ask for it without end.
#[tokio::test(start_paused = true)]
async fn an_answer_that_says_nothing_is_not_asked_for_again_at_once() {
    let (engine, log) = engine(Plan::Looks, false, &[]);
    let (outcome, first) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Stuck);
    assert_eq!(done(&log), ["tries Look", "GET", "folds Look"]);
    // And less often each time.
    tokio::time::advance(first.unwrap()).await;
    let (outcome, second) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Stuck);
    assert!(second > first, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_left_alone_whatever_else_is_heard() {
    let (engine, log, events) = telling(Plan::Writes(1), false, &[403, 403]);
    let (outcome, first) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Refused);
    // News of something else: the same write would be refused again.
    assert_eq!(engine.pass(&key()).await, (Outcome::Delayed, first));
    tokio::time::advance(first.unwrap()).await;
    let (outcome, second) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Refused);
    assert!(second > first, "{first:?} {second:?}");
    tokio::time::advance(second.unwrap()).await;
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    events.end().await.unwrap();
    // The same refusal is told once.
    let all = done(&log);
    let count = |what: &str| all.iter().filter(|it| *it == what).count();
    assert_eq!((count("PATCH"), count("POST")), (3, 1), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_of_another_version_is_tried_at_once_and_backs_off_from_the_start() {
    let (engine, log) = engine(Plan::Writes(2), false, &[403, 403, 200, 403]);
    let (_, first) = engine.pass(&key()).await;
    tokio::time::advance(first.unwrap()).await;
    let (_, second) = engine.pass(&key()).await;
    tokio::time::advance(second.unwrap()).await;
    done(&log);
    let (outcome, third) = engine.pass(&key()).await;
    assert_eq!(outcome, Outcome::Refused);
    assert_eq!(
        done(&log),
        [
            "tries Write(0)",
            "PATCH",
            "folds Write(0)",
            "tries Write(1)",
            "PATCH",
            "refused Write(1): no"
        ]
    );
    assert!(third < second, "{second:?} {third:?}");
}

#[tokio::test]
async fn a_pass_that_goes_on_and_on_lets_others_have_their_turn() {
    let (engine, log) = engine(Plan::Writes(100), false, &[]);
    let next = engine.pass(&key()).await;
    assert_eq!(next, (Outcome::Unfinished, Some(Duration::ZERO)));
    let sent = done(&log).into_iter().filter(|it| it == "PATCH").count();
    assert_eq!(sent, MAX_STEPS);
}

/// A conflict is no failure: it does not make the next one wait longer.
#[tokio::test(start_paused = true)]
async fn each_refusal_of_the_server_is_waited_out_in_its_own_way() {
    let (engine, _) = engine(Plan::Writes(1), false, &[409, 404, 409, 422, 503, 500]);
    let soon = Some(AFTER_CONFLICT);
    for _ in 0..3 {
        assert_eq!(engine.pass(&key()).await, (Outcome::Conflict, soon));
    }
    let mut delays = Vec::new();
    for wanted in [Outcome::Refused, Outcome::Unreachable, Outcome::Unreachable] {
        let (outcome, after) = engine.pass(&key()).await;
        assert_eq!(outcome, wanted);
        delays.push(after.unwrap());
        tokio::time::advance(after.unwrap()).await;
    }
    // Doubled, and shortened by a quarter at most.
    assert!(delays.is_sorted() && delays[0] < delays[2], "{delays:?}");
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    assert!(engine.failures().is_empty());
}

/// D17: upstream loses both the status and the event.
#[tokio::test]
async fn d17_what_meets_a_conflict_is_written_and_told_by_the_next_pass() {
    let (engine, log, events) = telling(Plan::Tells, false, &[409]);
    let soon = (Outcome::Conflict, Some(AFTER_CONFLICT));
    assert_eq!(engine.pass(&key()).await, soon);
    assert_eq!(done(&log), ["tries Write(0)", "PATCH"]);
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    events.end().await.unwrap();
    let all = done(&log);
    assert_eq!(all.iter().filter(|it| *it == "PATCH").count(), 1);
    assert_eq!(all.iter().filter(|it| *it == "POST").count(), 1);
}

/// D18: upstream tells before it writes, and again with each conflict.
#[tokio::test(start_paused = true)]
async fn d18_an_event_is_told_once_and_after_the_write_it_speaks_of() {
    let (engine, log, events) = telling(Plan::Tells, false, &[409, 503, 409, 0]);
    for _ in 0..5 {
        let (_, after) = engine.pass(&key()).await;
        tokio::time::advance(after.unwrap_or_default()).await;
    }
    events.end().await.unwrap();
    let all = done(&log);
    let place = |what: &str| all.iter().rposition(|it| it == what).unwrap();
    assert_eq!(all.iter().filter(|it| *it == "POST").count(), 1, "{all:?}");
    assert!(place("POST") > place("PATCH"), "{all:?}");
}

#[tokio::test]
async fn a_refusal_may_be_a_fact_to_the_machine() {
    let (engine, log) = engine(Plan::Writes(1), true, &[422]);
    assert_eq!(engine.pass(&key()).await, (Outcome::Rest, None));
    assert_eq!(
        done(&log),
        ["tries Write(0)", "PATCH", "refused Write(0): no"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_no_other_key_anything_and_the_worker_goes_on() {
    let (engine, log) = engine(Plan::Panics, false, &[]);
    let shutdown = CancellationToken::new();
    engine.queue.add(Key::cluster("bad"));
    engine.queue.add(Key::cluster("good"));
    let running = tokio::spawn(engine.clone().run(1, shutdown.clone()));
    let passes = AtomicUsize::new(0);
    while !log.lock().unwrap().contains(&"folds Write(0)".to_owned()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(
            passes.fetch_add(1, Ordering::Relaxed) < 60_000,
            "{:?}",
            done(&log)
        );
    }
    // The bad one is tried again, less and less often.
    while engine
        .failures()
        .get(&Key::cluster("bad"))
        .is_none_or(|it| it.backoff.failures() < 3)
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shutdown.cancel();
    running.await.unwrap();
}
