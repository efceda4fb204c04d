//! Watches the objects a user makes and prints a line for each change that means something.
//! Reads the API like anybody else; changes nothing, and its end ends nothing.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write as _},
    time::Instant,
};

use futures::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::Event as Told;
use kube::{
    Api, Client,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde_json::Value;

use super::{news::News, sentence::Kind};
use crate::words;

/// One thing seen.
enum Sight {
    Object(Kind, Box<Event<DynamicObject>>),
    Warning(Box<Event<Told>>),
    Trouble(watcher::Error),
}

/// Prints until the output is closed. Ends otherwise only by being dropped.
pub(crate) async fn tell(client: Client) -> io::Result<()> {
    let mut sights = sights(&client);
    let mut teller = Teller::default();
    while let Some(sight) = sights.next().await {
        for line in teller.lines(sight) {
            writeln!(io::stdout().lock(), "{line}")?;
        }
    }
    Ok(())
}

fn sights(client: &Client) -> impl Stream<Item = Sight> + Unpin + use<> {
    let objects = Kind::ALL.map(|kind| {
        let [group, version, name, plural] = kind.resource();
        let kube_kind = GroupVersionKind::gvk(group, version, name);
        let resource = ApiResource::from_gvk_with_plural(&kube_kind, plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let seen = watcher(api, watcher::Config::default()).default_backoff();
        seen.map(move |seen| match seen {
            Ok(event) => Sight::Object(kind, Box::new(event)),
            Err(error) => Sight::Trouble(error),
        })
        .boxed()
    });
    let api: Api<Told> = Api::all(client.clone());
    let warnings = watcher(api, watcher::Config::default().fields("type=Warning"))
        .default_backoff()
        .map(|seen| match seen {
            Ok(event) => Sight::Warning(Box::new(event)),
            Err(error) => Sight::Trouble(error),
        })
        .boxed();
    stream::select_all(objects.into_iter().chain([warnings]))
}

#[derive(Default)]
struct Teller {
    news: News,
    /// Kinds whose first list is complete.
    listed: HashMap<Kind, bool>,
    /// The last warning of each object: the same one again is no news.
    warned: HashMap<String, String>,
    /// Warnings from before are not told.
    warnings_listed: bool,
    /// The last lines: a warning that only repeats one is no news.
    lines: VecDeque<String>,
}

/// An object's state and the warning about it come from two watches, but close together.
const REMEMBERED: usize = 32;

impl Teller {
    fn lines(&mut self, sight: Sight) -> Vec<String> {
        let lines = self.told(sight);
        self.lines.extend(lines.iter().cloned());
        let old = self.lines.len().saturating_sub(REMEMBERED);
        self.lines.drain(..old);
        lines
    }

    fn told(&mut self, sight: Sight) -> Vec<String> {
        match sight {
            Sight::Object(kind, event) => self.object(kind, *event),
            Sight::Warning(event) => self.warning(*event).into_iter().collect(),
            Sight::Trouble(error) => {
                tracing::debug!(%error, "a watch is started again");
                Vec::new()
            }
        }
    }

    fn object(&mut self, kind: Kind, event: Event<DynamicObject>) -> Vec<String> {
        let first = !self.listed.get(&kind).copied().unwrap_or_default();
        let line = match event {
            Event::Init => {
                self.news.list(kind);
                None
            }
            // A list after a lost watch may hold news; the first one is how things were.
            Event::InitApply(object) => {
                self.news
                    .present(kind, &value(&object), first, Instant::now())
            }
            Event::InitDone => {
                self.listed.insert(kind, true);
                let gone = self.news.listed(kind);
                let all = first && self.listed.len() == Kind::ALL.len();
                return gone
                    .into_iter()
                    .chain(all.then(|| self.before()).flatten())
                    .collect();
            }
            Event::Apply(object) => self
                .news
                .present(kind, &value(&object), false, Instant::now()),
            Event::Delete(object) => self.news.gone(kind, &value(&object)),
        };
        line.into_iter().collect()
    }

    /// What was there when we began to look.
    fn before(&self) -> Option<String> {
        let told = [Kind::Claim, Kind::Snapshot].map(|kind| {
            let (one, many) = (kind.as_str(), format!("{}s", kind.as_str()));
            (self.news.count(kind), one, many)
        });
        let parts = told.iter().filter(|(count, ..)| *count > 0);
        let parts: Vec<_> = parts
            .map(|(count, one, many)| words::count(*count, one, many))
            .collect();
        (!parts.is_empty()).then(|| format!("from before: {}", parts.join(", ")))
    }

    fn warning(&mut self, event: Event<Told>) -> Option<String> {
        let told = match event {
            Event::InitDone => {
                self.warnings_listed = true;
                return None;
            }
            Event::InitApply(told) if self.warnings_listed => told,
            Event::Apply(told) => told,
            Event::Init | Event::InitApply(_) | Event::Delete(_) => return None,
        };
        let about = told.involved_object;
        let kind = about.kind.unwrap_or_default();
        let name = about.name.unwrap_or_default();
        let object = match about.namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        let reason = told.reason.unwrap_or_default();
        let message = told.message.unwrap_or_default();
        let message = super::sentence::one_line(&message);
        let text = format!("{reason}: {message}");
        let said = !message.is_empty() && self.lines.iter().any(|line| line.contains(&message));
        if said || self.warned.get(&object) == Some(&text) {
            return None;
        }
        let line = format!("warning: {object}: {text}");
        self.warned.insert(object, text);
        Some(line)
    }
}

fn value(object: &DynamicObject) -> Value {
    // An object that came as JSON goes as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(value: Value) -> Told {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_warning_is_told_once() {
        let mut teller = Teller {
            warnings_listed: true,
            ..Teller::default()
        };
        let event = json!({
            "metadata": {"name": "e"}, "type": "Warning", "reason": "ProvisioningFailed",
            "message": "no class\nnamed x",
            "involvedObject": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "d"}
        });
        let mut see = |event: &Value| {
            teller.lines(Sight::Warning(Box::new(Event::Apply(told(event.clone())))))
        };
        let wanted =
            "warning: PersistentVolumeClaim default/d: ProvisioningFailed: no class named x";
        assert_eq!(see(&event), [wanted]);
        assert!(see(&event).is_empty());
    }

    #[test]
    fn the_first_list_is_silent_and_later_lists_are_not() {
        let mut teller = Teller::default();
        let claim = |phase: &str| -> DynamicObject {
            serde_json::from_value(json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"namespace": "default", "name": "data"},
                "status": {"phase": phase}
            }))
            .unwrap()
        };
        let mut see = |event| teller.lines(Sight::Object(Kind::Claim, Box::new(event)));
        assert!(see(Event::Init).is_empty());
        assert!(see(Event::InitApply(claim("Pending"))).is_empty());
        assert!(see(Event::InitDone).is_empty());
        assert!(see(Event::Init).is_empty());
        assert_eq!(
            see(Event::InitApply(claim("Bound"))),
            ["claim default/data is bound"]
        );
        assert!(see(Event::InitDone).is_empty());
        assert!(see(Event::Init).is_empty());
        assert_eq!(see(Event::InitDone), ["claim default/data is gone"]);
    }

    #[test]
    fn what_was_there_before_is_counted_once() {
        let mut teller = Teller::default();
        let claim = json!({"metadata": {"namespace": "default", "name": "data"}});
        let claim: DynamicObject = serde_json::from_value(claim).unwrap();
        let see =
            |teller: &mut Teller, kind, event| teller.lines(Sight::Object(kind, Box::new(event)));
        see(&mut teller, Kind::Claim, Event::InitApply(claim));
        for kind in &Kind::ALL[..Kind::ALL.len() - 1] {
            assert!(see(&mut teller, *kind, Event::InitDone).is_empty());
        }
        let last = Kind::ALL[Kind::ALL.len() - 1];
        assert_eq!(
            see(&mut teller, last, Event::InitDone),
            ["from before: 1 claim"]
        );
        assert!(see(&mut teller, last, Event::InitDone).is_empty());
    }

    #[test]
    fn a_warning_that_repeats_the_state_is_not_told() {
        let mut teller = Teller {
            warnings_listed: true,
            ..Teller::default()
        };
        let snapshot: DynamicObject = serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "snap"},
            "status": {"error": {"message": "no class"}}
        }))
        .unwrap();
        let event = Event::Apply(snapshot);
        let lines = teller.lines(Sight::Object(Kind::Snapshot, Box::new(event)));
        assert_eq!(lines, ["snapshot default/snap is not ready: no class"]);
        let event = json!({
            "metadata": {"name": "e"}, "type": "Warning", "reason": "Bad", "message": "no class",
            "involvedObject": {"kind": "VolumeSnapshot", "namespace": "default", "name": "snap"}
        });
        let lines = teller.lines(Sight::Warning(Box::new(Event::Apply(told(event)))));
        assert!(lines.is_empty(), "{lines:?}");
    }
}
