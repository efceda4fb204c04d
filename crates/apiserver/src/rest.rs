//! Serves requests of authenticated users: parses, authorizes, dispatches, answers, counts.
//!
//! Does not know doors or how a user proved a name.

mod accept;
mod admit;
mod apply;
mod body;
mod conversion;
mod create;
mod decode;
mod definitions;
mod delete;
mod events;
mod expiry;
mod form;
mod grants;
mod info;
mod last_applied;
mod list;
mod noted;
mod pods;
mod policies;
mod policy_rights;
mod present;
mod query;
mod quota;
mod reply;
pub(crate) mod reviews;
mod scale;
mod selection;
mod shape;
mod strategy;
#[cfg(test)]
mod tests;
mod tokens;
mod update;

use std::sync::Arc;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::admission::Configured;
use crate::audit::Annotations;
use crate::auth::{Attributes, Authorizer, Decision, RoleSource, Tokens, User};
use crate::body::Body;
use crate::metrics::Metrics;
use crate::registry::{Catalog, Registry, Target, crd};
use crate::status::{About, Failure};
use crate::store::{Object, Store};
pub(crate) use accept::{Form, negotiate};
pub(crate) use form::Converter;
pub(crate) use info::RequestInfo;
use noted::Noted;
pub(crate) use present::Rendering;
pub(crate) use query::{Query, refuse};
pub(crate) use reply::Reply;
pub(crate) use selection::Selection;

/// The whole API over one store.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    /// Ends the watches.
    closing: CancellationToken,
    begun: OnceCell<()>,
    /// One at a time works on definitions.
    settling: Mutex<()>,
    /// Who creates where quotas are.
    turns: quota::Turns,
    /// What administrators want to be asked about.
    configured: Configured,
}

/// Who may do what, and whose tokens are good.
pub(crate) struct Access {
    pub authorizer: Arc<dyn Authorizer>,
    pub tokens: Arc<Tokens>,
}

/// One request for a resource that exists.
pub(crate) struct Call<'a> {
    pub api: &'a Api,
    pub user: &'a User,
    pub info: &'a RequestInfo,
    pub query: &'a Query,
    pub headers: &'a HeaderMap,
    pub catalog: &'a Catalog,
    pub target: &'a Target,
    pub converter: Converter,
    /// The server's own doing, which nobody is asked about.
    inside: bool,
    noted: &'a Noted,
}

/// What the server calls itself where it owns a field.
pub(crate) const OURSELVES: &str = "kube-apiserver";

/// A request of the server to itself, which nobody need be allowed.
struct Inside {
    user: User,
    info: RequestInfo,
    query: Query,
    headers: HeaderMap,
    catalog: Arc<Catalog>,
    target: Target,
    noted: Noted,
}

impl Inside {
    fn new(
        api: &Api,
        verb: &'static str,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<Self, Failure> {
        let catalog = api.registry.catalog();
        let found = catalog.find(group, version, plural);
        let target = found.ok_or_else(Failure::no_such_resource)?;
        let info = RequestInfo {
            verb,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: plural.to_owned(),
            ..RequestInfo::default()
        };
        let user = User::authenticated("system:apiserver".into(), vec!["system:masters".into()]);
        Ok(Self {
            user,
            info,
            query: Query::default(),
            headers: HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(OURSELVES))]),
            catalog,
            target,
            noted: Noted::default(),
        })
    }

    fn call<'a>(&'a self, api: &'a Api) -> Call<'a> {
        Call {
            api,
            user: &self.user,
            info: &self.info,
            query: &self.query,
            headers: &self.headers,
            catalog: &self.catalog,
            target: &self.target,
            converter: Converter::new(&self.target),
            inside: true,
            noted: &self.noted,
        }
    }
}

impl Api {
    /// Serves a store and takes up its definitions.
    pub(crate) fn over(store: Store, access: Access) -> Arc<Self> {
        let api = Self {
            store,
            registry: Registry::new(),
            access,
            metrics: Metrics::new(),
            closing: CancellationToken::new(),
            begun: OnceCell::new(),
            settling: Mutex::new(()),
            turns: quota::Turns::new(),
            configured: Configured::default(),
        };
        api.take_up_definitions();
        Arc::new(api)
    }

    /// Ends all watches: the server stops.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Serves one request.
    pub(crate) async fn handle(&self, user: &User, request: Request<Body>) -> Response<Body> {
        self.begun.get_or_init(|| self.begin()).await;
        let (parts, mut body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        let noted = Noted::default();
        let mut reply = match self.authorize(user, &attributes(&info)) {
            Ok(()) => self
                .serve(user, &parts, &info, &query, &mut body, &noted)
                .await
                .unwrap_or_else(Reply::from),
            Err(failure) => failure.into(),
        };
        body::drain(&mut body).await;
        self.metrics.count(&info, &query, &parts, reply.code);
        reply.warnings.extend(noted.warnings());
        let mut response = reply.into_response(&parts.headers);
        response
            .extensions_mut()
            .insert(Annotations(noted.annotations()));
        response
    }

    /// Answers a request that was refused before it could be made as anybody.
    pub(crate) fn refuse(&self, parts: &Parts, failure: Failure) -> Response<Body> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        self.metrics.count(&info, &query, parts, failure.code);
        Reply::from(failure).into_response(&parts.headers)
    }

    pub(crate) fn authorize(&self, user: &User, what: &Attributes<'_>) -> Result<(), Failure> {
        match self.access.authorizer.authorize(user, what) {
            Decision::Allow => Ok(()),
            Decision::Deny { reason } => {
                let about = About {
                    group: what.group.to_owned(),
                    kind: what.resource.to_owned(),
                    name: what.name.to_owned(),
                };
                Err(Failure::forbidden(&about, what.denial(user, &reason)))
            }
        }
    }

    async fn serve(
        &self,
        user: &User,
        parts: &Parts,
        info: &RequestInfo,
        query: &Query,
        body: &mut Body,
        noted: &Noted,
    ) -> Result<Reply, Failure> {
        let catalog = self.registry.catalog();
        if !info.is_resource() {
            return crate::discovery::serve(self, &catalog, parts, info);
        }
        let Some(target) = catalog.find(&info.group, &info.version, &info.resource) else {
            // A group or version that nobody serves is no part of the API at all.
            let known = catalog
                .versions(&info.group)
                .is_some_and(|versions| versions.contains(&info.version));
            return Err(if known {
                Failure::no_such_resource()
            } else {
                Failure::no_such_page()
            });
        };
        let wrong_scope = target.resource.namespaced && info.namespace.is_empty();
        if wrong_scope && !matches!(info.verb, "list" | "watch" | "create")
            || !target.resource.namespaced
                && !info.namespace.is_empty()
                && info.resource != "namespaces"
        {
            return Err(Failure::no_such_resource());
        }
        let call = Call {
            api: self,
            user,
            info,
            query,
            headers: &parts.headers,
            catalog: &catalog,
            target: &target,
            converter: Converter::new(&target),
            inside: false,
            noted,
        };
        let answer = call.dispatch(&parts.method, body).await;
        call.warn(target.version.deprecation.clone());
        answer
    }

    /// What must be true before the first request: the namespaces everybody expects, and
    /// definitions whose establishing or deletion was cut short.
    async fn begin(&self) {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            if let Err(failure) = create::namespace(self, name).await {
                tracing::error!(
                    name,
                    error = failure.message(),
                    "cannot create the namespace"
                );
            }
        }
        self.settle_definitions().await;
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Api")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Call<'_> {
    async fn dispatch(&self, method: &Method, body: &mut Body) -> Result<Reply, Failure> {
        let subresource = self.info.subresource.as_str();
        if !subresource.is_empty() && !self.target.has(subresource) {
            return Err(Failure::no_such_resource());
        }
        if !self
            .target
            .resource
            .verbs
            .iter()
            .any(|verb| verb == self.info.verb)
        {
            return Err(Failure::method_not_allowed());
        }
        match (self.info.verb, subresource) {
            ("create", "") if self.is_review() => self.review(&body::read(body).await?),
            ("create", "token") => self.create_token(&body::read(body).await?).await,
            ("create", "binding") => self.bind_pod(&body::read(body).await?).await,
            ("create", "eviction") => self.evict_pod(&body::read(body).await?).await,
            ("get", "" | "status") => self.get().await,
            ("get", "scale") => self.get_scale().await,
            ("get", "log") => self.pod_log(),
            ("get" | "create", "exec") => self.pod_exec(),
            ("list", "") => self.list().await,
            ("watch", "") => crate::watch::serve(self),
            ("create", "") if self.info.name.is_empty() => {
                self.create(body::read(body).await?).await
            }
            ("update", "" | "status" | "finalize" | "scale") if !self.info.name.is_empty() => {
                self.replace(body::read(body).await?).await
            }
            ("patch", "" | "status" | "scale") if !self.info.name.is_empty() => {
                self.patch(body::read(body).await?).await
            }
            ("delete", "") => self.delete(body::read(body).await?).await,
            ("deletecollection", "") => self.delete_collection(body::read(body).await?).await,
            _ => {
                tracing::debug!(%method, path = self.info.path, "method not allowed");
                Err(Failure::method_not_allowed())
            }
        }
    }

    /// Has the client warned, however the request ends.
    fn warn(&self, texts: impl IntoIterator<Item = String>) {
        self.noted.warn(texts);
    }

    pub(crate) fn closing(&self) -> CancellationToken {
        self.api.closing.clone()
    }

    /// Where the store keeps the objects of this resource.
    pub(crate) fn bucket(&self) -> &Arc<str> {
        &self.target.resource.bucket
    }

    /// The key of the object that the path names.
    fn key(&self) -> String {
        if self.target.resource.namespaced {
            self.info.key()
        } else {
            self.info.name.clone()
        }
    }

    /// What the keys of the asked objects begin with.
    pub(crate) fn prefix(&self) -> String {
        if self.target.resource.namespaced && !self.info.namespace.is_empty() {
            format!("{}/", self.info.namespace)
        } else {
            String::new()
        }
    }

    /// Makes objects ready to be shown in the version that was asked for.
    async fn prepare(
        &self,
        objects: impl IntoIterator<Item = &Arc<Object>>,
    ) -> Result<(), Failure> {
        self.converter.prepare(&self.api.store, objects).await
    }

    fn stored(&self, key: &str) -> Result<Arc<Object>, Failure> {
        let found = self.api.store.get(self.bucket(), key);
        found.ok_or_else(|| Failure::not_found(&self.target.about(&self.info.name)))
    }
}

fn attributes(info: &RequestInfo) -> Attributes<'_> {
    Attributes {
        verb: info.verb,
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
        path: &info.path,
    }
}

/// The time as objects carry it.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Reads the roles of role-based access control from the store.
#[derive(Debug)]
pub(crate) struct StoredRoles(pub(crate) Store);

impl RoleSource for StoredRoles {
    fn revision(&self) -> u64 {
        const PLURALS: [&str; 4] = [
            "roles",
            "rolebindings",
            "clusterroles",
            "clusterrolebindings",
        ];
        PLURALS
            .iter()
            .map(|plural| self.0.changed_at(&rbac_bucket(plural)))
            .max()
            .unwrap_or(0)
    }

    fn list(&self, plural: &str) -> Vec<Arc<Value>> {
        let listing = self.0.list(&rbac_bucket(plural), "");
        listing
            .objects
            .iter()
            .map(|object| Arc::new(object.value()))
            .collect()
    }
}

fn rbac_bucket(plural: &str) -> String {
    crate::registry::bucket("rbac.authorization.k8s.io", plural)
}

/// Where definitions are kept.
pub(crate) fn definitions_bucket() -> String {
    crate::registry::bucket(crd::GROUP, crd::PLURAL)
}
