//! What caches hold of the documents: rows that lag until they are told.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tintype_core::Seen;
use tintype_core::write::{Kind, Write};

use super::super::server::Server;
use super::cluster::{CLAIMS, GROUP, Names, parse};

/// Rows of a cache: none is an object that is surely not there.
pub(super) type Rows = HashMap<(Kind, String), Option<Value>>;

fn every(names: &Names, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Group => vec![GROUP.to_owned()],
        Kind::GroupContent => vec![names.content.clone()],
        Kind::Snapshot => names.member_snapshots.to_vec(),
        Kind::Content => names.member_contents.to_vec(),
        Kind::Claim => CLAIMS.map(str::to_owned).into(),
        Kind::Volume | Kind::AttributesClass => Vec::new(),
    }
}

/// The cache hears of everything; of what it had and is gone it hears that too.
pub(super) fn tell(server: &Server, names: &Names, rows: &mut Rows, kind: Kind) -> bool {
    let mut news = false;
    for name in every(names, kind) {
        let found = server.get(kind, &name).cloned();
        let key = (kind, name);
        let before = rows.get(&key);
        if before.is_none_or(Option::is_none) && found.is_none() {
            continue;
        }
        news |= before != Some(&found);
        rows.insert(key, found);
    }
    news
}

/// What a process that starts lists: of what is not there it knows nothing.
pub(super) fn listed(server: &Server, names: &Names, kinds: &[Kind]) -> Rows {
    let mut rows = Rows::new();
    for kind in kinds {
        tell(server, names, &mut rows, *kind);
    }
    rows
}

pub(super) fn seen<T: serde::de::DeserializeOwned, R>(
    rows: &Rows,
    kind: Kind,
    name: &str,
    of: fn(&T) -> R,
) -> Seen<Arc<R>> {
    match rows.get(&(kind, name.to_owned())) {
        None => Seen::NotCached,
        Some(None) => Seen::Absent,
        Some(Some(document)) => Seen::Present(Arc::new(parse(document, of))),
    }
}

pub(super) fn fold(rows: &mut Rows, write: &Write, object: Option<Value>) {
    rows.insert((write.kind, write.key.name.to_string()), object);
}
