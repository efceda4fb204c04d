//! Makes resources of the built-in kinds, and asks for their schemas and rules.
//!
//! Does not know the kinds themselves.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Resource, Version, bucket};
use crate::builtin::{Builtin, builtins};

/// Subresources that are served; the others of the table are not offered.
const SERVED: [&str; 8] = [
    "binding", "eviction", "exec", "finalize", "log", "scale", "status", "token",
];

pub(crate) fn resources() -> Vec<Resource> {
    let offered = |builtin: &&Builtin| {
        builtin.verbs.len() > 1 || crate::rest::reviews::PLURALS.contains(&builtin.plural)
    };
    builtins().iter().filter(offered).map(resource).collect()
}

fn resource(builtin: &'static Builtin) -> Resource {
    let version = Version {
        name: builtin.version.to_owned(),
        served: true,
        deprecation: None,
        schema: None,
        subresources: owned(builtin.subresources)
            .into_iter()
            .filter(|name| SERVED.contains(&name.as_str()))
            .collect(),
        scale: None,
        fields: owned(builtin.selectable_fields),
        columns: Value::Null,
    };
    // Events of both groups are the same objects.
    let group = if builtin.plural == "events" {
        ""
    } else {
        builtin.group
    };
    Resource {
        group: builtin.group.to_owned(),
        plural: builtin.plural.to_owned(),
        singular: builtin.singular.to_owned(),
        kind: builtin.kind.to_owned(),
        list_kind: format!("{}List", builtin.kind),
        short_names: owned(builtin.short_names),
        categories: owned(builtin.categories),
        namespaced: builtin.namespaced,
        verbs: owned(builtin.verbs),
        versions: vec![Arc::new(version)],
        storage: builtin.version.to_owned(),
        name_rule: builtin.name_rule,
        builtin: Some(builtin),
        fits_since: 0,
        identity: String::new(),
        bucket: bucket(group, builtin.plural).into(),
        terminating: AtomicBool::new(false),
        conversion: None,
        ended: CancellationToken::new(),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
