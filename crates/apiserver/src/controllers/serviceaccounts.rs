//! Sees to it that every namespace has its `default` service account.
//!
//! Tokens are not its concern.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::engine::{Change, Collection, Controller, Outbox, Reply, Work};
use super::fields::{deleting, name, namespace, uid};
use crate::local::Call;

const NAMESPACES: &str = "/api/v1/namespaces";
const ACCOUNTS: &str = "/api/v1/serviceaccounts";
const DEFAULT: &str = "default";

/// Uids of what there is, by namespace.
#[derive(Debug, Default)]
pub(super) struct ServiceAccounts {
    namespaces: HashMap<String, String>,
    accounts: HashMap<String, String>,
}

pub(super) fn collections() -> Vec<Collection> {
    [NAMESPACES, ACCOUNTS].map(Collection::metadata).into()
}

impl Controller for ServiceAccounts {
    type Key = String;
    type Step = ();

    fn observe(&mut self, of: &Collection, change: Change<'_>, out: &mut Outbox<String>) {
        let of_accounts = &*of.path == ACCOUNTS;
        let (known, place): (_, fn(&Value) -> &str) = if of_accounts {
            (&mut self.accounts, namespace)
        } else {
            (&mut self.namespaces, name)
        };
        match change {
            Change::Put(object) | Change::Gone(object)
                if of_accounts && name(object) != DEFAULT => {}
            Change::Put(object) if !of_accounts && deleting(object) => {
                known.remove(place(object));
            }
            Change::Put(object) => {
                known.insert(place(object).to_owned(), uid(object).to_owned());
                out.wake(place(object).to_owned());
            }
            Change::Gone(object) => {
                known.remove(place(object));
                out.wake(place(object).to_owned());
            }
            Change::Only(uids) => {
                let gone = known.extract_if(|_, uid| !uids.contains(uid));
                gone.for_each(|(place, _)| out.wake(place));
            }
        }
    }

    fn next(&mut self, namespace: &String) -> Option<((), Work)> {
        if !self.namespaces.contains_key(namespace) || self.accounts.contains_key(namespace) {
            return None;
        }
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": DEFAULT, "namespace": namespace },
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        Some(((), Call::create(path, account).into()))
    }

    /// Whether the account is there is for the watch alone to tell: it may be gone again before this reply came.
    fn fold(
        &mut self,
        _namespace: &String,
        (): (),
        _reply: &Reply,
        _out: &mut Outbox<String>,
    ) -> bool {
        false
    }
}
