//! Makes one pass over a namespace: deletes what it finds, and ends the namespace if nothing was left.
//!
//! Knows nothing of when the next pass is due; it tells which collections still hold something.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::controllers::engine::Reply;
use crate::controllers::fields::{deleting, finalizers};
use crate::controllers::resources::{Resource, discover};
use crate::local::{Call, CallError, LocalClient, Shape};

/// Collections looked at together.
const AT_ONCE: usize = 16;
/// Objects looked at to tell which finalizers hold them.
const SAMPLE: usize = 500;
const OUR_FINALIZER: &str = "kubernetes";

/// What is left of one resource.
struct Rest {
    resource: String,
    path: String,
    count: u64,
    /// How many objects each finalizer holds.
    held: BTreeMap<String, u64>,
}

/// Deletes what is in the namespace. The reply lists the paths of collections that are not empty yet; if there is
/// none, the namespace was let go.
pub(super) async fn empty(client: LocalClient, namespace: String) -> Reply {
    let path = format!("/api/v1/namespaces/{namespace}");
    let object = match client.call(Call::get(&*path)).await {
        Ok(object) if deleting(&object) => object,
        Err(error) if !error.is_not_found() => return Err(error),
        // It is gone, or was made anew.
        Ok(_) | Err(_) => return Ok(json!([])),
    };
    let resources = discover(&client).await?;
    let (pods, others): (Vec<_>, Vec<_>) = resources
        .iter()
        .filter(|resource| resource.namespaced && resource.can(&["list", "delete"]))
        .partition(|resource| resource.group.is_empty() && resource.plural == "pods");
    // Pods first: while they run they may need, or write to, what else is there.
    let mut left = clear(&client, &namespace, &pods).await?;
    if left.is_empty() {
        left = clear(&client, &namespace, &others).await?;
    }
    if left.is_empty() {
        finalize(&client, &path, object).await?;
    } else {
        report(&client, &path, &object, &left).await?;
    }
    let paths = left.into_iter().map(|rest| rest.path);
    Ok(paths.collect())
}

async fn clear(
    client: &LocalClient,
    namespace: &str,
    resources: &[&Resource],
) -> Result<Vec<Rest>, CallError> {
    let mut left = Vec::new();
    for together in resources.chunks(AT_ONCE) {
        let mut looks = Vec::with_capacity(together.len());
        for resource in together {
            looks.push(clear_one(client, namespace, resource));
        }
        for rest in join_all(looks).await {
            left.extend(rest?);
        }
    }
    left.sort_by(|one, other| one.resource.cmp(&other.resource));
    Ok(left)
}

async fn clear_one(
    client: &LocalClient,
    namespace: &str,
    resource: &Resource,
) -> Result<Option<Rest>, CallError> {
    let path = resource.path_in(namespace);
    if look(client, resource, &path).await?.is_none() {
        return Ok(None);
    }
    if resource.can(&["deletecollection"]) {
        client.call(Call::delete(&*path, json!({}))).await?;
    }
    look(client, resource, &path).await
}

/// What is in the collection; nothing if the resource is not served any more.
async fn look(
    client: &LocalClient,
    resource: &Resource,
    path: &str,
) -> Result<Option<Rest>, CallError> {
    let call = Call::get(format!("{path}?limit={SAMPLE}")).shaped(Shape::Metadata, true);
    let list = match client.call(call).await {
        Err(error) if error.is_not_found() => return Ok(None),
        list => list?,
    };
    let objects = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    if objects.is_empty() {
        return Ok(None);
    }
    let mut held = BTreeMap::new();
    for finalizer in objects.iter().flat_map(finalizers) {
        *held.entry(finalizer.to_owned()).or_default() += 1;
    }
    let more = list["metadata"]["remainingItemCount"].as_u64();
    Ok(Some(Rest {
        resource: resource.qualified(),
        path: path.to_owned(),
        count: u64::try_from(objects.len()).unwrap_or(u64::MAX) + more.unwrap_or(0),
        held,
    }))
}

async fn finalize(client: &LocalClient, path: &str, mut namespace: Value) -> Result<(), CallError> {
    if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != OUR_FINALIZER);
    }
    match client
        .call(Call::replace(format!("{path}/finalize"), namespace))
        .await
    {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Says in the status what the namespace waits for, if it does not say so already.
async fn report(
    client: &LocalClient,
    path: &str,
    namespace: &Value,
    left: &[Rest],
) -> Result<(), CallError> {
    let present = namespace["status"]["conditions"].as_array();
    let present = present.map_or(&[][..], Vec::as_slice);
    let ours = conditions(left);
    let said = ours.iter().all(|new| {
        let same = |old: &Value| {
            ["type", "status", "message"]
                .iter()
                .all(|f| old[f] == new[f])
        };
        present.iter().any(same)
    });
    if said {
        return Ok(());
    }
    let is_ours = |old: &Value| ours.iter().any(|new| new["type"] == old["type"]);
    let kept = present.iter().filter(|old| !is_ours(old));
    let all: Vec<_> = kept.chain(&ours).cloned().collect();
    let patch = json!({ "status": { "conditions": all } });
    match client
        .call(Call::merge(format!("{path}/status"), patch))
        .await
    {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn conditions(left: &[Rest]) -> Vec<Value> {
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let condition = |kind: &str, reason: &str, message: String| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": now,
        })
    };
    let content = left
        .iter()
        .map(|rest| format!("{} has {} resource instances", rest.resource, rest.count));
    let mut conditions = vec![condition(
        "NamespaceContentRemaining",
        "SomeResourcesRemain",
        format!("Some resources are remaining: {}", joined(content)),
    )];
    let mut held = BTreeMap::<&str, u64>::new();
    for (finalizer, count) in left.iter().flat_map(|rest| &rest.held) {
        *held.entry(finalizer).or_default() += count;
    }
    if !held.is_empty() {
        let list = held
            .iter()
            .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
        let start = "Some content in the namespace has finalizers remaining:";
        conditions.push(condition(
            "NamespaceFinalizersRemaining",
            "SomeFinalizersRemain",
            format!("{start} {}", joined(list)),
        ));
    }
    conditions
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::fields::text;

    #[test]
    fn the_status_tells_what_is_left_and_what_holds_it() {
        let rest = |resource: &str, held: &[(&str, u64)]| Rest {
            resource: resource.to_owned(),
            path: String::new(),
            count: 2,
            held: held.iter().map(|(f, n)| ((*f).to_owned(), *n)).collect(),
        };
        let left = [rest("pods", &[]), rest("as.x.org", &[("x.org/hold", 1)])];
        let conditions = conditions(&left);
        let messages: Vec<_> = conditions.iter().map(|c| text(&c["message"])).collect();
        assert_eq!(
            messages,
            [
                "Some resources are remaining: pods has 2 resource instances, as.x.org has 2 resource instances",
                "Some content in the namespace has finalizers remaining: x.org/hold in 1 resource instances",
            ]
        );
    }
}
