//! Describes where a resource is served and what each request may ask.
//!
//! Does not know the shape of the objects but by name.

use serde_json::{Map, Value, json};

use super::definitions::{PREFIX, name_of};
use super::{Source, Target};

/// `(path, path item)` of a resource.
pub(super) fn of(target: &Target<'_>) -> Vec<(String, Value)> {
    let base = format!("/{}", target.group_version());
    let plural = target.plural;
    let place = if target.namespaced {
        format!("{base}/namespaces/{{namespace}}/{plural}")
    } else {
        format!("{base}/{plural}")
    };
    let name = name_of(target);
    let makes = Operations {
        target,
        name: &name,
    };
    let mut paths = Vec::new();
    if target.only_created {
        paths.push((
            place,
            json!({"post": makes.operation("post", "create", "")}),
        ));
        return paths;
    }
    paths.push((
        place.clone(),
        json!({
            "get": makes.operation("list", "list", "List"),
            "post": makes.operation("post", "create", ""),
            "delete": makes.operation("deletecollection", "deleteCollection", ""),
        }),
    ));
    if target.namespaced {
        // All namespaces at once.
        paths.push((
            format!("{base}/{plural}"),
            json!({"get": makes.operation("list", "listForAllNamespaces", "List")}),
        ));
    }
    let one = format!("{place}/{{name}}");
    paths.push((
        one.clone(),
        json!({
            "get": makes.operation("get", "read", ""),
            "put": makes.operation("put", "replace", ""),
            "patch": makes.operation("patch", "patch", ""),
            "delete": makes.operation("delete", "delete", ""),
        }),
    ));
    if target.subresources.contains(&"status") {
        paths.push((
            format!("{one}/status"),
            json!({
                "get": makes.operation("get", "readStatusOf", ""),
                "put": makes.operation("put", "replaceStatusOf", ""),
                "patch": makes.operation("patch", "patchStatusOf", ""),
            }),
        ));
    }
    if target.namespaced {
        for (path, item) in &mut paths {
            if path.contains("{namespace}") {
                item["parameters"] = json!([in_path(
                    "namespace",
                    "object name and auth scope, such as for teams and projects"
                )]);
            }
        }
    }
    for (path, item) in &mut paths {
        if path.contains("{name}") {
            let named = in_path("name", &format!("name of the {}", target.kind));
            match item.get_mut("parameters").and_then(Value::as_array_mut) {
                Some(parameters) => parameters.insert(0, named),
                None => item["parameters"] = json!([named]),
            }
        }
    }
    paths
}

fn in_path(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string", "uniqueItems": true}})
}

fn in_query(name: &str, kind: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
}

struct Operations<'a> {
    target: &'a Target<'a>,
    name: &'a str,
}

impl Operations<'_> {
    fn operation(&self, action: &str, verb: &str, suffix: &str) -> Value {
        let target = self.target;
        let answer = json!({"$ref": format!("{PREFIX}{}{suffix}", self.name)});
        let group: String = target.group.split('.').map(capital).collect();
        let scope = if target.namespaced { "Namespaced" } else { "" };
        let mut operation = json!({
            "description": format!("{verb} {}", target.kind),
            "operationId": format!("{verb}{group}{}{scope}{}", capital(target.version), target.kind),
            "parameters": parameters(action),
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": answer}}}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": target.gvk(),
        });
        let body: Map<String, Value> = match action {
            "post" | "put" => [("application/json".to_owned(), json!({"schema": answer}))]
                .into_iter()
                .collect(),
            "patch" => self
                .patch_types()
                .into_iter()
                .map(|t| (t.to_owned(), json!({"schema": {"type": "object"}})))
                .collect(),
            _ => Map::new(),
        };
        if !body.is_empty() {
            operation["requestBody"] = json!({"required": true, "content": body});
        }
        operation
    }

    fn patch_types(&self) -> Vec<&'static str> {
        let mut types = vec![
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ];
        if matches!(self.target.source, Source::Builtin(_)) {
            types.push("application/strategic-merge-patch+json");
        }
        types
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn parameters(action: &str) -> Vec<Value> {
    let mut parameters = vec![in_query(
        "pretty",
        "string",
        "If 'true', then the output is pretty printed.",
    )];
    if matches!(action, "post" | "put" | "patch") {
        parameters.push(in_query("dryRun", "string", "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and no further processing of the request. Valid values are: - All: all dry run stages will be processed"));
        parameters.push(in_query(
            "fieldManager",
            "string",
            "A name associated with the actor or entity that is making these changes.",
        ));
        parameters.push(in_query("fieldValidation", "string", "Instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: Ignore, Warn, Strict."));
    }
    if action == "patch" {
        parameters.push(in_query("force", "boolean", "Force is going to \"force\" Apply requests: conflicting fields owned by other people are re-acquired."));
    }
    if matches!(action, "delete" | "deletecollection") {
        parameters.push(in_query("dryRun", "string", "When present, indicates that modifications should not be persisted. Valid values are: - All"));
        parameters.push(in_query(
            "gracePeriodSeconds",
            "integer",
            "The duration in seconds before the object should be deleted.",
        ));
        parameters.push(in_query("propagationPolicy", "string", "Whether and how garbage collection will be performed: Orphan, Background or Foreground."));
    }
    if matches!(action, "list" | "deletecollection") {
        for (name, kind, description) in [
            (
                "allowWatchBookmarks",
                "boolean",
                "allowWatchBookmarks requests watch events with type \"BOOKMARK\".",
            ),
            (
                "continue",
                "string",
                "The continue option should be set when retrieving more results from the server.",
            ),
            (
                "fieldSelector",
                "string",
                "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
            ),
            (
                "labelSelector",
                "string",
                "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
            ),
            (
                "limit",
                "integer",
                "limit is a maximum number of responses to return for a list call.",
            ),
            (
                "resourceVersion",
                "string",
                "resourceVersion sets a constraint on what resource versions a request may be served from.",
            ),
            (
                "resourceVersionMatch",
                "string",
                "resourceVersionMatch determines how resourceVersion is applied to list calls.",
            ),
            (
                "sendInitialEvents",
                "boolean",
                "With watch: begin with synthetic events that tell the current state.",
            ),
            (
                "timeoutSeconds",
                "integer",
                "Timeout for the list/watch call.",
            ),
            (
                "watch",
                "boolean",
                "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
            ),
        ] {
            parameters.push(in_query(name, kind, description));
        }
    }
    parameters
}
