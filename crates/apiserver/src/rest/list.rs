//! Reads: one object, or a list with selectors, pages and resourceVersions.
//!
//! Does not watch.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::query::refuse;
use super::selection::Selection;
use super::{Call, Reply, present};
use crate::schema::error::FieldError;
use crate::status::Failure;
use crate::store::Object;

/// Where the next page begins. Clients only carry it.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    v: String,
    /// As of when; [`LATEST`] is whatever there is now.
    rv: i64,
    start: String,
}

impl Continue {
    fn new(rv: i64, start: String) -> Self {
        Self {
            v: CONTINUE_VERSION.into(),
            rv,
            start,
        }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

const CONTINUE_VERSION: &str = "meta.k8s.io/v1";
const LATEST: i64 = -1;
const TOO_OLD: &str = "The resourceVersion for the provided list is too old.";
const PAGE_TOO_OLD: &str = "The provided continue parameter is too old to display a consistent \
    list result. You can start a new list without the continue parameter, or use the continue \
    token in this response to retrieve the remainder of the results. Continuing with the provided \
    token results in an inconsistent list - objects that were created, modified, or deleted \
    between the time the first chunk was returned and now may show up in the list.";

/// A page: the objects, as of when, and what follows.
struct Page {
    rv: u64,
    objects: Vec<Arc<Object>>,
    next: Option<String>,
    remaining: Option<usize>,
}

impl Call<'_> {
    pub(super) async fn get(&self) -> Result<Reply, Failure> {
        self.check_version("resourceVersion")?;
        let object = self.stored(&self.key())?;
        self.prepare([&object]).await?;
        present::object(self, StatusCode::OK, &object)
    }

    pub(super) async fn list(&self) -> Result<Reply, Failure> {
        let selection = Selection::parse(self)?;
        let page = self.page(&selection).await?;
        self.prepare(&page.objects).await?;
        let mut metadata = json!({"resourceVersion": page.rv.to_string()});
        if let Some(next) = page.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = page.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        present::list(self, &metadata, &page.objects)
    }

    /// Reads a resourceVersion and refuses one from the future.
    pub(crate) fn check_version(&self, parameter: &str) -> Result<Option<u64>, Failure> {
        let text = self.query.text(parameter);
        if text.is_empty() {
            return Ok(None);
        }
        let asked: u64 = text.parse().map_err(|_| {
            let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            let error = FieldError::invalid_text(parameter, text, &why);
            refuse("ListOptions", &[error])
                .err()
                .unwrap_or_else(Failure::no_such_resource)
        })?;
        let current = self.api.store.rv();
        if asked > current {
            Err(Failure::too_large_version(asked, current))
        } else {
            Ok(Some(asked))
        }
    }

    async fn page(&self, selection: &Selection) -> Result<Page, Failure> {
        let limit = self.query.number("limit")?.unwrap_or(0);
        let limit = usize::try_from(limit).unwrap_or(0);
        let (rv, objects) = self.snapshot(limit)?;
        if selection.looks_inside() {
            self.prepare(&objects).await?;
        }
        let only = selection
            .only_name()
            .map(|name| super::info::key_of(&self.info.namespace, name));
        let one_key =
            only.filter(|_| !self.target.resource.namespaced || !self.info.namespace.is_empty());
        let total = objects.len();
        let mut chosen = Vec::new();
        for (at, object) in objects.into_iter().enumerate() {
            if one_key.as_ref().is_some_and(|key| **key != *object.key) {
                continue;
            }
            if !selection.selects_all() && !selection.matches(&object) {
                continue;
            }
            chosen.push(object);
            if limit > 0 && chosen.len() == limit && at + 1 < total {
                let start = chosen
                    .last()
                    .map(|object| object.key.to_string())
                    .unwrap_or_default();
                let token = Continue::new(i64::try_from(rv).unwrap_or(LATEST), start);
                let remaining = selection.selects_all().then_some(total - at - 1);
                return Ok(Page {
                    rv,
                    objects: chosen,
                    next: Some(token.encode()),
                    remaining,
                });
            }
        }
        Ok(Page {
            rv,
            objects: chosen,
            next: None,
            remaining: None,
        })
    }

    /// What the list shows, from where its page begins, and as of which resourceVersion.
    fn snapshot(&self, limit: usize) -> Result<(u64, Vec<Arc<Object>>), Failure> {
        let store = &self.api.store;
        let prefix = self.prefix();
        let token = self.query.text("continue");
        let asked = self.query.text("resourceVersion");
        let matching = self.query.text("resourceVersionMatch");
        check_match(asked, matching, token)?;
        if !token.is_empty() {
            let token = parse_token(token)?;
            let Ok(rv) = u64::try_from(token.rv) else {
                let listing = store.list(self.bucket(), &prefix);
                let rest = listing.objects.into_iter();
                let rest = rest.filter(|object| *object.key > *token.start);
                return Ok((listing.rv, rest.collect()));
            };
            let objects = store
                .list_at(self.bucket(), &prefix, &token.start, rv)
                .map_err(|_| {
                    let next = Continue::new(LATEST, token.start.clone()).encode();
                    Failure::expired_page(PAGE_TOO_OLD, next)
                })?;
            return Ok((rv, objects));
        }
        let asked = self.check_version("resourceVersion")?;
        // Without a match, a limited list at a resourceVersion is exact, as it always was.
        let exact = matching == "Exact" || matching.is_empty() && limit > 0;
        if let Some(rv) = asked.filter(|rv| exact && *rv > 0) {
            let objects = store
                .list_at(self.bucket(), &prefix, "", rv)
                .map_err(|_| Failure::expired(TOO_OLD))?;
            return Ok((rv, objects));
        }
        let listing = store.list(self.bucket(), &prefix);
        Ok((listing.rv, listing.objects))
    }
}

fn check_match(asked: &str, matching: &str, token: &str) -> Result<(), Failure> {
    if !token.is_empty() && !matches!(asked, "" | "0") {
        let why = "specifying resource version is not allowed when using continue";
        return Err(Failure::bad_request(why));
    }
    let field = "resourceVersionMatch";
    let forbidden = |why: &str| FieldError::forbidden(field, why);
    let error = match matching {
        "" => None,
        _ if asked.is_empty() => Some(forbidden(
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        _ if !token.is_empty() => Some(forbidden(
            "resourceVersionMatch is forbidden when continue is provided",
        )),
        "Exact" if asked == "0" => Some(forbidden(
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        "Exact" | "NotOlderThan" => None,
        other => {
            let known = ["Exact", "NotOlderThan", ""].map(str::to_owned);
            Some(FieldError::not_supported(field, &json!(other), &known))
        }
    };
    match error {
        Some(error) => refuse("ListOptions", &[error]),
        None => Ok(()),
    }
}

fn parse_token(token: &str) -> Result<Continue, Failure> {
    let invalid = |why: &dyn std::fmt::Display| {
        Failure::bad_request(format!("continue key is not valid: {why}"))
    };
    let json = URL_SAFE_NO_PAD
        .decode(token.trim_end_matches('='))
        .map_err(|why| invalid(&why))?;
    let token: Continue = serde_json::from_slice(&json).map_err(|why| invalid(&why))?;
    match &token {
        Continue { v, .. } if v != CONTINUE_VERSION => Err(invalid(&format!(
            "server does not recognize this encoded version {v:?}"
        ))),
        Continue { rv: 0, .. } => Err(invalid(&format!(
            "incorrect encoded start resourceVersion (version {CONTINUE_VERSION})"
        ))),
        _ => Ok(token),
    }
}

/// A list of no objects as a value, for answers that are made from scratch.
pub(crate) fn list_value(call: &Call<'_>, rv: u64, items: &[Value]) -> Value {
    json!({"kind": call.target.resource.list_kind, "apiVersion": call.target.api_version(),
        "metadata": {"resourceVersion": rv.to_string()}, "items": items})
}
