//! Moves stored objects into the version that their definitions store now: `tintype crds --migrate-stored`.
//!
//! How each is moved is decided in `tintype_core::stored`; here is who reads and writes. It may be ended at any moment and
//! called again: versions are dropped from a definition only once every object was written.

#[cfg(test)]
mod tests;

use anyhow::Context as _;
use kube::api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tintype_core::stored::{Move, Plan, Rewrite, plan, unchanged, with_members};
use tokio::task::JoinSet;

use crate::crds::{Args, Verdict, advice, listed};
use crate::read;

/// Writes under way at once: a server should not notice.
const AT_ONCE: usize = 8;
/// Looks at an object that changes all the time.
const TRIES: usize = 10;

/// Moves everything that can be moved in the cluster the flags name.
pub async fn migrate(args: &Args) -> anyhow::Result<Verdict> {
    migrate_in(&args.client().await?).await
}

async fn migrate_in(client: &Client) -> anyhow::Result<Verdict> {
    let definitions = read::definitions(client);
    let mut rows = Vec::new();
    for ours in tintype_api::crds()? {
        let name = ours["metadata"]["name"].as_str().unwrap_or_default();
        let live = definitions.get_opt(name).await;
        let live = live.with_context(|| format!("cannot read the definition {name}"))?;
        if let Some(live) = live.map(read::document) {
            rows.extend(of_definition(client, &definitions, name, &live).await);
        }
    }
    Ok(verdict(&rows))
}

/// What became of one definition, or why one of its objects is left.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    what: String,
    outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// There was nothing to do.
    Done(String),
    Moved {
        objects: usize,
        plan: Move,
    },
    Left {
        why: String,
        cure: String,
    },
}

impl Row {
    fn left(what: &str, why: impl Into<String>, cure: impl Into<String>) -> Self {
        let outcome = Outcome::Left {
            why: why.into(),
            cure: cure.into(),
        };
        let what = what.to_owned();
        Self { what, outcome }
    }
}

const AGAIN: &str = "call this again";

async fn of_definition(
    client: &Client,
    definitions: &Api<DynamicObject>,
    name: &str,
    live: &Value,
) -> Vec<Row> {
    let (planned, empty) = planned(client, live).await;
    let plan = match planned {
        Plan::Done(version) => {
            let outcome = Outcome::Done(version);
            let what = name.to_owned();
            return vec![Row { what, outcome }];
        }
        Plan::Stuck(why) => return vec![Row::left(name, why.to_string(), why.cure())],
        Plan::Move(plan) => plan,
    };
    let written = if empty {
        Ok((0, Vec::new()))
    } else {
        write_all(client, live, &plan).await
    };
    let (objects, mut rows) = match written {
        Ok(written) => written,
        Err(error) => {
            let why = format!("its objects cannot be listed: {error}");
            return vec![Row::left(name, why, "cure that, and call this again")];
        }
    };
    if rows.is_empty() {
        rows.push(match drop_versions(definitions, name, &plan).await {
            Ok(()) => Row {
                what: name.to_owned(),
                outcome: Outcome::Moved { objects, plan },
            },
            Err(why) => Row::left(name, why, AGAIN),
        });
    }
    rows
}

/// What to do, and whether there are surely no objects; that is asked only where it makes a difference.
async fn planned(client: &Client, live: &Value) -> (Plan, bool) {
    let planned = plan(live, false);
    if matches!(planned, Plan::Stuck(_)) && is_empty(client, live).await {
        return (plan(live, true), true);
    }
    (planned, false)
}

/// Surely without objects; asked for in any version that is served.
async fn is_empty(client: &Client, live: &Value) -> bool {
    let mut versions = live["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.find(|it| it["served"] == true);
    let Some(version) = served.and_then(|it| it["name"].as_str()) else {
        return false;
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &read::defined(live, version));
    let first = api.list_metadata(&ListParams::default().limit(1)).await;
    first.is_ok_and(|it| it.items.is_empty())
}

/// Writes every object once. How many there were, and those that could not be written.
async fn write_all(
    client: &Client,
    live: &Value,
    plan: &Move,
) -> Result<(usize, Vec<Row>), kube::Error> {
    let new = read::defined(live, &plan.to);
    let old = plan.members_in.map(|it| read::defined(live, it));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &new);
    let mut params = ListParams::default().limit(read::PAGE);
    let (mut objects, mut rows, mut open) = (0, Vec::new(), JoinSet::new());
    let mut settle = |it: Option<Result<Option<Row>, tokio::task::JoinError>>| match it {
        Some(Ok(row)) => rows.extend(row),
        Some(Err(error)) => rows.push(Row::left(&new.kind, error.to_string(), AGAIN)),
        None => {}
    };
    loop {
        let page = api.list_metadata(&params).await?;
        objects += page.items.len();
        for object in page.items {
            if open.len() >= AT_ONCE {
                settle(open.join_next().await);
            }
            let place = Place::of(client, &new, old.as_ref(), &object);
            open.spawn(async move {
                let why = place.write(&object).await?;
                Some(Row::left(
                    &place.title(),
                    why,
                    "cure that, and call this again",
                ))
            });
        }
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    while !open.is_empty() {
        settle(open.join_next().await);
    }
    Ok((objects, rows))
}

/// Where an object is read and written.
struct Place {
    kind: String,
    namespace: Option<String>,
    name: String,
    new: Api<DynamicObject>,
    /// In the version that shows its members, if that is another.
    old: Option<Api<DynamicObject>>,
}

impl Place {
    fn of(
        client: &Client,
        new: &ApiResource,
        old: Option<&ApiResource>,
        object: &PartialObjectMeta<DynamicObject>,
    ) -> Self {
        let namespace = object.metadata.namespace.clone();
        let api = |resource| match &namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        };
        Self {
            kind: new.kind.clone(),
            name: object.metadata.name.clone().unwrap_or_default(),
            new: api(new),
            old: old.map(api),
            namespace,
        }
    }

    fn title(&self) -> String {
        let Self { kind, name, .. } = self;
        match &self.namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        }
    }

    /// Writes the object once; why it could not be written, if so.
    async fn write(&self, listed: &PartialObjectMeta<DynamicObject>) -> Option<String> {
        let Some(old) = &self.old else {
            let version = &listed.metadata.resource_version;
            let seen = json!({"metadata": {"resourceVersion": version}});
            return match self.send(&unchanged(&seen)).await {
                // Whoever changed it has written it.
                Sent::Done | Sent::Changed => None,
                Sent::Failed(why) => Some(why),
            };
        };
        for _ in 0..TRIES {
            let both = tokio::join!(self.new.get_opt(&self.name), old.get_opt(&self.name));
            let (new, old) = match both {
                (Ok(Some(new)), Ok(Some(old))) => (read::document(new), read::document(old)),
                (Ok(None), _) | (_, Ok(None)) => return None,
                (Err(error), _) | (_, Err(error)) => {
                    return Some(format!("it cannot be read: {error}"));
                }
            };
            match with_members(&new, &old) {
                None => {}
                Some(rewrite) => match self.send(&rewrite).await {
                    Sent::Done => return None,
                    Sent::Changed => {}
                    Sent::Failed(why) => return Some(why),
                },
            }
        }
        Some("it changes faster than it can be read".to_owned())
    }

    async fn send(&self, rewrite: &Rewrite) -> Sent {
        let (params, patch) = (PatchParams::default(), Patch::Merge(&rewrite.body));
        let sent = if rewrite.status {
            self.new.patch_status(&self.name, &params, &patch).await
        } else {
            self.new.patch(&self.name, &params, &patch).await
        };
        match sent {
            Ok(_) => Sent::Done,
            Err(kube::Error::Api(status)) if status.code == 404 => Sent::Done,
            Err(kube::Error::Api(status)) if status.code == 409 => Sent::Changed,
            Err(error) => Sent::Failed(format!("it cannot be written: {error}")),
        }
    }
}

/// What became of a write.
enum Sent {
    /// It is written, or gone.
    Done,
    /// Somebody else was quicker.
    Changed,
    Failed(String),
}

/// Says in the definition that nothing is stored in other versions any more.
async fn drop_versions(
    definitions: &Api<DynamicObject>,
    name: &str,
    done: &Move,
) -> Result<(), String> {
    let live = definitions.get(name).await;
    let live = live.map_err(|error| format!("the definition cannot be read: {error}"))?;
    let version = live.metadata.resource_version.clone();
    // Nothing is left that could be lost: only what is stored now is of interest.
    match plan(&read::document(live), true) {
        Plan::Done(to) if to == done.to => return Ok(()),
        Plan::Move(now) if now.to == done.to && now.from == done.from => {}
        Plan::Done(_) | Plan::Move(_) | Plan::Stuck(_) => {
            return Err("the definition changed meanwhile".to_owned());
        }
    }
    let patch =
        json!({"metadata": {"resourceVersion": version}, "status": {"storedVersions": [done.to]}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    match definitions.patch_status(name, &params, &patch).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Err("the definition changed meanwhile".to_owned())
        }
        Err(error) => Err(format!(
            "its status.storedVersions cannot be written: {error}"
        )),
    }
}

fn verdict(rows: &[Row]) -> Verdict {
    if rows.is_empty() {
        let text = "there is nothing to move: the cluster has none of the definitions\n".to_owned();
        return Verdict { text, to_do: false };
    }
    let told = rows.iter().map(|Row { what, outcome }| match outcome {
        Outcome::Done(version) => (
            "as it is",
            vec![format!("{what}: all is stored as {version}")],
        ),
        Outcome::Moved { objects, plan } => {
            let (from, to) = (plan.from.join(" or "), &plan.to);
            let how =
                format!("{what}: {objects} written as {to}; nothing is stored as {from} any more");
            ("moved", vec![how])
        }
        Outcome::Left { why, cure } => ("left", vec![what.clone(), why.clone(), advice(cure)]),
    });
    Verdict {
        text: listed(told),
        to_do: rows
            .iter()
            .any(|it| matches!(it.outcome, Outcome::Left { .. })),
    }
}
